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
from sciml_zoo.emissions.holdings import ASSET_CLASSES, CompanyFigures, read_financials
from sciml_zoo.errors import InputError

__all__ = ["Book", "Positions", "latest_of", "match", "other_years"]

# Rounding of amounts must not look like owning more than there is.
_WHOLE = 1 + 1e-9
_FIGURES = {"evic": "EVIC", "equity": "equity", "debt": "debt", "revenue": "revenue"}


@dataclass(frozen=True)
class Positions:
    """A portfolio with the figures of its companies in a year, a row for each holding, all money in one currency.

    Attributes:
        year: of the figures.
        currency: of all amounts.
        table: ``company``, ``asset_class``, ``value``, ``share`` (of the portfolio), ``divided_by``, ``company_value``,
            ``company_value_year``, ``attribution``, ``revenue``, ``revenue_year``.
        matched: whether the company is known at all, bool [holdings].
        unattributed: why there is no attribution factor, "" where there is one, text [holdings].
        remarks: what a reader must know of the attribution factors.
    """

    year: int
    currency: str
    table: pd.DataFrame
    matched: NDArray[np.bool_]
    unattributed: NDArray[np.str_]
    remarks: tuple[str, ...]

    def column(self, name: str) -> NDArray[np.float64]:
        """Returns a column of numbers, float64 [holdings]."""
        return self.table[name].to_numpy(dtype=np.float64)

    @property
    def attributed(self) -> NDArray[np.bool_]:
        """Which holdings have an attribution factor, bool [holdings]."""
        return np.asarray(self.unattributed == "")

    @property
    def selling(self) -> NDArray[np.bool_]:
        """Which holdings' companies have revenue, bool [holdings]."""
        return np.isfinite(self.column("revenue"))

    def coverage(self, covered: NDArray[np.bool_]) -> float:
        """Returns the share of the portfolio's value that some holdings have."""
        return float(self.column("share")[covered].sum())

    def other_years(self) -> list[str]:
        """Returns a warning for each other year that figures are of."""
        return [
            *other_years("EVIC or equity + debt", self.table["company"], self.table["company_value_year"], self.year),
            *other_years("revenue", self.table["company"], self.table["revenue_year"], self.year),
        ]

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
            (self.matched & ~self.attributed, self.unattributed, "all metrics but waci"),
            (self.matched & ~self.selling, "no revenue above 0", "waci, carbon_intensity"),
            (emitting & ~scored, "no data quality score", "data_quality_score"),
        ]
        columns = self.table[["company", "asset_class", "value", "share"]]
        rows = [columns.assign(scope=scope, reason=reason, affects=affects)[lacks] for lacks, reason, affects in gaps]
        return pd.concat(rows)[["scope", *columns, "reason", "affects"]].sort_index(kind="stable")


@dataclass(frozen=True)
class Book:
    """Holdings, and what is known of their companies in any year.

    Attributes:
        year: the reporting year.
        currency: of the report.
        held: the holdings, their values in that currency.
        worth: FINANCIALS of the companies held, in their own currencies.
        rates: of exchange, of every year that figures are of.
        matched: whether the company is known at all, bool [holdings].
        financials: what could not be taken of FINANCIALS.
    """

    year: int
    currency: str
    held: pd.DataFrame
    worth: pd.DataFrame
    rates: Rates | None
    matched: NDArray[np.bool_]
    financials: CompanyFigures

    def at(self, year: int) -> Positions:
        """Returns the holdings with their companies' figures of a year, each by itself.

        A figure is that of the year, or else of the latest year before it; where there is none, of the first year after
        it. Equity and debt are those of one balance sheet; but a coming year has its own of both, as far as given.

        Args:
            year: the year; if it is after the reporting year, it is one to come.

        Raises:
            InputError: a rate of exchange that is missing.
        """
        companies = self.held["company"]
        evic, sales = self._figures(year, "evic"), self._figures(year, "revenue")
        book = self._figures(year, "equity", "debt")
        if year > self.year:
            equity, debt = self._figures(year, "equity"), self._figures(year, "debt")
            apart = equity.assign(debt=debt["debt"], year=np.maximum(equity["year"], debt["year"]))
            book = book.mask(apart["year"].gt(self.year), apart[book.columns])
        table = pd.DataFrame(
            {
                "company": companies,
                "asset_class": self.held["asset_class"],
                "value": self.held["value"],
                "share": self.held["value"] / self.held["value"].sum(),
                "revenue": sales["revenue"].where(sales["revenue"].gt(0)),
                "revenue_year": sales["year"].where(sales["revenue"].gt(0)).astype("Int64"),
            }
        )
        attribution, unattributed, remarks = _attribute(self.held, evic, book, year)
        return Positions(year, self.currency, table.join(attribution), self.matched, unattributed, tuple(remarks))

    def _figures(self, year: int, *columns: str) -> pd.DataFrame:
        """Returns columns and ``year`` of each holding's company, NaN where unknown."""
        known = self.worth.dropna(subset=list(columns))
        order = known.assign(later=known["year"].gt(year), distance=(known["year"] - year).abs())
        nearest = order.sort_values(["later", "distance"]).drop_duplicates("company")
        found = convert(nearest, columns, self.currency, self.rates).set_index("company")
        return found[["year", *columns]].reindex(self.held["company"]).set_index(self.held.index)

    def assumptions(self, last: int) -> tuple[str, ...]:
        """Returns what is given of the years from the reporting year to another, and what stays as it was.

        Args:
            last: the last coming year.
        """
        still, given = ["holdings"], []
        coming = self.worth[self.worth["year"].gt(self.year) & self.worth["year"].le(last)]
        for column, name in _FIGURES.items():
            ends = coming.dropna(subset=[column]).groupby("company", sort=False)["year"].max()
            if ends.empty:
                still.append(name)
                continue
            others = self.worth.dropna(subset=[column])["company"].nunique() - len(ends)
            rest = f"; of the others ({others}) it stays at its last value" if others else ""
            given.append(f"{name} is given {_up_to(ends)}{rest}")
        foreign = sorted(set(coming["currency"]) - {self.currency})
        if foreign:
            given.append(
                f"coming figures in {', '.join(foreign)} are exchanged at the rate of their year, "
                "or else at the latest given before it"
            )
        else:
            still.append("exchange rates")
        words = " and ".join([", ".join(still[:-1])] * (len(still) > 1) + still[-1:])
        return (f"{words} stay at their last values up to {self.year}", *given)


