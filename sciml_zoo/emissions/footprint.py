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

from sciml_zoo._rows import records
from sciml_zoo.emissions import portfolio
from sciml_zoo.emissions._checked_table import TableSource
from sciml_zoo.emissions._positions import Positions, latest_of, match, other_years
from sciml_zoo.emissions.currencies import Rates
from sciml_zoo.emissions.forecast import QUANTILES, Forecast, spread
from sciml_zoo.emissions.holdings import SCOPES, read_emissions, read_holdings
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
# What is told of a holding in each coming year.
_BY_YEAR = [
    *("company", "year", "asset_class", "divided_by", "company_value", "company_value_year", "attribution"),
    *("revenue", "revenue_year"),
]


@dataclass(frozen=True)
class _Report(ABC):
    """What both reports hold.

    Attributes:
        year: the reporting year.
        currency: of all amounts of money.
        value: of the whole portfolio, covered or not.
        metrics: see the report.
        uncovered: ``scope``, ``company``, ``asset_class``, ``value``, ``share`` of the portfolio, ``reason``,
            ``affects`` (which metrics lack the holding); a row for each holding, scope and reason.
        holdings: a row for each holding: its value, the company value that it is divided by (``divided_by`` EVIC or
            equity + debt), the attribution factor, revenue, and the years of these.
        rejected: cells that count as unknown, for companies held: ``place, company, year, column, value, reason``.
        rejected_rows_not_held: rows of other companies with such cells, which are passed over.
        warnings: figures of another year than ``year``, cells that were rejected, more than a whole company attributed,
            negative equity, bonds without EVIC; each with the companies' names.
    """

    year: int
    currency: str
    value: float
    metrics: pd.DataFrame
    uncovered: pd.DataFrame
    holdings: pd.DataFrame
    rejected: pd.DataFrame
    rejected_rows_not_held: int
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
            "rejected": records(self.rejected),
            "rejected_rows_not_held": self.rejected_rows_not_held,
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
        holdings_by_year: ``year`` and, as in ``holdings``, what each holding is divided by in that coming year, its
            attribution factor and revenue.
        assumptions: which coming figures are given, for which companies, and what was held constant, since when.
    """

    holdings_by_year: pd.DataFrame
    assumptions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it for JSON, as of :class:`Footprint`; a metric has a list ``years``."""
        more = {"holdings_by_year": records(self.holdings_by_year), "assumptions": list(self.assumptions)}
        return super().as_dict() | more

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
    emissions by itself; its year is reported, and a warning says where it is not the reporting year. So it does where a
    company's financials begin later, and their first are taken. A cell that cannot be meant counts as unknown.

    Args:
        holdings: HOLDINGS, as of :mod:`sciml_zoo.emissions.holdings`.
        financials: FINANCIALS.
        emissions: EMISSIONS.
        year: the reporting year; None: the latest in which emissions of a company held are known, or, if none are, the
            latest of the financials.
        rates: of exchange, where not all amounts are in one currency.
        currency: of the report; None: that of the holdings.

    Returns:
        The footprint.

    Raises:
        InputError: a table that cannot be read, holdings in several currencies and none chosen, a rate that is missing,
            or no holding that matches a company.
    """
    held = read_holdings(holdings)
    read = read_emissions(emissions, set(held["company"]))
    emitted = read.table
    if year is None:
        year = _latest_year(emitted.dropna(subset=["emissions"]), held)
    book = match(held, financials, emitted["company"], year, rates, currency)
    positions = book.at(book.year)
    table = positions.table.copy()
    warnings = [*book.financials.warnings, *read.warnings, *positions.remarks, *positions.other_years()]
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
        attributed, selling = emitting & positions.attributed, emitting & positions.selling
        for name, value, coverage in _metrics(positions, tonnes, attributed, selling):
            rows.append((scope, name, METRICS[name].format(positions.currency), coverage, float(value)))
        covered = scored & positions.attributed
        with np.errstate(invalid="ignore"):
            score = portfolio.data_quality_score(positions.column("value")[covered], scores[scope][covered])
        rows.append((scope, "data_quality_score", "1 (best) to 5", positions.coverage(covered), float(score)))
        gaps.append(positions.uncovered(scope, emitting, scored))
        financed = portfolio.financed_emissions(positions.column("attribution"), tonnes)
        table[f"scope_{scope}_financed_emissions"] = financed
    metrics = pd.DataFrame(rows, columns=["scope", "metric", "unit", "coverage", "value"])
    return Footprint(
        book.year,
        book.currency,
        float(table["value"].sum()),
        metrics,
        pd.concat(gaps, ignore_index=True),
        table,
        pd.concat([book.financials.rejected, read.rejected], ignore_index=True),
        book.financials.passed_over + read.passed_over,
        tuple(warnings),
    )


def footprint_trajectory(
    holdings: TableSource,
    financials: TableSource,
    forecasts: Mapping[str, Forecast],
    *,
    year: int | None = None,
    rates: Rates | None = None,
    currency: str | None = None,
) -> FootprintTrajectory:
    """Computes the metrics of a portfolio in the years forecast.

    Holdings stay as they are. FINANCIALS may have rows of coming years: attribution factors and revenue are then those
    of each year, and every figure that is not given stays at the latest before it. A metric covers the same holdings in
    all years, so that its course is not that of what it covers.

    Sample s of all companies together is one future, so a portfolio's interval has the companies' correlation. The
    samples of scopes 1 and 2 are added pairwise: unless they were drawn together, their sum takes the two scopes as
    independent.

    Args:
        holdings: HOLDINGS, as of :mod:`sciml_zoo.emissions.holdings`.
        financials: FINANCIALS.
        forecasts: of the companies' emissions, by scope "1", "2", "3"; "1+2" follows where both are there.
        year: the reporting year, after which figures are coming ones; None: the latest origin of a company held, or, if
            none is forecast, the latest of the financials.
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
    held, emitting_by = read_holdings(holdings), pd.concat(origins)
    if year is None:
        year = _latest_year(emitting_by, held)
    book = match(held, financials, emitting_by["company"], year, rates, currency)
    by_holding = {scope: _of_holdings(one, held["company"]) for scope, one in forecasts.items()}
    years = {scope: one.years for scope, one in forecasts.items()}
    if "1" in forecasts and "2" in forecasts:
        (first, in_first), (second, in_second) = by_holding["1"], by_holding["2"]
        if years["1"] != years["2"] or len(first) != len(second):
            raise InputError(
                f"scopes 1 and 2 cannot be added: {len(first)} samples of the years {years['1']}, "
                f"and {len(second)} of {years['2']}; forecast both alike"
            )
        by_holding[_COMBINED], years[_COMBINED] = (first + second, in_first & in_second), years["1"]
    now = book.at(book.year)
    coming = {year: book.at(year) for year in sorted(set().union(*years.values()))}
    attributed = np.all([positions.attributed for positions in coming.values()], axis=0)
    selling = np.all([positions.selling for positions in coming.values()], axis=0)
    rows, gaps = [], []
    for scope, (tonnes, emitting) in by_holding.items():
        by_year = [
            _metrics(coming[year], tonnes[:, t], emitting & attributed, emitting & selling)
            for t, year in enumerate(years[scope])
        ]
        for entries in zip(*by_year, strict=True):
            name, _, coverage = entries[0]
            samples = np.stack([values for _, values, _ in entries], axis=1)
            labels = {"scope": scope, "metric": name, "unit": METRICS[name].format(book.currency)}
            rows.append(pd.DataFrame(labels | {"coverage": coverage, "year": years[scope]} | spread(samples)))
        gaps.append(_gaps({year: coming[year].uncovered(scope, emitting, emitting) for year in years[scope]}))
    later = [
        f"{year}: {remark}"
        for year, positions in coming.items()
        for remark in positions.remarks
        if remark not in now.remarks
    ]
    return FootprintTrajectory(
        book.year,
        book.currency,
        float(now.table["value"].sum()),
        pd.concat(rows, ignore_index=True),
        pd.concat(gaps, ignore_index=True),
        now.table,
        book.financials.rejected,
        book.financials.passed_over,
        (*book.financials.warnings, *now.remarks, *now.other_years(), *later),
        pd.concat(
            [positions.table.assign(year=year)[_BY_YEAR] for year, positions in coming.items()], ignore_index=True
        ),
        book.assumptions(max(coming)),
    )


