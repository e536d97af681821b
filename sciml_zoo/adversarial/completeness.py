"""Integrated gradients: the straight line as a special case of work, with a fixed number of gradients.

==============================  ===============================================================
a_i = Δx_i ∫ ∂V/∂x_i dt         attribution of input i (Sundararajan, Taly & Yan, 2017)
Σ a_i = V(x) − V(baseline)      completeness: the closure of the straight line
==============================  ===============================================================

A smooth network gets one Gauss–Legendre rule. One with kinks is cut there, which takes values and no gradients, and the
line into as many equal strata as there are gradients: each gradient is taken in the piece whose mean slope, known from
values at its ends, is nearest to what its stratum and the error carried over from those before ask for.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.segments import Segments
from sciml_zoo.errors import InputError

__all__ = ["Attributions", "integrated_gradients"]

_NARROWEST = 1e-7


@dataclass(frozen=True)
class Attributions:
    """What inputs contribute to a difference of potential.

    Attributes:
        values: a, in the potential's unit, [batch, ...].
        delta: V(x) − V(baseline), [batch].
        completeness_error: |Σ a − ΔV|, [batch].
        gradients: of each sample.
        evaluations: values of single samples, beside the gradients, in the mean.
    """

    values: Tensor
    delta: Tensor
    completeness_error: Tensor
    gradients: int
    evaluations: float


def integrated_gradients(
    potential: LossPotential, inputs: Tensor, baselines: Tensor, *, gradients: int = 50
) -> Attributions:
    """Integrates the gradient along straight lines from baselines.

    Args:
        potential: over the samples; in float64, for errors below 1e-6. With ``loss=None`` and a model that gives one
            number, the attribution of that number.
        inputs: [batch, ...].
        baselines: likewise.
        gradients: of each sample, at least 1.

    Returns:
        The attributions.

    Raises:
        InputError: no gradient.
    """
    if gradients < 1:
        raise InputError(f"gradients: {gradients} is not at least 1")
    if potential.dtype is not None:
        inputs, baselines = inputs.to(potential.dtype), baselines.to(potential.dtype)
    before = potential.evaluations
    path = Path.straight(baselines, inputs)
    delta = (potential.value(inputs) - potential.value(baselines)).double()
    segments = Segments(potential, path)
    # A unit that switches twice inside a stratum may go unseen: without strata, many would.
    panels = segments.cut(segments.whole().divided(gradients)) if segments.units else segments.whole()
    mean = torch.zeros(inputs.shape, dtype=torch.float64, device=inputs.device)
    rows, places, shares = [], [], []
    for segment, row in enumerate(segments.row.tolist()):
        mine = panels.segment == segment
        ends = np.append(panels.low[mine].cpu().numpy(), 1.0)
        if not segments.units:
            place, share = _rule(ends, gradients)
        else:
            at = torch.from_numpy(ends).to(inputs.device)
            line = torch.full_like(at, segment, dtype=torch.int64)
            levels = potential.value(segments.points(line, at), segments.row[line]).double().cpu().numpy()
            place, share = _strata(ends, levels, gradients)
        rows += [row] * len(place)
        places.append(place)
        shares.append(share)
    if rows:
        row = torch.tensor(rows, device=inputs.device)
        at_places, at_shares = (torch.from_numpy(np.concatenate(each)).to(inputs.device) for each in (places, shares))
        shape = (-1, *[1] * (inputs.dim() - 1))
        for part in torch.arange(len(row), device=row.device).split(4096):
            at = baselines[row[part]] + at_places[part].to(inputs.dtype).view(shape) * (inputs - baselines)[row[part]]
            gradient = potential.value_and_gradient(at, row[part])[1].double()
            mean.index_add_(0, row[part], gradient * at_shares[part].view(shape))
    values = mean * (inputs - baselines)
    return Attributions(
        values=values,
        delta=delta,
        completeness_error=(values.flatten(1).sum(1) - delta).abs(),
        gradients=gradients,
        evaluations=(potential.evaluations - before) / max(len(inputs), 1),
    )


def _rule(ends: np.ndarray, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns nodes and weights of a Gauss–Legendre rule on each piece of [0, 1], ``budget`` in all.

    Args:
        ends: of the pieces, in order, from 0 to 1.
        budget: nodes, at least one for each piece.
    """
    widths = np.diff(ends)
    counts = np.ones(len(widths), dtype=int)
    for _ in range(budget - len(widths)):
        # The error of n nodes on a width w is about w^(2n + 1).
        counts[np.argmax((2 * counts + 1) * np.log(widths + 1e-300))] += 1
    places, shares = [], []
    for low, width, count in zip(ends, widths, counts, strict=False):
        node, weight = np.polynomial.legendre.leggauss(int(count))
        places.append(low + width * (1 + node) / 2)
        shares.append(width * weight / 2)
    return np.concatenate(places), np.concatenate(shares)


def _strata(ends: np.ndarray, values: np.ndarray, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a node for each of equal strata, in the piece of the fitting slope, and equal weights.

    Args:
        ends: of the pieces, in order, from 0 to 1, the borders of the strata, k / budget, among them.
        values: of the potential there.
        budget: strata.
    """
    widths, middles = np.diff(ends), (ends[:-1] + ends[1:]) / 2
    # Of a piece of no width, rounding would decide the slope.
    slopes = np.where(widths > _NARROWEST, np.diff(values) / widths, np.inf)
    borders = np.searchsorted(ends, np.arange(budget + 1) / budget - _NARROWEST)
    places, carried = np.empty(budget), 0.0
    for stratum, (first, last) in enumerate(itertools.pairwise(borders)):
        wanted = (values[last] - values[first]) * budget + carried
        chosen = first + int(np.abs(slopes[first:last] - wanted).argmin())
        carried = wanted - slopes[chosen]
        places[stratum] = middles[chosen]
    return places, np.full(budget, 1 / budget)
