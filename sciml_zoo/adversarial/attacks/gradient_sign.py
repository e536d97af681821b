"""Ascent of the loss within a ball of given radius: fast gradient sign, projected gradient, momentum.

=======================================================  =======================================================
x ← x₀ + ε sign ∇L                                       :func:`fgsm`, Goodfellow et al., arXiv:1412.6572
x ← Π(x + α sign ∇L)                                     :func:`pgd_linf`, Madry et al., arXiv:1706.06083
x ← Π(x + α ∇L/‖∇L‖₂)                                    :func:`pgd_l2`
g ← μg + ∇L/‖∇L‖₁,   x ← Π(x + α sign g)                 :func:`momentum`, Dong et al., arXiv:1710.06081
Π                                                        onto the ball around x₀, then into the box
=======================================================  =======================================================

The clean input lies in the box, so that clipping to the box never leaves the ball. The first run begins at the clean
input, restarts at random points of the ball. Each sample stays at its best iterate: of those classified wrongly the one
of the highest loss, or else the one of the highest loss. Every iterate but the last of a run costs a gradient.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sciml_zoo.adversarial.attacks.draws import normal, uniform
from sciml_zoo.adversarial.attacks.objective import Model, Objective, check_inputs
from sciml_zoo.adversarial.attacks.projections import Bounds, into_box, norms, onto_ball, per_sample
from sciml_zoo.adversarial.attacks.recording import Recording
from sciml_zoo.adversarial.path import Path
from sciml_zoo.errors import InputError

__all__ = ["fgsm", "momentum", "pgd_l2", "pgd_linf"]

#: Steps of PGD add up to so many radii where no size is given, so that every point of the ball can be reached.
_REACH = 2.5

#: Gradients and what a run carries from step to step → direction of the next step, and what it carries on.
_Direction = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def fgsm(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    epsilon: float = 0.1,
    bounds: Bounds = (0.0, 1.0),
) -> Path:
    """Takes one step to a corner of the L∞ ball.

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        inputs: clean, inside the bounds, [batch, ...].
        labels: int64 [batch].
        targets: classes to reach, likewise; None: any but the label.
        epsilon: radius of the ball.
        bounds: the box; None: none.

    Returns:
        The path, of two nodes.
    """
    ascent = _Ascent(model, inputs, labels, targets, epsilon, math.inf, bounds)
    return ascent.run("fgsm", _sign, epsilon, 1, 1, None, keep_best=False)


def pgd_linf(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    epsilon: float = 0.1,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    bounds: Bounds = (0.0, 1.0),
    generator: torch.Generator | None = None,
) -> Path:
    """Climbs by the signs of the gradient within the L∞ ball.

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        inputs: clean, inside the bounds, [batch, ...].
        labels: int64 [batch].
        targets: classes to reach, likewise; None: any but the label.
        epsilon: radius of the ball.
        steps: of a run, a gradient each.
        step_size: α; None: 2.5 ε / steps.
        restarts: runs in all.
        bounds: the box; None: none.
        generator: of the random starts.

    Returns:
        The path through the iterates of the best run, up to the best of them.
    """
    ascent = _Ascent(model, inputs, labels, targets, epsilon, math.inf, bounds)
    return ascent.run("pgd_linf", _sign, _size(step_size, epsilon, steps), steps, restarts, generator)


def pgd_l2(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    epsilon: float = 1.0,
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    bounds: Bounds = (0.0, 1.0),
    generator: torch.Generator | None = None,
) -> Path:
    """Climbs along the gradient within the L2 ball.

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        inputs: clean, inside the bounds, [batch, ...].
        labels: int64 [batch].
        targets: classes to reach, likewise; None: any but the label.
        epsilon: radius of the ball.
        steps: of a run, a gradient each.
        step_size: α; None: 2.5 ε / steps.
        restarts: runs in all.
        bounds: the box; None: none.
        generator: of the random starts.

    Returns:
        The path through the iterates of the best run, up to the best of them.
    """
    ascent = _Ascent(model, inputs, labels, targets, epsilon, 2.0, bounds)
    return ascent.run("pgd_l2", _unit, _size(step_size, epsilon, steps), steps, restarts, generator)


def momentum(
    model: Model,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    epsilon: float = 0.1,
    steps: int = 10,
    step_size: float | None = None,
    decay: float = 1.0,
    restarts: int = 1,
    bounds: Bounds = (0.0, 1.0),
    generator: torch.Generator | None = None,
) -> Path:
    """Climbs by the signs of the accumulated gradient within the L∞ ball (MI-FGSM).

    Args:
        model: classifier of inputs [n, ...] to logits [n, classes].
        inputs: clean, inside the bounds, [batch, ...].
        labels: int64 [batch].
        targets: classes to reach, likewise; None: any but the label.
        epsilon: radius of the ball.
        steps: of a run, a gradient each.
        step_size: α; None: ε / steps.
        decay: μ.
        restarts: runs in all.
        bounds: the box; None: none.
        generator: of the random starts.

    Returns:
        The path through the iterates of the best run, up to the best of them.
    """

    def direction(gradient: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        total = decay * carried + gradient / _positive(norms(gradient, 1), gradient)
        return total.sign(), total

    size = epsilon / max(1, steps) if step_size is None else step_size
    ascent = _Ascent(model, inputs, labels, targets, epsilon, math.inf, bounds)
    return ascent.run("momentum", direction, size, steps, restarts, generator)


def _sign(gradient: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
    return gradient.sign(), carried


def _unit(gradient: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
    return gradient / _positive(norms(gradient, 2), gradient), carried


def _positive(sizes: Tensor, like: Tensor) -> Tensor:
    return per_sample(sizes.clamp_min(torch.finfo(like.dtype).tiny), like)


def _size(step_size: float | None, epsilon: float, steps: int) -> float:
    return _REACH * epsilon / max(1, steps) if step_size is None else step_size


class _Ascent:
    """Runs of projected ascent from the clean inputs of a batch, and from random points of their balls."""

    def __init__(
        self,
        model: Model,
        inputs: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        epsilon: float,
        p: float,
        bounds: Bounds,
    ) -> None:
        if not 0 < epsilon < math.inf:
            raise InputError(f"a ball of radius {epsilon}: give a positive number")
        self.start = check_inputs(inputs, labels, targets, bounds)
        self.objective = Objective(model, labels, targets)
        self.epsilon, self.p, self.bounds = epsilon, p, bounds

    def run(
        self,
        name: str,
        direction: _Direction,
        step_size: float,
        steps: int,
        restarts: int,
        generator: torch.Generator | None,
        *,
        keep_best: bool = True,
    ) -> Path:
        if not 0 < step_size < math.inf:
            raise InputError(f"{name}: steps of size {step_size}: give a positive number")
        if steps < 1 or restarts < 1:
            raise InputError(f"{name}: {steps} steps and {restarts} runs: give at least one of each")
        start = self.start
        track = Recording(start, restarts * (steps + 1) - 1)
        best = torch.zeros(len(start), dtype=torch.int64, device=start.device)
        score, success = torch.full_like(start.flatten(1)[:, 0], -math.inf), torch.zeros_like(best, dtype=torch.bool)

        def note(value: Tensor, margin: Tensor) -> None:
            nonlocal best, score, success
            wrong = margin > 0
            better = (wrong & ~success) | ((wrong == success) & (value > score))
            best = torch.where(better, track.last, best)
            score, success = torch.where(better, value, score), wrong | success

        for restart in range(restarts):
            points, carried = start, torch.zeros_like(start)
            if restart:
                points = self._random(generator)
                track.add(points, torch.zeros_like(best))
            for _ in range(steps):
                climb = self.objective.climb(points)
                note(climb.value, climb.margin)
                towards, carried = direction(climb.gradient, carried)
                points = self._project(points + step_size * towards)
                track.add(points)
            value, margin = self.objective.judge(points)
            note(value, margin)
        gradients = restarts * steps
        if not keep_best:
            return track.route(name, gradients, margin > 0)
        return track.route(name, gradients, success, best)

    def _project(self, points: Tensor) -> Tensor:
        return into_box(onto_ball(points, self.start, self.epsilon, self.p), self.bounds)

    def _random(self, generator: torch.Generator | None) -> Tensor:
        """Returns points that are uniform in the ball, clipped to the box."""
        start = self.start
        if math.isinf(self.p):
            away = self.epsilon * (2 * uniform(start.shape, start, generator) - 1)
        else:
            noise = normal(start.shape, start, generator)
            dimensions = start.numel() / len(start)
            radius = self.epsilon * uniform(start.shape[:1], start, generator) ** (1 / dimensions)
            away = per_sample(radius, noise) * noise / _positive(norms(noise, 2), noise)
        return self._project(start + away)
