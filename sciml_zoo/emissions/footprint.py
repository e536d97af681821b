"""The footprint of a portfolio: standard metrics by scope, what they cover, and what they do not.

A metric is stated for the holdings that it covers, and so are the weights in it: the value of what lacks a figure
counts neither above nor below the line. ``coverage`` is the covered share of the portfolio's value, and every holding
that is not covered is listed with the reason. Scopes are never added, but for 1 and 2 ("1+2"), where both are known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sciml_zoo.emissions import portfolio
from sciml_zoo.emissions._checked_table import TableSource
from sciml_zoo.emissions._positions import Positions, latest_of, match, other_years
from sciml_zoo.emissions._table import records
from sciml_zoo.emissions.currencies import Rates
from sciml_zoo.emissions.forecast import QUANTILES, Forecast, spread
from sciml_zoo.emissions.holdings import SCOPES, read_emissions
from sciml_zoo.errors import InputError, nearest

__all__ = ["METRICS", "Footprint", "FootprintTrajectory", "footprint", "footprint_trajectory"]

#: Metrics linear in emissions and their units; ``{}`` stands for the reporting currency.
METRICS = {
    "financed_emissions": "tCO2e",
    "total_carbon_emissions": "tCO2e",
    "carbon_footprint": "tCO2e per million {} invested",
    "economic_emission_intensity": "tCO2e per million {} outstanding",
    "carbon_intensity": "tCO2e per million {} of revenue",
    "waci": "tCO2e per million {} of revenue",
}
_COMBINED = "1+2"


@dataclass(frozen=True)
class _Report(ABC):
    """What both reports hold.

    Attributes:
        year: the reporting year; figures of later years are not used.
        currency: of all amounts of money.
        value: of the whole portfolio, covered or not.
        metrics: see the report.
        uncovered: ``scope``, ``company``, ``asset_class``, ``value``, ``share`` of the portfolio, ``reason``,
            ``affects`` (which metrics lack the holding); a row for each holding, scope and reason.
        holdings: a row for each holding: its value, the company value that it is divided by (``divided_by`` EVIC or
            equity + debt), the attribution factor, revenue, and the years of these.
        warnings: figures of another year than ``year``, more than a whole company attributed, negative equity, bonds
            without EVIC; each with the companies' names.
    """

    year: int
    currency: str
    value: float
    metrics: pd.DataFrame
    uncovered: pd.DataFrame
    holdings: pd.DataFrame
    warnings: tuple[str, ...]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Returns the tables ``metrics``, ``uncovered`` and ``holdings``, for display."""
        return {"metrics": self.metrics, "uncovered": self.uncovered, "holdings": self.holdings}

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it for JSON: under ``scopes``, by scope, ``metrics`` and ``uncovered``; NaN is None."""
        scopes = {}
        for scope, rows in self.metrics.groupby("scope", sort=False):
            metrics = {name: self._entry(of_name) for name, of_name in rows.groupby("metric", sort=False)}
            uncovered = self.uncovered[self.uncovered["scope"].eq(scope)].drop(columns="scope")
            scopes[scope] = {"metrics": metrics, "uncovered": records(uncovered)}
        return {
            "year": self.year,
            "currency": self.currency,
            "portfolio_value": self.value,
            "scopes": scopes,
            "holdings": records(self.holdings),
            "warnings": list(self.warnings),
        }

    @abstractmethod
    def _entry(self, rows: pd.DataFrame) -> dict[str, Any]:
        """Returns what JSON says of one metric, given its rows."""


@dataclass(frozen=True)
class Footprint(_Report):
    """Metrics of a portfolio by scope.

    Attributes:
        metrics: ``scope`` ("1", "2", "3", "1+2"), ``metric`` (of :data:`METRICS`, and ``data_quality_score``),
            ``unit``, ``coverage``, ``value`` (NaN where nothing is covered).
        holdings: further, by scope: the company's emissions, their year, and the financed emissions.
    """

    def metric(self, scope: str, name: str) -> float:
        """Returns a metric's value.

        Args:
            scope: "1", "2", "3" or "1+2".
            name: of the metric.
        """
        chosen = self.metrics["scope"].eq(scope) & self.metrics["metric"].eq(name)
        return self.metrics.loc[chosen, "value"].item()

    def _entry(self, rows: pd.DataFrame) -> dict[str, Any]:
        return records(rows[["value", "unit", "coverage"]])[0]


@dataclass(frozen=True)
class FootprintTrajectory(_Report):
    """Metrics of a portfolio in years to come, with the spread that joint samples of all companies give.

    Attributes:
        metrics: ``scope``, ``metric`` (of :data:`METRICS`), ``unit``, ``coverage``, ``year``, ``mean``, ``q025``,
            ``q10``, ``q50``, ``q90``, ``q975``.
        assumptions: what was held constant, and since when.
    """

    assumptions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it for JSON, as of :class:`Footprint`; a metric has a list ``years``."""
        return super().as_dict() | {"assumptions": list(self.assumptions)}

    def _entry(self, rows: pd.DataFrame) -> dict[str, Any]:
        by_year = rows[["year", "mean", *QUANTILES]]
        return records(rows[["unit", "coverage"]])[0] | {"years": records(by_year)}


