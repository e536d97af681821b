"""Processes that share the work of scoring and predicting."""

from typing import Any, Protocol

__all__ = ["Ranks"]


class Ranks(Protocol):
    """What is needed of a group of processes; :class:`sciml_zoo.training.backend.Backend` has it."""

    rank: int
    world_size: int

    def gather(self, value: Any) -> list[Any]:
        """Returns the values of all ranks."""
