"""Learning rates modulated per connection by DNA methylation.

===================================================  ======================================================
s_t = W x_t + b                                      a linear map of a recurrent network, at base t
δ_t = ∂L/∂s_t                                        what backpropagation through time brings to it
Σ_t δ_t x_tᵀ                                         gradient of W; of b with x_t = 1, here and below
(a) Σ_t (1 − κ m_t) δ_t x_tᵀ                         ``per_step``: the gradient, at methylation m_t ∈ [0, 1]
(b) α_ij = 1 − κ m̄_ij                                ``per_connection``: the learning rate's multiplier
m̄_ij = Σ_t m_t |δ_i,t x_j,t| / Σ_t |δ_i,t x_j,t|       methylation where the connection is eligible; 0 if it never is
===================================================  ======================================================

Sums are over samples and time. In (a) only the contribution to W and b is scaled: what flows on to x_t is not. In (b)
gradients are as they are, and :meth:`PlasticContext.alphas` goes to :class:`sciml_zoo.optim.Plasticity`. A parameter θ
that occurs at several places of W is one connection: its sums run over all of them. κ = 0 is the network without
plasticity, bit for bit; :func:`uniform_control` and :func:`shuffled_control` are what methylation is compared with.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sciml_zoo.errors import InputError

__all__ = [
    "Definition",
    "EligibilityRecord",
    "PlasticContext",
    "connection",
    "modulated_linear",
    "plastic",
    "shuffled_control",
    "uniform_control",
]

Definition = Literal["per_step", "per_connection"]
Assemble = Callable[[Tensor], Tensor]


@dataclass
class EligibilityRecord:
    """The eligibility of a parameter in one linear map; filled by the backward pass.

    Attributes:
        parameter: θ.
        assemble: W or b as a function of θ, every entry an entry of θ or a constant; None: θ itself.
        methylation: m, [...], the shape of the map's input without its last axis.
        numerator: Σ m |δ x| of each place of W or b, [n_out, n_in] or [n_out, 1]; None before the backward pass.
        denominator: Σ |δ x|.
    """

    parameter: Tensor
    assemble: Assemble | None
    methylation: Tensor
    numerator: Tensor | None = None
    denominator: Tensor | None = None

    def add(self, delta: Tensor, x: Tensor) -> None:
        """Adds what one backward pass brings.

        Args:
            delta: gradient of the map's output, [..., n_out].
            x: its input, [..., n_in]; for a bias ones, [..., 1].
        """
        delta, x = (y.to(self.parameter.dtype).abs().reshape(-1, y.shape[-1]) for y in (delta, x))
        methylation = self.methylation.to(x).reshape(-1, 1)
        numerator, denominator = delta.T @ (methylation * x), delta.T @ x
        self.numerator = numerator if self.numerator is None else self.numerator + numerator
        self.denominator = denominator if self.denominator is None else self.denominator + denominator

    def folded(self) -> tuple[Tensor, Tensor]:
        """Returns numerator and denominator of the parameter's shape, summed over the places of each entry."""
        if self.numerator is None or self.denominator is None:
            nothing = torch.zeros_like(self.parameter)
            return nothing, nothing
        if self.assemble is None:
            return self.numerator.reshape(self.parameter.shape), self.denominator.reshape(self.parameter.shape)
        # The transpose of the linear map from θ to W sums over places.
        full, transpose = torch.func.vjp(self.assemble, self.parameter.detach())[:2]
        numerator, denominator = (transpose(y.reshape(full.shape))[0] for y in (self.numerator, self.denominator))
        return numerator, denominator


