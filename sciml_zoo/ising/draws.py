"""What sampling returns: the draws, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.ising.diagnostics import Diagnostic, Window, diagnose

__all__ = ["ESS_LIMIT", "RHAT_LIMIT", "Estimate", "Ladder", "Samples", "UnconvergedWarning"]

#: A run is unconverged above this split R-hat or below this effective sample size (Vehtari et al. 2021).
RHAT_LIMIT = 1.01
ESS_LIMIT = 400.0


class UnconvergedWarning(UserWarning):
    """The draws do not yet represent the Boltzmann distribution: the message says which quantity shows it."""


class Estimate(NamedTuple):
    """A mean and its standard error."""

    mean: float
    standard_error: float


@dataclass(frozen=True)
class Ladder:
    """The temperatures of a tempering run; the last is the one that was asked for.

    Attributes:
        betas: inverse temperatures, hottest first [T].
        energies: of all temperatures [kept, n_replicas, T].
        magnetisation: mean spin at all temperatures [kept, n_replicas, T].
        exchange_rates: mean chance of an exchange between neighbours [T − 1].
        round_trips: how often a configuration came from the hottest to the coldest temperature [n_replicas].
        cluster_moves: share of the replica pairs that exchanged clusters [T].
    """

    betas: NDArray[np.float64]
    energies: NDArray[np.float64]
    magnetisation: NDArray[np.float64]
    exchange_rates: NDArray[np.float64]
    round_trips: NDArray[np.int64]
    cluster_moves: NDArray[np.float64]

    @property
    def barrier(self) -> float:
        """The communication barrier Λ, the sum of the rejection rates (Syed et al. 2022); 2Λ + 1 rungs are best."""
        return float(np.sum(1.0 - self.exchange_rates))


@dataclass(frozen=True)
class Samples:
    """Draws from exp(−β E(s))/Z, replicas in the second axis.

    Attributes:
        beta: inverse temperature.
        method: how they were drawn.
        spins: int8 [kept, n_replicas, n], or None where they were not kept.
        final: the last state of every replica, int8 [n_replicas, n]; give it as ``initial`` to go on.
        energies: E(s), constant included [kept, n_replicas].
        magnetisation: mean spin [kept, n_replicas].
        probe: energy of a random ±1 Hamiltonian on the same graph: it differs between valleys of the same energy
            [kept, n_replicas].
        observables: the user's own, by name [kept, n_replicas].
        acceptance: share of the visited spins that turned over (of clusters: mean size over n).
        thin: sweeps between two draws.
        seed: of the run.
        symmetric: whether E(s) = E(−s), so that the sign of the magnetisation says nothing.
        paired: whether replicas 2p and 2p + 1 exchanged clusters, so that only their mean is independent of others.
        ladder: the temperatures, of a tempering run.
    """

    beta: float
    method: str
    spins: NDArray[np.int8] | None
    final: NDArray[np.int8]
    energies: NDArray[np.float64]
    magnetisation: NDArray[np.float64]
    probe: NDArray[np.float64]
    observables: Mapping[str, NDArray[np.float64]]
    acceptance: float
    thin: int
    seed: int
    symmetric: bool
    paired: bool = False
    ladder: Ladder | None = field(default=None)

    def series(self, name: str) -> NDArray[np.float64]:
        """Returns the draws of one quantity [kept, independent chains].

        Args:
            name: ``energy``, ``magnetisation``, ``absolute_magnetisation``, ``probe``, or a user's observable.

        Returns:
            [kept, n_replicas]; pairs that exchanged clusters are averaged, since only their mean is independent.

        Raises:
            InputError: an unknown name.
        """
        known = {
            "energy": self.energies,
            "magnetisation": self.magnetisation,
            "absolute_magnetisation": np.abs(self.magnetisation),
            "probe": self.probe,
            **self.observables,
        }
        if name not in known:
            raise InputError(f"quantity {name!r}: {nearest(name, known)}")
        values = known[name]
        return 0.5 * (values[:, 0::2] + values[:, 1::2]) if self.paired else values

    def estimate(self, name: str, *, window: Window = "sokal") -> Estimate:
        """Returns the mean of a quantity (see :meth:`series`) and its standard error from the autocorrelation time."""
        found = diagnose(self.series(name), window=window)
        return Estimate(found.mean, found.standard_error)

    @cached_property
    def diagnostics(self) -> dict[str, Diagnostic]:
        """Figures of merit of every quantity by which the run is judged, τ in draws (times ``thin``: in sweeps)."""
        names = ["energy", "absolute_magnetisation" if self.symmetric else "magnetisation", "probe", *self.observables]
        return {name: diagnose(self.series(name)) for name in names}

    @property
    def unconverged(self) -> dict[str, str]:
        """The quantities that are not converged, and what shows it; empty where the run is converged."""
        found = {}
        for name, one in self.diagnostics.items():
            if np.isnan(one.rhat):
                found[name] = f"{len(self.energies)} draws a replica are too few to tell"
            elif one.rhat > RHAT_LIMIT or one.effective_samples < ESS_LIMIT:
                found[name] = f"R-hat {one.rhat:.3f}, effective sample size {one.effective_samples:.0f}"
        return found
