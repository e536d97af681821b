"""The nodes of an attack's path while it runs: the points, and which of them led to which."""

import torch
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
        self._before = torch.zeros(capacity + 1, len(start), dtype=torch.int64, device=start.device)
        self._last = 0

    @property
    def last(self) -> int:
        """The number of the last node."""
        return self._last

    def add(self, points: Tensor, before: Tensor | None = None) -> None:
        """Adds a node.

        Args:
            points: [batch, ...].
            before: the node that each sample comes from, int64 [batch]; None: the last.
        """
        self._before[self._last + 1] = self._last if before is None else before
        self._last += 1
        self._points[self._last] = points

    def route(self, name: str, gradients: int, success: Tensor, end: Tensor | None = None) -> Path:
        """Returns the path to a node of each sample, through those alone that led to it; there it stays.

        Args:
            name: of the attack.
            gradients: that it computed for each sample, on this path and beside it.
            success: at the end, bool [batch].
            end: the node of each sample, int64 [batch]; None: the last.
        """
        samples = torch.arange(len(success), device=success.device)
        node = torch.full_like(samples, self._last) if end is None else end
        nodes = [node]
        while bool((node > 0).any()):
            node = self._before[node, samples]
            nodes.append(node)
        backward = torch.stack(nodes if len(nodes) > 1 else 2 * nodes)
        steps = (backward > 0).sum(0)
        place = torch.arange(len(backward), device=success.device)[:, None]
        taken = backward.gather(0, (steps - place).clamp_min(0))
        return Path(self._points[taken, samples], name, gradients, success)
