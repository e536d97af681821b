"""Holdings matched with their companies: what each is divided by, its share of the company, and what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sciml_zoo.emissions import portfolio
from sciml_zoo.emissions._checked_table import TableSource, named
from sciml_zoo.emissions.currencies import Rates, convert
from sciml_zoo.emissions.holdings import ASSET_CLASSES, read_financials, read_holdings
from sciml_zoo.errors import InputError

__all__ = ["Positions", "latest_of", "match", "other_years"]

# Rounding of amounts must not look like owning more than there is.
_WHOLE = 1 + 1e-9


@dataclass(frozen=True)
class Positions:
    """A portfolio with the figures of its companies, a row for each holding, all money in one currency.

    Attributes:
        year: the reporting year.
        currency: of all amounts.
        table: ``company``, ``asset_class``, ``value``, ``share`` (of the portfolio), ``divided_by``, ``company_value``,
            ``company_value_year``, ``attribution``, ``revenue``, ``revenue_year``.
        matched: whether the company is known at all, bool [holdings].
        unattributed: why there is no attribution factor, "" where there is one, text [holdings].
        warnings: what a reader must know of the figures used.
    """

    year: int
    currency: str
    table: pd.DataFrame
    matched: NDArray[np.bool_]
    unattributed: NDArray[np.str_]
    warnings: tuple[str, ...]

    def column(self, name: str) -> NDArray[np.float64]:
        """Returns a column of numbers, float64 [holdings]."""
        return self.table[name].to_numpy(dtype=np.float64)

    def coverage(self, covered: NDArray[np.bool_]) -> float:
        """Returns the share of the portfolio's value that some holdings have."""
        return float(self.column("share")[covered].sum())

    def uncovered(self, scope: str, emitting: NDArray[np.bool_], scored: NDArray[np.bool_]) -> pd.DataFrame:
        """Returns a row for each holding and reason: ``scope, company, asset_class, value, share, reason, affects``.

        Args:
            scope: the scope.
            emitting: where its emissions are known, [holdings].
            scored: where their data quality is known, or not asked for, [holdings].
        """
        gaps: list[tuple[NDArray[np.bool_], str | NDArray[np.str_], str]] = [
            (~self.matched, "matches no company", "all metrics"),
            (self.matched & ~emitting, f"no emissions of scope {scope}", "all metrics"),
            (self.matched & (self.unattributed != ""), self.unattributed, "all metrics but waci"),
            (self.matched & np.isnan(self.column("revenue")), "no revenue above 0", "waci, carbon_intensity"),
            (emitting & ~scored, "no data quality score", "data_quality_score"),
        ]
        columns = self.table[["company", "asset_class", "value", "share"]]
        rows = [columns.assign(scope=scope, reason=reason, affects=affects)[lacks] for lacks, reason, affects in gaps]
        return pd.concat(rows)[["scope", *columns, "reason", "affects"]].sort_index(kind="stable")


def latest_of(table: pd.DataFrame, columns: Sequence[str], year: int) -> pd.DataFrame:
    """Returns each company's latest row, up to a year, in which some columns are known; index ``company``.

    Args:
        table: with columns ``company`` and ``year``.
        columns: that must be known.
        year: the last one looked at.
    """
    known = table[table["year"].le(year)].dropna(subset=list(columns)).sort_values("year")
    return known.drop_duplicates("company", keep="last").set_index("company")


def other_years(what: str, companies: pd.Series, years: pd.Series, year: int) -> list[str]:
    """Returns a warning for each year, other than the reporting year, that figures are of.

    Args:
        what: the figures.
        companies: keys, [holdings].
        years: of their figures, missing where there is none, [holdings].
        year: the reporting year.
    """
    others = sorted(set(years.dropna()) - {year})
    return [f"{what} of {other}, not {year}: {named(companies[years.eq(other).fillna(False)])}" for other in others]


