"""A table as the user wrote it: text, checked cell by cell, and every complaint says where."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from sciml_zoo.emissions._table import numbers, read_table, require, texts
from sciml_zoo.errors import InputError, nearest

__all__ = ["CheckedTable", "TableSource", "named"]

#: A CSV file, or a table already in memory.
TableSource = str | Path | pd.DataFrame

# Names that a message lists before it counts the others.
_SHOWN = 5
_CURRENCY = re.compile("[A-Z]{3}")


@dataclass(frozen=True)
class CheckedTable:
    """Cells as text, "" where empty, and where each row stands.

    Attributes:
        text: the columns asked for; text.
        places: of the rows, such as ``"holdings.csv, line 3"``, [rows].
    """

    text: pd.DataFrame
    places: Sequence[str]

    @classmethod
    def read(
        cls, source: TableSource, name: str, required: Sequence[str], optional: Sequence[str] = ()
    ) -> CheckedTable:
        """Reads a table; further columns are passed over.

        Args:
            source: a CSV file with a header, or a table whose keys are text.
            name: what the table is called where it has no file.
            required: columns that must be there.
            optional: columns that are empty where they are not.

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
        table = cls(text, [f"{place} {row}" for row in frame.index])
        if "company" in required:
            other = np.array([not isinstance(key, str) for key in frame["company"]])
            table.refuse(other, "company", "is not text: read keys with dtype=str, so that they stay as written")
            table.refuse(table.text["company"].eq(""), "company", "names no company")
        return table

    def fail(self, row: int, problem: str) -> NoReturn:
        """Raises an error about a row, given by its position."""
        keys = self.text.filter(["company", "year"]).iloc[row]
        context = [self.places[row], *(f"{column} {key!r}" for column, key in keys.items() if key)]
        raise InputError(f"{', '.join(context)}: {problem}")

    def refuse(self, wrong: pd.Series | np.ndarray, column: str, problem: str) -> None:
        """Fails at the first row that is wrong.

        Args:
            wrong: bool, [rows].
            column: whose cell is shown.
            problem: what is wrong with it, and what would be right.
        """
        rows = np.flatnonzero(np.asarray(wrong))
        if len(rows):
            further = f" (and {len(rows) - 1} more such rows)" if len(rows) > 1 else ""
            self.fail(int(rows[0]), f"{column} {self.text[column].iloc[rows[0]]!r} {problem}{further}")

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
        self.refuse(wrong, column, "is not a number; leave the cell empty if it is unknown")
        return values

    def years(self) -> pd.Series:
        """Returns the column ``year`` as int64.

        Raises:
            InputError: a year that is empty or not a whole number.
        """
        years = self.numbers("year")
        self.refuse(~years.isin(range(1, 10_000)), "year", "is not a year")
        return years.astype(np.int64)

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

    def refuse_repeated(self, keys: pd.DataFrame) -> None:
        """Fails at the first row whose keys were there before.

        Args:
            keys: columns that together name a row.

        Raises:
            InputError: naming both rows.
        """
        rows = np.flatnonzero(keys.duplicated())
        if len(rows):
            first = int(np.flatnonzero(keys.eq(keys.iloc[rows[0]]).all(axis=1))[0])
            self.fail(int(rows[0]), f"the same {', '.join(keys.columns)} as {self.places[first]}; keep one of the two")


def named(keys: pd.Series) -> str:
    """Returns keys for a message, each once, the first few by name."""
    unique = list(map(repr, keys.unique()))
    further = f" and {len(unique) - _SHOWN} more" if len(unique) > _SHOWN else ""
    return ", ".join(unique[:_SHOWN]) + further
