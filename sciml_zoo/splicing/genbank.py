"""GenBank files: sequences and gene models at once, read by Biopython.

Transcripts are ``mRNA`` and other RNA features; a ``CDS`` joins the first mRNA of its gene whose introns it shares, and
is a transcript itself where there is none. Features belong to the gene of their ``locus_tag``, or else ``gene``.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from Bio import BiopythonParserWarning, SeqIO
from Bio.Seq import UndefinedSequenceError
from Bio.SeqFeature import SeqFeature
from Bio.SeqRecord import SeqRecord
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._gene_models import union
from sciml_zoo.splicing._opening import open_text
from sciml_zoo.splicing.genes import Annotation, Gene, Interval, Transcript
from sciml_zoo.splicing.sequences import encode

__all__ = ["read_genbank"]

_RNA = re.compile(r"RNA$|transcript$")


@dataclass
class _Locus:
    """The features of a gene.

    Args:
        name: locus tag or gene name.
        strand: of its first feature.
        extents: of all its features.
        rnas: transcripts, with the type of their feature.
        coding: transcripts of which only the coding parts are known.
        is_pseudogene: whether the file calls it one.
    """

    name: str
    strand: str
    extents: list[Interval] = field(default_factory=list)
    rnas: list[tuple[str, Transcript]] = field(default_factory=list)
    coding: list[Transcript] = field(default_factory=list)
    is_pseudogene: bool = False

    def gene(self, chromosome: str) -> Gene:
        """Returns the gene, each CDS in the transcript that it is a part of."""
        transcripts = [transcript for _, transcript in self.rnas]
        for cds in self.coding:
            matching = (k for k, rna in enumerate(transcripts) if not rna.cds and _codes_within(cds, rna))
            place = next(matching, None)
            if place is None:
                transcripts.append(cds)
            else:
                transcripts[place] = replace(transcripts[place], cds=cds.cds, cds_phase=cds.cds_phase)
        kinds = [kind for kind, _ in self.rnas]
        biotype = kinds[0] if kinds else None
        if self.coding or "mRNA" in kinds:
            biotype = "protein_coding"
        if self.is_pseudogene:
            biotype = "pseudogene"
        start, end = min(start for start, _ in self.extents), max(end for _, end in self.extents)
        return Gene(self.name, chromosome, self.strand, start, end, biotype, tuple(transcripts))


def _codes_within(cds: Transcript, rna: Transcript) -> bool:
    """Returns whether the parts of a CDS are those of the exons between its ends."""
    start, end = cds.exons[0][0], cds.exons[-1][1]
    within = [(max(first, start), min(last, end)) for first, last in rna.exons if first < end and last > start]
    return tuple(within) == cds.exons


def read_genbank(path: str | Path) -> tuple[dict[str, NDArray[np.uint8]], Annotation]:
    """Reads a GenBank file, plain or gzip.

    Warns of features that are left out because their parts are no exons of one strand in order: trans-splicing, over
    the origin of a circle, or in another record.

    Args:
        path: the file.

    Returns:
        The sequences, name (with version) → codes, uint8 [L], and the gene models on them, whose canonical flags
        :func:`~sciml_zoo.splicing.annotation.check_annotation` fills.

    Raises:
        InputError: naming the file and the record: not GenBank, damaged, without sequence, a name twice, a letter that
            is not IUPAC.
    """
    sequences: dict[str, NDArray[np.uint8]] = {}
    genes: list[Gene] = []
    left_out: list[str] = []
    for record in _records(path):
        where = f"{path}, record {record.id!r}"
        if record.id in sequences:
            raise InputError(f"{where}: the name is given to two records; rename one")
        try:
            sequences[record.id] = encode(str(record.seq))
        except UndefinedSequenceError:
            raise InputError(f"{where}: no sequence; download the record with it ('GenBank (full)')") from None
        except InputError as error:
            raise InputError(f"{where}, {error}") from None
        genes += _genes(record, left_out)
    if left_out:
        warnings.warn(
            f"{path}: {len(left_out)} features left out (first: {left_out[0]}), whose parts are no exons of one strand "
            "in order",
            stacklevel=2,
        )
    genes.sort(key=lambda g: (g.chromosome, g.start, g.end, g.name))
    return sequences, Annotation(tuple(genes), (), str(path))


def _records(path: str | Path) -> list[SeqRecord]:
    with open_text(path) as stream, warnings.catch_warnings():
        # Biopython only warns of a sequence that is shorter than its first line says.
        warnings.filterwarnings("error", "Expected sequence length|Premature end", BiopythonParserWarning)
        try:
            records = list(SeqIO.parse(stream, "genbank"))
        except UnicodeDecodeError:
            raise
        except (ValueError, AssertionError, LookupError, BiopythonParserWarning) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path}: cannot be read as GenBank ({reason}); download the file again") from None
    if not records:
        raise InputError(f"{path}: no GenBank record, which begins with LOCUS")
    return records


def _genes(record: SeqRecord, left_out: list[str]) -> list[Gene]:
    loci: dict[str, _Locus] = {}
    for feature in record.features:
        is_rna = _RNA.search(feature.type) is not None
        if not (is_rna or feature.type in ("gene", "CDS")):
            continue
        name = _first(feature, "locus_tag", "gene") or f"{feature.type}:{int(feature.location.start) + 1}"
        exons = _exons(feature)
        if exons is None:
            left_out.append(f"{feature.type} {name!r} of {record.id!r}")
            continue
        strand = "-" if feature.location.strand == -1 else "+"
        locus = loci.setdefault(name, _Locus(name, strand))
        if locus.strand != strand:
            left_out.append(f"{feature.type} {name!r} of {record.id!r}")
            continue
        locus.extents.append((exons[0][0], exons[-1][1]))
        locus.is_pseudogene |= "pseudo" in feature.qualifiers or "pseudogene" in feature.qualifiers
        label = _first(feature, "transcript_id", "protein_id") or name
        if is_rna:
            locus.rnas.append((feature.type, Transcript(label, record.id, strand, exons)))
        elif feature.type == "CDS":
            phase = int(_first(feature, "codon_start") or 1) - 1
            locus.coding.append(Transcript(label, record.id, strand, exons, exons, phase))
    return [locus.gene(record.id) for locus in loci.values()]


def _first(feature: SeqFeature, *qualifiers: str) -> str | None:
    return next((feature.qualifiers[q][0] for q in qualifiers if feature.qualifiers.get(q)), None)


def _exons(feature: SeqFeature) -> tuple[Interval, ...] | None:
    """Returns the parts of a feature, ascending; None where they are no exons of one strand in order."""
    parts = feature.location.parts
    starts = [int(part.start) for part in parts]
    in_order = sorted(starts, reverse=feature.location.strand == -1)
    is_joined = getattr(feature.location, "operator", "join") == "join"
    if not is_joined or starts != in_order or any(part.ref for part in parts) or feature.location.strand is None:
        return None
    return union((int(part.start), int(part.end)) for part in parts)
