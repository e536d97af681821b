"""Training data: which parts of a genome train and which validate, and the windows drawn from them.

Validation regions lie at the ends of the training chromosomes, cut where no gene is cut; of short sequences, such as
single genes, some are for validation as a whole. Chromosomes that are held out are not looked at. What shares a word of
32 bases with either is not learned from: genes are masked, junction records left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.chains import GeneChains
from sciml_zoo.splicing.genes import Gene
from sciml_zoo.splicing.homology import WordIndex
from sciml_zoo.splicing.junctions import Contig, Junction, merge
from sciml_zoo.splicing.labels import LabelledGenome, Region, Window

__all__ = ["Split", "TrainingWindows", "cover", "independent_contigs", "split_genome"]

# Sequences shorter than this are not cut.
_LEAST_CUT = 20_000
# Unknown bases between sequences that share a window.
_GAP = 50
_GENIC_WINDOWS = 0.75


@dataclass(frozen=True)
class Split:
    """Parts of a genome.

    Attributes:
        train: regions to learn from.
        validation: regions to choose by.
        held_out: regions not to be looked at.
        masked: genes of the training regions that resemble the others.
    """

    train: tuple[Region, ...]
    validation: tuple[Region, ...]
    held_out: tuple[Region, ...]
    masked: tuple[Gene, ...]


def split_genome(genome: LabelledGenome, *, held_out: Sequence[str], validation_fraction: float) -> Split:
    """Splits a genome, and masks in it the training genes that resemble the rest.

    Args:
        genome: whose labels of such genes are hidden from now on.
        held_out: chromosomes that are neither trained nor validated on.
        validation_fraction: part of each training chromosome.

    Returns:
        The parts.

    Raises:
        InputError: unknown chromosomes, or nothing left to train or validate on.
    """
    genome.require(held_out, "data.held_out")
    apart = tuple(Region(name, 0, len(genome.sequences[name])) for name in held_out)
    train: list[Region] = []
    validation: list[Region] = []
    part = 0.0  # of the short sequences so far that are still to be set aside
    for name, codes in genome.sequences.items():
        if name in held_out:
            continue
        if len(codes) < _LEAST_CUT:
            part += validation_fraction
            cut = 0 if part >= 1 else len(codes)
            part -= part >= 1
        else:
            cut = _cut(genome, name, round(len(codes) * (1 - validation_fraction)))
        if cut > 0:
            train.append(Region(name, 0, cut))
        if cut < len(codes):
            validation.append(Region(name, cut, len(codes)))
    for what, regions in (("train", train), ("validate", validation)):
        inside = sum(_holds(regions, i.chromosome, i.start) for i in genome.introns)
        if not inside:
            raise InputError(
                f"data: no annotated intron is left to {what} on; give longer sequences, or change data.held_out or "
                f"data.validation_fraction ({validation_fraction})"
            )
    index = WordIndex(genome.sequences[r.chromosome][r.start : r.end] for r in (*validation, *apart))
    masked = tuple(
        gene
        for gene in genome.genes
        if _holds(train, gene.chromosome, gene.start)
        and len(index.found(genome.sequences[gene.chromosome][gene.start : gene.end]))
    )
    genome.hide(Region(gene.chromosome, gene.start, gene.end) for gene in masked)
    return Split(tuple(train), tuple(validation), apart, masked)


def independent_contigs(
    junctions: Sequence[Junction], genome: LabelledGenome, split: Split, held_out: Sequence[str] = ()
) -> list[Contig]:
    """Merges the junction records of genes that the genome's sequences do not hold and that resemble nothing set aside.

    Args:
        junctions: the records.
        genome: the genome with its annotation.
        split: its parts.
        held_out: patterns of the names of further genes to leave out, such as ``AT3G*``.

    Returns:
        The contigs to train on.
    """
    names = {gene.name for gene in (*genome.annotation.genes, *genome.annotation.partial)}
    apart = (*split.validation, *split.held_out)
    index = WordIndex(genome.sequences[r.chromosome][r.start : r.end] for r in apart)
    elsewhere = [
        j
        for j in junctions
        if not names & {j.gene, j.gene.rpartition(":")[2]} and not any(fnmatchcase(j.gene, p) for p in held_out)
    ]
    resembling = {c.gene for c in merge(elsewhere) if len(index.found(c.codes))}
    return merge(j for j in elsewhere if j.gene not in resembling)


def cover(genome: LabelledGenome, regions: Sequence[Region], length: int, most: int | None = None) -> list[Window]:
    """Cuts regions into windows one after the other.

    Args:
        genome: the genome.
        regions: what to cover.
        length: of a window; the last of a region is filled up with unknown bases.
        most: windows; with more, evenly spaced ones are taken.

    Returns:
        The windows.
    """
    pieces = [
        Region(region.chromosome, start, min(start + length, region.end))
        for region in regions
        for start in range(region.start, region.end, length)
    ]
    if most is not None and len(pieces) > most:
        pieces = [pieces[index * len(pieces) // most] for index in range(most)]
    return [genome.window(piece).padded(length) for piece in pieces]


def joined(windows: Sequence[Window], length: int) -> Window:
    """Puts windows behind each other.

    Args:
        windows: at least ``length`` bases in all.
        length: where the result is cut.

    Returns:
        One window.
    """
    names = [name for name, array in vars(windows[0]).items() if array is not None]
    return Window(**{name: np.concatenate([getattr(w, name) for w in windows])[:length] for name in names})


class TrainingWindows(Sequence[Window]):
    """Windows drawn from a genome and, in part, from chained junction records; each is the same whenever it is read.

    Args:
        genome: the genome.
        regions: the part to draw from.
        length: bases of a window.
        n: how many windows there are.
        seed: of all of them.
        chains: draws windows of junction records.
        chain_fraction: how many windows are such.
    """

    def __init__(
        self,
        genome: LabelledGenome,
        regions: Sequence[Region],
        *,
        length: int,
        n: int,
        seed: int,
        chains: GeneChains | None = None,
        chain_fraction: float = 0.0,
    ) -> None:
        self._genome, self._regions, self._chains = genome, regions, chains
        self._length, self._n, self._seed = length, n, seed
        self._chain_fraction = chain_fraction if chains is not None else 0.0
        self._genes = [g for g in genome.genes if g.introns and _holds(regions, g.chromosome, g.start)]
        self._gene_lengths = np.cumsum([float(g.end - g.start) for g in self._genes])
        self._region_lengths = np.cumsum([float(len(r)) for r in regions])

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> Window:  # type: ignore[override]
        if not 0 <= index < self._n:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, index))
        if rng.random() < self._chain_fraction:
            assert self._chains is not None
            return self._chains.window(self._length, rng)
        parts: list[Window] = []
        room = self._length
        while room > 0:
            window = self._genome.window(self._drawn(rng))
            window = window.reverse_complement() if rng.random() < 0.5 else window
            parts.append(window.padded(len(window.codes) + _GAP))
            room -= len(parts[-1].codes)
        return joined(parts, self._length)

    def _drawn(self, rng: np.random.Generator) -> Region:
        if self._genes and rng.random() < _GENIC_WINDOWS:
            gene = self._genes[_index(self._gene_lengths, rng)]
            region = next(r for r in self._regions if r.chromosome == gene.chromosome and r.start <= gene.start < r.end)
            centre = int(rng.integers(gene.start, gene.end))
        else:
            region = self._regions[_index(self._region_lengths, rng)]
            centre = int(rng.integers(region.start, region.end))
        start = centre - int(rng.integers(self._length))
        start = max(region.start, min(start, region.end - self._length))
        return Region(region.chromosome, start, min(start + self._length, region.end))


def _index(cumulative: np.ndarray, rng: np.random.Generator) -> int:
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))


def _holds(regions: Sequence[Region], chromosome: str, position: int) -> bool:
    return any(r.chromosome == chromosome and r.start <= position < r.end for r in regions)


def _cut(genome: LabelledGenome, name: str, wanted: int) -> int:
    """Returns the place nearest to the wanted one that lies in no gene."""
    inside = [(g.start, g.end) for g in genome.annotation.genes if g.chromosome == name]
    cut, moved = wanted, True
    while moved:
        moved = False
        for start, end in inside:
            if start < cut < end:
                cut, moved = start, True
    return max(cut, 0)
