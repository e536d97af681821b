"""Basins of attraction: where the gradient flow from an input ends, and what an attack's path crosses on the way.

==========================================  ==============================================================
dx/dt = −∇V(x)                              :func:`gradient_flow`, by Dormand & Prince's pair of orders 5 and 4
‖x⁽⁵⁾ − x⁽⁴⁾‖                               error of a step, held below ``accuracy``; each sample has its own step
lim x(t)                                    the minimum whose basin x lies in: the last stretch by :func:`relax`
first s with argmax f(x(s)) ≠ argmax f(x₀)  :func:`boundary_crossing`: the decision boundary, by bisection
first s with lim x(t; x(s)) ≠ lim x(t; x₀)  :func:`basin_exit`: the watershed, by bisection
==========================================  ==============================================================
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.adversarial._flat_potential import FlatPotential
from sciml_zoo.adversarial.minima import Minima, relax
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential

__all__ = ["Crossing", "Flow", "basin", "basin_exit", "boundary_crossing", "gradient_flow"]

_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


@dataclass(frozen=True)
class Flow:
    """Trajectories of the gradient flow.

    Attributes:
        points: the nodes: evenly spaced in the length of the trajectory up to the minimum, [nodes, n, ...].
        minima: where they end.
    """

    points: Tensor
    minima: Minima

    @property
    def path(self) -> Path:
        """The trajectories as a path."""
        return Path(self.points, "gradient flow")


@dataclass(frozen=True)
class Crossing:
    """Where paths cross a border.

    Attributes:
        crossed: whether they do at all, bool [n]; the other figures are NaN where they do not.
        points: on the border, [n, ...].
        lengths: along the path from its start, [n].
        distances: from the path's start in a straight line, L2, [n].
        fractions: of the path's length, [n].
    """

    crossed: Tensor
    points: Tensor
    lengths: Tensor
    distances: Tensor
    fractions: Tensor


def gradient_flow(
    potential: LossPotential,
    inputs: Tensor,
    *,
    rows: Tensor | None = None,
    accuracy: float = 1e-6,
    handover: float = 1e-2,
    tolerance: float = 1e-8,
    nodes: int = 33,
    steps: int = 5000,
) -> Flow:
    """Follows the gradient downhill to minima.

    Args:
        potential: in float64.
        inputs: where to begin, [n, ...].
        rows: to which sample of the potential each belongs, int64 [n]; None: in order.
        accuracy: of one step, in units of the inputs.
        handover: where ‖∇V‖ has fallen to this fraction of its largest, :func:`relax` takes over.
        tolerance: of ‖∇V‖ at the minimum.
        nodes: of the trajectories returned.
        steps: at most.

    Returns:
        The trajectories; a minimum has not converged if the steps did not suffice.
    """
    flat = FlatPotential(potential, inputs, rows)
    x = flat.flat(inputs)
    _, gradient = flat.value_and_gradient(x, torch.arange(len(x), device=x.device))
    largest = torch.linalg.vector_norm(gradient, dim=1)
    # The first step moves by about the square root of the accuracy, as an error of second order would allow.
    time = accuracy**0.5 / largest.clamp_min(1e-300)
    track = [(torch.zeros_like(time), x.clone(), gradient.clone())]
    clock = torch.zeros_like(time)
    flowing = largest > tolerance
    for _ in range(steps):
        at = flowing.nonzero()[:, 0]
        if not len(at):
            break
        new, slope, error = _step(flat, x[at], gradient[at], time[at], at)
        taken = error <= accuracy
        factor = 0.9 * (accuracy / error.clamp_min(1e-300)) ** 0.2
        moved = at[taken]
        clock[moved] += time[moved]
        x[moved], gradient[moved] = new[taken], slope[taken]
        time[at] = time[at] * factor.clamp(0.2, 5.0)
        norm = torch.linalg.vector_norm(gradient[at], dim=1)
        largest[at] = torch.maximum(largest[at], norm)
        flowing[at] = norm > (handover * largest[at]).clamp_min(tolerance)
        track.append((clock.clone(), x.clone(), gradient.clone()))
    short = torch.linalg.vector_norm(x - track[0][1], dim=1).clamp_min(accuracy**0.5)
    minima = relax(potential, flat.shaped(x), rows=flat.rows, tolerance=tolerance, max_step=0.1 * short)
    times, points, gradients = (torch.stack(part) for part in zip(*track, strict=True))
    trail = _evenly(times, points, gradients, flat.flat(minima.points), nodes)
    return Flow(flat.shaped(trail), minima)


def basin(
    potential: LossPotential,
    inputs: Tensor,
    minima: Tensor,
    *,
    rows: Tensor | None = None,
    distance: float = 1e-4,
    accuracy: float = 1e-6,
) -> Tensor:
    """Returns in the basin of which minimum each input lies, int64 [n]; −1: of none of them.

    Args:
        potential: in float64.
        inputs: [n, ...].
        minima: candidates for each, [candidates, n, ...].
        rows: to which sample of the potential each input belongs, int64 [n]; None: in order.
        distance: below which two minima are one.
        accuracy: of a step of the flow.
    """
    found = gradient_flow(potential, inputs, rows=rows, accuracy=accuracy, nodes=2).minima.points
    apart = torch.linalg.vector_norm((minima - found).flatten(2), dim=2)
    nearest = apart.min(0)
    return torch.where(nearest.values <= distance, nearest.indices, -1)


def boundary_crossing(model: Callable[[Tensor], Tensor], path: Path, *, samples: int = 8) -> Crossing:
    """Returns where paths first leave the class of their start: the decision boundary.

    Args:
        model: inputs [n, ...] to logits [n, classes].
        path: the paths.
        samples: points looked at within each segment; a class that comes and goes between two of them is not seen.
    """
    with torch.no_grad():
        classes = model(path.start).argmax(1)

        def same(inputs: Tensor, index: Tensor) -> Tensor:
            with torch.no_grad():
                return model(inputs).argmax(1) == classes[index]

        return _first_change(path, same, samples)


def basin_exit(
    potential: LossPotential,
    path: Path,
    *,
    rows: Tensor | None = None,
    samples: int = 1,
    distance: float = 1e-4,
    accuracy: float = 1e-5,
    bisections: int = 20,
) -> Crossing:
    """Returns where paths first leave the basin of attraction that they start in.

    Args:
        potential: in float64.
        path: the paths, such as an attack's.
        rows: to which sample of the potential each belongs, int64 [n]; None: in order.
        samples: points looked at within each segment.
        distance: below which two minima are one.
        accuracy: of a step of the flow.
        bisections: each halves the uncertainty of where the border is.
    """
    flat = FlatPotential(potential, path.start, rows)
    home = gradient_flow(potential, path.start, rows=flat.rows, accuracy=accuracy, nodes=2).minima.points

    def same(inputs: Tensor, index: Tensor) -> Tensor:
        at = flat.rows[index]
        return basin(potential, inputs, home[index][None], rows=at, distance=distance, accuracy=accuracy) == 0

    return _first_change(path, same, samples, bisections)


def _first_change(path: Path, same: Callable[[Tensor, Tensor], Tensor], samples: int, bisections: int = 50) -> Crossing:
    """Returns the first point of paths at which ``same`` (inputs, indices of paths) turns false."""
    points, shape = path.points.flatten(2), path.points.shape[2:]
    segments, pairs = len(points) - 1, points.shape[1]
    everything = torch.arange(pairs, device=points.device)

    def along(position: Tensor, index: Tensor) -> Tensor:
        left = position.floor().long().clamp(0, segments - 1)
        share = (position - left)[:, None]
        return (1 - share) * points[left, index] + share * points[left + 1, index]

    low, high = points.new_zeros(pairs), points.new_full((pairs,), float("nan"))
    searching = torch.ones(pairs, dtype=torch.bool, device=points.device)
    for number in range(1, segments * samples + 1):
        at = searching.nonzero()[:, 0]
        if not len(at):
            break
        position = points.new_full((len(at),), number / samples)
        inside = same(along(position, at).view(-1, *shape), at)
        low[at[inside]] = position[inside]
        high[at[~inside]] = position[~inside]
        searching[at[~inside]] = False
    crossed = ~searching
    at = crossed.nonzero()[:, 0]
    for _ in range(bisections if len(at) else 0):
        middle = (low[at] + high[at]) / 2
        inside = same(along(middle, at).view(-1, *shape), at)
        low[at], high[at] = torch.where(inside, middle, low[at]), torch.where(inside, high[at], middle)
    border = along(high.nan_to_num(0.0), everything)
    lengths = torch.linalg.vector_norm(points.diff(dim=0), dim=2)
    before = torch.cat([lengths.new_zeros(1, pairs), lengths.cumsum(0)])
    left = high.nan_to_num(0.0).floor().long().clamp(0, segments - 1)
    length = before[left, everything] + (high - left) * lengths[left, everything]
    nothing = torch.where(crossed, 0.0, torch.nan)
    return Crossing(
        crossed,
        (border + nothing[:, None]).view(-1, *shape),
        length,
        torch.linalg.vector_norm(border - points[0], dim=1) + nothing,
        length / before[-1],
    )


def _step(flat: FlatPotential, x: Tensor, gradient: Tensor, time: Tensor, index: Tensor) -> tuple[Tensor, ...]:
    """Returns the point after a step, the gradient there, and the error's norm."""
    slopes = [-gradient]
    for weights in _STAGES:
        change = sum(weight * slope for weight, slope in zip(weights, slopes, strict=True))
        new = x + time[:, None] * change
        slopes.append(-flat.value_and_gradient(new, index)[1])
    error = time[:, None] * sum(weight * slope for weight, slope in zip(_ERROR, slopes, strict=True))
    return new, -slopes[-1], torch.linalg.vector_norm(error, dim=1).nan_to_num(torch.inf)


