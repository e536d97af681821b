"""The scores of interatomic potentials: errors of the energy, of the force components, and of the stress.

=======================================  ===================================================================
score                                    mean over
=======================================  ===================================================================
``energy_…_mev``                         structures: energy of the whole structure
``energy_…_mev_per_atom``                structures: energy divided by the number of atoms
``force_…_mev_per_a``                    Cartesian components of all atoms
``stress_…_gpa``                         the six independent components of all periodic structures
=======================================  ===================================================================
"""

import math

import torch
from ase.units import GPa
from torch import Tensor
from torchmetrics import Metric

__all__ = ["EnergyForceErrors"]

_QUANTITIES = {"energy_{}_mev": 1e3, "energy_{}_mev_per_atom": 1e3, "force_{}_mev_per_a": 1e3, "stress_{}_gpa": 1.0}
_ROWS, _COLUMNS = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)


class EnergyForceErrors:
    """Accumulates errors over batches and, when training on several ranks, over ranks.

    Where a reference is NaN there is no label, and no error is counted, whatever the prediction.

    Args:
        device: where predictions live.
        over_ranks: whether each rank adds its own structures, to be joined by :meth:`compute`.
    """

    #: What :meth:`compute` can return; quantities without a label are left out.
    NAMES = ("n", *(name.format(mean) for name in _QUANTITIES for mean in ("mae", "rmse")))

    def __init__(self, device: torch.device, *, over_ranks: bool = True) -> None:
        self._sums = _ErrorSums(len(_QUANTITIES), sync_on_compute=over_ranks).to(device)

    def update(
        self,
        prediction: dict[str, Tensor],
        energy: Tensor,
        forces: Tensor,
        *,
        n_atoms: Tensor | None = None,
        stress: Tensor | None = None,
    ) -> None:
        """Adds a batch.

        Args:
            prediction: a potential's output.
            energy: reference [G], eV.
            forces: reference [N, 3], eV/Å; NaN for structures without.
            n_atoms: of each structure [G]; without it there are no scores per atom.
            stress: reference [G, 3, 3], eV/Å³; NaN for structures without. Counts if the prediction has stresses too.
        """
        self._sums.count_structures(len(energy))
        self._sums.update(0, prediction["energy"], energy)
        if n_atoms is not None:
            self._sums.update(1, prediction["energy"] / n_atoms, energy / n_atoms)
        self._sums.update(2, prediction["forces"], forces)
        if stress is not None and "stress" in prediction:
            predicted, reference = (values[:, _ROWS, _COLUMNS] / GPa for values in (prediction["stress"], stress))
            self._sums.update(3, predicted, reference)

    def compute(self) -> dict[str, float]:
        """Returns the errors of everything added so far.

        Returns:
            ``n`` structures, and the mean absolute error (``mae``) and root mean square error (``rmse``) of every
            quantity that had a label; see :attr:`NAMES`.
        """
        n_structures, sums = self._sums.compute()
        scores: dict[str, float] = {"n": int(n_structures)}
        for (name, factor), (count, absolute, squared) in zip(_QUANTITIES.items(), sums.tolist(), strict=True):
            if count:
                scores[name.format("mae")] = factor * absolute / count
                scores[name.format("rmse")] = factor * math.sqrt(squared / count)
        return scores


class _ErrorSums(Metric):
    """For each quantity the number of errors, and the sums of their sizes and squares, added over ranks."""

    sums: Tensor
    n_structures: Tensor

    def __init__(self, n_quantities: int, *, sync_on_compute: bool) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        self.add_state("sums", torch.zeros(n_quantities, 3, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n_structures", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def count_structures(self, number: int) -> None:
        self.n_structures += number

    def update(self, quantity: int, predicted: Tensor, reference: Tensor) -> None:
        labelled = ~reference.isnan()
        error = predicted.detach()[labelled].double() - reference[labelled].double()
        self.sums[quantity] += torch.stack([labelled.sum(), error.abs().sum(), error.square().sum()])

    def compute(self) -> tuple[Tensor, Tensor]:
        return self.n_structures, self.sums
