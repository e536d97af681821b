"""Economic drivers by year: what happened, and what is assumed to happen."""

from dataclasses import dataclass
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
    """Yearly series that many companies share, such as world GDP or the price of carbon.

    Attributes:
        values: float64, levels in their own units, not negative, NaN where unknown; index consecutive years (int),
            columns names.
        known_future: names of those whose future is known (a legislated cap): :meth:`until` keeps their later years.
    """

    values: pd.DataFrame
    known_future: frozenset[str] = frozenset()

    def until(self, year: int) -> "Drivers":
        """Returns what was known at the end of a year."""
        values = self.values.copy()
        hidden = [name for name in values.columns if name not in self.known_future]
        values.loc[values.index > year, hidden] = float("nan")
        last = max([year, *values.index[values.notna().any(axis=1)]])
        return Drivers(values[values.index <= last], self.known_future)

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
            other: a scenario, of all drivers or some; it counts as known, so that :meth:`until` keeps its years.

        Raises:
            InputError: a driver that is not among these.
        """
        for name in other.values.columns:
            if name not in self.values.columns:
                raise InputError(f"scenario: no driver {name!r}; {nearest(name, self.values.columns)}")
        begin = int(other.values.index[0])
        last = max(int(self.values.index[-1]), int(other.values.index[-1]))
        values = self.values.reindex(_years(min(begin, int(self.values.index[0])), last))
        values.loc[values.index >= begin, other.values.columns] = other.values.reindex(
            values.index[values.index >= begin]
        )
        return Drivers(values, self.known_future | set(other.values.columns))


def read_drivers(path: str | Path) -> Drivers:
    """Reads drivers from CSV: ``year`` and a column for each driver; an empty cell is unknown.

    Args:
        path: the file, plain or gzip.

    Returns:
        The drivers, none of whose futures is known; years that the file leaves out are there, unknown.

    Raises:
        InputError: naming the file and the line: no ``year`` or no driver, a year given twice, not a year, not a
            number, negative.
    """
    frame = read_table(path)
    require(frame, ["year"], path)
    names = [name for name in frame.columns if name != "year"]
    if not names or frame.empty:
        raise InputError(f"{path}: no driver; give the columns year, DRIVER, … and a row for each year")
    columns = {name: numbers(frame[name]) for name in frame.columns}
    years = columns["year"]
    for row, line in enumerate(frame.index):
        if not is_year(years[row]):
            raise InputError(f"{path}, line {line}: {frame['year'].iloc[row]!r} is not a year")
        for name in names:
            text, level = frame[name].iloc[row], columns[name][row]
            if not (0 <= level < np.inf) and text not in NOT_REPORTED:
                raise InputError(f"{path}, line {line}: {name}: {text!r} is not a number from 0 on")
    twice = pd.Series(years).duplicated().to_numpy()
    if twice.any():
        raise InputError(f"{path}, line {frame.index[twice][0]}: the year {int(years[twice][0])} stands there twice")
    values = pd.DataFrame({name: columns[name] for name in names}, index=years.astype(int))
    return Drivers(values.reindex(_years(int(years.min()), int(years.max()))))


def _years(first: int, last: int) -> pd.Index:
    return pd.Index(range(first, last + 1), name="year")
