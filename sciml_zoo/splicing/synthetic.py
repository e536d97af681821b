"""Genomes that were never alive: random genes whose splice sites follow a stated grammar, to learn and to test on.

Exons are rich in G and C, introns in T; donors and acceptors are drawn from position-specific frequencies like those of
plants, so that the best possible prediction is good but not perfect. Genes lie on both strands of random DNA.
"""

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.splicing.genes import Annotation, Gene, Transcript
from sciml_zoo.splicing.labels import LabelledGenome
from sciml_zoo.splicing.sequences import reverse_complement

__all__ = ["synthetic_genome"]

# Frequencies of A, C, G, T.
_OUTSIDE = (0.32, 0.18, 0.18, 0.32)
_EXON = (0.28, 0.22, 0.24, 0.26)
_INTRON = (0.27, 0.15, 0.17, 0.41)
_DONOR = "AGGTAAGT"  # two bases of exon, six of intron
_DONOR_STRENGTH = (0.7, 0.85, 1.0, 1.0, 0.8, 0.75, 0.85, 0.7)
_ACCEPTOR = "TTTTTTTGCAGG"  # eleven bases of intron, one of exon
_ACCEPTOR_STRENGTH = (0.7, 0.7, 0.75, 0.75, 0.7, 0.7, 0.7, 0.5, 0.85, 1.0, 1.0, 0.7)
_EXON_BASES, _INTRON_BASES, _BETWEEN = (60, 300), (75, 200), (150, 900)


def synthetic_genome(n_genes: int = 60, *, seed: int = 0, name: str = "synthetic") -> LabelledGenome:
    """Draws a chromosome.

    Args:
        n_genes: how many genes it has, of two to six exons each.
        seed: of everything.
        name: of the chromosome.

    Returns:
        The genome with its annotation.
    """
    rng = np.random.default_rng(seed)
    pieces: list[NDArray[np.uint8]] = []
    genes: list[Gene] = []
    length = 0
    for number in range(n_genes):
        between = _random(_OUTSIDE, int(rng.integers(*_BETWEEN)), rng)
        codes, exons = _gene(rng)
        strand = "+-"[int(rng.integers(2))]
        if strand == "-":
            codes = reverse_complement(codes)
            exons = [(len(codes) - end, len(codes) - start) for start, end in reversed(exons)]
        start = length + len(between)
        placed = tuple((start + first, start + last) for first, last in exons)
        title = f"gene{number + 1}"
        transcript = Transcript(f"{title}.1", name, strand, placed)
        genes.append(Gene(title, name, strand, start, start + len(codes), "protein_coding", (transcript,)))
        pieces += [between, codes]
        length = start + len(codes)
    pieces.append(_random(_OUTSIDE, _BETWEEN[1], rng))
    return LabelledGenome({name: np.concatenate(pieces)}, Annotation(tuple(genes), (), f"synthetic, seed {seed}"))


def _gene(rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[tuple[int, int]]]:
    """Returns a gene in the direction of transcription, and its exons."""
    n_introns = int(rng.integers(1, 6))
    exons = [_random(_EXON, int(rng.integers(*_EXON_BASES)), rng) for _ in range(n_introns + 1)]
    parts, places, place = [], [], 0
    for index, exon in enumerate(exons):
        parts.append(exon)
        places.append((place, place + len(exon)))
        place += len(exon)
        if index < n_introns:
            donor = _drawn(_DONOR, _DONOR_STRENGTH, rng)
            acceptor = _drawn(_ACCEPTOR, _ACCEPTOR_STRENGTH, rng)
            intron = _random(_INTRON, int(rng.integers(*_INTRON_BASES)), rng)
            exon[-2:], intron[:6] = donor[:2], donor[2:]
            intron[-11:], exons[index + 1][:1] = acceptor[:11], acceptor[11:]
            parts.append(intron)
            place += len(intron)
    return np.concatenate(parts), places


def _random(frequencies: tuple[float, ...], length: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.choice(4, length, p=frequencies).astype(np.uint8)


def _drawn(consensus: str, strength: tuple[float, ...], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Returns the consensus, each base kept with its strength and otherwise one of the other three."""
    codes = np.array(["ACGT".index(letter) for letter in consensus], np.uint8)
    other = (codes + rng.integers(1, 4, len(codes))).astype(np.uint8) % 4
    return np.where(rng.random(len(codes)) < strength, codes, other)
