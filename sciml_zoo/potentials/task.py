"""How a potential is trained and scored: energies and forces together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import collate, model_inputs
from sciml_zoo.potentials.metrics import EnergyForceErrors
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.training.task import StepOutput, Task

__all__ = ["LossConfig", "PotentialTask"]


@dataclass(frozen=True)
class LossConfig:
    """Loss of energies and forces.

    Attributes:
        kind: squared error, or pseudo-Huber δ(√(1 + (x/δ)²) − 1): quadratic below δ, linear above.
        energy_weight: weight of the energy per atom.
        force_weight: weight of the force components.
        energy_delta: δ of the energy per atom, eV.
        force_delta: δ of the force components, eV/Å.
    """

    kind: Literal["huber", "squared"] = "huber"
    energy_weight: float = 1.0
    force_weight: float = 1.0
    energy_delta: float = 0.001
    force_delta: float = 0.02

    def __post_init__(self) -> None:
        if self.energy_weight < 0 or self.force_weight < 0 or self.energy_weight + self.force_weight == 0:
            raise InputError("loss: energy_weight and force_weight must be ≥ 0, and not both 0")
        if self.energy_delta <= 0 or self.force_delta <= 0:
            raise InputError("loss: energy_delta and force_delta must be positive")


class PotentialTask(Task):
    """Trains on the energy per atom and on the force components, each structure with the same weight.

    Args:
        model: the potential.
        loss: weights and shape of the loss.
    """

    # Energies are differences of large numbers and forces are derivatives: half precision is not enough.
    precisions: ClassVar[tuple[str, ...]] = ("32-true", "64-true")

    def __init__(self, model: Potential, loss: LossConfig | None = None) -> None:
        self.model = model
        self.loss = loss or LossConfig()

    def collate(self, samples: list[Data]) -> Batch:
        """Joins graphs into one.

        Args:
            samples: graphs with ``energy`` and ``forces``.

        Returns:
            The batch.
        """
        return collate(samples)

    def steps(self, batch: Batch) -> Iterator[StepOutput]:
        """Yields the one loss of a batch.

        Args:
            batch: structures with reference energies and forces.

        Yields:
            The mean over structures of the energy and force loss; weight: number of structures.
        """
        predicted = self.model(**model_inputs(batch))
        n_structures = batch.num_graphs
        atoms = torch.bincount(batch.batch, minlength=n_structures)
        energy = self._penalty((predicted["energy"] - batch.energy) / atoms, self.loss.energy_delta).mean()
        component = self._penalty(predicted["forces"] - batch.forces, self.loss.force_delta).mean(dim=1)
        forces = (component / atoms[batch.batch]).sum() / n_structures
        yield StepOutput(
            loss=self.loss.energy_weight * energy + self.loss.force_weight * forces,
            weight=n_structures,
            metrics={"energy_loss": energy.detach(), "force_loss": forces.detach()},
        )

    def _penalty(self, error: Tensor, delta: float) -> Tensor:
        if self.loss.kind == "squared":
            return error.square()
        return delta * (torch.sqrt(1 + (error / delta).square()) - 1)

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Scores the model.

        Args:
            batches: structures with reference energies and forces.

        Returns:
            The errors of :class:`EnergyForceErrors`, over all ranks.
        """
        errors = EnergyForceErrors(self.device)
        for batch in batches:
            errors.update(self.model(**model_inputs(batch)), batch.energy, batch.forces)
        return errors.compute()
