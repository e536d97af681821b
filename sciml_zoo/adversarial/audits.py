"""Whether a model's gradient is that of its loss: if not, no attack that follows it says anything of robustness.

A gradient field is a potential's only if its work along any path is the potential's difference. A defence that masks,
quantises or randomises the gradient breaks this, and hides from gradient attacks without being robust (Athalye,
Carlini & Wagner, "Obfuscated gradients give a false sense of security", 2018). The audit takes the model's mode as it
is, in a copy and in float64, and integrates along straight lines: in random directions, along the gradient, and between
samples.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sciml_zoo.adversarial.line_integral import work
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import Loss, LossPotential, cross_entropy
from sciml_zoo.errors import InputError

__all__ = ["Audit", "audit"]

# Of max(|ΔV|, ∫ ‖∇V‖ ds): what rounding and kinks leave, by dtype.
_TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-2}
# The quadrature's own error estimate counts so often beside it.
_ERRORS = 3.0
_SCALES = (0.1, 1.0)
_HALVINGS = 8
# Samples that act on each other are integrated together, where kinks cannot be cut out: fewer, and less closely.
_COUPLED_SAMPLES, _COUPLED_TOLERANCE, _COUPLED_HALVINGS = 4, 1e-3, 6


@dataclass(frozen=True)
class Audit:
    """The verdict on a gradient.

    Attributes:
        honest: whether it is that of the loss.
        reason: in words, and why it matters.
        closure: the largest |W − ΔV| found, as a part of max(|ΔV|, ∫ ‖∇V‖ ds) of its line.
        tolerance: what is still taken for rounding.
        margin: closure / tolerance: below 1 for an honest gradient.
        worst: the kind of line of the largest closure.
        repeated: the largest difference between two evaluations of the same inputs, relative.
        coupled: whether samples of the batch act on each other, so that only their sum was integrated.
        lines: integrated.
        gradients: of single samples, computed.
    """

    honest: bool
    reason: str
    closure: float
    tolerance: float
    margin: float
    worst: str
    repeated: float
    coupled: bool
    lines: int
    gradients: int

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields, for JSON."""
        return asdict(self)


def audit(
    model: Callable[[Tensor], Tensor],
    inputs: Tensor,
    labels: Tensor | None,
    loss: Loss | None = cross_entropy,
    *,
    samples: int = 16,
    seed: int = 0,
) -> Audit:
    """Tests whether a model's gradient belongs to its loss.

    Args:
        model: a module or callable; it is not changed.
        inputs: floating, [batch, ...], at least one.
        labels: [batch, ...], or None.
        loss: as for :class:`LossPotential`; a loss that gives one value for the batch is taken sample by sample.
        samples: of the batch that are looked at, at most.
        seed: of the directions, and of whatever the model draws.

    Returns:
        The verdict.

    Raises:
        InputError: inputs that are not floating or not finite, or a loss that is not finite.
    """
    if not inputs.is_floating_point() or not torch.isfinite(inputs).all() or not len(inputs):
        raise InputError("the inputs must be at least one sample of finite floating numbers")
    inputs, labels = inputs[:samples].detach(), None if labels is None else labels[:samples]
    potential, inputs = _prepared(model, inputs, labels, loss)
    tolerance = _TOLERANCE[inputs.dtype]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        repeated = _repeated(potential, inputs)
        if repeated > tolerance:
            return _verdict(repeated, "evaluations", tolerance, repeated, False, 0, potential.gradients)
        coupled = _coupled(potential, inputs) > tolerance
        halvings = _HALVINGS
        if coupled:
            inputs, labels = inputs[:_COUPLED_SAMPLES], None if labels is None else labels[:_COUPLED_SAMPLES]
            potential, inputs = _prepared(model, inputs, labels, loss)
            tolerance, halvings = max(tolerance, _COUPLED_TOLERANCE), _COUPLED_HALVINGS
        lines = _lines(potential, inputs)
        count = sum(path.points.shape[1] for path in lines.values())
        if coupled:
            lines = {kind: Path(path.points[:, None], kind) for kind, path in lines.items()}
            potential = _Whole(potential)
        found = {kind: _closure(potential, path, tolerance, halvings) for kind, path in lines.items()}
    worst = max(found, key=found.__getitem__)
    gradients = potential.gradients * (len(inputs) if coupled else 1)
    return _verdict(found[worst], worst, tolerance, repeated, coupled, count, gradients)


