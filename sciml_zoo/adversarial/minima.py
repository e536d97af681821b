"""Relaxation of inputs to the minima of a potential.

========================================  ==============================================================
x ← x + t d                               step along the quasi-Newton direction, at most ``max_step`` long
d = −B ∇V                                 :func:`_direction`, B from the last steps (L-BFGS, Nocedal 1980)
V(x + t d) ≤ V(x) + c t ∇V·d              sufficient decrease; or, where V's rounding hides a decrease,
|∇V(x + t d)·d| ≤ (1 − 2c) |∇V·d|         the slope's (Hager & Zhang 2005)
========================================  ==============================================================

Every sample has its own direction, history and step; a gradient of all that are still moving is one call.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.adversarial._flat_potential import FlatPotential
from sciml_zoo.adversarial.potential import LossPotential

__all__ = ["Minima", "relax", "relax_pairs", "share_minimum"]

_ARMIJO = 1e-4
_ROUNDING = 1e-14
_SHORTEST = 1e-12
# Longest step of a pair's ends, in units of the distance between them.
_PAIR_STEP = 0.05


@dataclass(frozen=True)
class Minima:
    """Where inputs came to rest.

    Attributes:
        points: [n, ...], float64.
        values: potential there, [n].
        gradient_norms: ‖∇V‖ there, [n].
        converged: whether that is within the tolerance, bool [n].
    """

    points: Tensor
    values: Tensor
    gradient_norms: Tensor
    converged: Tensor


def relax(
    potential: LossPotential,
    inputs: Tensor,
    *,
    rows: Tensor | None = None,
    tolerance: float = 1e-8,
    max_step: float | Tensor = 0.1,
    steps: int = 2000,
    memory: int = 12,
) -> Minima:
    """Moves inputs downhill to minima of the potential.

    Args:
        potential: in float64.
        inputs: where to begin, [n, ...].
        rows: to which sample of the potential each belongs, int64 [n]; None: in order.
        tolerance: of ‖∇V‖.
        max_step: longest step, so that none leaps into another valley; [n] or one for all, in units of the inputs.
        steps: at most, trials included.
        memory: how many steps the curvature is learnt from.

    Returns:
        The minima.
    """
    flat = FlatPotential(potential, inputs, rows)
    x = flat.flat(inputs)
    longest = torch.as_tensor(max_step, dtype=x.dtype, device=x.device).expand(len(x))
    value, gradient = flat.value_and_gradient(x, torch.arange(len(x), device=x.device))
    moves = x.new_zeros(memory, *x.shape)
    turns = torch.zeros_like(moves)
    direction = _limited(-gradient, longest)
    fraction = torch.ones_like(value)
    for _ in range(steps):
        open_ = (torch.linalg.vector_norm(gradient, dim=1) > tolerance) & (fraction > _SHORTEST)
        if not open_.any():
            break
        at = open_.nonzero()[:, 0]
        step = fraction[at, None] * direction[at]
        new_value, new_gradient = flat.value_and_gradient(x[at] + step, at)
        slope = (gradient[at] * direction[at]).sum(1)
        new_slope = (new_gradient * direction[at]).sum(1)
        lower = new_value <= value[at] + _ARMIJO * fraction[at] * slope
        level = (new_value <= value[at] + _ROUNDING * (1 + value[at].abs())) & (
            new_slope.abs() <= (1 - 2 * _ARMIJO) * slope.abs()
        )
        taken = lower | level
        fraction[at] = torch.where(taken, 1.0, fraction[at] / 3)
        moved = at[taken]
        if not len(moved):
            continue
        step, turn = step[taken], new_gradient[taken] - gradient[moved]
        x[moved] += step
        value[moved], gradient[moved] = new_value[taken], new_gradient[taken]
        bent = (step * turn).sum(1) > 1e-10 * turn.square().sum(1).sqrt() * step.square().sum(1).sqrt()
        learnt = moved[bent]
        moves[:, learnt] = torch.cat([moves[1:, learnt], step[bent][None]])
        turns[:, learnt] = torch.cat([turns[1:, learnt], turn[bent][None]])
        direction[moved] = _limited(_direction(gradient[moved], moves[:, moved], turns[:, moved]), longest[moved])
    norms = torch.linalg.vector_norm(gradient, dim=1)
    return Minima(flat.shaped(x), value, norms, norms <= tolerance)


def relax_pairs(
    potential: LossPotential, clean: Tensor, twin: Tensor, *, tolerance: float = 1e-8, same: float = 1e-4
) -> tuple[Minima, Minima, Tensor]:
    """Moves both of each pair downhill to minima, by steps short against the distance between them.

    Args:
        potential: in float64, a sample for each pair.
        clean: inputs, [n, ...].
        twin: likewise.
        tolerance: of ‖∇V‖.
        same: distance below which two minima are one.

    Returns:
        The minima of the clean inputs, those of the twins, and whether both were reached and differ, bool [n].
    """
    apart = (twin.to(torch.float64) - clean.to(torch.float64)).flatten(1)
    step = _PAIR_STEP * torch.linalg.vector_norm(apart, dim=1).clamp_min(same)
    start, end = (relax(potential, inputs, tolerance=tolerance, max_step=step) for inputs in (clean, twin))
    return start, end, start.converged & end.converged & ~share_minimum(start, end, same)


def share_minimum(first: Minima, second: Minima, distance: float = 1e-4) -> Tensor:
    """Returns which pairs came to rest in the same minimum, bool [n].

    Args:
        first: minima.
        second: as many others.
        distance: below which two minima are one.
    """
    apart = (first.points - second.points).flatten(1)
    return torch.linalg.vector_norm(apart, dim=1) <= distance


def _direction(gradient: Tensor, moves: Tensor, turns: Tensor) -> Tensor:
    """Returns −B∇V, by the two-loop recursion; unused entries of the history are zeros."""
    products = (moves * turns).sum(2)
    known = products > 0
    inverse = torch.where(known, 1 / products.where(known, torch.ones_like(products)), 0.0)
    rest = gradient.clone()
    weights = []
    for move, turn, scale in zip(moves.flip(0), turns.flip(0), inverse.flip(0), strict=True):
        weight = scale * (move * rest).sum(1)
        rest -= weight[:, None] * turn
        weights.append(weight)
    bend = turns[-1].square().sum(1)
    rest *= torch.where(known[-1], products[-1] / bend.where(known[-1], torch.ones_like(bend)), 1.0)[:, None]
    for move, turn, scale, weight in zip(moves, turns, inverse, reversed(weights), strict=True):
        rest += (weight - scale * (turn * rest).sum(1))[:, None] * move
    downhill = (rest * gradient).sum(1) > 0
    return -torch.where(downhill[:, None], rest, gradient)


def _limited(direction: Tensor, longest: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(direction, dim=1)
    return direction * (longest / length.clamp_min(1e-300)).clamp_max(1.0)[:, None]
