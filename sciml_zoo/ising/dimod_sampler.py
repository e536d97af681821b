"""Annealing behind D-Wave's interface: code written for ``dwave.samplers.SimulatedAnnealingSampler`` runs unchanged.

    from sciml_zoo.ising.dimod_sampler import IsingSampler
    sampleset = IsingSampler().sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_reads=100, seed=1)

Energies, signs and labels are ``dimod``'s: E = +Σ h s + Σ J s s + offset. Each read is a replica of one annealing run.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.ising.conversions import from_bqm
from sciml_zoo.ising.hamiltonian import IsingModel

try:
    import dimod
except ImportError:
    raise InputError("IsingSampler needs the package dimod; install it: pip install 'sciml-zoo[dimod]'") from None

__all__ = ["IsingSampler"]

_DEFAULT_SWEEPS = 1000  # as D-Wave's sampler


class _Replicas(Protocol):
    """What an annealing run returns: spins ±1 int8 [n_replicas, n] and their energies [n_replicas]."""

    @property
    def spins(self) -> NDArray[np.int8]: ...
    @property
    def energies(self) -> NDArray[np.float64]: ...


class Solver(Protocol):
    """How an annealing run is called."""

    def __call__(
        self,
        model: IsingModel,
        *,
        n_sweeps: int,
        n_replicas: int,
        beta_range: tuple[float, float] | None,
        seed: int,
    ) -> _Replicas: ...


class IsingSampler(dimod.Sampler):
    """A ``dimod`` sampler that anneals with the kernels of this package.

    Args:
        solver: runs the replicas; None: :func:`sciml_zoo.ising.annealing.anneal`.
    """

    def __init__(self, solver: Solver | None = None) -> None:
        if solver is None:
            from sciml_zoo.ising.annealing import anneal

            solver = anneal
        self._solver: Solver = solver

    @property
    def parameters(self) -> dict[str, Any]:
        """Keyword arguments of the sampling methods, in ``dimod``'s form."""
        return {name: [] for name in ("num_reads", "num_sweeps", "beta_range", "seed", "time_limit")}

    @property
    def properties(self) -> dict[str, Any]:
        """What the sampler can do, in ``dimod``'s form."""
        return {"vartypes": ("SPIN", "BINARY"), "beta_schedule_options": ("geometric",)}

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        num_reads: int | None = None,
        num_sweeps: int | None = None,
        beta_range: Sequence[float] | None = None,
        seed: int | None = None,
        time_limit: float | None = None,
        **unknown: Any,
    ) -> dimod.SampleSet:
        """Samples low-energy states of a binary quadratic model.

        Args:
            bqm: the model, SPIN or BINARY.
            num_reads: number of states returned; None: 1.
            num_sweeps: sweeps of each run; None: 1000.
            beta_range: inverse temperature at the start and the end; None: chosen from the couplings.
            seed: of the runs; None: drawn from the operating system, and written into ``info``.
            time_limit: seconds; runs of ``num_reads`` replicas follow each other, each with a seed of its own, as long
                as it lasts, and the best ``num_reads`` states are returned. A run is not cut short. None: one run.
            **unknown: other samplers' arguments; each is passed over with a ``SamplerUnknownArgWarning``.

        Returns:
            The states in the model's vartype with its labels; ``info`` holds ``seed``, ``runs`` and ``timing`` in ns.

        Raises:
            InputError: an argument is out of its range.
        """
        begun = time.perf_counter_ns()
        self.remove_unknown_kwargs(**unknown)
        n_reads = _whole("num_reads", 1 if num_reads is None else num_reads, 1)
        n_sweeps = _whole("num_sweeps", _DEFAULT_SWEEPS if num_sweeps is None else num_sweeps, 1)
        seed = secrets.randbits(32) if seed is None else _whole("seed", seed, 0)
        betas = None if beta_range is None else _beta_pair(beta_range)
        if time_limit is not None and not (np.isfinite(time_limit) and time_limit > 0):
            raise InputError(f"time_limit is {time_limit}; expected seconds above 0")
        model = from_bqm(bqm)

        prepared = time.perf_counter_ns()
        spins = np.empty((n_reads if model.n == 0 else 0, model.n), dtype=np.int8)
        energies = np.full(len(spins), model.offset)
        runs = 0
        while model.n > 0 and (runs == 0 or _lasts(time_limit, begun)):
            # The first run takes the seed as it is, so that it is the run of `anneal` with that seed.
            run_seed = seed if runs == 0 else int(np.random.SeedSequence([seed, runs]).generate_state(1)[0])
            result = self._solver(model, n_sweeps=n_sweeps, n_replicas=n_reads, beta_range=betas, seed=run_seed)
            spins, energies = np.concatenate([spins, result.spins]), np.concatenate([energies, result.energies])
            if runs > 0:
                best = np.argsort(energies, kind="stable")[:n_reads]
                spins, energies = spins[best], energies[best]
            runs += 1

        sampled = time.perf_counter_ns()
        sampleset = dimod.SampleSet.from_samples(
            (spins, list(model.labels)), energy=energies, vartype=dimod.SPIN, info={"seed": seed, "runs": runs}
        )
        sampleset.change_vartype(bqm.vartype, inplace=True)
        sampleset.info["beta_range"] = betas
        sampleset.info["timing"] = {
            "preprocessing_ns": prepared - begun,
            "sampling_ns": sampled - prepared,
            "postprocessing_ns": time.perf_counter_ns() - sampled,
        }
        return sampleset


def _lasts(time_limit: float | None, begun: int) -> bool:
    return time_limit is not None and time.perf_counter_ns() - begun < 1e9 * time_limit


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number, {least} or more")
    return int(value)


def _beta_pair(beta_range: Sequence[float]) -> tuple[float, float]:
    values = [float(beta) for beta in beta_range]
    if len(values) != 2 or not all(np.isfinite(values)) or min(values) <= 0:
        raise InputError(f"beta_range is {list(beta_range)}; expected two inverse temperatures above 0, start and end")
    return values[0], values[1]
