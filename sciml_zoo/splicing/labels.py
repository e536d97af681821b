"""Which bases of a genome are splice sites, which are not, and which nobody knows.

A site of any transcript is positive on its strand, everything else negative, except what is masked: introns that reads
support but the annotation lacks, the sites of pseudogenes and transposable elements, and regions set aside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.splicing.genes import Annotation, Gene, Intron

__all__ = ["EXON", "INTRON", "OUTSIDE", "UNKNOWN", "LabelledGenome", "Region", "Window", "is_certain"]

#: Reads that make an intron without annotation uncertain, in place of wrong.
SUPPORTING_READS = 10.0
_UNCERTAIN = ("pseudogen", "transposable", "transposon")
_STRANDS = "+-"
#: What a base is part of.
OUTSIDE, EXON, INTRON, UNKNOWN = 0, 1, 2, 255


def is_certain(gene: Gene) -> bool:
    """Returns whether a gene's introns are splice sites beyond doubt: not those of pseudogenes and transposons."""
    return not any(word in (gene.biotype or "").lower() for word in _UNCERTAIN)


@dataclass(frozen=True)
class Region:
    """Part of a chromosome.

    Attributes:
        chromosome: its name.
        start: first base, 0-based.
        end: base after the last.
    """

    chromosome: str
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Window:
    """A labelled piece of sequence.

    Attributes:
        codes: bases, uint8 [L].
        labels: 1 at sites, uint8 [L, 2, 2] (strand, kind).
        known: whether the label is to be learned and counted, bool [L, 2, 2].
        genic: whether the base lies in a gene of that strand, bool [L, 2].
        structure: what the base is part of on that strand, uint8 [L, 2]: :data:`OUTSIDE`, :data:`EXON`,
            :data:`INTRON`, or :data:`UNKNOWN`, also where transcripts differ.
        methylation: fraction methylated on the two strands, float32 [L, 2]; NaN where not known.
    """

    codes: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    known: NDArray[np.bool_]
    genic: NDArray[np.bool_]
    structure: NDArray[np.uint8]
    methylation: NDArray[np.float32] | None = None

    def padded(self, length: int) -> "Window":
        """Returns the window with unknown bases at its end, up to a length."""
        fills = {"codes": 4, "labels": 0, "known": False, "genic": False, "structure": UNKNOWN, "methylation": np.nan}
        arrays = {name: array for name in fills if (array := getattr(self, name)) is not None}
        missing = length - len(self.codes)
        return Window(
            **{
                name: np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1), constant_values=fills[name])
                for name, array in arrays.items()
            }
        )

    def reverse_complement(self) -> "Window":
        """Returns the same piece read from the other strand."""
        codes = np.where(self.codes < 4, 3 - self.codes, 4).astype(np.uint8)[::-1].copy()
        methylation = None if self.methylation is None else self.methylation[::-1, ::-1].copy()
        return Window(
            codes,
            self.labels[::-1, ::-1].copy(),
            self.known[::-1, ::-1].copy(),
            self.genic[::-1, ::-1].copy(),
            self.structure[::-1, ::-1].copy(),
            methylation,
        )


