"""Two-dimensional slices of a potential, through points that matter, and how far a path lies outside them.

================================================  =======================================================
e₁ = (b − a) / ‖b − a‖                            from the clean input a to its twin b
e₂ ∝ (c − a) − ((c − a) · e₁) e₁                  towards a saddle c, or the node farthest from the line
(u, v) ↦ a + u e₁ + v e₂                          the plane: :class:`Plane`
V(a + u e₁ + v e₂)                                its :class:`Landscape`
x ↦ ((x − a) · e₁, (x − a) · e₂)                  projection; what is left over is the distance
================================================  =======================================================

Where c lies on the line, the direction that the line has least part in takes its place: any will do, and it is always
the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.errors import InputError

__all__ = ["Landscape", "Plane", "farthest_node", "slice_potential"]

# Below this part of a vector, what is left beside the line is rounding.
_COLLINEAR = 1e-9
# A slice is at least this much as wide in one direction as in the other.
_NARROWEST = 0.6


@dataclass(frozen=True)
class Plane:
    """A plane in the space of one input, with an orthonormal frame.

    Attributes:
        origin: a point of it, float64 [...].
        first: unit vector, likewise.
        second: unit vector at right angles to it.
    """

    origin: Tensor
    first: Tensor
    second: Tensor

    @classmethod
    def through(cls, origin: Tensor, end: Tensor, third: Tensor) -> "Plane":
        """Returns the plane through three points, whose first axis leads from the first to the second.

        Args:
            origin: [...], of at least two numbers.
            end: likewise.
            third: likewise; where the three lie on a line, the second axis is any at right angles to it.

        Raises:
            InputError: points of different shapes, of one number, or not finite.
        """
        if not origin.shape == end.shape == third.shape or origin.numel() < 2:
            shapes = ", ".join(str(list(point.shape)) for point in (origin, end, third))
            raise InputError(f"points of shapes {shapes}: a plane takes three of one shape, of two numbers or more")
        centre, along, beside = (point.detach().double() for point in (origin, end - origin, third - origin))
        if not all(bool(torch.isfinite(vector).all()) for vector in (centre, along, beside)):
            raise InputError("a point of the plane is not finite; give a saddle that was found, or another node")
        if not bool(along.any()):
            along = beside
        first = _unit_across(along, [])
        return cls(centre, first, _unit_across(beside, [first]))

    @classmethod
    def of_path(cls, path: Path, sample: int = 0, saddle: Tensor | None = None) -> "Plane":
        """Returns the plane through both ends of a path and a saddle, or else the node farthest from their line.

        Args:
            path: the paths.
            sample: which of them.
            saddle: [...], of that sample.

        Raises:
            InputError: as of :meth:`through`.
        """
        nodes = path.points[:, sample]
        return cls.through(nodes[0], nodes[-1], farthest_node(nodes) if saddle is None else saddle)

    def coordinates(self, points: Tensor) -> Tensor:
        """Returns the projection of points [n, ...] into the plane, float64 [n, 2]."""
        offset = (points.detach().double() - self.origin).flatten(1)
        return offset @ torch.stack([self.first.flatten(), self.second.flatten()], 1)

    def distance(self, points: Tensor) -> Tensor:
        """Returns how far points [n, ...] are from the plane, float64 [n]."""
        rest = points.detach().double() - self.points(self.coordinates(points))
        return torch.linalg.vector_norm(rest.flatten(1), dim=1)

    def points(self, coordinates: Tensor) -> Tensor:
        """Returns the points of the plane at coordinates [n, 2], float64 [n, ...]."""
        u, v = (column.view(-1, *[1] * self.origin.dim()) for column in coordinates.unbind(1))
        return self.origin + u * self.first + v * self.second


@dataclass(frozen=True)
class Landscape:
    """A potential on a grid of a plane.

    Attributes:
        plane: it lies in.
        first: coordinates of the columns, along the plane's first axis, float64 [columns].
        second: of the rows, along its second axis, float64 [rows].
        values: the potential, float64 [rows, columns].
    """

    plane: Plane
    first: Tensor
    second: Tensor
    values: Tensor


def slice_potential(
    potential: LossPotential,
    plane: Plane,
    shown: Tensor,
    *,
    sample: int = 0,
    margin: float = 0.2,
    resolution: int = 61,
) -> Landscape:
    """Takes the potential of one sample on a grid around points, projected into a plane.

    Args:
        potential: of a batch.
        plane: to cut along.
        shown: points that the grid must reach beyond, [n, ...]; they need not lie in the plane.
        sample: of the batch.
        margin: beyond them on all sides, as a part of what they span.
        resolution: points of the grid in either direction.

    Returns:
        The slice.

    Raises:
        InputError: fewer than two points of the grid, or no point to show.
    """
    if resolution < 2 or not len(shown):
        raise InputError(f"a slice of {resolution} × {resolution} around {len(shown)} points: give 2 and 1 at least")
    coordinates = plane.coordinates(shown)
    low, high = coordinates.amin(0), coordinates.amax(0)
    widest = float((high - low).amax()) or 1.0
    half = (high - low).clamp(min=_NARROWEST * widest) / 2 + margin * widest
    axes = [torch.linspace(-1, 1, resolution, dtype=torch.float64, device=half.device) * wide for wide in half]
    first, second = (middle + axis for middle, axis in zip((low + high) / 2, axes, strict=True))
    rows = torch.full((resolution,), sample, dtype=torch.int64, device=half.device)
    values = [
        potential.value(plane.points(torch.stack([first, v.expand_as(first)], 1)).to(shown.dtype), rows) for v in second
    ]
    return Landscape(plane, first, second, torch.stack(values).double())


def farthest_node(nodes: Tensor) -> Tensor:
    """Returns the node of one path that is farthest from the line through its ends, [...].

    Args:
        nodes: of the path, [nodes, ...].
    """
    offset = (nodes - nodes[0]).flatten(1).double()
    along = offset[-1] / torch.linalg.vector_norm(offset[-1]).clamp(min=torch.finfo(torch.float64).tiny)
    beside = offset - (offset @ along)[:, None] * along
    return nodes[int(torch.linalg.vector_norm(beside, dim=1).argmax())]


def _unit_across(vector: Tensor, axes: list[Tensor]) -> Tensor:
    """Returns the unit vector along what of a vector is at right angles to axes; if nothing is, some other one."""
    rest = _across(vector, axes)
    size = torch.linalg.vector_norm(vector)
    if float(torch.linalg.vector_norm(rest)) <= _COLLINEAR * float(size):
        parts = sum((axis.flatten().abs() for axis in axes), torch.zeros_like(vector.flatten()))
        number = torch.arange(vector.numel(), device=vector.device).view(vector.shape)
        rest = _across((number == parts.argmin()).to(vector), axes)
    return rest / torch.linalg.vector_norm(rest)


def _across(vector: Tensor, axes: list[Tensor]) -> Tensor:
    """Returns a vector without its parts along orthonormal axes; twice, against rounding."""
    for axis in 2 * axes:
        vector = vector - (vector * axis).sum() * axis
    return vector
