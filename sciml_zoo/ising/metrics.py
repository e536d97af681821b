"""The scores of Boltzmann machines: log-likelihood with its error, pseudo-likelihood, moments; infinite couplings."""

import math
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.ising.annealed_importance import annealed_importance_sampling, base_rate_fields
from sciml_zoo.ising.model import BoltzmannMachine
from sciml_zoo.ising.objectives import exact_likelihood, pseudo_likelihood
from sciml_zoo.ising.partition import enumerated_units, log_partition

__all__ = ["DivergentPair", "LogPartition", "best_log_partition", "divergent_pairs", "moment_error", "scores"]

# 2²⁵ states take seconds.
_EXACT_LIMIT = 25
_ROWS = 1024


@dataclass(frozen=True)
class LogPartition:
    """log Z, and how well it is known.

    Attributes:
        value: nats.
        error: standard error; 0 for an exact sum.
        effective_sample_size: of annealed importance sampling; None for an exact sum.
    """

    value: float
    error: float
    effective_sample_size: float | None


@dataclass(frozen=True)
class DivergentPair:
    """Two units of which one joint value never occurs: the coupling of greatest likelihood is infinite.

    Attributes:
        i: the first unit.
        j: the second unit.
        missing: the joint value, 0/1 each, that no sample has.
        sign: towards which infinity the coupling goes, −1 or +1.
    """

    i: int
    j: int
    missing: tuple[int, int]
    sign: int


def divergent_pairs(samples: ArrayLike) -> list[DivergentPair]:
    """Finds pairs whose maximum-likelihood coupling is infinite because a joint value never occurs.

    That is sufficient, not necessary: samples on another face of the polytope of correlations have couplings at
    infinity too. A unit that never changes has an infinite field, and is in no pair.

    Args:
        samples: 0/1 [m, n].

    Returns:
        The pairs, in order.

    Raises:
        InputError: other values than 0 and 1.
    """
    x = torch.as_tensor(samples).double()
    if x.ndim != 2 or ((x != 0) & (x != 1)).any():
        raise InputError(f"samples of shape {list(x.shape)}: expected 0/1 [m, n]")
    varies = (x.mean(0) > 0) & (x.mean(0) < 1)
    pairs = []
    for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        counts = (x == a).double().T @ (x == b).double()
        for i, j in ((counts == 0) & varies & varies[:, None]).triu(1).nonzero().tolist():
            pairs.append(DivergentPair(i, j, (a, b), -1 if a == b else 1))
    return sorted(pairs, key=lambda pair: (pair.i, pair.j, pair.missing))


def best_log_partition(
    machine: BoltzmannMachine,
    visible: Tensor,
    *,
    limit: int = _EXACT_LIMIT,
    chains: int = 500,
    temperatures: int = 2000,
    seed: int = 0,
) -> LogPartition:
    """Computes log Z exactly where that is possible, and estimates it by annealed importance sampling elsewhere.

    Args:
        machine: the machine.
        visible: samples whose means the annealing starts from [m, n_visible].
        limit: the most units to enumerate.
        chains: of the annealing.
        temperatures: of the annealing.
        seed: of the annealing.

    Returns:
        log Z with its standard error.
    """
    if len(enumerated_units(machine)) <= limit:
        with torch.no_grad():
            return LogPartition(float(log_partition(machine, limit=limit)), 0.0, None)
    base = base_rate_fields(machine, visible)
    estimate = annealed_importance_sampling(
        machine, chains=chains, temperatures=temperatures, base_fields=base, seed=seed
    )
    return LogPartition(estimate.log_z, estimate.log_z_error, estimate.effective_sample_size)


def moment_error(machine: BoltzmannMachine, visible: Tensor, weights: Tensor, *, limit: int = _EXACT_LIMIT) -> float:
    """Computes how far the machine's moments are from those of samples: the gradient of the exact likelihood.

    Args:
        machine: the machine.
        visible: [m, n_visible].
        weights: [m], of sum 1.
        limit: the most units to enumerate.

    Returns:
        The largest difference of any ⟨u_i⟩, and of ⟨u_i u_j⟩ of any coupled pair, hidden units given the visible ones.
    """
    with torch.enable_grad():
        loss = exact_likelihood(machine, visible, weights, limit=limit)
        gradients = torch.autograd.grad(loss, [machine.couplings, machine.fields])
    return max(float(gradient.abs().max()) for gradient in gradients if gradient.numel())


@torch.no_grad()
def scores(machine: BoltzmannMachine, visible: Tensor, weights: Tensor, partition: LogPartition) -> dict[str, float]:
    """Computes the scores of samples.

    Args:
        machine: the machine.
        visible: [m, n_visible].
        weights: how often each sample occurs [m].
        partition: log Z.

    Returns:
        ``log_likelihood`` (mean, nats per sample), ``bits`` (its negative in bits: the entropy of the machine, if its
        moments are the samples'), ``log_likelihood_error`` (standard error: the samples' and log Z's),
        ``pseudo_log_likelihood`` (mean, nats per sample), ``log_z``, ``log_z_error``.
    """
    total = float(weights.sum())
    energies = torch.cat([machine.free_energy(rows).double() for rows in visible.split(_ROWS)])
    blocks = zip(visible.split(_ROWS), weights.split(_ROWS), strict=True)
    pseudo = sum(float(pseudo_likelihood(machine, rows, part)) for rows, part in blocks)
    mean = float((weights * energies).sum()) / total
    variance = float((weights * (energies - mean).square()).sum()) / max(total - 1, 1)
    log_likelihood = -mean - partition.value
    return {
        "log_likelihood": log_likelihood,
        "log_likelihood_error": math.sqrt(variance / total + partition.error**2),
        "bits": -log_likelihood / math.log(2),
        "pseudo_log_likelihood": -pseudo / total,
        "log_z": partition.value,
        "log_z_error": partition.error,
    }
