"""Random genes, and the files that hold them."""

from urllib.parse import quote

import numpy as np
from hypothesis import strategies as st

from sciml_zoo.splicing.genes import Annotation, Gene, Transcript

__all__ = ["LENGTH", "annotations", "as_gff3", "as_gtf"]

#: Bases of each chromosome.
LENGTH = 400
_NAMES = ("Chr 1", "2;a,b", "x")  # of chromosomes: GFF3 must escape them


@st.composite
def _transcripts(draw, name: str, chromosome: str, strand: str) -> Transcript:
    count = draw(st.integers(1, 5))
    edges = sorted(draw(st.sets(st.integers(10, LENGTH - 10), min_size=2 * count, max_size=2 * count)))
    exons = tuple(zip(edges[::2], edges[1::2], strict=True))
    inside = [position for start, end in exons for position in range(start, end)]
    if not draw(st.booleans()) or len(inside) < 2:
        return Transcript(name, chromosome, strand, exons)
    first, last = sorted(draw(st.sets(st.sampled_from(inside), min_size=2, max_size=2)))
    cds = tuple((max(start, first), min(end, last + 1)) for start, end in exons if start <= last and end > first)
    return Transcript(name, chromosome, strand, exons, cds, draw(st.integers(0, 2)))


@st.composite
def annotations(draw) -> Annotation:
    """A few genes on three chromosomes, in the order that the reader gives them."""
    genes = []
    for number in range(draw(st.integers(1, 4))):
        chromosome, strand = draw(st.sampled_from(_NAMES)), draw(st.sampled_from("+-"))
        name = f"gene%{number}"
        transcripts = [draw(_transcripts(f"{name}.{k}", chromosome, strand)) for k in range(draw(st.integers(1, 3)))]
        start = min(transcript.exons[0][0] for transcript in transcripts) - draw(st.integers(0, 5))
        end = max(transcript.exons[-1][1] for transcript in transcripts) + draw(st.integers(0, 5))
        biotype = draw(st.sampled_from(["protein_coding", "lncRNA"]))
        ordered = tuple(sorted(transcripts, key=lambda t: (t.exons, t.name)))
        genes.append(Gene(name, chromosome, strand, start, end, biotype, ordered))
    genes.sort(key=lambda g: (g.chromosome, g.start, g.end, g.name))
    return Annotation(tuple(genes), (), "")


def _phases(transcript: Transcript) -> dict[tuple[int, int], int]:
    """Returns for each coding part the bases before its first whole codon."""
    phases, before = {}, -transcript.cds_phase
    for part in transcript.cds if transcript.strand == "+" else transcript.cds[::-1]:
        phases[part] = -before % 3
        before += part[1] - part[0]
    return phases


def _row(place: Gene | Transcript, kind: str, start: int, end: int, attributes: str, phase: object = ".") -> str:
    name = quote(place.chromosome, safe="")
    return "\t".join([name, "test", kind, str(start + 1), str(end), ".", place.strand, str(phase), attributes])


def as_gff3(annotation: Annotation, rng: np.random.Generator | None = None, exons: bool = True) -> str:
    """Returns a GFF3 text, its rows shuffled where there is a generator.

    Without exon rows, coding transcripts are written as CDS and UTR rows.
    """
    rows = []
    for gene in annotation.genes:
        gene_id = quote(gene.name)
        rows.append(_row(gene, "gene", gene.start, gene.end, f"Name=x;ID={gene_id};biotype={gene.biotype}"))
        for transcript in gene.transcripts:
            own = quote(transcript.name)
            start, end = transcript.exons[0][0], transcript.exons[-1][1]
            rows.append(_row(gene, "mRNA", start, end, f"ID={own};Parent={gene_id}"))
            rows += [
                _row(gene, "CDS", *part, f"Parent={own},{own}-Protein", phase)
                for part, phase in _phases(transcript).items()
            ]
            if exons or not transcript.cds:
                rows += [_row(gene, "exon", *exon, f"Parent={own}") for exon in transcript.exons]
                continue
            first, last = transcript.cds[0][0], transcript.cds[-1][1]
            low = [(a, min(b, first)) for a, b in transcript.exons if a < first]
            high = [(max(a, last), b) for a, b in transcript.exons if b > last]
            rows += [_row(gene, "five_prime_UTR", *part, f"Parent={own}") for part in low]
            rows += [_row(gene, "three_prime_UTR", *part, f"Parent={own}") for part in high]
    if rng is not None:
        rng.shuffle(rows)
    return "##gff-version 3\n# a comment\n" + "\n".join(rows) + "\n###\n##FASTA\n>Chr1\nACGT\n"


def as_gtf(annotation: Annotation, rng: np.random.Generator, parents: bool) -> str:
    """Returns a GTF text with stop codons of their own; without rows of genes and transcripts unless ``parents``."""
    rows = []
    for gene in annotation.genes:
        words = f'gene_id "{gene.name}"; gene_type "{gene.biotype}"; '
        if parents:
            rows.append(_row(gene, "gene", gene.start, gene.end, words))
        for transcript in gene.transcripts:
            own = f'{words}transcript_id "{transcript.name}"; note "a = b";'
            if parents:
                rows.append(_row(gene, "transcript", transcript.exons[0][0], transcript.exons[-1][1], own))
            rows += [_row(gene, "exon", *exon, own) for exon in transcript.exons]
            parts = list(_phases(transcript).items())
            if parts:
                (start, end), phase = parts.pop()
                if end - start > 3:
                    coding, stop = (
                        ((start, end - 3), (end - 3, end))
                        if gene.strand == "+"
                        else ((start + 3, end), (start, start + 3))
                    )
                    rows.append(_row(gene, "stop_codon", *stop, own, 0))
                    parts.append((coding, phase))
                else:
                    parts.append(((start, end), phase))
            rows += [_row(gene, "CDS", *part, own, phase) for part, phase in parts]
    rng.shuffle(rows)
    return "#!genome-build\n" + "\n".join(rows).replace("%20", " ").replace("%3B", ";").replace("%2C", ",") + "\n"