def footprint(
    holdings: TableSource,
    financials: TableSource,
    emissions: TableSource,
    *,
    year: int | None = None,
    rates: Rates | None = None,
    currency: str | None = None,
) -> Footprint:
    """Computes every metric of a portfolio in every scope.

    Of each company the latest figure up to the reporting year is taken, each of EVIC, equity with debt, revenue and
    emissions by itself; its year is reported, and a warning says where it is not the reporting year.

    Args:
        holdings: HOLDINGS, as of :mod:`sciml_zoo.emissions.holdings`.
        financials: FINANCIALS.
        emissions: EMISSIONS.
        year: the reporting year; None: the latest in which a company held has financials or emissions.
        rates: of exchange, where not all amounts are in one currency.
        currency: of the report; None: that of the holdings.

    Returns:
        The footprint.

    Raises:
        InputError: a table that cannot be read, holdings in several currencies and none chosen, a rate that is missing,
            or no holding that matches a company.
    """
    emitted = read_emissions(emissions)
    positions = match(holdings, financials, emitted[["company", "year"]], year, rates, currency)
    table, warnings = positions.table.copy(), list(positions.warnings)
    amounts, scores = {}, {}
    for scope in SCOPES:
        latest = latest_of(emitted[emitted["scope"].eq(scope)], ["emissions"], positions.year)
        latest = latest.reindex(table["company"]).set_index(table.index)
        amounts[scope], scores[scope] = latest["emissions"].to_numpy(), latest["data_quality"].to_numpy()
        years = latest["year"].astype("Int64")
        table[f"scope_{scope}_emissions"], table[f"scope_{scope}_year"] = amounts[scope], years
        warnings += other_years(f"scope {scope} emissions", table["company"], years, positions.year)
    amounts[_COMBINED] = amounts["1"] + amounts["2"]
    # One figure made of two is as good as the worse of them.
    scores[_COMBINED] = np.maximum(scores["1"], scores["2"])
    rows, gaps = [], []
    for scope, tonnes in amounts.items():
        emitting = np.isfinite(tonnes)
        scored = emitting & np.isfinite(scores[scope])
        for name, value, coverage in _metrics(positions, tonnes, emitting):
            rows.append((scope, name, METRICS[name].format(positions.currency), coverage, float(value)))
        covered = scored & (positions.unattributed == "")
        with np.errstate(invalid="ignore"):
            score = portfolio.data_quality_score(positions.column("value")[covered], scores[scope][covered])
        rows.append((scope, "data_quality_score", "1 (best) to 5", positions.coverage(covered), float(score)))
        gaps.append(positions.uncovered(scope, emitting, scored))
        financed = portfolio.financed_emissions(positions.column("attribution"), tonnes)
        table[f"scope_{scope}_financed_emissions"] = financed
    metrics = pd.DataFrame(rows, columns=["scope", "metric", "unit", "coverage", "value"])
    uncovered = pd.concat(gaps, ignore_index=True)
    total = float(table["value"].sum())
    return Footprint(positions.year, positions.currency, total, metrics, uncovered, table, tuple(warnings))