@dataclass(frozen=True)
class PlasticContext:
    """What :func:`plastic` puts in force.

    Attributes:
        kappa: κ in [0, 1].
        methylation: m in [0, 1], [B, L]; NaN where it is not known, which counts as 0.
        definition: (a) or (b).
        records: of the maps read so far, under (b).
    """

    kappa: float
    methylation: Tensor
    definition: Definition = "per_step"
    records: list[EligibilityRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.kappa <= 1:
            raise InputError(f"kappa: {self.kappa} is not in [0, 1]")
        if self.definition not in get_args(Definition):
            raise InputError(f"definition: {self.definition!r} is none of {', '.join(get_args(Definition))}")
        outside = (self.methylation < 0) | (self.methylation > 1)
        if outside.any():
            raise InputError(f"methylation: {self.methylation[outside][0].item():g} is not in [0, 1]")
        object.__setattr__(self, "methylation", self.methylation.detach().nan_to_num())

    def alphas(self) -> dict[Tensor, Tensor]:
        """Returns α in [1 − κ, 1] of every parameter read under (b), of its shape; to be asked after ``backward``."""
        sums: dict[Tensor, tuple[Tensor, Tensor]] = {}
        for record in self.records:
            numerator, denominator = record.folded()
            if record.parameter in sums:
                before = sums[record.parameter]
                numerator, denominator = before[0] + numerator, before[1] + denominator
            sums[record.parameter] = numerator, denominator
        return {parameter: 1 - self.kappa * _mean(*pair) for parameter, pair in sums.items()}


_context: ContextVar[PlasticContext | None] = ContextVar("plastic", default=None)


@contextmanager
def plastic(
    kappa: float,
    methylation: Tensor,
    definition: Definition = "per_step",
    records: list[EligibilityRecord] | None = None,
) -> Iterator[PlasticContext]:
    """Makes every :func:`connection` read inside plastic; ``backward`` may come later, and outside.

    Do not hold it open over a ``yield``: whoever goes on would be inside, too.

    Args:
        kappa: κ in [0, 1].
        methylation: m in [0, 1] of what is read, [B, L], or [B] for one base at a time; NaN counts as 0.
        definition: (a) or (b).
        records: of an earlier context, for parts of one optimizer step: its eligibilities are summed with these.

    Yields:
        The context, to be asked for its ``alphas()`` under (b).

    Raises:
        InputError: κ or m outside [0, 1].
    """
    context = PlasticContext(kappa, methylation, definition, [] if records is None else records)
    token = _context.set(context)
    try:
        yield context
    finally:
        _context.reset(token)


def connection(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    owner: nn.Parameter | None = None,
    assemble: Assemble | None = None,
    bias_owner: nn.Parameter | None = None,
    assemble_bias: Assemble | None = None,
) -> Tensor:
    """The linear map W x + b of a plastic layer: ``F.linear``, unless :func:`plastic` is in force.

    Args:
        x: [..., n_in]; [B, L, n_in] for methylation [B, L].
        weight: [n_out, n_in].
        bias: [n_out].
        owner: the parameter that the weight is made of; None: the weight is the parameter.
        assemble: how, ``weight = assemble(owner)``; every entry is one of the parameter's or a constant.
        bias_owner: likewise of the bias.
        assemble_bias: likewise.

    Returns:
        [..., n_out].

    Raises:
        InputError: the methylation in force has another shape than x, or (b) cannot know a parameter.
    """
    context = _context.get()
    if context is None or not torch.is_grad_enabled():
        return F.linear(x, weight, bias)
    methylation = context.methylation
    if methylation.shape != x.shape[:-1]:
        raise InputError(f"methylation {list(methylation.shape)} is not that of a sequence {list(x.shape[:-1])}")
    if context.definition == "per_step":
        if context.kappa == 0:
            return F.linear(x, weight, bias)  # bit for bit: for some layouts our products sum in another order
        return modulated_linear(x, weight, bias, 1 - context.kappa * methylation.to(weight.dtype))
    y = F.linear(x, weight, bias)
    if weight.requires_grad:
        _watch(y, x, _record(context, weight, owner, assemble, "owner"))
    if bias is not None and bias.requires_grad:
        ones = x.new_ones(()).expand(*x.shape[:-1], 1)
        _watch(y, ones, _record(context, bias, bias_owner, assemble_bias, "bias_owner"))
    return y


def modulated_linear(x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor) -> Tensor:
    """The map W x + b with gradients Σ scale δ xᵀ of W, Σ scale δ of b, and Wᵀ δ of x: definition (a).

    Args:
        x: [..., n_in].
        weight: [n_out, n_in].
        bias: [n_out].
        scale: 1 − κ m, [...].

    Returns:
        [..., n_out].
    """
    y: Tensor = _ModulatedLinear.apply(x, weight, bias, scale)
    return y


class _ModulatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, scale)
        return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable  # the result is no gradient of a function, so that it has no derivative of use
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        delta = gradients[0].to(weight.dtype)  # lower under autocast
        contribution = (scale.unsqueeze(-1) * delta).reshape(-1, delta.shape[-1])
        needs_x, needs_weight, needs_bias, _ = ctx.needs_input_grad
        return (
            delta @ weight if needs_x else None,
            contribution.T @ x.to(weight.dtype).reshape(-1, x.shape[-1]) if needs_weight else None,
            contribution.sum(0) if needs_bias else None,
            None,
        )


def _record(
    context: PlasticContext, tensor: Tensor, owner: Tensor | None, assemble: Assemble | None, name: str
) -> EligibilityRecord:
    if owner is None:
        owner = tensor
    if not owner.is_leaf or (assemble is None and owner is not tensor):
        raise InputError(f"per_connection: pass {name}=, the parameter, and how this tensor is assembled from it")
    record = EligibilityRecord(owner, assemble, context.methylation)
    context.records.append(record)
    return record


def _watch(y: Tensor, x: Tensor, record: EligibilityRecord) -> None:
    x = x.detach()
    y.register_hook(lambda delta: record.add(delta, x))


def _mean(numerator: Tensor, denominator: Tensor) -> Tensor:
    # Two matrix products need not sum in the same order: a mean of ones could be above one, and α below 1 − κ.
    return torch.where(denominator > 0, numerator / denominator, 0.0).clamp(max=1.0)


def uniform_control(methylation: Tensor) -> Tensor:
    """The same mean everywhere: what the amount of methylation does, wherever it is.

    Args:
        methylation: [B, L]; NaN, where it is not known, counts as 0.

    Returns:
        The mean of each sequence at all of its bases, [B, L].
    """
    return methylation.nan_to_num().mean(-1, keepdim=True).expand_as(methylation).clone()


def shuffled_control(methylation: Tensor, generator: torch.Generator) -> Tensor:
    """The same values at the same cytosines, in a random order: what it does to be a cytosine that was covered.

    Args:
        methylation: [B, L]; NaN where it is not known, hence at all bases that are not a cytosine.
        generator: on the tensor's device.

    Returns:
        The known values of each sequence permuted among themselves, zero elsewhere, [B, L].
    """
    shuffled = methylation.nan_to_num()
    for values, known in zip(shuffled, ~methylation.isnan(), strict=True):
        order = torch.randperm(int(known.sum()), generator=generator, device=methylation.device)
        values[known] = values[known][order]
    return shuffled
