"""A table as the user wrote it: text, checked cell by cell, and every complaint says where.

What is wrong is refused (the reading ends), or rejected (the cell counts as unknown, and is listed). A table may hold
more companies than are needed, such as a vendor's: whatever is wrong with their rows, they are passed over and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sciml_zoo.emissions._table import numbers, read_table, require, texts
from sciml_zoo.errors import InputError, nearest

__all__ = ["CheckedTable", "TableSource", "named"]

#: A CSV file, or a table already in memory.
TableSource = str | Path | pd.DataFrame

# Names that a message lists before it counts the others.
_SHOWN = 5
_CURRENCY = re.compile("[A-Z]{3}")
# Two figures are the same if they differ by rounding, such as 2.3 kt and 2300 t.
_SAME = 1e-9


@dataclass(frozen=True)
class CheckedTable:
    """Cells as text, "" where empty, and where each row stands.

    Attributes:
        name: of the table, its file where it has one.
        text: the columns asked for; text.
        places: of the rows, such as ``"holdings.csv, line 3"``, [rows].
        needed: which rows must be sound, bool [rows].
    """

    name: str
    text: pd.DataFrame
    places: Sequence[str]
    needed: NDArray[np.bool_]
    _dropped: NDArray[np.bool_]
    _rejected: list[tuple[int, str, str]] = field(default_factory=list)

    @classmethod
    def read(
        cls,
        source: TableSource,
        name: str,
        required: Sequence[str],
        optional: Sequence[str] = (),
        held: Collection[str] | None = None,
    ) -> CheckedTable:
        """Reads a table; further columns are passed over.

        Args:
            source: a CSV file with a header, or a table whose keys are text.
            name: what the table is called where it has no file.
            required: columns that must be there.
            optional: columns that are empty where they are not.
            held: the companies whose rows are needed; None: all rows are.

        Returns:
            The table.

        Raises:
            InputError: no such file, not CSV, a missing column, no rows, a company that is empty or, in memory, not
                text.
        """
        if isinstance(source, pd.DataFrame):
            frame, place = source, f"{name}, row"
        else:
            frame, name, place = read_table(source), str(source), f"{source}, line"
        require(frame, required, name)
        if frame.empty:
            raise InputError(f"{name}: the table has no rows")
        columns = [column for column in [*required, *optional] if column in frame]
        text = pd.DataFrame({column: texts(frame[column]) for column in columns}).reset_index(drop=True)
        text = text.reindex(columns=[*required, *optional], fill_value="")
        everything = np.ones(len(text), dtype=bool)
        table = cls(name, text, [f"{place} {row}" for row in frame.index], everything, ~everything)
        if "company" in required:
            other = np.array([not isinstance(key, str) for key in frame["company"]])
            table.refuse(other, "company", "is not text: read keys with dtype=str, so that they stay as written")
            if held is not None:
                table = replace(table, needed=text["company"].isin(list(held)).to_numpy())
            table.refuse(text["company"].eq(""), "company", "names no company")
        return table

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which rows can be used, bool [rows]."""
        return ~self._dropped

    @property
    def passed_over(self) -> int:
        """The number of rows that are not needed, and in which something is wrong."""
        return int((self._dropped & ~self.needed).sum())

    @property
    def rejected(self) -> pd.DataFrame:
        """The cells that count as unknown: ``place, company, year, column, value, reason``, in order of the rows."""
        found = [
            (self.places[row], *self.text[["company", "year", column]].iloc[row], reason)
            for row, column, reason in sorted(self._rejected)
        ]
        columns = [column for _, column, _ in sorted(self._rejected)]
        table = pd.DataFrame(found, columns=["place", "company", "year", "value", "reason"])
        table.insert(3, "column", pd.Series(columns, dtype=object))
        return table

    def fail(self, row: int, problem: str) -> NoReturn:
        """Raises an error about a row, given by its position."""
        keys = self.text.filter(["company", "year"]).iloc[row]
        context = [self.places[row], *(f"{column} {key!r}" for column, key in keys.items() if key)]
        raise InputError(f"{', '.join(context)}: {problem}")

    def refuse(self, wrong: pd.Series | np.ndarray, column: str, problem: str) -> None:
        """Fails at the first needed row that is wrong, and passes over the others that are.

        Args:
            wrong: bool, [rows].
            column: whose cell is shown.
            problem: what is wrong with it, and what would be right.
        """
        rows = self._needed_rows(wrong)
        if len(rows):
            further = f" (and {len(rows) - 1} more such rows)" if len(rows) > 1 else ""
            self.fail(int(rows[0]), f"{column} {self.text[column].iloc[rows[0]]!r} {problem}{further}")

    def reject(self, wrong: pd.Series | np.ndarray, column: str, reason: str) -> None:
        """Lists the cells of needed rows that are wrong, and passes over the other rows in which they are.

        Args:
            wrong: bool, [rows].
            column: of the cells.
            reason: what is wrong with them.
        """
        self._rejected.extend((int(row), column, reason) for row in self._needed_rows(wrong))

    def _needed_rows(self, wrong: pd.Series | np.ndarray) -> NDArray[np.intp]:
        marked = np.asarray(wrong, dtype=bool)
        self._dropped[marked & ~self.needed] = True
        return np.flatnonzero(marked & self.needed)

    def figures(
        self, column: str, wrong: Callable[[pd.Series], pd.Series] | None = None, reason: str = ""
    ) -> pd.Series:
        """Returns a column as float64, NaN where the cell is empty or rejected: not a number, infinite, or wrong.

        Args:
            column: its name.
            wrong: tells which numbers cannot be meant; None: all can.
            reason: what is wrong with these.
        """
        text = self.text[column]
        values = pd.Series(numbers(text), text.index)
        finite = np.isfinite(values.to_numpy())
        self.reject(text.ne("") & ~finite, column, "is not a number")
        if wrong is not None:
            impossible = finite & wrong(values).to_numpy()
            self.reject(impossible, column, reason)
            finite &= ~impossible
        return values.where(finite)

    def numbers(self, column: str) -> pd.Series:
        """Returns a column as float64, NaN where the cell is empty.

        Args:
            column: its name.

        Raises:
            InputError: text, or an infinite number.
        """
        text = self.text[column]
        values = pd.Series(numbers(text), text.index)
        wrong = text.ne("") & ~np.isfinite(values)
        self.refuse(wrong, column, "is not a number; write it without separators of thousands, such as 10000000")
        return values

    def years(self) -> pd.Series:
        """Returns the column ``year`` as int64.

        Raises:
            InputError: a year that is empty or not a whole number.
        """
        years = self.numbers("year")
        sound = years.isin(range(1, 10_000))
        self.refuse(~sound, "year", "is not a year")
        return years.where(sound, 0).astype(np.int64)

    def currencies(self) -> pd.Series:
        """Returns the column ``currency``.

        Raises:
            InputError: not a code of three capital letters.
        """
        codes = self.text["currency"]
        wrong = [_CURRENCY.fullmatch(code) is None for code in codes]
        self.refuse(np.array(wrong), "currency", "is not an ISO 4217 code such as EUR")
        return codes

    def choices(self, column: str, valid: Collection[str]) -> pd.Series:
        """Returns a column of names.

        Args:
            column: the column.
            valid: the names allowed.

        Raises:
            InputError: another name, or none.
        """
        names = self.text[column]
        unknown = ~names.isin(list(valid))
        if unknown.any():
            name = names[unknown].iloc[0]
            self.refuse(unknown, column, f"is not known; {nearest(name, valid) if name else 'use ' + ', '.join(valid)}")
        return names

    def refuse_repeated(self, keys: pd.DataFrame, figures: pd.DataFrame | None = None) -> None:
        """Fails at the first row whose keys were there before.

        Args:
            keys: columns that together name a row.
            figures: what rows say; one that says the same again is rejected instead. None: no row may come again.

        Raises:
            InputError: naming both rows.
        """
        again = keys.duplicated().to_numpy()
        if not again.any():
            return
        rows = pd.Series(np.arange(len(keys)), keys.index)
        first = rows.groupby([keys[column] for column in keys.columns], sort=False).transform("first").to_numpy()
        same = np.zeros(len(keys), dtype=bool) if figures is None else _same(figures, figures.iloc[first])
        names = ", ".join(keys.columns)
        for row in self._needed_rows(again & ~same)[:1]:
            self.fail(int(row), f"the same {names} as {self.places[first[row]]}; keep one of the two")
        for row in self._needed_rows(again & same):
            reason = f"has the same {names}, and figures, as {self.places[first[row]]}"
            self._rejected.append((int(row), keys.columns[-1], reason))
            self._dropped[row] = True


def _same(some: pd.DataFrame, others: pd.DataFrame) -> NDArray[np.bool_]:
    """Returns which rows of two tables are equal but for rounding, unknown to unknown, bool [rows]."""
    columns = [
        np.isclose(some[name].to_numpy(), others[name].to_numpy(), rtol=_SAME, atol=0.0, equal_nan=True)
        if pd.api.types.is_numeric_dtype(some[name])
        else some[name].to_numpy() == others[name].to_numpy()
        for name in some.columns
    ]
    return np.all(columns, axis=0)


def named(keys: pd.Series) -> str:
    """Returns keys for a message, each once, the first few by name."""
    unique = list(map(repr, keys.unique()))
    further = f" and {len(unique) - _SHOWN} more" if len(unique) > _SHOWN else ""
    return ", ".join(unique[:_SHOWN]) + further
