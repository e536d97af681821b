"""Gene models: genes, their transcripts, and the introns between exons.

Coordinates are 0-based and half-open, on the forward strand, whatever the strand of the gene. The donor is the first
base of an intron in the direction of transcription, the acceptor the last.

| strand | donor | acceptor |
|---|---|---|
| ``+`` | start | end − 1 |
| ``-`` | end − 1 | start |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

__all__ = ["Annotation", "Gene", "Interval", "Intron", "Transcript"]

#: Start and end, 0-based and half-open.
Interval = tuple[int, int]


@dataclass(frozen=True)
class Intron:
    """An intron.

    Args:
        chromosome: name of the sequence it lies on.
        strand: ``"+"`` or ``"-"``.
        start: first base on the forward strand, 0-based.
        end: base after the last.
        phase: bases of the interrupted codon before the intron: 0, 1 or 2; None outside the coding sequence.
        canonical: whether it begins with GT and ends with AG; None as long as no sequence has been looked at.
        count: reads that support it, where the file gives them.
    """

    chromosome: str
    strand: str
    start: int
    end: int
    phase: int | None = None
    canonical: bool | None = None
    count: float | None = None

    @property
    def donor(self) -> int:
        """Position of the first base in the direction of transcription."""
        return self.start if self.strand == "+" else self.end - 1

    @property
    def acceptor(self) -> int:
        """Position of the last base in the direction of transcription."""
        return self.end - 1 if self.strand == "+" else self.start


@dataclass(frozen=True)
class Transcript:
    """A transcript.

    Args:
        name: its name in the file.
        chromosome: name of the sequence it lies on.
        strand: ``"+"`` or ``"-"``.
        exons: ascending, apart by at least one base.
        cds: coding parts, with the stop codon, ascending; empty without one.
        cds_phase: bases of the coding sequence before its first whole codon: 0, unless the 5' end is missing.
        canonical: for each intron, ascending, whether it is GT–AG; None as long as no sequence has been looked at.
    """

    name: str
    chromosome: str
    strand: str
    exons: tuple[Interval, ...]
    cds: tuple[Interval, ...] = ()
    cds_phase: int = 0
    canonical: tuple[bool, ...] | None = None

    @cached_property
    def introns(self) -> tuple[Intron, ...]:
        """The gaps between the exons, ascending."""
        gaps = [(end, start) for (_, end), (start, _) in pairwise(self.exons)]
        flags: Sequence[bool | None] = self.canonical or [None] * len(gaps)
        return tuple(
            Intron(self.chromosome, self.strand, start, end, self._phase(start), canonical)
            for (start, end), canonical in zip(gaps, flags, strict=True)
        )

    def _phase(self, position: int) -> int | None:
        lengths = [end - start for start, end in self.cds]
        below = sum(length for (start, _), length in zip(self.cds, lengths, strict=True) if start < position)
        above = sum(lengths) - below
        if not below or not above:
            return None
        return ((below if self.strand == "+" else above) - self.cds_phase) % 3


@dataclass(frozen=True)
class Gene:
    """A gene.

    Args:
        name: its name in the file.
        chromosome: name of the sequence it lies on.
        strand: ``"+"`` or ``"-"``.
        start: first base on the forward strand, 0-based.
        end: base after the last; start and end enclose all transcripts.
        biotype: such as ``"protein_coding"`` or ``"pseudogene"``; None where the file does not say.
        transcripts: possibly none.
    """

    name: str
    chromosome: str
    strand: str
    start: int
    end: int
    biotype: str | None
    transcripts: tuple[Transcript, ...]

    @cached_property
    def introns(self) -> tuple[Intron, ...]:
        """The introns of all transcripts, each once, ascending; the phase is that of the first that codes there."""
        found: dict[Interval, Intron] = {}
        for intron in (intron for transcript in self.transcripts for intron in transcript.introns):
            known = found.get((intron.start, intron.end))
            if known is None or (known.phase is None and intron.phase is not None):
                found[intron.start, intron.end] = intron
        return tuple(found[place] for place in sorted(found))


@dataclass(frozen=True)
class Annotation:
    """What an annotation file says about splicing.

    Args:
        genes: ordered by chromosome name, start, end and name, whatever the order of the file.
        supported: introns seen in reads, of rows without a parent (such as WormBase's ``RNASeq_splice``), in the
            order of genes; ``count`` is the score.
        source: the file.
        partial: genes of which the file lacks the gene's or transcript's own row, as where a piece was cut out of a
            genome: their introns are real, but others may be missing.
    """

    genes: tuple[Gene, ...]
    supported: tuple[Intron, ...]
    source: str
    partial: tuple[Gene, ...] = ()
