"""Kernels of exact enumeration: all states of up to 26 spins, the high spins by Gray code, the low ones as a block.

State k has s_i = +1 where bit i of k is 1. The low b spins make a block of 2^b states whose energies differ, from one
setting of the high spins to the next, only by the field that those exert:

    E(k) = E_low(l) + E_high − Σ_{i<b} f_i s_i,    f_i = Σ_{j≥b} J_ij s_j

| symbol | here |
|---|---|
| J, h | ``couplings`` dense [n, n], ``fields`` [n] |
| l, b | state of the low spins, ``n_low`` |
| f | ``field`` [b], kept up to date by one flip a step |
| β | ``beta`` |
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["block_energies", "gray_minimum", "gray_sums"]

Floats = NDArray[np.float64]


@numba.njit(cache=True, nogil=True)
def block_energies(couplings: Floats, fields: Floats, n_low: int) -> Floats:
    """Returns the energies [2^n_low] of the low spins among themselves, each state from one with fewer spins."""
    energies = np.zeros(1 << n_low)
    local = np.zeros(1 << n_low)
    for i in range(n_low):
        # The field on spin i of every state of the spins below it.
        local[0] = fields[i]
        for j in range(i):
            local[0] -= couplings[i, j]
        for j in range(i):
            half = 1 << j
            for k in range(half):
                local[half + k] = local[k] + 2.0 * couplings[i, j]
        half = 1 << i
        for k in range(half):
            energies[half + k] = energies[k] - local[k]
            energies[k] += local[k]
    return energies


@numba.njit(cache=True, nogil=True)
def _trailing_zeros(step: int) -> int:
    count = 0
    while step & 1 == 0:
        step >>= 1
        count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _block(low: Floats, field: Floats, high_energy: float, n_low: int, scratch: Floats) -> float:
    """Returns the smallest energy of a block, and leaves all of them in ``scratch``."""
    scratch[0] = high_energy
    for i in range(n_low):
        scratch[0] += field[i]
    for i in range(n_low):
        half = 1 << i
        shift = 2.0 * field[i]
        for k in range(half):
            scratch[half + k] = scratch[k] - shift
    lowest = np.inf
    for k in range(1 << n_low):
        scratch[k] += low[k]
        lowest = min(lowest, scratch[k])
    return lowest


@numba.njit(cache=True, nogil=True)
def _start(couplings: Floats, fields: Floats, n_low: int) -> tuple[Floats, Floats, float]:
    """Returns the high spins (all −1), the field that they exert on the low ones, and their own energy."""
    n = len(fields)
    spins = -np.ones(n)
    field = np.zeros(n_low)
    energy = 0.0
    for j in range(n_low, n):
        energy += fields[j]
        for i in range(n_low):
            field[i] -= couplings[i, j]
        for i in range(n_low, j):
            energy -= couplings[i, j]
    return spins, field, energy


@numba.njit(cache=True, nogil=True)
def _flip(couplings: Floats, fields: Floats, n_low: int, j: int, spins: Floats, field: Floats, energy: float) -> float:
    """Returns the energy of the high spins after a flip of spin j; spins and field are updated."""
    local = fields[j]
    for i in range(n_low, len(fields)):
        local += couplings[j, i] * spins[i]
    energy += 2.0 * spins[j] * local
    spins[j] = -spins[j]
    for i in range(n_low):
        field[i] += 2.0 * couplings[i, j] * spins[j]
    return energy


@numba.njit(cache=True, nogil=True)
def gray_minimum(
    couplings: Floats, fields: Floats, n_low: int, tolerance: float, ground: NDArray[np.int64]
) -> tuple[float, int]:
    """Finds the lowest energy and the states that have it.

    Args:
        couplings: J [n, n].
        fields: h [n].
        n_low: spins in a block.
        tolerance: energies closer than this are the same.
        ground: filled with the first states found.

    Returns:
        The lowest energy, and how many states have it.
    """
    low = block_energies(couplings, fields, n_low)
    scratch = np.empty(1 << n_low)
    spins, field, energy = _start(couplings, fields, n_low)
    best, count, gray = np.inf, 0, 0
    for step in range(1 << (len(fields) - n_low)):
        if step > 0:
            bit = _trailing_zeros(step)
            gray ^= 1 << bit
            energy = _flip(couplings, fields, n_low, n_low + bit, spins, field, energy)
        lowest = _block(low, field, energy, n_low, scratch)
        if lowest > best + tolerance:
            continue
        if lowest < best - tolerance:
            best, count = lowest, 0
        for k in range(1 << n_low):
            if scratch[k] <= best + tolerance:
                if count < len(ground):
                    ground[count] = (gray << n_low) | k
                count += 1
    return best, count


@numba.njit(cache=True, nogil=True)
def gray_sums(
    couplings: Floats, fields: Floats, n_low: int, beta: float
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
    """Sums Boltzmann weights over all states, block by block.

    Args:
        couplings: J [n, n].
        fields: h [n].
        n_low: spins in a block.
        beta: inverse temperature, not negative.

    Returns:
        For each setting of the high spins, by its state: the lowest energy of the block [2^(n−b)]; with weights
        w = exp(−β (E − lowest)): Σ w [2^(n−b)]; Σ w (E − lowest) [2^(n−b)]; Σ w (E − lowest)² [2^(n−b)];
        Σ w s_i [2^(n−b), b]; and Σ exp(−β (E − lowest of all)) over the high spins, for each low state [2^b].
    """
    n_blocks, size = 1 << (len(fields) - n_low), 1 << n_low
    minimum, weight, first, second = np.empty(n_blocks), np.empty(n_blocks), np.empty(n_blocks), np.empty(n_blocks)
    spin_sums = np.empty((n_blocks, n_low))
    low_weight = np.zeros(size)
    low = block_energies(couplings, fields, n_low)
    scratch = np.empty(size)
    spins, field, energy = _start(couplings, fields, n_low)
    reference, gray = np.inf, 0
    for step in range(n_blocks):
        if step > 0:
            bit = _trailing_zeros(step)
            gray ^= 1 << bit
            energy = _flip(couplings, fields, n_low, n_low + bit, spins, field, energy)
        lowest = _block(low, field, energy, n_low, scratch)
        if lowest < reference:
            if step > 0:
                low_weight *= np.exp(-beta * (reference - lowest))
            reference = lowest
        factor = np.exp(-beta * (lowest - reference))
        sum_first, sum_second = 0.0, 0.0
        for k in range(size):
            excess = scratch[k] - lowest
            w = np.exp(-beta * excess)
            scratch[k] = w
            low_weight[k] += factor * w
            sum_first += w * excess
            sum_second += w * excess * excess
        # Folding the block on its highest spin gives that spin's sum and leaves a block of half the size.
        for i in range(n_low - 1, -1, -1):
            half = 1 << i
            difference = 0.0
            for k in range(half):
                difference += scratch[half + k] - scratch[k]
                scratch[k] += scratch[half + k]
            spin_sums[gray, i] = difference
        minimum[gray], weight[gray], first[gray], second[gray] = lowest, scratch[0], sum_first, sum_second
    return minimum, weight, first, second, spin_sums, low_weight
