"""Reading a genome of any length for splice sites at constant memory: a window at a time, both strands in one pass.

Each window is read with ``halo`` bases of its neighbours on either side. A network forgets what lies farther away, and
starts at the ends of a sequence as it does on the whole of it, so that the windows together are the whole.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._fingerprint import fingerprint
from sciml_zoo.splicing._partial_file import PartialFile
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.sequences import iterate_fasta
from sciml_zoo.splicing.site_formats import site_format

__all__ = ["WINDOW", "Place", "ScanSummary", "Sites", "candidate_sites", "scan", "scan_to_file"]

#: Bases judged at a time: more take memory, fewer take time, for the network reads every halo twice.
WINDOW = 32768
_CHECKPOINT = 1 << 19
_A, _C, _G, _T, _UNKNOWN = range(5)
# Bases of sequence in a byte of gzip, for the estimate of the work to come.
_BASES_PER_COMPRESSED_BYTE = 3.3


class Place(NamedTuple):
    """How far a scan has come: all records before this one, and this one up to ``end``."""

    record: str
    end: int


@dataclass(frozen=True)
class Sites:
    """The sites of a window, in the order of position, strand, kind.

    Attributes:
        chromosome: the record's name.
        start: first base of the window, 0-based.
        end: base after its last.
        positions: of the sites, 0-based, in the forward strand's coordinates: the first base of the intron (donor) or
            its last (acceptor) in the direction of transcription; int64 [n].
        strand: 0 for +, 1 for −; uint8 [n].
        kind: 0 donor, 1 acceptor; uint8 [n].
        probability: calibrated, float64 [n].
    """

    chromosome: str
    start: int
    end: int
    positions: NDArray[np.int64]
    strand: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    probability: NDArray[np.float64]


@dataclass(frozen=True)
class ScanSummary:
    """What a scan found.

    Attributes:
        sites: number of sites, [strand][kind].
        bases: of the genome; each is read on both strands.
        resumed_at: how many of them an earlier run had read.
        seconds: that this run took.
    """

    sites: list[list[int]]
    bases: int
    resumed_at: int
    seconds: float

    @property
    def n(self) -> int:
        """Number of sites."""
        return sum(map(sum, self.sites))


class _Window(NamedTuple):
    record: str
    start: int
    end: int
    context: NDArray[np.uint8]  # with the halo
    first: int  # of the window, in the context


def candidate_sites(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Says which bases can be sites: donors are the G of GT or GC, acceptors the G of AG.

    On the other strand the same is read as AC or GC, and CT. The rare introns AT–AC have no candidates.

    Args:
        codes: A, C, G, T as 0 … 3, anything else unknown, [L].

    Returns:
        [L, 2, 2]: strand (+, −), kind (donor, acceptor).
    """
    padded = np.pad(codes, 1, constant_values=_UNKNOWN)
    before, after = padded[:-2], padded[2:]
    g, c = codes == _G, codes == _C
    found = np.empty((len(codes), 2, 2), bool)
    found[:, 0, 0] = g & ((after == _T) | (after == _C))
    found[:, 0, 1] = g & (before == _A)
    found[:, 1, 0] = c & ((before == _A) | (before == _G))
    found[:, 1, 1] = c & (after == _T)
    return found


def scan(
    model: SpliceModel,
    fasta: str | Path,
    *,
    min_probability: float = 0.1,
    device: str | torch.device = "cpu",
    window: int = WINDOW,
    resume_from: Place | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Sites]:
    """Finds the candidate sites of a genome that are probable enough, on both strands.

    Args:
        model: the network.
        fasta: the genome, plain or gzip.
        min_probability: the least calibrated probability that is reported, in (0, 1].
        device: where to compute.
        window: bases judged at a time.
        resume_from: the end of a window of an earlier scan: what comes before is passed over.
        on_progress: called when the sites of a window have been dealt with, with the number of bases done and an
            estimate of the total.

    Returns:
        An iterator over the windows, also those without sites, in the order of the file. Windows without a candidate,
        such as those in a gap of the assembly, are not read by the network.

    Raises:
        InputError: a number out of its range; while iterating, a file that cannot be read.
    """
    if not 0 < min_probability <= 1:
        raise InputError(f"min_probability: {min_probability} is not in (0, 1]")
    if window < 1:
        raise InputError(f"window: {window} is not at least 1")
    model.to(device).eval()
    return _scan(model, Path(fasta), min_probability, torch.device(device), window, resume_from, on_progress)


def _scan(
    model: SpliceModel,
    fasta: Path,
    min_probability: float,
    device: torch.device,
    window: int,
    resume_from: Place | None,
    on_progress: Callable[[int, int], None] | None,
) -> Iterator[Sites]:
    done, waiting = 0, resume_from is not None
    estimate = _estimated_bases(fasta) if fasta.is_file() else 0
    for piece in _windows(fasta, window, max(model.halo, 1)):  # candidates need one neighbour
        done += piece.end - piece.start
        if waiting:
            waiting = Place(piece.record, piece.end) != resume_from
            continue
        yield _judge(model, piece, min_probability, device)
        if on_progress is not None:
            on_progress(done, max(done, estimate))
    if waiting:
        raise InputError(f"{fasta}: there is no window that ends at {resume_from}; the file or the window has changed")
    if on_progress is not None:
        on_progress(done, done)


