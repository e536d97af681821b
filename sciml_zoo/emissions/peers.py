"""Other libraries in the same interface: AutoETS, AutoTheta and AutoARIMA of statsforecast, and LightGBM.

They give quantiles of each company and year, and the samples follow these: a sample keeps its company's rank through
all years, and companies are independent.
"""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from sciml_zoo.emissions._history import aligned_history, filled_gaps
from sciml_zoo.emissions.baselines import scaled_to_mean
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.metrics import naive_scale
from sciml_zoo.emissions.panel import STATICS, Panel
from sciml_zoo.errors import InputError, nearest

__all__ = ["STATSFORECAST_MODELS", "LightGBM", "Statsforecast", "boosted", "features", "log_ratio"]

#: The models of statsforecast that are known here.
STATSFORECAST_MODELS = ("AutoETS", "AutoTheta", "AutoARIMA")

# Central intervals asked of statsforecast, in percent.
_INTERVALS = (20, 40, 60, 80, 90, 95, 99)
# Quantiles fitted by LightGBM; the median is its point forecast.
_LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
_LAGS = 5
# Log ratios beyond e^±4 are closures, restarts and errors of units.
_MOST_LOG_RATIO = 4.0
# A company that hardly changed must not outweigh all others.
_LEAST_SCALE = 0.02


class Statsforecast(BaseEstimator):
    """A model of statsforecast, fitted to each company alone; gaps are filled linearly before.

    Args:
        model: one of :data:`STATSFORECAST_MODELS`, with its default settings and a season of one year.
        n_jobs: processes that fit series.
    """

    def __init__(self, model: str, n_jobs: int = 1) -> None:
        if model not in STATSFORECAST_MODELS:
            raise InputError(f"model: no model {model!r}; {nearest(model, STATSFORECAST_MODELS)}")
        self.model = model
        self.n_jobs = n_jobs

    def fit(self, panel: Panel) -> Self:
        """Learns nothing: each company is fitted in :meth:`predict`.

        Args:
            panel: not used.

        Returns:
            Itself.
        """
        return self

    def predict(self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0) -> Forecast:
        """Fits and forecasts every company from its last report; one with a constant or too short history is naive.

        Args:
            panel: the histories.
            horizon: years, at least 1.
            samples: joint trajectories.
            seed: of them.

        Returns:
            Samples, float32 [samples, companies, horizon], at least zero, and the model's means, which are theirs.

        Raises:
            InputError: statsforecast is not installed.
        """
        library, models = _required("statsforecast"), _required("statsforecast.models")
        history, age = aligned_history(panel)
        company, year = np.nonzero(np.isfinite(history))
        frame = pd.DataFrame({"unique_id": company, "ds": year, "y": history[company, year]})
        forecaster = library.StatsForecast(
            models=[getattr(models, self.model)(season_length=1)],
            freq=1,
            n_jobs=self.n_jobs,
            fallback_model=models.Naive(),
        )
        table = forecaster.forecast(df=frame, h=int(age.max()) + horizon, level=list(_INTERVALS))
        levels = {0.5: self.model}
        for interval in _INTERVALS:
            levels[0.5 - interval / 200] = f"{self.model}-lo-{interval}"
            levels[0.5 + interval / 200] = f"{self.model}-hi-{interval}"
        columns = table[[self.model, *(levels[level] for level in sorted(levels))]].to_numpy(np.float64)
        steps = columns.reshape(len(age), -1, columns.shape[1])
        asked = steps[np.arange(len(age))[:, None], age[:, None] + np.arange(horizon)]
        means, quantiles = asked[..., 0], np.moveaxis(asked[..., 1:], 2, 0)
        # AutoTheta gives no interval to the shortest series.
        quantiles = np.where(np.isfinite(quantiles), quantiles, means)
        point = np.maximum(means, 0)
        paths = _sampled(sorted(levels), quantiles, samples, seed)
        return Forecast(panel.companies, panel.years[-1], scaled_to_mean(paths, point), point)


