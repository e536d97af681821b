"""Figures of splicing, as matplotlib figures, and the motifs that a network has learned.

Positions along a chromosome are drawn as genome browsers and VCF count them, from 1.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike, NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.attribution import KINDS, Kind
from sciml_zoo.splicing.genes import Gene
from sciml_zoo.splicing.metrics import average_precision, expected_calibration_error, reliability_bins
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.sequences import reverse_complement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "gene_track",
    "gradient_through_time",
    "information_content",
    "learned_motif",
    "precision_recall",
    "reliability",
    "sequence_logo",
]

_COLOURS = {"donor": "#0072b2", "acceptor": "#d55e00"}
_LETTERS = {"A": "#009e73", "C": "#0072b2", "G": "#e69f00", "T": "#d55e00"}
_LETTER_WIDTH = 0.9
# Height of the boxes of exons, outside and inside of the coding sequence.
_EXON, _CODING = 0.4, 0.7


def gene_track(probabilities: ArrayLike, gene: Gene, *, start: int, least: float = 0.01, title: str = "") -> Figure:
    """Draws the probabilities along a gene over its transcripts.

    Args:
        probabilities: of donor and acceptor on the gene's strand, calibrated, [L, 2].
        gene: whose exons are drawn as boxes, high where they code, and whose annotated sites as triangles.
        start: chromosome position of the first base, 0-based.
        least: lower probabilities are not drawn.
        title: by default the gene's name.

    Returns:
        The figure: one panel for donors, one for acceptors, and one for transcripts.

    Raises:
        InputError: another shape, or the gene is elsewhere.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(KINDS):
        raise InputError(f"probabilities of shape {list(values.shape)}: expected [L, 2], donor and acceptor")
    end = start + len(values)
    if gene.end <= start or gene.start >= end:
        raise InputError(f"gene {gene.name!r} at {gene.start}-{gene.end} is not within {start}-{end}, which is drawn")
    n = max(len(gene.transcripts), 1)
    figure = Figure(figsize=(10, 3.4 + 0.3 * n), layout="constrained")
    grid = figure.add_gridspec(3, 1, height_ratios=(1.3, 1.3, 0.2 + 0.3 * n))
    panels = [figure.add_subplot(grid[0])]
    panels += [figure.add_subplot(grid[row], sharex=panels[0]) for row in (1, 2)]
    for column, kind in enumerate(KINDS):
        axes, shown = panels[column], np.flatnonzero(values[:, column] >= least)
        axes.vlines(start + shown + 1, 0, values[shown, column], color=_COLOURS[kind], label=f"{kind} probability")
        sites = sorted({getattr(intron, kind) for intron in gene.introns if start <= getattr(intron, kind) < end})
        axes.plot(np.array(sites) + 1, np.full(len(sites), 1.06), "kv", markersize=5, label="annotated")
        axes.set_ylim(0, 1.15)
        axes.set_ylabel(kind)
        axes.tick_params(labelbottom=False)
        axes.legend(loc="upper right", fontsize="small")
    _draw_transcripts(panels[2], gene)
    panels[2].set_xlim(start + 0.5, end + 0.5)
    panels[2].set_xlabel(f"position on {gene.chromosome} (strand {gene.strand})")
    figure.suptitle(title or gene.name)
    return figure


def _draw_transcripts(axes: "Axes", gene: Gene) -> None:
    for row, transcript in enumerate(gene.transcripts):
        axes.hlines(row, transcript.exons[0][0] + 1, transcript.exons[-1][1], color="0.5", linewidth=1)
        boxes = [(exon, _EXON) for exon in transcript.exons] + [(part, _CODING) for part in transcript.cds]
        for (first, last), height in boxes:
            axes.add_patch(Rectangle((first + 0.5, row - height / 2), last - first, height, facecolor="0.3"))
    axes.set_yticks(range(len(gene.transcripts)), [transcript.name for transcript in gene.transcripts])
    axes.set_ylim(len(gene.transcripts) - 0.4, -0.6)


