"""The tables behind a footprint: what is held, what the companies are worth, what they emit, and what they aim at.

| table | columns |
|---|---|
| HOLDINGS | ``company,value,currency,asset_class``; a company may be held in several rows |
| FINANCIALS | ``company,year,evic,equity,debt,revenue,currency``; one row for a company and year |
| EMISSIONS | ``company,year,scope,emissions,unit,data_quality``; one row for a company, year and scope |
| TARGETS | ``company,year,emissions`` and perhaps ``scope,unit``; one row for a company, year and scope |

Each is a CSV file or a table in memory, and reading what was read changes nothing. Keys are text and stay byte for
byte. An empty cell is unknown. HOLDINGS and TARGETS are the user's own, and a bad cell fails with its file, line,
company and year. FINANCIALS and EMISSIONS come from others: a figure that cannot be meant counts as unknown and is
listed, and only what leaves a row without a meaning (its year, scope, unit, currency) fails.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sciml_zoo.emissions._checked_table import CheckedTable, TableSource
from sciml_zoo.emissions._table import numbers
from sciml_zoo.emissions.units import tonnes_per
from sciml_zoo.errors import InputError

__all__ = [
    "ASSET_CLASSES",
    "SCOPES",
    "SHORT_CLASSES",
    "CompanyFigures",
    "read_emissions",
    "read_financials",
    "read_holdings",
    "read_targets",
]

#: PCAF's asset classes, and the company value that their outstanding amount is divided by: EVIC; equity and debt
#: ("book"); EVIC where the company has one, which makes it listed, and equity and debt otherwise ("either"); or none,
#: because the amount is not attributed by a company's value.
ASSET_CLASSES = {
    "listed_equity": "evic",
    "corporate_bonds": "either",
    "business_loans": "either",
    "unlisted_equity": "book",
    "project_finance": "book",
    "commercial_real_estate": "none",
    "mortgages": "none",
    "motor_vehicle_loans": "none",
    "sovereign_debt": "none",
    "other": "none",
}

#: Other words for asset classes, by what they stand for.
SHORT_CLASSES = {"listed": "listed_equity", "private": "business_loans"}

#: Scopes of the GHG Protocol.
SCOPES = ("1", "2", "3")

# Rejected cells that a warning describes before it counts the others.
_SHOWN = 5


@dataclass(frozen=True)
class CompanyFigures:
    """What a table says of companies, and what in it could not be taken.

    Attributes:
        name: of the table, its file where it has one.
        table: a row for each row taken; figures that are unknown, or were rejected, are NaN.
        rejected: cells of companies held that count as unknown: ``place, company, year, column, value, reason``.
        passed_over: the number of rows of other companies that are left out because something in them is wrong.
    """

    name: str
    table: pd.DataFrame
    rejected: pd.DataFrame
    passed_over: int

    @property
    def warnings(self) -> list[str]:
        """What a reader must know of it."""
        cells = [
            f"{row.place}, company {row.company!r}, year {row.year}: {row.column} {row.value!r} {row.reason}"
            for row in self.rejected[:_SHOWN].itertuples()
        ]
        further = f"; and {len(self.rejected) - _SHOWN} more" if len(self.rejected) > _SHOWN else ""
        others = f"{self.name}: {self.passed_over} rows of companies not held have values that cannot be taken"
        held = f"{len(self.rejected)} values of companies held not taken: {'; '.join(cells)}{further}"
        return [held] * bool(cells) + [others] * bool(self.passed_over)


def read_holdings(source: TableSource) -> pd.DataFrame:
    """Reads a portfolio.

    Args:
        source: HOLDINGS, a CSV file or a table in memory. The value is the amount outstanding: market value of listed
            equity, book value of debt, the share of the balance sheet's equity for unlisted equity. The asset class
            is one of :data:`ASSET_CLASSES` or :data:`SHORT_CLASSES`.

    Returns:
        ``company`` (text), ``value`` (float64, in whole units of the currency), ``currency``, ``asset_class`` (one of
        :data:`ASSET_CLASSES`); a row for each row read.

    Raises:
        InputError: naming the file and line: a value that is missing, not a number or negative (PCAF has no rule for
            short positions), not a currency, no or an unknown asset class; or nothing is held.
    """
    table = CheckedTable.read(source, "holdings", ["company", "value", "currency", "asset_class"])
    values = table.numbers("value")
    table.refuse(values.isna(), "value", "says nothing of the amount held")
    table.refuse(values < 0, "value", "is a short position, which no metric here is defined for: leave the row out")
    if not values.sum() > 0:
        raise InputError(f"{table.places[0]}: all holdings are worth 0: there is no portfolio to report on")
    classes = table.choices("asset_class", [*ASSET_CLASSES, *SHORT_CLASSES]).replace(SHORT_CLASSES)
    return table.text.assign(value=values, currency=table.currencies(), asset_class=classes)


def read_financials(source: TableSource, held: Collection[str] | None = None) -> CompanyFigures:
    """Reads what companies are worth and sell.

    EVIC that is not above 0, negative debt, negative revenue and what is no number count as unknown.

    Args:
        source: FINANCIALS, a CSV file or a table in memory.
        held: the companies that matter: rows of others cannot fail; None: all.

    Returns:
        ``company`` (text), ``year`` (int64), ``evic`` (enterprise value including cash), ``equity``, ``debt`` (total,
        of the balance sheet), ``revenue`` (float64, in whole units of the currency, NaN where unknown), ``currency``;
        and what was rejected.

    Raises:
        InputError: naming the file and line of a company that matters: not a year, not a currency, or a company's year
            given twice with different figures.
    """
    columns = ["company", "year", "evic", "equity", "debt", "revenue", "currency"]
    table = CheckedTable.read(source, "financials", columns, held=held)
    figures = {
        "evic": table.figures("evic", lambda value: value <= 0, "is not above 0"),
        "equity": table.figures("equity"),
        "debt": table.figures("debt", lambda value: value < 0, "is below 0"),
        "revenue": table.figures("revenue", lambda value: value < 0, "is below 0"),
    }
    financials = table.text.assign(year=table.years(), currency=table.currencies(), **figures)
    table.refuse_repeated(financials[["company", "year"]], financials[[*figures, "currency"]])
    return _taken(table, financials)


def read_emissions(source: TableSource, held: Collection[str] | None = None) -> CompanyFigures:
    """Reads what companies emit, in tonnes.

    Emissions below 0, a score that is none, and what is no number count as unknown.

    Args:
        source: EMISSIONS, a CSV file or a table in memory; each row has its own unit.
        held: the companies that matter: rows of others cannot fail; None: all.

    Returns:
        ``company`` (text), ``year`` (int64), ``scope`` (one of :data:`SCOPES`), ``emissions`` (tonnes of CO2
        equivalent, float64, NaN where unknown), ``unit`` (``"t"``), ``data_quality`` (PCAF's score from 1, best, to 5,
        NaN where unknown); and what was rejected.

    Raises:
        InputError: naming the file and line of a company that matters: not a year or a scope, an unknown unit, or a
            company's year and scope given twice with different figures.
    """
    columns = ["company", "year", "scope", "emissions", "unit", "data_quality"]
    table = CheckedTable.read(source, "emissions", columns, held=held)
    amounts = table.figures("emissions", lambda value: value < 0, "is below 0; removals are reported apart")
    scores = table.figures("data_quality", lambda value: ~value.isin(range(1, 6)), "is not one of PCAF's scores 1 to 5")
    emissions = table.text.assign(
        year=table.years(),
        scope=table.choices("scope", SCOPES),
        emissions=amounts * _tonnes_per(table),
        unit="t",
        data_quality=scores,
    )
    table.refuse_repeated(emissions[["company", "year", "scope"]], emissions[["emissions", "data_quality"]])
    return _taken(table, emissions)


def read_targets(source: TableSource) -> pd.DataFrame:
    """Reads what companies aim at, in tonnes.

    Args:
        source: TARGETS, a CSV file or a table in memory; tonnes where it has no column ``unit``.

    Returns:
        ``company`` (text), ``year`` (int64), ``emissions`` (tonnes of CO2 equivalent, float64), ``scope`` (one of
        :data:`SCOPES`, or "" where the table has no column ``scope``).

    Raises:
        InputError: naming the file and line: not a year or a scope, emissions that are not a number above 0, an unknown
            unit, or a company's year and scope given twice.
    """
    table = CheckedTable.read(source, "targets", ["company", "year", "emissions"], ["scope", "unit"])
    amounts = table.numbers("emissions")
    remaining = "is not above 0; give the tonnes that remain (for net zero, those before removals)"
    table.refuse(~(amounts > 0), "emissions", remaining)
    tonnes = amounts * (_tonnes_per(table) if table.text["unit"].ne("").any() else 1.0)
    scopes = table.choices("scope", SCOPES) if table.text["scope"].ne("").any() else table.text["scope"]
    targets = pd.DataFrame(
        {"company": table.text["company"], "year": table.years(), "emissions": tonnes, "scope": scopes}
    )
    table.refuse_repeated(targets[["company", "year", "scope"]])
    return targets


def _tonnes_per(table: CheckedTable) -> pd.Series:
    """Returns how many tonnes one of each row's unit is, NaN in rows that are passed over."""
    tonnes = {}
    for unit in table.text["unit"].unique():
        try:
            tonnes[unit] = tonnes_per(unit)
        except InputError as error:
            table.refuse(table.text["unit"].eq(unit), "unit", f"cannot be converted to tonnes: {error}")
    return table.text["unit"].map(tonnes).astype(np.float64)


def _taken(table: CheckedTable, rows: pd.DataFrame) -> CompanyFigures:
    """Returns the rows that can be used, and what was wrong with a table of years."""
    rejected = table.rejected.assign(year=lambda cells: numbers(cells["year"]).astype(np.int64))
    return CompanyFigures(table.name, rows[table.kept].reset_index(drop=True), rejected, table.passed_over)
