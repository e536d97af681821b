"""The smallest perturbation that changes a classification, in L2 or L∞, by sequential linearisation of the boundary.

===========================================  ===========================================================
minimise ‖x − x₀‖_p                          distance from the clean input, p = 2 or ∞
such that F_t(x) = f_t(x) − f_y(x) ≥ 0       a problem for each class t: the least of their minima is the answer
and l ≤ x ≤ u                                ``bounds``
===========================================  ===========================================================

1. The nearest classes (by logits) are each linearised at the clean input, a gradient each, and ranked by the distance
   that a line search in the direction found.
2. The best of them are pursued in parallel (:mod:`~sciml_zoo.adversarial.attacks.boundary_step`): a step's gradient is
   taken at the best boundary point of a search, and the clean input is projected onto the linearised boundary and the
   box exactly. A search ends when a step gains nothing, or when it lags behind the best of its sample.
3. Its place is taken by the next class, then by searches that begin from a perturbation of the best point. A sample of
   which ``patience`` such searches in turn have brought nothing is done: the budget is an upper limit.

Line searches need values of the model only; gradients are what is counted. Sequential linearisation is that of Croce
and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack", arXiv:1907.02044, with a
search on the sphere of the best known radius in place of its extrapolation.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.adversarial.attacks.boundary_step import boundary_step, onto_boundary, rounding
from sciml_zoo.adversarial.attacks.draws import normal, uniform
from sciml_zoo.adversarial.attacks.objective import ClassMargins, Model, Objective, check_budget, check_inputs, margin
from sciml_zoo.adversarial.attacks.projections import Bounds, into_box, norms, per_sample
from sciml_zoo.adversarial.attacks.recording import Recording
from sciml_zoo.adversarial.path import Path

__all__ = ["minnorm_l2", "minnorm_linf"]

# A step that shortens the distance by less than this part of it ends its search.
_GAIN = 1e-3
_STEPS_TO_LAG, _STEPS_WITHOUT = 3, 15
# Classes farther than this many times the best distance are not pursued.
_HOPELESS = 2.0
# Restarts are perturbed by so many times the best distance, log-uniformly.
_SIGMA = (0.1, 1.0)


def minnorm_l2(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    budget: int = 100,
    bounds: Bounds = (0.0, 1.0),
    patience: int = 30,
    generator: torch.Generator | None = None,
) -> Path:
    """Seeks the smallest perturbation in L2.

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        inputs: clean, inside the bounds, [batch, ...].
        labels: int64 [batch].
        targets: classes to reach, likewise; None: any but the label.
        budget: gradients of each sample, at most.
        bounds: the box; None: none.
        patience: searches in turn without a better point after which a sample is done.
        generator: of the restarts.

    Returns:
        The path of the search that found the closest adversarial point, through the points at which it took gradients;
        its end is that point, or where none was found, the clean input. Searches that found nothing closer left no
        trace on it, and count in its gradients.
    """
    return _Search(model, inputs, labels, targets, bounds, 2.0, patience, generator).run("minnorm_l2", budget)


def minnorm_linf(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    budget: int = 100,
    bounds: Bounds = (0.0, 1.0),
    patience: int = 30,
    generator: torch.Generator | None = None,
) -> Path:
    """Seeks the smallest perturbation in L∞.

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        inputs: clean, inside the bounds, [batch, ...].
        labels: int64 [batch].
        targets: classes to reach, likewise; None: any but the label.
        budget: gradients of each sample, at most.
        bounds: the box; None: none.
        patience: searches in turn without a better point after which a sample is done.
        generator: of the restarts.

    Returns:
        As for :func:`minnorm_l2`.
    """
    return _Search(model, inputs, labels, targets, bounds, math.inf, patience, generator).run("minnorm_linf", budget)


@dataclass
class _Searches:
    """Searches that run beside each other, [batch, places, ...].

    Attributes:
        points: where the next gradient is taken.
        radius: distance of the best adversarial point, which is then ``points``; infinite where there is none.
        classes: t.
        steps: taken so far.
        node: of the recording, at which the last of them was taken.
    """

    points: Tensor
    radius: Tensor
    classes: Tensor
    steps: Tensor
    node: Tensor

    def first(self, n: int) -> "_Searches":
        return _Searches(*(one[:, :n].clone() for one in vars(self).values()))

    def put(self, where: Tensor, other: "_Searches") -> None:
        """Replaces searches, bool [batch, places]."""
        self.points = torch.where(_wide(where, self.points), other.points, self.points)
        self.radius = torch.where(where, other.radius, self.radius)
        self.classes = torch.where(where, other.classes, self.classes)
        self.steps = torch.where(where, other.steps, self.steps)
        self.node = torch.where(where, other.node, self.node)

    def take(self, places: Tensor) -> "_Searches":
        """Returns the searches at places [batch, m]."""
        rows = torch.arange(len(places), device=places.device)[:, None]
        return _Searches(*(one[rows, places] for one in vars(self).values()))


class _Search:
    """The search of a batch: what is fixed (model, clean inputs) and the best points so far."""

    def __init__(
        self,
        model: Model,
        inputs: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        bounds: Bounds,
        p: float,
        patience: int,
        generator: torch.Generator | None,
    ) -> None:
        self.start = check_inputs(inputs, labels, targets, bounds)
        self.bounds, self.p, self.patience, self.generator = bounds, p, patience, generator
        self.objective = Objective(model, labels, targets, loss=margin)
        logits = self.objective.logits(self.start)
        if targets is None:
            ranked = logits.scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)[:, :-1]
        else:
            ranked = targets[:, None]
        self.ranked = ranked
        self.floor = rounding(logits)
        self.margins = ClassMargins(model, labels, logits.shape[1], targets)
        #: Clean inputs that are adversarial as they are have nothing to seek.
        self.wrong = self.objective.margin(self.start) > 0
        self.best = self.start.clone()
        self.radius = torch.where(self.wrong, 0.0, torch.inf).to(self.start.dtype)
        self.classes = ranked[:, 0]
        self.node = torch.zeros_like(labels)

    def run(self, name: str, budget: int) -> Path:
        check_budget(budget)
        batch, device = len(self.start), self.start.device
        queue = self._scan(min(self.ranked.shape[1], max(1, budget // 8)))
        used = queued = queue.radius.shape[1]
        places = min(max(1, budget // 50), queued)
        track = Recording(self.start, budget + 1)
        running = queue.first(places)
        waiting = torch.full((batch,), places, device=device)
        barren = torch.zeros(batch, dtype=torch.int64, device=device)
        while used + places <= budget:
            active = ~self.wrong & (barren < self.patience)
            if not bool(active.any()):
                break
            for place in range(places):
                track.add(running.points[:, place], running.node[:, place])
                running.node[:, place] = track.last
            used += places
            gain = self._advance(running, active)
            better = self._note(running)
            done = self._ended(running, gain)
            barren = torch.where(better, 0, barren + done.sum(1))
            # Places that are free take the queued classes in turn, then perturbations of the best point.
            turn = waiting[:, None] + done.cumsum(1) - 1
            waiting = waiting + done.sum(1)
            classes = queue.take(turn.clamp_max(queued - 1))
            worth = (turn < queued) & (classes.radius < _HOPELESS * self.radius[:, None])
            running.put(done, self._perturbed(running))
            running.put(done & worth, classes)
        end = onto_boundary(self.objective, self.start, self.best, self.bounds)
        track.add(end, self.node)
        return track.route(name, used, self.objective.margin(end) > 0)

    def _scan(self, n: int) -> _Searches:
        """Returns a search of each of the n first classes after the step from the clean input, the closest first."""
        batch = len(self.start)
        shape = (batch, n)
        points = self.start[:, None].expand(*shape, *self.start.shape[1:]).clone()
        radius = self.radius.new_full(shape, math.inf)
        steps = torch.zeros(shape, dtype=torch.int64, device=points.device)
        found = _Searches(points, radius, self.ranked[:, :n], steps, steps.clone())
        self._advance(found, ~self.wrong)
        found = found.take(found.radius.argsort(dim=1, stable=True))
        self._note(found)
        return found

    def _advance(self, searches: _Searches, active: Tensor) -> Tensor:
        """Returns which part of its radius each search gained by a step, [batch, n]; only active samples take one."""
        some = active.nonzero()[:, 0]
        n = searches.radius.shape[1]
        rows = some.repeat_interleave(n)
        classes = searches.classes[some].flatten()
        points = searches.points[some].flatten(0, 1)
        radius, steps = searches.radius[some].flatten(), searches.steps[some].flatten()
        value, gradient = self.margins.value_and_gradient(points, rows, classes)
        centre = self.start[rows]
        astray = radius.isinf() & (steps > 0)
        base = torch.where(per_sample(astray, points), points, centre)

        def margins(tried: Tensor, at: Tensor) -> Tensor:
            return self.margins.value(tried, rows[at], classes[at]) - self.floor[rows[at]]

        found, inside, distance = boundary_step(
            margins, centre, base, points, value - self.floor[rows], gradient, radius, self.p, self.bounds
        )
        nearer = torch.where(inside, distance, radius)
        gain = torch.where(radius.isinf(), inside.to(radius.dtype), 1 - nearer / radius)
        # A search that knows a boundary point stays there unless a closer one was found.
        moved = per_sample(inside | radius.isinf(), points)
        searches.points[some] = torch.where(moved, found, points).reshape(len(some), n, *points.shape[1:])
        searches.radius[some] = nearer.reshape(len(some), n)
        searches.steps[some] += 1
        gains = searches.radius.new_zeros(searches.radius.shape)
        gains[some] = gain.reshape(len(some), n)
        return gains

    def _note(self, searches: _Searches) -> Tensor:
        """Returns the samples for which a search is better than all before, bool [batch], and keeps its point."""
        shortest, place = searches.radius.min(1, keepdim=True)
        found = searches.take(place)
        closer = shortest[:, 0] < self.radius
        better = shortest[:, 0] < self.radius * (1 - _GAIN)
        self.best = torch.where(per_sample(closer, self.best), found.points[:, 0], self.best)
        self.classes = torch.where(closer, found.classes[:, 0], self.classes)
        self.radius = torch.where(closer, shortest[:, 0], self.radius)
        self.node = torch.where(closer, found.node[:, 0], self.node)
        return better

    def _ended(self, searches: _Searches, gain: Tensor) -> Tensor:
        known, steps = searches.radius.isfinite(), searches.steps
        lag = searches.radius > self.radius[:, None] * (1 + 0.5 / steps.clamp_min(1))
        return torch.where(known, (gain < _GAIN) | (lag & (steps >= _STEPS_TO_LAG)), steps >= _STEPS_WITHOUT)

    def _perturbed(self, searches: _Searches) -> _Searches:
        """Returns searches that begin near the best point, or near the latest where there is none."""
        shape = searches.radius.shape
        known = self.radius.isfinite()[:, None]
        anchor = torch.where(_wide(known, searches.points), self.best[:, None], searches.points)
        node = torch.where(known, self.node[:, None], searches.node)
        noise = normal(anchor.shape, anchor, self.generator)
        noise = noise / norms(noise.flatten(0, 1), self.p).reshape(*shape, *[1] * (anchor.dim() - 2))
        away = norms((anchor - self.start[:, None]).flatten(0, 1), self.p).reshape(shape)
        size = away * _SIGMA[0] * (_SIGMA[1] / _SIGMA[0]) ** uniform(shape, away, self.generator)
        # Half of them pursue the best class, the others one of the nearer half.
        half = max(1, self.ranked.shape[1] // 2)
        other = (uniform(shape, away, self.generator) * half).long().clamp_max(half - 1)
        same = uniform(shape, away, self.generator) < 0.5
        classes = torch.where(same, self.classes[:, None], self.ranked.gather(1, other))
        points = into_box(anchor + _wide(size, noise) * noise, self.bounds)
        return _Searches(points, torch.full_like(size, math.inf), classes, torch.zeros_like(searches.steps), node)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """Returns values [batch, n] with the dimensions of ``like`` [batch, n, ...]."""
    return values.reshape(*values.shape, *[1] * (like.dim() - 2))
