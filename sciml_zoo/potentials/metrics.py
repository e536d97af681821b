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
        over_ranks: whether each rank adds its own structures, to be joined by :meth:`compute`.
    """

    #: What :meth:`compute` returns.
    NAMES = ("n", "energy_mae_mev", "energy_rmse_mev", "force_mae_mev_per_a", "force_rmse_mev_per_a")

    def __init__(self, device: torch.device, *, over_ranks: bool = True) -> None:
        self._energy = _errors(over_ranks).to(device)
        self._forces = _errors(over_ranks).to(device)
        self._count = SumMetric(sync_on_compute=over_ranks).set_dtype(torch.float64).to(device)

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


def _errors(over_ranks: bool) -> MetricCollection:
    mae = MeanAbsoluteError(sync_on_compute=over_ranks)
    rmse = MeanSquaredError(squared=False, sync_on_compute=over_ranks)
    return MetricCollection({"mae": mae, "rmse": rmse}).set_dtype(torch.float64)
