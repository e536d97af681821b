"""The common trainer: a :class:`Task` says what a step is, a :class:`Trainer` takes it.

Example::

    from pathlib import Path
    from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig

    trainer = Trainer(TrainerConfig(max_steps=2000, ema_decay=0.99), directory=Path("runs/mine"))
    result = trainer.fit(task, OptimizerConfig(learning_rate=1e-3), train_samples, validation_samples)
    print(result.stopped_because, result.best_metric)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml_zoo.training.callbacks import Callback, StepRecord, ValidationRecord
    from sciml_zoo.training.optimizer import build_optimizer
    from sciml_zoo.training.optimizer_step import NonFiniteError
    from sciml_zoo.training.progress import ProgressBar
    from sciml_zoo.training.recipe import OptimizerConfig, TrainerConfig, read_recipe, write_recipe
    from sciml_zoo.training.run_folder import has_checkpoint
    from sciml_zoo.training.state import TrainState
    from sciml_zoo.training.task import StepOutput, Task
    from sciml_zoo.training.trainer import FitResult, Trainer

_HOMES = {
    "Callback": "callbacks",
    "FitResult": "trainer",
    "NonFiniteError": "optimizer_step",
    "OptimizerConfig": "recipe",
    "ProgressBar": "progress",
    "StepOutput": "task",
    "StepRecord": "callbacks",
    "Task": "task",
    "TrainState": "state",
    "Trainer": "trainer",
    "TrainerConfig": "recipe",
    "ValidationRecord": "callbacks",
    "build_optimizer": "optimizer",
    "has_checkpoint": "run_folder",
    "read_recipe": "recipe",
    "write_recipe": "recipe",
}

__all__ = [
    "Callback",
    "FitResult",
    "NonFiniteError",
    "OptimizerConfig",
    "ProgressBar",
    "StepOutput",
    "StepRecord",
    "Task",
    "TrainState",
    "Trainer",
    "TrainerConfig",
    "ValidationRecord",
    "build_optimizer",
    "has_checkpoint",
    "read_recipe",
    "write_recipe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
