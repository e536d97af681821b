"""The rows of GFF3 and GTF files that gene models are made of.

Both formats have nine columns: sequence, source, type, start and end (1-based, inclusive), score, strand, phase (of
``CDS`` rows: bases before the first whole codon) and attributes: ``ID=x;Parent=a,b`` with URL escapes in GFF3,
``gene_id "x"; transcript_id "y";`` in GTF. Rows may come in any order; ``##FASTA`` ends a GFF3 annotation.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import unquote

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._opening import open_text
from sciml_zoo.splicing.genes import Intron

__all__ = ["Feature", "Key", "Piece", "Rows", "read_rows"]

_ROLES = {
    "cds": "cds",
    # GTF leaves the stop codon out of the CDS, GFF3 does not: with it, both tell the same.
    "stop_codon": "cds",
    "five_prime_utr": "utr",
    "three_prime_utr": "utr",
    "5utr": "utr",
    "3utr": "utr",
    "utr": "utr",
    "intron": "intron",
    "start_codon": "ignored",
    "selenocysteine": "ignored",
}
# They hang beside a transcript (TAIR10 gives its CDS rows to both), and are none.
_PROTEINS = re.compile(r"protein|polypeptide|peptide", re.IGNORECASE)
_ID = re.compile(r"(?:^|;)\s*ID=([^;]*)")
_PARENT = re.compile(r"(?:^|;)\s*Parent=([^;]*)")
_BIOTYPE = re.compile(r"(?:^|;)\s*(?:gene_biotype|gene_type|biotype|locus_type)=([^;]*)")
# TAIR10 keeps the biotype in Note, others a sentence.
_NOTE = re.compile(r"(?:^|;)\s*Note=([A-Za-z_]*(?:gene|RNA|rna))(?=;|$)")
_GENE_ID = re.compile(r'(?:^|;)\s*gene_id\s+"?([^";]*)')
_TRANSCRIPT_ID = re.compile(r'(?:^|;)\s*transcript_id\s+"?([^";]*)')
_GTF_BIOTYPE = re.compile(r'(?:^|;)\s*(?:gene_biotype|gene_type)\s+"?([^";]*)')
_GTF = re.compile(r"\s*\w+\s+\S")
_STRANDS = frozenset("+-.?")


#: A sequence and an ID on it. Pieces cut out of a genome, and copies of a gene, may use an ID on several sequences.
#: GTF has one name space for genes and one for transcripts: its IDs here begin with the name of the attribute.
Key = tuple[str, str]


class Piece(NamedTuple):
    """A part of a transcript.

    Args:
        role: ``"exon"``, ``"cds"``, ``"utr"`` or ``"intron"``.
        start: first base, 0-based.
        end: base after the last.
        strand: ``"+"`` or ``"-"``.
        phase: of a CDS row; 0 where it is not given.
        line: of the file, 1-based.
    """

    role: str
    start: int
    end: int
    strand: str
    phase: int
    line: int


@dataclass
class Feature:
    """A gene, a transcript, or anything else that has an ID or a parent.

    Args:
        name: as the file writes it.
        kind: the type column.
        chromosome: name of the sequence.
        start: first base, 0-based.
        end: base after the last.
        strand: ``"+"``, ``"-"``, or ``"."`` or ``"?"`` where unknown.
        parent: key of the feature it is a part of (the first, where there are several); None without one.
        biotype: where the row says it.
        line: of the file, 1-based.
    """

    name: str
    kind: str
    chromosome: str
    start: int
    end: int
    strand: str
    parent: Key | None
    biotype: str | None
    line: int

    @property
    def is_protein(self) -> bool:
        """Whether the type is that of a protein or a part of one."""
        return _PROTEINS.search(self.kind) is not None


@dataclass
class Rows:
    """What the rows of a file say.

    Args:
        source: the file.
        features: genes, transcripts and others.
        pieces: parts of transcripts by the key of the transcript, which ``features`` may lack.
        supported: introns without a parent.
    """

    source: str
    features: dict[Key, Feature] = field(default_factory=dict)
    pieces: dict[Key, list[Piece]] = field(default_factory=dict)
    supported: list[Intron] = field(default_factory=list)

    def fail(self, line: int, problem: str) -> NoReturn:
        """Raises an error that names a line."""
        raise InputError(f"{self.source}, line {line}: {problem}")

    def add(self, key: Key, feature: Feature) -> None:
        """Adds a feature; further rows with its key extend it."""
        known = self.features.setdefault(key, feature)
        if known is not feature:
            known.start, known.end = min(known.start, feature.start), max(known.end, feature.end)
            known.biotype = known.biotype or feature.biotype


def read_rows(path: str | Path) -> Rows:
    """Reads the rows of a GFF3 or GTF file, plain or gzip; which of the two is told by the attributes.

    Args:
        path: the file.

    Returns:
        The features, the parts of transcripts, and the introns without a parent.

    Raises:
        InputError: naming the file and the line: not nine columns, a coordinate that is no number or below 1, start
            after end, a strand or phase that is none, neither format.
    """
    rows = Rows(str(path))
    is_gtf: bool | None = None
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.startswith("#"):
                if line.startswith("##FASTA"):
                    break
                continue
            columns = line.rstrip("\n").split("\t")
            if len(columns) != 9:
                if not line.strip():
                    continue
                if line.startswith(">"):  # a FASTA section without its directive
                    break
                rows.fail(number, f"{len(columns)} columns; GFF3 and GTF have 9, separated by tabs")
            attributes = columns[8]
            if is_gtf is None and attributes not in ("", "."):
                is_gtf = _is_gtf(rows, number, attributes)
            start, end = _interval(rows, number, columns)
            if columns[6] not in _STRANDS:
                rows.fail(number, f"unknown strand {columns[6]!r}; write '+' or '-' ('.' where there is none)")
            if is_gtf:
                _add_gtf(rows, number, columns, start, end)
            else:
                _add_gff3(rows, number, columns, start, end)
    return rows


def _is_gtf(rows: Rows, number: int, attributes: str) -> bool:
    if _GTF.match(attributes) and ("=" not in attributes or "gene_id " in attributes):
        return True
    if "=" not in attributes:
        rows.fail(number, f'attributes {attributes[:40]!r} are neither GFF3 (ID=x;Parent=y) nor GTF (gene_id "x";)')
    return False


def _interval(rows: Rows, number: int, columns: list[str]) -> tuple[int, int]:
    try:
        start, end = int(columns[3]), int(columns[4])
    except ValueError:
        rows.fail(number, f"start {columns[3]!r} and end {columns[4]!r} must be whole numbers")
    if start < 1:
        rows.fail(number, f"start {start} is below 1; coordinates are 1-based (those of BED are 0-based)")
    if start > end:
        rows.fail(number, f"start {start} is after end {end}; start is the smaller on both strands")
    return start - 1, end


def _role(kind: str) -> str:
    """Returns what a row of a type is to a transcript, and remembers it: there are few types and many rows."""
    role = _ROLES.get(kind)
    if role is None:
        lower = kind.lower()
        role = _ROLES.get(lower) or ("exon" if lower == "exon" or lower.endswith("_exon") else "feature")
        _ROLES[kind] = role
    return role


def _piece(rows: Rows, number: int, columns: list[str], role: str, start: int, end: int) -> Piece:
    strand = columns[6]
    if strand not in ("+", "-"):
        rows.fail(number, f"unknown strand {strand!r} of a part of a transcript; write '+' or '-', or remove the row")
    phase = 0
    if role == "cds" and columns[7] != ".":
        if columns[7] not in ("0", "1", "2"):
            rows.fail(number, f"phase {columns[7]!r}; it is 0, 1, 2 or '.'")
        phase = int(columns[7])
    return Piece(role, start, end, strand, phase, number)


def _support(rows: Rows, number: int, columns: list[str], start: int, end: int) -> None:
    """Keeps an intron without a parent; one without a strand has no donor, and is passed over."""
    score, strand = columns[5], columns[6]
    try:
        count = None if score == "." else float(score)
    except ValueError:
        count = math.nan
    if count is not None and not math.isfinite(count):
        rows.fail(number, f"score {score!r}; it is a number or '.'")
    if strand in ("+", "-"):
        rows.supported.append(Intron(_unescaped(columns[0]), strand, start, end, count=count))


def _unescaped(text: str) -> str:
    return unquote(text) if "%" in text else text


def _add_gff3(rows: Rows, number: int, columns: list[str], start: int, end: int) -> None:
    attributes, role, chromosome = columns[8], _role(columns[2]), _unescaped(columns[0])
    found = _PARENT.search(attributes)
    parents = [(chromosome, _unescaped(p.strip())) for p in found[1].split(",") if p.strip()] if found else []
    if role == "feature":
        identifier = _ID.search(attributes)
        if identifier is None and not parents:
            return
        name = _unescaped(identifier[1].strip()) if identifier else f"{columns[2]} of line {number}"
        noted = _BIOTYPE.search(attributes) or _NOTE.search(attributes)
        biotype = _unescaped(noted[1]) if noted else None
        parent = parents[0] if parents else None
        feature = Feature(name, columns[2], chromosome, start, end, columns[6], parent, biotype, number)
        rows.add((chromosome, name), feature)
    elif parents and role != "ignored":
        piece = _piece(rows, number, columns, role, start, end)
        for key in parents:
            rows.pieces.setdefault(key, []).append(piece)
    elif role == "intron":
        _support(rows, number, columns, start, end)


def _add_gtf(rows: Rows, number: int, columns: list[str], start: int, end: int) -> None:
    attributes, role = columns[8], _role(columns[2])
    chromosome, kind, strand = columns[0], columns[2], columns[6]
    gene, transcript = _GENE_ID.search(attributes), _TRANSCRIPT_ID.search(attributes)
    if role == "intron" and not (transcript and transcript[1]):
        _support(rows, number, columns, start, end)
        return
    if gene is None or not gene[1]:
        rows.fail(number, f"a GTF row without gene_id: {attributes[:40]!r}")
    gene_key = (chromosome, f"gene_id {gene[1]}")
    # Many files have no rows of genes or transcripts: the first row of a part stands for them.
    if kind == "gene" or gene_key not in rows.features:
        noted = _GTF_BIOTYPE.search(attributes)
        biotype = noted[1] if noted else None
        rows.add(gene_key, Feature(gene[1], "gene", chromosome, start, end, strand, None, biotype, number))
    if kind == "gene" or transcript is None or not transcript[1]:
        return
    key = (chromosome, f"transcript_id {transcript[1]}")
    if role == "feature" or key not in rows.features:
        rows.add(key, Feature(transcript[1], "transcript", chromosome, start, end, strand, gene_key, None, number))
    if role not in ("feature", "ignored"):
        rows.pieces.setdefault(key, []).append(_piece(rows, number, columns, role, start, end))
