"""Observed states, one a row, for learning: votes, spikes, images; 0/1 or ±1 in text, CSV or ``.npy``.

Text, plain or gzip, holds a state a line: digits without separators (``101``), or numbers between blanks or commas
(``1 0 1``, ``-1,1,1``); a first line of names is kept as names. A file that holds a −1 is in ±1 and may hold no 0.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.datasets import referenced_file
from sciml_zoo.errors import InputError
from sciml_zoo.ising.data import read_bytes, read_text

__all__ = ["Samples", "read_samples"]


@dataclass(frozen=True)
class Samples:
    """Observed states.

    Args:
        bits: 0/1 int8 [n_samples, n]; −1 of a ±1 file is 0.
        units: what the file holds: ``"01"`` or ``"pm1"``.
        names: of the columns, where the file gives them.
        source: the file.
    """

    bits: NDArray[np.int8]
    units: Literal["01", "pm1"]
    names: tuple[str, ...] | None
    source: str

    @property
    def spins(self) -> NDArray[np.int8]:
        """The states in ±1, int8 [n_samples, n]."""
        return (2 * self.bits - 1).astype(np.int8)


def read_samples(path: str | Path) -> Samples:
    """Returns the states of a file.

    Args:
        path: the file, or ``dataset:NAME/FILE`` from the catalogue.

    Raises:
        InputError: naming the file and the line or row: no such file, damaged, rows of different lengths, or a value
            other than 0/1 or ±1.
    """
    file = referenced_file(path)
    content = read_bytes(file)
    if content.startswith(b"\x93NUMPY"):
        return _from_array(_npy(content, file), str(file), None, None)
    lines = read_text(file).splitlines()
    kept = [k for k, line in enumerate(lines) if line and not line.isspace() and not line.startswith("#")]
    if not kept:
        raise InputError(f"{file}: the file holds no states")
    rows = [lines[k].strip() for k in kept]
    if not set("".join(rows)) - set("01"):
        _require_one_length([len(row) for row in rows], kept, file)
        digits = np.frombuffer("".join(rows).encode(), dtype=np.int8).reshape(len(rows), -1) - ord("0")
        return Samples(digits.astype(np.int8), "01", None, str(file))
    table = [row.replace(",", " ").split() for row in rows]
    names = None
    if any(not _is_number(word) for word in table[0]):
        names, table, kept = tuple(word.strip('"') for word in table[0]), table[1:], kept[1:]
    if not table:
        raise InputError(f"{file}: the file holds names, but no states")
    _require_one_length([len(row) for row in table], kept, file, names)
    for line, row in zip(kept, table, strict=True):
        wrong = next((word for word in row if not _is_number(word)), None)
        if wrong is not None:
            raise InputError(f"{file}, line {line + 1}: {wrong[:60]!r} is not a number; expected 0/1 or ±1")
    return _from_array(np.array(table, dtype=np.float64), str(file), kept, names)


def _npy(content: bytes, file: Path) -> NDArray:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{file}: cannot be read as .npy ({error})") from None
    if array.ndim != 2 or array.dtype.kind not in "biuf" or array.size == 0:
        raise InputError(
            f"{file}: an array of shape {list(array.shape)}, {array.dtype}; expected numbers [n_samples, n]"
        )
    return array


def _require_one_length(lengths: list[int], kept: list[int], file: Path, names: tuple[str, ...] | None = None) -> None:
    expected = lengths[0] if names is None else len(names)
    wrong = next((k for k, length in enumerate(lengths) if length != expected), None)
    if wrong is not None:
        raise InputError(f"{file}, line {kept[wrong] + 1}: {lengths[wrong]} values, where the others have {expected}")


def _from_array(values: NDArray, source: str, kept: list[int] | None, names: tuple[str, ...] | None) -> Samples:
    is_spins = bool((values == -1).any()) if values.dtype.kind != "u" else False
    allowed = (values == 1) | (values == (-1 if is_spins else 0))
    if not allowed.all():
        row, column = (int(k) for k in np.argwhere(~allowed)[0])
        place = f"row {row}" if kept is None else f"line {kept[row] + 1}"
        units = "±1 (the file holds a −1)" if is_spins else "0/1"
        raise InputError(f"{source}, {place}: value {values[row, column]} in column {column}; expected {units}")
    return Samples((values == 1).astype(np.int8), "pm1" if is_spins else "01", names, source)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
