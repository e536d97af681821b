"""Jacobian-vector products of a map, by the first way that torch can go for it.

==========================  ==================================================================
J v = ∂/∂s F(θ + s v)        forward; fails for some losses, such as mse_loss inside a gradient
J v = ∂/∂u (v · Jᵀ u)ᵀ       the pullback u ↦ Jᵀ u is linear, and J is the pullback of that
J v ≈ ΔF / 2ε                differences F(θ + εv) − F(θ − εv), where a map has gradients of its own
==========================  ==================================================================

All tangents at once where the map allows it; maps with branches of Python take one after the other.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp, vjp, vmap

__all__ = ["Tangents"]

Map = Callable[[Tensor], Tensor]
# Point [n] and tangent [n] to the image [n] and J times the tangent [n].
_Product = Callable[[Map, Tensor, Tensor], tuple[Tensor, Tensor]]
# Point [n] and tangents [k, n] to the image [n] and J times each tangent [k, n].
_Push = Callable[[Map, Tensor, Tensor], tuple[Tensor, Tensor]]


class Tangents:
    """How tangents are pushed forward through a map.

    Args:
        step_map: F, of a flat tensor to one of the same shape.
        point: where the ways are tried, [n].

    Attributes:
        at_once: whether many points can be taken together.
    """

    def __init__(self, step_map: Map, point: Tensor) -> None:
        self._map = step_map
        tried = torch.ones(2, len(point), dtype=point.dtype, device=point.device)
        exact = (_product, _reverse_product)
        together = [_together(product) for product in exact]
        for push in (*together, *(_one_by_one(product) for product in exact), _differences):
            self._push = push
            self.at_once = push in together
            try:
                self.push(point, tried)
            except (RuntimeError, NotImplementedError):
                continue
            break
        if self.at_once:
            try:
                vmap(lambda at: self.push(at, tried)[1])(point[None])
            except (RuntimeError, NotImplementedError):
                self.at_once = False  # a branch that asks for a value

    def push(self, point: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the image [n], and J times tangents [k, n]; both detached.

        Args:
            point: [n].
            tangents: [k, n].
        """
        image, grown = self._push(self._map, point, tangents)
        return image.detach(), grown.detach()


def _product(step_map: Map, point: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
    image, grown = jvp(step_map, (point,), (tangent,))[:2]
    return image, grown


def _reverse_product(step_map: Map, point: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
    image, pull = vjp(step_map, point)[:2]
    push = vjp(lambda cotangent: pull(cotangent)[0], torch.zeros_like(image))[1]
    return image, push(tangent)[0]


def _together(product: _Product) -> _Push:
    def push(step_map: Map, point: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        # The image does not depend on the tangent, and is taken once.
        image, grown = vmap(lambda tangent: product(step_map, point, tangent))(tangents)
        return image[0], grown

    return push


def _one_by_one(product: _Product) -> _Push:
    def push(step_map: Map, point: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        images, grown = zip(*(product(step_map, point, tangent) for tangent in tangents), strict=True)
        return images[0], torch.stack(grown)

    return push


def _differences(step_map: Map, point: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    # The step that balances rounding against curvature, for a tangent of length one.
    step = torch.finfo(point.dtype).eps ** (1 / 3) * max(1.0, float(point.norm()) / len(point) ** 0.5)
    grown = []
    for tangent in tangents:
        size = tangent.norm().clamp(min=torch.finfo(point.dtype).tiny)
        away = step * tangent / size
        grown.append((step_map(point + away) - step_map(point - away)).detach() * size / (2 * step))
    return step_map(point), torch.stack(grown)