class LabelledGenome:
    """Sequences with their annotation, read window by window.

    Args:
        sequences: chromosome → codes.
        annotation: checked against the sequences.
    """

    def __init__(self, sequences: dict[str, NDArray[np.uint8]], annotation: Annotation) -> None:
        self.sequences = sequences
        self.annotation = annotation
        self.genes = [gene for gene in annotation.genes if is_certain(gene)]
        self._uncertain = [gene for gene in annotation.genes if not is_certain(gene)]
        self._hidden: dict[str, list[tuple[int, int]]] = {name: [] for name in sequences}

    @cached_property
    def introns(self) -> list[Intron]:
        """All annotated introns of certain genes, each once."""
        found = {(i.chromosome, i.strand, i.start, i.end): i for gene in self.genes for i in gene.introns}
        return [found[key] for key in sorted(found)]

    @cached_property
    def _sites(self) -> dict[str, NDArray[np.int64]]:
        """Chromosome → rows of position, strand, kind, whether known; sorted, a known one after an unknown one."""
        rows: dict[str, set[tuple[int, int, int, int]]] = {name: set() for name in self.sequences}
        for intron in self.introns:
            rows[intron.chromosome] |= set(_ends(intron, known=True))
        uncertain = [i for gene in self._uncertain for i in gene.introns]
        uncertain += [i for gene in self.annotation.partial for i in gene.introns]
        uncertain += [i for i in self.annotation.supported if (i.count or 0.0) >= SUPPORTING_READS]
        for intron in uncertain:
            if intron.chromosome in rows:
                rows[intron.chromosome] |= set(_ends(intron, known=False))
        return {name: np.array(sorted(found), np.int64).reshape(-1, 4) for name, found in rows.items()}

    @cached_property
    def _spans(self) -> dict[str, NDArray[np.int64]]:
        """Chromosome → rows of start, end, strand and index of the genes with transcripts."""
        spans: dict[str, list[tuple[int, int, int, int]]] = {name: [] for name in self.sequences}
        for index, gene in enumerate(self.genes):
            if gene.transcripts:
                spans[gene.chromosome].append((gene.start, gene.end, _STRANDS.index(gene.strand), index))
        return {name: np.array(sorted(rows), np.int64).reshape(-1, 4) for name, rows in spans.items()}

    def hide(self, regions: Iterable[Region]) -> None:
        """Masks all labels of regions from now on, such as genes that resemble held-out ones.

        Args:
            regions: to be masked.
        """
        for region in regions:
            self._hidden[region.chromosome].append((region.start, region.end))

    def window(self, region: Region) -> Window:
        """Returns a piece with its labels; bases beyond the ends of the chromosome are unknown.

        Args:
            region: may reach beyond the chromosome.

        Returns:
            The window, with as many bases as the region.
        """
        codes = self.sequences[region.chromosome]
        length = len(region)
        start = min(max(region.start, 0), region.end)
        end = max(min(region.end, len(codes)), start)
        piece = np.full(length, 4, np.uint8)
        piece[start - region.start : end - region.start] = codes[start:end]
        labels = np.zeros((length, 2, 2), np.uint8)
        known = np.repeat((piece < 4)[:, None], 4, 1).reshape(length, 2, 2)
        sites = self._sites[region.chromosome]
        first, last = np.searchsorted(sites[:, 0], [region.start, region.end])
        position, strand, kind, certain = sites[first:last].T
        labels[position - region.start, strand, kind] = certain
        known[position - region.start, strand, kind] = certain.astype(bool)
        for low, high in self._hidden[region.chromosome]:
            if low < region.end and high > region.start:
                known[max(low - region.start, 0) : high - region.start] = False
        genic = np.zeros((length, 2), bool)
        spans = self._spans[region.chromosome]
        for low, high, which, _ in spans[(spans[:, 0] < region.end) & (spans[:, 1] > region.start)]:
            genic[max(low - region.start, 0) : high - region.start, which] = True
        return Window(piece, labels, known, genic, self._structure(region, piece, known, genic))

    def _structure(
        self, region: Region, codes: NDArray[np.uint8], known: NDArray[np.bool_], genic: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        length = len(region)
        exonic, intronic = np.zeros((length, 2), bool), np.zeros((length, 2), bool)
        spans = self._spans[region.chromosome]
        for index in spans[(spans[:, 0] < region.end) & (spans[:, 1] > region.start), 3]:
            gene = self.genes[index]
            strand = _STRANDS.index(gene.strand)
            for transcript in gene.transcripts:
                pieces = [(exonic, *exon) for exon in transcript.exons]
                pieces += [(intronic, intron.start, intron.end) for intron in transcript.introns]
                for which, low, high in pieces:
                    which[max(low - region.start, 0) : max(high - region.start, 0), strand] = True
        structure = np.where(exonic, EXON, np.where(intronic, INTRON, OUTSIDE)).astype(np.uint8)
        structure[(exonic & intronic) | (genic & ~exonic & ~intronic)] = UNKNOWN
        structure[codes > 3] = UNKNOWN
        for gene in self._uncertain:
            if gene.chromosome == region.chromosome and gene.start < region.end and gene.end > region.start:
                structure[max(gene.start - region.start, 0) : gene.end - region.start] = UNKNOWN
        for low, high in self._hidden[region.chromosome]:
            if low < region.end and high > region.start:
                structure[max(low - region.start, 0) : high - region.start] = UNKNOWN
        return structure

    def require(self, chromosomes: Sequence[str], key: str) -> None:
        """Refuses names of chromosomes that there are not.

        Args:
            chromosomes: the names.
            key: where they were given.

        Raises:
            InputError: naming the first that is unknown.
        """
        for name in chromosomes:
            if name not in self.sequences:
                raise InputError(f"{key}: the FASTA file has no sequence {name!r}; {nearest(name, self.sequences)}")


def _ends(intron: Intron, *, known: bool) -> tuple[tuple[int, int, int, int], ...]:
    strand = _STRANDS.index(intron.strand)
    return ((intron.donor, strand, 0, int(known)), (intron.acceptor, strand, 1, int(known)))
