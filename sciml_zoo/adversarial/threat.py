"""Projected gradient ascent for training: what the network must withstand, found quickly and without a record.

==========================================  ==========================================================
x₀ = Π(x + u)                               u uniform in the ball ‖u‖ ≤ ε
x ← Π(x + α sign ∇L)                        L∞
x ← Π(x + α ∇L/‖∇L‖₂)                       L2
Π                                           onto the ball about the clean image, then the box [0, 1]
==========================================  ==========================================================

Madry et al., "Towards deep learning models resistant to adversarial attacks", arXiv:1706.06083. Since the clean image
lies in the box, clipping to the box does not leave the ball. Attacks whose way is measured are other modules' business.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sciml_zoo.adversarial.attacks.projections import into_box, norms, onto_ball, per_sample
from sciml_zoo.errors import InputError, nearest

__all__ = ["KINDS", "Threat", "strongest"]

_NORMS = {"linf": math.inf, "l2": 2.0}
KINDS = ("none", *_NORMS)
# Steps add up to so many radii, so that every point of the ball can be reached from any start in it.
_REACH = 2.5


@dataclass(frozen=True)
class Threat:
    """How far from the clean image an attacker may go, and how it looks for the worst place.

    Attributes:
        kind: ``none``, or the norm of the ball: ``linf`` or ``l2``.
        epsilon: its radius, in units of the pixels' range [0, 1].
        steps: of gradient ascent.
        step_size: α, in the same units; None: 2.5 ε / steps.
    """

    kind: str = "none"
    epsilon: float = 1.0
    steps: int = 10
    step_size: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind: {self.kind!r} is unknown; {nearest(self.kind, KINDS)}")
        if not 0 <= self.epsilon < float("inf"):
            raise InputError(f"epsilon: {self.epsilon} is not zero or more")
        if self.steps < 1:
            raise InputError(f"steps: {self.steps} is not at least 1")
        if self.step_size is not None and not 0 < self.step_size < float("inf"):
            raise InputError(f"step_size: {self.step_size} is not a positive number")

    @property
    def step(self) -> float:
        """The size of a step α."""
        return _REACH * self.epsilon / self.steps if self.step_size is None else self.step_size


def strongest(
    model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, generator: torch.Generator
) -> Tensor:
    """Climbs the cross-entropy from a random start within a ball; the mode of the model is the caller's business.

    Args:
        model: images [n, 1, s, s] to logits [n, classes].
        images: clean, in [0, 1].
        labels: classes, int64 [n].
        threat: the ball and the steps.
        generator: of the random start, on the images' device.

    Returns:
        The last iterate, detached, [n, 1, s, s].
    """
    if threat.kind == "none":
        return images
    found = _within(images + _random_start(images, threat, generator), images, threat)
    for _ in range(threat.steps):
        found.requires_grad_()
        with torch.enable_grad():
            loss = F.cross_entropy(model(found), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, found)
        found = _within(found.detach() + threat.step * _direction(gradient, threat), images, threat)
    return found


def _random_start(images: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
    options = {"generator": generator, "device": images.device, "dtype": images.dtype}
    if threat.kind == "linf":
        return threat.epsilon * (2 * torch.rand(images.shape, **options) - 1)  # type: ignore[call-overload]
    gaussian = torch.randn(images.shape, **options)  # type: ignore[call-overload]
    n_pixels = images[0].numel()
    radius = torch.rand(len(images), **options) ** (1 / n_pixels)  # type: ignore[call-overload]
    return threat.epsilon * radius.view(-1, 1, 1, 1) * gaussian / _norm(gaussian)


def _direction(gradient: Tensor, threat: Threat) -> Tensor:
    return gradient.sign() if threat.kind == "linf" else gradient / _norm(gradient)


def _within(found: Tensor, images: Tensor, threat: Threat) -> Tensor:
    return into_box(onto_ball(found, images, threat.epsilon, _NORMS[threat.kind]), (0.0, 1.0))


def _norm(images: Tensor) -> Tensor:
    """Returns the L2 norm of each image [n, 1, 1, 1], never zero."""
    return per_sample(norms(images, 2).clamp(min=torch.finfo(images.dtype).tiny), images)
