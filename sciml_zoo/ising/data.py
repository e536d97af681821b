"""Readers of the field's files, plain or gzip (told by their first bytes): instances with their own sign convention.

| format | content | problem |
|---|---|---|
| ``gset``, ``maxcut`` | ``N E``, then E lines ``i j w``, 1-based; without w, w = 1 | maximise the cut |
| ``qubo`` | ``N E``, then E lines ``i j q`` with i ≤ j, 1-based | minimise x'Qx, off-diagonal entries counted twice |
| ``biqmac`` | either of the two | see below |
| ``ea`` | blocks of ``# id gs_energy e`` (per spin), then ``i j J``, 0-based | minimise −Σ J_ij s_i s_j |
| ``chimera`` | ``#``, then ``i j J``, 1-based; ``i i h`` is a field | minimise +Σ J_ij s_i s_j + Σ h_i s_i |

Without a format, the content decides: ``# … gs_energy …`` is ``ea``; another ``#`` line followed by three numbers is
``chimera``; all else is decided as in ``biqmac``. There a file is a QUBO where its name holds ``.sparse``, or where no
entry lies below the diagonal and two or more variables, and at least one in twenty, have one on it; max-cut otherwise.
So a few self-loops in a max-cut file stay an error. An entry given twice is summed. Further words after ``N E`` (G1 has
one), empty lines and lines that start with ``#`` are passed over.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sciml_zoo.datasets import referenced_file
from sciml_zoo.errors import InputError, nearest
from sciml_zoo.ising.conversions import from_qubo
from sciml_zoo.ising.hamiltonian import IsingModel

__all__ = ["FORMATS", "Instance", "read_bytes", "read_instances", "read_text"]

#: Names that ``read_instances`` takes as a format.
FORMATS = ("gset", "maxcut", "biqmac", "qubo", "ea", "chimera")

_EA_HEADER = re.compile(r"#\s*(?P<id>\S+)\s+gs_energy\s+(?P<energy>\S+)\s*")
# Published QUBO files of 10 % density have at least 6 % of their diagonal.
_LEAST_DIAGONAL = 0.05
# A header that asks for more is damaged: the lanes of a solver alone would take gigabytes.
_MOST_SPINS = 10_000_000


@dataclass(frozen=True)
class Instance:
    """One problem of a file.

    Args:
        name: the file's name without ``.txt`` and ``.gz``; in an ``ea`` file, the id of the block.
        model: the Ising model.
        kind: what the file's authors count: ``"cut"`` (maximised), ``"qubo"`` or ``"energy"`` (minimised).
        source: the file.
        best_known: the best objective, where the file states it.
    """

    name: str
    model: IsingModel
    kind: Literal["cut", "qubo", "energy"]
    source: str
    best_known: float | None = None

    def objective(self, energy: float) -> float:
        """Returns the file's own figure for an energy of ``model``: the cut −E, or x'Qx = E, or E.

        Args:
            energy: E of a state.
        """
        return -energy if self.kind == "cut" else energy


@dataclass(frozen=True)
class _Lines:
    """A text and the lines that count; says where something is wrong.

    Args:
        source: name of the file.
        all: every line.
        kept: indices of the lines that are neither empty nor comments.
    """

    source: str
    all: list[str]
    kept: list[int]

    def fail(self, line: int, problem: str) -> NoReturn:
        """Raises an error that names a line, given by its index."""
        shown = self.all[line].strip()
        text = shown if len(shown) <= 60 else f"{shown[:60]}…"
        raise InputError(f"{self.source}, line {line + 1}: {text!r}: {problem}")


def read_instances(path: str | Path, format: str | None = None) -> list[Instance]:
    """Returns the problems of a file: several for ``ea``, one for all other formats.

    Args:
        path: the file, or ``dataset:NAME/FILE`` from the catalogue, such as ``"dataset:gset/G1.txt"``.
        format: one of ``FORMATS``; None: told by the content, as the head of this module says.

    Raises:
        InputError: naming the file and the line (of the uncompressed text): no such file, not text, truncated, a
            header that promises another number of entries, an index out of range, a self-loop, not a finite number.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"format: no format {format!r}; {nearest(format, FORMATS)}")
    file = referenced_file(path)
    text = read_text(file)
    every = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = [k for k, line in enumerate(every) if line and not line.isspace() and not line.lstrip().startswith("#")]
    lines = _Lines(str(file), every, kept)
    if not kept:
        raise InputError(f"{file}: the file holds no problem, only empty lines or comments")
    chosen = format or _guess(lines)
    if chosen == "ea":
        return _read_ea(lines)
    name = file.name.removesuffix(".gz").removesuffix(".txt")
    if chosen == "chimera":
        return [_read_chimera(lines, name)]
    return [_read_counted(lines, name, chosen)]


