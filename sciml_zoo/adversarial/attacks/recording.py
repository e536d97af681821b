"""The nodes of an attack's path while it runs: the points and nothing else."""

from torch import Tensor

from sciml_zoo.adversarial.path import Path

__all__ = ["Recording"]


class Recording:
    """Room for the nodes of a batch of paths, filled one after another.

    Args:
        start: the clean inputs, [batch, ...]; the first node.
        capacity: how many nodes may follow.
    """

    def __init__(self, start: Tensor, capacity: int) -> None:
        self._points = start.new_empty(capacity + 1, *start.shape)
        self._points[0] = start
        self._last = 0

    @property
    def last(self) -> int:
        """The number of the last node."""
        return self._last

    def add(self, points: Tensor) -> None:
        """Adds a node, [batch, ...]."""
        self._last += 1
        self._points[self._last] = points

    def path(self, name: str, gradients: int, success: Tensor) -> Path:
        """Returns the path so far.

        Args:
            name: of the attack.
            gradients: that it computed for each sample.
            success: bool [batch].
        """
        return Path(self._points[: self._last + 1], name, gradients, success)

    def stopped(self, name: str, gradients: int, success: Tensor, best: Tensor) -> Path:
        """Returns the path on which each sample stays at its best node.

        Args:
            name: of the attack.
            gradients: that it computed for each sample.
            success: at the best node, bool [batch].
            best: the number of its best node, int64 [batch].
        """
        return self.path(name, gradients, success).stopped(best)
