"""Mean-field theory of wide plain networks: how variances, correlations and gradients change from layer to layer.

h^l = W^l φ(h^{l−1}) + b^l, W ~ N(0, σ_w²/N), b ~ N(0, σ_b²), z and z′ standard normal (Poole et al., NeurIPS 2016;
Schoenholz et al., ICLR 2017):

=====================================================  ====================================================
q ← V(q) = σ_w² E[φ(√q z)²] + σ_b²                     length map, ``length_map``; V(q*) = q*
χ(q) = σ_w² E[φ′(√q z)²]                               ``Theory.multiplier`` of the gradient's variance
c ← C(c) = (σ_w² E[φ(u)φ(u′)] + σ_b²)/V(q)             ``correlation_map``; u, u′ of variance q, correlation c
ξ_q = −1/ln|V′(q*)|                                    ``variance_depth``, in layers
ξ_c = −1/ln C′(c*)                                     ``correlation_depth``
ξ_∇ = 1/|ln χ(q*)|                                     ``gradient_depth``
Var ln(‖δ^l‖²/‖δ^L‖²) = O(depth/N)                     ``fluctuation``², N the width
=====================================================  ====================================================

χ < 1 is the ordered phase (gradients vanish), χ = 1 critical, χ > 1 chaotic (gradients explode). Expectations are half-
range Gauss–Hermite sums, one for z < 0 and one for z > 0: exact for functions that are polynomials on either side of
zero, so that the kink of ReLU costs no accuracy. Kinks elsewhere do.
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._activation import (
    ACTIVATIONS,
    NODES,
    Activation,
    activation_name,
    evaluate,
    half_range_hermite,
)
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Moments",
    "Theory",
    "correlation_map",
    "critical_initialisation",
    "critical_point",
    "fluctuation",
    "length_map",
    "moments",
    "theory",
]

_ANGLES = 48  # of each of four arcs
# Variances that stand for zero and for infinity, and the grid between on which fixed points are looked for.
_SMALL, _LARGE = 1e-12, 1e8
_GRID = np.geomspace(_SMALL, _LARGE, 801)
_SAME = 1e-9  # relative: two multipliers or variances that differ by less are equal


@dataclass(frozen=True)
class Moments:
    """Expectations over h = √q z.

    Attributes:
        square: E[φ²].
        slope: dE[φ²]/dq = E[z φ φ′]/√q.
        derivative: E[φ′²].
        derivative_slope: dE[φ′²]/dq = E[φ′² (z² − 1)]/2q.
        square_variance: Var[φ²].
        derivative_fourth: E[φ′⁴].
        covariance: Cov[φ², φ′²].
    """

    square: float
    slope: float
    derivative: float
    derivative_slope: float
    square_variance: float
    derivative_fourth: float
    covariance: float


@dataclass(frozen=True)
class Theory(Result):
    """The mean-field theory of one activation at one pair of variances.

    Attributes:
        activation: its name.
        weight_variance: σ_w², that of a weight times the fan-in.
        bias_variance: σ_b².
        variance: q*, what the variance of the pre-activations tends to; 0 where it vanishes, infinite where it grows
            without bound.
        variance_slope: V′(q*).
        variance_depth: ξ_q in layers, of |q − q*| ∝ exp(−l/ξ_q).
        multiplier: χ(q*), by which the variance of gradients is multiplied from one layer to the layer below it.
        gradient_depth: ξ_∇ in layers, of ‖δ‖² ∝ exp(±l/ξ_∇).
        correlation: c*, what the correlation of two inputs tends to.
        correlation_depth: ξ_c in layers, of |c − c*| ∝ exp(−l/ξ_c).
        phase: ``ordered``, ``critical`` or ``chaotic``, by the multiplier.
        lengths: q and V(q) [2, n], for the figure.
        correlations: c and C(c) at q* [2, n], for the figure.
    """

    activation: str
    weight_variance: float
    bias_variance: float
    variance: float
    variance_slope: float
    variance_depth: float
    multiplier: float
    gradient_depth: float
    correlation: float
    correlation_depth: float
    phase: str
    lengths: NDArray[np.float64]
    correlations: NDArray[np.float64]

    def plot(self) -> "Figure":
        """Returns the length map and the correlation map, each against the diagonal."""
        from sciml_zoo.instruments._mean_field_figure import maps_figure

        return maps_figure(self)


def moments(activation: Activation, variance: float) -> Moments:
    """Returns expectations over Gaussian pre-activations.

    Args:
        activation: a name of :data:`ACTIVATIONS`, or an elementwise function of a tensor that autograd can follow.
        variance: q, zero or more.

    Raises:
        InputError: an unknown name, a function that is not elementwise, or a variance that is not finite.
    """
    if not (math.isfinite(variance) and variance >= 0):
        raise InputError(f"variance is {variance!r}; expected a finite number, zero or more")
    z, weights = half_range_hermite()
    q = max(variance, _SMALL)
    value, derivative = evaluate(activation, math.sqrt(q) * z)
    square, slope_square = value**2, derivative**2

    def mean(f: NDArray[np.float64]) -> float:
        return float(weights @ f)

    mean_square, mean_derivative = mean(square), mean(slope_square)
    return Moments(
        square=mean_square if variance > 0 else float(evaluate(activation, np.zeros(1))[0][0] ** 2),
        slope=mean(z * value * derivative) / math.sqrt(q),
        derivative=mean_derivative,
        derivative_slope=mean(slope_square * (z**2 - 1)) / (2 * q),
        square_variance=mean((square - mean_square) ** 2),
        derivative_fourth=mean(slope_square**2),
        covariance=mean((square - mean_square) * (slope_square - mean_derivative)),
    )


def length_map(
    activation: Activation, variances: ArrayLike, weight_variance: float, bias_variance: float
) -> NDArray[np.float64]:
    """Returns V(q) = σ_w² E[φ(√q z)²] + σ_b² of every variance.

    Args:
        activation: a name or an elementwise function.
        variances: q [n], positive.
        weight_variance: σ_w².
        bias_variance: σ_b².
    """
    z, weights = half_range_hermite()
    value, _ = evaluate(activation, np.sqrt(np.asarray(variances, dtype=np.float64))[:, None] * z)
    return weight_variance * (value**2 @ weights) + bias_variance


def correlation_map(
    activation: Activation, correlations: ArrayLike, variance: float, weight_variance: float, bias_variance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns C(c) and C′(c), the correlation of two inputs one layer on and its slope.

    In polar coordinates the kinks of φ(u) and φ(u′) at zero are four rays, between which the angle is summed by Gauss–
    Legendre and the radius by half-range Gauss–Hermite.

    Args:
        activation: a name or an elementwise function.
        correlations: c [n], from −1 to 1.
        variance: q of both inputs, positive.
        weight_variance: σ_w².
        bias_variance: σ_b².
    """
    radius, weights = (half[NODES:] for half in half_range_hermite())
    radial = weights * radius * math.sqrt(2 * math.pi)  # of the weight r exp(−r²/2)
    node, share = np.polynomial.legendre.leggauss(_ANGLES)
    total = float(length_map(activation, [variance], weight_variance, bias_variance)[0])
    found, slope = [], []
    for c in np.atleast_1d(np.asarray(correlations, dtype=np.float64)):
        turn = math.acos(min(max(c, -1.0), 1.0))
        # u = √q r cos θ and u′ = √q r cos(θ − turn) vanish at these angles.
        ends = np.array([-math.pi / 2, turn - math.pi / 2, math.pi / 2, turn + math.pi / 2, 1.5 * math.pi])
        width = np.diff(ends)[:, None] / 2
        angle, angular = (ends[:-1, None] + width * (node + 1)).ravel(), (width * share).ravel() / (2 * math.pi)
        scale = math.sqrt(variance) * radius[:, None]
        one, one_slope = evaluate(activation, scale * np.cos(angle))
        other, other_slope = evaluate(activation, scale * np.cos(angle - turn))
        found.append((weight_variance * (radial @ (one * other) @ angular) + bias_variance) / total)
        slope.append(weight_variance * (radial @ (one_slope * other_slope) @ angular) * variance / total)
    return np.array(found), np.array(slope)


