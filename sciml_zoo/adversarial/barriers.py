"""Barriers between an input and its adversarial twin: minimum-energy paths through verified saddles.

1. Both are relaxed to minima; a pair that shares one has no barrier.
2. A band from the straight line between the minima finds a saddle, which is refined until ‖∇V‖ is at tolerance.
3. Gradient flow down both sides of the saddle shows which minima it connects, and is the minimum-energy path there.
   Where that is another minimum than the pair's, the gap is bridged in the same way: a path may have several saddles.

================================================  ==================================================
ΔV = V(saddle) − V(start)                         ``forward``; from the other side ``backward``
V(saddle)                                         of the highest saddle on the path
min over paths max V ≤ max V on any path          mountain pass: never above the straight line's maximum
================================================  ==================================================

What fails, or ends above the straight line, is sought again with the string method and more images.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.adversarial._flat_potential import CountedPotential
from sciml_zoo.adversarial._saddle_chain import Search
from sciml_zoo.adversarial.minima import Minima, relax_pairs
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.saddle import Saddles
from sciml_zoo.errors import InputError

__all__ = ["Barriers", "Climbs", "barrier", "path_maximum"]

#: Methods, and how many images each has.
METHODS = {"band": 15, "string": 25}
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Climbs:
    """The highest that a potential gets along three ways, above one reference; NaN where there is no such way.

    The reference is the minimum on the clean input's side; for another potential, the clean input itself.

    Attributes:
        line: straight line between the minima, [n].
        attack: the attack's own path, [n].
        path: minimum-energy path, [n].
    """

    line: Tensor
    attack: Tensor
    path: Tensor


@dataclass(frozen=True)
class Barriers:
    """Barriers between the minima of pairs; NaN where a pair shares its minimum, or no saddle was found.

    Attributes:
        start: minima on the side of the clean inputs.
        end: on the side of the twins.
        distinct: whether both were reached and differ, bool [n].
        saddles: the highest on each path.
        connected: whether gradient flow from the saddles leads from one minimum to the other without a gap, bool [n].
        links: how many saddles each path has, int64 [n].
        line_maximum: of the potential on the straight line between the minima, [n].
        climbs: of the potential itself.
        loss_climbs: of another potential, such as the cross-entropy, if there is one.
        path: from minimum to minimum; where it is not connected, with straight jumps.
        gradients: spent on each pair, int64 [n]; a product with the Hessian counts two.
    """

    start: Minima
    end: Minima
    distinct: Tensor
    saddles: Saddles
    connected: Tensor
    links: Tensor
    line_maximum: Tensor
    climbs: Climbs
    loss_climbs: Climbs | None
    path: Path
    gradients: Tensor

    @property
    def forward(self) -> Tensor:
        """Height of the barrier from the clean input's side, [n]."""
        return self.saddles.values - self.start.values

    @property
    def backward(self) -> Tensor:
        """Height of the barrier from the twin's side, [n]."""
        return self.saddles.values - self.end.values

    @property
    def above_line(self) -> Tensor:
        """Whether the saddle is higher than the straight line's maximum: not the lowest pass, bool [n]."""
        return self.saddles.values > self.line_maximum + _ROUNDING * (1 + self.line_maximum.abs())

    @property
    def found(self) -> Tensor:
        """Whether a refined saddle of first order connects the pair, no higher than the straight line, bool [n]."""
        return self.saddles.converged & self.connected & ~self.above_line


