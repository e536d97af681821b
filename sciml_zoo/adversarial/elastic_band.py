"""Minimum-energy paths by the nudged elastic band, with improved tangents and a climbing image.

=====================================================  =====================================================
F_i = −∇V_⊥ + κ(|x_{i+1} − x_i| − |x_i − x_{i−1}|) τ   force on an image; ⊥: across the tangent τ
τ ∝ x_{i+1} − x_i  if V rises along the band           :func:`improved_tangents` (Henkelman & Jónsson 2000): towards
τ ∝ x_i − x_{i−1}  if it falls                         the higher neighbour, both weighted at an extremum
F_c = −∇V + 2(∇V·τ) τ                                  highest image: climbs along the band, no spring
                                                       (Henkelman, Uberuaga & Jónsson 2000)
v ← (1 − α) v + α|v| F/|F|,  x ← x + Δt v              FIRE (Bitzek et al. 2006), each band its own α and Δt
=====================================================  =====================================================

The unit of time is that of the stiffest direction met: Δt is a multiple of 1/√curvature, and the spring κ a multiple
of the curvature, so that no setting depends on the units of the potential.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sciml_zoo.adversarial._flat_potential import FlatPotential, secant_curvature
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.errors import InputError

__all__ = ["Band", "elastic_band", "improved_tangents", "straight_images"]

_FIRST_STEP, _LONGEST_STEP = 0.1, 0.3
_LONGEST_MOVE, _SETTLED, _CEILING = 0.25, 10, 2.0
_GROW, _SHRINK, _MIX, _FADE, _PATIENCE = 1.1, 0.5, 0.25, 0.99, 5


@dataclass(frozen=True)
class Band:
    """Images of a path between two minima.

    Attributes:
        images: both ends included, [images, n, ...], float64.
        values: potential of each, [images, n].
        tangents: unit vectors along the path, [images, n, ...].
        residuals: largest force on an image (across the path, if it does not climb) that is left, [n].
        converged: whether that is within the tolerance, bool [n].
        steps: how many each band took, int64 [n].
        name: of the method.
    """

    images: Tensor
    values: Tensor
    tangents: Tensor
    residuals: Tensor
    converged: Tensor
    steps: Tensor
    name: str

    @property
    def path(self) -> Path:
        """The band as a path."""
        return Path(self.images, self.name)

    @property
    def highest(self) -> Tensor:
        """Which inner image is the highest, int64 [n]."""
        return self.values[1:-1].argmax(0) + 1

    def at_highest(self, of_images: Tensor) -> Tensor:
        """Returns what belongs to the highest image.

        Args:
            of_images: [images, n, ...].
        """
        return of_images[self.highest, torch.arange(of_images.shape[1], device=of_images.device)]


def straight_images(start: Tensor, end: Tensor, images: int) -> Tensor:
    """Returns evenly spaced images of straight lines, both ends included, [images, n, ...].

    Args:
        start: [n, ...].
        end: likewise.
        images: how many.

    Raises:
        InputError: fewer than three images.
    """
    if images < 3:
        raise InputError(f"a band of {images} images: at least one between the ends is needed, three in all")
    weight = torch.linspace(0, 1, images, dtype=torch.float64, device=start.device).view(-1, *[1] * start.dim())
    return (1 - weight) * start.detach() + weight * end.detach()


def improved_tangents(images: Tensor, values: Tensor) -> Tensor:
    """Returns unit tangents of bands, at the ends towards the only neighbour, [images, n, d].

    Args:
        images: [images, n, d].
        values: their potential, [images, n].
    """
    ahead, behind = images[2:] - images[1:-1], images[1:-1] - images[:-2]
    rise, fall = values[2:] - values[1:-1], values[1:-1] - values[:-2]
    larger, smaller = torch.maximum(rise.abs(), fall.abs()), torch.minimum(rise.abs(), fall.abs())
    upward = values[2:] > values[:-2]
    ahead_weight = torch.where(upward, larger, smaller)
    behind_weight = torch.where(upward, smaller, larger)
    one, none = torch.ones_like(rise), torch.zeros_like(rise)
    rising, falling = (rise > 0) & (fall > 0), (rise < 0) & (fall < 0)
    ahead_weight = torch.where(rising, one, torch.where(falling, none, ahead_weight))
    behind_weight = torch.where(falling, one, torch.where(rising, none, behind_weight))
    flat = (ahead_weight + behind_weight) == 0
    ahead_weight, behind_weight = (torch.where(flat, one, weight) for weight in (ahead_weight, behind_weight))
    inner = ahead_weight[..., None] * ahead + behind_weight[..., None] * behind
    along = torch.cat([images[1:2] - images[:1], inner, images[-1:] - images[-2:-1]])
    return F.normalize(along, dim=-1, eps=1e-300)


def elastic_band(
    potential: LossPotential,
    start: Tensor,
    end: Tensor,
    *,
    rows: Tensor | None = None,
    images: int = 15,
    initial: Tensor | None = None,
    climb: bool = True,
    tolerance: float = 1e-2,
    steps: int = 500,
    spring: float = 0.1,
) -> Band:
    """Relaxes bands between pairs of minima.

    Args:
        potential: in float64.
        start: minima, [n, ...]; they stay where they are.
        end: likewise.
        rows: to which sample of the potential each pair belongs, int64 [n]; None: in order.
        images: of each band, both ends included.
        initial: first bands [images, n, ...]; None: straight lines.
        climb: let the highest image climb to the saddle, once the forces are within ten tolerances, and as long as it
            is higher than the ends and not much higher than the first band was.
        tolerance: of the largest force on an image, as a fraction of the largest gradient on the first band.
        steps: at most.
        spring: κ, as a fraction of the largest curvature met.

    Returns:
        The bands.
    """
    first = straight_images(start, end, images) if initial is None else initial.detach().to(torch.float64, copy=True)
    flat = FlatPotential(potential, start, rows)
    x = first.flatten(2)
    pairs = x.shape[1]
    value, gradient = flat.of_images(x, torch.arange(pairs, device=x.device))
    bound = tolerance * torch.linalg.vector_norm(gradient, dim=2).amax(0)
    foot = torch.maximum(value[0], value[-1])
    ceiling = foot + _CEILING * (value[1:-1].amax(0) - foot).clamp_min(0)
    longest = _LONGEST_MOVE * torch.linalg.vector_norm(x.diff(dim=0), dim=2).mean(0)
    stiff = secant_curvature(x.diff(dim=0), gradient.diff(dim=0))
    velocity = torch.zeros_like(x)
    # Of each band: the step as a multiple of 1/√curvature, the share of steering, the steps since it last overshot.
    pace, mix = torch.full_like(bound, _FIRST_STEP), torch.full_like(bound, _MIX)
    since = torch.zeros(pairs, dtype=torch.int64, device=x.device)
    taken, climbing = torch.zeros_like(since), torch.zeros_like(since, dtype=torch.bool)
    residual = torch.full_like(bound, torch.inf)
    done = torch.zeros_like(climbing)
    for step in range(steps + 1):
        at = (~done).nonzero()[:, 0]
        force, left = _forces(x[:, at], value[:, at], gradient[:, at], spring * stiff[at], climbing[at])
        residual[at] = left
        done[at] = (left <= bound[at]) & (climbing[at] | (not climb))
        peak = value[1:-1, at].amax(0)
        real = (peak > foot[at]) & (peak <= ceiling[at])
        climbing[at] = real & (climbing[at] | (left <= _SETTLED * bound[at])) if climb else False
        keep = ~done[at]
        at, force = at[keep], force[:, keep]
        if step == steps or not len(at):
            break
        taken[at] += 1
        going = velocity[:, at]
        uphill = (force * going).sum((0, 2)) < 0
        since[at] = torch.where(uphill, 0, since[at] + 1)
        steady = since[at] > _PATIENCE
        pace[at] = torch.where(
            uphill, pace[at] * _SHRINK, torch.where(steady, (pace[at] * _GROW).clamp_max(_LONGEST_STEP), pace[at])
        )
        mix[at] = torch.where(uphill, _MIX, torch.where(steady, mix[at] * _FADE, mix[at]))
        ratio = going.square().sum((0, 2)).sqrt() / force.square().sum((0, 2)).sqrt().clamp_min(1e-300)
        steered = (1 - mix[at])[:, None] * going + (mix[at] * ratio)[:, None] * force
        time = (pace[at] / stiff[at].sqrt())[:, None]
        going = torch.where(uphill[:, None], 0.0, steered) + time * force
        move = time * going
        farthest = torch.linalg.vector_norm(move, dim=2).amax(0)
        move = move * (longest[at] / farthest.clamp_min(1e-300)).clamp_max(1.0)[:, None]
        velocity[:, at] = going
        x[:, at] += move
        before = gradient[1:-1, at]
        value[1:-1, at], gradient[1:-1, at] = flat.of_images(x[1:-1, at], at)
        stiff[at] = torch.maximum(stiff[at], secant_curvature(move[1:-1], gradient[1:-1, at] - before))
    return Band(
        flat.shaped(x),
        value,
        flat.shaped(improved_tangents(x, value)),
        residual,
        done,
        taken,
        "climbing elastic band" if climb else "elastic band",
    )


def _forces(
    images: Tensor, values: Tensor, gradients: Tensor, spring: Tensor, climbing: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns forces, zero at the ends, [images, n, d], and the largest without the springs', [n]."""
    tangents = improved_tangents(images, values)
    along = (gradients * tangents).sum(2, keepdim=True) * tangents
    across = along - gradients
    lengths = torch.linalg.vector_norm(images.diff(dim=0), dim=2)
    pull = torch.zeros_like(values)
    pull[1:-1] = spring * lengths.diff(dim=0)
    top = torch.zeros_like(values, dtype=torch.bool)
    top[1:-1].scatter_(0, values[1:-1].argmax(0, keepdim=True), climbing[None])
    true = torch.where(top[..., None], across + along, across)
    true[0], true[-1] = 0, 0
    force = true + torch.where(top, 0.0, pull)[..., None] * tangents
    return force, torch.linalg.vector_norm(true, dim=2).amax(0)
