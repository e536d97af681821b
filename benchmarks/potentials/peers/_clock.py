"""A learning rate that falls as a cosine of the time that has passed, to zero when the time is up."""

import math
import time

__all__ = ["Clock"]


class Clock:
    """A training's time.

    Args:
        minutes: that it may take, from now on.
    """

    def __init__(self, minutes: float) -> None:
        self._begun = time.monotonic()
        self._total = 60 * minutes

    @property
    def seconds(self) -> float:
        """Those that have passed."""
        return time.monotonic() - self._begun

    @property
    def is_up(self) -> bool:
        """Whether the time has passed."""
        return self.seconds >= self._total

    def factor(self) -> float:
        """Returns by what the learning rate is multiplied now."""
        return 0.5 * (1 + math.cos(math.pi * min(1.0, self.seconds / self._total)))