def barrier(
    potential: LossPotential,
    clean: Tensor,
    twin: Tensor,
    *,
    attack: Path | None = None,
    loss: LossPotential | None = None,
    method: str = "band",
    images: int | None = None,
    tolerance: float = 1e-8,
    same: float = 1e-4,
    rounds: int = 4,
) -> Barriers:
    """Finds the barriers between inputs and their adversarial twins.

    Args:
        potential: with a minimum on either side, such as :class:`ValleyPotential`, in float64.
        clean: inputs, [n, ...].
        twin: what an attack made of them, [n, ...].
        attack: its path, to compare with.
        loss: another potential whose climb is reported too, such as the cross-entropy of the true label.
        method: of the first attempt: ``band`` or ``string``.
        images: of a band or string, both ends included; None: 15 of a band, 25 of a string.
        tolerance: of ‖∇V‖ at minima and saddles.
        same: distance below which two minima are one.
        rounds: how often gaps are bridged.

    Returns:
        The barriers.

    Raises:
        InputError: an unknown method, or clean inputs and twins of different shapes.
    """
    if method not in METHODS:
        raise InputError(f"method: {method!r}; valid: {', '.join(METHODS)}")
    if clean.shape != twin.shape:
        raise InputError(f"clean inputs {list(clean.shape)}, twins {list(twin.shape)}: give pairs")
    counted = CountedPotential(potential, len(clean), clean.device)
    start, end, distinct = relax_pairs(counted, clean, twin, tolerance=tolerance, same=same)
    line = Path.straight(start.points, end.points)
    line_maximum = torch.where(distinct, path_maximum(potential, line, samples=128), torch.nan)
    search = Search(counted, start.points, end.points, tolerance, same, rounds)
    pairs = distinct.nonzero()[:, 0]
    images = METHODS[method] if images is None else images
    links = search.chains(pairs, method, images)
    height = links.highest(len(clean))
    wrong = distinct & ~(links.closed(len(clean)) & (height <= line_maximum + _ROUNDING * (1 + line_maximum.abs())))
    again = wrong.nonzero()[:, 0]
    if len(again):
        other = search.chains(again, "string", 3 * images)
        better = other.closed(len(clean)) & ~(links.closed(len(clean)) & (height <= other.highest(len(clean))))
        links = links.replaced(other, wrong & better)
    path = links.path(start.points, end.points)
    connected = links.closed(len(clean)) & distinct
    return Barriers(
        start,
        end,
        distinct,
        links.top(start.points),
        connected,
        torch.bincount(links.pair, minlength=len(clean)),
        line_maximum,
        _climbs(potential, start.points, line, attack, path, distinct),
        None if loss is None else _climbs(loss, clean, line, attack, path, distinct),
        path,
        counted.spent,
    )


def path_maximum(potential: LossPotential, path: Path, *, samples: int = 16, refinements: int = 40) -> Tensor:
    """Returns the highest value of a potential along paths, [n]: the best of a grid, refined by golden section.

    Args:
        potential: a sample for each path.
        path: the paths.
        samples: points of the grid in each segment; a peak narrower than their spacing may be missed.
        refinements: each narrows the peak's place by a factor of 0.618.
    """
    points = path.points.to(torch.float64)
    segments, pairs = len(points) - 1, points.shape[1]
    everything = torch.arange(pairs, device=points.device)

    def at(position: Tensor) -> Tensor:
        left = position.floor().long().clamp(0, segments - 1)
        share = (position - left).view(-1, *[1] * (points.dim() - 2))
        inputs = (1 - share) * points[left, everything] + share * points[left + 1, everything]
        return potential.value(inputs, everything)

    grid = torch.linspace(0, segments, segments * samples + 1, dtype=points.dtype, device=points.device)
    values = torch.stack([at(position.expand(pairs)) for position in grid])
    best = values.amax(0)
    peak = grid[values.argmax(0)]
    low, high = (peak - 1 / samples).clamp_min(0), (peak + 1 / samples).clamp_max(segments)
    golden = (5**0.5 - 1) / 2
    first, second = high - golden * (high - low), low + golden * (high - low)
    first_value, second_value = at(first), at(second)
    for _ in range(refinements):
        leftward = first_value > second_value
        low, high = torch.where(leftward, low, first), torch.where(leftward, second, high)
        first_new, second_new = high - golden * (high - low), low + golden * (high - low)
        new_value = at(torch.where(leftward, first_new, second_new))
        first_value, second_value = (
            torch.where(leftward, new_value, second_value),
            torch.where(leftward, first_value, new_value),
        )
        first, second = first_new, second_new
    return torch.maximum(best, torch.maximum(first_value, second_value))


def _climbs(
    potential: LossPotential, reference: Tensor, line: Path, attack: Path | None, path: Path, distinct: Tensor
) -> Climbs:
    foot = potential.value(reference.to(torch.float64))
    nothing = torch.full_like(foot, torch.nan)
    return Climbs(
        torch.where(distinct, path_maximum(potential, line, samples=128) - foot, nothing),
        nothing if attack is None else path_maximum(potential, attack, samples=4) - foot,
        torch.where(distinct, path_maximum(potential, path, samples=2) - foot, nothing),
    )
