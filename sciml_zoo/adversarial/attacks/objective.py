"""What attacks climb, on logits: the loss of a label, and the margin by which other classes beat it.

=========================================  =============================================================
m(x) = max_{k≠y} f_k(x) − f_y(x)           margin: above 0 where x is classified wrongly
m(x) = f_t(x) − max_{k≠t} f_k(x)           of a target t: above 0 where x is classified as t
L(x), −L_t(x)                              loss of the label, minus loss of the target
f_t(x) − f_y(x)                            one class against the label: :class:`ClassMargins`
=========================================  =============================================================
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sciml_zoo.adversarial.potential import LossPotential, cross_entropy
from sciml_zoo.errors import InputError

__all__ = ["ClassMargins", "Climb", "Objective", "check_budget", "check_inputs", "margin"]

Model = Callable[[Tensor], Tensor]
_OTHERS = -1


class Climb(NamedTuple):
    """A value to climb, [n], its gradient [n, ...], and the margin that the same pass through the model gave, [n]."""

    value: Tensor
    gradient: Tensor
    margin: Tensor


def margin(logits: Tensor, classes: Tensor | None) -> Tensor:
    """Returns by how much the best of the other classes beats a class, [n].

    Args:
        logits: [n, classes].
        classes: int64 [n].

    Raises:
        InputError: no classes, or one beyond the logits.
    """
    if classes is None:
        raise InputError("a margin needs classes")
    try:
        own = logits.gather(1, classes[:, None])
    except RuntimeError as error:
        raise InputError(f"classes {list(classes.shape)} for {logits.shape[1]} logits: {error}") from error
    others = logits.scatter(1, classes[:, None], -torch.inf)
    return others.amax(1) - own[:, 0]


def check_inputs(inputs: Tensor, labels: Tensor, targets: Tensor | None, bounds: tuple[float, float] | None) -> Tensor:
    """Returns the inputs without a gradient of their own.

    Args:
        inputs: [batch, ...].
        labels: int64 [batch].
        targets: likewise; None: any class but the label.
        bounds: the box; None: none.

    Raises:
        InputError: shapes do not agree, inputs are not floating point or lie outside the box, or a target is the label.
    """
    if not isinstance(inputs, Tensor) or not isinstance(labels, Tensor):
        raise InputError("inputs and labels must be tensors; torch.as_tensor makes them of arrays")
    if not inputs.is_floating_point() or inputs.dim() < 2 or not len(inputs):
        raise InputError(f"inputs of {inputs.dtype} {list(inputs.shape)}: give floating point numbers [batch, ...]")
    if not torch.isfinite(inputs).all():
        raise InputError(
            f"sample {int((~torch.isfinite(inputs.flatten(1)).all(1)).nonzero()[0])}: an input is not finite"
        )
    for name, classes in (("labels", labels), ("targets", targets)):
        if classes is not None and classes.shape != inputs.shape[:1]:
            raise InputError(f"{name} of shape {list(classes.shape)} for {len(inputs)} inputs: give one class each")
        if classes is not None and classes.dtype != torch.int64:
            raise InputError(f"{name} of {classes.dtype}: give classes as int64, such as {name}.long()")
    if targets is not None and bool((targets == labels).any()):
        raise InputError(f"sample {int((targets == labels).nonzero()[0])}: the target is the label")
    if bounds is not None and not bool(((inputs >= bounds[0]) & (inputs <= bounds[1])).all()):
        raise InputError(
            f"inputs reach from {inputs.min():g} to {inputs.max():g}, outside the bounds {bounds}; give bounds=(low, "
            "high) of yours, or bounds=None for no box"
        )
    return inputs.detach()


def check_budget(budget: int) -> None:
    """Checks a number of gradients.

    Args:
        budget: of each sample.

    Raises:
        InputError: less than one.
    """
    if budget < 1:
        raise InputError(f"a budget of {budget} gradients: give at least 1")


class Objective:
    """What an attack climbs, with the margin of the same pass.

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        labels: int64 [batch].
        targets: classes to reach, likewise; None: any but the label.
        loss: what to climb, of logits and classes: the cross-entropy, or :func:`margin`.
    """

    def __init__(
        self,
        model: Model,
        labels: Tensor,
        targets: Tensor | None = None,
        *,
        loss: Callable[[Tensor, Tensor | None], Tensor] = cross_entropy,
    ) -> None:
        self._loss = loss
        self._sign = 1.0 if targets is None else -1.0
        self._margin = torch.empty(0)
        self._potential = LossPotential(model, labels if targets is None else targets, loss=self._signed)

    def _signed(self, logits: Tensor, classes: Tensor | None) -> Tensor:
        if logits.dim() != 2 or logits.shape[1] < 2:
            raise InputError(f"outputs of shape {list(logits.shape)}: an attack needs logits [n, classes], two or more")
        self._margin = self._sign * margin(logits.detach(), classes)
        return self._sign * self._loss(logits, classes)

    def logits(self, points: Tensor) -> Tensor:
        """Returns the logits of points [n, ...], without a gradient, [n, classes]."""
        with torch.no_grad():
            return self._potential.outputs(points)

    def climb(self, points: Tensor, rows: Tensor | None = None) -> Climb:
        """Returns value, gradient and margin at points [n, ...] of the samples ``rows`` [n] (None: all, in order)."""
        value, gradient = self._potential.value_and_gradient(points, rows)
        return Climb(value, gradient, self._margin)

    def judge(self, points: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns value and margin at points, without a gradient, both [n]; arguments as for :meth:`climb`."""
        return self._potential.value(points, rows), self._margin

    def margin(self, points: Tensor, rows: Tensor | None = None) -> Tensor:
        """Returns the margin at points, without a gradient, [n]; arguments as for :meth:`climb`."""
        return self.judge(points, rows)[1]


class ClassMargins:
    """Margins of single classes: of samples that avoid their label, f_t − f_y for any t; of targeted ones, m(x).

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        labels: int64 [batch].
        n_classes: of the model.
        targets: classes to reach, int64 [batch]; None: any but the label.
    """

    def __init__(self, model: Model, labels: Tensor, n_classes: int, targets: Tensor | None = None) -> None:
        classes = torch.arange(n_classes, device=labels.device).repeat(len(labels))
        rivals = labels if targets is None else torch.full_like(labels, _OTHERS)
        pairs = torch.stack([rivals.repeat_interleave(n_classes), classes], 1)
        self._n_classes = n_classes
        self._potential = LossPotential(model, pairs, loss=_difference)

    def value(self, points: Tensor, rows: Tensor, classes: Tensor) -> Tensor:
        """Returns the margins, without a gradient, [n].

        Args:
            points: [n, ...].
            rows: to which sample of the batch each belongs, int64 [n].
            classes: int64 [n].
        """
        return self._potential.value(points, rows * self._n_classes + classes)

    def value_and_gradient(self, points: Tensor, rows: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the margins [n] and their gradients [n, ...]; arguments as for :meth:`value`."""
        return self._potential.value_and_gradient(points, rows * self._n_classes + classes)


def _difference(logits: Tensor, pairs: Tensor | None) -> Tensor:
    """Returns how far each pair's second class is above its first, or above all others, [n]."""
    assert pairs is not None
    rivals, classes = pairs[:, :1], pairs[:, 1:]
    own = logits.gather(1, classes)[:, 0]
    others = logits.scatter(1, classes, -torch.inf).amax(1)
    one = logits.gather(1, rivals.clamp_min(0))[:, 0]
    return own - torch.where(rivals[:, 0] == _OTHERS, others, one)
