"""What a Boltzmann machine can be trained on; each vanishes in its gradient at the true model, given its distribution.

| objective | formula, mean over samples v | source |
|---|---|---|
| exact likelihood | F(v) + log Z | Ackley, Hinton & Sejnowski 1985 |
| pseudo-likelihood | −Σ_i log P(v_i \\| v without i) | Besag, The Statistician 24, 179 (1975) |
| contrastive divergence | F(v) − F(v'), v' after k Gibbs steps from v | Hinton, Neural Comput. 14, 1771 (2002) |
| persistent contrastive divergence | the same, v' from chains that go on | Tieleman, ICML 2008 |
| minimum probability flow | Σ_i exp((F(v) − F(v with i flipped)) / 2) | Sohl-Dickstein et al., PRL 107, 220601 (2011) |

The flow runs to all single flips, samples or not, so that it can be minimised over the full distribution too.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sciml_zoo.errors import InputError
from sciml_zoo.ising.model import BoltzmannMachine
from sciml_zoo.ising.partition import log_partition

__all__ = [
    "ObjectiveConfig",
    "contrastive_divergence",
    "exact_likelihood",
    "minimum_probability_flow",
    "penalty",
    "pseudo_likelihood",
    "visible_energy",
    "with_hidden",
]

# Sweeps over coupled hidden units before a state is used; independent ones are drawn exactly by one.
_HIDDEN_SWEEPS = 10

Kind = Literal[
    "exact_likelihood",
    "pseudo_likelihood",
    "contrastive_divergence",
    "persistent_contrastive_divergence",
    "minimum_probability_flow",
]


@dataclass(frozen=True)
class ObjectiveConfig:
    """What is minimised.

    Attributes:
        kind: the objective.
        k: Gibbs steps before the negative samples are used, for the two contrastive divergences.
        chains: number of persistent chains.
        l1: weight of Σ |W|, added to the loss per sample.
        l2: weight of Σ W².
        limit: the most units over whose states the exact likelihood may sum.
    """

    kind: Kind = "persistent_contrastive_divergence"
    k: int = 1
    chains: int = 100
    l1: float = 0.0
    l2: float = 0.0
    limit: int = 22

    def __post_init__(self) -> None:
        for name in ("k", "chains", "limit"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("l1", "l2"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be zero or more, got {getattr(self, name)}")

    @property
    def is_deterministic(self) -> bool:
        """Whether the loss is a function of the samples alone, so that repeated samples can be merged."""
        return self.kind in ("exact_likelihood", "pseudo_likelihood", "minimum_probability_flow")


def exact_likelihood(machine: BoltzmannMachine, visible: Tensor, weights: Tensor, *, limit: int = 22) -> Tensor:
    """Computes the mean of −log p(v), log Z by enumeration.

    Args:
        machine: the machine.
        visible: [m, n_visible].
        weights: of the samples [m], of sum 1.
        limit: as for :func:`log_partition`.

    Returns:
        Scalar, nats per sample.
    """
    mean = (weights * machine.free_energy(visible)).sum()
    return mean + log_partition(machine, limit=limit).to(mean.dtype)


def pseudo_likelihood(machine: BoltzmannMachine, visible: Tensor, weights: Tensor) -> Tensor:
    """Computes the mean of −Σ_i log P(v_i | other visible units), hidden units summed out.

    Args:
        machine: the machine.
        visible: [m, n_visible].
        weights: of the samples [m], of sum 1.

    Returns:
        Scalar, nats per sample.
    """
    return (weights * F.softplus(-machine.flip_differences(visible), threshold=40.0).sum(-1)).sum()


def minimum_probability_flow(machine: BoltzmannMachine, visible: Tensor, weights: Tensor) -> Tensor:
    """Computes the mean flow out of the samples along single flips.

    Args:
        machine: the machine.
        visible: [m, n_visible].
        weights: of the samples [m], of sum 1.

    Returns:
        Scalar, per sample and unit of time.
    """
    return (weights * torch.exp(-0.5 * machine.flip_differences(visible)).sum(-1)).sum()


def contrastive_divergence(
    machine: BoltzmannMachine, positive: Tensor, weights: Tensor, negative: Tensor, negative_weights: Tensor
) -> Tensor:
    """Computes the difference of mean (free) energies whose gradient is the estimate of the likelihood's.

    Args:
        machine: the machine.
        positive: states of all units, visible ones from the samples [m, n].
        weights: [m], of sum 1.
        negative: states of all units from the chains [k, n].
        negative_weights: [k], of sum 1.

    Returns:
        Scalar, nats per sample.
    """
    return (weights * visible_energy(machine, positive)).sum() - (
        negative_weights * visible_energy(machine, negative)
    ).sum()


def penalty(machine: BoltzmannMachine, config: ObjectiveConfig) -> Tensor:
    """Returns l1 Σ |W| + l2 Σ W²."""
    return config.l1 * machine.couplings.abs().sum() + config.l2 * machine.couplings.square().sum()


def visible_energy(machine: BoltzmannMachine, units: Tensor) -> Tensor:
    """Returns F(v) [...] of units [..., n] where it can be computed, E(v, h) otherwise."""
    if machine.has_free_energy:
        return machine.free_energy(units[..., : machine.n_visible])
    return machine.energy(units)


@torch.no_grad()
def with_hidden(machine: BoltzmannMachine, visible: Tensor, generator: torch.Generator) -> Tensor:
    """Completes visible states by hidden units drawn given them: exactly, or by ten sweeps if they are coupled.

    Args:
        machine: the machine.
        visible: [m, n_visible].
        generator: of the random numbers.

    Returns:
        [m, n].
    """
    if machine.n_hidden == 0:
        return visible
    units = machine.random_units(len(visible), generator)
    units[:, : machine.n_visible] = visible
    free = torch.arange(machine.n_units, device=visible.device) >= machine.n_visible
    sweeps = 1 if machine.hidden_are_independent else _HIDDEN_SWEEPS
    return machine.sample(len(visible), sweeps, generator, start=units, free=free)
