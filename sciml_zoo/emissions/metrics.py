"""Scores of forecasts, per company and year of the horizon; a year without an actual value scores NaN.

| symbol | variable | meaning |
|---|---|---|
| y | ``actual`` | what was reported, NaN where nothing was |
| f | ``point`` | the point forecast |
| x_1 … x_S | ``samples`` | sampled forecasts |
| q | ``scale`` | the in-sample error of the naive forecast |
"""

import numpy as np

from sciml_zoo.errors import InputError

__all__ = ["coverage", "crps", "inside", "mase", "naive_scale", "smape", "total_error", "width"]


def naive_scale(history: np.ndarray) -> np.ndarray:
    """Returns each company's mean absolute change between consecutive years, q = mean |y_t − y_{t−1}|.

    The denominator of MASE (Hyndman & Koehler 2006, "Another look at measures of forecast accuracy").

    Args:
        history: emissions up to the origin, [companies, years], NaN where nothing was reported.

    Returns:
        float64 [companies], in the unit of the history; NaN where no two consecutive years were reported.
    """
    changes = np.abs(np.diff(np.asarray(history, dtype=np.float64), axis=1))
    return _mean_of_known(changes)


def mase(point: np.ndarray, actual: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Returns each company's mean absolute scaled error, mean_h |y − f| / q (Hyndman & Koehler 2006).

    Args:
        point: forecasts, [companies, horizon].
        actual: [companies, horizon].
        scale: of :func:`naive_scale`, [companies]; where it is zero, the score is NaN.

    Returns:
        float64 [companies], the mean over the years that have an actual value; NaN if there are none.
    """
    positive = np.where(scale > 0, scale, np.nan)
    return _mean_of_known(np.abs(actual - point) / positive[:, None])


def smape(point: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Returns symmetric absolute percentage errors, 200 |y − f| / (|y| + |f|), in [0, 200] (Makridakis & Hibon 2000).

    Args:
        point: forecasts, [companies, horizon].
        actual: [companies, horizon].

    Returns:
        Percent, float64 [companies, horizon]; 0 where forecast and actual are both zero.
    """
    size = np.abs(actual) + np.abs(point)
    return 200 * np.abs(actual - point) / np.where(size == 0, 1, size)


def crps(samples: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Returns the continuous ranked probability score, unbiased for the distribution that the samples come from.

    CRPS = E|X − y| − E|X − X'| / 2 (Gneiting & Raftery 2007, eq. 21). Over a sample without its pairs of equals, the
    "fair" estimator (Zamo & Naveau 2018, eq. 4), with the order statistics x_(i):
    mean_i |x_i − y| − Σ_i (2i − S − 1) x_(i) / (S (S − 1)).

    Args:
        samples: [samples, companies, horizon], at least two samples.
        actual: [companies, horizon].

    Returns:
        float64 [companies, horizon], in the unit of the samples; less is better.

    Raises:
        InputError: fewer than two samples.
    """
    n, companies, horizon = samples.shape
    if n < 2:
        raise InputError(f"samples: {n}; the CRPS of a sample needs at least 2")
    weights = (2 * np.arange(1, n + 1) - n - 1) / (n * (n - 1))
    scores = np.empty((companies, horizon))
    # One year at a time: a copy of all samples may not fit in memory.
    for h in range(horizon):
        errors = samples[:, :, h].T - actual[:, h, None]
        errors.sort(axis=1)
        scores[:, h] = np.abs(errors).mean(axis=1) - errors @ weights
    return scores


def inside(lower: np.ndarray, upper: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Returns 1 where the actual value lies in the closed interval, 0 where it does not.

    Args:
        lower: any shape.
        upper: the same shape.
        actual: the same shape.

    Returns:
        float64 of that shape, NaN where there is no actual value.
    """
    hits = ((lower <= actual) & (actual <= upper)).astype(np.float64)
    return np.where(np.isnan(actual), np.nan, hits)


def coverage(lower: np.ndarray, upper: np.ndarray, actual: np.ndarray) -> float:
    """Returns the share of actual values inside their intervals.

    Args:
        lower: any shape.
        upper: the same shape.
        actual: the same shape.

    Returns:
        In [0, 1]; NaN if there is no actual value.
    """
    return float(_mean_of_known(inside(lower, upper, actual).reshape(1, -1))[0])


def width(lower: np.ndarray, upper: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Returns the widths of intervals in units of each company's naive error, (upper − lower) / q.

    Args:
        lower: [companies, horizon].
        upper: [companies, horizon].
        scale: of :func:`naive_scale`, positive, [companies].

    Returns:
        float64 [companies, horizon].
    """
    return (upper - lower) / scale[:, None]


def total_error(mean: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Returns the error of the companies' total, Σ f − Σ y over those that have an actual value in that year.

    Args:
        mean: expected emissions, [companies, horizon].
        actual: [companies, horizon].

    Returns:
        Signed, float64 [horizon].
    """
    return np.nansum(mean - actual, axis=0)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Returns means over the last axis that pass over NaN, and are NaN without a value."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)
