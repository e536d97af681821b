"""Minimum-energy paths by the simplified string method: descend, then space the images evenly again.

==================================  ====================================================================
dx_i/dt = −∇V(x_i)                  descent of every image for a time h, by Runge & Kutta's fourth order
s_i = Σ_{j≤i} |x_j − x_{j−1}|       arc length, along chords
x_i ← X(i s_N / N)                  X: cubic spline through the images over s, not-a-knot
==================================  ====================================================================

E, Ren & Vanden-Eijnden, J. Chem. Phys. 126, 164103 (2007). It needs no spring and no tangent; where descent and spacing
cancel, the gradient lies along the string; Euler's steps would leave a bent path by a length of order h, on its outer
side. The step h is that of the largest curvature met so far, h = 1/curvature.
"""

import torch
from torch import Tensor

from sciml_zoo.adversarial._flat_potential import FlatPotential, secant_curvature
from sciml_zoo.adversarial.elastic_band import Band, straight_images
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.errors import InputError

__all__ = ["spline_images", "string_method"]

_STEP = 1.0
#: A not-a-knot spline joins its first two pieces into one cubic, and its last two.
_FEWEST = 5


def string_method(
    potential: LossPotential,
    start: Tensor,
    end: Tensor,
    *,
    rows: Tensor | None = None,
    images: int = 25,
    initial: Tensor | None = None,
    tolerance: float = 1e-2,
    steps: int = 500,
) -> Band:
    """Relaxes strings between pairs of minima.

    Args:
        potential: in float64.
        start: minima, [n, ...]; they stay where they are.
        end: likewise.
        rows: to which sample of the potential each pair belongs, int64 [n]; None: in order.
        images: of each string, both ends included.
        initial: first strings [images, n, ...]; None: straight lines.
        tolerance: of the largest net motion of an image, divided by h, as a fraction of the largest gradient on the
            first string.
        steps: at most.

    Returns:
        The strings, with the spline's tangents.

    Raises:
        InputError: fewer than five images.
    """
    first = straight_images(start, end, images) if initial is None else initial.detach().to(torch.float64, copy=True)
    if len(first) < _FEWEST:
        raise InputError(f"a string of {len(first)} images: its spline needs {_FEWEST}")
    flat = FlatPotential(potential, start, rows)
    x = first.flatten(2)
    count, pairs, _ = x.shape
    everything = torch.arange(pairs, device=x.device)
    value, gradient = flat.of_images(x, everything)
    bound = tolerance * torch.linalg.vector_norm(gradient, dim=2).amax(0)
    stiff = secant_curvature(x.diff(dim=0), gradient.diff(dim=0))
    residual = torch.full_like(bound, torch.inf)
    done = residual <= bound
    taken = torch.zeros_like(everything)
    for _ in range(steps):
        at = (~done).nonzero()[:, 0]
        if not len(at):
            break
        step = (_STEP / stiff[at])[:, None]
        lowered = x[:, at].clone()
        lowered[1:-1] -= step * _mean_gradient(flat, lowered[1:-1], gradient[1:-1, at], step, at)
        spaced, _ = spline_images(lowered, count)
        move, before = spaced - x[:, at], gradient[1:-1, at]
        x[:, at] = spaced
        taken[at] += 1
        residual[at] = (torch.linalg.vector_norm(move, dim=2) / step[:, 0]).amax(0)
        value[1:-1, at], gradient[1:-1, at] = flat.of_images(spaced[1:-1], at)
        stiff[at] = torch.maximum(stiff[at], secant_curvature(move[1:-1], gradient[1:-1, at] - before))
        done = residual <= bound
    _, tangents = spline_images(x, count)
    return Band(flat.shaped(x), value, flat.shaped(tangents), residual, done, taken, "string")


def spline_images(images: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Returns images evenly spaced over the chords' length of a spline through some, and unit tangents there.

    Args:
        images: at least five, [images, n, d].
        count: how many are wanted.

    Returns:
        Images [count, n, d], the ends unchanged, and unit tangents [count, n, d].
    """
    points = images.transpose(0, 1)
    chords = torch.linalg.vector_norm(points.diff(dim=1), dim=2).clamp_min(1e-300)
    knots = torch.cat([torch.zeros_like(chords[:, :1]), chords.cumsum(1)], 1)
    bends = _second_derivatives(chords, points)
    wanted = torch.linspace(0, 1, count, dtype=points.dtype, device=points.device) * knots[:, -1:]
    left = (torch.searchsorted(knots.contiguous(), wanted.contiguous(), right=True) - 1).clamp(0, chords.shape[1] - 1)
    width = chords.gather(1, left)[..., None]
    right_share = ((wanted - knots.gather(1, left))[..., None] / width).clamp(0, 1)
    left_share = 1 - right_share

    def at(values: Tensor, index: Tensor) -> Tensor:
        return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))

    x0, x1, b0, b1 = at(points, left), at(points, left + 1), at(bends, left), at(bends, left + 1)
    curved = (left_share**3 - left_share) * b0 + (right_share**3 - right_share) * b1
    found = left_share * x0 + right_share * x1 + width.square() / 6 * curved
    turning = (1 - 3 * left_share.square()) * b0 + (3 * right_share.square() - 1) * b1
    slope = (x1 - x0) / width + width / 6 * turning
    found[:, 0], found[:, -1] = points[:, 0], points[:, -1]
    tangents = slope / torch.linalg.vector_norm(slope, dim=2, keepdim=True).clamp_min(1e-300)
    return found.transpose(0, 1), tangents.transpose(0, 1)


def _second_derivatives(widths: Tensor, points: Tensor) -> Tensor:
    """Returns the second derivatives of not-a-knot splines at their knots, [n, images, d].

    Args:
        widths: of the intervals, [n, images − 1].
        points: at the knots, [n, images, d].
    """
    pairs, count, _ = points.shape
    matrix = points.new_zeros(pairs, count, count)
    inner = torch.arange(1, count - 1, device=points.device)
    matrix[:, inner, inner - 1] = widths[:, :-1] / 6
    matrix[:, inner, inner] = (widths[:, :-1] + widths[:, 1:]) / 3
    matrix[:, inner, inner + 1] = widths[:, 1:] / 6
    # The third derivative does not jump at the second knot and the last but one.
    for row, (a, b, c), (one, other) in ((0, (0, 1, 2), (0, 1)), (-1, (-1, -2, -3), (-1, -2))):
        matrix[:, row, a] = widths[:, other]
        matrix[:, row, b] = -(widths[:, one] + widths[:, other])
        matrix[:, row, c] = widths[:, one]
    slopes = points.diff(dim=1) / widths[..., None]
    right = torch.zeros_like(points)
    right[:, 1:-1] = slopes.diff(dim=1)
    return torch.linalg.solve(matrix, right)


def _mean_gradient(flat: FlatPotential, images: Tensor, gradient: Tensor, step: Tensor, index: Tensor) -> Tensor:
    """Returns the gradient that a step of fourth order goes along, [images, n, d]."""
    _, second = flat.of_images(images - step / 2 * gradient, index)
    _, third = flat.of_images(images - step / 2 * second, index)
    _, fourth = flat.of_images(images - step * third, index)
    return (gradient + 2 * second + 2 * third + fourth) / 6
