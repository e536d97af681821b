"""Compiled cluster moves: Wolff, Swendsen–Wang, and Houdayer's exchange between two replicas.

| symbol | here | shape |
|---|---|---|
| p_ij = 1 − exp(−2β abs(J_ij)) | ``chances``, as a threshold for 32 random bits | [nnz] or [m] |
| sign J_ij | ``signs``, int8 | [nnz] or [m] |
| s | ``spins`` of one replica, the ghost spin last | [n] |

A bond can hold only where it is satisfied, J_ij s_i s_j > 0, and then holds with chance p_ij. That is detailed balance
for couplings of any sign (Swendsen & Wang 1987, Wolff 1989); in a frustrated model it is right, but of little use.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from sciml_zoo.ising._sampling_kernels import draw

__all__ = ["exchange_cluster", "measure_rows", "run_swendsen_wang", "run_wolff"]

Array = NDArray[Any]


@numba.njit(cache=True, nogil=True)
def _below(state: Array, n: int) -> Any:
    # 32 bits scaled to 0 … n − 1; uneven by less than n/2³².
    return (np.uint64(draw(state)) * np.uint64(n)) >> np.uint64(32)


@numba.njit(cache=True, nogil=True)
def _wolff(
    indptr: Array, indices: Array, signs: Array, chances: Array, spins: Array, state: Array, stack: Array, mark: Array
) -> int:
    mark[:] = False
    start = np.int64(_below(state, len(spins)))
    mark[start] = True
    stack[0] = start
    size, done = 1, 0
    while done < size:
        i = stack[done]
        done += 1
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if not mark[j] and signs[k] * spins[i] * spins[j] > 0 and np.uint64(draw(state)) < chances[k]:
                mark[j] = True
                stack[size] = j
                size += 1
    for k in range(size):
        spins[stack[k]] = -spins[stack[k]]
    return size


@numba.njit(cache=True, nogil=True)
def run_wolff(
    graph: tuple[Array, Array, Array, Array],
    spins: Array,
    state: Array,
    clusters: int,
    thin: int,
    recorded: Array,
) -> int:
    """Turns ``clusters`` clusters over a sweep and records every ``thin``-th sweep.

    Args:
        graph: CSR of the couplings with the ghost: ``indptr``, ``indices``, ``signs``, ``chances``.
        spins: [n + 1], changed in place.
        state: SFC32 [4], changed in place.
        clusters: in a sweep.
        thin: sweeps between two records.
        recorded: out int8 [kept, n], each spin times the ghost.

    Returns:
        The number of spins turned over.
    """
    n = len(spins) - 1
    stack = np.empty(n + 1, np.int64)
    mark = np.zeros(n + 1, np.bool_)
    turned = 0
    for step in range(len(recorded)):
        for _ in range(thin * clusters):
            turned += _wolff(graph[0], graph[1], graph[2], graph[3], spins, state, stack, mark)
        for i in range(n):
            recorded[step, i] = spins[i] * spins[n]
    return turned


@numba.njit(cache=True, nogil=True)
def _root(parent: Array, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(cache=True, nogil=True)
def run_swendsen_wang(
    bonds: tuple[Array, Array, Array, Array],
    spins: Array,
    state: Array,
    thin: int,
    recorded: Array,
) -> int:
    """Splits the spins into clusters, turns each over with chance ½, and records every ``thin``-th such sweep.

    Args:
        bonds: ends i and j, ``signs`` and ``chances`` of every bond [m], the ghost's included.
        spins: [n + 1], changed in place.
        state: SFC32 [4], changed in place.
        thin: sweeps between two records.
        recorded: out int8 [kept, n], each spin times the ghost.

    Returns:
        The number of spins turned over.
    """
    first, second, signs, chances = bonds
    n = len(spins) - 1
    parent = np.empty(n + 1, np.int64)
    turn = np.empty(n + 1, np.bool_)
    turned = 0
    for step in range(len(recorded)):
        for _ in range(thin):
            for i in range(n + 1):
                parent[i] = i
            for k in range(len(first)):
                i, j = first[k], second[k]
                if signs[k] * spins[i] * spins[j] > 0 and np.uint64(draw(state)) < chances[k]:
                    a, b = _root(parent, i), _root(parent, j)
                    parent[max(a, b)] = min(a, b)
            for i in range(n + 1):
                turn[i] = draw(state) & np.uint32(0x80000000) != 0
            for i in range(n + 1):
                if turn[_root(parent, i)]:
                    spins[i] = -spins[i]
                    turned += 1
        for i in range(n):
            recorded[step, i] = spins[i] * spins[n]
    return turned


@numba.njit(cache=True, nogil=True)
def exchange_cluster(
    indptr: Array,
    indices: Array,
    free: Array,
    symmetric: bool,
    spins: Array,
    a: int,
    b: int,
    state: Array,
    stack: Array,
    mark: Array,
) -> tuple[int, int]:
    """Exchanges one cluster of disagreeing spins between replicas a and b of one temperature (Houdayer 2001).

    E(a) + E(b) stays, and so does the overlap, so that the move is always accepted. Without fields E(s) = E(−s), and
    where more than half of the spins differ, the cluster is one of agreeing spins: the same move with b turned over
    as a whole, which keeps the cluster small (Zhu, Ochoa & Katzgraber 2015).

    Args:
        indptr: CSR of the couplings.
        indices: CSR of the couplings.
        free: the spins that are not clamped.
        symmetric: whether E(s) = E(−s) and no spin is clamped.
        spins: [n, R], changed in place.
        a: a replica.
        b: another.
        state: SFC32 [4], changed in place.
        stack: scratch int64 [n].
        mark: scratch bool [n], all False before and after.

    Returns:
        How many spins were turned over in both replicas, and of how many of their kind.
    """
    differing = 0
    for k in range(len(free)):
        differing += spins[free[k], a] != spins[free[k], b]
    agreeing = symmetric and 2 * differing > len(free)
    found = 0
    for k in range(len(free)):
        i = free[k]
        if (spins[i, a] == spins[i, b]) == agreeing:
            mark[i] = True
            stack[found] = i
            found += 1
    if found == 0:
        return 0, 0
    start = stack[np.int64(_below(state, found))]
    mark[start] = False
    stack[0] = start
    size, done = 1, 0
    while done < size:
        i = stack[done]
        done += 1
        spins[i, a] = -spins[i, a]
        spins[i, b] = -spins[i, b]
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if mark[j]:
                mark[j] = False
                stack[size] = j
                size += 1
    for k in range(len(free)):
        mark[free[k]] = False
    return size, found


@numba.njit(cache=True, nogil=True)
def measure_rows(
    upper: tuple[Array, Array, Array, Array],
    probe: tuple[Array, Array, Array, Array],
    spins: Array,
    energies: Array,
    magnetisation: Array,
    probes: Array,
) -> None:
    """Measures recorded states [kept, n]: energies without the constant, mean spins and probes, all [kept]."""
    n = spins.shape[1]
    for step in range(len(spins)):
        s = spins[step]
        energy, watched, total = 0.0, 0.0, 0
        for i in range(n):
            field, other = upper[3][i], probe[3][i]
            for k in range(upper[0][i], upper[0][i + 1]):
                field += upper[2][k] * s[upper[1][k]]
                other += probe[2][k] * s[upper[1][k]]
            energy -= field * s[i]
            watched -= other * s[i]
            total += s[i]
        energies[step], probes[step], magnetisation[step] = energy, watched, total / n
