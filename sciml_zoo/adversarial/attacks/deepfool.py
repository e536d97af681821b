"""DeepFool: step after step onto the nearest of the linearised boundaries.

=========================================  =============================================================
F_t(x) = f_t(x) − f_y(x)                   a boundary for each class t, F_t = 0
g_t·(z − x) = −F_t(x)                      linearised at the iterate x
x ← z*, or x + (1 + η)(z* − x)             z*: the closest point of them in the box; η: overshoot, if needed
=========================================  =============================================================

Moosavi-Dezfooli et al., "DeepFool: a simple and accurate method to fool deep neural networks", arXiv:1511.04599, with
the box in the projection and a last search for the boundary on the straight line back to the clean input, which takes
the overshoot away and costs no gradient.
"""

import torch
from torch import Tensor

from sciml_zoo.adversarial.attacks.boundary_step import just_beyond, onto_boundary, rounding
from sciml_zoo.adversarial.attacks.objective import ClassMargins, Model, Objective, check_budget, check_inputs, margin
from sciml_zoo.adversarial.attacks.projections import Bounds, closest_on_plane, into_box, norms, per_sample
from sciml_zoo.adversarial.attacks.recording import Recording
from sciml_zoo.adversarial.path import Path

__all__ = ["deepfool"]

# A plane counts as reached where the step makes up for this part of the margin.
_REACHED = 0.99


def deepfool(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    p: float = 2.0,
    budget: int = 100,
    candidates: int = 9,
    overshoot: float = 0.02,
    bounds: Bounds = (0.0, 1.0),
) -> Path:
    """Steps onto linearised boundaries until the class changes.

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        inputs: clean, inside the bounds, [batch, ...].
        labels: int64 [batch].
        targets: classes to reach, likewise; None: any but the label.
        p: norm in which the nearest is meant, 2 or infinity.
        budget: gradients of each sample, at most; a step costs one for each candidate.
        candidates: how many classes, those of the highest logits but the label, are tried in each step.
        overshoot: η.
        bounds: the box; None: none.

    Returns:
        The path through the iterates, and the boundary's point as its end; where none was found, the last iterate.
    """
    check_budget(budget)
    start = check_inputs(inputs, labels, targets, bounds)
    objective = Objective(model, labels, targets, loss=margin)
    logits = objective.logits(start)
    n_classes = logits.shape[1]
    if targets is None:
        ranked = logits.scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
        ranked = ranked[:, : min(candidates, n_classes - 1, budget)]
    else:
        ranked = targets[:, None]
    margins = ClassMargins(model, labels, n_classes, targets)
    each = ranked.shape[1]
    track = Recording(start, budget // each + 1)
    points, used = start.clone(), 0
    factors = (just_beyond(start.dtype), 1 + overshoot)
    floor = rounding(logits)
    active = (objective.margin(start) <= 0).nonzero()[:, 0]
    while used + each <= budget and len(active):
        rows = active.repeat_interleave(each)
        here = points[rows]
        value, gradient = margins.value_and_gradient(here, rows, ranked[active].flatten())
        value = value - 2 * floor[rows]  # the end must be above the rounding
        nearest = closest_on_plane(here, gradient, -value, p, bounds)
        step = nearest - here
        reached = (gradient * step).flatten(1).sum(1) >= -_REACHED * value
        # Boundaries that do not meet the box come last.
        distance = torch.where(reached, norms(step, p), torch.inf).reshape(len(active), each)
        chosen = distance.argmin(1) + each * torch.arange(len(active), device=start.device)
        # Where the step itself is enough, as for a linear model, there is no overshoot.
        plain, wide = (into_box(points[active] + factor * step[chosen], bounds) for factor in factors)
        enough = objective.margin(plain, active) > floor[active]
        points[active] = torch.where(per_sample(enough, plain), plain, wide)
        used += each
        track.add(points)
        active = active[objective.margin(points[active], active) <= floor[active]]
    points = onto_boundary(objective, start, points, bounds)
    track.add(points)
    return track.route("deepfool", used, objective.margin(points) > 0)
