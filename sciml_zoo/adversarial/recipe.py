"""From a recipe to a task ready for the trainer: reads images, splits them, and builds the classifier."""

from dataclasses import dataclass, field

import numpy as np
import torch

from sciml_zoo.adversarial.data import LabelledImages, load_images
from sciml_zoo.adversarial.distortion import Distortion
from sciml_zoo.adversarial.model import DigitsCNN, DigitsCNNConfig
from sciml_zoo.adversarial.task import AdversarialTask, LabelledImage
from sciml_zoo.adversarial.threat import Threat
from sciml_zoo.errors import InputError, nearest
from sciml_zoo.training.prepared import PreparedTraining
from sciml_zoo.training.recipe import OptimizerConfig, TrainerConfig

__all__ = ["DigitsRecipe", "ImagesConfig", "prepare", "recipe_type"]


@dataclass(frozen=True)
class ImagesConfig:
    """Training images; see :mod:`sciml_zoo.adversarial.data` for what can be named.

    Attributes:
        train: a ``.npz`` or ``.csv`` file, or ``sklearn:digits/train``.
        validation: the same; None: a part of ``train``.
        validation_fraction: that part of each class, in (0, 1).
    """

    train: str
    validation: str | None = None
    validation_fraction: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.validation_fraction < 1:
            raise InputError(f"validation_fraction: {self.validation_fraction} does not lie between 0 and 1")


@dataclass(frozen=True)
class DigitsRecipe:
    """How a :class:`DigitsCNN` is trained.

    Attributes:
        architecture: its registered name.
        data: what to learn from.
        seed: of the split and of the initial weights.
        model: shape of the network.
        distortion: of training images.
        attack: what it is trained against; kind ``none``: clean images.
        threat: what validations measure its robustness against; None: that of ``attack``.
        optimizer: how the weights are changed.
        trainer: how long.
    """

    architecture: str
    data: ImagesConfig
    seed: int = 0
    model: DigitsCNNConfig = field(default_factory=DigitsCNNConfig)
    distortion: Distortion = field(default_factory=Distortion)
    attack: Threat = field(default_factory=Threat)
    threat: Threat | None = None
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is not zero or more")
        monitor, names = self.trainer.monitor, AdversarialTask.NAMES
        if monitor not in names:
            raise InputError(f"trainer.monitor: {monitor!r} is not measured here; {nearest(monitor, names)}")
        better = "max" if monitor.endswith("accuracy") else "min"
        if self.trainer.mode != better:
            raise InputError(f"trainer.mode: {self.trainer.mode!r}, but the best {monitor} is the {better}")


def recipe_type(architecture: str) -> type[DigitsRecipe]:
    """Returns the recipe dataclass of an architecture of this domain."""
    return {"digits_cnn": DigitsRecipe}[architecture]


def prepare(recipe: DigitsRecipe) -> PreparedTraining[DigitsRecipe]:
    """Reads and splits the images, and builds the network.

    Args:
        recipe: the recipe; its seed decides the split and the initial weights.

    Returns:
        All that the trainer needs.

    Raises:
        InputError: images that cannot be read, do not fit the model, or are too few to split.
    """
    train, validation = _split(recipe)
    torch.manual_seed(recipe.seed)
    model = DigitsCNN(recipe.model)
    attack = recipe.attack
    against = (
        "clean images" if attack.kind == "none" else f"{attack.kind}, ε = {attack.epsilon:g}, {attack.steps} steps"
    )
    size = recipe.model.size
    notes = {
        "images": f"{len(train)} for training, {len(validation)} for validation, {size}×{size} pixels",
        "trained on": against,
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
    }
    task = AdversarialTask(model, attack, recipe.threat, recipe.distortion)
    return PreparedTraining(recipe, task, train, validation, notes)


def _split(recipe: DigitsRecipe) -> tuple[list[LabelledImage], list[LabelledImage]]:
    config = recipe.data
    images = _fitting(config.train, recipe.model)
    if config.validation is not None:
        return _samples(images), _samples(_fitting(config.validation, recipe.model))
    chosen = _chosen(images, config.validation_fraction, recipe.seed)
    if chosen.all() or not chosen.any():
        raise InputError(f"{config.train}: {len(images)} image(s) cannot be split; give more, or data.validation")
    samples = _samples(images)
    train, validation = ([s for s, c in zip(samples, chosen, strict=True) if c == part] for part in (False, True))
    return train, validation


def _chosen(images: LabelledImages, fraction: float, seed: int) -> np.ndarray:
    """Returns which images are for validation: the fraction of each class, rounded; one in all, if that gives none."""
    assert images.labels is not None
    generator, labels = np.random.default_rng(seed), images.labels.numpy()
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        chosen[rows[: round(fraction * len(rows))]] = True
    if not chosen.any():
        chosen[generator.integers(len(labels))] = True
    return chosen


def _fitting(reference: str, config: DigitsCNNConfig) -> LabelledImages:
    found = load_images(reference)
    assert found.labels is not None
    if found.size != config.size:
        raise InputError(
            f"model.size: {config.size}, but the images of {reference} have {found.size} pixels a side; give "
            f"--model.size {found.size}"
        )
    highest = int(found.labels.max())
    if highest >= config.n_classes:
        raise InputError(
            f"model.n_classes: {config.n_classes}, but {reference} has the label {highest}; give --model.n_classes "
            f"{highest + 1}"
        )
    return found


def _samples(found: LabelledImages) -> list[LabelledImage]:
    assert found.labels is not None
    return [LabelledImage(*pair) for pair in zip(found.images, found.labels, strict=True)]
