"""Whether the derivatives of a function of one variable are continuous: how its differences shrink with the step.

====================  =======================================================================================
equation              variable
====================  =======================================================================================
h                     ``step``, between neighbouring values of f
D_s                   (order + 1)-th difference of every s-th value, over (s h)^order
M_s                   largest |D_s| of a window
p = log₂(M_2s / M_s)  ``exponents`` [W], at the smallest s whose M_s stands above rounding
====================  =======================================================================================

Where f is smooth, D_s = s h f^(order+1), and p = 1. A jump J of the derivative of that order keeps M_s at 0.6 J, so
that p = 0, and one of a derivative lower by k gives p = −k. A function that is smooth but steep looks like one that
jumps until the step is small enough: windows with a small p are looked at again with smaller steps, and count as smooth
if p is 1 there. Where all differences are rounding nothing is claimed against f, and p is infinite.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sciml_zoo.errors import InputError

__all__ = ["Continuity", "derivative_continuity"]

_STRIDES = (1, 2, 4, 8)
_WINDOW = 40
# Steps become smaller by as much as the widest stride is wider: what was the smallest is the widest then.
_REFINEMENT = 8
# Differences of so high an order are rounding alone.
_NOISE_ORDER = 8
_NOISE_VALUES = 129
# Standard deviations of rounding that the largest difference of a window has to exceed.
_SIGNAL = 20.0
_NORMAL_MEDIAN = 0.6745
# Between the 1 of a smooth function and the 0 of a jump.
_LOWEST_EXPONENT = 0.6
# Where a refinement sees rounding alone, it must have been able to see jumps this much smaller.
_RESOLVED = 0.7


@dataclass(frozen=True)
class Continuity:
    """What the differences of a function say about its derivatives, window by window.

    Attributes:
        positions: centres of the windows [W].
        exponents: p [W]: 1 where the derivatives are continuous, 0 where that of the order jumps, −k where one lower
            by k does, infinite where the differences are rounding.
        resolutions: the smallest jump of the derivative that would have been seen [W].
        steps: with which each window was judged [W].
        scale: largest derivative of the order, to compare the resolutions with.
    """

    positions: np.ndarray
    exponents: np.ndarray
    resolutions: np.ndarray
    steps: np.ndarray
    scale: float

    @property
    def continuous(self) -> bool:
        """Whether no window shows a jump."""
        return bool((self.exponents >= _LOWEST_EXPONENT).all())

    @property
    def worst(self) -> int:
        """The window with the smallest exponent."""
        return int(self.exponents.argmin())


def derivative_continuity(
    function: Callable[[np.ndarray], np.ndarray],
    start: float,
    stop: float,
    *,
    order: int = 4,
    step: float = 2e-3,
    refinements: int = 3,
) -> Continuity:
    """Looks for jumps in the derivatives of a function, up to an order.

    Args:
        function: f of positions [n], in float64 [n]; it is also evaluated a little outside of the interval.
        start: of the interval.
        stop: its end.
        order: of the highest derivative that must be continuous.
        step: h to begin with.
        refinements: how often windows that show a jump are looked at again, each time with an eighth of the step.

    Returns:
        The verdict for every window of 40 steps.

    Raises:
        InputError: an interval shorter than a window, or values that are not finite.
    """
    n_windows = round((stop - start) / (step * _WINDOW))
    if n_windows < 1:
        raise InputError(f"from {start} to {stop}: give an interval of at least {_WINDOW * step:g}")
    exponents, resolutions, steps, scale = _verdicts(function, start, n_windows, order, step, refinements)
    positions = start + step * _WINDOW * (np.arange(n_windows) + 0.5)
    return Continuity(positions, exponents, resolutions, steps, scale)


def _verdicts(
    function: Callable[[np.ndarray], np.ndarray],
    start: float,
    n_windows: int,
    order: int,
    step: float,
    refinements: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Returns exponents, resolutions and steps of windows, and the largest derivative."""
    exponents, resolutions, scale = _differences_shrink(function, start, n_windows, order, step)
    steps = np.full(n_windows, step)
    for window in np.flatnonzero(exponents < _LOWEST_EXPONENT) if refinements else ():
        begin = start + step * _WINDOW * window
        parts, seen, finer, _ = _verdicts(function, begin, _REFINEMENT, order, step / _REFINEMENT, refinements - 1)
        hidden = np.isinf(parts)  # rounding must not hide what the larger step has shown
        if not hidden.all() and (seen[hidden] < _RESOLVED * resolutions[window]).all():
            lowest = parts.argmin()
            exponents[window], resolutions[window], steps[window] = parts[lowest], seen.max(), finer[lowest]
    return exponents, resolutions, steps, scale


def _differences_shrink(
    function: Callable[[np.ndarray], np.ndarray], start: float, n_windows: int, order: int, step: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns exponents and resolutions of windows, and the largest derivative."""
    reach = (order + 1) * _STRIDES[-1]
    values = function(start + step * (np.arange(n_windows * _WINDOW + reach) - reach // 2))
    if not np.isfinite(values).all():
        where = start + step * (int(np.flatnonzero(~np.isfinite(values))[0]) - reach // 2)
        raise InputError(f"the function is not finite at {where:g}")
    inside = slice(reach // 2, reach // 2 + n_windows * _WINDOW)
    noise = _rounding(values)[inside].reshape(n_windows, _WINDOW).max(axis=1)
    noise *= math.sqrt(math.comb(2 * order + 2, order + 1))
    sizes, levels = [], []
    for stride in _STRIDES:
        difference = np.abs(_differences(values, order + 1, stride)) / (stride * step) ** order
        first = (reach - (order + 1) * stride) // 2
        sizes.append(difference[first : first + n_windows * _WINDOW].reshape(n_windows, _WINDOW).max(axis=1))
        levels.append(_SIGNAL * noise / (stride * step) ** order)
    size, level = np.array(sizes), np.array(levels)
    exponents = np.full(n_windows, np.inf)
    for index in reversed(range(len(_STRIDES) - 1)):
        seen = size[index] > level[index]
        exponents[seen] = np.log2(size[index + 1, seen] / size[index, seen])
    resolutions = np.maximum(size, level).min(axis=0) / _jump_response(order)
    stride = _STRIDES[2]
    return exponents, resolutions, float(np.abs(_differences(values, order, stride)).max() / (stride * step) ** order)


def _differences(values: np.ndarray, order: int, stride: int) -> np.ndarray:
    """Returns the differences of an order between values a stride apart, one for every start."""
    for _ in range(order):
        values = values[stride:] - values[:-stride]
    return values


def _rounding(values: np.ndarray) -> np.ndarray:
    """Returns the standard deviation of rounding around every value."""
    difference = np.abs(_differences(values, _NOISE_ORDER, 1))
    padded = np.pad(difference, _NOISE_VALUES // 2, mode="edge")
    medians = np.median(np.lib.stride_tricks.sliding_window_view(padded, _NOISE_VALUES), axis=1)
    measured = np.pad(medians, _NOISE_ORDER // 2, mode="edge") / _NORMAL_MEDIAN
    measured /= math.sqrt(math.comb(2 * _NOISE_ORDER, _NOISE_ORDER))
    return np.maximum(measured, np.finfo(np.float64).eps * np.abs(values))


def _jump_response(order: int) -> float:
    """Returns the largest (order + 1)-th difference, over h^order, of a unit jump: the middle of a B-spline."""
    middle = (order + 1) / 2
    terms = ((-1) ** k * math.comb(order + 1, k) * max(middle - k, 0.0) ** order for k in range(order + 2))
    return sum(terms) / math.factorial(order)