def _latest_year(emitting: pd.DataFrame, held: pd.DataFrame) -> int | None:
    """Returns the latest year of a company held, None if there is none."""
    years = emitting.loc[emitting["company"].isin(held["company"]), "year"]
    return int(years.max()) if len(years) else None


def _gaps(by_year: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Returns the holdings that a metric lacks in some year, each reason once, with its years if these are not all."""
    rows = pd.concat([gaps.assign(year=year) for year, gaps in by_year.items()]).rename_axis("holding").reset_index()
    keys = [name for name in rows.columns if name != "year"]
    found = rows.groupby(keys, sort=False)["year"].agg(lambda years: ", ".join(map(str, years))).reset_index()
    some = rows.groupby(keys, sort=False)["year"].size().to_numpy() < len(by_year)
    found["reason"] = found["reason"].where(~some, found["reason"] + " in " + found["year"].astype(str))
    return found.sort_values("holding", kind="stable").drop(columns=["holding", "year"])


def _of_holdings(forecast: Forecast, companies: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Returns samples by holding, tonnes [samples, years, holdings], and where there are any, bool [holdings]."""
    index = pd.Index(forecast.companies).get_indexer(pd.Index(companies))
    return forecast.samples[:, index].swapaxes(1, 2), index >= 0


def _metrics(
    positions: Positions, tonnes: np.ndarray, attributed: np.ndarray, selling: np.ndarray
) -> list[tuple[str, np.ndarray, float]]:
    """Returns name, value [...] and coverage of every metric.

    Args:
        positions: the portfolio.
        tonnes: of the companies, [..., holdings].
        attributed: where these and an attribution factor are known, [holdings].
        selling: where these and revenue are known, [holdings].
    """
    value, attribution, revenue = (positions.column(name) for name in ("value", "attribution", "revenue"))
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
