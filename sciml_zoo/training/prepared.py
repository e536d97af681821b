"""What a domain makes of a recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import nn

from sciml_zoo.training.task import Task

__all__ = ["PreparedTraining"]

Recipe = TypeVar("Recipe")


@dataclass(frozen=True)
class PreparedTraining(Generic[Recipe]):
    """Everything that ``Trainer.fit`` takes.

    Attributes:
        recipe: the recipe with all that was derived from the data filled in.
        task: model and loss.
        train: training samples.
        validation: validation samples.
        notes: what was chosen from the data, name → text, for the user to see.
        finish: what is done with the best model before it is saved for good, such as fitting its uncertainty; it
            changes the model in place, and returns figures to show, name → text.
    """

    recipe: Recipe
    task: Task
    train: list[Any]
    validation: list[Any]
    notes: dict[str, str]
    finish: Callable[[nn.Module], dict[str, str]] | None = None