class LightGBM(BaseEstimator):
    """Gradient boosting over all companies (Ke et al. 2017), for the log ratio of a later value to the last.

    A model for each year of the horizon and each quantile. Features: log emissions, the log ratios of earlier years to
    the last, mean and mean size of all changes, the number of years, and statics as categories. Every year of every
    history with a change before it is an example. The examples of the median, fitted by absolute errors, weigh as much
    as emissions over the naive scale up to their year, so that it minimises about the scaled error.

    Args:
        horizon: years, at least 1.
        n_jobs: threads.
    """

    def __init__(self, horizon: int, n_jobs: int = 1) -> None:
        self.horizon = horizon
        self.n_jobs = n_jobs
        self._categories: dict[str, list[str]] = {}
        self._models: list[list[Any]] = []

    def fit(self, panel: Panel) -> Self:
        """Fits all models to the years of a panel.

        Args:
            panel: all of it history.

        Returns:
            Itself.

        Raises:
            InputError: LightGBM is not installed, or the panel has too few years for the horizon.
        """
        _required("lightgbm")
        self._categories = {name: sorted(set(panel.statics[name]) - {""}) for name in STATICS}
        values, statics = panel.values, self._codes(panel)
        filled = filled_gaps(values)
        self._models = []
        for ahead in range(1, self.horizon + 1):
            examples, ratios, weights = [], [], []
            for t in range(1, values.shape[1] - ahead):
                scale = naive_scale(filled[:, : t + 1])
                known = np.flatnonzero((values[:, t] > 0) & np.isfinite(scale + values[:, t + ahead]))
                last = values[known, t]
                examples.append(np.column_stack([features(filled[known, : t + 1]), statics[known]]))
                ratios.append(log_ratio(values[known, t + ahead], last))
                weights.append(1 / np.maximum(scale[known] / last, _LEAST_SCALE))
            if not sum(map(len, ratios)):
                break
            target, weight = np.concatenate(ratios), np.concatenate(weights)
            self._models.append(self._fitted(np.concatenate(examples), target, weight))
        if not self._models:
            raise InputError(
                f"{panel.years[0]} to {panel.years[-1]}: no company has two consecutive reports and one a year later "
                f"to learn from; give more years"
            )
        return self

    def predict(self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0) -> Forecast:
        """Forecasts every company from its last report; one whose last report is zero stays there.

        Args:
            panel: the histories.
            horizon: years, at least 1, at most the fitted ones; years farther from the last report than the history
                has examples of are like the last of these.
            samples: joint trajectories.
            seed: of them.

        Returns:
            Samples, float32 [samples, companies, horizon], and the median's model as the point.

        Raises:
            InputError: not fitted, or for a horizon below this one.
        """
        fitted = self.horizon if self._models else 0
        if not 1 <= horizon <= fitted:
            raise InputError(f"horizon: {horizon}; LightGBM is fitted for 1 to {fitted} years; fit it for that horizon")
        history, age = aligned_history(panel)
        last = history[:, -1]
        inputs = np.column_stack([features(history), self._codes(panel)])
        ratios = np.array([[model.predict(inputs) for model in models] for models in self._models])
        ahead = np.minimum(age[:, None] + np.arange(horizon), len(self._models) - 1)
        quantiles = np.stack([by_year[ahead, np.arange(len(age))[:, None]] for by_year in np.swapaxes(ratios, 0, 1)])
        quantiles = np.exp(quantiles) * last[:, None]
        point = quantiles[_LEVELS.index(0.5)]
        return Forecast(panel.companies, panel.years[-1], _sampled(_LEVELS, quantiles, samples, seed), point)

    def _fitted(self, examples: np.ndarray, ratios: np.ndarray, weights: np.ndarray) -> list[Any]:
        """Returns a model of each quantile."""
        return [
            boosted(examples, ratios, weights if level == 0.5 else None, level, n_jobs=self.n_jobs) for level in _LEVELS
        ]

    def _codes(self, panel: Panel) -> np.ndarray:
        """Returns statics as numbers, [companies, statics]; NaN for what is empty or was not there in ``fit``."""
        columns = [pd.Index(self._categories[name]).get_indexer(pd.Index(panel.statics[name])) for name in STATICS]
        codes = np.column_stack(columns).astype(np.float64)
        return np.where(codes >= 0, codes, np.nan)


def boosted(
    examples: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray | None,
    level: float = 0.5,
    *,
    n_jobs: int = 1,
    seed: int = 0,
) -> Any:
    """Returns a model of LightGBM, with the settings of :class:`LightGBM`, for a quantile.

    Args:
        examples: features, the last of which are the statics as categories, [n, features].
        target: log ratios, [n].
        weights: [n]; None: all alike.
        level: of the quantile; 0.5: by absolute errors.
        n_jobs: threads.
        seed: of the subsamples.
    """
    model = _required("lightgbm").LGBMRegressor(
        objective="regression_l1" if level == 0.5 else "quantile",
        alpha=level,
        n_estimators=200,
        learning_rate=0.05,
        num_leaves=15,
        min_child_samples=50,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        random_state=seed,
        n_jobs=n_jobs,
        verbosity=-1,
    )
    categories = list(range(examples.shape[1] - len(STATICS), examples.shape[1]))
    return model.fit(examples, target, sample_weight=weights, categorical_feature=categories)


def features(history: np.ndarray) -> np.ndarray:
    """Returns what LightGBM sees of histories beside statics, [companies, features].

    Args:
        history: gaps filled, with a report in the last column, [companies, years].
    """
    last = history[:, -1]
    lags = np.full((len(history), _LAGS), np.nan)
    recent = history[:, -_LAGS - 1 : -1]
    lags[:, _LAGS - recent.shape[1] :] = log_ratio(recent, last[:, None])
    changes = pd.DataFrame(log_ratio(history[:, 1:], history[:, :-1]))
    summary = [np.isfinite(history).sum(axis=1), changes.mean(axis=1), changes.abs().mean(axis=1)]
    return np.column_stack([np.log(np.maximum(last, 1)), lags, *summary])


def log_ratio(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns log(values / reference), bounded; NaN where one is unknown or the reference zero.

    Args:
        values: of any shape.
        reference: of a shape that broadcasts.
    """
    ratio = values / np.where(reference > 0, reference, np.nan)
    return np.log(np.clip(ratio, np.exp(-_MOST_LOG_RATIO), np.exp(_MOST_LOG_RATIO)))


def _sampled(levels: Sequence[float], quantiles: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Returns samples at evenly spaced ranks, in a random order for each company.

    Args:
        levels: in (0, 1), increasing.
        quantiles: [levels, companies, horizon].
        samples: their number.
        seed: of the order.

    Returns:
        At least zero, float32 [samples, companies, horizon].
    """
    ranks = (np.arange(samples) + 0.5) / samples
    position = np.interp(ranks, levels, np.arange(len(levels)))
    below = np.minimum(position.astype(int), len(levels) - 2)
    above = (position - below)[:, None, None].astype(np.float32)
    # Quantiles that were fitted one by one may cross.
    ordered = np.sort(np.maximum(quantiles, 0), axis=0).astype(np.float32)
    paths = ordered[below] * (1 - above) + ordered[below + 1] * above
    rng = np.random.default_rng(seed)
    for c in range(paths.shape[1]):
        paths[:, c] = paths[rng.permutation(samples), c]
    return paths


def _required(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{name} is not installed; pip install statsforecast lightgbm") from None
