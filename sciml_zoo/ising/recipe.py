"""From a recipe to a task ready for the trainer: reads samples, sizes the machine, and starts it from their means."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.ising.annealed_importance import base_rate_fields
from sciml_zoo.ising.metrics import divergent_pairs
from sciml_zoo.ising.model import (
    BoltzmannMachine,
    BoltzmannMachineConfig,
    RBMConfig,
    RestrictedBoltzmannMachine,
)
from sciml_zoo.ising.objectives import ObjectiveConfig
from sciml_zoo.ising.observations import load_samples
from sciml_zoo.ising.shape import Connectivity, Units
from sciml_zoo.ising.task import BoltzmannTask, Pattern
from sciml_zoo.training.prepared import PreparedTraining
from sciml_zoo.training.recipe import OptimizerConfig, TrainerConfig

__all__ = [
    "BoltzmannRecipe",
    "MachineConfig",
    "RBMRecipe",
    "RBMShape",
    "SamplesConfig",
    "patterns",
    "prepare",
    "recipe_type",
]

# An optimizer step on this many distinct samples takes a fraction of a second.
_MOST_MERGED = 100_000


@dataclass(frozen=True)
class SamplesConfig:
    """Training samples of a machine; see :mod:`sciml_zoo.ising.observations` for what can be named.

    Attributes:
        train: a file of 0/1 samples, ``dataset:NAME/FILE``, or ``sklearn:digits/train``.
        validation: the same; None: a random part of ``train``.
        validation_fraction: that part, in [0, 1); 0: the training samples themselves are scored, as fits of small
            machines to all data are.
    """

    train: str
    validation: str | None = None
    validation_fraction: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.validation_fraction < 1:
            raise InputError(f"validation_fraction must lie in [0, 1), got {self.validation_fraction}")


@dataclass(frozen=True)
class MachineConfig:
    """Shape of a :class:`BoltzmannMachine`, but for its visible units: those of the samples.

    Attributes:
        n_hidden: hidden units.
        connectivity: ``full``, ``restricted``, or ``given`` by ``edges``.
        units: ``spin`` or ``binary``.
        edges: pairs (i, j) that may be coupled, hidden units numbered after the visible ones.
    """

    n_hidden: int = 0
    connectivity: Connectivity = "full"
    units: Units = "spin"
    edges: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True)
class RBMShape:
    """Shape of a :class:`RestrictedBoltzmannMachine`, but for its visible units: those of the samples.

    Attributes:
        n_hidden: hidden units.
        units: ``spin`` or ``binary``.
    """

    n_hidden: int = 64
    units: Units = "binary"


@dataclass(frozen=True)
class _Recipe:
    """What the recipes of all machines have in common."""

    architecture: str
    data: SamplesConfig
    seed: int = 0
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=lambda: TrainerConfig(monitor="log_likelihood", mode="max"))

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is not zero or more")
        if self.trainer.monitor not in BoltzmannTask.NAMES:
            hint = nearest(self.trainer.monitor, BoltzmannTask.NAMES)
            raise InputError(f"trainer.monitor: {self.trainer.monitor!r} is not measured here; {hint}")
        better = "max" if self.trainer.monitor.endswith("likelihood") else "min"
        if self.trainer.mode != better:
            raise InputError(
                f"trainer.mode: {self.trainer.mode!r}, but the best {self.trainer.monitor} is the {better}"
            )


@dataclass(frozen=True)
class BoltzmannRecipe(_Recipe):
    """How a :class:`BoltzmannMachine` is trained."""

    model: MachineConfig = field(default_factory=MachineConfig)


@dataclass(frozen=True)
class RBMRecipe(_Recipe):
    """How a :class:`RestrictedBoltzmannMachine` is trained."""

    model: RBMShape = field(default_factory=RBMShape)


_RECIPES: dict[str, type[BoltzmannRecipe] | type[RBMRecipe]] = {"boltzmann_machine": BoltzmannRecipe, "rbm": RBMRecipe}


def recipe_type(architecture: str) -> type[BoltzmannRecipe] | type[RBMRecipe]:
    """Returns the recipe dataclass of an architecture of this domain."""
    return _RECIPES[architecture]


def prepare(recipe: BoltzmannRecipe | RBMRecipe) -> PreparedTraining[BoltzmannRecipe | RBMRecipe]:
    """Reads and splits the samples, and builds a machine whose independent units have their means.

    A deterministic objective sees each distinct sample once, with its count, and all of them in every step: then
    ``trainer.batch_size`` is their number.

    Args:
        recipe: the recipe; its seed decides the split and the initial weights.

    Returns:
        All that the trainer needs.

    Raises:
        InputError: samples that cannot be read, too few to split, of different lengths, or a shape that cannot be.
    """
    train, validation = _split(recipe)
    torch.manual_seed(recipe.seed)
    machine = _machine(recipe, train.shape[1])
    if recipe.trainer.precision != "64-true":
        machine.float()
    with torch.no_grad():
        machine.fields.copy_(base_rate_fields(machine, machine.from_bits(torch.from_numpy(train))))
    notes = {
        "samples": f"{len(train)} for training, {len(validation)} for validation"
        + (" (the same)" if validation is train else ""),
        "units": f"{machine.n_visible} visible, {machine.n_hidden} hidden, {recipe.model.units}",
        "parameters": f"{sum(p.numel() for p in machine.parameters()):,}",
    }
    merged = recipe.objective.is_deterministic and len(np.unique(train, axis=0)) <= _MOST_MERGED
    train_patterns = patterns(machine, train, merge=merged)
    trainer = recipe.trainer
    if merged:
        trainer = dataclasses.replace(trainer, batch_size=len(train_patterns), evaluation_batch_size=None)
        notes["distinct samples"] = f"{len(train_patterns)}, all of them in every step"
    notes |= _infinite(train)
    resolved = dataclasses.replace(recipe, trainer=trainer)
    task = BoltzmannTask(machine, recipe.objective)
    return PreparedTraining(resolved, task, train_patterns, patterns(machine, validation, merge=True), notes)


def patterns(machine: BoltzmannMachine, samples: NDArray[np.float64], *, merge: bool) -> list[Pattern]:
    """Converts 0/1 samples to a machine's units.

    Args:
        machine: the machine.
        samples: [m, n_visible].
        merge: whether repeated samples become one with their count.

    Returns:
        The patterns.
    """
    rows, counts = np.unique(samples, axis=0, return_counts=True) if merge else (samples, np.ones(len(samples)))
    visible = machine.from_bits(torch.from_numpy(rows))
    return [Pattern(*pair) for pair in zip(visible, torch.from_numpy(counts).to(visible), strict=True)]


def _machine(recipe: BoltzmannRecipe | RBMRecipe, n_visible: int) -> BoltzmannMachine:
    shape = recipe.model
    if isinstance(shape, RBMShape):
        return RestrictedBoltzmannMachine(RBMConfig(n_visible, shape.n_hidden, shape.units))
    if (shape.edges is None) == (shape.connectivity == "given"):
        raise InputError(f"model.edges: they belong to connectivity given, but that is {shape.connectivity}")
    edges = None if shape.edges is None else torch.tensor(sorted(map(sorted, shape.edges)), dtype=torch.long).T
    n_edges = None if edges is None else edges.shape[1]
    config = BoltzmannMachineConfig(n_visible, shape.n_hidden, shape.connectivity, shape.units, n_edges)
    return BoltzmannMachine(config, edges)


def _split(recipe: BoltzmannRecipe | RBMRecipe) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    samples = load_samples(recipe.data.train)
    if recipe.data.validation is not None:
        validation = load_samples(recipe.data.validation)
        if validation.shape[1] != samples.shape[1]:
            raise InputError(
                f"{recipe.data.validation} has {validation.shape[1]} units, {recipe.data.train} {samples.shape[1]}"
            )
        return samples, validation
    if recipe.data.validation_fraction == 0:
        return samples, samples
    n_validation = max(1, round(recipe.data.validation_fraction * len(samples)))
    if len(samples) - n_validation < 1:
        raise InputError(f"{recipe.data.train}: {len(samples)} sample(s) cannot be split; give at least 2")
    order = np.random.default_rng(recipe.seed).permutation(len(samples))
    return samples[order[n_validation:]], samples[order[:n_validation]]


def _infinite(samples: NDArray[np.float64]) -> dict[str, str]:
    """Returns notes on what has its greatest likelihood at infinity."""
    notes = {}
    pairs = divergent_pairs(samples)
    if pairs:
        shown = ", ".join(f"{p.i + 1}–{p.j + 1} (never {p.missing[0]},{p.missing[1]})" for p in pairs[:10])
        more = f", … ({len(pairs)} in all)" if len(pairs) > 10 else ""
        notes["couplings at infinity"] = f"units {shown}{more}: trained values depend on when training stops"
    constant = np.flatnonzero(samples.min(0) == samples.max(0))
    if len(constant):
        shown = ", ".join(str(i + 1) for i in constant[:10])
        notes["fields at infinity"] = (
            f"{len(constant)} units never change: {shown}{', …' if len(constant) > 10 else ''}"
        )
    return notes
