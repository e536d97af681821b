"""From a recipe to a task ready for the trainer: reads panels, splits their companies, and builds the network."""

import dataclasses
from dataclasses import dataclass, field

import pandas as pd

from sciml_zoo.emissions.estimator import default_optimizer, default_trainer
from sciml_zoo.emissions.fitting import prepared_network
from sciml_zoo.emissions.model import EmissionsForecasterConfig
from sciml_zoo.emissions.sources import open_panel
from sciml_zoo.emissions.task import ForecastTask, LossConfig
from sciml_zoo.errors import InputError, nearest
from sciml_zoo.training.prepared import PreparedTraining
from sciml_zoo.training.recipe import OptimizerConfig, TrainerConfig

__all__ = ["ForecasterRecipe", "PanelConfig", "prepare", "recipe_type"]

# Rejected rows that a note names.
_NAMED = 3


@dataclass(frozen=True)
class PanelConfig:
    """What to learn from.

    Attributes:
        panels: CSV files (``company,year,emissions`` and optional ``unit,sector,country``), or names of the catalogue:
            eutl, ghgrp_firms, ghgrp_facilities, gcb.
        drivers: a CSV file, ``world`` or ``us``, as for :func:`~sciml_zoo.emissions.open_drivers`; None: none.
        since: the first year used; None: all.
        until: the last year used; None: all. Nothing later is looked at.
        validation_fraction: of the companies, to calibrate on, in (0, 1).
    """

    panels: tuple[str, ...]
    drivers: str | None = None
    since: int | None = None
    until: int | None = None
    validation_fraction: float = 0.15

    def __post_init__(self) -> None:
        if not self.panels:
            raise InputError("panels: name at least one")
        if not 0 < self.validation_fraction < 1:
            raise InputError(f"validation_fraction: {self.validation_fraction} does not lie between 0 and 1")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise InputError(f"since: {self.since} does not lie before until, {self.until}")


@dataclass(frozen=True)
class ForecasterRecipe:
    """How an :class:`EmissionsForecaster` is trained.

    Attributes:
        architecture: its registered name.
        data: what to learn from.
        seed: of the split of companies and of the initial weights.
        model: shape of the network; what depends on the data is filled in.
        loss: its weights and noise.
        optimizer: how the weights are changed.
        trainer: how long.
    """

    architecture: str
    data: PanelConfig
    seed: int = 0
    model: EmissionsForecasterConfig = field(default_factory=EmissionsForecasterConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=default_optimizer)
    trainer: TrainerConfig = field(default_factory=default_trainer)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is not zero or more")
        monitor = self.trainer.monitor
        if monitor not in ForecastTask.NAMES:
            raise InputError(
                f"trainer.monitor: {monitor!r} is not measured here; {nearest(monitor, ForecastTask.NAMES)}"
            )


def recipe_type(architecture: str) -> type[ForecasterRecipe]:
    """Returns the recipe dataclass of an architecture of this domain."""
    return {"emissions_rnn": ForecasterRecipe}[architecture]


def prepare(recipe: ForecasterRecipe) -> PreparedTraining[ForecasterRecipe]:
    """Reads the panels and builds the network.

    Args:
        recipe: the recipe; its seed decides the split of companies and the initial weights.

    Returns:
        All that the trainer needs.

    Raises:
        InputError: files that cannot be read, or too little to learn from.
    """
    config = recipe.data
    panels = [open_panel(name, drivers=config.drivers).between(config.since, config.until) for name in config.panels]
    found = prepared_network(panels, recipe.model, validation_fraction=config.validation_fraction, seed=recipe.seed)
    rejected = pd.concat([panel.rejected for panel in panels])
    first = "".join(f"; {row.company!r}, {row.year}: {row.reason}" for row in rejected[:_NAMED].itertuples())
    more = ", …" if len(rejected) > _NAMED else ""
    notes = {**found.notes, "rejected rows": f"{len(rejected):,}{first}{more}"}
    resolved = dataclasses.replace(recipe, model=found.model.config)
    task = ForecastTask(found.model, recipe.loss)
    return PreparedTraining(resolved, task, found.train, found.validation, notes)  # type: ignore[arg-type]
