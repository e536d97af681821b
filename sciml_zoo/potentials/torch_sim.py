"""A zoo potential as a model of torch-sim: energies, forces and stresses of many systems at once.

Example:
    >>> import torch_sim
    >>> from ase.build import molecule
    >>> from sciml_zoo.potentials import TorchSimModel
    >>> final = torch_sim.integrate(
    ...     system=[molecule("CH3CH2OH") for _ in range(8)],
    ...     model=TorchSimModel("gto_potential.rmd17_ethanol"),
    ...     integrator=torch_sim.integrators.nvt_langevin,
    ...     n_steps=100,
    ...     temperature=300,
    ...     timestep=0.0005,
    ... )
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import neighbours
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.zoo.resolve import load_model

try:
    from torch_sim.models.interface import ModelInterface
except ImportError:
    raise InputError("TorchSimModel needs torch-sim; install it: pip install 'sciml-zoo[simulation]'") from None

if TYPE_CHECKING:
    from torch_sim.state import SimState

__all__ = ["TorchSimModel"]


class TorchSimModel(ModelInterface):
    """Energies (eV), forces (eV/Å) and stresses (eV/Å³, ASE's sign) of a batch of systems.

    The network computes in its own precision; positions, and the differences between them, keep that of the state.

    Args:
        model: a weights name, a ``local-dir:`` or ``hf-hub:`` reference, or a potential.
        device: where to compute; None: ``"cuda"`` where there is a GPU.
        dtype: of the states that torch-sim makes for this model, and of all that it returns.
        compute_stress: also return ``stress``; NaN for systems that are not periodic in all directions.
        memory_scales_with: how torch-sim's automatic batching estimates memory: ``"n_atoms_x_density"``, or
            ``"n_atoms"`` for molecules, which have no volume.

    Raises:
        InputError: the model is no interatomic potential.
    """

    def __init__(
        self,
        model: str | Potential,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float64,
        compute_stress: bool = True,
        memory_scales_with: str = "n_atoms_x_density",
    ) -> None:
        super().__init__()
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        potential = load_model(model, device=self._device) if isinstance(model, str) else model
        if not isinstance(potential, Potential):
            raise InputError(f"{model!r} is not an interatomic potential; see `sciml-zoo list --domain potentials`")
        self.model = potential.to(self._device).eval()
        self._dtype = dtype
        self._compute_stress = compute_stress
        self._compute_forces = True
        self._memory_scales_with = memory_scales_with

    @property
    def compute_stress(self) -> bool:
        """Whether stresses are computed."""
        return self._compute_stress

    @compute_stress.setter
    def compute_stress(self, compute_stress: bool) -> None:
        self._compute_stress = compute_stress

    def forward(self, state: "SimState", **_: Any) -> dict[str, Tensor]:
        """Computes all systems of a state in one call of the model.

        Args:
            state: positions [N, 3] (Å), cells [G, 3, 3] (columns, Å), atomic numbers and systems [N] of all atoms.
            **_: what other models use.

        Returns:
            ``energy`` [G] in eV, ``forces`` [N, 3] in eV/Å and, with :attr:`compute_stress`, ``stress`` [G, 3, 3] in
            eV/Å³.

        Raises:
            InputError: an element that the model has not seen, or positions that are not finite.
        """
        system = state.system_idx
        cell = state.row_vector_cell.detach().to(torch.float64)
        pbc = np.broadcast_to(torch.as_tensor(state.pbc).cpu().numpy(), 3)
        edge_index, edge_shift = self._pairs(state, cell, pbc)
        stress = self._compute_stress and bool(pbc.all())
        output = self.model(
            z=state.atomic_numbers.long(),
            pos=state.positions.detach().to(torch.float64),
            edge_index=edge_index,
            edge_shift=edge_shift,
            batch=system,
            cell=cell if pbc.any() else torch.zeros_like(cell),
            stress=stress,
        )
        if self._compute_stress and not stress:
            output["stress"] = torch.full_like(cell, torch.nan)
        return {name: value.to(self._dtype) for name, value in output.items()}

    def _pairs(self, state: "SimState", cell: Tensor, pbc: np.ndarray) -> tuple[Tensor, Tensor]:
        """Returns neighbours and central atoms [2, E] and translations [E, 3] of all systems."""
        positions = state.positions.detach().to("cpu", torch.float64).numpy()
        numbers, cells = state.atomic_numbers.cpu().numpy(), cell.cpu().numpy()
        sizes = torch.bincount(state.system_idx, minlength=len(cells)).cpu().numpy()
        ends = np.cumsum(sizes)
        edges, shifts = [], []
        for index, (end, size) in enumerate(zip(ends, sizes, strict=True)):
            own = slice(end - size, end)
            if not np.isfinite(positions[own]).all():
                raise InputError(
                    f"system {index}: a position is not finite; take a shorter time step, or relax it first"
                )
            atoms = Atoms(numbers[own], positions[own], cell=cells[index] if pbc.any() else None, pbc=pbc)
            centre, neighbour, shift = neighbours(atoms, self.model.cutoff, "ijS")
            edges.append(np.stack([neighbour, centre]).astype(np.int64) + own.start)
            shifts.append(shift.astype(np.float64) @ atoms.cell.complete().array)
        edge_index = torch.from_numpy(np.concatenate(edges, axis=1)).to(self._device)
        return edge_index, torch.from_numpy(np.concatenate(shifts)).to(self._device)
