"""Simple forecasts, hard to beat: naive, drift, one drift for all, damped trend, Theta, and their combination.

Each is a linear recursion from the company's last report, which may be older than the panel's last year:

| equation | variable |
|---|---|
| f = g (ℓ + φ b) | the next value; ``growth`` g is 1 but for the pooled drift |
| ℓ ← f + α e | ``level``, ``alpha``, after an error e |
| b ← φ b + β e | ``trend``, ``phi``, ``beta`` |

**Uncertainty.** Trajectories are bootstrapped from the method's own one-step errors inside the history, centred
(Hyndman & Athanasopoulos 2021, "Forecasting: Principles and Practice", 5.5). An error is e = s z. The size s is the
company's mean absolute error, drawn towards the pooled ratio of errors to emissions as far as its history is short;
the shapes z are pooled over all companies of ``fit``. In a sampled year all companies draw from one year of history,
so that what hit all of them at once does so again. Values below zero become zero; then the samples of each company
and year are scaled to have the point forecast as their mean: the mean of a total is the sum of the points.

Gaps are filled linearly before a method looks at a history.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator

from sciml_zoo.emissions._history import aligned_history, shifted
from sciml_zoo.emissions._smoothing import smooth
from sciml_zoo.emissions.forecast import Forecast, Forecaster
from sciml_zoo.emissions.metrics import naive_scale
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.errors import InputError

__all__ = ["Baseline", "Combination", "DampedTrend", "Drift", "Naive", "PooledDrift", "Theta"]

# How many years of a company's own errors weigh as much as what the others' tell.
_PRIOR_YEARS = 2


@dataclass(frozen=True)
class _State:
    """Where the recursion stands after the last report; arrays may be written to.

    Args:
        level: ℓ, [companies].
        trend: b, [companies].
        alpha: α, [companies].
        beta: β, [companies].
        phi: φ, [companies].
        errors: one-step errors in the history, [companies, years], the last report in the last column; NaN: none.
        growth: g.
    """

    level: np.ndarray
    trend: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    phi: np.ndarray
    errors: np.ndarray
    growth: float = 1.0


@dataclass(frozen=True)
class _Shocks:
    """One-step errors relative to each company's size of errors.

    Args:
        by_year: float32, the shocks of all companies in one year of history, for each year that has any.
        ratio: of the size of errors to emissions, in the median company.
    """

    by_year: list[np.ndarray]
    ratio: float

    @classmethod
    def of(cls, history: np.ndarray, age: np.ndarray, errors: np.ndarray) -> _Shocks:
        """Returns the shocks of aligned histories and their errors, by the calendar years from which they come."""
        level = _mean(history)
        positive = np.flatnonzero(level > 0)
        ratios = _mean(np.abs(errors[positive])) / level[positive]
        ratio = float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else 0.0
        size = _sizes(history, errors, ratio)
        shocks = shifted(errors / np.where(size > 0, size, np.nan)[:, None], -age)
        known = np.isfinite(shocks)
        centre = shocks[known].mean() if known.any() else 0.0
        return cls(
            [(shocks[known[:, t], t] - centre).astype(np.float32) for t in np.flatnonzero(known.any(axis=0))], ratio
        )

    def draw(self, rng: np.random.Generator, samples: int, companies: int) -> np.ndarray:
        """Returns shocks of one year ahead, float32 [samples, companies]: a sample draws from one year of history."""
        if not self.by_year:
            return np.zeros((samples, companies), dtype=np.float32)
        years = rng.integers(len(self.by_year), size=samples)
        return np.stack([rng.choice(self.by_year[year], size=companies) for year in years])


class Baseline(BaseEstimator, ABC):
    """What the simple methods share; they differ in the state that they read from a history."""

    _shocks: _Shocks | None = None

    def fit(self, panel: Panel) -> Self:
        """Collects the method's one-step errors over all companies.

        Args:
            panel: all of it history.

        Returns:
            Itself.

        Raises:
            InputError: no company, or one without a single report.
        """
        history, age = aligned_history(panel)
        self._learn(history)
        self._shocks = _Shocks.of(history, age, self._state(history).errors)
        return self

    def predict(self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0) -> Forecast:
        """Forecasts every company from its last report.

        Args:
            panel: the histories.
            horizon: years, at least 1.
            samples: joint trajectories.
            seed: of them.

        Returns:
            Samples, float32 [samples, companies, horizon], at least zero, and the points, which are their mean.

        Raises:
            InputError: not fitted, a horizon below 1, no company, or one without a single report.
        """
        shocks = self._shocks
        if shocks is None:
            raise InputError(f"{type(self).__name__}: not fitted; call fit(panel) before predict")
        if horizon < 1:
            raise InputError(f"horizon: {horizon}; at least 1 year")
        history, age = aligned_history(panel)
        state = self._state(history)
        companies = len(age)
        size = _sizes(history, state.errors, shocks.ratio)
        rng = np.random.default_rng(seed)
        point = _run(np.empty((1, companies, horizon)), state, age, itertools.repeat(np.zeros((1, 1))))[0]
        errors = (size * shocks.draw(rng, samples, companies) for _ in itertools.count())
        paths = _run(np.empty((samples, companies, horizon), dtype=np.float32), state, age, errors)
        return Forecast(panel.companies, panel.years[-1], scaled_to_mean(paths, point), point)

    def _learn(self, history: np.ndarray) -> None:
        """Learns what is common to all companies, from aligned histories [companies, years]."""

    @abstractmethod
    def _state(self, history: np.ndarray) -> _State:
        """Returns the state after aligned histories, [companies, years]."""


class Naive(Baseline):
    """The last value, whatever comes: the reference of all comparisons."""

    def _state(self, history: np.ndarray) -> _State:
        return _random_walk(history)


class Drift(Baseline):
    """A random walk with each company's own drift, (last − first) / years; naive below three reports."""

    def _state(self, history: np.ndarray) -> _State:
        state = _random_walk(history)
        rows = _with_years(history, 3)
        state.trend[rows] = _mean(state.errors[rows])
        state.phi[rows] = 1
        state.errors[rows] -= state.trend[rows, None]
        return state


