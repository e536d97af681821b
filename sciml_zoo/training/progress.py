"""A live progress bar with the time left; plain lines where there is no terminal."""

import time
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sciml_zoo.training.callbacks import StepRecord, ValidationRecord

if TYPE_CHECKING:
    from sciml_zoo.training.state import TrainState
    from sciml_zoo.training.trainer import Trainer

__all__ = ["ProgressBar"]


class ProgressBar:
    """Shows steps, loss, the monitored metric and the time left, on rank 0."""

    def __init__(self, file: IO[str] | None = None, seconds_between_lines: float = 10.0) -> None:
        """Shows progress on a stream.

        Args:
            file: standard error if not given.
            seconds_between_lines: without a terminal.
        """
        self._console = Console(file=file, stderr=file is None)
        self._interval = seconds_between_lines
        self._live: Progress | None = None
        self._shown = False
        self._validation = ""

    def on_fit_start(self, trainer: "Trainer", state: "TrainState") -> None:
        """Starts the display.

        Args:
            trainer: says how many steps there are.
            state: says how many are done.
        """
        self._shown = trainer.is_main
        self._total = trainer.config.max_steps
        self._first = state.step
        self._started = self._last_line = time.monotonic()
        if self._shown and self._console.is_terminal:
            self._live = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[values]}"),
                console=self._console,
                refresh_per_second=4,
            )
            self._bar = self._live.add_task("training", total=self._total, completed=state.step, values="")
            self._live.start()

    def on_step_end(self, record: StepRecord) -> None:
        """Moves on.

        Args:
            record: of the step.
        """
        if not self._shown:
            return
        if self._live is not None:
            self._live.update(self._bar, completed=record.step, values=f"loss {record.loss:.4g}{self._validation}")
            return
        now = time.monotonic()
        if now - self._last_line >= self._interval or record.step >= self._total:
            self._last_line = now
            left = (now - self._started) / (record.step - self._first) * max(0, self._total - record.step)
            self._line(f"step {record.step}/{self._total}  loss {record.loss:.4g}{self._validation}  {left:.0f} s left")

    def on_validation_end(self, record: ValidationRecord) -> None:
        """Shows the monitored metric from now on.

        Args:
            record: of the validation.
        """
        mark = " (best)" if record.improved else ""
        self._validation = f"  {record.monitor} {record.metrics[record.monitor]:.4g}{mark}"

    def on_fit_end(self) -> None:
        """Ends the display."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