def theory(activation: Activation, weight_variance: float, bias_variance: float, *, start: float = 1.0) -> Theory:
    """Returns where variances, correlations and gradients of a deep network tend to, and how fast.

    Args:
        activation: a name of :data:`ACTIVATIONS`, or an elementwise function of a tensor that autograd can follow.
        weight_variance: σ_w², positive.
        bias_variance: σ_b², zero or more.
        start: the variance of the first layer. It matters only where several fixed points exist, as for GELU.

    Raises:
        InputError: an unknown activation, or variances out of range.
    """
    _require_variances(weight_variance, bias_variance)
    if not (math.isfinite(start) and start > 0):
        raise InputError(f"start is {start!r}; expected a positive variance")
    variance = _fixed_point(activation, weight_variance, bias_variance, start)
    at = min(max(variance, _SMALL), _LARGE)
    here = moments(activation, at)
    multiplier, variance_slope = weight_variance * here.derivative, weight_variance * here.slope
    correlation, correlation_slope = _correlation_fixed_point(activation, at, weight_variance, bias_variance)
    phase = "critical" if abs(multiplier - 1) < 1e-6 else "ordered" if multiplier < 1 else "chaotic"
    top = 2 * variance if 0 < variance < math.inf else 2 * start
    q, c = np.linspace(top / 200, top, 200), np.linspace(-1, 1, 41)
    return Theory(
        activation=activation_name(activation),
        weight_variance=float(weight_variance),
        bias_variance=float(bias_variance),
        variance=variance,
        variance_slope=variance_slope,
        variance_depth=_depth(variance_slope),
        multiplier=multiplier,
        gradient_depth=_depth(multiplier),
        correlation=correlation,
        correlation_depth=_depth(correlation_slope),
        phase=phase,
        lengths=np.stack([q, length_map(activation, q, weight_variance, bias_variance)]),
        correlations=np.stack([c, correlation_map(activation, c, at, weight_variance, bias_variance)[0]]),
    )


