"""Scores of a classifier on clean images, and on the worst ones that a threat allows."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sciml_zoo.adversarial.threat import Threat, strongest

__all__ = ["Scores", "score"]


@dataclass(frozen=True)
class Scores:
    """Scores of single images.

    Attributes:
        loss: cross-entropy of the clean image, nats [n].
        right: whether it is classified rightly, bool [n].
        robust_loss: the largest cross-entropy that was found within the threat, the clean image's included, nats [n].
        robust: whether the clean image and all that were found are classified rightly, bool [n].
    """

    loss: Tensor
    right: Tensor
    robust_loss: Tensor
    robust: Tensor


def score(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    threat: Threat,
    generator: torch.Generator,
    *,
    restarts: int = 1,
) -> Scores:
    """Scores a classifier, clean and attacked.

    Args:
        model: images [n, 1, s, s] to logits [n, classes], in evaluation mode.
        images: clean, in [0, 1].
        labels: classes, int64 [n].
        threat: what the attacker may do.
        generator: of its random starts, on the images' device.
        restarts: how often it tries.

    Returns:
        The scores; an attack finds an upper bound of what a network withstands.
    """
    loss, right = _judged(model, images, labels)
    robust_loss, robust = loss, right
    for _ in range(restarts):
        worse, still = _judged(model, strongest(model, images, labels, threat, generator), labels)
        robust_loss, robust = robust_loss.maximum(worse), robust & still
    return Scores(loss, right, robust_loss, robust)


@torch.no_grad()
def _judged(model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = model(images)
    return F.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels
