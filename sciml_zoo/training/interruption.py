"""Stopping in good order: Ctrl-C, SIGTERM, a time limit, or a callback's request."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

__all__ = ["REASONS", "Interruption"]

REASONS = ("interrupted", "time_limit", "requested")


class Interruption:
    """Notes reasons to stop while a run goes on; a second Ctrl-C interrupts at once."""

    def __init__(self, max_minutes: float | None) -> None:
        """Starts the clock.

        Args:
            max_minutes: the time limit, if any.
        """
        self._deadline = None if max_minutes is None else time.monotonic() + 60.0 * max_minutes
        self._noted: set[str] = set()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and "interrupted" in self._noted:
            raise KeyboardInterrupt
        self._noted.add("interrupted")

    def request(self) -> None:
        """Notes that a callback wants to stop."""
        self._noted.add("requested")

    def reasons(self) -> list[bool]:
        """Returns which of :data:`REASONS` hold on this rank."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._noted.add("time_limit")
        return [reason in self._noted for reason in REASONS]