def critical_initialisation(activation: Activation, bias_variance: float = 0.0) -> float:
    """Returns σ_w² at which χ(q*) = 1, q* a stable fixed point of the length map.

    Along the critical line σ_w² = 1/E[φ′²], so that q* is a root of (q − σ_b²) E[φ′²] − E[φ²].

    Args:
        activation: a name or an elementwise function.
        bias_variance: σ_b², zero or more.

    Raises:
        InputError: no such σ_w² exists, as for ReLU with biases, GELU without them, and bounded activations without a
            slope at zero.
    """
    _require_variances(1.0, bias_variance)
    if bias_variance == 0 and moments(activation, 0.0).square == 0:
        at_zero = moments(activation, 0.0).derivative
        near = np.geomspace(1e-8, 1e-3, 6)
        if at_zero > 0 and np.all(length_map(activation, near, 1 / at_zero, 0.0) <= near * (1 + _SAME)):
            return 1 / at_zero

    def excess(q: float) -> float:
        here = moments(activation, q)
        return (q - bias_variance) * here.derivative - here.square

    z, weights = half_range_hermite()
    grid = _GRID[np.searchsorted(_GRID, max(bias_variance, 1e-6), "right") : np.searchsorted(_GRID, 1e3)]
    value, derivative = evaluate(activation, np.sqrt(grid)[:, None] * z)
    signs = np.sign((grid - bias_variance) * (derivative**2 @ weights) - value**2 @ weights)
    for k in np.flatnonzero(signs[:-1] * signs[1:] < 0):
        here = moments(activation, float(optimize.brentq(excess, grid[k], grid[k + 1], xtol=1e-14, rtol=1e-14)))
        if abs(here.slope / here.derivative) <= 1 + _SAME:
            return 1 / here.derivative
    raise InputError(
        f"{activation_name(activation)} has no stable critical point at bias_variance {bias_variance:g}; take another "
        "bias_variance (0 for ReLU, about 0.2 for GELU, about 0.6 for SiLU)"
    )


def critical_point(activation: Activation) -> tuple[float, float]:
    """Returns σ_w² and σ_b² at the critical point of the smallest bias variance, in steps of 0.05.

    Args:
        activation: a name or an elementwise function.

    Raises:
        InputError: none up to σ_b² = 1.
    """
    for step in range(21):
        with contextlib.suppress(InputError):
            return critical_initialisation(activation, step / 20), step / 20
    raise InputError(f"{activation_name(activation)} has no stable critical point at any bias_variance up to 1")