def _evenly(times: Tensor, points: Tensor, gradients: Tensor, end: Tensor, count: int) -> Tensor:
    """Returns nodes evenly spaced in length, by cubic Hermite interpolation over time, then on to the end.

    Args:
        times: of the track's nodes, which may repeat, [nodes, n].
        points: [nodes, n, d].
        gradients: likewise.
        end: the minima, [n, d].
        count: how many are wanted.
    """
    lengths = torch.linalg.vector_norm(points.diff(dim=0), dim=2)
    last = torch.linalg.vector_norm(end - points[-1], dim=1)
    before = torch.cat([lengths.new_zeros(1, len(end)), lengths.cumsum(0), (lengths.sum(0) + last)[None]]).T
    wanted = torch.linspace(0, 1, count, dtype=end.dtype, device=end.device) * before[:, -1:]
    left = (torch.searchsorted(before.contiguous(), wanted.contiguous(), right=True) - 1).clamp(0, len(points) - 1)
    width = (before.gather(1, left + 1) - before.gather(1, left)).clamp_min(1e-300)
    share = ((wanted - before.gather(1, left)) / width).clamp(0, 1)[..., None]

    def at(nodes: Tensor, index: Tensor) -> Tensor:
        return nodes.transpose(0, 1).gather(1, index[..., None].expand(-1, -1, end.shape[1]))

    right = (left + 1).clamp_max(len(points) - 1)
    spans = times.T
    span = (spans.gather(1, right) - spans.gather(1, left))[..., None]
    x0, x1, g0, g1 = at(points, left), at(points, right), at(gradients, left), at(gradients, right)
    rise = share.square() * (3 - 2 * share)
    bend = share * (1 - share) * (share * g1 - (1 - share) * g0)
    flowing = (1 - rise) * x0 + rise * x1 + span * bend
    resting = (1 - share) * x0 + share * end[:, None]
    found = torch.where((left == len(points) - 1)[..., None], resting, flowing)
    found[:, -1] = end
    return found.transpose(0, 1)
