"""Projections of inputs: onto the box, onto a ball, and exactly onto a linearised decision boundary in the box.

=======================================================  ===============================================
c                                                        ``centre``: the point that the result stays near
a·(x − c) = γ,  l ≤ x ≤ u                                ``normal``, ``gap``, ``bounds``
L2:  x = c + clip(λa),   a·(x − c) = Σ a_j² min(λ, λ_j)  λ_j = d_j / |a_j|, d_j: the room to the bound
L∞:  x = c + clip(λ sign a),       = Σ |a_j| min(λ, λ_j) λ_j = d_j
=======================================================  ===============================================

The sum on the right rises with λ and is straight between the λ_j: sorting them finds λ exactly.
"""

import math

import torch
from torch import Tensor

from sciml_zoo.errors import InputError

__all__ = ["Bounds", "closest_on_plane", "into_box", "norms", "onto_ball", "per_sample"]

Bounds = tuple[float, float] | None


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Returns values [n] with the dimensions of ``like`` [n, ...], so that they multiply it."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def norms(points: Tensor, p: float) -> Tensor:
    """Returns the norm of each sample, [n].

    Args:
        points: [n, ...].
        p: 2 or infinity.
    """
    return torch.linalg.vector_norm(points.flatten(1), ord=p, dim=1)


def into_box(points: Tensor, bounds: Bounds) -> Tensor:
    """Returns the closest points inside the box, in any norm.

    Args:
        points: [n, ...].
        bounds: the least and the greatest value of each entry; None: no box.
    """
    return points if bounds is None else points.clamp(*bounds)


def onto_ball(points: Tensor, centre: Tensor, radius: Tensor | float, p: float) -> Tensor:
    """Returns the closest points inside balls.

    Args:
        points: [n, ...].
        centre: of the balls, likewise.
        radius: of the balls, or of each, [n].
        p: norm, 2 or infinity.

    Raises:
        InputError: another norm.
    """
    _check_norm(p)
    away = points - centre
    wide = per_sample(torch.as_tensor(radius, dtype=points.dtype, device=points.device), points)
    if math.isinf(p):
        return centre + away.minimum(wide).maximum(-wide)
    long = per_sample(norms(away, 2).clamp_min(torch.finfo(points.dtype).tiny), points)
    return centre + away * (wide / long).clamp_max(1.0)


def closest_on_plane(centre: Tensor, normal: Tensor, gap: Tensor, p: float, bounds: Bounds) -> Tensor:
    """Returns the point of each plane in the box that is closest to the centre; a corner where they do not meet.

    Args:
        centre: inside the box, [n, ...].
        normal: of the planes, likewise.
        gap: ``normal · (x − centre)`` on the plane, [n].
        p: norm, 2 or infinity.
        bounds: the box; None: none.

    Returns:
        Points [n, ...]; where the box and the plane do not meet, the point of the box nearest to the plane.

    Raises:
        InputError: another norm.
    """
    _check_norm(p)
    flat = centre.flatten(1)
    towards = normal.flatten(1) * gap.sign()[:, None]
    size = towards.abs()
    unit, gain = (towards.sign(), size) if math.isinf(p) else (towards, size.square())
    scale = torch.ones_like(size) if math.isinf(p) else size
    if bounds is None:
        room = torch.full_like(flat, math.inf)
    else:
        room = torch.where(towards > 0, bounds[1] - flat, flat - bounds[0])
    reach = torch.where(size > 0, room / scale, math.inf)
    reach, order = reach.sort(dim=1)
    gain = gain.gather(1, order)
    # While λ is below the k-th reach, entries 0 … k − 1 stand at their bounds and the others still move.
    open_gain = gain.flip(1).cumsum(1).flip(1)
    closed = torch.where(reach.isfinite(), gain * reach, 0.0).cumsum(1)
    closed = torch.cat([torch.zeros_like(closed[:, :1]), closed], 1)[:, :-1]
    needed = (gap.abs()[:, None] - closed) / open_gain.clamp_min(torch.finfo(flat.dtype).tiny)
    met = (needed <= reach) & (open_gain > 0)
    first = met.to(torch.int8).argmax(1, keepdim=True)
    farthest = torch.where(reach.isfinite(), reach, 0.0).amax(1, keepdim=True)
    length = torch.where(met.any(1, keepdim=True), needed.gather(1, first), farthest)
    return into_box((flat + length * unit).reshape(centre.shape), bounds)


def _check_norm(p: float) -> None:
    if p not in (2, math.inf):
        raise InputError(f"norm {p}: give 2 or infinity")
