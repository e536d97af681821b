"""Whether a model's gradient is that of its loss: if not, no attack that follows it says anything of robustness.

A gradient field is a potential's only if its work along any path is the potential's difference. A defence that masks,
quantises or randomises the gradient breaks this, and hides from gradient attacks without being robust (Athalye,
Carlini & Wagner, "Obfuscated gradients give a false sense of security", 2018). The audit takes the model's mode as it
is, in a copy and in float64, and integrates along straight lines: in random directions, along the gradient, and between
samples, until one does not close. Where a quadrature does not converge, as with kinks, lines are sampled instead:

==========================================  ====================================================================
W ≈ Σ_k (f(s_k) + f(t_k)) / 2N              f = dV/dt; s_k, t_k drawn in the k-th of N equal strata of the line
σ² ≤ Σ_i (f_i+1 − f_i)² / 4N²               over all points in order: a kink is seen between two of them; W has no bias
==========================================  ====================================================================
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sciml_zoo.adversarial.line_integral import work
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import Loss, LossPotential, cross_entropy
from sciml_zoo.adversarial.segments import Segments
from sciml_zoo.errors import InputError

__all__ = ["Audit", "audit"]

# Of max(|ΔV|, ∫ ‖∇V‖ ds): what is not looked into, by the precision in which the model computes.
_TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-2}
# Of the precision's epsilon: what rounding leaves in a value of about 1.
_ROUNDING = 100.0
# The quadrature's own error estimate, and the standard deviation of samples, count so often beside it.
_ERRORS, _DEVIATIONS = 3.0, 5.0
# A closure of so many tolerances needs no sampling to confirm it; of so many, confirmed, no further lines.
_CLEAR, _ENOUGH = 100.0, 10.0
_SCALES = (0.1, 1.0)
_HALVINGS = 2
# Lines that do not close at first are sampled again, more densely.
_STRATA = (128, 1024)
_TOGETHER = 1024
# Samples that act on each other are integrated together: fewer of them.
_COUPLED_SAMPLES = 4


@dataclass(frozen=True)
class Audit:
    """The verdict on a gradient.

    Attributes:
        honest: whether it is that of the loss.
        reason: in words, and why it matters.
        closure: the largest |W − ΔV| found beyond the integral's own error, as a part of max(|ΔV|, ∫ ‖∇V‖ ds).
        tolerance: what is not looked into.
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
        InputError: inputs that are not floating or not finite, labels of another number, no sample, a model that
            cannot be evaluated, or a loss that is not finite.
    """
    if not isinstance(inputs, Tensor):
        raise InputError(f"inputs of type {type(inputs).__name__}: give a tensor")
    if not inputs.is_floating_point():
        raise InputError(f"inputs of {inputs.dtype}: give floating point numbers, such as inputs.float() / 255")
    if not torch.isfinite(inputs).all() or not len(inputs):
        raise InputError("the inputs must be at least one sample of finite numbers")
    if labels is not None and len(labels) != len(inputs):
        raise InputError(f"{len(inputs)} inputs, but {len(labels)} labels: give one each")
    if samples < 1:
        raise InputError(f"samples: {samples} is not at least 1")
    inputs, labels = inputs[:samples].detach(), None if labels is None else labels[:samples]
    potential, inputs = _prepared(model, inputs, labels, loss)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        precision = _precision(potential, inputs)
        tolerance = _TOLERANCE[precision]
        repeated = _repeated(potential, inputs)
        if repeated > tolerance:
            return _verdict(model, repeated, "evaluations", tolerance, repeated, False, 0, potential.gradients)
        coupled = _coupled(potential, inputs) > tolerance
        if coupled:
            inputs, labels = inputs[:_COUPLED_SAMPLES], None if labels is None else labels[:_COUPLED_SAMPLES]
            potential, inputs = _prepared(model, inputs, labels, loss)
        lines = _lines(potential, inputs)
        if coupled:
            lines = {kind: Path(path.points[:, None], kind) for kind, path in lines.items()}
            potential = _Whole(potential)
        found: dict[str, float] = {}
        for kind, path in lines.items():
            found[kind] = _closure(potential, path, tolerance, torch.finfo(precision).eps)
            if found[kind] > _ENOUGH * tolerance:
                break
    worst = max(found, key=found.__getitem__)
    gradients = potential.gradients * (len(inputs) if coupled else 1)
    return _verdict(model, found[worst], worst, tolerance, repeated, coupled, len(found) * len(inputs), gradients)


def _prepared(
    model: Callable[[Tensor], Tensor], inputs: Tensor, labels: Tensor | None, loss: Loss | None
) -> tuple[LossPotential, Tensor]:
    """Returns the potential in float64 and its inputs, or in the model's own precision where it has no other."""
    for dtype in (torch.float64, torch.float32):
        try:
            potential = LossPotential(model, labels, loss=_each(loss), dtype=dtype, keep_mode=True)
            value = potential.value_and_gradient(inputs.to(dtype))[0]
        except InputError:
            raise
        except Exception as error:  # whatever a user's model may raise
            problem = error
            continue
        if not torch.isfinite(value).all():
            raise InputError("the loss is not finite at the inputs")
        return potential, inputs.to(dtype)
    raise InputError(
        f"the model cannot be copied, or evaluated with a gradient at the inputs: {type(problem).__name__}: {problem}"
    )


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


