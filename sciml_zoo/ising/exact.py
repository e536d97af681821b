"""Exact results for up to 26 spins: every state is visited.

    Z = Σ_s exp(−β E(s)),   p(s) = exp(−β E(s))/Z,   S = log Z + β ⟨E⟩

| symbol | here | unit |
|---|---|---|
| log Z, the constant c of the energy included | ``log_z`` | 1 |
| ⟨E⟩ | ``energy_mean`` | of E |
| ⟨E²⟩ − ⟨E⟩² | ``energy_variance`` | of E² |
| S = −Σ p log p | ``entropy`` | nats |
| ⟨s_i⟩ | ``magnetisation`` [n] | 1 |
| ⟨s_i s_j⟩ | ``correlations`` [n, n] | 1 |

State number k has s_i = +1 where bit i of k is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.ising._gray_code import block_energies, gray_minimum, gray_sums
from sciml_zoo.ising.hamiltonian import IsingModel

__all__ = [
    "MAX_ENUMERATED",
    "ExactGroundState",
    "ExactResult",
    "all_energies",
    "all_states",
    "enumerate_states",
    "exact_ground_state",
    "log_probabilities",
    "state_numbers",
]

#: Most spins that are enumerated: 2^26 states take a second.
MAX_ENUMERATED = 26
# 2^20 float64 are 8 MB; above this a vector of all states is rarely what one wants.
_MAX_LISTED = 20
# A block of 2^12 energies stays in the first-level cache.
_LOW_SPINS = 12


@dataclass(frozen=True)
class ExactGroundState:
    """The lowest energy of a model, proven by enumeration.

    Args:
        energy: E, with the model's constant.
        states: ground states ±1 int8 [m, n], at most as many as were asked for.
        count: number of ground states.
    """

    energy: float
    states: NDArray[np.int8]
    count: int


@dataclass(frozen=True)
class ExactResult:
    """Equilibrium at one temperature, exact; the head of this module defines each quantity.

    Args:
        beta: inverse temperature.
        log_z: log of the partition function.
        energy_mean: mean energy.
        energy_variance: variance of the energy.
        entropy: in nats.
        magnetisation: ⟨s_i⟩ [n].
        correlations: ⟨s_i s_j⟩ [n, n], ones on the diagonal.
        ground_state: lowest energy and its states.
    """

    beta: float
    log_z: float
    energy_mean: float
    energy_variance: float
    entropy: float
    magnetisation: NDArray[np.float64]
    correlations: NDArray[np.float64]
    ground_state: ExactGroundState

    @property
    def heat_capacity(self) -> float:
        """dE/dT = β² (⟨E²⟩ − ⟨E⟩²), in units of k_B."""
        return self.beta**2 * self.energy_variance

    @property
    def free_energy(self) -> float:
        """F = −log Z/β."""
        return -self.log_z / self.beta

    @property
    def covariances(self) -> NDArray[np.float64]:
        """⟨s_i s_j⟩ − ⟨s_i⟩⟨s_j⟩ [n, n]."""
        return self.correlations - np.outer(self.magnetisation, self.magnetisation)


def enumerate_states(model: IsingModel, beta: float = 1.0, *, max_ground_states: int = 16) -> ExactResult:
    """Returns log Z and the moments of a model of up to 26 spins.

    Args:
        model: the Ising model.
        beta: inverse temperature, 0 or more.
        max_ground_states: how many of the ground states to return.

    Raises:
        InputError: more than 26 spins, or a β that is negative or not finite.
    """
    _require_enumerable(model, MAX_ENUMERATED)
    if not (np.isfinite(beta) and beta >= 0):
        raise InputError(f"beta is {beta}; expected a finite number, 0 or more")
    n, n_low = model.n, min(model.n, _LOW_SPINS)
    minimum, weight, first, second, spin_sums, low_weight = gray_sums(model.dense(), model.fields, n_low, float(beta))

    # Each block of low spins is an ensemble of its own; its weight among the blocks is that of the high spins' state.
    reference = minimum.min()
    relative = weight * np.exp(-beta * (minimum - reference))
    total = relative.sum()
    share = relative / total
    block_mean = (minimum - reference) + first / weight
    block_variance = np.maximum(second / weight - (first / weight) ** 2, 0.0)
    mean = float(share @ block_mean)
    variance = float(share @ block_variance + share @ (block_mean - mean) ** 2)

    low, high = _signs(n_low), _signs(n - n_low)
    low_share = low_weight / low_weight.sum()
    conditional = spin_sums / weight[:, None]
    correlations = np.empty((n, n))
    correlations[:n_low, :n_low] = (low * low_share[:, None]).T @ low
    correlations[n_low:, n_low:] = (high * share[:, None]).T @ high
    correlations[n_low:, :n_low] = (high * share[:, None]).T @ conditional
    correlations[:n_low, n_low:] = correlations[n_low:, :n_low].T
    np.fill_diagonal(correlations, 1.0)
    log_weight = float(np.log(total))
    return ExactResult(
        beta=float(beta),
        log_z=log_weight - beta * (reference + model.offset),
        energy_mean=mean + float(reference) + model.offset,
        energy_variance=variance,
        entropy=log_weight + beta * mean,
        magnetisation=np.concatenate([share @ conditional, share @ high]),
        correlations=correlations,
        ground_state=exact_ground_state(model, max_states=max_ground_states),
    )


def exact_ground_state(model: IsingModel, *, max_states: int = 16) -> ExactGroundState:
    """Returns the lowest energy of a model of up to 26 spins, and its ground states.

    Energies that differ by less than the rounding of a sum of all couplings and fields are taken for equal.

    Args:
        model: the Ising model.
        max_states: how many of the ground states to return, 1 or more.

    Raises:
        InputError: more than 26 spins.
    """
    _require_enumerable(model, MAX_ENUMERATED)
    n_low = min(model.n, _LOW_SPINS)
    scale = np.abs(model.couplings).sum() / 2 + np.abs(model.fields).sum()
    ground = np.empty(max(1, max_states), dtype=np.int64)
    # A field is the sum of at most 2^14 steps of the Gray code, each rounded.
    tolerance = 2.0 ** (model.n - n_low) * np.finfo(np.float64).eps * scale + 64 * np.finfo(np.float64).eps * scale
    _, count = gray_minimum(model.dense(), model.fields, n_low, float(tolerance), ground)
    numbers = ground[: min(count, len(ground))]
    states = (2 * ((numbers[:, None] >> np.arange(model.n)) & 1) - 1).astype(np.int8)
    return ExactGroundState(float(model.energy(states[0])), states, count)


def all_states(n: int) -> NDArray[np.int8]:
    """Returns the states of n spins in the order of their numbers, ±1 [2^n, n].

    Args:
        n: number of spins, at most 20.

    Raises:
        InputError: more than 20 spins.
    """
    if not 0 <= n <= _MAX_LISTED:
        raise InputError(f"{n} spins have too many states to list; at most {_MAX_LISTED}")
    return _signs(n).astype(np.int8)


def state_numbers(spins: ArrayLike) -> NDArray[np.int64]:
    """Returns the numbers [...] of states: the sum of 2^i over the spins that are +1.

    Args:
        spins: ±1 or 0/1 [..., n], n at most 62.
    """
    s = np.asarray(spins)
    return (s > 0) @ (np.int64(1) << np.arange(s.shape[-1], dtype=np.int64))


def all_energies(model: IsingModel) -> NDArray[np.float64]:
    """Returns E of each state, by its number [2^n].

    Args:
        model: of at most 20 spins.

    Raises:
        InputError: more than 20 spins.
    """
    _require_enumerable(model, _MAX_LISTED)
    return block_energies(model.dense(), model.fields, model.n) + model.offset


def log_probabilities(model: IsingModel, beta: float = 1.0) -> NDArray[np.float64]:
    """Returns log p of each state, by its number [2^n].

    Args:
        model: of at most 20 spins.
        beta: inverse temperature.

    Raises:
        InputError: more than 20 spins.
    """
    exponents = -beta * all_energies(model)
    highest = exponents.max()
    return exponents - (highest + np.log(np.exp(exponents - highest).sum()))


def _signs(n: int) -> NDArray[np.float64]:
    bits = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1
    return np.where(bits, 1.0, -1.0)


def _require_enumerable(model: IsingModel, limit: int) -> None:
    if model.n > limit:
        raise InputError(
            f"{model.n} spins have 2^{model.n} states; at most {limit} spins are enumerated: sample instead"
        )
