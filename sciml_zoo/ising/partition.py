"""The partition function of a small Boltzmann machine, exact and differentiable: its gradients are the model's moments.

    log Z = log Σ_u exp(−E(u)),    ∂ log Z/∂W_ij = ⟨u_i u_j⟩,    ∂ log Z/∂b_i = ⟨u_i⟩

Units that are not coupled with one another are summed in closed form. The states of the others are pairs (a, b) of
states of their two halves, so that the energies of all of them come from one matrix product:

    −E(a, b) = f(a) + g(b) + aᵀ W b + Σ_r log Σ_u exp(u θ_r(a, b))
"""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sciml_zoo.errors import InputError
from sciml_zoo.ising.model import BoltzmannMachine

__all__ = ["enumerated_units", "log_partition"]

_LOWER_UNITS = 12
# Numbers held at a time.
_BLOCK = 1 << 22


def enumerated_units(machine: BoltzmannMachine) -> Tensor:
    """Says over which units an exact sum must run; the others are summed in closed form.

    Args:
        machine: the machine.

    Returns:
        The smallest of: the visible units, if hidden ones are not coupled with one another; the hidden units, if
        visible ones are not; all units.
    """
    i, j = machine.edges
    visible = torch.arange(machine.n_visible, device=i.device)
    hidden = torch.arange(machine.n_visible, machine.n_units, device=i.device)
    choices = [torch.cat([visible, hidden])]
    if machine.hidden_are_independent:
        choices.append(visible)
    if not ((i < machine.n_visible) & (j < machine.n_visible)).any():
        choices.append(hidden)
    return min(choices, key=len)


def log_partition(machine: BoltzmannMachine, *, limit: int = 25) -> Tensor:
    """Computes log Z exactly, in float64.

    Args:
        machine: the machine.
        limit: the largest number of units whose states may be enumerated; time and 2^limit are proportional.

    Returns:
        Scalar, differentiable in the parameters.

    Raises:
        InputError: more units would have to be enumerated.
    """
    chosen = enumerated_units(machine)
    if len(chosen) > limit:
        raise InputError(
            f"log Z would be a sum over the states of {len(chosen)} units, the limit is {limit}: "
            "estimate it with annealed_importance_sampling"
        )
    couplings, fields = machine.coupling_matrix().double(), machine.fields.double()
    is_chosen = torch.zeros(machine.n_units, dtype=torch.bool, device=chosen.device)
    is_chosen[chosen] = True
    rest = (~is_chosen).nonzero().flatten()
    lower, upper = chosen[: _half(len(chosen))], chosen[_half(len(chosen)) :]
    b = machine.states(len(lower)).double()
    a = machine.states(len(upper)).double()

    def block(states: Tensor, couplings: Tensor, fields: Tensor) -> Tensor:
        def own(s: Tensor, index: Tensor) -> Tensor:
            return 0.5 * ((s @ couplings[index][:, index]) * s).sum(-1) + s @ fields[index]

        total = own(states, upper)[:, None] + own(b, lower) + (states @ couplings[upper][:, lower]) @ b.T
        if len(rest):
            theta = (states @ couplings[upper][:, rest])[:, None] + b @ couplings[lower][:, rest] + fields[rest]
            total = total + machine.log_unit_sum(theta).sum(-1)
        return torch.logsumexp(total.flatten(), dim=0)

    step = max(1, _BLOCK // (len(b) * max(1, len(rest))))
    blocks = a.split(step)
    if len(blocks) == 1 or not torch.is_grad_enabled():
        sums = [block(part, couplings, fields) for part in blocks]
    else:
        sums = [checkpoint(block, part, couplings, fields, use_reentrant=False) for part in blocks]
    return torch.logsumexp(torch.stack(sums), dim=0) - machine.offset.double()


def _half(n: int) -> int:
    return min((n + 1) // 2, _LOWER_UNITS)