def _precision(potential: LossPotential, inputs: Tensor) -> torch.dtype:
    """Returns float32 where no digit of the gradient is beyond it: a model may compute in less than it is given."""
    gradient = potential.value_and_gradient(inputs)[1]
    single = gradient.to(torch.float32)
    return torch.float32 if single.any() and bool((single.to(gradient.dtype) == gradient).all()) else inputs.dtype


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


def _closure(potential: LossPotential, path: Path, tolerance: float, epsilon: float) -> float:
    """Returns the largest closure beyond the integrals' errors, as a part of what there was to integrate."""
    segments = Segments(potential, path)
    ends = torch.stack([potential.value(path.start), potential.value(path.end)]).double()
    delta = ends[1] - ends[0]
    rounding = _ROUNDING * epsilon * (1 + ends.abs().amax(0))
    beyond, unsettled = torch.zeros_like(delta), torch.ones_like(delta, dtype=torch.bool)
    if not segments.units:
        found = work(potential, path, tolerance=tolerance / 10, max_halvings=_HALVINGS)
        size = (found.dissipation + delta.abs()).maximum(delta.abs())
        error = _ERRORS * found.error_estimate + rounding
        beyond = _part(found.closure - error, size, rounding)
        unsettled = (beyond <= _CLEAR * tolerance) & (found.closure + error > tolerance * size + 2 * rounding)
    for strata in _STRATA:
        if not unsettled.any() or (beyond > _CLEAR * tolerance)[~unsettled].any():
            break
        total, deviation, effort = _sampled(segments, unsettled, strata)
        size = effort.maximum(delta.abs())
        beyond[unsettled] = _part((total - delta).abs() - _DEVIATIONS * deviation - rounding, size, rounding)[unsettled]
        unsettled = unsettled & (beyond > tolerance)
    return float(beyond.amax())


def _part(excess: Tensor, size: Tensor, rounding: Tensor) -> Tensor:
    return excess.clamp(min=0) / size.maximum(rounding)


def _sampled(segments: Segments, which: Tensor, strata: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the work along lines, its standard deviation, and ∫ ‖∇V‖ ds, all [batch]; zero where not asked for.

    Args:
        segments: of the lines, one each at most.
        which: lines, bool [batch].
        strata: two points in each.
    """
    total, variance, effort = (torch.zeros(which.shape, dtype=torch.float64, device=which.device) for _ in range(3))
    for segment in which[segments.row].nonzero()[:, 0].tolist():
        drawn = torch.rand(strata, 2, dtype=torch.float64).to(which.device)
        place = ((torch.arange(strata, device=which.device)[:, None] + drawn.sort(1).values) / strata).flatten()
        parts = [segments.forces(torch.full_like(at, segment, dtype=torch.int64), at) for at in place.split(_TOGETHER)]
        along = torch.cat([part[0] for part in parts])
        row = segments.row[segment]
        total[row] = along.mean()
        variance[row] = along.diff().square().sum() / (2 * strata) ** 2
        effort[row] = torch.cat([part[1] for part in parts]).mean()
    return total, variance.sqrt(), effort


class _Whole(LossPotential):
    """The sum of the losses of a batch whose samples act on each other, as the potential of one sample."""

    def __init__(self, inner: LossPotential) -> None:
        self._inner = inner
        super().__init__(lambda batches: torch.stack([inner._value(batch, None).sum() for batch in batches]), loss=None)
        self.dtype = inner.dtype


def _verdict(
    model: Callable[[Tensor], Tensor],
    closure: float,
    worst: str,
    tolerance: float,
    repeated: float,
    coupled: bool,
    lines: int,
    gradients: int,
) -> Audit:
    margin = closure / tolerance
    if repeated > tolerance:
        reason = (
            f"two evaluations of the same inputs differ by {repeated:.2g} of their size: the model draws at random or "
            "changes with each call, and one gradient is not that of the expected loss; attack the expectation "
            "(average over draws) before any claim of robustness"
        )
    elif margin > 1:
        reason = (
            f"work and difference of the loss do not close ({worst}: {closure:.2g} of what there is to integrate, "
            f"{margin:.2g} times the tolerance): the gradient is not that of this loss, as where it is masked, "
            "quantised, clipped or detached; that attacks which follow it fail says nothing of robustness"
        )
    else:
        reason = (
            f"on {lines} lines, work and difference of the loss agree"
            + (f" to {closure:.2g} of what there is to integrate" if closure > 0 else " within the integral's error")
            + ": the gradient is that of the loss, which alone does not make the model robust"
        )
    if tolerance == _TOLERANCE[torch.float32]:
        reason += "; the model computes in single precision, in which differences below 1 % are not looked into"
    if coupled:
        reason += "; samples of the batch act on each other, so that only the sum of their losses was tested"
    if getattr(model, "training", False):
        reason += "; the model is in training mode: if that is not meant, call model.eval() first"
    return Audit(margin <= 1, reason, closure, tolerance, margin, worst, repeated, coupled, lines, gradients)
