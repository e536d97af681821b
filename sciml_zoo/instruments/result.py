"""What every instrument returns: numbers that do not change, a figure, and a dictionary for JSON."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Panel", "Result"]


class Result(ABC):
    """The base of all results, which are frozen dataclasses of numbers, strings, tensors, arrays, and results.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Spring(Result):
        ...     stiffness: float
        ...     def plot(self): ...
        >>> Spring(2.0).to_dict()
        {'stiffness': 2.0}
    """

    @abstractmethod
    def plot(self) -> "Figure":
        """Draws what was measured, with the theory beside it."""

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields, with lists for tensors and arrays and None for what is not finite."""
        assert dataclasses.is_dataclass(self)
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


class Panel(Result):
    """A result that fits on one pair of axes, on its own or beside others."""

    @abstractmethod
    def draw(self, axes: "Axes") -> None:
        """Draws it.

        Args:
            axes: to draw on.
        """

    def plot(self) -> "Figure":
        """Returns a figure of it alone."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.6, 4.2), layout="constrained")
        self.draw(figure.subplots())
        return figure


def _plain(value: Any) -> Any:
    """Returns what JSON can hold."""
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
