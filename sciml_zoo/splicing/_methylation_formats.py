"""Files of methylation per cytosine: what their columns mean, read at once, and searched line by line for an error.

| format | columns |
|---|---|
| bedMethyl | chrom, start (0-based), end, name or code, score, strand, 3 of drawing, coverage, percent, … |
| Bismark coverage | chrom, position (1-based), the same again, percent, methylated, unmethylated |
| Bismark cytosine report | chrom, position (1-based), strand, methylated, unmethylated, context, trinucleotide |
| ours (``.cx.tsv``) | header ``chrom pos1 strand context trinuc meth_reads total_reads`` |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._opening import open_binary, open_text

__all__ = ["MethylationTable", "read_table"]

_HEADER = ["chrom", "pos1", "strand", "context", "trinuc", "meth_reads", "total_reads"]
_STRANDS = "+-."
_TYPES = {
    "chrom": "str",
    "strand": "str",
    "code": "str",
    "start": "int64",
    "end": "int64",
    "meth": "int64",
    "unmeth": "int64",
    "total": "int64",
    "percent": "float64",
}
# What stands in place of a percentage where there are no reads.
_NO_PERCENT = frozenset({"NaN", "nan", "."})
# Codes of modified bases in SAM, and numbers in ChEBI: 5mC, any modified cytosine, and the others.
_5MC = ("m", "27551")
_ANY_CYTOSINE = "C"
_OTHER_CODES = frozenset({*"hfcgebaonTUAGN", "76792", "76794", "76793", "17596", "21839"})


@dataclass(frozen=True)
class _Layout:
    """Which column holds what.

    Args:
        name: of the format.
        skipped: lines before the first row.
        separator: between columns, as pandas takes it.
        columns: their number.
        roles: what a column holds, for those that are read: ``chrom``, ``start``, ``end``, ``strand``, ``percent``,
            ``meth``, ``unmeth``, ``total``, ``code``.
        first: the number of a sequence's first base: 0 or 1.
    """

    name: str
    skipped: int
    separator: str
    columns: int
    roles: dict[str, int]
    first: int


@dataclass(frozen=True)
class MethylationTable:
    """The rows of a file, in its order.

    Args:
        chromosomes: names.
        chromosome: index into ``chromosomes``, [n].
        strand: 0 for ``+``, 1 for ``-``, 2 for unknown, [n].
        position: 0-based, [n].
        fraction: of methylated reads, NaN where there is none, float32 [n].
        depth: reads, [n].
    """

    chromosomes: tuple[str, ...]
    chromosome: NDArray[np.int64]
    strand: NDArray[np.int64]
    position: NDArray[np.int64]
    fraction: NDArray[np.float32]
    depth: NDArray[np.int64]


def read_table(path: str | Path) -> MethylationTable:
    """Reads the rows of a file, whose format is told by its first line.

    Args:
        path: the file, plain or gzip.

    Returns:
        The rows; of a bedMethyl file with several modifications those of 5mC.

    Raises:
        InputError: naming the file and the line: none of the formats, a wrong number of columns, not a number,
            negative, more than 100 %, more methylated reads than reads, a strand that is none.
    """
    layout = _layout(path)
    names = [f"column {k}" for k in range(layout.columns)]
    for role, column in layout.roles.items():
        names[column] = role
    try:
        with open_binary(path) as stream:
            frame = pd.read_csv(
                stream,
                sep=layout.separator,
                header=None,
                names=names,
                # With usecols, pandas would pass over what a row has in excess.
                dtype={name: _TYPES.get(name, "str") for name in names},
                skiprows=layout.skipped,
                na_values={"percent": sorted(_NO_PERCENT)} if "percent" in layout.roles else None,
                keep_default_na=False,
                encoding="utf-8-sig",
            )
    except (ValueError, OverflowError) as error:  # pandas does not say in which line
        _explain(path, layout, str(error))
    # Only now: pandas reads the categories "1" and "01" as one number.
    frame = frame[list(layout.roles)].astype({role: "category" for role in layout.roles if _TYPES[role] == "str"})
    if frame.empty:
        raise InputError(f"{path}: no row follows the header")
    if not _is_sound(frame, layout):
        _explain(path, layout, "unsound values")
    if "code" in frame:
        frame = frame[_are_5mc(path, frame["code"])]
    return _table(frame, layout)


def _layout(path: str | Path) -> _Layout:
    with open_text(path) as lines:
        skipped = 0
        for line in lines:
            if line.strip() and not line.startswith(("#", "track", "browser")):
                break
            skipped += 1
        else:
            raise InputError(f"{path}: no row, only comments")
    # Older modkit writes the last columns with spaces between them.
    separator = r"\s+" if " " in line else "\t"
    words = line.split() if " " in line else line.rstrip("\n").split("\t")
    if words == _HEADER:
        roles = {"chrom": 0, "start": 1, "strand": 2, "meth": 5, "total": 6}
        return _Layout("cx.tsv", skipped + 1, separator, 7, roles, first=1)
    if len(words) >= 11 and words[5] in _STRANDS:
        roles = {"chrom": 0, "start": 1, "end": 2, "code": 3, "strand": 5, "total": 9, "percent": 10}
        return _Layout("bedMethyl", skipped, separator, len(words), roles, first=0)
    if len(words) == 7 and words[2] in ("+", "-"):
        roles = {"chrom": 0, "start": 1, "strand": 2, "meth": 3, "unmeth": 4}
        return _Layout("Bismark cytosine report", skipped, separator, 7, roles, first=1)
    if len(words) == 6 and words[5].isdigit():
        roles = {"chrom": 0, "start": 1, "end": 2, "percent": 3, "meth": 4, "unmeth": 5}
        return _Layout("Bismark coverage", skipped, separator, 6, roles, first=1)
    raise InputError(
        f"{path}, line {skipped + 1}: {' '.join(words)[:60]!r} is a row of none of the formats: bedMethyl (at least 11 "
        f"columns), Bismark coverage (6), Bismark cytosine report (7), or the header {' '.join(_HEADER)!r}"
    )


def _reads(frame: pd.DataFrame) -> NDArray[np.int64]:
    counts = frame["total"] if "total" in frame else frame["meth"] + frame["unmeth"]
    return counts.to_numpy()


def _is_sound(frame: pd.DataFrame, layout: _Layout) -> bool:
    """Returns whether all values are possible, each column at once."""
    counts = [frame[role] for role in ("meth", "unmeth", "total") if role in frame]
    sound = bool((frame["start"] >= layout.first).all()) and bool((frame["chrom"] != "").all())
    sound = sound and not frame["chrom"].isna().any() and all(bool((count >= 0).all()) for count in counts)
    if sound and "strand" in frame:
        sound = set(frame["strand"].cat.categories) <= set(_STRANDS) and not frame["strand"].isna().any()
    if sound and "end" in frame:
        sound = bool((frame["end"] == frame["start"] + 1 - layout.first).all())
    if sound and "percent" in frame:
        known = frame["percent"].between(0, 100)
        sound = bool((known | (frame["percent"].isna() & (_reads(frame) == 0))).all())
    if sound and layout.name == "cx.tsv":
        sound = bool((frame["meth"] <= frame["total"]).all())
    return sound


def _explain(path: str | Path, layout: _Layout, reason: str) -> NoReturn:
    """Raises the error of the first line that is wrong, which only a search line by line can name."""
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if number <= layout.skipped or not line.strip():
                continue
            words = line.split() if layout.separator != "\t" else line.rstrip("\n").split("\t")
            problem = _problem(words, layout)
            if problem:
                raise InputError(f"{path}, line {number}: {problem} ({layout.name})")
    raise InputError(f"{path}: cannot be read as {layout.name} ({reason})")


def _problem(words: list[str], layout: _Layout) -> str | None:
    """Returns what is wrong with a row, or None."""
    if len(words) != layout.columns:
        return f"{len(words)} columns, where the first row has {layout.columns}"
    values: dict[str, float] = {}
    for role, column in layout.roles.items():
        word = words[column]
        if role == "strand" and word not in _STRANDS:
            return f"unknown strand {word!r}; write '+' or '-'"
        if role == "chrom" and not word:
            return "no chromosome in the first column"
        if _TYPES[role] == "str":
            continue
        try:
            values[role] = float("nan" if word in _NO_PERCENT else word) if role == "percent" else int(word)
        except ValueError:
            return f"{role} {word!r} is not a {'number' if role == 'percent' else 'whole number'}"
        least = layout.first if role == "start" else 0
        if values[role] < least:
            return f"{role} {word} is below {least}"
    end = values.get("end", values["start"] + 1 - layout.first)
    if end != values["start"] + 1 - layout.first:
        return (
            f"start {values['start']:.0f} and end {end:.0f} are not those of one base; give one row for each cytosine"
        )
    if values.get("percent", 0) > 100:
        return f"{values['percent']} % of reads methylated"
    if math.isnan(values.get("percent", 0)) and values.get("total", 1) != 0:
        return "no percentage, though there are reads"
    if layout.name == "cx.tsv" and values["meth"] > values["total"]:
        return f"{values['meth']:.0f} methylated reads of {values['total']:.0f}"
    return None


def _are_5mc(path: str | Path, codes: pd.Series) -> NDArray[np.bool_]:
    """Returns which rows of a bedMethyl file are 5-methylcytosine: all, where the names are no codes."""
    found = {name: name.split(",")[0] for name in codes.cat.categories}
    for wanted in (_5MC, (_ANY_CYTOSINE,)):
        names = [name for name, code in found.items() if code in wanted]
        if names:
            return codes.isin(names).to_numpy()
    if found and set(found.values()) <= _OTHER_CODES:
        raise InputError(
            f"{path}: modifications {', '.join(sorted(set(found.values())))} only, none is 5-methylcytosine (m); "
            "call 5mC, or combine the modifications of cytosine"
        )
    return np.ones(len(codes), bool)


def _table(frame: pd.DataFrame, layout: _Layout) -> MethylationTable:
    depth = _reads(frame)
    if "percent" in frame and "meth" not in frame:
        fraction = frame["percent"].to_numpy() / 100
    else:
        fraction = np.divide(frame["meth"], depth, out=np.full(len(frame), np.nan), where=depth > 0)
    if "strand" in frame:
        order = np.array([_STRANDS.index(strand) for strand in frame["strand"].cat.categories])
        strand = order[frame["strand"].cat.codes]
    else:
        strand = np.full(len(frame), _STRANDS.index("."))
    return MethylationTable(
        tuple(frame["chrom"].cat.categories),
        frame["chrom"].cat.codes.to_numpy().astype(np.int64),
        strand,
        frame["start"].to_numpy() - layout.first,
        np.where(depth > 0, fraction, np.nan).astype(np.float32),
        depth,
    )