def fluctuation(
    activation: Activation, variances: Sequence[float], weight_variances: Sequence[float], widths: Sequence[int]
) -> NDArray[np.float64]:
    """Returns the predicted standard deviation of ln(‖δ^l‖²/‖δ^L‖²) over random weights, to first order in 1/width.

    Each layer multiplies ‖δ‖² by σ_w²/N Σ φ′(h_i)² y_i², y normal, whose logarithm has variance
    (3 E[φ′⁴]/E[φ′²]² − 1)/N: for ReLU 5/N (Hanin & Nica, Commun. Math. Phys. 376, 287, 2020). Where χ depends on q, the
    fluctuations of q, of variance σ_w⁴ Var[φ²]/N a layer and passed on by V′(q), are added with their covariance.

    Args:
        activation: a name or an elementwise function.
        variances: q of the layers 1 … L [L].
        weight_variances: σ_w² of the layers [L]; the first is not used.
        widths: N of the layers [L].

    Returns:
        Of every layer [L]; the last is zero.
    """
    n_layers = len(variances)
    here = [moments(activation, q) for q in variances]
    # δq_k as a sum of the noise that layers j < k add: passed[k, j] = Π V′.
    passed = np.zeros((n_layers, n_layers))
    for k in range(1, n_layers):
        passed[k] = weight_variances[k] * here[k - 1].slope * passed[k - 1]
        passed[k, k - 1] = 1.0
    below = here[:-1]
    sensitivity = np.array([m.derivative_slope / m.derivative if m.derivative else 0.0 for m in below])
    own = np.array([3 * m.derivative_fourth / m.derivative**2 - 1 if m.derivative else 0.0 for m in below])
    mixed = np.array([2 * m.covariance / m.derivative if m.derivative else 0.0 for m in below])
    spread = np.array([m.square_variance for m in below])
    inverse = 1 / np.asarray(widths[:-1], dtype=np.float64)
    found = np.zeros(n_layers)
    for first in range(n_layers - 1):
        # How ln‖δ‖² answers to the noise in q that each layer adds.
        response = np.asarray(weight_variances[1:]) * (sensitivity[first:] @ passed[first:-1])[:-1]
        total = np.sum((response**2 * spread) * inverse)
        total += np.sum((own[first:] + mixed[first:] * response[first:]) * inverse[first:])
        found[first] = math.sqrt(max(float(total), 0.0))
    return found


def _fixed_point(activation: Activation, weight_variance: float, bias_variance: float, start: float) -> float:
    """Returns the variance that V tends to from a start: the next crossing of V(q) = q in the direction of V(q) − q."""

    def growth(q: float) -> float:
        return float(length_map(activation, [q], weight_variance, bias_variance)[0]) / q - 1

    first = growth(start)
    if abs(first) < _SAME:
        return start
    above = first > 0
    here = int(np.searchsorted(_GRID, start))
    grid = _GRID[here:] if above else _GRID[:here][::-1]
    rates = length_map(activation, grid, weight_variance, bias_variance) / grid - 1
    beyond = np.flatnonzero(rates < -_SAME if above else rates > _SAME)
    if not len(beyond):
        return math.inf if above else 0.0
    return float(optimize.brentq(growth, start, grid[beyond[0]], xtol=1e-15, rtol=1e-14))


def _correlation_fixed_point(
    activation: Activation, variance: float, weight_variance: float, bias_variance: float
) -> tuple[float, float]:
    """Returns c* from 0 to 1 and C′(c*)."""

    def growth(c: float) -> float:
        return float(correlation_map(activation, [c], variance, weight_variance, bias_variance)[0][0]) - c

    (slope,) = correlation_map(activation, [1.0], variance, weight_variance, bias_variance)[1]
    correlation = 1.0
    if slope > 1 + 1e-6:
        # Just below one, C(c) < c; the step has to be larger than the rounding errors over slope − 1.
        top = 1 - min(1e-3, (slope - 1) / 10)
        low = growth(0.0)
        if low < 1e-12:
            correlation = 0.0
        elif growth(top) < 0:
            correlation = float(optimize.brentq(growth, 0.0, top, xtol=1e-13))
        (slope,) = correlation_map(activation, [correlation], variance, weight_variance, bias_variance)[1]
    return correlation, float(slope)


def _depth(multiplier: float) -> float:
    """Returns the number of layers over which a quantity changes by e; infinite for 1."""
    if abs(multiplier) == 0:
        return 0.0
    return math.inf if abs(abs(multiplier) - 1) < _SAME else 1 / abs(math.log(abs(multiplier)))


def _require_variances(weight_variance: float, bias_variance: float) -> None:
    if not (math.isfinite(weight_variance) and weight_variance > 0):
        raise InputError(f"weight_variance is {weight_variance!r}; expected a positive number, σ_w²")
    if not (math.isfinite(bias_variance) and bias_variance >= 0):
        raise InputError(f"bias_variance is {bias_variance!r}; expected zero or more, σ_b²")
