"""The forecaster in scikit-learn's manner: settings, ``fit``, ``predict``."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
import torch
from sklearn.base import BaseEstimator

from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.fitting import prepared_network
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.model import EmissionsForecaster, EmissionsForecasterConfig
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.task import ForecastTask, LossConfig
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.errors import InputError
from sciml_zoo.training.recipe import OptimizerConfig, TrainerConfig
from sciml_zoo.training.trainer import Trainer

__all__ = ["NeuralForecaster", "default_optimizer", "default_trainer"]


def default_optimizer() -> OptimizerConfig:
    """Returns the optimizer of a recipe that names none."""
    return OptimizerConfig(name="adamw", learning_rate=3e-3, weight_decay=1.0, schedule="cosine", warmup_steps=50)


def default_trainer() -> TrainerConfig:
    """Returns the trainer of a recipe that names none."""
    return TrainerConfig(
        max_steps=300, batch_size=1024, clip_norm=1.0, validate_every=300, monitor="crps", evaluation_batch_size=4096
    )


@dataclass(eq=False, repr=False)
class NeuralForecaster(BaseEstimator):
    """Trains an :class:`EmissionsForecaster` on a panel, and forecasts any panel with it.

    Example:
        >>> from sciml_zoo.emissions import NeuralForecaster
        >>> forecaster = NeuralForecaster()  # .fit(panel).predict(panel, horizon=5).table()

    Attributes:
        model: shape of the network; what depends on the data is filled in.
        loss: weights and noise.
        optimizer: how the weights are changed.
        trainer: how long.
        validation_fraction: of the companies, to calibrate on.
        seed: of the split and of the initial weights.
        device: where to compute.
        network: after :meth:`fit`, the trained network.
    """

    model: EmissionsForecasterConfig = field(default_factory=EmissionsForecasterConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=default_optimizer)
    trainer: TrainerConfig = field(default_factory=default_trainer)
    validation_fraction: float = 0.15
    seed: int = 0
    device: str | torch.device = "cpu"
    network: EmissionsForecaster | None = field(default=None, init=False)

    def fit(self, panel: Panel | Sequence[Panel]) -> "NeuralForecaster":
        """Trains on a panel, all of it history.

        Args:
            panel: one, or several to learn from together.

        Returns:
            Itself.

        Raises:
            InputError: no panel, or too little to learn from.
        """
        if isinstance(panel, pd.DataFrame):
            raise InputError("a DataFrame is no panel yet: give Panel.from_long(frame), or Panel.from_wide(frame)")
        panels = [panel] if isinstance(panel, Panel) else list(panel)
        # The caller's own random numbers go on as if nothing had been trained.
        with torch.random.fork_rng():
            prepared = prepared_network(
                panels, self.model, validation_fraction=self.validation_fraction, seed=self.seed
            )
            task = ForecastTask(prepared.model, self.loss)
            Trainer(self.trainer).fit(task, self.optimizer, prepared.train, prepared.validation)
        self.network = prepared.model
        return self

    def predict(
        self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0, drivers: Drivers | None = None
    ) -> Forecast:
        """Forecasts the years after a panel's last.

        Args:
            panel: histories, not necessarily of the companies trained on.
            horizon: years.
            samples: joint trajectories.
            seed: of the draws.
            drivers: what they will be, where that is known or assumed.

        Returns:
            The forecast.

        Raises:
            InputError: not fitted, or what :meth:`TrainedForecaster.predict` refuses.
        """
        if self.network is None:
            raise InputError("this NeuralForecaster is not fitted; call fit(panel) first")
        forecaster = TrainedForecaster(self.network, device=self.device)
        return forecaster.predict(panel, horizon, samples=samples, seed=seed, drivers=drivers)
