"""The domain's part of the demo: shipped networks on chromosomes that they never saw, and a small one trained here."""

import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from sciml_zoo.datasets import dataset_file
from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.report import Report, Say, Table
from sciml_zoo.splicing.attribution import attribution
from sciml_zoo.splicing.classified import CLASSES, LENGTH, class_logits, error_rates
from sciml_zoo.splicing.data import cover
from sciml_zoo.splicing.inference import evaluate, predict_regions, scores
from sciml_zoo.splicing.labels import LabelledGenome, Region
from sciml_zoo.splicing.model import SpliceModel, SpliceRNN, SpliceRNNConfig
from sciml_zoo.splicing.portraits import portrait
from sciml_zoo.splicing.recipe import labelled_genome
from sciml_zoo.splicing.synthetic import synthetic_genome
from sciml_zoo.splicing.task import LossConfig, SpliceTask
from sciml_zoo.training import OptimizerConfig, ProgressBar, Trainer, TrainerConfig
from sciml_zoo.zoo.registry import list_models
from sciml_zoo.zoo.resolve import load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["demo"]

# Files of the data set `genome`, and chromosomes that the weights were not trained on.
_HELD_OUT = {"athaliana": ("athaliana_chr2-5", ("Chr3",)), "celegans": ("celegans", ("II",))}
_HEAD = ("network", "genome", "sites", "donors top-k / AP", "acceptors top-k / AP", "kb/s of one strand")
_CLASSIFIED_HEAD = ("network", "windows", "number", "wrong of neither", "wrong of donors", "wrong of acceptors")
_SMALL = SpliceRNNConfig(channels=16, states=24, blocks=2, stem=15, memory=128)
_STEPS, _WINDOW = 150, 1024


def demo(directory: Path, say: Say) -> Report:
    """Scores the shipped networks, draws what they see, and trains a small one on a synthetic genome.

    Where the real genomes are not at hand (``SCIML_ZOO_DATA``, or fetched before), the shipped networks read the
    synthetic genome.

    Args:
        directory: where the small network's run folder is put.
        say: told what is happening.

    Returns:
        The tables and figures.
    """
    rows: list[tuple[str, ...]] = []
    figures: list[tuple[str, Figure]] = []
    made = synthetic_genome(40, seed=1)
    classified: list[tuple[str, ...]] = []
    for name in list_models(pretrained=True, domain="splicing"):
        species = name.partition(".")[2]
        if species == "uci":
            say(f"{name}: windows of 60 bases around junctions")
            classified.append(_classify(name, made))
            continue
        genome, chromosomes, where = _genome(species, made)
        say(f"{name}: {where}")
        model = load_model(name)
        assert isinstance(model, SpliceModel)
        rows.append(_score(name, model, genome, chromosomes, where))
        if name == "splice_rnn.athaliana":
            figures += _figures(name, model, genome, chromosomes, where)
    say("training a small network on a synthetic genome (half a minute)")
    rows.append(_train(directory, made))
    text = (
        "A recurrent network reads DNA base by base, both strands in one pass, and marks where introns begin (donors) "
        "and end (acceptors). The chromosomes scored here were not seen in training."
    )
    tables = [Table("Splice sites of held-out chromosomes", _HEAD, rows)]
    if classified:
        tables.append(Table("Donor, acceptor or neither in the middle of a window", _CLASSIFIED_HEAD, classified))
    return Report("Splice sites", text, tables, figures)


def _genome(species: str, made: LabelledGenome) -> tuple[LabelledGenome, tuple[str, ...], str]:
    file, chromosomes = _HELD_OUT[species]
    try:
        paths = [dataset_file("genome", f"{file}.{kind}") for kind in ("fa", "gff3")]
    except (InputError, FailureError):
        return made, tuple(made.sequences), "a synthetic genome (the real one is not on this machine)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # genes cut off at the ends of the segments
        return labelled_genome(*paths), chromosomes, f"{species}, {', '.join(chromosomes)}"


def _classify(name: str, made: LabelledGenome) -> tuple[str, ...]:
    model = load_model(name)
    assert isinstance(model, SpliceModel)
    try:
        found = evaluate(model, dataset_file("uci", "splice.data"), validation_fraction=0.1)
        where = "UCI, primates, not trained on"
    except (InputError, FailureError):
        predicted, labels = _predicted_classes(model, made)
        found = {"n": len(labels), **error_rates(predicted, labels)}
        where = "around sites of the synthetic genome (UCI's are not on this machine)"
    cells = (f"{found[f'error_{kind}']:.1f} %" for kind in CLASSES)
    return (name, where, f"{found['n']:.0f}", *cells)


