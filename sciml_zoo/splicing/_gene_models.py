"""From the rows of an annotation to gene models."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, pairwise

from sciml_zoo.splicing.genes import Gene, Interval, Transcript
from sciml_zoo.splicing.gff import Feature, Key, Piece, Rows

__all__ = ["GeneModels", "union"]

_GENE = re.compile(r"gene$", re.IGNORECASE)
_TRANSCRIPT = re.compile(r"(RNA|transcript|RNA_TE_gene)$", re.IGNORECASE)
# Types that say nothing of what a gene is for.
_PLAIN = frozenset({"gene", "mRNA", "transcript", "primary_transcript"})


def union(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Returns the union of intervals, ascending; those that touch become one."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)


@dataclass
class GeneModels:
    """Assembles the genes of a file.

    Args:
        rows: what the file says.
        missing: parents without a row of their own, with the first line that names each.
        spliced_across: transcripts with exons on both strands.
    """

    rows: Rows
    missing: dict[Key, int] = field(default_factory=dict)
    spliced_across: list[str] = field(default_factory=list)

    def assemble(self) -> tuple[tuple[Gene, ...], tuple[Gene, ...]]:
        """Returns the genes whose rows are all there, and those that lack the row of a transcript or the gene.

        Raises:
            InputError: naming the file and the line: exons of a transcript that overlap, or all lie on the other
                strand than it; a feature that is its own ancestor.
        """
        members: dict[Key, list[Transcript]] = {}
        for key, pieces in self.rows.pieces.items():
            feature = self.rows.features.get(key)
            # TAIR10 names proteins so; without its row, the type cannot tell.
            if feature.is_protein if feature else key[1].endswith("-Protein"):
                continue
            transcript = self._transcript(key, feature, pieces)
            if transcript is not None:
                members.setdefault(self._root(key, pieces[0].line), []).append(transcript)
        for key, feature in self.rows.features.items():
            if key in self.rows.pieces:
                continue
            if _TRANSCRIPT.search(feature.kind):
                alone = Transcript(
                    feature.name, feature.chromosome, self._strand(feature), ((feature.start, feature.end),)
                )
                members.setdefault(self._root(key, feature.line), []).append(alone)
            elif feature.parent is None and _GENE.search(feature.kind):
                members.setdefault(key, [])
        genes, partial = [], []
        for key, transcripts in members.items():
            if key in self.rows.features:
                genes.append(self._gene(self.rows.features[key], transcripts))
            else:
                partial.extend(_enclosing(key[1], transcripts))
        return _ordered(genes), _ordered(partial)

    def warn(self) -> None:
        """Warns of what the file lacks and of what gene models here cannot hold."""
        if self.missing:
            (_, name), line = next(iter(self.missing.items()))
            warnings.warn(
                f"{self.rows.source}: {len(self.missing)} parents have no row of their own on their sequence (first: "
                f"{name!r}, line {line}); their genes count as partial, as where a piece was cut out of a genome",
                stacklevel=3,
            )
        if self.spliced_across:
            warnings.warn(
                f"{self.rows.source}: {len(self.spliced_across)} transcripts have exons on both strands (first: "
                f"{self.spliced_across[0]!r}); of such trans-splicing only the exons on their own strand are kept",
                stacklevel=3,
            )

    def _root(self, key: Key, line: int) -> Key:
        """Returns the feature at the top of the parents of one, which may be missing."""
        path = {key}
        while True:
            feature = self.rows.features.get(key)
            if feature is None:
                self.missing.setdefault(key, line)
                return key
            if feature.parent is None:
                return key
            key, line = feature.parent, feature.line
            if key in path:
                self.rows.fail(line, f"{feature.name!r} is its own ancestor; correct its Parent")
            path.add(key)

    def _strand(self, feature: Feature) -> str:
        if feature.strand not in ("+", "-"):
            self.rows.fail(
                feature.line, f"unknown strand {feature.strand!r} of {feature.name!r}; write '+' or '-', or remove it"
            )
        return feature.strand

    def _transcript(self, key: Key, feature: Feature | None, pieces: list[Piece]) -> Transcript | None:
        strand = feature.strand if feature and feature.strand in ("+", "-") else pieces[0].strand
        own = [piece for piece in pieces if piece.strand == strand]
        if not own:
            self.rows.fail(
                pieces[0].line, f"strand {pieces[0].strand!r}, but its transcript {key[1]!r} is on {strand!r}"
            )
        if len(own) < len(pieces):
            self.spliced_across.append(key[1])
        exons = self._exons(key, feature, own)
        if not exons:
            return None
        coding = [piece for piece in own if piece.role == "cds"]
        coding.sort(key=lambda p: p.start if strand == "+" else -p.end)
        return Transcript(
            feature.name if feature else key[1],
            key[0],
            strand,
            exons,
            union((piece.start, piece.end) for piece in coding),
            coding[0].phase if coding else 0,
        )

    def _exons(self, key: Key, feature: Feature | None, pieces: list[Piece]) -> tuple[Interval, ...]:
        exons = sorted((piece for piece in pieces if piece.role == "exon"), key=lambda p: p.start)
        for before, after in pairwise(exons):
            if after.start < before.end:
                self.rows.fail(
                    max(before.line, after.line),
                    f"two exons of {key[1]!r} overlap, {before.start + 1}-{before.end} and "
                    f"{after.start + 1}-{after.end}; remove one, or give each transcript its own ID",
                )
        parts = exons or [piece for piece in pieces if piece.role in ("cds", "utr")]
        if parts:
            return union((piece.start, piece.end) for piece in parts)
        if feature is None:
            return ()
        introns = union((piece.start, piece.end) for piece in pieces)
        if introns[0][0] <= feature.start or introns[-1][1] >= feature.end:
            self.rows.fail(pieces[0].line, f"the introns of {key[1]!r} must lie inside it; correct the coordinates")
        edges = [feature.start, *chain.from_iterable(introns), feature.end]
        return tuple(zip(edges[::2], edges[1::2], strict=True))

    def _gene(self, feature: Feature, transcripts: list[Transcript]) -> Gene:
        # Where the gene's row gives no strand, its transcripts do.
        has_strand = feature.strand in ("+", "-")
        strand = self._strand(feature) if has_strand or not transcripts else transcripts[0].strand
        for transcript in transcripts:
            if transcript.strand != strand:
                self.rows.fail(
                    feature.line,
                    f"{feature.name!r} is on strand {strand!r}, but its transcript {transcript.name!r} on "
                    f"{transcript.strand!r}; correct one",
                )
        biotype = feature.biotype or (None if feature.kind in _PLAIN else feature.kind)
        # TAIR10's word for what all others call protein_coding.
        biotype = "protein_coding" if biotype == "protein_coding_gene" else biotype
        start = min([feature.start, *(transcript.exons[0][0] for transcript in transcripts)])
        end = max([feature.end, *(transcript.exons[-1][1] for transcript in transcripts)])
        return Gene(feature.name, feature.chromosome, strand, start, end, biotype, _sorted(transcripts))


def _sorted(transcripts: list[Transcript]) -> tuple[Transcript, ...]:
    return tuple(sorted(transcripts, key=lambda t: (t.exons, t.name)))


def _enclosing(name: str, transcripts: list[Transcript]) -> list[Gene]:
    """Returns the gene that a file has no row for, once for each strand that holds a part of it."""
    groups: dict[str, list[Transcript]] = {}
    for transcript in transcripts:
        groups.setdefault(transcript.strand, []).append(transcript)
    return [
        Gene(
            name,
            group[0].chromosome,
            strand,
            min(transcript.exons[0][0] for transcript in group),
            max(transcript.exons[-1][1] for transcript in group),
            None,
            _sorted(group),
        )
        for strand, group in groups.items()
    ]


def _ordered(genes: list[Gene]) -> tuple[Gene, ...]:
    return tuple(sorted(genes, key=lambda g: (g.chromosome, g.start, g.end, g.name)))
