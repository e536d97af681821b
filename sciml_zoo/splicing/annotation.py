"""Annotations: GFF3 and GTF files to gene models, and gene models against sequences.

A transcript is what ``exon`` rows belong to; where it has none, ``CDS`` and UTR rows, ``intron`` rows or its own
extent make its exons. Its gene is the feature at the top of its parents, or itself. Genes of which the file holds no
row of their own (a piece cut out of a genome) are kept apart, in ``Annotation.partial``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._gene_models import GeneModels
from sciml_zoo.splicing._sequence_names import name_hint
from sciml_zoo.splicing.genes import Annotation, Gene, Intron, Transcript
from sciml_zoo.splicing.gff import read_rows

__all__ = ["Annotation", "Gene", "Intron", "Transcript", "check_annotation", "read_annotation"]

# Fewer introns say nothing about whether the sequences are the right ones.
_ENOUGH_INTRONS = 20

# GT..AG on the forward strand, and CT..AC, the same on the other: the first two bases and the last two.
_CANONICAL = {"+": (2, 3, 0, 2), "-": (1, 3, 0, 1)}


def read_annotation(path: str | Path) -> Annotation:
    """Reads the gene models of a GFF3 or GTF file, plain or gzip; which of the two is told by the content.

    Warns of parents that have no row (see ``Annotation.partial``), and of transcripts with exons on both strands
    (trans-splicing), of which those on the transcript's own are kept.

    Args:
        path: the file.

    Returns:
        The gene models; canonical flags are None until :func:`check_annotation`.

    Raises:
        InputError: naming the file and the line: as :func:`~sciml_zoo.splicing.gff.read_rows` does; exons of one
            transcript that overlap, or all lie on the other strand; no gene whose rows are all there.
    """
    rows = read_rows(path)
    models = GeneModels(rows)
    genes, partial = models.assemble()
    if not genes and partial:
        (_, parent), line = next(iter(models.missing.items()))
        rows.fail(line, f"no row has the ID {parent!r}, nor that of any other Parent; add the rows of the genes")
    if not genes and not rows.supported:
        raise InputError(f"{path}: no gene and no intron in this file; give one with gene, mRNA and exon rows")
    models.warn()
    supported = sorted(rows.supported, key=lambda i: (i.chromosome, i.start, i.end, i.strand))
    return Annotation(genes, tuple(supported), str(path), partial)


def check_annotation(annotation: Annotation, sequences: Mapping[str, NDArray[np.uint8]]) -> Annotation:
    """Holds an annotation against the sequences it is meant for.

    Args:
        annotation: the gene models.
        sequences: name → codes, uint8 [L]; some may have no genes.

    Returns:
        The annotation with the canonical flags of all introns; supported introns on other sequences are left out.

    Raises:
        InputError: naming the gene: its chromosome is not among the sequences, or it ends after its chromosome; most
            introns do not begin with GT and end with AG, as with another assembly or species.
    """
    for gene in (*annotation.genes, *annotation.partial):
        _check_place(gene, sequences, annotation.source)
    checked = Annotation(
        tuple(_flagged(gene, sequences[gene.chromosome]) for gene in annotation.genes),
        tuple(_flagged_supported(annotation, sequences)),
        annotation.source,
        tuple(_flagged(gene, sequences[gene.chromosome]) for gene in annotation.partial),
    )
    introns = [intron for gene in checked.genes for intron in gene.introns]
    known = [intron for intron in introns if max(_ends(sequences[intron.chromosome], intron)) < 4]
    canonical = sum(intron.canonical is True for intron in known)
    if len(known) >= _ENOUGH_INTRONS and canonical < len(known) / 2:
        raise InputError(
            f"{annotation.source}: the sequences are not those that the annotation was made for (only "
            f"{100 * canonical / len(known):.0f} % of {len(known)} introns are GT–AG); give the FASTA of the same "
            "assembly and release"
        )
    return checked


def _check_place(gene: Gene, sequences: Mapping[str, NDArray[np.uint8]], source: str) -> None:
    if gene.chromosome not in sequences:
        raise InputError(
            f"{source}: gene {gene.name!r} is on {gene.chromosome!r}, which is not among the sequences; "
            f"{name_hint(gene.chromosome, sequences)}"
        )
    length = len(sequences[gene.chromosome])
    if gene.end > length:
        raise InputError(
            f"{source}: gene {gene.name!r} is at {gene.chromosome}:{gene.start + 1}-{gene.end}, but {gene.chromosome} "
            f"ends at {length}; give the FASTA of the same assembly, or leave out genes that are cut off"
        )


def _ends(codes: NDArray[np.uint8], intron: Intron) -> tuple[int, ...]:
    """Returns the codes of the first two bases and the last two on the forward strand."""
    inside = codes[intron.start : intron.end]
    return (*inside[:2].tolist(), *inside[-2:].tolist())


def _is_canonical(codes: NDArray[np.uint8], intron: Intron) -> bool:
    return _ends(codes, intron) == _CANONICAL[intron.strand]


def _flagged(gene: Gene, codes: NDArray[np.uint8]) -> Gene:
    transcripts = (replace(t, canonical=tuple(_is_canonical(codes, i) for i in t.introns)) for t in gene.transcripts)
    return replace(gene, transcripts=tuple(transcripts))


def _flagged_supported(annotation: Annotation, sequences: Mapping[str, NDArray[np.uint8]]) -> Iterator[Intron]:
    for intron in annotation.supported:
        codes = sequences.get(intron.chromosome)
        if codes is None:
            continue
        if intron.end > len(codes):
            raise InputError(
                f"{annotation.source}: the supported intron {intron.chromosome}:{intron.start + 1}-{intron.end} passes "
                f"the end of {intron.chromosome} at {len(codes)}; give the FASTA of the same assembly"
            )
        yield replace(intron, canonical=_is_canonical(codes, intron))
