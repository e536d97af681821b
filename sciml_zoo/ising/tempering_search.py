"""Parallel tempering as an optimizer: 64 SIMD lanes on a ladder of temperatures, and exchanges of clusters.

Swendsen & Wang, PRL 57, 2607 (1986); Hukushima & Nemoto, JPSJ 65, 1604 (1996). Clusters: Houdayer, EPJ B 22, 479
(2001); Zhu, Ochoa & Katzgraber, PRL 115, 077201 (2015). Ladder: Syed et al., JRSS B 84, 321 (2022).

Clusters of spins that differ between two replicas are exchanged between them. On sparse graphs they are connected by
all bonds. On dense graphs whose strength lies in a few bonds of each spin (chains with decaying couplings) they are
connected by those, the skeleton, and accepted like any Monte Carlo move. On other dense graphs a cluster holds
nearly all of the difference and its exchange does nothing, so there are none, and every lane has its own
temperature.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sciml_zoo.ising._lane_sweeps import lane_energies, temper_lanes
from sciml_zoo.ising._lanes import LANES
from sciml_zoo.ising.annealing import field_scale, frozen_scale, random_lanes
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.lane_graph import LaneGraph

__all__ = ["TemperingSearch"]

# Up to this many bonds a spin, on average, clusters do not percolate at all temperatures.
_SPARSE_DEGREE = 8.0
# The skeleton's bonds hold this part of each spin's squared couplings.
_SKELETON_SHARE = 0.97
# Temperatures over the scale of a spin's local field: hottest, and coldest with all bonds, a skeleton, no clusters.
_HOTTEST, _COLDEST, _COLDEST_SKELETON, _COLDEST_ALONE = 1.3, 0.07, 0.04, 0.12
_CLUSTERS_IN_SKELETON = 4
# Cold levels in which clusters are exchanged: those of a 2-D graph never percolate, others do in the upper half.
_PLANAR_DEGREE = 4.5
# The ladder is placed anew after each of these rounds.
_ADAPTATIONS = (64, 128, 256, 512, 1024, 2048)
_SMALLEST_REJECTION = 0.02
# Improvements below this part of the energy's spread are rounding of float32.
_SAME = 1e-6


class TemperingSearch:
    """One run of parallel tempering that keeps the best state it has seen.

    Args:
        model: any model with at least one spin.
        seed: zero or more; the run depends on it alone.
        run: number of this run; runs of one seed are independent.

    Attributes:
        rounds: rounds done: a sweep of all lanes, cluster exchanges, and exchanges of temperatures.
        betas: the ladder, hot to cold.
    """

    def __init__(self, model: IsingModel, seed: int, run: int = 0) -> None:
        self._graph = LaneGraph.of(model)
        scale = field_scale(model)
        bones = _skeleton(model)
        copies = 1 if bones is None else 2
        levels = LANES // copies
        coldest = _COLDEST_ALONE
        self._clusters_per_pair, self._cluster_levels = 0, 0
        if bones is not None:
            whole = bones.nnz == self._graph.neighbours.size
            coldest = _COLDEST if whole else _COLDEST_SKELETON
            planar = bones.nnz <= _PLANAR_DEGREE * model.n
            self._clusters_per_pair = 1 if whole else _CLUSTERS_IN_SKELETON
            self._cluster_levels = levels if planar or not whole else levels * 3 // 8
        skeleton = sparse.csr_array((model.n, model.n)) if bones is None else bones
        self._bones = (skeleton.indptr.astype(np.int64), skeleton.indices.astype(np.uint32))
        self.betas: NDArray[np.float64] = np.geomspace(
            1 / (_HOTTEST * scale), 1 / (coldest * frozen_scale(model, self._graph)), levels
        )
        self._spins, self._state = random_lanes(model.n, seed, run * LANES)
        self._random = np.array([(seed * 0x9E3779B97F4A7C15 + run * 0xD1342543DE82EF95 + 1) % 2**64 or 1], np.uint64)
        self._lane_at = np.arange(LANES, dtype=np.int64).reshape(levels, copies)
        self._energies = np.zeros(LANES)
        self._sum_energies()
        self._tolerance = _SAME * scale * np.sqrt(model.n)
        self._best = np.array([np.inf])
        self.best_spins: NDArray[np.int8] = self._spins[:, 0].copy()
        self._exchanges, self._exchange_rounds = np.zeros(levels - 1), 0
        self._accepted = np.zeros(levels)
        self.rounds = 0

    @property
    def best_energy(self) -> float:
        """The lowest energy seen, without the model's offset and as the kernel sums it."""
        return float(self._best[0])

    def advance(self, rounds: int) -> None:
        """Goes on.

        Args:
            rounds: how many rounds; the trajectory does not depend on how they are divided over calls.
        """
        end = self.rounds + rounds
        while self.rounds < end:
            stop = min([end, *(due for due in _ADAPTATIONS if due > self.rounds)])
            # Energies are summed afresh at fixed rounds, so that rounding never adds up.
            stop = min(stop, (self.rounds // _ADAPTATIONS[0] + 1) * _ADAPTATIONS[0])
            temper_lanes(
                *self._graph.arrays, *self._bones, self._spins, self._state, self._energies, self.betas, self._lane_at,
                self._random, stop - self.rounds, self.rounds % 2, self._cluster_levels, self._clusters_per_pair,
                self._tolerance, self._best, self.best_spins, self._exchanges, self._accepted,
            )  # fmt: skip
            self._exchange_rounds += stop - self.rounds
            self.rounds = stop
            if self.rounds % _ADAPTATIONS[0] == 0:
                self._sum_energies()
            if self.rounds in _ADAPTATIONS:
                self._adapt()

    def _sum_energies(self) -> None:
        graph = self._graph
        lane_energies(graph.starts, graph.neighbours, graph.values, graph.fields, self._spins, self._energies)

    def _adapt(self) -> None:
        """Places the levels at equal steps of the summed rejection, between the same ends."""
        rejection = np.clip(1 - 2 * self._exchanges / self._exchange_rounds, _SMALLEST_REJECTION, 1)
        barrier = np.concatenate([[0.0], np.cumsum(rejection)])
        self.betas = np.interp(np.linspace(0, barrier[-1], len(self.betas)), barrier, self.betas)
        self._exchanges[:] = 0
        self._exchange_rounds = 0


def _skeleton(model: IsingModel) -> sparse.csr_array | None:
    """Returns the bonds that connect clusters, or None where clusters would percolate."""
    csr = model.csr()
    if csr.nnz == 0:
        return None
    if csr.nnz <= _SPARSE_DEGREE * model.n:
        return csr
    rows = np.repeat(np.arange(model.n), np.diff(csr.indptr))
    squares = csr.data**2
    order = np.lexsort((-squares, rows))
    running = np.cumsum(squares[order])
    before = np.concatenate([[0.0], running])[csr.indptr[:-1]][rows]
    totals = np.bincount(rows, squares, model.n)[rows]
    needed = running - squares[order] - before < _SKELETON_SHARE * totals
    kept = order[needed]
    bones = sparse.csr_array((np.ones(kept.size), (rows[kept], csr.indices[kept])), shape=csr.shape)
    bones = sparse.csr_array(bones + bones.T)
    return bones if bones.nnz <= _SPARSE_DEGREE * model.n else None
