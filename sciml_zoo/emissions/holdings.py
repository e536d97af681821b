"""The three tables behind a footprint: what is held, what the companies are worth, and what they emit.

| table | columns |
|---|---|
| HOLDINGS | ``company,value,currency,asset_class``; a company may be held in several rows |
| FINANCIALS | ``company,year,evic,equity,debt,revenue,currency``; one row for a company and year |
| EMISSIONS | ``company,year,scope,emissions,unit,data_quality``; one row for a company, year and scope |

Each is a CSV file or a table in memory, and reading what was read changes nothing. Keys are text and stay byte for
byte. An empty cell is unknown; a cell that cannot be meant fails with its file, line, company and year.
"""

import numpy as np
import pandas as pd

from sciml_zoo.emissions._checked_table import CheckedTable, TableSource
from sciml_zoo.emissions.units import tonnes_per
from sciml_zoo.errors import InputError

__all__ = ["ASSET_CLASSES", "SCOPES", "read_emissions", "read_financials", "read_holdings"]

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

#: Scopes of the GHG Protocol.
SCOPES = ("1", "2", "3")


def read_holdings(source: TableSource) -> pd.DataFrame:
    """Reads a portfolio.

    Args:
        source: HOLDINGS, a CSV file or a table in memory. The value is the amount outstanding: market value of listed
            equity, book value of debt, the share of the balance sheet's equity for unlisted equity.

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
    return table.text.assign(
        value=values, currency=table.currencies(), asset_class=table.choices("asset_class", ASSET_CLASSES)
    )


def read_financials(source: TableSource) -> pd.DataFrame:
    """Reads what companies are worth and sell.

    Args:
        source: FINANCIALS, a CSV file or a table in memory.

    Returns:
        ``company`` (text), ``year`` (int64), ``evic`` (enterprise value including cash), ``equity``, ``debt`` (total,
        of the balance sheet), ``revenue`` (float64, in whole units of the currency, NaN where unknown), ``currency``.

    Raises:
        InputError: naming the file and line: not a year, not a number, EVIC that is not above 0, negative debt, not a
            currency, or a company's year given twice.
    """
    amounts = ["evic", "equity", "debt", "revenue"]
    table = CheckedTable.read(source, "financials", ["company", "year", *amounts, "currency"])
    numbers = {column: table.numbers(column) for column in amounts}
    table.refuse(numbers["evic"] <= 0, "evic", "is not above 0; leave the cell empty if it is unknown")
    table.refuse(numbers["debt"] < 0, "debt", "is below 0")
    financials = table.text.assign(year=table.years(), currency=table.currencies(), **numbers)
    table.refuse_repeated(financials[["company", "year"]])
    return financials


def read_emissions(source: TableSource) -> pd.DataFrame:
    """Reads what companies emit, in tonnes.

    Args:
        source: EMISSIONS, a CSV file or a table in memory; each row has its own unit.

    Returns:
        ``company`` (text), ``year`` (int64), ``scope`` (one of :data:`SCOPES`), ``emissions`` (tonnes of CO2
        equivalent, float64, NaN where unknown), ``unit`` (``"t"``), ``data_quality`` (PCAF's score from 1, best, to 5,
        NaN where unknown).

    Raises:
        InputError: naming the file and line: not a year or a scope, not a number, below 0, an unknown unit, a score
            that is none, or a company's year and scope given twice.
    """
    columns = ["company", "year", "scope", "emissions", "unit", "data_quality"]
    table = CheckedTable.read(source, "emissions", columns)
    amounts, scores = table.numbers("emissions"), table.numbers("data_quality")
    table.refuse(amounts < 0, "emissions", "is below 0; removals are reported apart")
    table.refuse(scores.notna() & ~scores.isin(range(1, 6)), "data_quality", "is not one of PCAF's scores 1 to 5")
    tonnes = {}
    for unit in table.text["unit"].unique():
        try:
            tonnes[unit] = tonnes_per(unit)
        except InputError as error:
            table.refuse(table.text["unit"].eq(unit), "unit", f"cannot be converted to tonnes: {error}")
    emissions = table.text.assign(
        year=table.years(),
        scope=table.choices("scope", SCOPES),
        emissions=amounts * table.text["unit"].map(tonnes).astype(np.float64),
        unit="t",
        data_quality=scores,
    )
    table.refuse_repeated(emissions[["company", "year", "scope"]])
    return emissions