def precision_recall(curves: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Draws precision against recall.

    Args:
        curves: label → scores [n], higher is likelier, and whether each is a site [n].

    Returns:
        The figure; average precision is in the legend.

    Raises:
        InputError: a curve without any site.
    """
    from sklearn.metrics import precision_recall_curve

    figure, axes = _axes(4.4, 4)
    for label, (scores, truth) in curves.items():
        values, sites = np.asarray(scores), np.asarray(truth, dtype=bool)
        if not sites.any():
            raise InputError(f"{label}: no site among {len(sites)} bases, so that there is no recall")
        precision, recall, _ = precision_recall_curve(sites, values)
        found = average_precision(values, sites)
        axes.step(recall, precision, where="post", label=f"{label}, AP {found:.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.legend(loc="lower left")
    return figure


def reliability(probabilities: ArrayLike, truth: ArrayLike, *, n_bins: int = 10, least: float = 0.0) -> Figure:
    """Draws how often bases of a probability are sites, with the numbers in each bin.

    Args:
        probabilities: calibrated, [n].
        truth: whether each is a site, [n].
        n_bins: between ``least`` and 1.
        least: lower probabilities are left out.

    Returns:
        The figure: frequencies with one standard error (binomial) over the diagonal, and counts below.

    Raises:
        InputError: no probability is ``least`` or more.
    """
    values, sites = np.asarray(probabilities), np.asarray(truth, dtype=bool)
    bins = reliability_bins(values, sites, n_bins, least)
    if not len(bins):
        raise InputError(f"least: none of {len(values)} probabilities is {least} or more")
    mean, frequency, counts = bins.T
    figure = Figure(figsize=(4.4, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([least, 1], [least, 1], color="0.6", label="calibrated")
    # Of what calibration expects, so that bins without any site, or with nothing else, have an error too.
    errors = np.sqrt(mean * (1 - mean) / counts)
    error = expected_calibration_error(values, sites, n_bins, least)
    above.errorbar(mean, frequency, errors, fmt="o", markersize=4, capsize=2, label=f"ECE {error:.4f}")
    above.set(ylabel="frequency of sites", ylim=(-0.02, 1.02))
    above.legend(loc="upper left")
    width = (1 - least) / n_bins
    which = np.minimum(((mean - least) / width).astype(int), n_bins - 1)
    below.bar(least + (which + 0.5) * width, counts, width=width, edgecolor="white")
    below.set(yscale="log", xlabel="probability", ylabel="bases", xlim=(least, 1))
    return figure


def information_content(composition: ArrayLike) -> NDArray[np.float64]:
    """Returns R = 2 + Σ_b f_b log₂ f_b in bits, [n] (Schneider & Stephens, Nucleic Acids Res. 18, 6097 (1990)).

    The correction for small samples is left out.

    Args:
        composition: counts or frequencies of A, C, G, T, [n, 4]; a position without any has none.

    Raises:
        InputError: another shape, or something negative.
    """
    frequencies = _frequencies(composition)
    logs = np.log2(frequencies, out=np.zeros_like(frequencies), where=frequencies > 0)
    return np.where(frequencies.sum(1) > 0, 2 + (frequencies * logs).sum(1), 0.0)


def _frequencies(composition: ArrayLike) -> NDArray[np.float64]:
    counts = np.asarray(composition, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[1] != 4 or not np.all(counts >= 0):
        raise InputError(f"composition of shape {list(counts.shape)}: expected [n, 4], none of them negative")
    totals = counts.sum(1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)


def sequence_logo(composition: ArrayLike, *, first: int = 0, title: str = "") -> Figure:
    """Draws a sequence logo: at each position the letters, the most frequent on top, as high as f_b R in bits.

    Args:
        composition: counts or frequencies of A, C, G, T, [n, 4], such as from :func:`learned_motif`.
        first: what the first position is called; the others follow.
        title: of the figure.

    Returns:
        The figure.
    """
    heights = _frequencies(composition) * information_content(composition)[:, None]
    figure, axes = _axes(1 + 0.3 * len(heights), 2.4)
    # One size for all letters, whatever their shapes: each is scaled to its own box.
    font = FontProperties(family="DejaVu Sans", weight="bold")
    for index, column in enumerate(heights):
        base = 0.0
        for letter in np.argsort(column, kind="stable"):
            if column[letter] > 0:
                axes.add_patch(_letter("ACGT"[letter], first + index, base, float(column[letter]), font))
                base += float(column[letter])
    axes.set(xlim=(first - 0.5, first + len(heights) - 0.5), ylim=(0, 2), xlabel="position", ylabel="bits", title=title)
    axes.set_xticks(range(first, first + len(heights)))
    axes.tick_params(axis="x", labelsize="small")
    return figure


def _letter(letter: str, x: int, base: float, height: float, font: FontProperties) -> PathPatch:
    outline = TextPath((0, 0), letter, size=1, prop=font)
    box = outline.get_extents()
    fitted = (
        Affine2D()
        .translate(-box.x0, -box.y0)
        .scale(_LETTER_WIDTH / box.width, height / box.height)
        .translate(x - _LETTER_WIDTH / 2, base)
    )
    return PathPatch(fitted.transform_path(outline), facecolor=_LETTERS[letter], linewidth=0)


@torch.inference_mode()
def learned_motif(
    model: SpliceModel, sequences: Iterable[NDArray[np.uint8]], kind: Kind, *, flank: int = 15, least: float = 0.5
) -> NDArray[np.float64]:
    """Counts the bases around the sites that a network is confident of, weighted by their probability.

    Args:
        model: the network.
        sequences: codes [L] each; both strands are looked at.
        kind: ``donor`` or ``acceptor``.
        flank: bases on either side of the site, which is the first or last base of the intron.
        least: calibrated probability of a confident site.

    Returns:
        Weights of A, C, G, T, [2 flank + 1, 4], in the direction of transcription; the site is the one in the middle.
        Unknown bases, and what lies beyond the ends of a sequence, have no weight.

    Raises:
        InputError: an unknown kind, or no confident site.
    """
    if kind not in KINDS:
        raise InputError(f"kind: {kind!r} is none of {', '.join(map(repr, KINDS))}")
    counts = np.zeros((2 * flank + 1, 5))
    device = next(model.parameters()).device
    for codes in sequences:
        logits = model(torch.from_numpy(codes.copy()).to(device)[None])
        found = model.calibrated(logits)[0, ..., KINDS.index(kind)].cpu().numpy()
        for strand, p in ((codes, found[:, 0]), (reverse_complement(codes), found[::-1, 1])):
            padded = np.pad(strand, flank, constant_values=4)
            for site in np.flatnonzero(p >= least):
                counts[np.arange(2 * flank + 1), padded[site : site + 2 * flank + 1]] += p[site]
    if not counts.any():
        raise InputError(f"least: no {kind} of probability {least} or more in these sequences; give more, or lower it")
    return counts[:, :4]


def gradient_through_time(profile: ArrayLike) -> Figure:
    """Draws how strongly what was read k bases earlier acts on the loss.

    Args:
        profile: ‖∂loss/∂x_{t−k}‖ for k = 0, 1, …, [n].

    Returns:
        The figure, in which forgetting at a constant rate is a straight line.

    Raises:
        InputError: not a profile.
    """
    norms = np.asarray(profile, dtype=np.float64)
    if norms.ndim != 1 or not len(norms):
        raise InputError(f"profile of shape {list(norms.shape)}: expected [n]")
    figure, axes = _axes(5, 3.4)
    axes.semilogy(np.arange(len(norms)), np.where(norms > 0, norms, np.nan))
    axes.set(xlabel="distance k, bases", ylabel="‖∂loss/∂x$_{t−k}$‖")
    return figure


def _axes(width: float, height: float) -> "tuple[Figure, Axes]":
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()
