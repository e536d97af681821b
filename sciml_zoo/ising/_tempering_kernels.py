"""Compiled parallel tempering: sweeps of all temperatures at once, then exchanges between neighbours.

A lane is one configuration; lane ``lane_of[c, t]`` is that of chain c at inverse temperature β_t now. Exchanges swap
the temperatures of two lanes and leave the spins where they are. Even and odd pairs of neighbours take turns
(deterministic even-odd scheme; Syed, Bouchard-Côté, Deligiannidis & Doucet 2022).

| symbol | here | shape |
|---|---|---|
| β_t, hottest first | ``ladder`` | [T] |
| min(1, exp((β_t+1 − β_t)(E_t+1 − E_t))), summed | ``accepted`` | [C, T − 1] |
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from sciml_zoo.ising._cluster_kernels import exchange_cluster
from sciml_zoo.ising._sampling_kernels import draw, magnetise, measure, sweep_lanes

__all__ = ["run_ladder"]

Array = NDArray[Any]


@numba.njit(cache=True, nogil=True)
def run_ladder(
    graph: tuple[Array, Array, Array, Array],
    upper: tuple[Array, Array, Array, Array],
    probe: tuple[Array, Array, Array, Array],
    order: Array,
    ladder: Array,
    lane_of: Array,
    spins: Array,
    states: Array,
    exchange_states: Array,
    with_clusters: Array,
    symmetric: bool,
    begun: int,
    thin: int,
    counts: tuple[Array, Array, Array, Array, Array, Array],
    energies: Array,
    magnetisation: Array,
    probes: Array,
    recorded: Array,
) -> None:
    """Runs ``len(energies)``·``thin`` rounds of sweep, cluster exchange and temperature exchange.

    Args:
        graph: CSR of J (both triangles) and h, in float32.
        upper: CSR of the upper triangle of J and h, in float64.
        probe: the same of the random Hamiltonian that diagnostics watch.
        order: the spins to visit.
        ladder: β [T], rising.
        lane_of: [C, T], changed in place.
        spins: [n, C·T], changed in place.
        states: SFC32 of the lanes [4, C·T], changed in place.
        exchange_states: SFC32 of the chains [4, C], changed in place.
        with_clusters: whether chains 2p and 2p + 1 exchange clusters at β_t [C // 2, T].
        symmetric: whether E(s) = E(−s) and no spin is clamped.
        begun: rounds already run, of which the parity counts.
        thin: rounds between two records.
        counts: ``turned`` int64 [C·T], ``accepted`` [C, T − 1] with the tries in ``tried`` int64 [C, T − 1],
            ``trips`` int64 [C] with the direction of the lanes in ``bound`` int8 [C·T], and ``shares`` [2, C // 2, T],
            summed sizes of the clusters as a share of the spins they were chosen from, and their number; all added to.
        energies: out [kept, C, T].
        magnetisation: out [kept, C, T].
        probes: out [kept, C], coldest only.
        recorded: out int8 [kept, C, n], coldest only, or [0, C, n].
    """
    turned, accepted, tried, trips, bound, shares = counts
    n, n_lanes = spins.shape
    n_chains, n_rungs = lane_of.shape
    betas = np.empty(n_lanes, np.float32)
    for c in range(n_chains):
        for t in range(n_rungs):
            betas[lane_of[c, t]] = np.float32(ladder[t])
    local = np.empty(n_lanes, np.float32)
    local_double = np.empty(n_lanes, np.float64)
    count = np.empty(n_lanes, np.int32)
    energy = np.empty(n_lanes, np.float64)
    means = np.empty(n_lanes, np.float64)
    stack = np.empty(n, np.int64)
    mark = np.zeros(n, np.bool_)
    heat_bath = np.float32(1.0)
    for step in range(energies.shape[0]):
        for inner in range(thin):
            count[:] = 0
            sweep_lanes(
                graph[0], graph[1], graph[2], graph[3], order, betas, spins, states, count, local, heat_bath, heat_bath
            )
            for r in range(n_lanes):
                turned[r] += count[r]
            for p in range(with_clusters.shape[0]):
                for t in range(n_rungs):
                    if with_clusters[p, t]:
                        a, b = lane_of[2 * p, t], lane_of[2 * p + 1, t]
                        size, found = exchange_cluster(
                            graph[0], graph[1], order, symmetric, spins, a, b, exchange_states[:, 2 * p], stack, mark
                        )
                        if found > 0:
                            shares[0, p, t] += size / found
                            shares[1, p, t] += 1.0
            measure(upper[0], upper[1], upper[2], upper[3], spins, local_double, energy)
            parity = (begun + step * thin + inner) % 2
            for c in range(n_chains):
                for t in range(parity, n_rungs - 1, 2):
                    hot, cold = lane_of[c, t], lane_of[c, t + 1]
                    exponent = (ladder[t + 1] - ladder[t]) * (energy[cold] - energy[hot])
                    chance = np.exp(exponent) if exponent < 0.0 else 1.0
                    accepted[c, t] += chance
                    tried[c, t] += 1
                    if (np.float64(draw(exchange_states[:, c])) + 0.5) * 2.3283064365386963e-10 < chance:
                        lane_of[c, t], lane_of[c, t + 1] = cold, hot
                        betas[hot], betas[cold] = betas[cold], betas[hot]
                bound[lane_of[c, 0]] = 1
                coldest = lane_of[c, n_rungs - 1]
                trips[c] += bound[coldest]
                bound[coldest] = 0
        measure(probe[0], probe[1], probe[2], probe[3], spins, local_double, means)
        for c in range(n_chains):
            probes[step, c] = means[lane_of[c, n_rungs - 1]]
        magnetise(spins, count, means)
        for c in range(n_chains):
            for t in range(n_rungs):
                energies[step, c, t] = energy[lane_of[c, t]]
                magnetisation[step, c, t] = means[lane_of[c, t]]
            if step < recorded.shape[0]:
                for i in range(n):
                    recorded[step, c, i] = spins[i, lane_of[c, n_rungs - 1]]
