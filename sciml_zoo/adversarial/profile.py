"""Potential and force along paths, point by point: how steep the way is, and how hard the potential pulls sideways.

=================================  ===========================================================================
F = −∇V                            force
t                                  unit tangent of a segment, from its first node to its second
F_t = F · t = −dV/ds               tangential force: negative where the path climbs, so that W = −∫ F_t ds
F_n = ‖F − F_t t‖                  normal force: zero on a line of steepest ascent, and on a minimum-energy path
F_t² + F_n² = ‖∇V‖²                at every point
s                                  arc length, Euclidean, from the path's start
=================================  ===========================================================================

Forces are taken inside segments, evenly spaced; at the nodes between them the tangent jumps.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.errors import InputError

__all__ = ["EnergyProfile", "ForceProfile", "energy_profile", "force_profile"]


@dataclass(frozen=True)
class EnergyProfile:
    """The potential along paths, nodes included; all float64 [points, batch].

    Attributes:
        arc_length: s, in the inputs' unit.
        potential: V, in the loss's unit.
    """

    arc_length: Tensor
    potential: Tensor


@dataclass(frozen=True)
class ForceProfile:
    """Potential and force inside the segments of paths; all float64 [points, batch].

    A segment of no length has no tangent: its tangential force is 0, and its normal force is ‖∇V‖.

    Attributes:
        arc_length: s, in the inputs' unit.
        width: of the arc length that each point stands for; 0 where a path stands still.
        potential: V, in the loss's unit.
        tangential: F · t with F = −∇V, in the loss's unit for a unit of length; negative uphill.
        normal: ‖F − (F · t) t‖, likewise.
    """

    arc_length: Tensor
    width: Tensor
    potential: Tensor
    tangential: Tensor
    normal: Tensor


def force_profile(potential: LossPotential, path: Path, *, samples: int = 8) -> ForceProfile:
    """Takes potential and force along paths.

    Args:
        potential: a sample for each path.
        path: the paths.
        samples: points of each segment, in the middle of as many equal parts.

    Returns:
        The profile, of segments · samples points.

    Raises:
        InputError: fewer than one sample.
    """
    place = (torch.arange(_checked(samples), dtype=torch.float64) + 0.5) / samples
    found = []
    for points, rows, step, passed, length in _segments(potential, path, place):
        value, gradient = potential.value_and_gradient(points, rows)
        force = -gradient.double().view(samples, len(length), -1)
        tangent = step / length.clamp(min=torch.finfo(length.dtype).tiny)[:, None]
        tangential = (force * tangent).sum(2)
        normal = torch.linalg.vector_norm(force - tangential[..., None] * tangent, dim=2)
        arc_length = passed + place.to(length.device)[:, None] * length
        width = (length / samples).expand(samples, -1)
        found.append((arc_length, width, value.double().view(samples, -1), tangential, normal))
    return ForceProfile(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def energy_profile(potential: LossPotential, path: Path, *, samples: int = 8) -> EnergyProfile:
    """Takes the potential along paths, without gradients.

    Args:
        potential: a sample for each path.
        path: the paths.
        samples: points of each segment, its first node among them; the last node is added.

    Returns:
        The profile, of segments · samples + 1 points.

    Raises:
        InputError: fewer than one sample.
    """
    place = torch.arange(_checked(samples), dtype=torch.float64) / samples
    found = []
    for points, rows, _, passed, length in _segments(potential, path, place):
        arc_length = passed + place.to(length.device)[:, None] * length
        found.append((arc_length, potential.value(points, rows).double().view(samples, -1)))
    end = potential.value(path.end if potential.dtype is None else path.end.to(potential.dtype))
    found.append(((passed + length)[None], end.double()[None]))
    return EnergyProfile(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _checked(samples: int) -> int:
    if samples < 1:
        raise InputError(f"samples: {samples} points of each segment; give at least 1")
    return samples


def _segments(
    potential: LossPotential, path: Path, place: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
    """Goes along the segments of paths.

    Yields:
        Points [places · batch, ...], their samples, the step [batch, d], the arc length before it, and its length.
    """
    if potential.dtype is not None:
        path = path.to(potential.dtype)
    batch = path.points.shape[1]
    rows = torch.arange(batch, device=path.points.device).repeat(len(place))
    passed = torch.zeros(batch, dtype=torch.float64, device=path.points.device)
    for start, step in zip(path.points[:-1], path.steps, strict=True):
        share = place.to(step).view(-1, *[1] * step.dim())
        flat = step.flatten(1).double()
        length = torch.linalg.vector_norm(flat, dim=1)
        yield (start + share * step).flatten(0, 1), rows, flat, passed, length
        passed = passed + length
