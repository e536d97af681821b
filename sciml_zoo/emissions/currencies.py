"""Money: a currency is an ISO 4217 code, and none becomes another but at a rate that the user gave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sciml_zoo.emissions._checked_table import CheckedTable, TableSource, named
from sciml_zoo.errors import InputError

__all__ = ["Rates", "convert", "read_rates"]


@dataclass(frozen=True)
class Rates:
    """Rates of exchange against one currency.

    Attributes:
        base: the currency that the rates count in.
        per_unit: by (currency, year), how many units of ``base`` one unit is worth; year None: in any year.
    """

    base: str
    per_unit: Mapping[tuple[str, int | None], float]

    def of(self, currency: str, year: int) -> float:
        """Returns the units of ``base`` that one unit is worth, NaN if no rate says so.

        Args:
            currency: its code.
            year: the year.
        """
        if currency == self.base:
            return 1.0
        return self.per_unit.get((currency, year), self.per_unit.get((currency, None), float("nan")))

    def continued(self, after: int, last: int) -> "Rates":
        """Returns these rates with every year after some year: its own rate, or the latest before it.

        Args:
            after: the year up to which nothing is added.
            last: the last year wanted.
        """
        rates = dict(self.per_unit)
        known = sorted((year, code) for code, year in self.per_unit if year is not None)
        for year in range(after + 1, last + 1):
            rates |= {(code, year): self.per_unit[code, then] for then, code in known if then <= year}
        return Rates(self.base, rates)


def read_rates(source: TableSource, base: str) -> Rates:
    """Reads rates of exchange.

    Args:
        source: a CSV file, or a table in memory, with ``currency,rate`` and perhaps ``year``; rate: units of ``base``
            per one unit of the currency; without a column ``year`` they hold for all years.
        base: the currency that the rates count in, such as ``"EUR"``.

    Returns:
        The rates.

    Raises:
        InputError: naming the file and line: not a currency, no positive number, not a year, a currency's year given
            twice, or a rate of the base other than 1.
    """
    table = CheckedTable.read(source, "rates", ["currency", "rate"], ["year"])
    currencies, rates = table.currencies(), table.numbers("rate")
    table.refuse(~(rates > 0), "rate", "is not a positive number")
    table.refuse(currencies.eq(base) & rates.ne(1), "rate", f"is of {base}, which the rates count in: it must be 1")
    dated = table.text["year"].ne("").any()
    years = table.years() if dated else table.text["year"]
    table.refuse_repeated(pd.DataFrame({"currency": currencies, "year": years}))
    keys = [(code, int(year) if dated else None) for code, year in zip(currencies, years, strict=True)]
    return Rates(base, dict(zip(keys, rates.tolist(), strict=True)))


def convert(table: pd.DataFrame, columns: Sequence[str], to: str, rates: Rates | None) -> pd.DataFrame:
    """Converts amounts of money: amount × rate(its currency, its year) / rate(``to``, its year).

    Args:
        table: with columns ``company``, ``year`` and ``currency`` beside the amounts.
        columns: the amounts.
        to: the currency wanted; amounts in it stay, and need no rate.
        rates: those known; None: none.

    Returns:
        The table with its amounts, and its column ``currency``, in ``to``.

    Raises:
        InputError: a rate that is missing, naming the currency, the year and the companies concerned.
    """
    pairs = table.loc[table["currency"].ne(to), ["currency", "year"]].drop_duplicates()
    known = {
        (code, year): rates.of(code, year) / rates.of(to, year) if rates else float("nan")
        for code, year in pairs.itertuples(index=False)
    }
    factor = np.array(
        [1.0 if code == to else known[code, year] for code, year in zip(table["currency"], table["year"], strict=True)]
    )
    if np.isnan(factor).any():
        lacking = table[np.isnan(factor)]
        code, year = lacking["currency"].iloc[0], lacking["year"].iloc[0]
        concerned = named(lacking.loc[lacking["currency"].eq(code) & lacking["year"].eq(year), "company"])
        raise InputError(
            f"no rate from {code} to {to} in {year}, needed for {concerned}: give one "
            "(--rates FILE, a CSV of currency,rate)"
        )
    return table.assign(currency=to, **{column: table[column] * factor for column in columns})
