"""Compiled single-spin updates of many replicas at once, the replica index innermost.

A spin i of replica r is turned over with a chance that depends on the energy that this would cost:

    x = 2 β s_i (Σ_j J_ij s_j + h_i)        heat bath: 1 / (1 + eˣ)        Metropolis: a·min(1, e⁻ˣ)

and both are one comparison, u·max(c + eˣ, 1) < a, with c = a = 1 for the heat bath and c = 0 for Metropolis.

| symbol | here | shape |
|---|---|---|
| J | ``indptr``, ``indices``, ``weights`` (CSR) | [n + 1], [nnz], [nnz] |
| h | ``fields`` | [n] |
| s | ``spins``, int8, replica innermost | [n, R] |
| β | ``betas``, of every replica its own | [R] |
| u | uniform in (0, 1), from one SFC32 generator a replica | ``states`` [4, R] |
| c, a | ``shift``, ``ceiling`` | scalars |

Accuracy: local fields are summed in float32, afresh at every visit, so they are exact where couplings and fields are
integers (or share a power of two) below 2²⁴ and else carry a relative error of 6e-8 of the largest partial sum. Of a
turn and its reverse, the rarer has a relative error of about (1 + |x|)·1e-7, and chances below 2⁻³² count as zero.
No floating-point operation is reordered, so a replica's path is the same bit for bit whichever replicas share its
block. Energies are summed in float64.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["colour_spins", "draw", "magnetise", "measure", "random_spins", "random_states", "run_lanes", "sweep_lanes"]

Array = NDArray[Any]


@intrinsic
def _float_of_bits(typingctx: Any, bits: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(numba.float32))

    return numba.float32(numba.int32), codegen


@numba.njit(cache=True, nogil=True, inline="always")
def exponential(x: float) -> float:
    """Returns eˣ in float32, |x| ≤ 80, to a relative error of (1 + |x|)·1e-7; it vectorises, which libm's does not."""
    t = x * np.float32(1.4426950408889634)
    shifted = np.int32(t + np.float32(128.5))
    f = t - (np.float32(shifted) - np.float32(128.0))  # in ±½
    y = np.float32(1.535336188319500e-4)  # 2ᶠ: the minimax polynomial of S. Moshier's Cephes
    y = y * f + np.float32(1.339887440266574e-3)
    y = y * f + np.float32(9.618437357674640e-3)
    y = y * f + np.float32(5.550332471162809e-2)
    y = y * f + np.float32(2.402264791363012e-1)
    y = y * f + np.float32(6.931472028550421e-1)
    y = y * f + np.float32(1.0)
    return y * _float_of_bits(np.int32(np.int32(shifted - np.int32(1)) << np.int32(23)))


def random_states(seed: int, stream: int, replicas: Array) -> NDArray[np.uint32]:
    """Returns SFC32 states [4, R], a replica's own being a function of (seed, stream, replica) alone.

    Args:
        seed: of the run, any integer.
        stream: what the numbers are for.
        replicas: numbers of the replicas [R].

    Returns:
        States [4, R].
    """
    key = _mixed(np.array([seed % 2**64], dtype=np.uint64))
    key = _mixed(key + np.uint64(stream))
    key = _mixed(key + np.asarray(replicas, dtype=np.uint64))
    first, second = _mixed(key + np.uint64(1)), _mixed(key + np.uint64(2))
    low = np.uint64(0xFFFFFFFF)
    parts = [first & low, first >> np.uint64(32), second & low, np.ones_like(first)]
    states = np.ascontiguousarray(np.stack(parts).astype(np.uint32))
    _stir(states)
    return states


@numba.njit(cache=True, nogil=True)
def _stir(states: Array) -> None:
    # SFC32 needs a few steps until close seeds are far apart.
    for r in range(states.shape[1]):
        for _ in range(12):
            draw(states[:, r])


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The output function of splitmix64 (Steele, Lea & Flood 2014).
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def draw(state: Array) -> Any:
    """Returns the next 32 random bits of one SFC32 state [4] (C. Doty-Humphrey, PractRand)."""
    a, b, c, d = state[0], state[1], state[2], state[3]
    bits = np.uint32(np.uint32(a + b) + d)
    state[0] = np.uint32(b ^ (b >> np.uint32(9)))
    state[1] = np.uint32(c + np.uint32(c << np.uint32(3)))
    state[2] = np.uint32(np.uint32(np.uint32(c << np.uint32(21)) | (c >> np.uint32(11))) + bits)
    state[3] = np.uint32(d + np.uint32(1))
    return bits


@numba.njit(cache=True, nogil=True)
def random_spins(spins: Array, states: Array) -> None:
    """Fills ``spins`` [n, R] at random, replica r from ``states[:, r]``."""
    for r in range(spins.shape[1]):
        for i in range(spins.shape[0]):
            spins[i, r] = np.int8(1) if draw(states[:, r]) & np.uint32(0x80000000) else np.int8(-1)


