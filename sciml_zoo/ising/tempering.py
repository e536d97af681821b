"""Parallel tempering with temperatures that are found, and cluster exchange between replicas where it helps.

| symbol | here |
|---|---|
| β_1 < … < β_T | ``ladder`` |
| r_t, mean rejection of an exchange of t and t + 1 | ``1 − exchange_rates`` |
| Λ(β_t) = Σ_{u<t} r_u | ``barrier``, cumulated |

Temperatures are best where all exchanges are equally rare, that is at equal steps of Λ, and their best number is about
2 Λ(β_T) + 1 (Syed, Bouchard-Côté, Deligiannidis & Doucet, J. R. Stat. Soc. B 84, 321 (2022)); a pilot run finds both.
Replicas 2p and 2p + 1 exchange clusters of disagreeing spins at one temperature (Houdayer 2001; Zhu, Ochoa &
Katzgraber, Phys. Rev. Lett. 115, 077201 (2015)). Where such a cluster holds nearly all of the spins it could hold,
the move only renames the replicas, so each pair measures that in its equilibration and leaves the move out there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from sciml_zoo.errors import InputError
from sciml_zoo.ising._sampling_kernels import random_spins, random_states
from sciml_zoo.ising._tempering_kernels import run_ladder
from sciml_zoo.ising.chains import CompiledModel, Record, in_threads
from sciml_zoo.ising.draws import Ladder
from sciml_zoo.ising.hamiltonian import IsingModel

__all__ = ["TemperedChains", "adapt_ladder", "equal_steps"]

_LANE_STREAM, _EXCHANGE_STREAM = 3, 4
_PILOT_SALT = 0x5EED
_LANES = 64
_FEWEST, _MOST = 4, 128
_PILOT_ROUNDS = (32, 64, 128, 256, 512)
_PILOT_REPLICAS = 4
_LARGEST_SHARE = 0.8


class TemperedChains:
    """Replicas, each of which holds one configuration at every temperature of a ladder.

    Args:
        compiled: the Hamiltonian.
        ladder: β [T], rising; draws are those of the last.
        start: initial spins [R, n], 0 for random; the same at every temperature.
        free: indices of the spins that are not clamped.
        symmetric: whether E(s) = E(−s) and no spin is clamped.
        cluster_moves: whether pairs of replicas exchange clusters; None: where the equilibration finds that it helps.
        seed: of the run.
        n_threads: pairs of replicas run side by side; the draws do not depend on it.
    """

    def __init__(
        self,
        compiled: CompiledModel,
        ladder: NDArray[np.float64],
        start: NDArray[np.int8],
        free: NDArray[np.int32],
        symmetric: bool,
        cluster_moves: bool | None,
        seed: int,
        n_threads: int,
    ) -> None:
        self._compiled, self._ladder, self._free = compiled, ladder, free
        self._symmetric, self._cluster_moves, self._n_threads = symmetric, cluster_moves, n_threads
        n_rungs, replicas = len(ladder), len(start)
        width = 2 * max(1, min(_LANES // (2 * n_rungs), -(-replicas // (2 * n_threads))))
        self._blocks = [_Block(compiled, k, start[k : k + width], n_rungs, seed) for k in range(0, replicas, width)]
        self._begun = self._counted = 0
        self.paired = cluster_moves is not False and replicas % 2 == 0
        for block in self._blocks:
            block.with_clusters[:] = bool(cluster_moves)

    def equilibrate(self, n_sweeps: int) -> None:
        """Runs sweeps that are not recorded, and decides at which temperatures pairs exchange clusters."""
        if self._cluster_moves is None and self.paired:
            self._run(n_sweeps // 2)
            for block in self._blocks:
                block.with_clusters[:] = True
                block.shares[:] = 0
            self._run(n_sweeps // 4)
            for block in self._blocks:
                mean = block.shares[0] / np.maximum(1.0, block.shares[1])
                block.with_clusters[:] = (block.shares[1] > 0) & (mean < _LARGEST_SHARE)
            self.paired = any(block.with_clusters.any() for block in self._blocks)
            n_sweeps -= n_sweeps // 2 + n_sweeps // 4
        self._run(n_sweeps)
        for block in self._blocks:
            block.forget()
        self._counted = 0

    def _run(self, n_sweeps: int) -> None:
        if n_sweeps:
            self.advance(1, n_sweeps, False)

    def advance(self, kept: int, thin: int, keep_spins: bool) -> Record:
        """Returns ``kept`` draws at the last temperature, ``thin`` rounds apart, and energies at all."""
        n, replicas, n_rungs = self._compiled.n, sum(b.n_chains for b in self._blocks), len(self._ladder)
        energies, magnetisation = np.empty((kept, replicas, n_rungs)), np.empty((kept, replicas, n_rungs))
        probe = np.empty((kept, replicas))
        recorded = np.empty((kept if keep_spins else 0, replicas, n), dtype=np.int8)

        def work(k: int) -> None:
            block = self._blocks[k]
            chains = slice(block.first, block.first + block.n_chains)
            run_ladder(
                self._compiled.graph,
                self._compiled.upper,
                self._compiled.probe,
                self._free,
                self._ladder,
                block.lane_of,
                block.spins,
                block.states,
                block.exchange_states,
                block.with_clusters,
                self._symmetric,
                self._begun,
                thin,
                (block.turned, block.accepted, block.tried, block.trips, block.bound, block.shares),
                energies[:, chains],
                magnetisation[:, chains],
                probe[:, chains],
                recorded[:, chains],
            )

        in_threads(work, len(self._blocks), self._n_threads)
        self._begun += kept * thin
        self._counted += kept * thin
        energies += self._compiled.offset
        return Record(energies[..., -1], magnetisation[..., -1], probe, recorded, energies, magnetisation)

    def final(self) -> NDArray[np.int8]:
        """Returns the states at the last temperature now [R, n]."""
        return np.concatenate([block.spins[:, block.lane_of[:, -1]].T for block in self._blocks])

    def acceptance(self) -> float:
        """Returns the share of visited spins that turned over, all temperatures together."""
        visits = self._counted * len(self._free) * sum(len(block.turned) for block in self._blocks)
        return float(sum(block.turned.sum() for block in self._blocks) / max(1, visits))

    def exchange_rates(self) -> NDArray[np.float64]:
        """Returns the mean chance of an exchange between neighbours since the equilibration [T − 1]."""
        accepted = np.sum([block.accepted.sum(0) for block in self._blocks], axis=0)
        return accepted / np.maximum(1, np.sum([block.tried.sum(0) for block in self._blocks], axis=0))

    def ladder(self, energies: NDArray[np.float64], magnetisation: NDArray[np.float64]) -> Ladder:
        """Returns the report of all temperatures, given their recorded energies and mean spins [kept, R, T]."""
        pairs = [block.with_clusters for block in self._blocks if len(block.with_clusters)]
        moves = np.concatenate(pairs).mean(0) if pairs else np.zeros(len(self._ladder))
        trips = np.concatenate([block.trips for block in self._blocks])
        return Ladder(self._ladder, energies, magnetisation, self.exchange_rates(), trips, moves)


class _Block:
    """Some replicas that one kernel call advances."""

    def __init__(self, compiled: CompiledModel, first: int, start: NDArray[np.int8], n_rungs: int, seed: int) -> None:
        self.first, self.n_chains = first, len(start)
        chains = np.arange(first, first + self.n_chains)
        n_lanes = self.n_chains * n_rungs
        lanes = (chains[:, None] * 2**20 + np.arange(n_rungs)).ravel()
        self.states = random_states(seed, _LANE_STREAM, lanes)
        self.exchange_states = random_states(seed, _EXCHANGE_STREAM, chains)
        spins = np.empty((compiled.n, n_lanes), dtype=np.int8)
        random_spins(spins, self.states)
        given = np.repeat(start, n_rungs, axis=0).T
        self.spins = np.ascontiguousarray(np.where(given == 0, spins, given))
        self.lane_of = np.arange(n_lanes).reshape(self.n_chains, n_rungs)
        self.with_clusters = np.zeros((self.n_chains // 2, n_rungs), dtype=bool)
        self.turned = np.zeros(n_lanes, dtype=np.int64)
        self.accepted = np.zeros((self.n_chains, n_rungs - 1))
        self.tried = np.zeros((self.n_chains, n_rungs - 1), dtype=np.int64)
        self.trips = np.zeros(self.n_chains, dtype=np.int64)
        self.bound = np.zeros(n_lanes, dtype=np.int8)
        self.shares = np.zeros((2, self.n_chains // 2, n_rungs))

    def forget(self) -> None:
        """Sets the counters to zero."""
        for counter in (self.turned, self.accepted, self.tried, self.trips, self.bound, self.shares):
            counter[:] = 0


def adapt_ladder(model: IsingModel, beta: float, *, n_rungs: int | None = None, seed: int = 0) -> NDArray[np.float64]:
    """Finds inverse temperatures from 0 to ``beta`` between which all exchanges are equally likely.

    Args:
        model: the Hamiltonian.
        beta: the largest inverse temperature.
        n_rungs: how many; None: twice the communication barrier, within 4 … 128.
        seed: of the pilot run.

    Returns:
        β [T], from 0 to ``beta``, rising.

    Raises:
        InputError: ``beta`` is not positive, or fewer than two rungs.
    """
    start = np.zeros(model.n, dtype=np.int8)
    return pilot_ladder(CompiledModel(model), beta, start, np.arange(model.n, dtype=np.int32), n_rungs, seed)


def pilot_ladder(
    compiled: CompiledModel,
    beta: float,
    start: NDArray[np.int8],
    free: NDArray[np.int32],
    n_rungs: int | None,
    seed: int,
) -> NDArray[np.float64]:
    """Returns the ladder of :func:`adapt_ladder` with some spins clamped.

    Args:
        compiled: the Hamiltonian.
        beta: the largest inverse temperature.
        start: initial spins [n], 0 for random.
        free: indices of the spins that are not clamped.
        n_rungs: how many; None: by the barrier.
        seed: of the pilot run.
    """
    if not (math.isfinite(beta) and beta > 0):
        raise InputError(f"beta {beta}: a ladder needs a positive inverse temperature")
    if n_rungs is not None and n_rungs < 2:
        raise InputError(f"n_rungs {n_rungs}: a ladder needs at least 2 temperatures")
    ladder = np.linspace(0.0, beta, n_rungs or 16)
    starts = np.tile(start, (_PILOT_REPLICAS, 1))
    for k, rounds in enumerate(_PILOT_ROUNDS):
        salted = (seed ^ _PILOT_SALT) + (k << 32)
        chains = TemperedChains(compiled, ladder, starts, free, False, False, salted, 1)
        chains.equilibrate(rounds // 2)
        chains.advance(1, rounds, False)
        rejection = 1.0 - chains.exchange_rates()
        best = math.ceil(2.0 * rejection.sum()) + 1
        ladder = equal_steps(ladder, rejection, n_rungs or min(max(best, _FEWEST), _MOST))
    return ladder


def equal_steps(ladder: NDArray[np.float64], rejection: NDArray[np.float64], n_rungs: int) -> NDArray[np.float64]:
    """Returns β [n_rungs] with the same ends at equal steps of the barrier.

    Args:
        ladder: β [T], rising.
        rejection: mean rejection of neighbours [T − 1].
        n_rungs: wanted.
    """
    # A little is added to each step, so that Λ rises strictly where exchanges are never rejected.
    steps = np.maximum(rejection, 1e-3)
    barrier = np.concatenate([[0.0], np.cumsum(steps)])
    result = PchipInterpolator(barrier, ladder)(np.linspace(0.0, barrier[-1], n_rungs))
    result[0], result[-1] = ladder[0], ladder[-1]
    return result
