"""Work along the path of an attack: the line integral of the loss's gradient, and whether it closes.

==============================  ==========================================================================
W = ∫ ∇V · dx                   work against the force along a path; positive uphill
closure |W − ΔV|                zero if the gradient belongs to the loss: then the path does not matter
∫ ‖∇V‖ ds − |ΔV|                dissipation: what a climb along the gradient all the way would have saved
∮ ∇V · dx = 0                   on every loop
==============================  ==========================================================================

Every straight segment is integrated by nested rules (:mod:`~sciml_zoo.adversarial.quadrature`) until the estimate of
its error is small enough; a network with kinks is cut there before (:mod:`~sciml_zoo.adversarial.kinks`), and intervals
that do not converge are halved, and searched for kinks again.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.quadrature import SIZES, nodes, rule_error, weights
from sciml_zoo.adversarial.segments import Panels, Segments
from sciml_zoo.errors import InputError

__all__ = ["Work", "loops", "random_paths", "work"]

# Below this part of a segment, halving no longer helps: the gradient jumps, or is not that of the potential.
_SHORTEST = 2.0**-30
# Kinks that were not seen between the ends of an interval show up when it has been halved a few times.
_SEARCHED = 8


@dataclass(frozen=True)
class Work:
    """What paths cost; all [batch], float64, in the loss's unit.

    Attributes:
        work: W.
        delta_loss: ΔV, from the values at both ends.
        closure: |W − ΔV|.
        error_estimate: of W, by the quadrature.
        dissipation: ∫ ‖∇V‖ ds − |ΔV|.
        length: of the path, Euclidean, in the inputs' unit.
        gradients: computed for the integral, int64.
        segments: of the path that lead anywhere, int64.
        panels: into which these were cut, int64.
        tolerance: that was asked for, absolute.
    """

    work: Tensor
    delta_loss: Tensor
    closure: Tensor
    error_estimate: Tensor
    dissipation: Tensor
    length: Tensor
    gradients: Tensor
    segments: Tensor
    panels: Tensor
    tolerance: Tensor

    @property
    def relative_closure(self) -> Tensor:
        """The closure as a part of max(|ΔV|, 1e-3), [batch]."""
        return self.closure / self.delta_loss.abs().clamp(min=1e-3)


class _Sums:
    """What has been integrated so far, by sample."""

    def __init__(self, batch: int, device: torch.device) -> None:
        self.work, self.effort, self.error = (torch.zeros(batch, dtype=torch.float64, device=device) for _ in range(3))
        self.gradients, self.panels = (torch.zeros(batch, dtype=torch.int64, device=device) for _ in range(2))

    def add(self, rows: Tensor, work: Tensor, effort: Tensor, error: Tensor) -> None:
        self.work.index_add_(0, rows, work)
        self.effort.index_add_(0, rows, effort)
        self.error.index_add_(0, rows, error)
        self.panels.index_add_(0, rows, torch.ones_like(rows))


def work(
    potential: LossPotential,
    path: Path,
    *,
    tolerance: float = 1e-9,
    floor: float = 1e-3,
    max_halvings: int = 30,
    max_gradients: int = 10_000,
) -> Work:
    """Integrates the gradient along paths.

    Args:
        potential: over the paths' samples; in float64, for closures far below 1e-6. In float32 the integral stops at
            that precision, whatever the tolerance.
        path: the paths.
        tolerance: of each path's work, relative to max(|ΔV|, ``floor``).
        floor: of |ΔV|, in the loss's unit.
        max_halvings: of an interval whose integral does not converge.
        max_gradients: for each segment of a path, in the mean; when it has had so many, its intervals are not halved
            any more, and its error estimate says what that leaves. Only gradients that are noise need more.

    Returns:
        The work, with what it cost. Where the gradient is not that of the potential, the closure is far above the error
        estimate.

    Raises:
        InputError: a tolerance that is not positive, no halvings, or nodes or values that are not finite.
    """
    if not (tolerance > 0 and floor > 0) or max_halvings < 0:
        raise InputError(
            f"tolerance {tolerance:g}, floor {floor:g}, {max_halvings} halvings: the first two must be positive, the "
            "last zero or more"
        )
    finite = torch.isfinite(path.points.flatten(2)).all(2)
    if not finite.all():
        node, row = (~finite).nonzero()[0].tolist()
        raise InputError(f"sample {row}: node {node} of its path is not finite")
    if potential.dtype is not None:
        path = path.to(potential.dtype)
    ends = torch.stack([potential.value(path.start), potential.value(path.end)]).double()
    if not torch.isfinite(ends).all():
        row = int((~torch.isfinite(ends)).any(0).nonzero()[0])
        raise InputError(f"sample {row}: the loss at an end of its path is not finite")
    delta = ends[1] - ends[0]
    allowed = tolerance * delta.abs().clamp(min=floor)
    segments = Segments(potential, path)
    batch = path.points.shape[1]
    length = torch.zeros_like(delta).index_add_(0, segments.row, segments.length)
    n_segments = torch.zeros(batch, dtype=torch.int64, device=delta.device)
    n_segments.index_add_(0, segments.row, torch.ones_like(segments.row))
    sums = _Sums(batch, delta.device)
    panels = segments.cut(segments.whole())
    for halving in range(max_halvings + 1):
        if not len(panels):
            break
        ended = (sums.gradients >= max_gradients * n_segments) | (halving == max_halvings)
        unfinished = _integrate(segments, panels, allowed, length, sums, ended)
        halved = unfinished.halves()
        panels = segments.cut(halved) if halving < _SEARCHED else halved
    return Work(
        work=sums.work,
        delta_loss=delta,
        closure=(sums.work - delta).abs(),
        error_estimate=sums.error,
        dissipation=sums.effort - delta.abs(),
        length=length,
        gradients=sums.gradients,
        segments=n_segments,
        panels=sums.panels,
        tolerance=allowed,
    )


def _integrate(
    segments: Segments, panels: Panels, allowed: Tensor, length: Tensor, sums: _Sums, ended: Tensor
) -> Panels:
    """Returns the panels that do not converge, none of samples that have ended; the others are added to the sums."""
    along = allowed.new_empty(len(panels), 0)
    norms = along
    for size in SIZES[1:]:
        place = nodes(size, device=allowed.device)[along.shape[1] :]
        width = panels.high - panels.low
        at = panels.low[:, None] + width[:, None] * place
        rows = segments.row[panels.segment]
        force, norm = segments.forces(panels.segment.repeat_interleave(len(place)), at.flatten())
        sums.gradients.index_add_(0, rows, torch.full_like(rows, len(place)))
        along = torch.cat([along, force.view(len(panels), -1) * width[:, None]], 1)
        norms = torch.cat([norms, norm.view(len(panels), -1) * width[:, None]], 1)
        integral, error = rule_error(along, size)
        share = width * segments.length[panels.segment] / length[rows]
        rounding = 50 * torch.finfo(segments.dtype).eps * norms.amax(1)
        done = error <= torch.maximum(allowed[rows] * share, rounding)
        if size == SIZES[-1]:
            done |= (width <= _SHORTEST) | ended[rows]
        effort = norms @ weights(size, device=norms.device)
        sums.add(rows[done], integral[done], effort[done], error[done])
        panels, along, norms = panels.select(~done), along[~done], norms[~done]
        if not len(panels):
            break
    return panels


def loops(around: Tensor, *, corners: int = 6, size: float = 1.0, generator: torch.Generator | None = None) -> Path:
    """Draws closed polygons, around which the work must vanish.

    Args:
        around: centres, [batch, ...].
        corners: of each polygon.
        size: root mean square distance of the corners from the centre, in the inputs' unit.
        generator: of the draws.

    Returns:
        Closed paths.
    """
    shape = (corners, *around.shape)
    noise = torch.randn(shape, generator=generator, device=around.device, dtype=around.dtype)
    points = around + size * noise / around[0].numel() ** 0.5
    return Path(torch.cat([points, points[:1]]), "loop")


def random_paths(
    start: Tensor, end: Tensor, *, nodes: int = 5, size: float = 0.5, generator: torch.Generator | None = None
) -> Path:
    """Draws paths between given ends, along all of which the work must be the same.

    Args:
        start: [batch, ...].
        end: likewise.
        nodes: inner nodes, drawn around the straight line.
        size: root mean square distance from it, as a part of its length.
        generator: of the draws.

    Returns:
        The paths.
    """
    place = torch.linspace(0, 1, nodes + 2, dtype=start.dtype, device=start.device)[1:-1]
    place = place.view(-1, *[1] * start.dim())
    noise = torch.randn((nodes, *start.shape), generator=generator, device=start.device, dtype=start.dtype)
    length = torch.linalg.vector_norm((end - start).flatten(1), dim=1).view(-1, *[1] * (start.dim() - 1))
    inner = start + place * (end - start) + size * length * noise / start[0].numel() ** 0.5
    return Path(torch.cat([start[None], inner, end[None]]), "random path")
