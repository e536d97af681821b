"""The common trainer: a :class:`Task` says what a step is, a :class:`Trainer` takes it.

Example::

    from pathlib import Path
    from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig

    trainer = Trainer(TrainerConfig(max_steps=2000, ema_decay=0.99), directory=Path("runs/mine"))
    result = trainer.fit(task, OptimizerConfig(learning_rate=1e-3), train_samples, validation_samples)
    print(result.stopped_because, result.best)
"""

from typing import TYPE_CHECKING

from sciml_zoo._lazy import lazy_names

if TYPE_CHECKING:
    from sciml_zoo.training.callbacks import Callback, StepRecord, ValidationRecord
    from sciml_zoo.training.optimizer import build_optimizer
    from sciml_zoo.training.optimizer_step import NonFiniteError
    from sciml_zoo.training.prepared import PreparedTraining
    from sciml_zoo.training.progress import ProgressBar
    from sciml_zoo.training.recipe import OptimizerConfig, TrainerConfig, read_recipe, write_recipe
    from sciml_zoo.training.run_folder import finish_best, has_checkpoint
    from sciml_zoo.training.state import TrainState
    from sciml_zoo.training.task import StepOutput, Task
    from sciml_zoo.training.trainer import FitResult, Trainer

__all__ = [
    "Callback",
    "FitResult",
    "NonFiniteError",
    "OptimizerConfig",
    "PreparedTraining",
    "ProgressBar",
    "StepOutput",
    "StepRecord",
    "Task",
    "TrainState",
    "Trainer",
    "TrainerConfig",
    "ValidationRecord",
    "build_optimizer",
    "finish_best",
    "has_checkpoint",
    "read_recipe",
    "write_recipe",
]

_MODULES = {
    "callbacks": ("Callback", "StepRecord", "ValidationRecord"),
    "optimizer": ("build_optimizer",),
    "optimizer_step": ("NonFiniteError",),
    "prepared": ("PreparedTraining",),
    "progress": ("ProgressBar",),
    "recipe": ("OptimizerConfig", "TrainerConfig", "read_recipe", "write_recipe"),
    "run_folder": ("finish_best", "has_checkpoint"),
    "state": ("TrainState",),
    "task": ("StepOutput", "Task"),
    "trainer": ("FitResult", "Trainer"),
}
_homes = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__getattr__, __dir__ = lazy_names(__name__, _homes)