def _windows(fasta: Path, window: int, halo: int) -> Iterator[_Window]:
    """Yields the windows of all records; of a record, no more than a window and two halos and a chunk are kept."""
    held, origin, start = np.empty(0, np.uint8), 0, 0  # the bases from `origin` on; the next window's start
    for piece in iterate_fasta(fasta, window):
        if piece.start == 0:
            held, origin, start = piece.codes, 0, 0
        else:
            held = np.concatenate([held, piece.codes])
        read = origin + len(held)
        while start < read and (piece.last or read >= start + window + halo):
            end = min(start + window, read)
            left = max(start - halo, 0)
            context = held[left - origin : end + halo - origin]
            yield _Window(piece.name, start, end, context, start - left)
            start = end
        unused = max(start - halo - origin, 0)
        held, origin = held[unused:], origin + unused


@torch.inference_mode()
def _judge(model: SpliceModel, piece: _Window, min_probability: float, device: torch.device) -> Sites:
    inside = slice(piece.first, piece.first + piece.end - piece.start)
    candidates = candidate_sites(piece.context)[inside]
    places = np.flatnonzero(candidates.any((1, 2)))
    probability = np.zeros((len(places), 2, 2))
    if len(places):
        logits = model(torch.from_numpy(piece.context).to(device)[None])[0, inside]
        chosen = logits[torch.from_numpy(places).to(device)]
        probability = model.calibrated(chosen).double().cpu().numpy()
    kept = candidates[places] & (probability >= min_probability)
    row, strand, kind = np.nonzero(kept)
    return Sites(
        piece.record,
        piece.start,
        piece.end,
        piece.start + places[row],
        strand.astype(np.uint8),
        kind.astype(np.uint8),
        probability[kept],
    )


def _estimated_bases(fasta: Path) -> int:
    size = fasta.stat().st_size
    with fasta.open("rb") as file:
        return round(size * _BASES_PER_COMPRESSED_BYTE) if file.read(2) == b"\x1f\x8b" else size


def scan_to_file(
    model: SpliceModel,
    fasta: str | Path,
    out: str | Path,
    *,
    min_probability: float = 0.1,
    device: str | torch.device = "cpu",
    window: int = WINDOW,
    resume: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ScanSummary:
    """Scans a genome into a file, which appears, or replaces an older one, when it is complete.

    Until then the sites are in ``.OUT.partial`` beside it, and every half million bases ``.OUT.progress.json`` says how
    far they go. A scan that was stopped can be resumed from there, and ends with the file, to the byte, that it would
    have written at once.

    Args:
        model: the network.
        fasta: the genome, plain or gzip.
        out: the file; its ending tells the format (:mod:`sciml_zoo.splicing.site_formats`).
        min_probability: the least calibrated probability that is reported, in (0, 1].
        device: where to compute.
        window: bases judged at a time.
        resume: go on with the scan that was stopped; otherwise, what it left is overwritten.
        on_progress: called after each window, with the number of bases done and an estimate of the total.

    Returns:
        Numbers of sites and bases.

    Raises:
        InputError: what :func:`scan` refuses; ``out`` is the FASTA file, has an unknown ending, or no directory to be
            in; nothing to resume, or something else was scanned.
        FailureError: the file cannot be written.
    """
    fasta, out = Path(fasta), Path(out)
    form = site_format(out)
    if out.exists() and fasta.exists() and out.samefile(fasta):
        raise InputError(f"{out} is the genome itself; give another name for the output")
    next(iterate_fasta(fasta, 1))  # what is no FASTA must not cost an older run its progress
    begun = time.perf_counter()
    identity = {
        **_identity(model, fasta),
        "format": form.name,
        "min_probability": min_probability,
        "window": window,
        "device": str(device),
        "threads": torch.get_num_threads(),
    }
    partial = PartialFile(out, identity if form.resumable else None, resume=resume)
    saved = partial.saved or {"place": None, "sites": [[0, 0], [0, 0]], "bases": 0}
    windows = scan(
        model,
        fasta,
        min_probability=min_probability,
        device=device,
        window=window,
        resume_from=saved["place"] and Place(*saved["place"]),
        on_progress=on_progress,
    )
    counts, bases = np.array(saved["sites"]), saved["bases"]
    with partial:
        writer = form.writer(partial, fresh=partial.saved is None)
        last_saved = bases
        for sites in windows:
            writer.write(sites)
            np.add.at(counts, (sites.strand, sites.kind), 1)
            bases += sites.end - sites.start
            if bases - last_saved >= _CHECKPOINT:
                writer.seal()
                partial.save({"place": [sites.chromosome, sites.end], "sites": counts.tolist(), "bases": bases})
                last_saved = bases
        writer.close()
        partial.finish()
    return ScanSummary(counts.tolist(), bases, saved["bases"], time.perf_counter() - begun)


def _identity(model: SpliceModel, fasta: Path) -> dict[str, Any]:
    """Returns what must be the same for a scan to go on where another stopped."""
    status = fasta.stat()
    return {
        "FASTA file's size": status.st_size,
        "FASTA file's time of change": status.st_mtime_ns,
        "architecture": f"{type(model).__name__} {getattr(model, 'config', None)} {model.halo}",
        "weights (sha256)": fingerprint(model),
    }
