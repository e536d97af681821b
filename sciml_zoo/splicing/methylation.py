"""DNA methylation: for each cytosine of each strand, the fraction of reads in which it is methylated, and their number.

A cytosine on the ``-`` strand is a G of the forward strand, at whose position it is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._methylation_formats import read_table
from sciml_zoo.splicing._sequence_names import name_hint
from sciml_zoo.splicing.sequences import BASES

__all__ = ["Cytosines", "Methylation", "read_methylation"]

# Code on the forward strand of a cytosine of either strand, and of a base that is not known.
_CYTOSINE = {"+": 1, "-": 2}
_UNKNOWN = 4
# So many of the rows must fit better one base further for the error to say so.
_SHIFTED = 0.95


@dataclass(frozen=True)
class Cytosines:
    """The cytosines of one strand of a chromosome.

    Args:
        position: 0-based, on the forward strand, ascending, [n].
        fraction: of methylated reads, NaN where there is none, float32 [n].
        depth: reads, [n].
    """

    position: NDArray[np.int64]
    fraction: NDArray[np.float32]
    depth: NDArray[np.int64]

    def _taken(self, chosen: NDArray[np.bool_]) -> Cytosines:
        return Cytosines(self.position[chosen], self.fraction[chosen], self.depth[chosen])


@dataclass(frozen=True)
class Methylation:
    """What a file says about methylation.

    Args:
        cytosines: by chromosome and strand; strand ``"."`` where the file gives none, until :meth:`check`.
        source: the file.
    """

    cytosines: Mapping[tuple[str, str], Cytosines]
    source: str

    @property
    def chromosomes(self) -> tuple[str, ...]:
        """Names of the chromosomes with cytosines, ascending."""
        return tuple(sorted({chromosome for chromosome, _ in self.cytosines}))

    def track(self, chromosome: str, start: int, end: int, strand: str, min_depth: int = 1) -> NDArray[np.float32]:
        """Returns the methylated fraction of each base of an interval: float32 [end − start], in forward order.

        It is NaN at all bases that are no cytosine of the strand, or are not covered.

        Args:
            chromosome: its name; one without cytosines has NaN everywhere.
            start: first base, 0-based.
            end: base after the last.
            strand: ``"+"`` or ``"-"``.
            min_depth: reads that a cytosine must have, ≥ 1.

        Raises:
            InputError: an argument out of range, or a file without strands that :meth:`check` has not given any.
        """
        if not 0 <= start <= end:
            raise InputError(f"start {start}, end {end}: give 0 ≤ start ≤ end")
        if strand not in _CYTOSINE:
            raise InputError(f"strand: {strand!r}; give '+' or '-'")
        if min_depth < 1:
            raise InputError(f"min_depth: {min_depth}; give at least 1, for no fraction is known without reads")
        if (chromosome, ".") in self.cytosines:
            raise InputError(
                f"{self.source}: the file gives no strands; use what check(sequences) returns, which has them"
            )
        track = np.full(end - start, np.nan, np.float32)
        sites = self.cytosines.get((chromosome, strand))
        if sites is not None:
            first, last = np.searchsorted(sites.position, (start, end))
            fraction = np.where(sites.depth[first:last] >= min_depth, sites.fraction[first:last], np.nan)
            track[sites.position[first:last] - start] = fraction
        return track

    def clipped(self, sequences: Mapping[str, NDArray[np.uint8]]) -> Methylation:
        """Returns the methylation without chromosomes and positions that sequences do not reach.

        Args:
            sequences: name → codes, uint8 [L], such as pieces of a genome that begin at its chromosomes' first base.

        Raises:
            InputError: nothing is left.
        """
        left = {
            (chromosome, strand): sites._taken(sites.position < len(sequences[chromosome]))
            for (chromosome, strand), sites in self.cytosines.items()
            if chromosome in sequences
        }
        left = {place: sites for place, sites in left.items() if len(sites.position)}
        if not left:
            first = self.chromosomes[0]
            raise InputError(
                f"{self.source}: no position is on the sequences; {first!r}: {name_hint(first, sequences)}"
            )
        return Methylation(left, self.source)

    def check(self, sequences: Mapping[str, NDArray[np.uint8]]) -> Methylation:
        """Holds the methylation against the sequences it was measured on.

        Args:
            sequences: name → codes, uint8 [L]; a base that is not known (N) may be a cytosine.

        Returns:
            The methylation; what had no strand has that of the cytosine at its position.

        Raises:
            InputError: naming the row by chromosome, 1-based position and strand: no such sequence, after its end,
                or not a cytosine.
        """
        checked: dict[tuple[str, str], Cytosines] = {}
        for (chromosome, strand), sites in self.cytosines.items():
            codes = self._sequence(chromosome, sites, sequences)
            bases = codes[sites.position]
            if strand != ".":
                self._require(chromosome, strand, sites, codes, (bases == _CYTOSINE[strand]) | (bases == _UNKNOWN))
                checked[chromosome, strand] = sites
                continue
            self._require(chromosome, strand, sites, codes, np.isin(bases, list(_CYTOSINE.values())))
            for own, code in _CYTOSINE.items():
                if (bases == code).any():
                    checked[chromosome, own] = sites._taken(bases == code)
        return Methylation(checked, self.source)

    def _sequence(
        self, chromosome: str, sites: Cytosines, sequences: Mapping[str, NDArray[np.uint8]]
    ) -> NDArray[np.uint8]:
        if chromosome not in sequences:
            raise InputError(
                f"{self.source}: {chromosome}:{sites.position[0] + 1} is on none of the sequences; "
                f"{name_hint(chromosome, sequences)}; or leave it out with clipped(sequences)"
            )
        codes = sequences[chromosome]
        if sites.position[-1] >= len(codes):
            first = sites.position[np.searchsorted(sites.position, len(codes))]
            raise InputError(
                f"{self.source}: {chromosome}:{first + 1} is after the end of {chromosome} at {len(codes)}; give the "
                "FASTA of the same assembly, or, for a piece of it, leave the rest out with clipped(sequences)"
            )
        return codes

    def _require(
        self,
        chromosome: str,
        strand: str,
        sites: Cytosines,
        codes: NDArray[np.uint8],
        fits: NDArray[np.bool_],
    ) -> None:
        """Raises an error that names the first position that is no cytosine."""
        if fits.all():
            return
        first = int(sites.position[int(np.argmin(fits))])
        expected = [_CYTOSINE[strand]] if strand in _CYTOSINE else list(_CYTOSINE.values())
        remedy = "give the FASTA of the same assembly"
        for shift in (-1, 1):
            moved = np.clip(sites.position + shift, 0, len(codes) - 1)
            if np.isin(codes[moved], expected).mean() > _SHIFTED:
                remedy = f"all positions are off by one: {'subtract' if shift < 0 else 'add'} 1"
        raise InputError(
            f"{self.source}: {chromosome}:{first + 1}, strand {strand}: the forward strand has "
            f"{BASES[codes[first]]}, not {' or '.join(BASES[code] for code in expected)}; {remedy}"
        )


def read_methylation(path: str | Path) -> Methylation:
    """Reads bedMethyl, Bismark coverage, a Bismark cytosine report or ``.cx.tsv``, plain or gzip, told by content.

    Bismark coverage has no strands: :meth:`Methylation.check` finds them. Of bedMethyl with several modifications,
    5-methylcytosine is read (code ``m``; where there is none, ``C``, any modification of cytosine).

    Args:
        path: the file.

    Returns:
        The methylation of each chromosome and strand.

    Raises:
        InputError: naming the file and the line: none of the formats, a row that is damaged or impossible; a
            position of a strand given twice.
    """
    table = read_table(path)
    order = np.lexsort((table.position, table.strand, table.chromosome))
    group = table.chromosome[order] * 3 + table.strand[order]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    cytosines = {}
    for rows in np.split(order, starts[1:]):
        place = (table.chromosomes[table.chromosome[rows[0]]], "+-."[table.strand[rows[0]]])
        cytosines[place] = Cytosines(table.position[rows], table.fraction[rows], table.depth[rows])
        _require_once(place, cytosines[place].position, str(path))
    return Methylation(cytosines, str(path))


def _require_once(place: tuple[str, str], position: NDArray[np.int64], source: str) -> None:
    again = np.flatnonzero(np.diff(position) == 0)
    if len(again):
        raise InputError(
            f"{source}: {place[0]}:{position[again[0]] + 1}, strand {place[1]}, is given twice; remove one row, or "
            "merge the files of several samples"
        )
