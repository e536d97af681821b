"""Compiled loops over the lanes: sweeps, energies, replica exchange and isoenergetic cluster moves."""

import numba
import numpy as np

from sciml_zoo.ising._lanes import LANES, update_unit, update_weighted

__all__ = ["anneal_lanes", "lane_energies", "temper_lanes"]

_jit = numba.njit(cache=True, nogil=True)
# Improvements below this part of the energy's scale are rounding.
_SAME = 1e-6


@_jit
def _sweep(starts, middles, neighbours, values, fields, unit, spins, half_temperature, state, change):
    """Offers every spin of all lanes a Metropolis flip, in order; adds s·field of flips (half of ΔE) to ``change``."""
    for i in range(spins.shape[0]):
        if unit > 0:
            update_unit(
                spins, neighbours, half_temperature, state, change, i, starts[i], middles[i], starts[i + 1], unit, fields[i]
            )
        else:
            update_weighted(
                spins, neighbours, values, half_temperature, state, change, i, starts[i], starts[i + 1], fields[i]
            )


@_jit
def lane_energies(starts, neighbours, values, fields, spins, energies):
    """Writes the energy of each lane without the offset, float64 [lanes]."""
    lanes = spins.shape[1]
    energies[:] = 0.0
    local = np.empty(lanes, np.float32)
    for i in range(spins.shape[0]):
        local[:] = np.float32(2.0) * fields[i]
        for k in range(starts[i], starts[i + 1]):
            w = values[k]
            row = spins[np.int64(neighbours[k])]
            for lane in range(lanes):
                local[lane] += w * row[lane]
        for lane in range(lanes):
            energies[lane] -= 0.5 * local[lane] * spins[i, lane]


@_jit
def anneal_lanes(starts, middles, neighbours, values, fields, unit, spins, state, half_temperatures):
    """Sweeps all lanes once at each temperature: ``half_temperatures`` float32 [sweeps], T/2."""
    half = np.empty(LANES, np.float32)
    change = np.zeros(LANES, np.float32)
    for sweep in range(half_temperatures.shape[0]):
        half[:] = half_temperatures[sweep]
        _sweep(starts, middles, neighbours, values, fields, unit, spins, half, state, change)


@_jit
def _uniform(state):
    """A number in [0, 1) from a xorshift64* state [1] (Vigna 2016)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.float64((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(11)) / 9007199254740992.0


@_jit
def _isoenergetic(starts, neighbours, values, fields, spins, a, b, random, stack, mark):
    """Houdayer's move on lanes a and b; returns the change of energy of a (that of b is its negative).

    One cluster of spins that differ between the two replicas is exchanged: the sum of both energies stays the same.
    """
    n = spins.shape[0]
    first = -1
    offset = int(_uniform(random) * n)
    for step in range(n):
        i = offset + step
        if i >= n:
            i -= n
        if spins[i, a] != spins[i, b]:
            first = i
            break
    if first < 0:
        return 0.0
    size = 1
    stack[0] = first
    mark[first] = True
    done = 0
    cost = 0.0
    while done < size:
        i = stack[done]
        done += 1
        outside = np.float64(fields[i])
        for k in range(starts[i], starts[i + 1]):
            j = np.int64(neighbours[k])
            if spins[j, a] == spins[j, b]:
                outside += values[k] * spins[j, a]
            elif not mark[j]:
                mark[j] = True
                stack[size] = j
                size += 1
        cost += 2.0 * outside * spins[i, a]
    for k in range(size):
        i = stack[k]
        mark[i] = False
        spins[i, a], spins[i, b] = spins[i, b], spins[i, a]
    return cost


@_jit
def temper_lanes(
    starts, middles, neighbours, values, fields, unit,
    spins, state, energies, betas, lane_at, random, n_rounds, parity, cluster_levels, energy_scale,
    best, best_spins, exchanges, accepted,
):  # fmt: skip
    """Rounds of one sweep, isoenergetic moves at the coldest levels, and exchanges between neighbouring levels.

    Args as in the module: spins [n, lanes]; energies float64 [lanes]; betas [levels]; lane_at [levels, copies] the
    lane that is copy c of a level; best [2] = energy and the round of it; exchanges float64 [levels − 1] sums of
    acceptance probabilities; accepted [levels] sums of isoenergetic moves.
    """
    levels, copies = lane_at.shape
    half = np.empty(LANES, np.float32)
    change = np.empty(LANES, np.float32)
    stack = np.empty(spins.shape[0], np.int64)
    mark = np.zeros(spins.shape[0], np.bool_)
    for round_ in range(n_rounds):
        for level in range(levels):
            for copy in range(copies):
                half[lane_at[level, copy]] = 0.5 / betas[level]
        change[:] = 0
        _sweep(starts, middles, neighbours, values, fields, unit, spins, half, state, change)
        for lane in range(LANES):
            energies[lane] += 2.0 * change[lane]
        for level in range(levels - cluster_levels, levels):
            for pair in range(copies // 2):
                a, b = lane_at[level, 2 * pair], lane_at[level, 2 * pair + 1]
                cost = _isoenergetic(starts, neighbours, values, fields, spins, a, b, random, stack, mark)
                energies[a] += cost
                energies[b] -= cost
                accepted[level] += cost != 0.0
        for lane in range(LANES):
            if energies[lane] < best[0] - _SAME * energy_scale:
                best[0] = energies[lane]
                best[1] = round_ + 1
                for i in range(spins.shape[0]):
                    best_spins[i] = spins[i, lane]
        for level in range((round_ + parity) % 2, levels - 1, 2):
            for copy in range(copies):
                other = int(_uniform(random) * copies)
                a, b = lane_at[level, copy], lane_at[level + 1, other]
                gain = (betas[level + 1] - betas[level]) * (energies[b] - energies[a])
                chance = 1.0 if gain >= 0 else np.exp(gain)
                exchanges[level] += chance / copies
                if _uniform(random) < chance:
                    lane_at[level, copy], lane_at[level + 1, other] = b, a