@numba.njit(cache=True, nogil=True)
def sweep_lanes(
    indptr: Array,
    indices: Array,
    weights: Array,
    fields: Array,
    order: Array,
    betas: Array,
    spins: Array,
    states: Array,
    turned: Array,
    local: Array,
    shift: float,
    ceiling: float,
) -> None:
    """Visits the spins of ``order`` once in every replica; adds to ``turned`` [R] how many turned over."""
    n_lanes = spins.shape[1]
    half = np.float32(0.5)
    scale = np.float32(2.3283064365386963e-10)  # 2⁻³²
    one = np.float32(1.0)
    for position in range(len(order)):
        i = order[position]
        h = fields[i]
        for r in range(n_lanes):
            local[r] = h
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            w = weights[k]
            for r in range(n_lanes):
                local[r] += w * np.float32(spins[j, r])
        for r in range(n_lanes):
            # SFC32, as in draw(): written out, because only then does LLVM vectorise the loop.
            a, b, c, d = states[0, r], states[1, r], states[2, r], states[3, r]
            bits = np.uint32(np.uint32(a + b) + d)
            states[0, r] = np.uint32(b ^ (b >> np.uint32(9)))
            states[1, r] = np.uint32(c + np.uint32(c << np.uint32(3)))
            states[2, r] = np.uint32(np.uint32(np.uint32(c << np.uint32(21)) | (c >> np.uint32(11))) + bits)
            states[3, r] = np.uint32(d + np.uint32(1))
            u = (np.float32(bits) + half) * scale
            s = spins[i, r]
            x = np.float32(2.0) * betas[r] * local[r] * np.float32(s)
            x = x if x < np.float32(80.0) else np.float32(80.0)
            x = x if x > np.float32(-80.0) else np.float32(-80.0)
            chance = shift + exponential(x)
            chance = chance if chance > one else one
            turn = u * chance < ceiling
            spins[i, r] = np.int8(-s) if turn else s
            turned[r] = np.int32(turned[r] + np.int32(turn))


@numba.njit(cache=True, nogil=True)
def measure(
    indptr: Array, indices: Array, weights: Array, fields: Array, spins: Array, local: Array, energies: Array
) -> None:
    """Writes −Σ_{i<j} J s s − Σ h s of every replica to ``energies`` [R], from the upper triangle of J, in float64."""
    n_lanes = spins.shape[1]
    for r in range(n_lanes):
        energies[r] = 0.0
    for i in range(len(fields)):
        h = fields[i]
        for r in range(n_lanes):
            local[r] = h
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            w = weights[k]
            for r in range(n_lanes):
                local[r] += w * np.float64(spins[j, r])
        for r in range(n_lanes):
            energies[r] -= local[r] * np.float64(spins[i, r])


@numba.njit(cache=True, nogil=True)
def magnetise(spins: Array, sums: Array, out: Array) -> None:
    """Writes the mean spin of every replica to ``out`` [R]; ``sums`` int32 [R] is scratch."""
    n, n_lanes = spins.shape
    for r in range(n_lanes):
        sums[r] = np.int32(0)
    for i in range(n):
        for r in range(n_lanes):
            sums[r] = np.int32(sums[r] + np.int32(spins[i, r]))
    for r in range(n_lanes):
        out[r] = sums[r] / n


@numba.njit(cache=True, nogil=True)
def run_lanes(
    graph: tuple[Array, Array, Array, Array],
    upper: tuple[Array, Array, Array, Array],
    probe: tuple[Array, Array, Array, Array],
    order: Array,
    betas: Array,
    spins: Array,
    states: Array,
    turned: Array,
    shift: float,
    ceiling: float,
    thin: int,
    energies: Array,
    magnetisation: Array,
    probes: Array,
    recorded: Array,
) -> None:
    """Runs ``len(energies)``·``thin`` sweeps and records every ``thin``-th.

    Args:
        graph: CSR of J (both triangles) and h, in float32.
        upper: CSR of the upper triangle of J and h, in float64.
        probe: the same of the random Hamiltonian that diagnostics watch.
        order: the spins to visit.
        betas: [R].
        spins: [n, R], changed in place.
        states: [4, R], changed in place.
        turned: int64 [R], added to.
        shift: c.
        ceiling: a.
        thin: sweeps between two records.
        energies: out [kept, R].
        magnetisation: out [kept, R].
        probes: out [kept, R].
        recorded: out int8 [kept, R, n], or [0, R, n] to record no spins.
    """
    n, n_lanes = spins.shape
    local = np.empty(n_lanes, np.float32)
    local_double = np.empty(n_lanes, np.float64)
    count = np.empty(n_lanes, np.int32)
    for step in range(energies.shape[0]):
        for _ in range(thin):
            count[:] = 0
            sweep_lanes(
                graph[0], graph[1], graph[2], graph[3], order, betas, spins, states, count, local, shift, ceiling
            )
            for r in range(n_lanes):
                turned[r] += count[r]
        measure(upper[0], upper[1], upper[2], upper[3], spins, local_double, energies[step])
        measure(probe[0], probe[1], probe[2], probe[3], spins, local_double, probes[step])
        magnetise(spins, count, magnetisation[step])
        if step < recorded.shape[0]:
            for r in range(n_lanes):
                for i in range(n):
                    recorded[step, r, i] = spins[i, r]


@numba.njit(cache=True, nogil=True)
def colour_spins(indptr: Array, indices: Array, free: Array) -> Array:
    """Returns a greedy colouring of the spins ``free`` [n]: no two coupled ones share a colour; −1 for the others."""
    n = len(indptr) - 1
    colours = np.full(n, -1, np.int64)
    last_seen = np.full(n + 1, -1, np.int64)
    for position in range(len(free)):
        i = free[position]
        for k in range(indptr[i], indptr[i + 1]):
            colour = colours[indices[k]]
            if colour >= 0:
                last_seen[colour] = i
        colour = 0
        while last_seen[colour] == i:
            colour += 1
        colours[i] = colour
    return colours
