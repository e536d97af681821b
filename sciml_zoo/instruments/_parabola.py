"""Identical neurons on y = x²: a plateau known in closed form, and the modes in which it breaks.

======================================  ===============================================================
f(x) = Σ_j a_j tanh(w_j x + b_j) + c    ``units``, rows of (w, b, a); ``c``
L = ½⟨(f − x²)²⟩                        mean over the data, which are symmetric: with x also −x
w_j = 0, b_j = b, a_j = a               the plateau, with c = ⟨x²⟩ − k a tanh b: ∇L = 0 for any a and b
ρ = 1 + ηs, s = a tanh″(b) Var(x²)      growth of w_i − w_j, which only identical neurons forbid
ρ = 1 + η(s − k a² tanh′(b)² ⟨x²⟩)      growth of the mean of w, which only the symmetry x → −x forbids
======================================  ===============================================================

On the plateau every neuron is a constant. Where s > 0 it is a saddle: nothing but a nudge is needed for w₁ = −w₂ to
grow, which makes the parabola.

Sums over the data are taken row by row, one row for each neuron, x and −x first: identical neurons then round alike,
and odd functions sum to exactly zero. ``rounding`` lets each neuron sum in an order of its own instead.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["BIAS", "OUTGOING", "Nudge", "departures", "growth"]

#: b, where tanh″ is largest, and a.
BIAS, OUTGOING = -math.atanh(3**-0.5), 0.15
# Samples on x > 0, a multiple of every vector register, and the largest x.
_HALF, _LARGEST = 256, 2.0


@dataclass(frozen=True)
class Nudge:
    """What may break the symmetry.

    Attributes:
        noise: standard deviation added to the weights w.
        imbalance: β; samples with x > 0 weigh 1 + β, those with x < 0 weigh 1 − β.
        rounding: whether each neuron sums over the data in an order of its own.
    """

    noise: float = 0.0
    imbalance: float = 0.0
    rounding: bool = False


def _samples(dtype: torch.dtype) -> Tensor:
    """Returns x [2 half], the positive ones first, then their mirror images."""
    positive = _LARGEST * (torch.arange(_HALF, dtype=torch.float64) + 0.5) / _HALF
    return torch.cat([positive, -positive]).to(dtype)


def growth(neurons: int, learning_rate: float) -> tuple[float, float]:
    """Returns ln ρ per step of the difference of neurons, and of their mean.

    Args:
        neurons: k.
        learning_rate: η.
    """
    x = _samples(torch.float64)
    value = math.tanh(BIAS)
    slope, bend = 1 - value**2, -2 * value * (1 - value**2)
    difference = OUTGOING * bend * float((x**2).var(correction=0))
    mean = difference - neurons * OUTGOING**2 * slope**2 * float((x**2).mean())
    return math.log1p(learning_rate * difference), math.log1p(learning_rate * mean)


def departures(
    neurons: int, learning_rate: float, steps: int, nudge: Nudge, dtype: torch.dtype, seed: int
) -> tuple[Tensor, Tensor]:
    """Descends from the plateau by full-batch gradient descent.

    Args:
        neurons: k.
        learning_rate: η.
        steps: of descent.
        nudge: what may break the symmetry.
        dtype: of the arithmetic.
        seed: of the noise, and of the orders of summation.

    Returns:
        Distance from identical neurons, (Σ_j ‖θ_j − θ̄‖²)^½, and from mirror symmetry, k^½ |w̄|, of every step
        [steps + 1], float64.
    """
    generator = torch.Generator().manual_seed(seed)
    x = _samples(dtype)
    y, weights = x**2, 1 + nudge.imbalance * x.sign()
    w = (nudge.noise * torch.randn(neurons, generator=generator, dtype=torch.float64)).to(dtype)
    b, a = torch.full_like(w, BIAS), torch.full_like(w, OUTGOING)
    c = y.mean() - (a * b.tanh()).sum()
    order = torch.stack([torch.randperm(len(x), generator=generator) for _ in range(neurons)])

    def mean(values: Tensor) -> Tensor:
        if nudge.rounding and len(values) == neurons:
            return values.gather(1, order).mean(1)
        return (values[:, :_HALF] + values[:, _HALF:]).sum(1) / len(x)

    units = [torch.stack([w, b, a], 1)]
    for _ in range(steps):
        value = torch.tanh(w[:, None] * x + b[:, None])
        residual = weights * ((a[:, None] * value).sum(0) + c - y)
        inner = a[:, None] * residual * (1 - value**2)
        step_w, step_b, step_a = mean(inner * x), mean(inner), mean(residual * value)
        c = c - learning_rate * mean(residual[None])[0]
        w, b, a = w - learning_rate * step_w, b - learning_rate * step_b, a - learning_rate * step_a
        units.append(torch.stack([w, b, a], 1))
    # The first neuron is the reference, so that equal ones differ by exactly zero, which a rounded mean would not give.
    all_units = torch.stack(units).double()
    relative = all_units - all_units[:, :1]
    return (
        (relative - relative.mean(1, keepdim=True)).square().sum((1, 2)).sqrt(),
        all_units[:, :, 0].mean(1).abs() * math.sqrt(neurons),
    )
