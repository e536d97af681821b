"""Tables read as text, without guessing, so that keys such as ``NA`` and ``0012`` survive; and columns parsed."""

import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from sciml_zoo.errors import InputError

__all__ = [
    "FIRST_YEAR",
    "LAST_YEAR",
    "csv_text",
    "is_year",
    "likely_meant",
    "numbers",
    "read_table",
    "require",
    "texts",
]

#: Other years are typing errors.
FIRST_YEAR, LAST_YEAR = 1700, 2200


def read_table(path: str | Path) -> pd.DataFrame:
    """Reads a CSV file, every cell as text; lines that hold nothing are passed over.

    Args:
        path: UTF-8, plain or gzip (told by its first bytes), with a header.

    Returns:
        The rows; the index, ``line``, is where in the file each begins.

    Raises:
        InputError: naming the file and the line: no such file, damaged, not UTF-8, empty, a column named twice, a row
            with another number of cells than the header.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason}); convert it, such as with iconv") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    lines, rows = [], []
    begin = 1
    try:
        for row in reader:
            if any(row):
                lines.append(begin)
                rows.append(row)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {begin}: {error}") from None
    if not rows:
        raise InputError(f"{path}: the file is empty")
    header = rows.pop(0)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"{path}, line {lines[0]}: the columns {', '.join(map(repr, twice))} stand there twice")
    for line, row in zip(lines[1:], rows, strict=True):
        if len(row) != len(header):
            raise InputError(f"{path}, line {line}: {len(row)} cells, where the header has {len(header)}")
    return pd.DataFrame(rows, columns=header, index=pd.Index(lines[1:], name="line", dtype="int64"), dtype="str")


def require(frame: pd.DataFrame, columns: Iterable[str], place: str | Path) -> None:
    """Raises an error if a table lacks columns.

    Args:
        frame: the table.
        columns: names.
        place: the table's name, for the message.

    Raises:
        InputError: naming the missing columns and those that are there.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns[:12]))
        hint = likely_meant(frame.columns, missing)
        if len(frame.columns) == 1 and (";" in found or "\t" in found):
            hint = "; separate the columns by commas"
        raise InputError(f"{place}: no column {', '.join(map(repr, missing))}; the columns are: {found}{hint}")


def likely_meant(columns: Iterable[object], names: Iterable[str]) -> str:
    """Returns words on which columns were probably meant by names that are not among them, "" where none was.

    Args:
        columns: of a table.
        names: of columns that it lacks.
    """
    there = {str(column).strip().casefold(): str(column) for column in columns}
    found = {name: difflib.get_close_matches(name, there, n=1, cutoff=0.8) for name in names}
    return "".join(f"; rename {there[close[0]]!r} to {name!r}" for name, close in found.items() if close)


def csv_text(table: pd.DataFrame) -> str:
    """Returns a table as CSV from which :func:`read_table` reads every text byte for byte.

    Args:
        table: its rows; the index is left out.
    """
    # A carriage return inside a cell would end the row where cells are quoted only for the sake of line feeds.
    words = table.select_dtypes(exclude="number")
    returns = any(words[name].astype(str).str.contains("\r", regex=False).any() for name in words)
    return table.to_csv(
        index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    )


def texts(column: pd.Series) -> pd.Series:
    """Returns a column as text, "" where something is missing; text stays as it is, byte for byte."""
    return pd.Series(
        ["" if gone else str(value) for value, gone in zip(column, column.isna(), strict=True)], column.index
    )


def numbers(column: pd.Series) -> np.ndarray:
    """Returns a column as float64, each text read exactly; NaN where it is none."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.array([_number(value) for value in column], dtype=np.float64)


def is_year(values: np.ndarray) -> np.ndarray:
    """Returns which numbers are whole years from :data:`FIRST_YEAR` to :data:`LAST_YEAR`."""
    return (values >= FIRST_YEAR) & (values <= LAST_YEAR) & (values % 1 == 0)


def _number(value: object) -> float:
    try:
        # Python reads "1_000"; a file in which it stands means something else.
        return float("nan") if "_" in str(value) else float(str(value))
    except ValueError:
        return float("nan")
