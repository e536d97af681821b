"""The straight pieces of paths, as intervals to integrate over: cut where a piecewise linear network bends."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.adversarial.kinks import locate_kinks, recorded_switches
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential

__all__ = ["Panels", "Segments"]

# Numbers computed on together: values of units, and inputs.
_CHUNK_NUMBERS = 20_000_000


@dataclass(frozen=True)
class Panels:
    """Intervals of segments.

    Attributes:
        segment: of each, int64 [panels].
        low: where it begins, as a part of the segment, float64 [panels].
        high: where it ends.
    """

    segment: Tensor
    low: Tensor
    high: Tensor

    def __len__(self) -> int:
        return len(self.segment)

    def select(self, which: Tensor) -> "Panels":
        """Returns some of them.

        Args:
            which: bool, or places.
        """
        return Panels(self.segment[which], self.low[which], self.high[which])

    def divided(self, parts: int) -> "Panels":
        """Returns equal parts of each, in order.

        Args:
            parts: their number.
        """
        at = torch.arange(parts, device=self.low.device, dtype=self.low.dtype) / parts
        low = self.low[:, None] + (self.high - self.low)[:, None] * at
        high = torch.cat([low[:, 1:], self.high[:, None]], 1)
        return Panels(self.segment.repeat_interleave(parts), low.flatten(), high.flatten())

    def halves(self) -> "Panels":
        """Returns both halves of each."""
        middle = (self.low + self.high) / 2
        return Panels(
            torch.cat([self.segment, self.segment]), torch.cat([self.low, middle]), torch.cat([middle, self.high])
        )


class Segments:
    """All segments of a batch of paths that lead anywhere, and the force along them.

    Args:
        potential: over the paths' samples.
        path: the paths.

    Attributes:
        row: the sample of each segment, int64 [segments].
        length: in the Euclidean norm, float64 [segments].
    """

    def __init__(self, potential: LossPotential, path: Path) -> None:
        self._potential = potential
        batch = path.points.shape[1]
        steps = path.steps.flatten(0, 1)
        length = torch.linalg.vector_norm(steps.flatten(1).double(), dim=1)
        kept = length > 0
        self.row = torch.arange(batch, device=steps.device).repeat(len(path.points) - 1)[kept]
        self.length = length[kept]
        self._start, self._step = path.points[:-1].flatten(0, 1)[kept], steps[kept]
        self._units: int | None = None

    def whole(self) -> Panels:
        """Returns a panel for each segment."""
        zeros = torch.zeros_like(self.length)
        return Panels(torch.arange(len(zeros), device=zeros.device), zeros, torch.ones_like(zeros))

    def points(self, segment: Tensor, place: Tensor) -> Tensor:
        """Returns points on segments, [n, ...].

        Args:
            segment: of each, int64 [n].
            place: as a part of the segment, float64 [n].
        """
        step = self._step[segment]
        return self._start[segment] + place.to(step.dtype).view(-1, *[1] * (step.dim() - 1)) * step

    def forces(self, segment: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Returns dV/dt along segments, and the norm of the gradient times their length, float64 [n].

        Args:
            segment: of each point, int64 [n].
            place: as a part of the segment, float64 [n].
        """
        along, norms = [], []
        for part in torch.arange(len(segment), device=segment.device).split(self._chunk(self._start[:1].numel())):
            chosen = segment[part]
            points = self.points(chosen, place[part])
            gradient = self._potential.value_and_gradient(points, self.row[chosen])[1].flatten(1).double()
            along.append((gradient * self._step[chosen].flatten(1)).sum(1))
            norms.append(torch.linalg.vector_norm(gradient, dim=1) * self.length[chosen])
        empty = self.length[:0]
        return torch.cat(along or [empty]), torch.cat(norms or [empty])

    def switches(self, segment: Tensor, place: Tensor) -> Tensor:
        """Returns what the network's units switch on, float64 [n, units]; no units if it is smooth.

        Args:
            segment: of each point, int64 [n].
            place: as a part of the segment, float64 [n].
        """
        found = []
        size = self._chunk(max(self._units or 1, self._start[:1].numel()))
        for part in torch.arange(len(segment), device=segment.device).split(size):
            points = self.points(segment[part], place[part])
            # As for a gradient: without one, torch may compute layers fused, and their units stay unseen.
            with recorded_switches() as layers:
                self._potential.outputs(points.requires_grad_())
            self._potential.evaluations += len(points)
            rows = [layer.detach() for layer in layers if len(layer) == len(part)]
            found.append(torch.cat(rows, 1).double() if rows else self.length.new_empty(len(part), 0))
        return torch.cat(found) if found else self.length.new_empty(0, 0)

    @property
    def dtype(self) -> torch.dtype:
        """In which points, and so gradients, are computed."""
        return self._step.dtype

    @property
    def units(self) -> int:
        """How many units of the network switch."""
        if self._units is None:
            first = self.whole().select(torch.arange(min(1, len(self.length)), device=self.length.device))
            self._units = self.switches(first.segment, first.low).shape[1]
        return self._units

    def cut(self, panels: Panels) -> Panels:
        """Returns the pieces of panels between the network's kinks, in order.

        Args:
            panels: to cut.
        """
        if not self.units or not len(panels):
            return panels
        size = self._chunk(4 * self.units)
        return _joined([self._cut(panels.select(part)) for part in torch.arange(len(panels)).split(size)])

    def _cut(self, panels: Panels) -> Panels:
        line = torch.arange(len(panels), device=panels.segment.device)

        def switches(of: Tensor, place: Tensor) -> Tensor:
            return self.switches(panels.segment[of], place)

        of, at = locate_kinks(switches, line, panels.low, panels.high)
        owner = torch.cat([line, of])
        low = torch.cat([panels.low, at])
        order = torch.argsort(low, stable=True)
        order = order[torch.argsort(owner[order], stable=True)]
        owner, low = owner[order], low[order]
        last = torch.ones(len(owner), dtype=torch.bool, device=owner.device)
        last[:-1] = owner.diff() != 0
        high = torch.where(last, panels.high[owner], low.roll(-1))
        return Panels(panels.segment[owner], low, high)

    @staticmethod
    def _chunk(numbers: int) -> int:
        return max(_CHUNK_NUMBERS // max(numbers, 1), 1)


def _joined(parts: list[Panels]) -> Panels:
    return Panels(*(torch.cat([getattr(part, name) for part in parts]) for name in ("segment", "low", "high")))
