"""The partition function of a machine too large to enumerate, with an error bar: annealed importance sampling.

    E_β(u) = −β Σ W_ij u_i u_j − Σ ((1 − β) a_i + β b_i) u_i,    β = 0 … 1
    log w = Σ_k F_{β_{k−1}}(v_k) − F_{β_k}(v_k),    Z ≈ Z_0 · mean w

| symbol | here |
|---|---|
| a | ``base_fields``, of the independent units at β = 0 (Z_0 in closed form) |
| w | importance weights, one a chain; E[w] = Z/Z_0 exactly, so that log Z is on average too small |
| (Σw)² / Σw² | ``effective_sample_size`` |

R. M. Neal, Statistics and Computing 11, 125 (2001); Salakhutdinov & Murray, ICML 2008.
"""

import copy
import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.ising.model import BoltzmannMachine
from sciml_zoo.ising.objectives import visible_energy

__all__ = ["AnnealedImportance", "FewEffectiveSamplesWarning", "annealed_importance_sampling", "base_rate_fields"]

_FEWEST_EFFECTIVE = 0.1


class FewEffectiveSamplesWarning(UserWarning):
    """A few chains carry all the weight: the estimate and its error bar cannot be trusted."""


@dataclass(frozen=True)
class AnnealedImportance:
    """An estimate of log Z.

    Attributes:
        log_z: nats.
        log_z_error: standard error, from the spread of the weights.
        effective_sample_size: of the weights, between 1 and the number of chains.
        chains: number of chains.
        temperatures: number of steps from β = 0 to 1.
    """

    log_z: float
    log_z_error: float
    effective_sample_size: float
    chains: int
    temperatures: int


def base_rate_fields(machine: BoltzmannMachine, visible: Tensor) -> Tensor:
    """Finds the independent units that come nearest to samples.

    Args:
        machine: whose units are meant.
        visible: samples [m, n_visible].

    Returns:
        Fields [n] with the samples' means, one sample of each value added; zero for hidden units.
    """
    up = (visible == machine.up).double().sum(0)
    chance = (up + 1) / (len(visible) + 2)
    fields = torch.zeros(machine.n_units, dtype=torch.float64, device=visible.device)
    fields[: machine.n_visible] = torch.logit(chance) / machine.gap
    return fields


@torch.no_grad()
def annealed_importance_sampling(
    machine: BoltzmannMachine,
    *,
    chains: int = 500,
    temperatures: int = 2000,
    base_fields: Tensor | None = None,
    seed: int = 0,
) -> AnnealedImportance:
    """Estimates log Z by annealing independent chains from independent units to the machine.

    Args:
        machine: the machine.
        chains: number of chains.
        temperatures: Gibbs steps of each chain; the more, the smaller spread and bias.
        base_fields: a [n]; None: zero. See :func:`base_rate_fields`.
        seed: of the random numbers.

    Returns:
        The estimate with its standard error.

    Raises:
        InputError: fewer than two chains or one temperature, or fields of another shape.

    Warns:
        FewEffectiveSamplesWarning: fewer than a tenth of the chains carry the weight.
    """
    if chains < 2 or temperatures < 1:
        raise InputError(f"annealing needs at least 2 chains and 1 temperature, got {chains} and {temperatures}")
    base = torch.zeros(machine.n_units) if base_fields is None else base_fields
    if base.shape != (machine.n_units,):
        raise InputError(f"base_fields have shape {list(base.shape)}; expected [{machine.n_units}]")
    annealed = copy.deepcopy(machine).double()
    couplings, fields = annealed.couplings.clone(), annealed.fields.clone()
    base = base.to(fields)
    annealed.offset.zero_()

    def set_to(beta: float) -> None:
        annealed.couplings.copy_(beta * couplings)
        annealed.fields.copy_((1 - beta) * base + beta * fields)

    generator = torch.Generator(fields.device).manual_seed(seed)
    set_to(0.0)
    units = annealed.sample(chains, 1, generator)  # without couplings one step gives independent samples
    log_weights = torch.zeros_like(units[:, 0])
    for step in range(1, temperatures + 1):
        before = visible_energy(annealed, units)
        set_to(step / temperatures)
        log_weights += before - visible_energy(annealed, units)
        if step < temperatures:
            units = annealed.gibbs_step(units, generator)
    weights = torch.softmax(log_weights, 0)
    effective = float(1 / weights.square().sum())
    log_z = float(torch.logsumexp(log_weights, 0)) - math.log(chains) + float(machine.log_unit_sum(base).sum())
    relative = float(weights.std()) * chains / math.sqrt(chains)
    if effective < _FEWEST_EFFECTIVE * chains:
        warnings.warn(
            f"annealed importance sampling: only {effective:.1f} of {chains} chains carry the weight; raise "
            f"temperatures (now {temperatures})",
            FewEffectiveSamplesWarning,
            stacklevel=2,
        )
    return AnnealedImportance(log_z - float(machine.offset), relative, effective, chains, temperatures)
