"""What the trainer tells others while it runs, and the logs that listen.

Any object may listen: of the methods of :class:`Callback`, those that it has are called. Callbacks are called on all
ranks; what writes or shows something looks at ``trainer.is_main``.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sciml_zoo.errors import InputError
from sciml_zoo.training.run_folder import RunFolder

if TYPE_CHECKING:
    from sciml_zoo.training.state import TrainState
    from sciml_zoo.training.trainer import Trainer

__all__ = ["Callback", "Callbacks", "JsonLog", "StepRecord", "TensorBoardLog", "ValidationRecord"]


@dataclass(frozen=True)
class StepRecord:
    """An optimizer step that was taken.

    Attributes:
        step: steps taken, this one included.
        epoch: completed passes over the samples.
        loss: of the global batch, before the step.
        gradient_norm: before it was bounded.
        learning_rate: of the first parameter group.
        seconds: of training so far.
        averages: every ``log_every`` steps, the means of loss and metrics since the last time.
    """

    step: int
    epoch: int
    loss: float
    gradient_norm: float
    learning_rate: float
    seconds: float
    averages: Mapping[str, float] | None


@dataclass(frozen=True)
class ValidationRecord:
    """A validation.

    Attributes:
        step: steps taken.
        epoch: completed passes over the samples.
        metrics: over all validation samples.
        monitor: the metric that chooses the best model.
        improved: whether this is the best so far.
        seconds: of training so far.
    """

    step: int
    epoch: int
    metrics: Mapping[str, float]
    monitor: str
    improved: bool
    seconds: float


class Callback(Protocol):
    """What a listener may have; none of it is required."""

    def on_fit_start(self, trainer: "Trainer", state: "TrainState") -> None:
        """The run starts or goes on.

        Args:
            trainer: its ``config``, ``is_main`` and ``request_stop()`` may be used.
            state: the live state; ``state.model`` is the model being trained.
        """

    def on_step_end(self, record: StepRecord) -> None:
        """An optimizer step was taken.

        Args:
            record: of the step.
        """

    def on_validation_end(self, record: ValidationRecord) -> None:
        """The model was validated.

        Args:
            record: of the validation.
        """

    def on_fit_end(self) -> None:
        """The run is over, also after an error."""


class Callbacks:
    """Calls what each listener has."""

    def __init__(self, listeners: Iterable[object]) -> None:
        """Finds the listeners of each event.

        Args:
            listeners: in the order of the calls.
        """
        listeners = list(listeners)
        events = ("on_fit_start", "on_step_end", "on_validation_end", "on_fit_end")
        self._methods = {name: [getattr(item, name) for item in listeners if hasattr(item, name)] for name in events}

    def __call__(self, event: str, *arguments: Any) -> None:
        """Tells all listeners of an event.

        Args:
            event: the method's name.
            *arguments: of the method.
        """
        for method in self._methods[event]:
            method(*arguments)


def _json_numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


class JsonLog:
    """Writes ``metrics.jsonl``: a line every ``log_every`` steps and at each validation."""

    def __init__(self, folder: RunFolder) -> None:
        """Logs to a run's folder.

        Args:
            folder: of the run.
        """
        self._folder = folder

    def on_step_end(self, record: StepRecord) -> None:
        """Logs the averages, if the step has any.

        Args:
            record: of the step.
        """
        if record.averages is not None:
            place = {"event": "train", "step": record.step, "epoch": record.epoch, "seconds": round(record.seconds, 3)}
            values = {"learning_rate": record.learning_rate, "gradient_norm": record.gradient_norm, **record.averages}
            self._folder.log(place | _json_numbers(values))

    def on_validation_end(self, record: ValidationRecord) -> None:
        """Logs the metrics.

        Args:
            record: of the validation.
        """
        place = {"event": "validation", "step": record.step, "epoch": record.epoch, "seconds": round(record.seconds, 3)}
        self._folder.log(place | {"improved": record.improved} | _json_numbers(record.metrics))


class TensorBoardLog:
    """Writes the same numbers for TensorBoard."""

    def __init__(self, directory: Path) -> None:
        """Opens the log.

        Args:
            directory: of the run; the files go to ``tensorboard/`` in it.

        Raises:
            InputError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                "trainer.tensorboard: TensorBoard is not installed; pip install 'sciml-zoo[train]', or set it to false"
            ) from error
        self._directory = directory / "tensorboard"
        self._open = SummaryWriter
        self._writer: Any = None

    def on_fit_start(self, trainer: "Trainer", state: "TrainState") -> None:
        """Opens the files; what a resumed run logs again hides what was logged after its checkpoint.

        Args:
            trainer: not used.
            state: says the first step.
        """
        self._writer = self._open(str(self._directory), purge_step=state.step + 1 if state.step else None)

    def on_step_end(self, record: StepRecord) -> None:
        """Logs the averages, if the step has any.

        Args:
            record: of the step.
        """
        if record.averages is not None:
            self._write("train", record.step, {"learning_rate": record.learning_rate, **record.averages})

    def on_validation_end(self, record: ValidationRecord) -> None:
        """Logs the metrics.

        Args:
            record: of the validation.
        """
        self._write("validation", record.step, record.metrics)

    def on_fit_end(self) -> None:
        """Closes the files."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, group: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)
