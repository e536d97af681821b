"""Exon–intron–exon records: what RNA-seq saw spliced, without coordinates, joined into longer pieces of their genes.

A record is ``exon intron exon count gene`` with 50 nt of exon on either side. Where records of a gene overlap, they
are merged, so that short exons keep both of their ends. Sites of the gene that occur in the flank of another record
are marked there too.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._opening import open_text
from sciml_zoo.splicing.labels import LabelledGenome, Region
from sciml_zoo.splicing.sequences import encode

__all__ = ["Contig", "Junction", "annotated_contigs", "merge", "read_junctions"]

_FIELDS = 5
_FLANK = 50
# A shorter agreement of an end with a beginning may be chance.
_LEAST_OVERLAP = 16
# A site is recognised by this many bases of exon and of intron.
_EXON_MARK, _INTRON_MARK = 8, 16


@dataclass(frozen=True)
class Junction:
    """One record.

    Attributes:
        upstream: the end of the exon before the intron.
        intron: the intron.
        downstream: the start of the exon after it.
        count: reads that span it.
        gene: name of the gene.
    """

    upstream: str
    intron: str
    downstream: str
    count: float
    gene: str


@dataclass(frozen=True)
class Contig:
    """A piece of a gene, in the direction of transcription.

    Attributes:
        gene: name of the gene.
        codes: bases, [L].
        sites: rows of position, kind (0 donor, 1 acceptor) and reads, [n, 3].
        flanks: exonic bases at either end, which may be shortened.
    """

    gene: str
    codes: NDArray[np.uint8]
    sites: NDArray[np.float64]
    flanks: tuple[int, int]


def read_junctions(path: str | Path) -> list[Junction]:
    """Reads records, one a line.

    Args:
        path: a text file, plain or gzip.

    Returns:
        The records, in the order of the file.

    Raises:
        InputError: naming the line of what is wrong.
    """
    with open_text(path) as lines:
        rows = [(number, words) for number, line in enumerate(lines, 1) if (words := line.split())]
    junctions = []
    for number, words in rows:
        place = f"{path}, line {number}"
        if len(words) != _FIELDS:
            raise InputError(f"{place}: expected `exon intron exon count gene`, found {len(words)} words")
        upstream, intron, downstream, count, gene = words
        try:
            reads = float(count)
            for text in (upstream, intron, downstream):
                encode(text)
        except ValueError as error:
            raise InputError(f"{place}: {error}") from error
        if not reads >= 0:
            raise InputError(f"{place}: the count {count} is negative")
        junctions.append(Junction(upstream.upper(), intron.upper(), downstream.upper(), reads, gene))
    if not junctions:
        raise InputError(f"{path}: holds no records; expected lines of `exon intron exon count gene`")
    return junctions


def annotated_contigs(genome: LabelledGenome, regions: Sequence[Region]) -> list[Contig]:
    """Cuts contigs out of an annotated genome: every intron with up to 50 bases of the exons around it.

    Args:
        genome: the genome.
        regions: the part to use; its masked genes are left out.

    Returns:
        One contig an intron, with all sites of the gene's strand in it.
    """
    contigs = []
    for gene in genome.genes:
        region = next((r for r in regions if r.chromosome == gene.chromosome and r.start <= gene.start < r.end), None)
        if region is None:
            continue
        for transcript in gene.transcripts:
            for (first, _), intron, (_, last) in zip(
                transcript.exons, transcript.introns, transcript.exons[1:], strict=False
            ):
                flanks = min(intron.start - first, _FLANK), min(last - intron.end, _FLANK)
                piece = Region(gene.chromosome, intron.start - flanks[0], intron.end + flanks[1])
                window = genome.window(piece)
                if not window.known.reshape(len(piece), -1).any(1).all():
                    continue
                if gene.strand == "-":
                    window, flanks = window.reverse_complement(), flanks[::-1]
                sites = np.argwhere(window.labels[:, 0])
                certain = np.full((len(sites), 1), np.inf)
                left = min([flanks[0], *sites[:, 0].tolist()])
                right = min([flanks[1], *(len(piece) - 1 - sites[:, 0]).tolist()])
                contigs.append(Contig(gene.name, window.codes, np.hstack([sites, certain]), (left, right)))
    return contigs


def merge(junctions: Iterable[Junction]) -> list[Contig]:
    """Joins the records of each gene where they overlap.

    Args:
        junctions: the records.

    Returns:
        The pieces, gene by gene in the order in which genes first occur.
    """
    genes: dict[str, list[Junction]] = defaultdict(list)
    for junction in junctions:
        genes[junction.gene].append(junction)
    return [contig for name, members in genes.items() for contig in _merge_gene(name, members)]


def _merge_gene(name: str, members: Sequence[Junction]) -> list[Contig]:
    texts = list(dict.fromkeys(j.upstream + j.intron + j.downstream for j in members))
    flanks = {j.upstream + j.intron + j.downstream: (len(j.upstream), len(j.downstream)) for j in members}
    pieces = [(text, *flanks[text]) for text in texts]
    marks = _marks(members)
    contigs = []
    for text, left, right in _chained(pieces):
        sites = _found(text, marks)
        # A site in a flank ends it.
        positions = [position for position, _, _ in sites]
        left, right = min([left, *positions]), min([right, *(len(text) - 1 - p for p in positions)])
        contigs.append(Contig(name, encode(text), np.array(sites, float).reshape(-1, 3), (left, right)))
    return contigs


def _chained(pieces: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Returns the pieces joined greedily, the longest overlaps first."""
    overlaps = []
    for i, (first, _, right) in enumerate(pieces):
        tail = first[-_LEAST_OVERLAP:]
        for j, (second, left, _) in enumerate(pieces):
            if i == j:
                continue
            place = second.find(tail, 0, left + right)
            if place >= 0 and first.endswith(second[: place + _LEAST_OVERLAP]):
                overlaps.append((place + _LEAST_OVERLAP, i, j))
    after: dict[int, tuple[int, int]] = {}
    before: set[int] = set()
    for length, i, j in sorted(overlaps, reverse=True):
        if i not in after and j not in before and not _leads_to(after, j, i):
            after[i] = (j, length)
            before.add(j)
    chains = []
    for start in range(len(pieces)):
        if start in before:
            continue
        text, left, right = pieces[start]
        current = start
        while current in after:
            current, length = after[current]
            text, right = text + pieces[current][0][length:], pieces[current][2]
        chains.append((text, left, right))
    return chains


def _leads_to(after: dict[int, tuple[int, int]], start: int, goal: int) -> bool:
    while start in after:
        start = after[start][0]
        if start == goal:
            return True
    return start == goal


def _marks(members: Sequence[Junction]) -> dict[str, tuple[int, int, float]]:
    """Returns text around each site → offset of the site in it, kind, largest number of reads."""
    marks: dict[str, tuple[int, int, float]] = {}
    for j in members:
        donor = j.upstream[-_EXON_MARK:] + j.intron[:_INTRON_MARK]
        acceptor = j.intron[-_INTRON_MARK:] + j.downstream[:_EXON_MARK]
        offset = min(_EXON_MARK, len(j.upstream))
        for mark, place, kind in ((donor, offset, 0), (acceptor, min(_INTRON_MARK, len(j.intron)) - 1, 1)):
            marks[mark] = (place, kind, max(j.count, marks.get(mark, (0, 0, 0.0))[2]))
    return marks


def _found(text: str, marks: dict[str, tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    sites = []
    for mark, (offset, kind, count) in marks.items():
        place = text.find(mark)
        while place >= 0:
            sites.append((place + offset, kind, count))
            place = text.find(mark, place + 1)
    return sorted(sites)
