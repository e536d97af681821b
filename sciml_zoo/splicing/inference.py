"""Scores of a network on an annotated genome, and predictions for a genome, shared over ranks.

Chromosomes are read in windows with the model's halo on either side, as :mod:`sciml_zoo.splicing.scan` does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sciml_zoo.datasets import referenced_file
from sciml_zoo.errors import InputError
from sciml_zoo.splicing.classified import (
    ClassifiedWindow,
    class_logits,
    error_rates,
    is_classified,
    read_classified,
    split_windows,
)
from sciml_zoo.splicing.labels import LabelledGenome, Region, Window
from sciml_zoo.splicing.metrics import average_precision, expected_calibration_error, precision_at_recall, top_k
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.recipe import labelled_genome
from sciml_zoo.splicing.scan import candidate_sites, scan_to_file
from sciml_zoo.training.ranks import Ranks

__all__ = ["Predicted", "evaluate", "predict", "predict_regions", "site_scores"]

_WINDOW = 16384
_KINDS = ("donor", "acceptor")
_CONFIDENT = 0.1
_WINDOWS = 512
_NOT_REPORTED = -1000.0


@dataclass(frozen=True)
class Predicted:
    """A region with its labels and logits.

    Attributes:
        region: where it lies.
        window: bases and labels.
        logits: float32 [L, 2, 2].
    """

    region: Region
    window: Window
    logits: NDArray[np.float32]


def predict_regions(
    model: SpliceModel,
    genome: LabelledGenome,
    regions: Sequence[Region],
    *,
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Predicted]:
    """Reads regions with the context that the genome gives them.

    Args:
        model: the network.
        genome: the genome.
        regions: such as whole chromosomes.
        device: where to compute.
        ranks: the processes that share the work.
        on_progress: called with the number of bases done by this rank, and its total.

    Returns:
        The regions, in their order; on all ranks.
    """
    model = model.to(device).eval()
    pieces = [Region(r.chromosome, s, min(s + _WINDOW, r.end)) for r in regions for s in range(r.start, r.end, _WINDOW)]
    rank, world_size = (ranks.rank, ranks.world_size) if ranks else (0, 1)
    mine = range(rank, len(pieces), world_size)
    total = sum(len(pieces[index]) for index in mine)
    found: dict[int, NDArray[np.float32]] = {}
    done = 0
    for index in mine:
        found[index] = _logits(model, genome.sequences[pieces[index].chromosome], pieces[index], device)
        done += len(pieces[index])
        if on_progress is not None:
            on_progress(done, total)
    if ranks is not None:
        found = {index: value for part in ranks.gather(found) for index, value in part.items()}
    ordered = iter(found[index] for index in range(len(pieces)))
    return [Predicted(r, genome.window(r), np.concatenate([next(ordered) for _ in range(_count(r))])) for r in regions]


def _count(region: Region) -> int:
    return -(-len(region) // _WINDOW)


@torch.inference_mode()
def _logits(
    model: SpliceModel, codes: NDArray[np.uint8], piece: Region, device: str | torch.device
) -> NDArray[np.float32]:
    start, end = max(piece.start - model.halo, 0), min(piece.end + model.halo, len(codes))
    logits = model(torch.from_numpy(codes[None, start:end].copy()).to(device))[0]
    return logits[piece.start - start : piece.end - start].float().cpu().numpy()


def site_scores(
    predicted: Sequence[Predicted], kind: int, *, scope: str
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Gathers the logits and the truth of the bases that a score is over, as a scan would report them.

    What is no candidate of a scan (GT, GC, AG) has the lowest of all logits, so that a site there counts as missed.

    Args:
        predicted: regions.
        kind: 0 donor, 1 acceptor.
        scope: ``genes``: all bases of genes on the gene's strand; ``both_strands``: all bases of both strands.

    Returns:
        Logits [n] and labels [n].
    """
    logits, truth = [], []
    for part in predicted:
        inside = part.window.known[..., kind]
        if scope == "genes":
            inside = inside & part.window.genic
        reported = np.where(candidate_sites(part.window.codes), part.logits, _NOT_REPORTED)
        logits.append(reported[..., kind][inside])
        truth.append(part.window.labels[..., kind][inside] > 0)
    return np.concatenate(logits), np.concatenate(truth)


