"""Carlini and Wagner's attack in L2: a penalty for the margin, its weight found by bisection.

=====================================================  =======================================================
x = mid + half · tanh w                                inputs in the box; without one, x = w
‖x − x₀‖² + c · max(0, κ − m(x))                       minimised over w by Adam; m: margin, κ: ``confidence``
c ← (c_low + c_high)/2, or 10 c                        after each round, of each sample; c_high: c succeeded
=====================================================  =======================================================

Carlini and Wagner, "Towards evaluating the robustness of neural networks", arXiv:1608.04644.
"""

import math

import torch
from torch import Tensor

from sciml_zoo.adversarial.attacks.objective import Model, Objective, check_budget, check_inputs, margin
from sciml_zoo.adversarial.attacks.projections import Bounds, into_box, norms, per_sample
from sciml_zoo.adversarial.attacks.recording import Recording
from sciml_zoo.adversarial.path import Path

__all__ = ["cw_l2"]

# tanh reaches the bounds at infinity only: inputs on them are moved this part of the way to the middle.
_INSIDE = 1 - 1e-6


def cw_l2(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    budget: int = 500,
    rounds: int = 5,
    step_size: float = 0.1,
    initial_weight: float = 1.0,
    confidence: float = 0.0,
    bounds: Bounds = (0.0, 1.0),
) -> Path:
    """Minimises distance and penalty within a number of gradients.

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        inputs: clean, inside the bounds, [batch, ...].
        labels: int64 [batch].
        targets: classes to reach, likewise; None: any but the label.
        budget: gradients of each sample, divided evenly between the rounds.
        rounds: of the search for the weight c.
        step_size: of Adam.
        initial_weight: c of the first round.
        confidence: κ, by how much the margin should exceed 0.
        bounds: the box; None: none.

    Returns:
        The path through the iterates of one round, to the closest adversarial one; where there is none, each sample
        stays at its clean input.
    """
    check_budget(budget)
    start = check_inputs(inputs, labels, targets, bounds)
    objective = Objective(model, labels, targets, loss=margin)
    middle, half = (0.0, 1.0) if bounds is None else ((bounds[0] + bounds[1]) / 2, (bounds[1] - bounds[0]) / 2)
    rounds = max(1, min(rounds, budget))
    steps = budget // rounds
    track = Recording(start, rounds * steps)
    best = torch.zeros(len(start), dtype=torch.int64, device=start.device)
    shortest = torch.where(objective.margin(start) > confidence, 0.0, math.inf).to(start.dtype)
    weight, low = torch.full_like(shortest, initial_weight), torch.zeros_like(shortest)
    high = torch.full_like(shortest, math.inf)
    for _ in range(rounds):
        free = start.clone() if bounds is None else ((start - middle) / half * _INSIDE).atanh()
        adam = torch.optim.Adam([free], lr=step_size)
        found = torch.zeros_like(best, dtype=torch.bool)
        for step in range(steps):
            points = free.clone() if bounds is None else into_box(middle + half * free.tanh(), bounds)
            slope = 1.0 if bounds is None else half * (1 - free.tanh().square())
            climb = objective.climb(points)
            track.add(points, None if step else torch.zeros_like(best))
            away = points - start
            wrong, long = climb.margin > confidence, norms(away, 2)
            closer = wrong & (long < shortest)
            best, shortest = torch.where(closer, track.last, best), torch.where(closer, long, shortest)
            found |= wrong
            penalty = per_sample(torch.where(climb.margin < confidence, weight, 0.0), away)
            free.grad = slope * (2 * away - penalty * climb.gradient)
            adam.step()
        high, low = torch.where(found, weight, high), torch.where(found, low, weight)
        weight = torch.where(high.isinf(), 10 * weight, (low + high) / 2)
    return track.route("cw_l2", rounds * steps, shortest.isfinite(), best)
