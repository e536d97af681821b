"""What variants do to splice sites: the largest gain and loss of an acceptor and a donor near by, as in SpliceAI.

For each alternative allele and each gene within ``window`` bases of it, with p the calibrated probability of every base
on the gene's strand (any base counts, canonical or not), read with ``context`` more bases on either side:

| field of INFO | what it is (Jaganathan et al., Cell 176, 535 (2019)) |
|---|---|
| AG, AL | acceptor gain and loss: max(p_alt − p_ref) and max(p_ref − p_alt) over the bases near by, in [0, 1] |
| DG, DL | the same of donors |
| AGP, ALP, DGP, DLP | where, in bases from POS on the forward strand; 0 where the score is 0.0000 |

Alleles are trimmed of the bases that they share (at the end first, as VCF aligns to the left), and bases near by are
those that change and ``window`` more on either side. p_alt is laid on the bases of the reference: changed bases one to
one, from the left; deleted bases have p_alt = 0; of inserted bases and the one to their left the largest p_alt counts,
there. Among equal scores (to four decimals, as written) the nearest to the change counts, then the one upstream.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sciml_zoo._version import __version__
from sciml_zoo.errors import InputError
from sciml_zoo.splicing._fingerprint import fingerprint
from sciml_zoo.splicing._partial_file import PartialFile
from sciml_zoo.splicing._sequence_names import name_hint
from sciml_zoo.splicing.annotation import check_annotation, read_annotation
from sciml_zoo.splicing.genes import Gene
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.sequences import decode, read_fasta
from sciml_zoo.splicing.variant_effect import DECIMALS, Change, Effect, Probabilities, aligned, effect, trimmed
from sciml_zoo.splicing.vcf import Record, VcfWriter, escaped, is_columns_line, read_vcf, sequence_of, with_info

__all__ = ["score_variants"]

_KEY = "SpliceRNN"
_FORMAT = "ALT|GENE|AG|AL|DG|DL|AGP|ALP|DGP|DLP"
# Sequences of many batches are sorted by length together; lines without any are written after so many.
_BATCHES, _LINES = 64, 1 << 16
_SHOWN = 20
_REMEDY = "give the FASTA of the assembly that the VCF was made with"

Genome = Mapping[str, NDArray[np.uint8]]


class _Place(NamedTuple):
    """Where a record is read: the bases near by, ``first`` … ``last``, and with their context ``left`` … ``right``."""

    chromosome: str
    left: int
    first: int
    last: int
    right: int


@dataclass(frozen=True)
class _Read:
    """A sequence for the network, of the reference if ``change`` is None."""

    place: _Place
    change: Change | None

    @property
    def longer(self) -> int:
        """Bases more than the reference."""
        return 0 if self.change is None else len(self.change.bases) - (self.change.end - self.change.start)

    @property
    def length(self) -> int:
        """Bases in all."""
        return self.place.right - self.place.left + self.longer

    @property
    def inside(self) -> slice:
        """The bases near by."""
        return slice(self.place.first - self.place.left, self.place.last - self.place.left + self.longer)

    def codes(self, genome: Genome) -> NDArray[np.uint8]:
        chromosome, (_, left, _, _, right) = genome[self.place.chromosome], self.place
        if self.change is None:
            return chromosome[left:right]
        new = np.frombuffer(self.change.bases, np.uint8)
        return np.concatenate([chromosome[left : self.change.start], new, chromosome[self.change.end : right]])


@dataclass(frozen=True)
class _Allele:
    alternative: str
    change: Change
    genes: list[Gene]


@dataclass
class _Round:
    """Lines that are waiting for their sequences to be read."""

    lines: list[tuple[bytes | Record, _Place | None, list[_Allele]]] = field(default_factory=list)
    reads: dict[_Read, None] = field(default_factory=dict)  # each sequence once, in order
    alleles: int = 0


class _Scorer:
    """Knows the genome and its genes, and how far to look."""

    def __init__(self, fasta: Path, annotation: Path, window: int, context: int) -> None:
        self.genome: Genome = read_fasta(fasta)
        self.fasta, self.window, self.context = fasta, window, context
        genes = check_annotation(read_annotation(annotation), self.genome)
        by_chromosome: dict[str, list[Gene]] = {}
        for gene in (*genes.genes, *genes.partial):
            by_chromosome.setdefault(gene.chromosome, []).append(gene)
        self._genes = {
            name: (np.array([gene.start for gene in found]), np.array([gene.end for gene in found]), found)
            for name, found in by_chromosome.items()
        }

    def check(self, record: Record, vcf: Path) -> None:
        """Raises an InputError if a record does not fit the genome."""
        where = f"{vcf}, line {record.number}"
        codes = self.genome.get(record.chromosome)
        if codes is None:
            raise InputError(
                f"{where}: CHROM {record.chromosome!r} is not in {self.fasta}; "
                f"{name_hint(record.chromosome, self.genome)}"
            )
        if record.start < 0 or record.end > len(codes):
            only_symbols = all(isinstance(sequence_of(text), str) for text in record.alternatives)
            if only_symbols and record.start in (-1, len(codes)):
                return  # a telomere
            raise InputError(
                f"{where}: POS {record.start + 1} with a REF of {len(record.reference)} bases is not within "
                f"{record.chromosome}, which has {len(codes)}; {_REMEDY}"
            )
        there = codes[record.start : record.end]
        if np.any((there != record.reference) & (there < 4) & (record.reference < 4)):
            raise InputError(
                f"{where}: REF is {_shown(record.reference)} but the genome has {_shown(there)} at "
                f"{record.chromosome}:{record.start + 1}; {_REMEDY}"
            )

    def allele(self, record: Record, alternative: str) -> _Allele | str:
        """Returns what an allele is, or why it is not scored."""
        bases = sequence_of(alternative)
        if isinstance(bases, str):
            return bases
        longest = 2 * self.window + self.context
        if max(len(record.reference), len(bases)) > longest:
            return f"longer than {longest} bases"
        change = trimmed(record.start, record.reference, bases)
        if change.start == change.end and not change.bases:
            return "same as the reference"
        genes = self._genes_near(record.chromosome, change.start - self.window, change.end + self.window)
        return _Allele(alternative, change, genes) if genes else "in no gene"

    def _genes_near(self, chromosome: str, start: int, end: int) -> list[Gene]:
        if chromosome not in self._genes:
            return []
        starts, ends, genes = self._genes[chromosome]
        return [genes[index] for index in np.flatnonzero((starts < end) & (ends > start))]

    def place(self, record: Record) -> _Place:
        """Returns where to read, the same for all alleles of a record: one pass over the reference serves them all."""
        length = len(self.genome[record.chromosome])
        first, last = max(record.start - self.window, 0), min(record.end + self.window, length)
        left, right = max(first - self.context, 0), min(last + self.context, length)
        return _Place(record.chromosome, left, first, last, right)

    def effect(
        self, allele: _Allele, place: _Place, before: Probabilities, after: Probabilities, strand: str
    ) -> Effect:
        """Returns the effect of an allele, within its own window, on one strand; probabilities are [n, 2, 2]."""
        change, own = allele.change, "+-".index(strand)
        laid = aligned(after, change, place.first)
        start = max(change.start - self.window, place.first)
        near = slice(start - place.first, change.end + self.window - place.first)
        return effect(before[near, own], laid[near, own], change, start, strand)


def _shown(codes: NDArray[np.uint8]) -> str:
    return decode(codes[:_SHOWN]) + "…" * (len(codes) > _SHOWN)


def score_variants(
    model: SpliceModel,
    vcf: str | Path,
    fasta: str | Path,
    annotation: str | Path,
    out: str | Path,
    *,
    window: int = 50,
    context: int = 2048,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, int | float | dict[str, int]]:
    """Writes a VCF file with the scores of its variants in INFO, one value for each allele and gene.

    All lines are checked before the first is scored. Those that cannot be scored, and everything else of the others,
    are written as they were; only scores of an earlier run are replaced.

    Args:
        model: the network.
        vcf: the variants, plain or gzip; trimmed of shared bases, an allele may be anything that is a sequence.
        fasta: the genome.
        annotation: its genes, GFF3 or GTF.
        out: the file to write, which appears, or replaces an older one, when it is complete; compressed as bgzip does
            if its name ends in ``.gz``.
        window: how far from a variant a site may be, in bases.
        context: bases read beyond the window on either side; never more than the model's halo.
        device: where to compute.
        batch_size: sequences that the network reads at a time.
        on_progress: called with the number of alleles scored, and their total.

    Returns:
        ``records`` and ``variants`` (alternative alleles) read, those ``scored``, those ``skipped`` by reason,
        ``seconds`` in all, and ``variants_per_second`` while scoring.

    Raises:
        InputError: a file that cannot be read; a line that is malformed, or does not fit the genome, which is named;
            ``out`` is one of the other files, or has no directory to be in; a number out of its range.
    """
    for name, value, least in (("window", window, 1), ("context", context, 0), ("batch_size", batch_size, 1)):
        if value < least:
            raise InputError(f"{name}: {value} is not at least {least}")
    vcf, fasta, annotation, out = Path(vcf), Path(fasta), Path(annotation), Path(out)
    for path in (vcf, fasta, annotation):
        if out.exists() and path.exists() and out.samefile(path):
            raise InputError(f"{out} is one of the inputs; give another name for the output")
    begun = time.perf_counter()
    model.to(device).eval()
    partial = PartialFile(out, None, resume=False)
    scorer = _Scorer(fasta, annotation, window, min(context, model.halo))
    records, counts = _checked(scorer, vcf)
    scored = counts.pop("", 0)
    started = time.perf_counter()
    with partial:
        writer = VcfWriter(partial, out)
        done = 0
        for waiting in _rounds(scorer, vcf, batch_size):
            found: dict[_Read, Probabilities] = {}
            reads = sorted(waiting.reads, key=attrgetter("length"))
            for batch in _batches(reads, batch_size):
                found.update(zip(batch, _probabilities(model, batch, scorer.genome, device), strict=True))
                if on_progress is not None:
                    on_progress(done + sum(read.change is not None for read in found), scored)
            done += waiting.alleles
            for line, place, alleles in waiting.lines:
                writer.write(_written(scorer, line, place, alleles, found, model))
        writer.close()
        partial.finish()
    if on_progress is not None:
        on_progress(scored, scored)
    now = time.perf_counter()
    return {
        "records": records,
        "variants": scored + counts.total(),
        "scored": scored,
        "skipped": dict(sorted(counts.items())),
        "seconds": now - begun,
        "variants_per_second": scored / (now - started),
    }


def _checked(scorer: _Scorer, vcf: Path) -> tuple[int, Counter[str]]:
    """Returns the number of records, and of alleles by the reason not to score them: empty where there is none."""
    records, counts = 0, Counter[str]()
    for record in read_vcf(vcf):
        if isinstance(record, bytes):
            continue
        scorer.check(record, vcf)
        records += 1
        for alternative in record.alternatives:
            allele = scorer.allele(record, alternative)
            counts[allele if isinstance(allele, str) else ""] += 1
    return records, counts


def _rounds(scorer: _Scorer, vcf: Path, batch_size: int) -> Iterator[_Round]:
    """Yields all lines in order, with the sequences to read for them."""
    waiting = _Round()
    for line in read_vcf(vcf):
        place, alleles = None, []
        if isinstance(line, Record):
            found = (scorer.allele(line, alternative) for alternative in line.alternatives)
            alleles = [allele for allele in found if isinstance(allele, _Allele)]
        if isinstance(line, Record) and alleles:
            place = scorer.place(line)
            waiting.reads |= dict.fromkeys(_Read(place, change) for change in (None, *(a.change for a in alleles)))
        waiting.lines.append((line, place, alleles))
        waiting.alleles += len(alleles)
        if len(waiting.reads) >= _BATCHES * batch_size or len(waiting.lines) >= _LINES:
            yield waiting
            waiting = _Round()
    yield waiting


def _batches(reads: Sequence[_Read], batch_size: int) -> Iterator[list[_Read]]:
    """Yields sequences of the same length together: nothing is padded, so that results do not depend on the batch."""
    for _, group in groupby(reads, attrgetter("length")):
        same = list(group)
        for start in range(0, len(same), batch_size):
            yield same[start : start + batch_size]


@torch.inference_mode()
def _probabilities(
    model: SpliceModel, batch: Sequence[_Read], genome: Genome, device: str | torch.device
) -> list[Probabilities]:
    """Returns the probabilities of the bases near by, [n, 2, 2], of each sequence."""
    codes = torch.from_numpy(np.stack([read.codes(genome) for read in batch])).to(device)
    start, stop = min(read.inside.start for read in batch), max(read.inside.stop for read in batch)
    found = model.calibrated(model(codes)[:, start:stop]).double().cpu().numpy()
    return [row[read.inside.start - start : read.inside.stop - start] for read, row in zip(batch, found, strict=True)]


def _written(
    scorer: _Scorer,
    line: bytes | Record,
    place: _Place | None,
    alleles: Sequence[_Allele],
    found: Mapping[_Read, Probabilities],
    model: SpliceModel,
) -> bytes:
    """Returns a line as it is to be written."""
    if isinstance(line, bytes):
        if line.startswith((f"##INFO=<ID={_KEY},".encode(), f"##sciml_zoo=<ID={_KEY},".encode())):
            return b""  # of an earlier run
        return _header(scorer, line, model) + line if is_columns_line(line) else line
    values = []
    for allele in alleles:
        assert place is not None
        before, after = found[_Read(place, None)], found[_Read(place, allele.change)]
        effects = {
            strand: scorer.effect(allele, place, before, after, strand) for strand in {g.strand for g in allele.genes}
        }
        for gene in allele.genes:
            seen = effects[gene.strand]
            scores = (f"{score:.{DECIMALS}f}" for score in seen.scores)
            offsets = (str(0 if position is None else position - line.start) for position in seen.positions)
            values.append("|".join((allele.alternative, escaped(gene.name), *scores, *offsets)))
    return with_info(line, _KEY, values)


def _header(scorer: _Scorer, columns: bytes, model: SpliceModel) -> bytes:
    description = (
        "Gain (G) and loss (L) of splice acceptors (A) and donors (D) by sciml_zoo: scores in [0,1] and positions (P) "
        f"in bases from POS, for each allele and gene. Format: {_FORMAT}"
    )
    lines = (
        f'##INFO=<ID={_KEY},Number=.,Type=String,Description="{description}">',
        f"##sciml_zoo=<ID={_KEY},Version={__version__},Model={type(model).__name__},Weights=sha256:{fingerprint(model)},"
        f"Window={scorer.window},Context={scorer.context}>",
    )
    ending = columns[len(columns.rstrip(b"\r\n")) :] or b"\n"
    return b"".join(text.encode() + ending for text in lines)
