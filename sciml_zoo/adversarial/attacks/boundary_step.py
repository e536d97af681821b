"""One step towards the closest point of a decision boundary: linearise, project the clean point, search, shrink.

===========================================  ===========================================================
g·(z − x) = −F(x)                            boundary of one class, linearised at the point x
p = argmin ‖z − x₀‖, z on it and in the box  :func:`~sciml_zoo.adversarial.attacks.projections.closest_on_plane`
q_α = x + α(p − x), set to the radius r      trial points on the sphere around x₀ through the best point known
F(q_α) > 0                                   the boundary is inside the sphere in that direction
s: F(x₀ + s(q − x₀)) = 0                     shrinking, by false position
===========================================  ===========================================================

While no adversarial point is known there is no sphere: the trial points lie on the ray from x₀ through p. Only the
linearisation costs a gradient.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sciml_zoo.adversarial.attacks.objective import Objective
from sciml_zoo.adversarial.attacks.projections import Bounds, closest_on_plane, into_box, norms, per_sample

__all__ = ["boundary_step", "just_beyond", "onto_boundary", "rounding", "shrink"]

#: Margins without a gradient: F of points [n, ...] that belong to given rows, int64 [n], of those stepped.
Margins = Callable[[Tensor, Tensor], Tensor]

_ALPHAS = (1.6, 1.0, 0.5, 0.2, 0.07, 0.02)
_RAY = (1.02, 1.1, 1.3, 1.8, 3.0)
# A margin counts as above 0 from so many units of rounding on.
_ROUNDINGS = 16
_PASSES = 24


def just_beyond(dtype: torch.dtype) -> float:
    """Returns a factor that is above 1 by a little more than rounding."""
    return 1 + 100 * torch.finfo(dtype).eps


def rounding(logits: Tensor) -> Tensor:
    """Returns up to where a margin is taken for rounding, [batch]: one above it is so whichever batch it is judged in.

    Args:
        logits: of the clean inputs, [batch, classes].
    """
    return _ROUNDINGS * torch.finfo(logits.dtype).eps * logits.abs().amax(1)


def boundary_step(
    margins: Margins,
    centre: Tensor,
    base: Tensor,
    points: Tensor,
    value: Tensor,
    gradient: Tensor,
    radius: Tensor,
    p: float,
    bounds: Bounds,
) -> tuple[Tensor, Tensor, Tensor]:
    """Takes a step for each of n searches.

    Args:
        margins: F, above 0 where adversarial.
        centre: clean points, [n, ...].
        base: what is projected and where rays begin: the clean points, or those of searches that should go on from
            where they are, likewise.
        points: where F was linearised, likewise.
        value: F there, [n].
        gradient: of F there, [n, ...].
        radius: distance of each search's best adversarial point, infinite where it has none, [n].
        p: norm, 2 or infinity.
        bounds: the box; None: none.

    Returns:
        Where to linearise next [n, ...]; whether that is an adversarial point closer than the radius, bool [n]; and its
        distance from the centre, [n].
    """
    n, trials = len(points), len(_ALPHAS)
    gap = (gradient * (points - base)).flatten(1).sum(1) - value
    nearest = closest_on_plane(base, gradient, gap, p, bounds)
    known = radius.isfinite()
    alphas = torch.tensor(_ALPHAS, dtype=points.dtype, device=points.device)
    rays = torch.tensor((just_beyond(points.dtype), *_RAY), dtype=points.dtype, device=points.device)
    shape = (trials, *[1] * points.dim())
    arc = points + alphas.reshape(shape) * (nearest - points) - centre
    long = norms(arc.flatten(0, 1), p).reshape(trials, n).clamp_min(torch.finfo(points.dtype).tiny)
    arc = arc * (radius.where(known, 0.0) * (1 - 1e-4) / long).reshape(trials, n, *shape[2:])
    ray = base + rays.reshape(shape) * (nearest - base)
    tried = into_box(torch.where(per_sample(known, points), centre + arc, ray), bounds)
    rows = torch.arange(n, device=points.device)
    found = margins(tried.flatten(0, 1), rows.repeat(trials)).reshape(trials, n)
    # On the sphere the highest margin promises the shortest way to the boundary; on the ray the first crossing is it.
    crossing = (found > 0).to(torch.int8).argmax(0)
    chosen = torch.where(known | ~(found > 0).any(0), found.argmax(0), crossing)
    best, height = tried[chosen, rows], found[chosen, rows]
    inside = height > 0
    if bool(inside.any()):
        some = inside.nonzero()[:, 0]
        best[some] = shrink(lambda x, at: margins(x, some[at]), centre[some], best[some], height[some], bounds)
    return best, inside, norms(best - centre, p)


def shrink(
    margins: Margins, centre: Tensor, points: Tensor, value: Tensor, bounds: Bounds, *, passes: int = 6
) -> Tensor:
    """Moves adversarial points towards the clean ones as far as they stay adversarial, by false position (Illinois).

    Args:
        margins: F, above 0 where adversarial, and not above 0 at the clean points.
        centre: the clean points, [n, ...].
        points: adversarial ones, likewise.
        value: F there, [n].
        bounds: the box; None: none.
        passes: evaluations of F for each.

    Returns:
        Adversarial points on the same straight lines, [n, ...].
    """
    rows = torch.arange(len(points), device=points.device)
    away = points - centre
    best = points.clone()
    high, low = torch.ones_like(value), torch.zeros_like(value)
    at_high, at_low = value, margins(centre, rows).clamp_max(-torch.finfo(value.dtype).tiny)
    side = torch.zeros_like(value)
    for _ in range(passes - 1):
        middle = high - at_high * (high - low) / (at_high - at_low)
        # False position on a straight line lands on the root itself, on either side by rounding: stay just above it.
        middle = (middle + 1e-3 * (high - middle)).clamp(min=low, max=high)
        tried = into_box(centre + per_sample(middle, away) * away, bounds)
        found = margins(tried, rows)
        above = found > 0
        best = torch.where(per_sample(above, best), tried, best)
        at_low = torch.where(above & (side > 0), at_low / 2, torch.where(above, at_low, found))
        at_high = torch.where(~above & (side < 0), at_high / 2, torch.where(above, found, at_high))
        high, low = torch.where(above, middle, high), torch.where(above, low, middle)
        side = torch.where(above, 1.0, -1.0)
    return best


def onto_boundary(objective: Objective, start: Tensor, points: Tensor, bounds: Bounds) -> Tensor:
    """Returns adversarial points moved towards the clean ones, to the boundary of any class; others as they are.

    Args:
        objective: of the batch.
        start: clean points, [batch, ...].
        points: likewise.
        bounds: the box; None: none.
    """
    clean, value = objective.margin(start), objective.margin(points)
    floor = rounding(objective.logits(start))
    some = ((clean <= 0) & (value > floor)).nonzero()[:, 0]

    def margins(tried: Tensor, at: Tensor) -> Tensor:
        return objective.margin(tried, some[at]) - floor[some[at]]

    moved = points.clone()
    if len(some):
        moved[some] = shrink(margins, start[some], points[some], (value - floor)[some], bounds, passes=_PASSES)
    return moved
