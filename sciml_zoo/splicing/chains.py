"""Realistic sequences from junction records: contigs of a gene, chained by real exons, between real intergenic DNA.

Alone, records teach where their fixed ends are. So every flank is shortened at random, exons get lengths of real
exons, some introns are lengthened by the inside of real long ones, and genes stand on either strand of intergenic DNA.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.splicing.junctions import Contig
from sciml_zoo.splicing.labels import EXON, INTRON, OUTSIDE, UNKNOWN, LabelledGenome, Region, Window
from sciml_zoo.splicing.sequences import reverse_complement

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["GeneChains"]

#: Reads below which a record's sites are masked: neither learned as sites nor as none.
LEAST_READS = 5.0
# The longest crop of a flank, what stays of it, and the parts of an intron that an insertion leaves alone.
_CROP, _KEPT_FLANK = 44, 3
_KEPT_DONOR, _KEPT_ACCEPTOR = 20, 45
_LONG_INTRON = 150
_EXON_LENGTHS = (20, 1500)
_TERMINAL_EXON = (50, 400)
_INTERGENIC = (50, 1200)


class GeneChains:
    """Draws windows of chained contigs.

    Args:
        contigs: pieces of genes.
        genome: where exons, insides of long introns and intergenic DNA come from.
        regions: the part of the genome that may be used.
    """

    def __init__(self, contigs: Sequence[Contig], genome: LabelledGenome, regions: Sequence[Region]) -> None:
        genes: dict[str, list[Contig]] = defaultdict(list)
        for contig in contigs:
            genes[contig.gene].append(contig)
        self._genes = list(genes.values())
        self._weights = np.cumsum([float(len(members)) for members in self._genes])
        inside = [
            g
            for g in genome.genes
            if g.transcripts and any(_contains(r, g.chromosome, g.start, g.end) for r in regions)
        ]
        self._exons: list[NDArray[np.uint8]] = []
        introns: list[NDArray[np.uint8]] = []
        lengths: list[int] = []
        covered: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for gene in genome.annotation.genes:
            covered[gene.chromosome].append((gene.start, gene.end))
        for gene in inside:
            codes, forward = genome.sequences[gene.chromosome], gene.strand == "+"
            transcript = max(gene.transcripts, key=lambda t: len(t.exons))
            for start, end in transcript.exons:
                piece = codes[start:end]
                self._exons.append(piece if forward else reverse_complement(piece))
            lengths += [end - start for start, end in transcript.exons[1:-1]]
            for intron in transcript.introns:
                if intron.end - intron.start > _LONG_INTRON:
                    piece = codes[intron.start : intron.end]
                    piece = piece if forward else reverse_complement(piece)
                    introns.append(piece[_KEPT_DONOR:-_KEPT_ACCEPTOR])
        n_introns = sum(len(t.introns) for g in inside for t in g.transcripts[:1])
        self._lengthened = len(introns) / max(n_introns, 1)
        self._introns = introns
        self._exon_lengths = np.clip(lengths or [150], *_EXON_LENGTHS)
        self._between = [piece for region in regions for piece in _outside(genome, region, covered[region.chromosome])]

    def window(self, length: int, rng: "Generator") -> Window:
        """Draws a window.

        Args:
            length: its bases.
            rng: the source of randomness.

        Returns:
            The window; sites are on either strand.
        """
        codes = np.full(length, 4, np.uint8)
        labels = np.zeros((length, 2, 2), np.uint8)
        known = np.ones((length, 2, 2), bool)
        genic = np.zeros((length, 2), bool)
        structure = np.full((length, 2), OUTSIDE, np.uint8)
        position = -int(rng.integers(0, length // 4))
        while position < length:
            piece, sites = self._locus(rng)
            strand = int(rng.integers(2)) if sites is not None else 0
            if strand:
                piece = reverse_complement(piece)
            low, high = max(position, 0), max(min(position + len(piece), length), 0)
            codes[low:high] = piece[low - position : high - position]
            if sites is not None:
                genic[low:high, strand] = True
                parts = _parts(len(piece), sites)[:: -1 if strand else 1]
                structure[low:high, strand] = parts[low - position : high - position]
            for inside, kind, reads in sites or ():
                place = position + (len(piece) - 1 - inside if strand else inside)
                if 0 <= place < length:
                    labels[place, strand, kind] = known[place, strand, kind] = reads >= LEAST_READS
            position += len(piece)
        known &= (codes < 4)[:, None, None]
        structure[codes > 3] = UNKNOWN
        return Window(codes, labels, known, genic, structure)

    def _locus(self, rng: "Generator") -> tuple[NDArray[np.uint8], list[tuple[int, int, float]] | None]:
        """Returns intergenic DNA, or a gene in the direction of transcription with its sites."""
        if self._between and rng.random() < 0.5:
            return _cut(self._between, int(rng.integers(*_INTERGENIC)), rng), None
        members = self._genes[int(np.searchsorted(self._weights, rng.random() * self._weights[-1], side="right"))]
        pieces = [self._exon(int(rng.integers(*_TERMINAL_EXON)), rng)]
        sites: list[tuple[int, int, float]] = []
        length = len(pieces[0])
        for index in rng.permutation(len(members)):
            piece, found = self._cropped(members[index], rng)
            if sites:  # the exon in between gets the length of a real one
                spacer = self._exon(int(rng.choice(self._exon_lengths)) - 50, rng)
                pieces.append(spacer)
                length += len(spacer)
            sites += [(place + length, kind, reads) for place, kind, reads in found]
            pieces.append(piece)
            length += len(piece)
        pieces.append(self._exon(int(rng.integers(*_TERMINAL_EXON)), rng))
        return np.concatenate(pieces), sites

    def _cropped(self, contig: Contig, rng: "Generator") -> tuple[NDArray[np.uint8], list[tuple[int, int, float]]]:
        left, right = (min(int(rng.integers(_CROP)), max(flank - _KEPT_FLANK, 0)) for flank in contig.flanks)
        codes = contig.codes[left : len(contig.codes) - right]
        sites = [(int(p) - left, int(kind), float(reads)) for p, kind, reads in contig.sites]
        if self._introns and rng.random() < self._lengthened:
            codes, sites = self._lengthen(codes, sites, rng)
        return codes, sites

    def _lengthen(
        self, codes: NDArray[np.uint8], sites: list[tuple[int, int, float]], rng: "Generator"
    ) -> tuple[NDArray[np.uint8], list[tuple[int, int, float]]]:
        """Returns a contig with the inside of a long intron put into an intron that holds no other site."""
        ordered = sorted(sites)
        pairs = [
            (a, b)
            for (a, kind_a, _), (b, kind_b, _) in pairwise(ordered)
            if kind_a == 0 and kind_b == 1 and b - a > _KEPT_DONOR + _KEPT_ACCEPTOR
        ]
        if not pairs:
            return codes, sites
        donor, acceptor = pairs[int(rng.integers(len(pairs)))]
        place = int(rng.integers(donor + _KEPT_DONOR, acceptor - _KEPT_ACCEPTOR + 1))
        inside = self._introns[int(rng.integers(len(self._introns)))]
        codes = np.concatenate([codes[:place], inside, codes[place:]])
        return codes, [(p + len(inside) if p >= place else p, kind, reads) for p, kind, reads in sites]

    def _exon(self, length: int, rng: "Generator") -> NDArray[np.uint8]:
        if length <= 0 or not self._exons:
            return np.empty(0, np.uint8)
        return _cut(self._exons, length, rng)


def _parts(length: int, sites: Sequence[tuple[int, int, float]]) -> NDArray[np.uint8]:
    """Returns exon and intron between sites in the order that they should have, in the direction of transcription."""
    parts = np.full(length, UNKNOWN, np.uint8)
    start, before = 0, 1
    for place, kind, reads in sorted(sites):
        end = place + kind  # an acceptor is the last base of its intron
        if kind != before:
            parts[start:end] = INTRON if kind else EXON
        start, before = end, kind if reads >= LEAST_READS else -1
    if before == 1:
        parts[start:] = EXON
    return parts


def _cut(pool: Sequence[NDArray[np.uint8]], length: int, rng: "Generator") -> NDArray[np.uint8]:
    """Returns a random piece of one of a pool's sequences, at most as long as asked."""
    whole = pool[int(rng.integers(len(pool)))]
    start = int(rng.integers(max(len(whole) - length, 0) + 1))
    return whole[start : start + length]


def _contains(region: Region, chromosome: str, start: int, end: int) -> bool:
    return region.chromosome == chromosome and region.start <= start and end <= region.end


def _outside(genome: LabelledGenome, region: Region, genes: list[tuple[int, int]]) -> list[NDArray[np.uint8]]:
    """Returns the stretches of a region that no gene covers and whose bases are known."""
    free = genome.sequences[region.chromosome][region.start : region.end] < 4
    for start, end in genes:
        free[max(start - region.start, 0) : max(end - region.start, 0)] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free.astype(np.int8), [0]])))
    codes = genome.sequences[region.chromosome][region.start : region.end]
    return [codes[a:b] for a, b in edges.reshape(-1, 2) if b - a >= _INTERGENIC[0]]
