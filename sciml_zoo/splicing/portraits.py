"""What a network does on an annotated genome, as figures: a gene's track, precision and recall, reliability, motifs."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.splicing.attribution import Kind
from sciml_zoo.splicing.credit import gradient_profile
from sciml_zoo.splicing.figures import (
    gene_track,
    gradient_through_time,
    learned_motif,
    precision_recall,
    reliability,
    sequence_logo,
)
from sciml_zoo.splicing.inference import calibrated_candidates, predict_regions, site_scores
from sciml_zoo.splicing.labels import LabelledGenome, Region
from sciml_zoo.splicing.model import SpliceModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sciml_zoo.splicing.genes import Gene

__all__ = ["PORTRAITS", "portrait"]

#: What can be drawn.
PORTRAITS = ("track", "precision-recall", "reliability", "donor-logo", "acceptor-logo", "gradient")
_KINDS = ("donor", "acceptor")
_AROUND, _REACH, _MOST_SITES = 200, 400, 20
_CONFIDENT = 0.1


def portrait(
    what: str,
    model: SpliceModel,
    genome: LabelledGenome,
    *,
    chromosomes: Sequence[str] = (),
    gene: str | None = None,
    device: str | torch.device = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> "Figure":
    """Draws one figure.

    Args:
        what: one of :data:`PORTRAITS`.
        model: the network.
        genome: the genome with its annotation.
        chromosomes: to be looked at; by default all.
        gene: whose track is drawn; by default the one with most introns.
        device: where to compute.
        on_progress: called with the number of bases done, and in total.

    Returns:
        The figure.

    Raises:
        InputError: an unknown kind of figure, chromosome or gene, or nothing annotated to draw.
    """
    if what not in PORTRAITS:
        raise InputError(f"{what!r} cannot be drawn; {nearest(what, PORTRAITS)}")
    genome.require(chromosomes, "--chromosomes")
    names = list(chromosomes) or list(genome.sequences)
    if what == "track":
        return _track(model, genome, _chosen(genome, names, gene), device)
    if what.endswith("-logo"):
        kind: Kind = "donor" if what.startswith("donor") else "acceptor"
        end = "first" if kind == "donor" else "last"
        title = f"{kind}s that the network is sure of; 0 is the {end} base of the intron"
        composition = learned_motif(model.to(device), [genome.sequences[name] for name in names], kind)
        return sequence_logo(composition, first=-(len(composition) // 2), title=title)
    if what == "gradient":
        return gradient_through_time(_profile(model.to(device), genome, names))
    regions = [Region(name, 0, len(genome.sequences[name])) for name in names]
    predicted = predict_regions(model, genome, regions, device=device, on_progress=on_progress)
    if what == "reliability":
        return reliability(*calibrated_candidates(model, predicted), least=_CONFIDENT)
    curves = {
        f"{kind}s, {words}": site_scores(predicted, index, scope=scope)
        for index, kind in enumerate(_KINDS)
        for scope, words in (("genes", "genes on their strand"), ("both_strands", "both strands, everywhere"))
    }
    return precision_recall(curves)


def _chosen(genome: LabelledGenome, names: Sequence[str], wanted: str | None) -> "Gene":
    genes = {gene.name: gene for gene in genome.annotation.genes if gene.chromosome in names and gene.transcripts}
    if not genes:
        raise InputError("there is no annotated gene to draw; choose other --chromosomes")
    if wanted is None:
        return max(genes.values(), key=lambda gene: len(gene.introns))
    short = {name.rpartition(":")[2]: gene for name, gene in genes.items()}
    if wanted not in genes and wanted not in short:
        raise InputError(f"--gene {wanted}: not in the annotation; {nearest(wanted, genes)}")
    return genes.get(wanted) or short[wanted]


def _track(model: SpliceModel, genome: LabelledGenome, gene: "Gene", device: str | torch.device) -> "Figure":
    length = len(genome.sequences[gene.chromosome])
    region = Region(gene.chromosome, max(gene.start - _AROUND, 0), min(gene.end + _AROUND, length))
    (predicted,) = predict_regions(model, genome, [region], device=device)
    logits = torch.from_numpy(predicted.logits).to(device)
    probabilities = model.calibrated(logits)[:, "+-".index(gene.strand)].cpu().numpy()
    return gene_track(probabilities, gene, start=region.start)


def _profile(model: SpliceModel, genome: LabelledGenome, names: Sequence[str]) -> np.ndarray:
    """Returns the mean over the donors of both strands of the gradient's norm upstream of each."""
    profiles, weights = [], []
    for name in names:
        codes = genome.sequences[name]
        for strand in "+-":
            sites = [i.donor for i in genome.introns if (i.chromosome, i.strand) == (name, strand)]
            inside = [t for t in sites if _REACH <= t < len(codes) - _REACH][:_MOST_SITES]
            if inside:
                profiles.append(gradient_profile(model, codes, inside, strand=strand, reach=_REACH)[_REACH:])
                weights.append(len(inside))
    if not profiles:
        raise InputError(f"no annotated donor has {_REACH} bases on either side; choose other --chromosomes")
    return np.asarray(np.average(profiles, axis=0, weights=weights))
