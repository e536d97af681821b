"""From a recipe to a task ready for the trainer: reads and splits a genome, its annotation and junction records."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sciml_zoo.datasets import referenced_file
from sciml_zoo.errors import InputError, nearest
from sciml_zoo.splicing.annotation import check_annotation, read_annotation
from sciml_zoo.splicing.chains import GeneChains
from sciml_zoo.splicing.classified import ClassifiedTask, ClassLossConfig, read_classified, split_windows
from sciml_zoo.splicing.data import TrainingWindows, cover, independent_contigs, split_genome
from sciml_zoo.splicing.genes import Intron
from sciml_zoo.splicing.junctions import annotated_contigs, read_junctions
from sciml_zoo.splicing.labels import LabelledGenome, Region
from sciml_zoo.splicing.lstm import SpliceLSTM, SpliceLSTMConfig
from sciml_zoo.splicing.model import SpliceModel, SpliceRNN, SpliceRNNConfig
from sciml_zoo.splicing.sequences import read_fasta
from sciml_zoo.splicing.task import LossConfig, SpliceTask
from sciml_zoo.training.prepared import PreparedTraining
from sciml_zoo.training.recipe import OptimizerConfig, TrainerConfig
from sciml_zoo.zoo.resolve import load_model

__all__ = ["GenomeConfig", "LSTMRecipe", "RNNRecipe", "labelled_genome", "prepare", "recipe_type"]


# Scored at each validation: about a thousand genes, in a quarter of a minute.
_VALIDATION_BASES = 3_000_000


@dataclass(frozen=True)
class GenomeConfig:
    """Training data of a splice-site network; files are paths, or ``dataset:NAME/FILE`` from the catalogue.

    Attributes:
        fasta: the genome.
        gff: its annotation, GFF3 or GTF.
        classified: in place of these two, windows of 60 bases to be told apart, in the format of UCI's data set 69.
        junctions: exon–intron–exon records of the same species, if there are any.
        chain_fraction: how many training windows are chained from those records and from the annotated introns, in
            [0, 1]; the others are read from the genome as they are.
        held_out: chromosomes that are not looked at, to be tested on later.
        held_out_genes: patterns of the names of genes whose junction records are left out, such as ``AT3G*``.
        validation_fraction: part of each other chromosome to validate and calibrate on, in (0, 1).
        window: bases of a training window.
    """

    fasta: str | None = None
    gff: str | None = None
    classified: str | None = None
    junctions: str | None = None
    chain_fraction: float = 0.5
    held_out: tuple[str, ...] = ()
    held_out_genes: tuple[str, ...] = ()
    validation_fraction: float = 0.2
    window: int = 4096

    def __post_init__(self) -> None:
        given = [name for name in ("fasta", "gff", "classified") if getattr(self, name) is not None]
        if given not in (["fasta", "gff"], ["classified"]):
            raise InputError(
                f"give data.fasta and data.gff, or data.classified alone, not {' and '.join(given) or 'none'}"
            )
        if not 0 < self.validation_fraction < 1:
            raise InputError(f"validation_fraction: {self.validation_fraction} does not lie between 0 and 1")
        if not 0 <= self.chain_fraction <= 1:
            raise InputError(f"chain_fraction: {self.chain_fraction} is not in [0, 1]")
        if self.window < 64:
            raise InputError(f"window: {self.window} is not at least 64")


@dataclass(frozen=True)
class _Recipe:
    """What the recipes of all splice-site networks have in common.

    Attributes:
        architecture: its registered name.
        data: what to train on.
        seed: of the windows and of the initial weights.
        teachers: weights whose mean prediction is learned beside the labels; see :class:`SpliceTask`.
        start: weights of another species to start from, as for ``load_model``; their shape is taken over.
        loss: its weights, and where backpropagation through time is cut.
        classes: smoothing and noise, in place of ``loss`` for classified windows.
        optimizer: how the weights are changed.
        trainer: how long and how closely watched.
    """

    architecture: str
    data: GenomeConfig
    seed: int = 0
    teachers: tuple[str, ...] = ()
    start: str | None = None
    loss: LossConfig = field(default_factory=LossConfig)
    classes: ClassLossConfig = field(default_factory=ClassLossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=lambda: TrainerConfig(monitor="ap", mode="max"))

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is not zero or more")
        monitor = self.trainer.monitor
        names: tuple[str, ...] = SpliceTask.NAMES
        if self.data.classified is not None:
            names = ClassifiedTask.NAMES
        if monitor not in names:
            raise InputError(f"trainer.monitor: {monitor!r} is not measured here; {nearest(monitor, names)}")
        better = "min" if monitor.startswith(("loss", "error")) else "max"
        if self.trainer.mode != better:
            raise InputError(f"trainer.mode: {self.trainer.mode!r}, but the best {monitor} is the {better}")


@dataclass(frozen=True)
class RNNRecipe(_Recipe):
    """How a :class:`SpliceRNN` is trained."""

    model: SpliceRNNConfig = field(default_factory=SpliceRNNConfig)


@dataclass(frozen=True)
class LSTMRecipe(_Recipe):
    """How a :class:`SpliceLSTM` is trained."""

    model: SpliceLSTMConfig = field(default_factory=SpliceLSTMConfig)


_RECIPES: dict[str, type[RNNRecipe] | type[LSTMRecipe]] = {"splice_rnn": RNNRecipe, "splice_lstm": LSTMRecipe}


def recipe_type(architecture: str) -> type[RNNRecipe] | type[LSTMRecipe]:
    """Returns the recipe dataclass of an architecture of this domain."""
    return _RECIPES[architecture]


def prepare(recipe: RNNRecipe | LSTMRecipe) -> PreparedTraining[RNNRecipe | LSTMRecipe]:
    """Reads and splits the data, and builds the model.

    Args:
        recipe: the recipe; its seed decides the windows and the initial weights.

    Returns:
        All that the trainer needs; training windows are drawn when they are read.

    Raises:
        InputError: files that cannot be read or do not fit together, or nothing left to train or validate on.
    """
    config = recipe.data
    if config.classified is not None:
        return _prepare_classified(recipe, config.classified)
    if isinstance(recipe.model, SpliceRNNConfig) and recipe.model.methylation:
        raise InputError(
            "model.methylation: recipes hold no methylation; train such a network from Python, on windows that carry "
            "it, as scripts/methylation_plasticity.py does"
        )
    assert config.fasta is not None
    assert config.gff is not None
    genome = labelled_genome(config.fasta, config.gff)
    split = split_genome(genome, held_out=config.held_out, validation_fraction=config.validation_fraction)
    notes = {
        "training": f"{sum(map(len, split.train)):,} bases of {', '.join(r.chromosome for r in split.train[:8])}"
        + (", …" if len(split.train) > 8 else ""),
        "validation": f"{sum(map(len, split.validation)):,} bases at the ends of the same",
        "genes masked": f"{len(split.masked)} that share {32} bases with validation or held-out sequence",
    }
    if split.held_out:
        notes["held out"] = ", ".join(r.chromosome for r in split.held_out)
    contigs = annotated_contigs(genome, split.train)
    if config.junctions is not None:
        records = read_junctions(referenced_file(config.junctions))
        merged = independent_contigs(records, genome, split, config.held_out_genes)
        notes["junction records"] = f"{len(records):,}, merged into {len(merged):,} pieces of other genes"
        contigs += merged
    chains = GeneChains(contigs, genome, split.train) if contigs else None
    model = _model(recipe)
    recipe = dataclasses.replace(recipe, model=model.config)  # type: ignore[arg-type]
    steps_per_batch = math.ceil(config.window / (recipe.loss.segment or config.window))
    windows = TrainingWindows(
        genome,
        split.train,
        length=config.window,
        n=math.ceil(recipe.trainer.max_steps / steps_per_batch) * recipe.trainer.batch_size,
        seed=recipe.seed,
        chains=chains,
        chain_fraction=config.chain_fraction,
    )
    length = 2 * config.window
    validation = cover(genome, split.validation, length, most=max(_VALIDATION_BASES // length, 1))
    if len(validation) * length < sum(map(len, split.validation)):
        notes["validation"] += f", of which {len(validation) * length:,} evenly spaced ones are used"
    introns = [
        sum(any(_inside(r, i) for r in part) for i in genome.introns) for part in (split.train, split.validation)
    ]
    notes["introns"] = f"{introns[0]:,} to train on, {introns[1]:,} to validate on"
    notes["parameters"] = f"{sum(p.numel() for p in model.parameters()):,}"
    task = SpliceTask(model, recipe.loss, teachers=[_loaded(name, "teachers") for name in recipe.teachers])
    return PreparedTraining(recipe, task, windows, validation, notes)  # type: ignore[arg-type]


def _prepare_classified(recipe: RNNRecipe | LSTMRecipe, reference: str) -> PreparedTraining[RNNRecipe | LSTMRecipe]:
    windows = read_classified(referenced_file(reference))
    train, validation = split_windows(windows, recipe.data.validation_fraction, seed=recipe.seed)
    model = _model(recipe)
    notes = {
        "windows": f"{len(train):,} for training, {len(validation):,} for validation; duplicates are on one side",
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
    }
    resolved = dataclasses.replace(recipe, model=model.config)  # type: ignore[arg-type]
    return PreparedTraining(resolved, ClassifiedTask(model, recipe.classes), train, validation, notes)


def _model(recipe: RNNRecipe | LSTMRecipe) -> SpliceRNN | SpliceLSTM:
    torch.manual_seed(recipe.seed)
    shape = recipe.model
    if recipe.start is None:
        return SpliceRNN(shape) if isinstance(shape, SpliceRNNConfig) else SpliceLSTM(shape)
    model = _loaded(recipe.start, "start")
    wanted = SpliceRNN if isinstance(shape, SpliceRNNConfig) else SpliceLSTM
    if not isinstance(model, wanted):
        raise InputError(f"start: {recipe.start} is a {type(model).__name__}, not a {wanted.__name__}")
    return model.train()


def _loaded(reference: str, key: str) -> SpliceModel:
    model = load_model(reference)
    if not isinstance(model, SpliceModel):
        raise InputError(f"{key}: {reference} is a {type(model).__name__}, which does not find splice sites")
    return model


def labelled_genome(fasta: str | Path, gff: str | Path) -> LabelledGenome:
    """Reads a genome and its annotation.

    Args:
        fasta: a path or ``dataset:NAME/FILE``.
        gff: likewise; GFF3 or GTF.

    Returns:
        The genome with its labels.

    Raises:
        InputError: files that cannot be read or do not fit together.
    """
    sequences = read_fasta(referenced_file(str(fasta)))
    return LabelledGenome(sequences, check_annotation(read_annotation(referenced_file(str(gff))), sequences))


def _inside(region: Region, intron: Intron) -> bool:
    return region.chromosome == intron.chromosome and region.start <= intron.start < region.end
