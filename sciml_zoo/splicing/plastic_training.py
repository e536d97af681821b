"""Plasticity by methylation in training: which track modulates, and how the rates reach the optimizer.

Definition (a), ``per_step``, acts in the backward pass by itself. Definition (b), ``per_connection``, needs
:class:`PlasticRates` among the trainer's callbacks:

    task = SpliceTask(model, plasticity=PlasticityConfig(0.9, "per_connection"))
    Trainer(config, callbacks=[PlasticRates()]).fit(task, ...)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import torch
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.optim.plasticity import Plasticity
from sciml_zoo.splicing.plasticity import (
    Definition,
    EligibilityRecord,
    plastic,
    shuffled_control,
    uniform_control,
)

if TYPE_CHECKING:
    from sciml_zoo.training.state import TrainState
    from sciml_zoo.training.trainer import Trainer

__all__ = ["Control", "PlasticRates", "PlasticityConfig", "of_base_pairs", "read_plastically"]

Control = Literal["none", "uniform", "shuffled"]
T = TypeVar("T")


@dataclass(frozen=True)
class PlasticityConfig:
    """How methylation modulates learning; see :mod:`sciml_zoo.splicing.plasticity`.

    Attributes:
        kappa: κ in [0, 1].
        definition: (a) ``per_step`` or (b) ``per_connection``.
        control: what takes the place of the methylation of each window: ``none``: itself; ``uniform``: its mean at all
            bases; ``shuffled``: its values in a random order, new whenever the window is read.
    """

    kappa: float
    definition: Definition = "per_step"
    control: Control = "none"

    def __post_init__(self) -> None:
        if not 0 <= self.kappa <= 1:
            raise InputError(f"kappa: {self.kappa} is not in [0, 1]")
        for name, valid in (("definition", get_args(Definition)), ("control", get_args(Control))):
            if getattr(self, name) not in valid:
                raise InputError(f"{name}: {getattr(self, name)!r} is none of {', '.join(valid)}")

    def modulation(self, methylation: Tensor, generator: torch.Generator) -> Tensor:
        """Returns what modulates: methylation, or what is put in its place.

        Args:
            methylation: of the two strands, NaN where it is not known, [B, L, 2].
            generator: of the shuffling.

        Returns:
            m of each base pair, [B, L]; NaN counts as 0.
        """
        track = of_base_pairs(methylation)
        if self.control == "uniform":
            return uniform_control(track)
        return shuffled_control(track, generator) if self.control == "shuffled" else track


def of_base_pairs(methylation: Tensor) -> Tensor:
    """Joins the two strands: of a base pair only one base can be a cytosine.

    Args:
        methylation: NaN where it is not known, [..., 2].

    Returns:
        [...], NaN where neither is known.
    """
    return torch.where(methylation[..., 0].isnan(), methylation[..., 1], methylation[..., 0])


def read_plastically(
    pieces: Iterator[T],
    segment: int,
    modulation: Tensor,
    config: PlasticityConfig,
    records: list[EligibilityRecord] | None,
) -> Iterator[T]:
    """Reads the pieces of a sequence, each under the methylation of its bases.

    Args:
        pieces: computed when they are asked for, as :meth:`SpliceModel.segments`.
        segment: bases of a piece, but for the last.
        modulation: m, [B, L].
        config: κ and the definition.
        records: under (b), what the eligibilities are added to.

    Yields:
        The pieces. No context is open meanwhile.
    """
    for start in range(0, modulation.shape[1], segment):
        with plastic(config.kappa, modulation[:, start : start + segment], config.definition, records):
            piece = next(pieces)
        yield piece


class PlasticRates:
    """Callback: before each optimizer step, gives the α of definition (b) to the optimizer.

    Attributes:
        last: the α of the last step.
    """

    def __init__(self) -> None:
        self.last: dict[Tensor, Tensor] = {}

    def on_fit_start(self, trainer: "Trainer", state: "TrainState") -> None:
        """Wraps the optimizer.

        Args:
            trainer: of one process.
            state: whose task is a :class:`SpliceTask`.

        Raises:
            InputError: there are several processes, which would not agree on the rates.
        """
        from sciml_zoo.splicing.task import SpliceTask

        if trainer.backend.world_size > 1:
            raise InputError("per_connection: eligibilities are not summed over processes; set trainer.devices to 1")
        task = state.task
        assert isinstance(task, SpliceTask)
        optimizer = Plasticity(state.optimizer)
        state.optimizer = optimizer

        def set_rates(*_: Any) -> None:
            self.last = task.alphas()
            optimizer.set_rates(self.last)

        optimizer.register_step_pre_hook(set_rates)
        task.alphas_are_used = True
