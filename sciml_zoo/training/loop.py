"""The loop: batches, optimizer steps, validations, checkpoints."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.training.backend import Backend
from sciml_zoo.training.callbacks import Callbacks, StepRecord, ValidationRecord
from sciml_zoo.training.evaluation import evaluate, evaluation_mode
from sciml_zoo.training.interruption import REASONS, Interruption
from sciml_zoo.training.optimizer_step import NonFiniteError, OptimizerStep
from sciml_zoo.training.order import part_of_batch
from sciml_zoo.training.recipe import TrainerConfig
from sciml_zoo.training.run_folder import RunFolder
from sciml_zoo.training.state import TrainState
from sciml_zoo.training.task import StepOutput

__all__ = ["TrainingLoop"]


class TrainingLoop:
    """One stage of a run: batches, validations and checkpoints until there is a reason to stop."""

    def __init__(
        self,
        config: TrainerConfig,
        backend: Backend,
        state: TrainState,
        stepper: OptimizerStep,
        folder: RunFolder | None,
        callbacks: Callbacks,
    ) -> None:
        """Puts the parts together.

        Args:
            config: how long and how closely watched.
            backend: this rank.
            state: new, or as saved.
            stepper: takes the steps.
            folder: on rank 0, if the run has one.
            callbacks: the listeners.
        """
        self._config = config
        self._backend = backend
        self._state = state
        self._stepper = stepper
        self._folder = folder
        self._callbacks = callbacks
        self._has_folder = backend.broadcast(folder is not None)
        self._saved_at = state.step or None
        self._started = time.monotonic() - state.seconds

    def run(self, train_samples: Sequence[Any], validation_samples: Sequence[Any], interruption: Interruption) -> str:
        """Trains until there is a reason to stop.

        Args:
            train_samples: dealt in batches.
            validation_samples: scored every ``validate_every`` steps and after ``max_steps``.
            interruption: reasons from outside.

        Returns:
            The reason.
        """
        state, config = self._state, self._config
        reason = self._finished()
        while reason is None:
            before = state.step
            try:
                self._train_batch(train_samples)
            except NonFiniteError as error:
                raise self._after_non_finite(error) from error
            interrupted = self._interrupted(interruption)
            if self._passed(config.validate_every, before):
                self._validate(validation_samples)
                self._save_last()
            elif config.checkpoint_every is not None and self._passed(config.checkpoint_every, before):
                self._save_last()
            reason = self._finished() or interrupted
        if reason == "max_steps":
            self._validate(validation_samples)
        if state.step != self._saved_at:
            self._save_last()
        return reason

    def _passed(self, every: int, before: int) -> bool:
        return self._state.step // every > before // every

    def _finished(self) -> str | None:
        if self._state.step >= self._config.max_steps:
            return "max_steps"
        if self._config.patience is not None and self._state.bad_validations >= self._config.patience:
            return "early_stopping"
        return None

    def _interrupted(self, interruption: Interruption) -> str | None:
        """Returns the first reason to stop that holds on any rank."""
        held = interruption.reasons()
        if self._backend.world_size > 1:
            flags = torch.tensor(held, dtype=torch.int32, device=self._backend.device)
            self._backend.sum([flags])
            held = flags.tolist()
        return next((reason for reason, holds in zip(REASONS, held, strict=True) if holds), None)

    def _train_batch(self, samples: Sequence[Any]) -> None:
        state, backend = self._state, self._backend
        indices = state.order.batch()
        chunks = part_of_batch(indices, backend.rank, backend.world_size, self._config.accumulate)
        parts = [self._steps_of([samples[index] for index in chunk]) for chunk in chunks]
        taken = 0
        while (result := self._stepper.take(parts, indices)) is not None:
            taken += 1
            state.seconds = time.monotonic() - self._started
            averages = state.averages.drain(backend) if state.step % self._config.log_every == 0 else None
            self._callbacks(
                "on_step_end",
                StepRecord(
                    step=state.step,
                    epoch=state.epoch,
                    loss=result.loss,
                    gradient_norm=result.gradient_norm,
                    learning_rate=result.learning_rate,
                    seconds=state.seconds,
                    averages=averages,
                ),
            )
        if not taken:
            raise InputError(f"{type(state.task).__name__}.steps yielded nothing for the batch of samples {indices}")
        state.order.advance()

    def _steps_of(self, samples: list[Any]) -> Iterator[StepOutput]:
        task = self._state.task
        yield from task.steps(self._backend.to_device(task.collate(samples)))

    def _validate(self, samples: Sequence[Any]) -> None:
        state, config = self._state, self._config
        if not len(samples) or state.validated_at == state.step:
            return
        size = config.evaluation_batch_size or config.batch_size
        state.metrics = evaluate(state.task, state.evaluation_model, samples, self._backend, size)
        if config.monitor not in state.metrics:
            raise InputError(
                f"trainer.monitor: {type(state.task).__name__} does not report {config.monitor!r}; "
                f"{nearest(config.monitor, state.metrics)}"
            )
        value = state.metrics[config.monitor]
        sign = 1.0 if config.mode == "min" else -1.0
        improved = value == value and (state.best is None or sign * value < sign * state.best)
        state.validated_at = state.step
        self._saved_at = None
        state.bad_validations = 0 if improved else state.bad_validations + 1
        if improved:
            state.best = value
            self._on_main(lambda folder, model: folder.save_best(model, self._metadata()))
        self._callbacks(
            "on_validation_end",
            ValidationRecord(
                step=state.step,
                epoch=state.epoch,
                metrics=state.metrics,
                monitor=config.monitor,
                improved=improved,
                seconds=state.seconds,
            ),
        )

    def _metadata(self) -> dict[str, Any]:
        state = self._state
        return {"step": state.step, "epoch": state.epoch, "metrics": state.metrics, "seconds": round(state.seconds, 3)}

    def _save_last(self) -> None:
        if not self._has_folder:
            return
        files = self._state.to_bytes(self._backend)
        self._on_main(lambda folder, model: folder.save_last(model, self._metadata(), files))
        self._saved_at = self._state.step

    def _on_main(self, write: Callable[[RunFolder, nn.Module], None]) -> None:
        """Writes on rank 0; what goes wrong there is raised on all ranks."""
        failure: Exception | None = None
        if self._folder is not None:
            model = self._state.evaluation_model
            try:
                with evaluation_mode(self._state.task, model):
                    write(self._folder, model)
            except Exception as error:
                failure = error
        failure = self._backend.broadcast(failure)
        if failure is not None:
            raise failure

    def _after_non_finite(self, error: NonFiniteError) -> NonFiniteError:
        """Returns the error to raise, once the weights as they were before the step are saved, if they are finite."""
        self._state.optimizer.zero_grad(set_to_none=True)
        if not self._has_folder:
            return error
        if self._state.is_finite():
            self._save_last()
            saved = f"the finite state before it, at step {self._state.step}, is in last/ of the run folder"
        else:
            saved = "the weights were not finite before it either; last/ of the run folder is as saved earlier"
        return NonFiniteError(f"{error}; {saved}", error.step, error.samples)