def read_bytes(path: Path) -> bytes:
    """Returns the content of a file, which may be gzip under any name.

    Args:
        path: the file.

    Raises:
        InputError: no such file, empty, or truncated or damaged gzip.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy or download the file again") from None
    if not content:
        raise InputError(f"{path}: the file is empty")
    return content


def read_text(path: Path) -> str:
    """Returns the text of a file, which may be gzip under any name.

    Args:
        path: the file.

    Raises:
        InputError: as of ``read_bytes``, or not text.
    """
    content = read_bytes(path)
    if b"\0" in content:
        raise InputError(f"{path}, line {content[: content.index(0)].count(10) + 1}: a binary file, not text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: not text (byte {error.start}); give a text file or its gzip") from None


def _guess(lines: _Lines) -> str:
    first = next(line for line in lines.all if line.strip()).strip()
    if _EA_HEADER.fullmatch(first):
        return "ea"
    if first.startswith("#"):
        words = lines.all[lines.kept[0]].split()
        return "chimera" if len(words) == 3 and all(map(_is_number, words)) else "biqmac"
    return "biqmac"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _table(lines: _Lines, kept: Sequence[int], base: int, n: int | None) -> tuple[NDArray, NDArray, NDArray]:
    """Returns the columns i, j (0-based) and value of lines ``i j value`` or ``i j``, all checked.

    Args:
        lines: the text.
        kept: indices of the lines to parse.
        base: the file's first index, 0 or 1.
        n: number of spins; None: not known.
    """
    if not kept:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    try:
        table = np.loadtxt([lines.all[k] for k in kept], comments=None, ndmin=2)
    except ValueError:
        _explain(lines, kept)
        raise
    if table.shape[1] not in (2, 3):
        lines.fail(kept[0], "expected `i j value`")
    values = table[:, 2] if table.shape[1] == 3 else np.ones(len(table))
    index = table[:, :2]
    for wrong, problem in (
        (~(np.isfinite(index) & (index == np.floor(index))).all(axis=1), "an index is not a whole number"),
        (~np.isfinite(values), "the value is not a finite number"),
        ((index < base).any(axis=1), f"an index is below {base}: the file counts from {base}"),
        ((index >= base + (n or _MOST_SPINS)).any(axis=1), f"an index is above {base - 1 + (n or _MOST_SPINS)}"),
    ):
        if wrong.any():
            lines.fail(kept[int(np.flatnonzero(wrong)[0])], problem)
    i, j = (index[:, side].astype(np.int64) - base for side in (0, 1))
    return i, j, values


def _explain(lines: _Lines, kept: Sequence[int]) -> None:
    """Raises the error of the first line that is not like the others."""
    expected = len(lines.all[kept[0]].split())
    for k in kept:
        words = lines.all[k].split()
        bad = next((word for word in words if not _is_number(word)), None)
        if bad is not None:
            lines.fail(k, f"{bad!r} is not a number; expected `i j value`")
        if len(words) != expected or expected not in (2, 3):
            lines.fail(k, f"{len(words)} numbers; expected `i j value`, or `i j` in all lines")


def _refuse_self_loops(lines: _Lines, kept: Sequence[int], i: NDArray, j: NDArray, remedy: str) -> None:
    loops = np.flatnonzero(i == j)
    if len(loops):
        lines.fail(kept[int(loops[0])], f"a self-loop; {remedy}")


def _read_counted(lines: _Lines, name: str, chosen: str) -> Instance:
    """Returns the problem of ``N E`` and E entries: max-cut or QUBO."""
    n, promised = _header(lines)
    kept = lines.kept[1:]
    i, j, values = _table(lines, kept, 1, n)
    if len(values) != promised:
        fault = "the file is truncated, or the header wrong" if len(values) < promised else "the header is wrong"
        lines.fail(
            lines.kept[0],
            f"the header promises {promised} entries, but {len(values)} follow "
            f"(the last in line {lines.kept[-1] + 1}): {fault}",
        )
    diagonal = i == j
    is_qubo = chosen == "qubo"
    if chosen == "biqmac":
        is_qubo = ".sparse" in name or _has_a_diagonal(i, j, n)
    if not is_qubo:
        _refuse_self_loops(lines, kept, i, j, "remove it, or give the format 'qubo' if this is a quadratic program")
        couplings = IsingModel.from_coo(i, j, -0.5 * values, n).couplings
        return Instance(name, IsingModel(couplings, offset=-0.5 * float(values.sum())), "cut", lines.source)
    below = np.flatnonzero(i > j)
    if len(below):
        lines.fail(kept[int(below[0])], "below the diagonal; write i ≤ j: off-diagonal entries are counted twice")
    matrix = sparse.coo_array((np.where(diagonal, values, 2 * values), (i, j)), shape=(n, n))
    return Instance(name, from_qubo(matrix), "qubo", lines.source)


def _has_a_diagonal(i: NDArray, j: NDArray, n: int) -> bool:
    """Returns whether diagonal entries are too many to be slips in a max-cut file."""
    count = len(np.unique(i[i == j]))
    return count > 1 and count >= _LEAST_DIAGONAL * n and not bool(np.any(i > j))


def _header(lines: _Lines) -> tuple[int, int]:
    line = lines.kept[0]
    words = lines.all[line].split()
    if len(words) < 2 or any(map(_is_number, words[2:])):
        lines.fail(line, "expected the header `N E`, the numbers of spins and of entries")
    try:
        n, promised = int(words[0]), int(words[1])
    except ValueError:
        lines.fail(line, "expected the header `N E`, two whole numbers")
    if not 1 <= n <= _MOST_SPINS or promised < 0:
        lines.fail(line, f"the header `N E` needs 1 ≤ N ≤ {_MOST_SPINS} and E ≥ 0")
    return n, promised


def _read_ea(lines: _Lines) -> list[Instance]:
    headers = [k for k, line in enumerate(lines.all) if line.lstrip().startswith("#")]
    matches = [_EA_HEADER.fullmatch(lines.all[k].strip()) for k in headers]
    if not headers or lines.kept[0] < headers[0]:
        lines.fail(lines.kept[0], "expected `# id gs_energy e` before the first coupling")
    i, j, values = _table(lines, lines.kept, 0, None)
    _refuse_self_loops(lines, lines.kept, i, j, "a coupling needs two spins")
    bounds = [*np.searchsorted(lines.kept, headers), len(lines.kept)]
    instances = []
    for line, match, start, stop in zip(headers, matches, bounds[:-1], bounds[1:], strict=True):
        if match is None or not _is_number(match["energy"]) or not np.isfinite(float(match["energy"])):
            lines.fail(line, "expected `# id gs_energy e` with a finite number e, the energy per spin")
        if start == stop:
            lines.fail(line, "no coupling follows")
        block = slice(int(start), int(stop))
        model = IsingModel.from_coo(i[block], j[block], values[block])
        best = float(match["energy"]) * model.n
        instances.append(Instance(match["id"], model, "energy", lines.source, best_known=best))
    return instances


def _read_chimera(lines: _Lines, name: str) -> Instance:
    i, j, values = _table(lines, lines.kept, 1, None)
    if len(lines.all[lines.kept[0]].split()) != 3:
        lines.fail(lines.kept[0], "expected `i j J`, or `i i h` for a field")
    n = int(max(i.max(), j.max())) + 1
    diagonal = i == j
    fields = -np.bincount(i[diagonal], values[diagonal], minlength=n)
    model = IsingModel.from_coo(i[~diagonal], j[~diagonal], -values[~diagonal], n, fields=fields)
    return Instance(name, model, "energy", lines.source)