def evaluate(
    model: SpliceModel,
    path: str | Path,
    *,
    gff: str | Path | None = None,
    chromosomes: str = "all",
    validation_fraction: float | str = 1.0,
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Scores a network on an annotated genome, at the imbalance that the genome has; or on classified windows.

    Introns that reads support but the annotation lacks, and those of pseudogenes and transposons, are left out.

    Args:
        model: the network.
        path: FASTA file, or ``dataset:NAME/FILE``; or windows in the format of UCI's data set 69.
        gff: the annotation of a FASTA file; likewise.
        chromosomes: names with commas between them, or ``all``.
        validation_fraction: of windows, those that a recipe with this value and seed 0 keeps for validation; 1: all.
        device: where to compute.
        ranks: the processes that share the work.
        on_progress: called with the number of bases done by this rank, and its total.

    Returns:
        ``n`` bases and ``sites``; ``donor_topk``, ``donor_ap``, ``acceptor_topk`` and ``acceptor_ap`` over all bases of
        genes on the gene's strand; ``ece_candidates`` over the GT, GC and AG of genes, ``ece_sites`` over those of
        probability 0.1 or more; ``both_strands_precision``, at recall 0.8 over all bases of both strands, the mean of
        the two kinds. Of windows: ``n``, and the percentages of wrong classes (:func:`error_rates`).

    Raises:
        InputError: files that cannot be read or do not fit together, no annotation, or chromosomes that are not there.
    """
    file = referenced_file(str(path))
    if is_classified(file):
        windows = read_classified(file)
        fraction = _number("validation_fraction", validation_fraction)
        if fraction != 1:
            windows = split_windows(windows, fraction, seed=0)[1]
        return _evaluate_classified(model.to(device).eval(), windows, device)
    if gff is None:
        raise InputError(f"{path}: an annotation is needed to score a genome; give it as --gff FILE")
    genome = labelled_genome(path, gff)
    names = list(genome.sequences) if chromosomes == "all" else chromosomes.split(",")
    genome.require(names, "--chromosomes")
    regions = [Region(name, 0, len(genome.sequences[name])) for name in names]
    predicted = predict_regions(model, genome, regions, device=device, ranks=ranks, on_progress=on_progress)
    return scores(model, predicted)


def _number(name: str, value: float | str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"--{name}: {value!r} is not a number") from None


@torch.inference_mode()
def _evaluate_classified(
    model: SpliceModel, windows: Sequence[ClassifiedWindow], device: str | torch.device
) -> dict[str, float]:
    codes = torch.from_numpy(np.stack([window.codes for window in windows])).to(device)
    predicted = torch.cat([class_logits(model, part).argmax(1) for part in codes.split(_WINDOWS)])
    labels = np.array([window.label for window in windows])
    return {"n": len(windows), **error_rates(predicted.cpu().numpy(), labels)}


def predict(
    model: SpliceModel,
    source: str | Path,
    target: str | Path,
    *,
    min_probability: float | str = 0.1,
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Scans a genome, and writes its sites; ``sciml-zoo splicing scan`` does the same with more options.

    Args:
        model: the network.
        source: FASTA file, or ``dataset:NAME/FILE``.
        target: the file to write, whose ending tells the format; it appears, or replaces an older one, when complete.
        min_probability: the least calibrated probability that is written, in (0, 1].
        device: where to compute.
        ranks: processes that call this together; a scan goes along the genome, so that the first does all of it.
        on_progress: called with the number of bases done, and their estimated number.

    Returns:
        The number of sites.

    Raises:
        InputError: a file that cannot be read, or a target that cannot be written.
    """
    least = _number("min_probability", min_probability)
    n = 0
    if ranks is None or ranks.rank == 0:
        fasta = referenced_file(str(source))
        n = scan_to_file(model, fasta, target, min_probability=least, device=device, on_progress=on_progress).n
    return n if ranks is None else ranks.gather(n)[0]


def scores(model: SpliceModel, predicted: Sequence[Predicted]) -> dict[str, float]:
    """Computes what :func:`evaluate` returns.

    Args:
        model: for its calibration.
        predicted: regions.

    Returns:
        The scores by name.
    """
    found: dict[str, float] = {"n": float(sum(len(part.region) for part in predicted)), "sites": 0.0}
    precision = []
    for kind, name in enumerate(_KINDS):
        logits, truth = site_scores(predicted, kind, scope="genes")
        found["sites"] += float(truth.sum())
        found[f"{name}_topk"] = top_k(logits, truth)
        found[f"{name}_ap"] = average_precision(logits, truth)
        precision.append(precision_at_recall(*site_scores(predicted, kind, scope="both_strands")))
    probabilities, truth = calibrated_candidates(model, predicted)
    found["ece_candidates"] = expected_calibration_error(probabilities, truth)
    found["ece_sites"] = expected_calibration_error(probabilities, truth, least=_CONFIDENT)
    found["both_strands_precision"] = float(np.mean(precision))
    return found


def calibrated_candidates(
    model: SpliceModel, predicted: Sequence[Predicted], *, scope: str = "genes"
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Gathers the probabilities and the truth of all candidates, which is what a scan reports.

    Args:
        model: for its calibration.
        predicted: regions.
        scope: as for :func:`site_scores`.

    Returns:
        Probabilities [n] and labels [n], both kinds together.
    """
    probabilities, truth = [], []
    for part in predicted:
        inside = part.window.known & candidate_sites(part.window.codes)
        if scope == "genes":
            inside &= part.window.genic[..., None]
        logits = torch.from_numpy(part.logits).to(next(model.buffers()).device)
        probabilities.append(model.calibrated(logits).cpu().numpy()[inside])
        truth.append(part.window.labels[inside] > 0)
    return np.concatenate(probabilities), np.concatenate(truth)
