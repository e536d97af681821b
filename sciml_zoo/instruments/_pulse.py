"""How pulses on a line of units are followed from layer to layer."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciml_zoo.errors import InputError

__all__ = ["CLEAR", "LEAST_LAYERS", "Ways", "follow", "line"]

#: The halves of a pulse are followed from where they have parted to where the ends begin to matter, in pulse widths.
CLEAR = 4.0
#: So many layers are needed for a line with an error.
LEAST_LAYERS = 4


@dataclass(frozen=True)
class Ways:
    """Distances [m, pulses, 2] of the halves of pulses, not a number where they are not followed."""

    distances: Tensor
    speeds: Tensor
    errors: Tensor
    exponents: Tensor

    def slope(self) -> tuple[float, float]:
        """Returns the mean speed and its standard error."""
        fit = self.errors.nanmean(1).square().nanmean().item()
        mean, error = _mean(self.speeds.nanmean(1))
        return mean, math.hypot(error, math.sqrt(fit / len(self.speeds)))

    def exponent(self) -> tuple[float, float]:
        """Returns the mean exponent and its standard error."""
        return _mean(self.exponents.nanmean(1))

    @property
    def mean(self) -> Tensor:
        """Mean distance [m], not a number where a pulse has left: the others would be the slow ones."""
        return self.distances[:, self.speeds.isfinite()].mean(1)

    @property
    def error(self) -> Tensor:
        """Standard error of the mean distance [m]; zero where one pulse alone is followed."""
        each = self.distances[:, self.speeds.isfinite().any(1)].nanmean(2)
        return each.std(1) / math.sqrt(each.shape[1]) if each.shape[1] > 1 else torch.zeros_like(each[:, 0])


def follow(energies: Tensor, starts: Tensor, width: float) -> Ways:
    """Returns the ways of both halves of pulses with energies [m, pulses, units]."""
    units = energies.shape[-1]
    apart = torch.arange(units, dtype=torch.float64) - starts[:, None]  # [pulses, units]
    sides = torch.stack([(-apart).clamp(min=0), apart.clamp(min=0)])
    weights = energies[:, None] * (sides > 0)
    distances = ((weights * sides).sum(-1) / weights.sum(-1)).permute(0, 2, 1)
    reach = torch.minimum(starts, units - 1 - starts) - CLEAR * width
    kept = torch.full_like(distances, torch.nan)
    speeds, errors, exponents = (torch.full_like(distances[0], torch.nan) for _ in range(3))
    for pulse, side in np.ndindex(*speeds.shape):
        way = distances[:, pulse, side]
        # The first layer at which it is no longer clear of the ends: beyond it, it may come back.
        gone = torch.nonzero(way > reach[pulse])
        stop = gone[0].item() if len(gone) else len(way)
        followed = torch.nonzero(way[: int(stop)] >= CLEAR * width)[:, 0]
        if len(followed) < LEAST_LAYERS:
            continue
        kept[followed, pulse, side] = way[followed]
        passed = followed.double()
        speeds[pulse, side], errors[pulse, side] = line(passed, way[followed])
        exponents[pulse, side] = line(torch.log(passed + 1), way[followed].log())[0]
    if not speeds.isfinite().any():
        farthest = distances[distances.isfinite()].max().item() if distances.isfinite().any() else 0.0
        raise InputError(
            f"gradient pulses get {farthest:.3g} units away in {len(distances) - 1} layers; they are followed "
            f"from {CLEAR * width:.3g} to {reach.max().item():.3g} units: take more layers or units, or a smaller "
            "pulse_width"
        )
    return Ways(kept, speeds, errors, exponents)


def line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Returns the slope of the least-squares line, and its standard error."""
    centred = x - x.mean()
    slope = (centred @ y / (centred @ centred)).item()
    left = y - y.mean() - slope * centred
    return slope, math.sqrt((left @ left / (len(x) - 2) / (centred @ centred)).item())


def _mean(values: Tensor) -> tuple[float, float]:
    """Returns the mean of those that are numbers, and its standard error."""
    values = values[values.isfinite()]
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return values.mean().item(), error
