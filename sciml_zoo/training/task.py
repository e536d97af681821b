"""What a domain writes so that the common trainer can train and score its model."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

__all__ = ["StepOutput", "Task"]


@dataclass(frozen=True)
class StepOutput:
    """The loss of one optimizer step.

    Attributes:
        loss: scalar, the mean over ``weight`` samples.
        weight: how many samples (atoms, frames, …) the mean is over; micro-batches and ranks are joined by it.
        metrics: further means over the same samples, averaged for the log and never synchronised per step.
    """

    loss: Tensor
    weight: float
    metrics: Mapping[str, Tensor | float] = field(default_factory=dict)


class Task(ABC):
    """How a model is trained and scored.

    Attributes:
        model: the model. The trainer moves it to its device, and puts the averaged model here during validation, so
            that forward always goes through ``self.model(...)`` and no reference to a part of it is kept elsewhere.
        generator: this rank's source of randomness on the trainer's device; set by the trainer and part of its state.
        precisions: the precisions, in Fabric's spelling, in which this task may be trained.
    """

    precisions: ClassVar[tuple[str, ...]] = ("32-true", "64-true", "16-mixed", "bf16-mixed")

    model: nn.Module
    generator: torch.Generator

    @property
    def device(self) -> torch.device:
        """The device of the model and of the batches."""
        return self.generator.device

    @abstractmethod
    def collate(self, samples: list[Any]) -> Any:
        """Joins samples into a batch.

        Args:
            samples: at least one sample.

        Returns:
            Anything that ``steps`` and ``evaluate`` understand: a tensor, a collection of tensors, or an object with
            a ``to(device)`` method. The trainer moves it to the device.
        """

    @abstractmethod
    def steps(self, batch: Any) -> Iterator[StepOutput]:
        """Yields one loss per optimizer step; the step is taken before the generator goes on.

        Args:
            batch: what ``collate`` returned, on the device.

        Yields:
            The loss of the next step. Ranks and micro-batches may yield different numbers of steps.
        """

    @abstractmethod
    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        """Scores the model; gradients are enabled, so that forces can be computed.

        Args:
            batches: this rank's batches, possibly none.

        Returns:
            The metrics over all ranks (torchmetrics objects synchronise by themselves).
        """

    def state_dict(self) -> dict[str, Any]:
        """Returns what must survive a restart beyond the model: a nested dict of tensors and scalars, one per rank."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` returned.

        Args:
            state: the nested dict, tensors on the CPU.

        Raises:
            ValueError: the state has entries that this task does not know.
        """
        if state:
            raise ValueError(f"{type(self).__name__} does not restore a state, but got {', '.join(map(str, state))}")