def _predicted_classes(model: SpliceModel, made: LabelledGenome) -> tuple[np.ndarray, np.ndarray]:
    """Returns the classes predicted for windows around the introns' ends of the forward strand, and the true ones."""
    codes = made.sequences["synthetic"]
    introns = [i for i in made.introns if i.strand == "+"]
    middles = [(i.start, 1) for i in introns] + [(i.end, 2) for i in introns] + [(i.start + 37, 0) for i in introns]
    windows = np.stack([codes[middle - LENGTH // 2 : middle + LENGTH // 2] for middle, _ in middles])
    with torch.inference_mode():
        predicted = class_logits(model, torch.from_numpy(windows)).argmax(1).numpy()
    return predicted, np.array([label for _, label in middles])


def _score(
    name: str, model: SpliceModel, genome: LabelledGenome, chromosomes: tuple[str, ...], where: str
) -> tuple[str, ...]:
    regions = [Region(c, 0, len(genome.sequences[c])) for c in chromosomes]
    begun = time.monotonic()
    predicted = predict_regions(model, genome, regions)
    speed = 2 * sum(map(len, regions)) / (time.monotonic() - begun) / 1000
    found = scores(model, predicted)
    cells = (f"{found[f'{kind}_topk']:.3f} / {found[f'{kind}_ap']:.3f}" for kind in ("donor", "acceptor"))
    return (name, where, f"{found['sites']:.0f}", *cells, f"{speed:.0f}")


def _figures(
    name: str, model: SpliceModel, genome: LabelledGenome, chromosomes: tuple[str, ...], where: str
) -> "list[tuple[str, Figure]]":
    captions = {
        "track": f"{name} on the gene with most introns of {where}: probabilities, and annotated sites (triangles)",
        "precision-recall": f"precision and recall, {where}",
        "reliability": f"calibrated probabilities of at least 0.1 against frequencies, {where}",
        "donor-logo": "donors as the network has learned them",
        "acceptor-logo": "acceptors as the network has learned them",
        "gradient": "how far upstream of a donor credit flows",
    }
    drawn = [(caption, portrait(what, model, genome, chromosomes=chromosomes)) for what, caption in captions.items()]
    return [*drawn, _attribution(model, genome, chromosomes[0])]


def _attribution(model: SpliceModel, genome: LabelledGenome, chromosome: str) -> "tuple[str, Figure]":
    from matplotlib.figure import Figure

    codes = genome.sequences[chromosome]
    intron = next(i for i in genome.introns if i.chromosome == chromosome and i.strand == "+" and i.start > 500)
    start = intron.start - 500
    found = attribution(model, codes[start : intron.start + 500], 500, "+", "donor", method="mutagenesis")
    around = found[470:540]
    figure = Figure(figsize=(10, 2.2), layout="constrained")
    axes = figure.add_subplot()
    limit = float(np.abs(around).max())
    image = axes.imshow(
        around.T, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", extent=(-30.5, 39.5, 3.5, -0.5)
    )
    axes.set_yticks(range(4), list("ACGT"))
    axes.set_xlabel("bases from the first of the intron")
    figure.colorbar(image, label="change of the logit")
    return f"every possible point mutation around a donor of {chromosome}", figure


def _whole(genome: LabelledGenome) -> list[Region]:
    return [Region(name, 0, len(codes)) for name, codes in genome.sequences.items()]


def _train(directory: Path, held_out: LabelledGenome) -> tuple[str, ...]:
    genome = synthetic_genome(160, seed=0)
    train, validation = (cover(made, _whole(made), _WINDOW) for made in (genome, held_out))
    torch.manual_seed(0)
    config = TrainerConfig(
        max_steps=_STEPS, batch_size=8, validate_every=_STEPS, monitor="ap", mode="max", accelerator="cpu"
    )
    optimizer = OptimizerConfig("muon", 0.02, momentum=0.95, betas=(0.9, 0.99), schedule="cosine", warmup_steps=10)
    with tempfile.TemporaryDirectory(dir=directory) as aside:
        task = SpliceTask(SpliceRNN(_SMALL), LossConfig(segment=512))
        trainer = Trainer(config, directory=Path(aside) / "run", callbacks=[ProgressBar()])
        result = trainer.fit(task, optimizer, train, validation)
    model = result.model
    assert isinstance(model, SpliceModel)
    return _score("small network, trained here", model.eval(), held_out, ("synthetic",), "another synthetic genome")