class PooledDrift(Baseline):
    """One constant log drift for all companies: the one with the least mean absolute scaled error in the history.

    It is the median of all yearly changes log(y_t / y_{t−1}), weighted by y_{t−1} / q with the company's naive scale q.

    Attributes:
        drift: the log drift a year, after :meth:`fit`.
    """

    drift: float = 0.0

    def _learn(self, history: np.ndarray) -> None:
        scale = naive_scale(history)
        before, after = history[:, :-1], history[:, 1:]
        weights = before / np.where(scale > 0, scale, np.nan)[:, None]
        known = (weights > 0) & (after > 0)
        if known.any():
            changes = np.log(after[known] / before[known])
            order = np.argsort(changes)
            cumulated = np.cumsum(weights[known][order])
            self.drift = float(changes[order[np.searchsorted(cumulated, cumulated[-1] / 2)]])

    def _state(self, history: np.ndarray) -> _State:
        return _random_walk(history, float(np.exp(self.drift)))


class DampedTrend(Baseline):
    """Additive damped trend (Gardner & McKenzie 1985), least squares for each company; naive below six reports."""

    def _state(self, history: np.ndarray) -> _State:
        state = _random_walk(history)
        rows = _with_years(history, 6)
        _write_smoothed(state, rows, *smooth(history[rows], damped=True))
        return state


class Theta(Baseline):
    """The Theta method (Assimakopoulos & Nikolopoulos 2000); naive below four reports.

    As shown by Hyndman & Billah (2003): simple exponential smoothing with a drift of half the linear trend's slope.
    """

    def _state(self, history: np.ndarray) -> _State:
        state = _random_walk(history)
        rows = _with_years(history, 4)
        years = np.arange(1 - history.shape[1], 1)
        drift = _slopes(history[rows], years) / 2
        _write_smoothed(state, rows, *smooth(history[rows] - drift[:, None] * years, damped=False))
        state.trend[rows], state.phi[rows] = drift, 1
        return state