def _up_to(ends: pd.Series) -> str:
    """Returns up to which years something is given, and for whom; index companies."""
    parts = []
    for year, rows in ends.groupby(ends):
        companies = rows.index.to_series()
        word = "company" if len(companies) == 1 else "companies"
        parts.append(f"up to {year} for {len(companies)} {word} ({named(companies)})")
    return " and ".join(parts)


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
    held: pd.DataFrame,
    financials: TableSource,
    emitting: pd.Series,
    year: int | None,
    rates: Rates | None,
    currency: str | None,
) -> Book:
    """Finds the company of each holding and what is known of it.

    Args:
        held: the holdings, as read.
        financials: FINANCIALS.
        emitting: companies that emissions say something of.
        year: the reporting year, such as the latest of these emissions; None: the latest of the financials.
        rates: of exchange.
        currency: of the result; None: that of the holdings.

    Returns:
        The holdings with their companies.

    Raises:
        InputError: a table that cannot be read, holdings in several currencies and none chosen, a rate that is missing,
            no holding that matches a company, or no year with figures.
    """
    companies = held["company"]
    read = read_financials(financials, set(companies))
    worth = read.table[read.table["company"].isin(companies)]
    matched = companies.isin(worth["company"]) | companies.isin(emitting)
    if not matched.any():
        raise InputError(
            f"no holding matches a company: the holdings name {named(companies)}, the emissions "
            f"{named(emitting)}; keys must be equal byte for byte"
        )
    if year is None:
        if worth.empty:
            raise InputError(f"neither emissions nor financials are known of {named(companies)}: nothing to report on")
        year = int(worth["year"].max())
    if currency is None:
        currency, *others = held["currency"].unique()
        if others:
            raise InputError(
                f"the holdings are in {', '.join([currency, *others])}: choose the report's currency (--currency) "
                "and give rates (--rates FILE)"
            )
    if rates is not None and len(worth):
        rates = rates.continued(year, int(worth["year"].max()))
    held = convert(held.assign(year=year), ["value"], currency, rates)
    return Book(year, currency, held, worth, rates, matched.to_numpy(), read)


def _attribute(
    held: pd.DataFrame, evic: pd.DataFrame, book: pd.DataFrame, year: int
) -> tuple[pd.DataFrame, NDArray[np.str_], list[str]]:
    """Divides holdings by the value of their companies, all in one currency.

    Args:
        held: the holdings.
        evic: ``evic`` and ``year`` of each, NaN where unknown.
        book: ``equity``, ``debt`` and ``year`` of each, NaN where unknown.
        year: the year in question: EVIC of a later one does not make a company listed that has a balance sheet by then.

    Returns:
        ``divided_by``, ``company_value``, ``company_value_year`` and ``attribution``; why there is none, text
        [holdings]; and warnings.
    """
    rule = held["asset_class"].map(ASSET_CLASSES)
    listed = evic["evic"].notna() & ~(evic["year"].gt(year) & book["year"].le(year))
    by_evic = rule.eq("evic") | (rule.eq("either") & listed)
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