def _prepared(
    model: Callable[[Tensor], Tensor], inputs: Tensor, labels: Tensor | None, loss: Loss | None
) -> tuple[LossPotential, Tensor]:
    """Returns the potential in float64 and its inputs, or in the model's own precision where it has no other."""
    for dtype in (torch.float64, torch.float32):
        potential = LossPotential(model, labels, loss=_each(loss), dtype=dtype, keep_mode=True)
        try:
            value = potential.value(inputs.to(dtype))
        except (RuntimeError, TypeError) as error:
            problem = error
            continue
        if not torch.isfinite(value).all():
            raise InputError("the loss is not finite at the inputs")
        return potential, inputs.to(dtype)
    raise InputError(f"the model cannot be evaluated at the inputs: {problem}")


def _each(loss: Loss | None) -> Loss | None:
    """Returns a loss with a value for each sample."""
    if loss is None:
        return None

    def each(outputs: Tensor, labels: Tensor | None) -> Tensor:
        value = loss(outputs, labels)
        if value.dim() == 0 and len(outputs) > 1:
            rows = range(len(outputs))
            return torch.stack([loss(outputs[i : i + 1], None if labels is None else labels[i : i + 1]) for i in rows])
        return value.reshape(len(outputs))

    return each


def _repeated(potential: LossPotential, inputs: Tensor) -> float:
    first, second = (potential.value_and_gradient(inputs) for _ in range(2))
    return max(_difference(one, other) for one, other in zip(first, second, strict=True))


def _coupled(potential: LossPotential, inputs: Tensor) -> float:
    if len(inputs) < 2:
        return 0.0
    rows = torch.arange(len(inputs) // 2, device=inputs.device)
    return _difference(potential.value(inputs)[rows], potential.value(inputs[rows], rows))


def _difference(one: Tensor, other: Tensor) -> float:
    scale = torch.maximum(one.abs().amax(), other.abs().amax()).clamp(min=torch.finfo(one.dtype).tiny)
    return float((one - other).abs().amax() / scale)


def _lines(potential: LossPotential, inputs: Tensor) -> dict[str, Path]:
    """Returns lines from the inputs: random, along the gradient, and to each other."""
    shape = [len(inputs), *[1] * (inputs.dim() - 1)]
    spread = inputs.std() if inputs.numel() > 1 else inputs.new_ones(())
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    gradient = potential.value_and_gradient(inputs)[1]
    norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1).view(shape)
    reach = inputs[0].numel() ** 0.5
    lines = {}
    for scale in _SCALES:
        ends = inputs + scale * spread * torch.randn_like(inputs)
        lines[f"random direction, {scale:g} standard deviations"] = Path.straight(inputs, ends)
        climbed = inputs + scale * spread * reach * gradient / norm.clamp(min=torch.finfo(inputs.dtype).tiny)
        lines[f"along the gradient, {scale:g} standard deviations"] = Path.straight(inputs, climbed)
    if len(inputs) > 1:
        lines["between samples"] = Path.straight(inputs, inputs.roll(1, 0))
    return lines


def _closure(potential: LossPotential, path: Path, tolerance: float, halvings: int) -> float:
    """Returns the largest closure beyond the quadrature's error, as a part of what there was to integrate."""
    found = work(potential, path, tolerance=tolerance / 10, max_halvings=halvings)
    size = torch.maximum(found.delta_loss.abs(), found.dissipation + found.delta_loss.abs())
    beyond = (found.closure - _ERRORS * found.error_estimate).clamp(min=0)
    return float((beyond / size.clamp(min=1e-9)).amax())


class _Whole(LossPotential):
    """The sum of the losses of a batch whose samples act on each other, as the potential of one sample."""

    def __init__(self, inner: LossPotential) -> None:
        self._inner = inner
        super().__init__(lambda batches: torch.stack([inner._value(batch, None).sum() for batch in batches]), loss=None)
        self.dtype = inner.dtype


def _verdict(
    closure: float, worst: str, tolerance: float, repeated: float, coupled: bool, lines: int, gradients: int
) -> Audit:
    margin = closure / tolerance
    if repeated > tolerance:
        reason = (
            f"two evaluations of the same inputs differ by {repeated:.2g} of their size: the model draws at random, "
            "and one gradient is not that of the expected loss; attack the expectation (average over draws) before any "
            "claim of robustness"
        )
    elif margin > 1:
        reason = (
            f"work and difference of the loss do not close ({worst}: {closure:.2g} of what there is to integrate, "
            f"{margin:.2g} times the tolerance): the gradient is not that of this loss, as where it is masked, "
            "quantised, clipped or detached; that attacks which follow it fail says nothing of robustness"
        )
    else:
        reason = (
            f"on {lines} lines the work closes with the loss to {closure:.2g} of what there is to integrate: the "
            "gradient is that of the loss (which alone does not make the model robust)"
        )
    return Audit(margin <= 1, reason, closure, tolerance, margin, worst, repeated, coupled, lines, gradients)
