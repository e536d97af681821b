"""The trainer that all domains share: it sets a run up, and hands it to the loop."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from sciml_zoo.errors import InputError
from sciml_zoo.training.backend import Backend
from sciml_zoo.training.callbacks import Callbacks, JsonLog, TensorBoardLog
from sciml_zoo.training.evaluation import evaluate
from sciml_zoo.training.interruption import Interruption
from sciml_zoo.training.loop import TrainingLoop
from sciml_zoo.training.optimizer import GradientClip, build_optimizer
from sciml_zoo.training.optimizer_step import OptimizerStep
from sciml_zoo.training.order import DataOrder
from sciml_zoo.training.recipe import OptimizerConfig, TrainerConfig, as_plain, differences
from sciml_zoo.training.run_folder import RunFolder, SaveModel, has_checkpoint, save_model_files
from sciml_zoo.training.state import VERSION, TrainState, derived_seed, unpack
from sciml_zoo.training.task import Task

__all__ = ["FitResult", "Trainer"]

# What a resumed run may not change, because it would not be the same run any more.
_FIXED = ("batch_size", "accumulate", "seed", "clip_norm", "clip_factor", "ema_decay", "monitor", "mode", "precision")


@dataclass(frozen=True)
class FitResult:
    """How a call of :meth:`Trainer.fit` ended.

    Attributes:
        model: the trained model, with averaged weights if there is an average.
        step: optimizer steps taken, over all stages.
        epoch: completed passes over the samples.
        stopped_because: ``max_steps``, ``early_stopping``, ``interrupted``, ``time_limit`` or ``requested``.
        best: the best value of the monitored metric, if there was a validation.
        metrics: of the last validation in this call.
        seconds: of training, over all stages.
    """

    model: nn.Module
    step: int
    epoch: int
    stopped_because: str
    best: float | None
    metrics: dict[str, float]
    seconds: float


class Trainer:
    """Trains and scores tasks: the same code on a CPU, on GPUs and on several machines.

    Attributes:
        config: how long, on what and how closely watched.
        backend: this process's device and its link to the other ranks.
    """

    def __init__(
        self,
        config: TrainerConfig,
        *,
        directory: Path | None = None,
        callbacks: Sequence[object] = (),
        save: SaveModel = save_model_files,
        recipe: object | None = None,
    ) -> None:
        """Finds the device and the other ranks.

        Args:
            config: how to train.
            directory: the run folder; without it nothing is written.
            callbacks: listeners (see :class:`sciml_zoo.training.callbacks.Callback`).
            save: writes a model's files into an existing empty directory.
            recipe: the dataclass to write as ``recipe.yaml``; by default the trainer's and optimizer's parts.
        """
        self.config = config
        self.backend = Backend(config)
        self._directory = directory
        self._listeners = list(callbacks)
        self._save = save
        self._recipe = recipe
        self._interruption: Interruption | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process is rank 0."""
        return self.backend.is_main

    def request_stop(self) -> None:
        """Ends training after the present batch, with a checkpoint; for callbacks."""
        if self._interruption is not None:
            self._interruption.request()

    def evaluate(self, task: Task, samples: Sequence[Any]) -> dict[str, float]:
        """Scores a task's model.

        Args:
            task: whose model is used as it is.
            samples: dealt to the ranks.

        Returns:
            The metrics over all samples.
        """
        self._place(task)
        size = self.config.evaluation_batch_size or self.config.batch_size
        return evaluate(task, task.model, samples, self.backend, size)

    def fit(
        self,
        task: Task,
        optimizer: OptimizerConfig,
        train_samples: Sequence[Any],
        validation_samples: Sequence[Any] = (),
        *,
        resume: bool = False,
    ) -> FitResult:
        """Trains a task's model.

        Args:
            task: its model is trained in place.
            optimizer: how the weights are changed.
            train_samples: dealt in batches, in a new order each epoch; reading one must not use randomness.
            validation_samples: scored every ``validate_every`` steps; without them there is no ``best/``.
            resume: goes on from ``last/`` in the run folder.

        Returns:
            How training ended.

        Raises:
            InputError: the run folder holds a run and ``resume`` is not set, or there is none and it is; or the run
                was made with other data or settings.
        """
        self._place(task)
        if resume and self._directory is None:
            raise InputError("resume needs the directory of the run")
        there = self.backend.broadcast(self._directory is not None and has_checkpoint(self._directory))
        if resume and not there:
            raise InputError(f"{self._directory} holds no checkpoint to resume from; start without resume")
        if there and not resume:
            raise InputError(f"{self._directory} already holds a run: resume it, or choose another directory")
        with contextlib.ExitStack() as stack:
            folder = self._open_folder(stack)
            state = self._new_state(task, optimizer, len(train_samples))
            stepper = OptimizerStep(state, self.backend, optimizer, self.config.max_steps)
            if resume:
                self._resume(state, folder)
            if folder is not None:
                folder.trim_log(state.step)
                folder.write_recipe(self._recipe or _TrainingRecipe(optimizer, self.config))
            callbacks = Callbacks([*self._listeners, *self._logs(folder)])
            self._interruption = stack.enter_context(Interruption(self.config.max_minutes))
            loop = TrainingLoop(self.config, self.backend, state, stepper, folder, callbacks)
            try:
                callbacks("on_fit_start", self, state)
                reason = loop.run(train_samples, validation_samples, self._interruption)
            finally:
                callbacks("on_fit_end")
                self._interruption = None
        return FitResult(
            model=state.evaluation_model,
            step=state.step,
            epoch=state.epoch,
            stopped_because=reason,
            best=state.best,
            metrics=state.metrics,
            seconds=state.seconds,
        )

    def _place(self, task: Task) -> None:
        if self.config.precision not in task.precisions:
            raise InputError(
                f"trainer.precision: {type(task).__name__} cannot be trained in {self.config.precision!r}; "
                f"valid: {', '.join(task.precisions)}"
            )
        self.backend.place(task.model)
        seed = derived_seed(self.config.seed, "task", self.backend.rank)
        task.generator = torch.Generator(self.backend.device).manual_seed(seed)

    def _open_folder(self, stack: contextlib.ExitStack) -> RunFolder | None:
        if self._directory is None or not self.is_main:
            return None
        folder = RunFolder(self._directory, self._save)
        stack.callback(folder.close)
        return folder

    def _logs(self, folder: RunFolder | None) -> list[object]:
        if folder is None:
            return []
        return [JsonLog(folder), *([TensorBoardLog(folder.path)] if self.config.tensorboard else [])]

    def _new_state(self, task: Task, optimizer: OptimizerConfig, n_samples: int) -> TrainState:
        config = self.config
        torch.manual_seed(derived_seed(config.seed, "torch", self.backend.rank))
        task.model.train()
        ema = None
        if config.ema_decay is not None:
            ema = AveragedModel(task.model, multi_avg_fn=_moving_average(config.ema_decay))
            ema.requires_grad_(False)
            ema.eval()
        plain = as_plain(config)
        return TrainState(
            task=task,
            model=task.model,
            optimizer=build_optimizer(task.model, optimizer),
            order=DataOrder(n_samples, config.batch_size, derived_seed(config.seed, "order")),
            clip=GradientClip(config.clip_norm, config.clip_factor),
            ema=ema,
            settings={"trainer": {key: plain[key] for key in _FIXED}, "optimizer": as_plain(optimizer)},
        )

    def _resume(self, state: TrainState, folder: RunFolder | None) -> None:
        """Rank 0 reads; the others need not see its disk."""
        files: tuple[bytes, bytes] | InputError = InputError("")
        if folder is not None:
            try:
                files = folder.read_last()
                if self._recipe is not None:
                    folder.require_same_recipe(self._recipe)
            except InputError as error:
                files = error
        files = self.backend.broadcast(files)
        if isinstance(files, InputError):
            raise files
        try:
            saved = unpack(*files)
            if saved["version"] != VERSION:
                raise InputError(
                    f"written in version {saved['version']} of the format, this is {VERSION}: update sciml_zoo"
                )
            for section, values in state.settings.items():
                changed = differences(saved["settings"][section], values)
                if changed:
                    raise InputError(
                        f"{section}.{'; '.join(changed)}: to resume, leave it as it was; to change it, start a new run"
                    )
            exact = state.load(saved, self.backend)
        except KeyError as error:
            raise InputError(f"{self._directory}/last: the saved state is damaged: {error} is missing") from error
        except InputError as error:
            raise InputError(f"{self._directory}/last: {error}") from error
        if not exact:  # another number of ranks: the data go on in the same order, but with fresh random numbers
            seed = derived_seed(self.config.seed, f"continued at {state.step}", self.backend.rank)
            torch.manual_seed(seed)
            state.task.generator.manual_seed(seed)


def _moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Returns the update of an average whose decay rises to its value, so that it soon forgets the initial weights."""

    @torch.no_grad()
    def update(averaged: Any, current: Any, n_averaged: Any) -> None:
        n = int(n_averaged)
        torch._foreach_lerp_(list(averaged), list(current), 1 - min(decay, (1 + n) / (10 + n)))

    return update


@dataclass(frozen=True)
class _TrainingRecipe:
    optimizer: OptimizerConfig
    trainer: TrainerConfig
