"""Exponential smoothing of thousands of short series at once.

Innovations form of the additive damped trend (Hyndman et al. 2008, "Forecasting with Exponential Smoothing"):

| equation | variable |
|---|---|
| f_t = ℓ + φ b | one-step forecast, ``level``, ``trend``, ``phi`` |
| e_t = y_t − f_t | one-step error |
| ℓ ← f_t + α e_t | ``alpha`` |
| b ← φ b + β e_t | ``beta`` |

For given α, β, φ the errors are linear in the first ℓ and b, which follow by least squares; the three are searched on a
grid that is then refined. With φ = 0 there is no trend: simple exponential smoothing.
"""

import numba
import numpy as np

__all__ = ["smooth"]

# Bounds of α and φ: with a trend those of ets in R's package forecast, without one those of statsforecast's Theta.
_ALPHA_DAMPED = (1e-4, 0.9999)
_ALPHA = (0.1, 0.99)
_PHI = (0.8, 0.98)
_POINTS = 5
_REFINEMENTS = 7


def smooth(series: np.ndarray, *, damped: bool) -> tuple[np.ndarray, np.ndarray]:
    """Fits every series by its squared one-step errors.

    Args:
        series: [series, years], NaN before the first value, none later; more values each than are fitted: two, or
            five with a trend.
        damped: with a damped trend; else without a trend.

    Returns:
        ``level, trend, alpha, beta, phi`` at the end, float64 [5, series]; and the one-step errors, float64
        [series, years], NaN before the first value, enlarged by √(n / (n − p)) for the p values fitted to n years.
    """
    start = np.argmax(~np.isnan(series), axis=1)
    states, errors = _smooth(np.ascontiguousarray(series, dtype=np.float64), start, damped)
    years = series.shape[1] - start
    return states, errors * np.sqrt(years / (years - (5 if damped else 2)))[:, None]


@numba.njit(cache=True)
def _smooth(series: np.ndarray, start: np.ndarray, damped: bool) -> tuple[np.ndarray, np.ndarray]:
    states = np.empty((5, len(series)))
    errors = np.full(series.shape, np.nan)
    for c in range(len(series)):
        y = series[c, start[c] :]
        best = np.array([0.5, 0.5, 0.9 if damped else 0.0])
        least = np.inf
        centre, reach = np.array([0.5, 0.5, 0.5]), 0.5
        for _ in range(1 + _REFINEMENTS):
            middle = centre.copy()
            for i in range(_POINTS):
                for j in range(_POINTS if damped else 1):
                    for k in range(_POINTS if damped else 1):
                        offsets = (np.array([i, j, k]) * 2.0 / (_POINTS - 1) - 1) * reach
                        position = np.minimum(np.maximum(middle + offsets, 0.0), 1.0)
                        trial = _parameters(position, damped)
                        squares = np.square(_run(y, trial)[0]).sum()
                        if squares < least:
                            least, best, centre = squares, trial, position
            reach *= 0.5
        error, level, trend = _run(y, best)
        errors[c, start[c] :] = error
        states[:, c] = level, trend, best[0], best[0] * best[1], best[2]
    return states, errors


@numba.njit(cache=True)
def _parameters(position: np.ndarray, damped: bool) -> np.ndarray:
    """Returns α, β / α and φ from a position in the unit cube."""
    low, high = _ALPHA_DAMPED if damped else _ALPHA
    alpha = low + position[0] * (high - low)
    if not damped:
        return np.array([alpha, 0.0, 0.0])
    return np.array([alpha, position[1], _PHI[0] + position[2] * (_PHI[1] - _PHI[0])])


@numba.njit(cache=True)
def _run(y: np.ndarray, parameters: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Returns the one-step errors from the best first level and trend, and the last level and trend."""
    alpha, phi = parameters[0], parameters[2]
    beta = alpha * parameters[1]
    n = len(y)
    # Errors and states as a constant plus multiples of the first level and of the first trend.
    e = np.empty((n, 3))
    level, trend = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    for t in range(n):
        for m in range(3):
            forecast = level[m] + phi * trend[m]
            e[t, m] = (y[t] if m == 0 else 0.0) - forecast
            level[m] = forecast + alpha * e[t, m]
            trend[m] = phi * trend[m] + beta * e[t, m]
    aa, ab, bb = (e[:, 1] ** 2).sum(), (e[:, 1] * e[:, 2]).sum(), (e[:, 2] ** 2).sum()
    ya, yb = (e[:, 1] * e[:, 0]).sum(), (e[:, 2] * e[:, 0]).sum()
    determinant = aa * bb - ab * ab
    if determinant > 1e-12 * aa * bb:
        first_level, first_trend = (yb * ab - ya * bb) / determinant, (ya * ab - yb * aa) / determinant
    else:
        first_level, first_trend = -ya / aa, 0.0
    error = e[:, 0] + first_level * e[:, 1] + first_trend * e[:, 2]
    return (
        error,
        level[0] + first_level * level[1] + first_trend * level[2],
        trend[0] + first_level * trend[1] + first_trend * trend[2],
    )