def footprint_trajectory(
    holdings: TableSource,
    financials: TableSource,
    forecasts: Mapping[str, Forecast],
    *,
    year: int | None = None,
    rates: Rates | None = None,
    currency: str | None = None,
) -> FootprintTrajectory:
    """Computes the metrics of a portfolio in the years forecast, holdings and companies' financials as they were last.

    Sample s of all companies together is one future, so a portfolio's interval has the companies' correlation. The
    samples of scopes 1 and 2 are added pairwise: unless they were drawn together, their sum takes the two scopes as
    independent.

    Args:
        holdings: HOLDINGS, as of :mod:`sciml_zoo.emissions.holdings`.
        financials: FINANCIALS.
        forecasts: of the companies' emissions, by scope "1", "2", "3"; "1+2" follows where both are there.
        year: the last year whose financials are used; None: the latest of financials and origins.
        rates: of exchange, where not all amounts are in one currency.
        currency: of the report; None: that of the holdings.

    Returns:
        Mean and quantiles of every metric, by scope and year.

    Raises:
        InputError: as of :func:`footprint`; no forecast, one of no scope, or scopes 1 and 2 that differ in origin,
            years or samples.
    """
    if not forecasts:
        raise InputError(f"no forecast is given: give one for at least one of the scopes {', '.join(SCOPES)}")
    for scope in forecasts:
        if scope not in SCOPES:
            raise InputError(f"forecasts: no scope {scope!r}; {nearest(scope, SCOPES)}")
    origins = [pd.DataFrame({"company": one.companies, "year": one.origin}) for one in forecasts.values()]
    positions = match(holdings, financials, pd.concat(origins), year, rates, currency)
    by_holding = {scope: _of_holdings(one, positions.table["company"]) for scope, one in forecasts.items()}
    years = {scope: one.years for scope, one in forecasts.items()}
    if "1" in forecasts and "2" in forecasts:
        (first, in_first), (second, in_second) = by_holding["1"], by_holding["2"]
        if years["1"] != years["2"] or len(first) != len(second):
            raise InputError(
                f"scopes 1 and 2 cannot be added: {len(first)} samples of the years {years['1']}, "
                f"and {len(second)} of {years['2']}; forecast both alike"
            )
        by_holding[_COMBINED], years[_COMBINED] = (first + second, in_first & in_second), years["1"]
    rows, gaps = [], []
    for scope, (tonnes, emitting) in by_holding.items():
        for name, samples, coverage in _metrics(positions, tonnes, emitting):
            labels = {"scope": scope, "metric": name, "unit": METRICS[name].format(positions.currency)}
            rows.append(pd.DataFrame(labels | {"coverage": coverage, "year": years[scope]} | spread(samples)))
        gaps.append(positions.uncovered(scope, emitting, emitting))
    return FootprintTrajectory(
        positions.year,
        positions.currency,
        float(positions.table["value"].sum()),
        pd.concat(rows, ignore_index=True),
        pd.concat(gaps, ignore_index=True),
        positions.table,
        positions.warnings,
        (f"holdings, EVIC, equity, debt, revenue and exchange rates stay at their last values up to {positions.year}",),
    )


def _of_holdings(forecast: Forecast, companies: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Returns samples by holding, tonnes [samples, years, holdings], and where there are any, bool [holdings]."""
    index = pd.Index(forecast.companies).get_indexer(pd.Index(companies))
    return forecast.samples[:, index].swapaxes(1, 2), index >= 0


def _metrics(positions: Positions, tonnes: np.ndarray, emitting: np.ndarray) -> list[tuple[str, np.ndarray, float]]:
    """Returns name, value [...] and coverage of every metric.

    Args:
        positions: the portfolio.
        tonnes: of the companies, [..., holdings].
        emitting: where they are known, [holdings].
    """
    value, attribution, revenue = (positions.column(name) for name in ("value", "attribution", "revenue"))
    attributed = emitting & (positions.unattributed == "")
    selling = emitting & np.isfinite(revenue)
    both = attributed & selling
    financed = portfolio.financed_emissions(attribution[attributed], tonnes[..., attributed])
    financed_and_sold = financed[..., both[attributed]]
    with np.errstate(invalid="ignore"):
        total = portfolio.total_carbon_emissions(financed)
        metrics = {
            "financed_emissions": (total, attributed),
            "total_carbon_emissions": (total, attributed),
            "carbon_footprint": (portfolio.carbon_footprint(financed, value[attributed]), attributed),
            "economic_emission_intensity": (
                portfolio.economic_emission_intensity(financed, value[attributed]),
                attributed,
            ),
            "carbon_intensity": (
                portfolio.carbon_intensity(financed_and_sold, attribution[both], revenue[both]),
                both,
            ),
            "waci": (portfolio.waci(value[selling], tonnes[..., selling], revenue[selling]), selling),
        }
    # A sum over nothing is 0, but what nobody reports is not known.
    return [
        (name, np.where(covered.any(), metric, np.nan), positions.coverage(covered))
        for name, (metric, covered) in metrics.items()
    ]
