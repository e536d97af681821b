"""How a potential is trained and scored: energies, forces and stresses together.

The loss L depends on the weights θ through the energies and, as forces and stresses, through their derivatives by the
strain and the positions x. Its gradient needs no derivative of a derivative: with v = ∂L/∂F and u = ∂L/∂σ held fixed,

∂L/∂θ = ∂/∂θ [ Σ_g (∂L/∂E_g) E_g + dE(x + ε d)/dε ],   d = −v for positions and u/V for the strain,

and the derivative along d is a central difference of two energies, with an ε for each structure. Its error is of order
ε², 1e-4 of the gradient and far below the noise of a batch; both energies are differentiated once, which the C++
kernels can do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.bond_prior import BondPrior
from sciml_zoo.potentials.data import collate, model_inputs
from sciml_zoo.potentials.metrics import EnergyForceErrors
from sciml_zoo.potentials.potential import Potential, volumes
from sciml_zoo.training.task import StepOutput, Task

__all__ = ["LossConfig", "PotentialTask"]

# Å, of the atom of a structure that moves furthest: large enough for float32, small enough for a straight line.
_DISPLACEMENT = 2e-3
# Å: a strain moves neighbours by itself times a distance of this order.
_STRAIN_LENGTH = 5.0


@dataclass(frozen=True)
class LossConfig:
    """Loss of energies, forces and stresses.

    Attributes:
        kind: squared error, or pseudo-Huber δ(√(1 + (x/δ)²) − 1): quadratic below δ, linear above.
        energy_weight: weight of the energy per atom.
        force_weight: weight of the force components.
        stress_weight: weight of the stress components, where the data have them.
        energy_delta: δ of the energy per atom, eV.
        force_delta: δ of the force components, eV/Å.
        stress_delta: δ of the stress components, eV/Å³.
        bond_weight: weight of :class:`BondPrior`, with which every bond of a molecule has one minimum.
        bond_pairs: pairs of lengths for it in a step.
        gradient: of forces with respect to weights: by a central difference, or by differentiating twice.
    """

    kind: Literal["huber", "squared"] = "huber"
    energy_weight: float = 1.0
    force_weight: float = 1.0
    stress_weight: float = 0.0
    energy_delta: float = 0.001
    force_delta: float = 0.02
    stress_delta: float = 0.001
    bond_weight: float = 0.0
    bond_pairs: int = 2
    gradient: Literal["central", "double"] = "central"

    def __post_init__(self) -> None:
        weights = (self.energy_weight, self.force_weight, self.stress_weight)
        if min(weights) < 0 or sum(weights) == 0:
            raise InputError("loss: energy_weight, force_weight and stress_weight must be ≥ 0, and not all 0")
        if min(self.energy_delta, self.force_delta, self.stress_delta) <= 0:
            raise InputError("loss: energy_delta, force_delta and stress_delta must be positive")
        if self.bond_weight < 0 or self.bond_pairs < 1:
            raise InputError("loss: bond_weight must be ≥ 0, and bond_pairs at least 1")


class PotentialTask(Task):
    """Trains on the energy per atom, the force components and the stress, each structure with the same weight.

    Args:
        model: the potential.
        loss: weights and shape of the loss.
        prior: on bonds, needed with a ``bond_weight``.
    """

    # Energies are differences of large numbers and forces are derivatives: half precision is not enough.
    precisions: ClassVar[tuple[str, ...]] = ("32-true", "64-true")

    def __init__(self, model: Potential, loss: LossConfig | None = None, prior: BondPrior | None = None) -> None:
        self.model = model
        self.loss = loss or LossConfig()
        self.prior = prior

    def collate(self, samples: list[Data]) -> Batch:
        """Joins graphs into one.

        Args:
            samples: graphs with ``energy``, ``forces`` and ``stress``; NaN where there is no label.

        Returns:
            The batch.
        """
        return collate(samples)

    def steps(self, batch: Batch) -> Iterator[StepOutput]:
        """Yields the one loss of a batch.

        Args:
            batch: structures with reference energies, forces and stresses.

        Yields:
            The mean over structures of the energy, force and stress loss; weight: number of structures.
        """
        stress = self.loss.stress_weight > 0 and bool(torch.isfinite(batch.stress).any())
        if self.loss.gradient == "double":
            predicted = self.model(**model_inputs(batch), stress=stress)
            loss, metrics = self._loss(predicted, batch)
        else:
            loss, metrics = self._by_central_difference(batch, stress)
        if self.prior is not None and self.loss.bond_weight > 0:
            bonds = self.prior.loss(self.model, self.prior.sample(self.generator).to(self.device))
            loss = loss + self.loss.bond_weight * bonds
            metrics["bond_loss"] = bonds.detach()
        yield StepOutput(loss=loss, weight=batch.num_graphs, metrics=metrics)

    def _loss(self, predicted: dict[str, Tensor], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        n_structures = batch.num_graphs
        atoms = torch.bincount(batch.batch, minlength=n_structures)
        energy = self._penalty(predicted["energy"] / atoms, batch.energy / atoms, self.loss.energy_delta).mean()
        component = self._penalty(predicted["forces"], batch.forces, self.loss.force_delta).mean(dim=1)
        forces = (component / atoms[batch.batch]).sum() / n_structures
        loss = self.loss.energy_weight * energy + self.loss.force_weight * forces
        metrics = {"energy_loss": energy.detach(), "force_loss": forces.detach()}
        if "stress" in predicted:
            stress = self._penalty(predicted["stress"], batch.stress, self.loss.stress_delta).mean()
            loss = loss + self.loss.stress_weight * stress
            metrics["stress_loss"] = stress.detach()
        return loss, metrics

    def _penalty(self, predicted: Tensor, reference: Tensor, delta: float) -> Tensor:
        """Returns the penalty of every error, none where there is no reference; NaN where a prediction is."""
        error = torch.where(reference.isnan(), 0.0, predicted - reference)
        if self.loss.kind == "squared":
            return error.square()
        return delta * (torch.sqrt(1 + (error / delta).square()) - 1)

    def _by_central_difference(self, batch: Batch, stress: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns a loss of the right value and gradient, from energies alone."""
        inputs = model_inputs(batch)
        self.model.eval()
        predicted = self.model(**inputs, stress=stress)
        self.model.train()
        predicted = {name: value.requires_grad_() for name, value in predicted.items()}
        loss, metrics = self._loss(predicted, batch)
        by_energy, by_forces, *by_stress = torch.autograd.grad(loss, list(predicted.values()))
        move, strain = -by_forces, None
        largest = move.new_zeros(batch.num_graphs).scatter_reduce(0, batch.batch, move.abs().amax(1), "amax")
        if by_stress:
            volume = volumes(batch.cell)[:, None, None]
            # A structure without a volume has no stress, and u = 0.
            strain = 0.5 * (by_stress[0] + by_stress[0].mT) / volume.masked_fill(volume == 0, 1.0)
            largest = torch.maximum(largest, _STRAIN_LENGTH * strain.abs().amax((1, 2)))
        # Where d = 0, its product with any finite step is 0, and the slopes of equal energies cancel.
        step = _DISPLACEMENT / largest.clamp(min=1e-30)
        scaled = None if strain is None else step[:, None, None] * strain
        energies = self.model(**_displaced(inputs, step[batch.batch, None] * move, scaled), forces=False)
        slope = 1.0 / (2.0 * step)
        gradient = torch.cat([slope + 0.5 * by_energy, 0.5 * by_energy - slope])
        surrogate = (gradient * energies["energy"]).sum()
        return surrogate - surrogate.detach() + loss.detach(), metrics

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Scores the model.

        Args:
            batches: structures with reference energies, forces and stresses.

        Returns:
            The errors of :class:`EnergyForceErrors`, over all ranks.
        """
        errors = EnergyForceErrors(self.device)
        for batch in batches:
            predicted = self.model(**model_inputs(batch), stress=bool(torch.isfinite(batch.stress).any()))
            atoms = torch.bincount(batch.batch, minlength=batch.num_graphs)
            errors.update(predicted, batch.energy, batch.forces, n_atoms=atoms, stress=batch.stress)
        return errors.compute()


def _displaced(inputs: dict[str, Tensor], move: Tensor, strain: Tensor | None) -> dict[str, Tensor]:
    """Returns a batch of all structures displaced forwards, and then all displaced backwards."""
    batch, edges, n_atoms = inputs["batch"], inputs["edge_index"], len(inputs["z"])
    positions, shifts = [], []
    for sign in (1.0, -1.0):
        pos, shift = inputs["pos"] + sign * move, inputs["edge_shift"]
        if strain is not None:
            pos = pos + sign * (inputs["pos"][:, None, :] @ strain[batch]).squeeze(1)
            shift = shift + sign * (shift[:, None, :] @ strain[batch[edges[1]]]).squeeze(1)
        positions.append(pos)
        shifts.append(shift)
    return {
        "z": inputs["z"].repeat(2),
        "pos": torch.cat(positions),
        "edge_index": torch.cat([edges, edges + n_atoms], dim=1),
        "edge_shift": torch.cat(shifts),
        "batch": torch.cat([batch, batch + len(inputs["cell"])]),
        "cell": inputs["cell"].repeat(2, 1, 1),
    }
