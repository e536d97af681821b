"""The scores of interatomic potentials: errors of the energy per structure and of the force components."""

import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, SumMetric

__all__ = ["EnergyForceErrors"]

_TO_MILLI = 1000.0


class EnergyForceErrors:
    """Accumulates errors over batches and, when training on several ranks, over ranks.

    Args:
        device: where predictions live.
    """

    def __init__(self, device: torch.device) -> None:
        self._energy = _errors().to(device)
        self._forces = _errors().to(device)
        self._count = SumMetric().set_dtype(torch.float64).to(device)

    def update(self, prediction: dict[str, Tensor], energy: Tensor, forces: Tensor) -> None:
        """Adds a batch.

        Args:
            prediction: a potential's output.
            energy: reference [G], eV.
            forces: reference [N, 3], eV/Å.
        """
        self._energy.update(prediction["energy"].detach().double(), energy.double())
        self._forces.update(prediction["forces"].detach().double().flatten(), forces.double().flatten())
        self._count.update(float(len(energy)))

    def compute(self) -> dict[str, float]:
        """Returns the errors of everything added so far.

        Returns:
            ``n`` structures; ``energy_mae_mev`` and ``energy_rmse_mev`` per structure, meV; ``force_mae_mev_per_a``
            and ``force_rmse_mev_per_a`` per Cartesian component, meV/Å.
        """
        energy = {name: _TO_MILLI * value.item() for name, value in self._energy.compute().items()}
        forces = {name: _TO_MILLI * value.item() for name, value in self._forces.compute().items()}
        return {
            "n": int(self._count.compute().item()),
            "energy_mae_mev": energy["mae"],
            "energy_rmse_mev": energy["rmse"],
            "force_mae_mev_per_a": forces["mae"],
            "force_rmse_mev_per_a": forces["rmse"],
        }


def _errors() -> MetricCollection:
    collection = MetricCollection({"mae": MeanAbsoluteError(), "rmse": MeanSquaredError(squared=False)})
    return collection.set_dtype(torch.float64)
