"""Economic drivers, by year or by company and year: what happened, and what is assumed to happen."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from sciml_zoo.emissions._table import is_year, numbers, read_table, require
from sciml_zoo.emissions.units import NOT_REPORTED
from sciml_zoo.errors import InputError, nearest

__all__ = ["LOWEST_LEVEL", "Drivers", "read_drivers"]

#: Where :meth:`Drivers.growth` takes a level for no lower, in the driver's own unit.
LOWEST_LEVEL = 1.0


@dataclass(frozen=True)
class Drivers:
    """Yearly series that many companies share, such as world GDP or the price of carbon, and companies' own.

    Attributes:
        values: float64, levels in their own units, not negative, NaN where unknown; index consecutive years (int),
            columns names.
        known_future: names of those whose future is known (a legislated cap): :meth:`until` keeps their later years.
        by_company: by name, those that each company has of its own (its output, its free allowances): likewise, index
            companies, columns consecutive years.
    """

    values: pd.DataFrame
    known_future: frozenset[str] = frozenset()
    by_company: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All names: those of shared drivers, then those of companies' own."""
        return [*self.values.columns, *self.by_company]

    def select(self, names: Collection[str]) -> "Drivers":
        """Returns some of the drivers.

        Args:
            names: of those wanted.
        """
        shared = [name for name in self.values.columns if name in names]
        own = {name: levels for name, levels in self.by_company.items() if name in names}
        return Drivers(self.values[shared], self.known_future & set(names), own)

    def given(self, years: Iterable[int]) -> list[str]:
        """Returns the names of those of which a level is known in some of the years.

        Args:
            years: to look at.
        """
        levels = {**{name: self.values[[name]].T for name in self.values.columns}, **self.by_company}
        wanted = set(years)
        return [
            name
            for name, table in levels.items()
            if table[[year for year in table.columns if year in wanted]].notna().any(axis=None)
        ]

    def until(self, year: int) -> "Drivers":
        """Returns what was known at the end of a year."""
        values = self.values.copy()
        hidden = [name for name in values.columns if name not in self.known_future]
        values.loc[values.index > year, hidden] = float("nan")
        last = max([year, *values.index[values.notna().any(axis=1)]])
        own = {
            name: levels if name in self.known_future else levels.loc[:, (levels.columns.to_numpy() <= year).tolist()]
            for name, levels in self.by_company.items()
        }
        return Drivers(values[values.index <= last], self.known_future, own)

    def growth(self) -> pd.DataFrame:
        """Returns yearly log changes, log(v_t / v_{t−1}), float64 [years, drivers], NaN in the first year.

        A level below :data:`LOWEST_LEVEL` counts as that: a price may fall to nothing (EU allowances, 2007) and rise
        again, and both changes must stay finite. So a driver belongs in a unit in which it is usually well above 1.
        """
        logarithms = np.log(self.values.clip(lower=LOWEST_LEVEL).to_numpy(np.float64))
        return pd.DataFrame(logarithms, self.values.index, self.values.columns).diff()

    def replaced(self, other: "Drivers") -> "Drivers":
        """Returns these drivers with another future: from the first year of ``other`` on, its drivers are as it says.

        Args:
            other: a scenario, of all drivers or some; it counts as known, so that :meth:`until` keeps its years. A
                company's own drivers are taken from it whole.

        Raises:
            InputError: a driver that is not among these.
        """
        for name in other.values.columns:
            if name not in self.values.columns:
                raise InputError(f"scenario: no driver {name!r}; {nearest(name, self.values.columns)}")
        if not len(other.values.columns):
            return Drivers(self.values, self.known_future | set(other.names), {**self.by_company, **other.by_company})
        begin = int(other.values.index[0])
        last = max(int(self.values.index[-1]), int(other.values.index[-1]))
        values = self.values.reindex(_years(min(begin, int(self.values.index[0])), last))
        values.loc[values.index >= begin, other.values.columns] = other.values.reindex(
            values.index[values.index >= begin]
        )
        own = {**self.by_company, **other.by_company}
        return Drivers(values, self.known_future | set(other.names), own)


def read_drivers(path: str | Path) -> Drivers:
    """Reads drivers from CSV: ``year`` and a column for each driver; an empty cell is unknown.

    Args:
        path: the file, plain or gzip; with a column ``company``, the drivers are the companies' own.

    Returns:
        The drivers, none of whose futures is known; years that the file leaves out are there, unknown.

    Raises:
        InputError: naming the file and the line: no ``year`` or no driver, a year given twice (to one company), not a
            year, not a number, negative, no company.
    """
    frame = read_table(path)
    require(frame, ["year"], path)
    keys = ["company", "year"] if "company" in frame else ["year"]
    names = [name for name in frame.columns if name not in keys]
    if not names or frame.empty:
        raise InputError(f"{path}: no driver; give the columns {', '.join(keys)}, DRIVER, … and a row for each year")
    columns = {name: numbers(frame[name]) for name in ["year", *names]}
    years = columns["year"]
    for row, line in enumerate(frame.index):
        if not is_year(years[row]):
            raise InputError(f"{path}, line {line}: {frame['year'].iloc[row]!r} is not a year")
        if "company" in frame and not frame["company"].iloc[row].strip():
            raise InputError(f"{path}, line {line}: names no company")
        for name in names:
            text, level = frame[name].iloc[row], columns[name][row]
            if not (0 <= level < np.inf) and text not in NOT_REPORTED:
                raise InputError(f"{path}, line {line}: {name}: {text!r} is not a number from 0 on")
    twice = frame.assign(year=years).duplicated(keys).to_numpy()
    if twice.any():
        whose = f" of {frame['company'][twice].iloc[0]!r}" if "company" in frame else ""
        raise InputError(
            f"{path}, line {frame.index[twice][0]}: the year {int(years[twice][0])}{whose} stands there twice"
        )
    span = _years(int(years.min()), int(years.max()))
    values = pd.DataFrame({name: columns[name] for name in names}, index=years.astype(int))
    if "company" not in frame:
        return Drivers(values.reindex(span))
    wide = values.set_index(frame["company"].to_numpy(), append=True)
    own = {name: wide[name].unstack(0).reindex(columns=span).rename_axis(index="company") for name in names}
    return Drivers(pd.DataFrame(index=span), by_company=own)


def _years(first: int, last: int) -> pd.Index:
    return pd.Index(range(first, last + 1), name="year")
