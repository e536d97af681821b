"""Chains of cluster moves, Wolff's and Swendsen and Wang's, with fields by a ghost spin.

A field is a coupling to one more spin, the ghost: E(s) = −Σ J_ij s_i s_j − Σ h_i s_i s_g has E(s, s_g) = E(−s, −s_g),
clusters may hold the ghost, and s_i s_g is distributed as s_i with the ghost held at +1. Clamped spins become fields on
their neighbours. For couplings of any sign the moves are right, but only in a model without frustration do clusters
end where domains end.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sciml_zoo.ising._cluster_kernels import measure_rows, run_swendsen_wang, run_wolff
from sciml_zoo.ising._sampling_kernels import random_spins, random_states
from sciml_zoo.ising.chains import CompiledModel, Record, in_threads
from sciml_zoo.ising.hamiltonian import IsingModel

__all__ = ["ClusterChains"]

_STREAM = 2


class ClusterChains:
    """Replicas that move by clusters.

    A sweep of ``swendsen_wang`` turns over every cluster with chance ½. A sweep of ``wolff`` is as many clusters as
    turn over about n spins; how many, each replica finds in its equilibration (without one: a single cluster).

    Args:
        model: the Hamiltonian.
        compiled: the same, compiled.
        beta: inverse temperature.
        method: ``wolff`` or ``swendsen_wang``.
        start: initial spins [R, n], 0 for random; clamped spins hold the same value in every replica.
        free: indices of the spins that are not clamped.
        seed: of the run.
        n_threads: replicas run side by side; the draws do not depend on it.
    """

    def __init__(
        self,
        model: IsingModel,
        compiled: CompiledModel,
        beta: float,
        method: Literal["wolff", "swendsen_wang"],
        start: NDArray[np.int8],
        free: NDArray[np.int32],
        seed: int,
        n_threads: int,
    ) -> None:
        self._compiled, self._wolff, self._free, self._n_threads = compiled, method == "wolff", free, n_threads
        self._clamped = np.setdiff1d(np.arange(model.n), free)
        self._held = start[:, self._clamped]
        couplings = model.csr()[free]
        fields = model.fields[free] + couplings[:, self._clamped] @ self._held[0].astype(np.float64)
        column = sparse.csr_array(fields[:, None])
        joined = sparse.csr_array(sparse.block_array([[couplings[:, free], column], [column.T, None]]))
        joined.eliminate_zeros()
        joined.sort_indices()
        upper = sparse.triu(joined, 1).tocoo()
        self._graph = (
            joined.indptr.astype(np.int64),
            joined.indices.astype(np.int32),
            *_bonds(joined.data, beta),
        )
        self._pairs = (upper.row.astype(np.int64), upper.col.astype(np.int64), *_bonds(upper.data, beta))
        states = random_states(seed, _STREAM, np.arange(len(start)))
        spins = np.empty((len(free), len(start)), dtype=np.int8)
        random_spins(spins, states)
        self._states = np.ascontiguousarray(states.T)
        given = start[:, free]
        ghost = np.ones((len(start), 1), dtype=np.int8)
        self._spins = np.ascontiguousarray(np.hstack([np.where(given == 0, spins.T, given), ghost]))
        self._clusters = np.ones(len(start), dtype=np.int64)
        self._turned = np.zeros(len(start), dtype=np.int64)
        self._moves = np.zeros(len(start), dtype=np.int64)

    def equilibrate(self, n_sweeps: int) -> None:
        """Runs sweeps that are not recorded; of Wolff's, finds how many clusters make a sweep, in three stages."""
        stages = (n_sweeps // 4, n_sweeps // 4, n_sweeps - 2 * (n_sweeps // 4)) if self._wolff else (n_sweeps,)
        for stage in stages:
            self._turned[:] = self._moves[:] = 0
            if stage:
                self.advance(1, stage, False)
                wanted = (len(self._free) + 1) * self._moves / np.maximum(1, self._turned)
                self._clusters = np.clip(np.round(wanted), 1, max(1, len(self._free))).astype(np.int64)
        self._turned[:] = self._moves[:] = 0

    def advance(self, kept: int, thin: int, keep_spins: bool) -> Record:
        """Returns ``kept`` draws, ``thin`` sweeps apart."""
        n, replicas = self._compiled.n, len(self._spins)
        energies, magnetisation, probe = (np.empty((kept, replicas)) for _ in range(3))
        recorded = np.empty((kept if keep_spins else 0, replicas, n), dtype=np.int8)

        def work(r: int) -> None:
            drawn = np.empty((kept, len(self._free)), dtype=np.int8)
            if self._wolff:
                clusters = int(self._clusters[r])
                self._turned[r] += run_wolff(self._graph, self._spins[r], self._states[r], clusters, thin, drawn)
                self._moves[r] += kept * thin * clusters
            else:
                self._turned[r] += run_swendsen_wang(self._pairs, self._spins[r], self._states[r], thin, drawn)
                self._moves[r] += kept * thin
            states = self._whole(drawn, r)
            parts = [np.empty(kept) for _ in range(3)]
            measure_rows(self._compiled.upper, self._compiled.probe, states, *parts)
            energies[:, r], magnetisation[:, r], probe[:, r] = parts
            if keep_spins:
                recorded[:, r] = states

        in_threads(work, replicas, self._n_threads)
        return Record(energies + self._compiled.offset, magnetisation, probe, recorded)

    def final(self) -> NDArray[np.int8]:
        """Returns the states now [R, n]."""
        drawn = self._spins[:, :-1] * self._spins[:, -1:]
        return np.concatenate([self._whole(drawn[r : r + 1], r) for r in range(len(drawn))])

    def acceptance(self) -> float:
        """Returns the mean share of the spins, the ghost included, that a move turned over."""
        return float(self._turned.sum() / max(1, self._moves.sum() * (len(self._free) + 1)))

    def _whole(self, drawn: NDArray[np.int8], replica: int) -> NDArray[np.int8]:
        states = np.empty((len(drawn), self._compiled.n), dtype=np.int8)
        states[:, self._free] = drawn
        states[:, self._clamped] = self._held[replica]
        return states


def _bonds(couplings: NDArray[np.float64], beta: float) -> tuple[NDArray[np.int8], NDArray[np.uint64]]:
    chances = -np.expm1(-2.0 * beta * np.abs(couplings))
    return np.sign(couplings).astype(np.int8), np.round(chances * 2.0**32).astype(np.uint64)
