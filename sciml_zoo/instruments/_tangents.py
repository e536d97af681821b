"""Jacobian-vector products of a map, forward where torch can, and otherwise by reverse differentiation, twice.

==========================  ==================================================================
J v = ∂/∂s F(θ + s v)        forward; fails for some losses, such as mse_loss inside a gradient
J v = ∂/∂u (v · Jᵀ u)ᵀ       the pullback u ↦ Jᵀ u is linear, and J is the pullback of that
==========================  ==================================================================
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp, vjp

__all__ = ["Push", "push_of"]

#: Point [n] and tangent [n] to image [m] and J times the tangent [m].
Push = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def push_of(step_map: Callable[[Tensor], Tensor], point: Tensor) -> Push:
    """Returns how to push tangents forward through a map.

    Args:
        step_map: F, of a flat tensor.
        point: where to try it, [n].
    """

    def forward(at: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
        image, grown = jvp(step_map, (at,), (tangent,))[:2]
        return image, grown

    def reverse(at: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
        image, pull = vjp(step_map, at)[:2]
        push = vjp(lambda cotangent: pull(cotangent)[0], torch.zeros_like(image))[1]
        return image, push(tangent)[0]

    try:
        forward(point, torch.ones_like(point))
    except (RuntimeError, NotImplementedError):
        return reverse
    return forward
