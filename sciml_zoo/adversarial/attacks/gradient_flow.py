"""Gradient flow: the line of steepest ascent of the loss, from the clean input to where the class changes.

============================================  ============================================================
dx/ds = v(x) = P∇L / ‖P∇L‖₂                   unit speed: s is the arc length
P                                             leaves out what would leave the box
x₊ = x + h (2k₁ + 3k₂ + 4k₃)/9                Bogacki and Shampine's pair of orders 3 and 2, of which
e = h ‖−5k₁/72 + k₂/12 + k₃/9 − k₄/8‖         k₄ = v(x₊) is the next k₁: three gradients a step
h ← h · clamp(0.9 (tolerance/e)^⅓, 0.2, 5)    a step with e > tolerance is repeated
============================================  ============================================================

Every sample has its own step. The direction jumps at the kinks of a piecewise-linear network and at the faces of the
box; there no step is accurate, and one no longer than the tolerance is taken as it is.
"""

import torch
from torch import Tensor

from sciml_zoo.adversarial.attacks.boundary_step import rounding, shrink
from sciml_zoo.adversarial.attacks.objective import Model, Objective, check_budget, check_inputs
from sciml_zoo.adversarial.attacks.projections import Bounds, into_box, norms, per_sample
from sciml_zoo.adversarial.attacks.recording import Recording
from sciml_zoo.adversarial.path import Path

__all__ = ["flow"]

_GRADIENTS = 3
_FIRST = 10.0
_PASSES = 12


def flow(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    budget: int = 301,
    tolerance: float = 1e-3,
    longest: float = 0.1,
    bounds: Bounds = (0.0, 1.0),
) -> Path:
    """Follows the gradient of the loss until the class changes.

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        inputs: clean, inside the bounds, [batch, ...].
        labels: int64 [batch].
        targets: classes to reach, likewise; None: any but the label. The loss that then falls is the target's.
        budget: gradients of each sample, at most; one, and three for each step.
        tolerance: local error of a step, in L2.
        longest: step, in L2.
        bounds: the box; None: none.

    Returns:
        The path through the accepted steps. It ends where it meets another class, or where the
        budget did.
    """
    check_budget(budget)
    start = check_inputs(inputs, labels, targets, bounds)
    objective = Objective(model, labels, targets)

    def velocity(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        climb = objective.climb(points, rows)
        gradient = climb.gradient
        if bounds is not None:
            leaves = ((points <= bounds[0]) & (gradient < 0)) | ((points >= bounds[1]) & (gradient > 0))
            gradient = torch.where(leaves, 0.0, gradient)
        long = norms(gradient, 2).clamp_min(torch.finfo(gradient.dtype).tiny)
        return gradient / per_sample(long, gradient), climb.margin - floor[rows]

    floor = rounding(objective.logits(start))
    everyone = torch.arange(len(start), device=start.device)
    track = Recording(start, 1 + budget // _GRADIENTS)
    points = start.clone()
    first, outcome = velocity(points, everyone)
    used = 1
    step = torch.full_like(outcome, min(_FIRST * tolerance, longest))
    while used + _GRADIENTS <= budget:
        active = ((outcome <= 0) & (norms(first, 2) > 0)).nonzero()[:, 0]
        if not len(active):
            break
        here, k1, h = points[active], first[active], per_sample(step[active], points)
        k2, _ = velocity(into_box(here + h / 2 * k1, bounds), active)
        k3, _ = velocity(into_box(here + 3 * h / 4 * k2, bounds), active)
        there = into_box(here + h * (2 * k1 + 3 * k2 + 4 * k3) / 9, bounds)
        k4, margin = velocity(there, active)
        used += _GRADIENTS
        error = norms(h * (-5 * k1 / 72 + k2 / 12 + k3 / 9 - k4 / 8), 2)
        taken = (error <= tolerance) | (step[active] <= tolerance)
        crossed = (taken & (margin > 0)).nonzero()[:, 0]
        if len(crossed):
            # The path ends where it meets the boundary, not at the end of the step.
            rows = active[crossed]

            def margins(tried: Tensor, at: Tensor, rows: Tensor = rows) -> Tensor:
                return objective.margin(tried, rows[at]) - floor[rows[at]]

            there[crossed] = shrink(margins, here[crossed], there[crossed], margin[crossed], bounds, passes=_PASSES)
        wide = per_sample(taken, points)
        points[active] = torch.where(wide, there, here)
        first[active] = torch.where(wide, k4, k1)
        outcome[active] = torch.where(taken, margin, outcome[active])
        factor = 0.9 * (tolerance / error.clamp_min(torch.finfo(error.dtype).tiny)) ** (1 / 3)
        step[active] = (step[active] * factor.clamp(0.2, 5.0)).clamp(min=tolerance, max=longest)
        track.add(points)
    if track.last == 0:
        track.add(points)
    return track.route("flow", used, objective.margin(points) > 0)