class Combination(BaseEstimator):
    """The mean of several methods' points, and their samples together.

    Args:
        members: what to combine; None: naive, drift, damped trend and Theta.
    """

    def __init__(self, members: Sequence[Forecaster] | None = None) -> None:
        self.members = members
        self._fitted: Sequence[Forecaster] = ()

    def fit(self, panel: Panel) -> Self:
        """Fits all members.

        Args:
            panel: all of it history.

        Returns:
            Itself.
        """
        self._fitted = self.members or (Naive(), Drift(), DampedTrend(), Theta())
        for member in self._fitted:
            member.fit(panel)
        return self

    def predict(self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0) -> Forecast:
        """Forecasts with all members.

        Args:
            panel: the histories.
            horizon: years, at least 1.
            samples: joint trajectories, as evenly from the members as their number allows.
            seed: of them.

        Returns:
            Samples, float32 [samples, companies, horizon], and the points, which are their mean.

        Raises:
            InputError: not fitted.
        """
        if not self._fitted:
            raise InputError("Combination: not fitted; call fit(panel) before predict")
        n = len(self._fitted)
        counts = [(samples + k) // n for k in range(n)]
        forecasts = [
            member.predict(panel, horizon, samples=count, seed=seed + k)
            for k, (member, count) in enumerate(zip(self._fitted, counts, strict=True))
        ]
        point = np.mean([forecast.median for forecast in forecasts], axis=0)
        paths = np.concatenate([forecast.samples for forecast in forecasts])
        return Forecast(panel.companies, panel.years[-1], scaled_to_mean(paths, point), point)


def scaled_to_mean(samples: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Returns samples, scaled in place so that they have a given mean.

    Args:
        samples: at least zero, [samples, companies, horizon].
        mean: [companies, horizon].
    """
    sampled = samples.mean(axis=0, dtype=np.float64)
    samples *= np.divide(mean, sampled, out=np.ones_like(sampled), where=sampled > 0).astype(samples.dtype)
    return samples


def _random_walk(history: np.ndarray, growth: float = 1.0) -> _State:
    """Returns the state whose forecast is the last value times the growth."""
    zeros = np.zeros(len(history))
    errors = np.full_like(history, np.nan)
    errors[:, 1:] = history[:, 1:] - growth * history[:, :-1]
    return _State(history[:, -1].copy(), zeros, zeros + 1, zeros.copy(), zeros.copy(), errors, growth)


def _write_smoothed(state: _State, rows: np.ndarray, smoothed: np.ndarray, errors: np.ndarray) -> None:
    """Writes what :func:`smooth` returned for some companies."""
    for part, values in zip((state.level, state.trend, state.alpha, state.beta, state.phi), smoothed, strict=True):
        part[rows] = values
    state.errors[rows] = errors


def _run(paths: np.ndarray, state: _State, age: np.ndarray, errors: Iterator[np.ndarray]) -> np.ndarray:
    """Returns ``paths``, [samples, companies, horizon], filled with the recursion's years after the panel's last.

    Args:
        paths: to fill; what falls below zero is zero.
        state: where the recursion stands, ``age`` years before the panel's last.
        age: [companies].
        errors: of one year after the other; they broadcast to [samples, companies].
    """
    horizon = paths.shape[2]
    level, trend = state.level, state.trend
    for step in range(int(age.max()) + horizon):
        error = next(errors)
        forecast = state.growth * (level + state.phi * trend)
        value = np.maximum(forecast + error, 0)
        year = step - age
        now = np.flatnonzero((year >= 0) & (year < horizon))
        paths[:, now, year[now]] = value[:, now]
        level, trend = forecast + state.alpha * error, state.phi * trend + state.beta * error
    return paths


def _with_years(history: np.ndarray, least: int) -> np.ndarray:
    """Returns the rows with at least so many years."""
    return np.flatnonzero(np.isfinite(history).sum(axis=1) >= least)


def _sizes(history: np.ndarray, errors: np.ndarray, ratio: float) -> np.ndarray:
    """Returns the size of each company's errors, [companies]: its own, drawn towards ``ratio`` times its emissions."""
    own, years = np.nansum(np.abs(errors), axis=1), np.isfinite(errors).sum(axis=1)
    return (own + _PRIOR_YEARS * ratio * _mean(history)) / (years + _PRIOR_YEARS)


def _slopes(history: np.ndarray, years: np.ndarray) -> np.ndarray:
    """Returns the slopes of the linear trends, [companies]."""
    known = np.isfinite(history)
    centred = np.where(known, years - _mean(np.where(known, years, np.nan))[:, None], 0)
    return np.nansum(centred * history, axis=1) / np.square(centred).sum(axis=1)


def _mean(rows: np.ndarray) -> np.ndarray:
    """Returns the mean of what is known in each row; NaN where nothing is."""
    known = np.isfinite(rows).sum(axis=1)
    return np.where(known > 0, np.nansum(rows, axis=1) / np.maximum(known, 1), np.nan)
