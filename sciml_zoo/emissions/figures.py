"""Figures of forecasts, as matplotlib figures: fans of what may happen, and waterfalls of what drivers contribute."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from sciml_zoo.emissions._table import require
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.units import tonnes_per
from sciml_zoo.errors import InputError, nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["fan_chart", "portfolio_fan_chart", "waterfall"]

# Share of the samples in a band, and its colour: opaque, since bands lie on one another, as the legend shows it.
_BANDS = {0.95: "#d9e8f2", 0.80: "#a3c9e2", 0.50: "#62a5cf"}
_FORECAST, _REPORTED, _LATER = "#0072b2", "0.15", "#d55e00"
_MORE, _LESS, _TOTAL = "#d55e00", "#009e73", "0.4"


def fan_chart(panel: Panel, forecast: Forecast, company: str) -> Figure:
    """Draws what a company has reported, and what it may emit.

    Args:
        panel: its history; a year without a report is a gap in the line, and years after the forecast's origin are
            drawn as what came true.
        forecast: of the company, and others.
        company: its key.

    Returns:
        The figure, as that of :func:`portfolio_fan_chart`.

    Raises:
        InputError: the company is not in the panel, or not in the forecast.
    """
    for what, known in (("panel", panel.companies), ("forecast", forecast.companies)):
        if company not in known:
            raise InputError(f"no company {company!r} in the {what}; {nearest(company, known)}")
    samples = forecast.samples[:, forecast.companies.index(company)]
    reported = panel.emissions.loc[company].to_numpy(np.float64)
    return portfolio_fan_chart(panel.years, reported, samples, forecast.origin, company)


def portfolio_fan_chart(
    history_years: ArrayLike,
    history_total: ArrayLike,
    forecast_total: ArrayLike,
    origin: int,
    title: str = "",
    unit: str = "t",
) -> Figure:
    """Draws a history, and the bands that 50, 80 and 95 % of the sampled futures lie in, year by year.

    Bands and median begin at the last value up to the origin. A total over companies continues its history only if both
    are of the same companies.

    Args:
        history_years: in order, [years].
        history_total: NaN where unknown, [years].
        forecast_total: sampled totals, such as from :meth:`Forecast.total`, [samples, horizon].
        origin: the year before the first one forecast; later years of the history are drawn as what came true.
        title: of the figure.
        unit: of the numbers; tonnes (``t``) are shown in kt, Mt or Gt where that reads better.

    Returns:
        The figure.

    Raises:
        InputError: another shape, or samples that are not finite.
    """
    years, history = np.asarray(history_years), np.asarray(history_total, dtype=np.float64)
    samples = np.asarray(forecast_total, dtype=np.float64)
    if years.ndim != 1 or history.shape != years.shape:
        raise InputError(f"history of shape {list(history.shape)} for years {list(years.shape)}: expected [years] both")
    if samples.ndim != 2 or not samples.size or not np.isfinite(samples).all():
        raise InputError(f"forecast of shape {list(samples.shape)}: expected [samples, horizon], all of them finite")
    tails = [tail for share in _BANDS for tail in ((1 - share) / 2, (1 + share) / 2)]
    *edges, median = np.quantile(samples, [*tails, 0.5], axis=0)
    if unit == "t":
        unit, scale = _readable(np.append(history[np.isfinite(history)], edges))
        history, median, edges = history / scale, median / scale, [edge / scale for edge in edges]
    coming = np.arange(origin + 1, origin + 1 + samples.shape[1])
    known = np.flatnonzero((years <= origin) & np.isfinite(history))[-1:]
    figure, axes = _axes(6.4)
    at = np.append(years[known], coming)
    for (share, colour), low, high in zip(_BANDS.items(), edges[::2], edges[1::2], strict=True):
        lower, upper = (np.append(history[known], edge) for edge in (low, high))
        axes.fill_between(at, lower, upper, color=colour, linewidth=0, label=f"{share:.0%} of the futures")
    axes.plot(at, np.append(history[known], median), color=_FORECAST, label="median of the futures")
    past = years <= origin
    axes.plot(years[past], history[past], "o-", color=_REPORTED, markersize=3, label=f"reported up to {origin}")
    if np.isfinite(history[~past]).any():
        axes.plot(years[~past], history[~past], "s--", color=_LATER, markersize=4, label="reported afterwards")
    axes.set(xlabel="year", ylabel=unit)
    axes.set_ylim(bottom=0)
    axes.set_title(title, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize="small")
    return figure


def waterfall(contributions: pd.DataFrame, *, title: str = "") -> Figure:
    """Draws how drivers lead from a baseline's total to that of a scenario.

    Args:
        contributions: ``driver, contribution, before, after`` in tonnes, a row for each driver, from
            :func:`sciml_zoo.emissions.scenarios.contributions`.
        title: of the figure.

    Returns:
        The figure: bars of the two totals, and between them a step for each driver. The axis does not begin at zero
        where the steps would be too small to see; it says so.

    Raises:
        InputError: a column is missing, or there is no driver.
    """
    require(contributions, ["driver", "contribution", "before", "after"], "contributions")
    if contributions.empty:
        raise InputError("contributions: no driver; give a row for each")
    before, after = (contributions[name].to_numpy(np.float64) for name in ("before", "after"))
    unit, scale = _readable(np.append(before, after))
    before, after = before / scale, after / scale
    figure, axes = _axes(2.4 + 0.9 * len(before))
    low, high = min(before.min(), after.min()), max(before.max(), after.max())
    # Totals are hundreds of times what a driver adds: from zero, there would be nothing to see.
    cut = low - 0.5 * (high - low) > 0 and high > low
    bottom = low - 0.5 * (high - low) if cut else 0.0
    last = len(before) + 1
    axes.bar([0, last], np.array([before[0], after[-1]]) - bottom, bottom=bottom, color=_TOTAL)
    colours = [_MORE if step > 0 else _LESS for step in after - before]
    steps = axes.bar(np.arange(1, last), after - before, bottom=before, color=colours)
    axes.bar_label(steps, [f"{step:+.3g}" for step in after - before], fontsize="small", padding=2)
    axes.hlines(np.append(before, after[-1]), np.arange(last) + 0.4, np.arange(last) + 0.6, color="0.6", linewidth=1)
    labels = ["baseline", *contributions["driver"].astype(str), "scenario"]
    axes.set_xticks(range(last + 1), labels, rotation=30, ha="right", parse_math=False)
    axes.set_ylim(bottom, high + 0.15 * (high - bottom or 1.0))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_ylabel(f"{unit} (axis cut)" if cut else unit)
    axes.set_title(title, parse_math=False)
    return figure


def _readable(tonnes: np.ndarray) -> tuple[str, float]:
    """Returns a unit in which the largest of some values is 1 or more, if there is one, and its tonnes."""
    largest = np.abs(tonnes).max(initial=0.0)
    symbol = next((name for name in ("Gt", "Mt", "kt") if largest >= tonnes_per(name)), "t")
    return f"{symbol} CO2e", tonnes_per(symbol)


def _axes(width: float) -> "tuple[Figure, Axes]":
    figure = Figure(figsize=(width, 3.8), layout="constrained")
    return figure, figure.add_subplot()
