"""Chains of single-spin updates: heat bath (Glauber, Gibbs sampling) and Metropolis."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.ising._sampling_kernels import random_spins, random_states, run_lanes
from sciml_zoo.ising.chains import CompiledModel, Record, in_threads

__all__ = ["SingleSpinChains"]

# Metropolis turns a spin over that costs nothing; in a sweep that visits all spins in turn this can be periodic, so a
# small share of the turns is declined, at random.
_METROPOLIS_CEILING = 1.0 - 1.0 / 16.0
_STREAM = 1
_BLOCK = 64


class SingleSpinChains:
    """Replicas, each with a random generator of its own, that visit their spins one by one.

    Args:
        compiled: the Hamiltonian.
        beta: inverse temperature.
        method: ``heat_bath``, or ``metropolis`` with 15/16 of the usual acceptance.
        start: initial spins [R, n], 0 for random.
        free: indices of the spins that are not clamped.
        seed: of the run.
        n_threads: replicas are split into blocks, one a thread; the draws do not depend on it.
    """

    def __init__(
        self,
        compiled: CompiledModel,
        beta: float,
        method: Literal["heat_bath", "metropolis"],
        start: NDArray[np.int8],
        free: NDArray[np.int32],
        seed: int,
        n_threads: int,
    ) -> None:
        self._compiled, self._free, self._n_threads = compiled, free, n_threads
        self._shift, self._ceiling = (1.0, 1.0) if method == "heat_bath" else (0.0, _METROPOLIS_CEILING)
        self._n_replicas = len(start)
        width = min(_BLOCK, -(-self._n_replicas // n_threads))
        self._blocks = [slice(k, min(k + width, self._n_replicas)) for k in range(0, self._n_replicas, max(1, width))]
        self._states = [random_states(seed, _STREAM, np.arange(b.start, b.stop)) for b in self._blocks]
        self._spins = []
        for block, states in zip(self._blocks, self._states, strict=True):
            spins = np.empty((compiled.n, block.stop - block.start), dtype=np.int8)
            random_spins(spins, states)
            given = start[block].T
            self._spins.append(np.ascontiguousarray(np.where(given == 0, spins, given)))
        self._betas = [np.full(block.stop - block.start, beta, dtype=np.float32) for block in self._blocks]
        self._turned = [np.zeros(block.stop - block.start, dtype=np.int64) for block in self._blocks]
        self._visits = 0

    def equilibrate(self, n_sweeps: int) -> None:
        """Runs sweeps that are not recorded."""
        if n_sweeps:
            self.advance(1, n_sweeps, False)
        for turned in self._turned:
            turned[:] = 0
        self._visits = 0

    def advance(self, kept: int, thin: int, keep_spins: bool) -> Record:
        """Returns ``kept`` draws, ``thin`` sweeps apart."""
        n, replicas = self._compiled.n, self._n_replicas
        energies, magnetisation, probe = (np.empty((kept, replicas)) for _ in range(3))
        recorded = np.empty((kept if keep_spins else 0, replicas, n), dtype=np.int8)

        def work(k: int) -> None:
            block = self._blocks[k]
            parts = [np.empty((kept, block.stop - block.start)) for _ in range(3)]
            run_lanes(
                self._compiled.graph,
                self._compiled.upper,
                self._compiled.probe,
                self._free,
                self._betas[k],
                self._spins[k],
                self._states[k],
                self._turned[k],
                np.float32(self._shift),
                np.float32(self._ceiling),
                thin,
                *parts,
                recorded[:, block],
            )
            energies[:, block], magnetisation[:, block], probe[:, block] = parts

        in_threads(work, len(self._blocks), self._n_threads)
        self._visits += kept * thin * len(self._free) * replicas
        return Record(energies + self._compiled.offset, magnetisation, probe, recorded)

    def final(self) -> NDArray[np.int8]:
        """Returns the states now [R, n]."""
        return np.concatenate([spins.T for spins in self._spins])

    def acceptance(self) -> float:
        """Returns the share of visited spins that turned over."""
        return float(sum(int(turned.sum()) for turned in self._turned)) / max(1, self._visits)
