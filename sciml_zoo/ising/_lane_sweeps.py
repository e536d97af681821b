"""Compiled loops over the lanes: sweeps, energies, replica exchange and isoenergetic cluster moves."""

import numba
import numpy as np

from sciml_zoo.ising._lanes import LANES, update_unit, update_weighted
from sciml_zoo.ising._xorshift import uniform

__all__ = ["anneal_lanes", "lane_energies", "temper_lanes"]

_jit = numba.njit(cache=True, nogil=True)


@_jit
def _sweep(starts, middles, neighbours, values, fields, unit, spins, half_temperature, state, change):
    """Offers every spin of all lanes a Metropolis flip, in order; adds s·field of flips (half of ΔE) to ``change``."""
    for i in range(spins.shape[0]):
        if unit > 0:
            update_unit(
                spins,
                neighbours,
                half_temperature,
                state,
                change,
                i,
                starts[i],
                middles[i],
                starts[i + 1],
                unit,
                fields[i],
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
def _cluster_cost(starts, neighbours, values, fields, spins, lane, stack, size, mark):
    """Returns the change of energy if the marked cluster were turned in a lane."""
    cost = 0.0
    for position in range(size):
        i = stack[position]
        outside = np.float64(fields[i])
        for k in range(starts[i], starts[i + 1]):
            j = np.int64(neighbours[k])
            if not mark[j]:
                outside += values[k] * spins[j, lane]
        cost += 2.0 * outside * spins[i, lane]
    return cost


@_jit
def _exchange_cluster(
    starts, neighbours, values, fields, bone_starts, bones, spins, energies, a, b, beta, random, stack, mark
):
    """Returns whether Houdayer\'s move on lanes a and b of one temperature exchanged anything.

    One cluster of spins that differ between the two, connected by ``bones``, is exchanged. If the bones are all bonds
    the sum of the energies stays; else the change is accepted or not as Metropolis would.
    """
    n = spins.shape[0]
    first = -1
    offset = int(uniform(random) * n)
    for step in range(n):
        i = offset + step
        if i >= n:
            i -= n
        if spins[i, a] != spins[i, b]:
            first = i
            break
    if first < 0:
        return False
    size, done = 1, 0
    stack[0] = first
    mark[first] = True
    while done < size:
        i = stack[done]
        done += 1
        for k in range(bone_starts[i], bone_starts[i + 1]):
            j = np.int64(bones[k])
            if spins[j, a] != spins[j, b] and not mark[j]:
                mark[j] = True
                stack[size] = j
                size += 1
    cost = _cluster_cost(starts, neighbours, values, fields, spins, a, stack, size, mark)
    other = -cost
    if bones.shape[0] != neighbours.shape[0]:
        other = _cluster_cost(starts, neighbours, values, fields, spins, b, stack, size, mark)
    accept = cost + other <= 0 or uniform(random) < np.exp(-beta * (cost + other))
    for position in range(size):
        i = stack[position]
        mark[i] = False
        if accept:
            spins[i, a], spins[i, b] = spins[i, b], spins[i, a]
    if accept:
        energies[a] += cost
        energies[b] += other
    return accept


@_jit
def temper_lanes(
    starts, middles, neighbours, values, fields, unit, bone_starts, bones,
    spins, state, energies, betas, lane_at, random, n_rounds, parity, cluster_levels, clusters_per_pair, tolerance,
    best, best_spins, exchanges, accepted,
):  # fmt: skip
    """Rounds of one sweep, isoenergetic moves at the coldest levels, and exchanges between neighbouring levels.

    Args as in the module: spins [n, lanes]; energies float64 [lanes]; betas [levels]; lane_at [levels, copies] the
    lane that is copy c of a level; best [1] the lowest energy seen, replaced where one is lower by more than
    ``tolerance``; exchanges float64 [levels − 1] sums of acceptance probabilities; accepted [levels] sums of
    exchanged clusters.
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
                for _ in range(clusters_per_pair):
                    accepted[level] += _exchange_cluster(
                        starts, neighbours, values, fields, bone_starts, bones,
                        spins, energies, a, b, betas[level], random, stack, mark,
                    )  # fmt: skip
        for lane in range(LANES):
            if energies[lane] < best[0] - tolerance:
                best[0] = energies[lane]
                for i in range(spins.shape[0]):
                    best_spins[i] = spins[i, lane]
        for level in range((round_ + parity) % 2, levels - 1, 2):
            for copy in range(copies):
                other = int(uniform(random) * copies)
                a, b = lane_at[level, copy], lane_at[level + 1, other]
                gain = (betas[level + 1] - betas[level]) * (energies[b] - energies[a])
                chance = 1.0 if gain >= 0 else np.exp(gain)
                exchanges[level] += chance / copies
                if uniform(random) < chance:
                    lane_at[level, copy], lane_at[level + 1, other] = b, a