def match(
    holdings: TableSource,
    financials: TableSource,
    emitting: pd.DataFrame,
    year: int | None,
    rates: Rates | None,
    currency: str | None,
) -> Positions:
    """Finds the company of each holding and what is known of it.

    Args:
        holdings: HOLDINGS.
        financials: FINANCIALS.
        emitting: ``company`` and ``year`` of all emissions known.
        year: the reporting year; None: the latest of a company held in either table.
        rates: of exchange.
        currency: of the result; None: that of the holdings.

    Returns:
        The holdings with their companies' figures.

    Raises:
        InputError: a table that cannot be read, holdings in several currencies and none chosen, a rate that is missing,
            or no holding that matches a company.
    """
    held, worth = read_holdings(holdings), read_financials(financials)
    companies = held["company"]
    worth = worth[worth["company"].isin(companies)]
    seen = pd.concat([worth[["company", "year"]], emitting[emitting["company"].isin(companies)]])
    if seen.empty:
        raise InputError(
            f"no holding matches a company: the holdings name {named(companies)}, the emissions "
            f"{named(emitting['company'])}; keys must be equal byte for byte"
        )
    year = int(seen["year"].max()) if year is None else year
    if currency is None:
        currency, *others = held["currency"].unique()
        if others:
            raise InputError(
                f"the holdings are in {', '.join([currency, *others])}: choose the report's currency (--currency) "
                "and give rates (--rates FILE)"
            )

    def figures(*columns: str) -> pd.DataFrame:
        latest = latest_of(worth, columns, year).reset_index()
        return convert(latest, columns, currency, rates).set_index("company").reindex(companies).set_index(held.index)

    evic, book, sales = figures("evic"), figures("equity", "debt"), figures("revenue")
    held = convert(held.assign(year=year), ["value"], currency, rates)
    table = pd.DataFrame(
        {
            "company": companies,
            "asset_class": held["asset_class"],
            "value": held["value"],
            "share": held["value"] / held["value"].sum(),
            "revenue": sales["revenue"].where(sales["revenue"].gt(0)),
            "revenue_year": sales["year"].where(sales["revenue"].gt(0)).astype("Int64"),
        }
    )
    attribution, unattributed, warnings = _attribute(held, evic, book)
    warnings += other_years("EVIC or equity + debt", companies, attribution["company_value_year"], year)
    warnings += other_years("revenue", companies, table["revenue_year"], year)
    matched = companies.isin(seen["company"]).to_numpy()
    return Positions(year, currency, table.join(attribution), matched, unattributed, tuple(warnings))


def _attribute(
    held: pd.DataFrame, evic: pd.DataFrame, book: pd.DataFrame
) -> tuple[pd.DataFrame, NDArray[np.str_], list[str]]:
    """Divides holdings by the value of their companies, all in one currency.

    Args:
        held: the holdings.
        evic: ``evic`` and ``year`` of each, NaN where unknown.
        book: ``equity``, ``debt`` and ``year`` of each, NaN where unknown.

    Returns:
        ``divided_by``, ``company_value``, ``company_value_year`` and ``attribution``; why there is none, text
        [holdings]; and warnings.
    """
    rule = held["asset_class"].map(ASSET_CLASSES)
    by_evic = rule.eq("evic") | (rule.eq("either") & evic["evic"].notna())
    by_book = rule.eq("book") | (rule.eq("either") & ~by_evic)
    both = portfolio.equity_and_debt(book["equity"], book["debt"])
    company_value = np.select([by_evic, by_book & (both > 0)], [evic["evic"], both], np.nan)
    attributed = np.isfinite(company_value)
    # PCAF 5.2, footnote 90: where equity is negative, no emissions are attributed to those who own it.
    worthless = held["asset_class"].eq("unlisted_equity") & book["equity"].lt(0)
    table = pd.DataFrame(
        {
            "divided_by": np.select([attributed & by_evic, attributed], ["EVIC", "equity + debt"], ""),
            "company_value": company_value,
            "company_value_year": evic["year"].where(by_evic, book["year"]).where(attributed).astype("Int64"),
            "attribution": portfolio.attribution_factor(held["value"].mask(worthless, 0.0), company_value),
        },
        index=held.index,
    )
    reasons = {
        "": attributed,
        "the asset class is not attributed by a company's value": rule.eq("none"),
        "no EVIC": rule.eq("evic"),
        "equity + debt is not above 0": np.isfinite(both),
        "no EVIC, and no equity and debt": rule.eq("either"),
    }
    unattributed = np.select(list(reasons.values()), list(reasons), "no equity and debt")
    taken = table["attribution"].groupby(held["company"]).transform("sum")
    bonds = attributed & by_book & held["asset_class"].eq("corporate_bonds")
    remarks = {
        "holdings exceed the company's value, so that more than all of it is attributed": taken > _WHOLE,
        "negative equity counts as 0: all is attributed to debt, nothing to equity": by_book & book["equity"].lt(0),
        "bonds of companies without EVIC, taken as private and divided by equity + debt": bonds,
    }
    warnings = [f"{text}: {named(held.loc[which, 'company'])}" for text, which in remarks.items() if which.any()]
    return table, unattributed, warnings
