"""Measurements taken again and again while a model is trained, for a small part of the time."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments.result import Result

__all__ = ["Recurring"]


class Recurring:
    """Takes a measurement of the model that is being trained, as often as a part of the time allows.

    It is a callback of the common trainer, whose protocol it meets; in a loop of one's own, call :meth:`after_step`.
    A measurement is taken when all so far, and one more like the last, would have taken no more than ``share`` of the
    time since training began; the first after ``every`` steps.

    Args:
        measure: takes the model, and returns a result; it must leave the model as it is, as all instruments do.
        share: of the time of training that measurements may take.
        every: steps between two measurements, at least.
        file: JSON lines, one for each measurement, appended to; None: kept in memory alone.

    Attributes:
        records: step and result of every measurement of this process.
        seconds: that measurements have taken.

    Raises:
        InputError: a share that is not between 0 and 1, or no steps between measurements.

    Example:
        >>> from sciml_zoo.instruments import curvature
        >>> watch = Recurring(lambda model: curvature.measure(model, loss), file="curvature.jsonl")  # doctest: +SKIP
        >>> Trainer(config, directory=out, callbacks=[watch]).fit(task, optimizer, data)  # doctest: +SKIP
    """

    def __init__(
        self,
        measure: Callable[[nn.Module], Result],
        *,
        share: float = 0.03,
        every: int = 100,
        file: str | Path | None = None,
    ) -> None:
        if not 0 < share < 1 or every < 1:
            raise InputError(f"share {share:g}, every {every}: a share lies between 0 and 1, and every is at least 1")
        self.measure = measure
        self.share = share
        self.every = every
        self.file = None if file is None else Path(file)
        self.records: list[tuple[int, Result]] = []
        self.seconds = 0.0
        self._last_seconds = 0.0
        self._next_step = 0
        self._begun = time.perf_counter()
        self._model: nn.Module | None = None

    def on_fit_start(self, trainer: Any, state: Any) -> None:
        """Remembers the model; other ranks than the first measure nothing.

        Args:
            trainer: has ``is_main``.
            state: has ``model``, and ``step``, where the run starts or goes on.
        """
        self._model = state.model if trainer.is_main else None
        self._next_step = getattr(state, "step", 0) + self.every
        self._begun = time.perf_counter()

    def on_step_end(self, record: Any) -> None:
        """Measures, if it is time to.

        Args:
            record: has ``step``, the number of steps taken.
        """
        if self._model is not None:
            self.after_step(self._model, record.step)

    def after_step(self, model: nn.Module, step: int) -> Result | None:
        """Measures, if it is time to.

        Args:
            model: that is being trained.
            step: the number of steps taken.

        Returns:
            The result, or None if none was taken.
        """
        if step < max(self._next_step, self.every):
            return None
        begun = time.perf_counter()
        if self.seconds + self._last_seconds > self.share * (begun - self._begun):
            return None
        result = self.measure(model)
        self._last_seconds = time.perf_counter() - begun
        self.seconds += self._last_seconds
        self._next_step = step + self.every
        self.records.append((step, result))
        if self.file is not None:
            line = json.dumps({"step": step, "seconds": self._last_seconds, **result.to_dict()})
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(line + "\n")
        return result
