"""What every interatomic potential here shares: energies summed in float64, forces and stress as derivatives.

====================  ==========================================================================
equation              variable
====================  ==========================================================================
E = Σ_i (s ε_i + e_Z)  ``scale`` s (eV), network output ε_i, ``shifts`` e_Z per element (eV, float64)
F = −∂E/∂x            ``forces`` [N, 3], eV/Å
σ = (1/V) ∂E/∂η       ``stress`` [G, 3, 3], eV/Å³, x → (1 + η) x for atoms and cell (ASE's sign)
====================  ==========================================================================
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from sciml_zoo.errors import InputError

__all__ = ["Potential", "UnitRms"]

# A block this much smaller than the largest says nothing about the size that it will have on other structures.
_NEGLIGIBLE = 0.03


class UnitRms(nn.Module):
    """Divides every block of components by its root mean square, measured once on training data.

    Args:
        block: to which block every component belongs [M].
    """

    rms: Tensor
    block: Tensor

    def __init__(self, block: Tensor) -> None:
        super().__init__()
        self.measuring = False
        self.register_buffer("block", block, persistent=False)
        self.register_buffer("rms", torch.ones(int(block.max()) + 1))

    def forward(self, features: Tensor) -> Tensor:
        """Returns features [N, M, C] divided by the rms of their block of M."""
        if self.measuring:
            square = features.detach().square().mean(dim=(0, 2))
            sums = torch.zeros_like(self.rms).index_add(0, self.block, square)
            counts = torch.zeros_like(self.rms).index_add(0, self.block, torch.ones_like(square))
            rms = (sums / counts).sqrt()
            # A block that vanishes by symmetry, as in a perfect crystal, will not vanish in a distorted one.
            self.rms.copy_(torch.where(rms < _NEGLIGIBLE * rms.max(), rms.max().clamp(min=_NEGLIGIBLE), rms))
        return features / self.rms[self.block][:, None]


class Potential(nn.Module, ABC):
    """A sum of atomic energies that depend on the neighbours within a cutoff.

    Subclasses implement :meth:`atomic_energies`.

    Args:
        elements: atomic numbers that the model knows.
        cutoff: Å.
    """

    species_of: Tensor
    shifts: Tensor
    scale: Tensor

    def __init__(self, elements: Sequence[int], cutoff: float) -> None:
        super().__init__()
        if not elements or list(elements) != sorted(set(elements)) or not all(0 < z < 119 for z in elements):
            raise InputError(f"elements must be distinct atomic numbers (1 to 118) in rising order, got {elements}")
        if cutoff <= 0:
            raise InputError(f"cutoff must be positive (Å), got {cutoff}")
        self.elements = tuple(elements)
        self.cutoff = cutoff
        species_of = torch.full((119,), -1, dtype=torch.long)
        species_of[torch.tensor(self.elements)] = torch.arange(len(self.elements))
        self.register_buffer("species_of", species_of, persistent=False)
        self.register_buffer("shifts", torch.zeros(len(self.elements), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    @abstractmethod
    def atomic_energies(self, species: Tensor, vectors: Tensor, edge_index: Tensor) -> Tensor:
        """Computes the network's dimensionless energy of every atom.

        Args:
            species: position in ``elements`` of every atom [N].
            vectors: from the central atom to its neighbour [E, 3], Å.
            edge_index: neighbour (row 0) and central atom (row 1) of every edge [2, E].

        Returns:
            [N].
        """

    def forward(
        self,
        z: Tensor,
        pos: Tensor,
        edge_index: Tensor,
        edge_shift: Tensor,
        batch: Tensor,
        cell: Tensor,
        *,
        stress: bool = False,
    ) -> dict[str, Tensor]:
        """Computes energies, forces and, on request, stresses of a batch of structures.

        Args:
            z: atomic numbers [N].
            pos: positions [N, 3], Å; float64 positions give float64 edge vectors before they are rounded.
            edge_index: neighbour j (row 0) and central atom i (row 1) of every pair within the cutoff [2, E].
            edge_shift: cell translation S · cell of every pair [E, 3], Å: r⃗ = x_j + shift − x_i.
            batch: structure of every atom [N].
            cell: cell vectors in rows [G, 3, 3], Å; zeros for a molecule.
            stress: also return ``stress``; every structure must have a cell.

        Returns:
            ``energy`` [G] in eV (float64), ``forces`` [N, 3] in eV/Å, and with ``stress=True`` ``stress``
            [G, 3, 3] in eV/Å³. In training mode they carry the graph for derivatives with respect to the parameters.
        """
        with torch.enable_grad():
            if not pos.requires_grad:
                pos = pos.detach().requires_grad_()
            inputs = [pos]
            vectors = pos[edge_index[0]] + edge_shift - pos[edge_index[1]]
            if stress:
                strain = torch.zeros_like(cell, requires_grad=True)
                inputs.append(strain)
                vectors = vectors + (vectors[:, None, :] @ strain[batch[edge_index[1]]]).squeeze(1)
            species = self._species(z)
            atomic = self.atomic_energies(species, vectors.to(self._dtype), edge_index)
            energy = self._total(atomic, species, batch, cell.shape[0])
            gradients = torch.autograd.grad(energy.sum(), inputs, create_graph=self.training)
        output = {"energy": energy, "forces": -gradients[0]}
        if stress:
            volume = torch.linalg.det(cell).abs()[:, None, None]
            output["stress"] = 0.5 * (gradients[1] + gradients[1].mT) / volume
        return output if self.training else {name: value.detach() for name, value in output.items()}

    def energies(
        self, z: Tensor, pos: Tensor, edge_index: Tensor, edge_shift: Tensor, batch: Tensor, n_structures: int
    ) -> Tensor:
        """Computes energies alone, which carry the graph for derivatives with respect to the positions.

        Args:
            z: as for :meth:`forward`, like all tensors.
            pos: positions [N, 3], Å.
            edge_index: pairs [2, E].
            edge_shift: cell translations [E, 3], Å.
            batch: structure of every atom [N].
            n_structures: G.

        Returns:
            eV, float64 [G].
        """
        vectors = pos[edge_index[0]] + edge_shift - pos[edge_index[1]]
        species = self._species(z)
        atomic = self.atomic_energies(species, vectors.to(self._dtype), edge_index)
        return self._total(atomic, species, batch, n_structures)

    def _species(self, z: Tensor) -> Tensor:
        species = self.species_of[z]
        if not torch.compiler.is_compiling() and bool((species < 0).any()):
            self.check_elements(z.tolist(), "batch")
        return species

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _total(self, atomic: Tensor, species: Tensor, batch: Tensor, n_structures: int) -> Tensor:
        total = torch.zeros(n_structures, dtype=torch.float64, device=atomic.device)
        return total.index_add(0, batch, self.scale * atomic.double() + self.shifts[species])

    def example_inputs(self) -> dict[str, Tensor]:
        """Builds two small helical molecules of the model's elements, for golden predictions.

        Returns:
            Inputs of :meth:`forward`.
        """
        n_atoms = 2 * len(self.elements) + 4
        step = torch.arange(n_atoms, dtype=torch.float64)
        helix = torch.stack([torch.cos(1.9 * step), torch.sin(1.9 * step), 0.55 * step], dim=1)
        pos = torch.cat([helix, 1.05 * helix.flip(1)])
        index = torch.arange(n_atoms)
        neighbour, centre = torch.meshgrid(index, index, indexing="ij")
        pairs = torch.stack([neighbour.flatten(), centre.flatten()])
        pairs = torch.cat([pairs, pairs + n_atoms], dim=1)
        distance = (pos[pairs[0]] - pos[pairs[1]]).norm(dim=1)
        edge_index = pairs[:, (distance > 0) & (distance < self.cutoff)]
        return {
            "z": torch.tensor(self.elements)[index % len(self.elements)].repeat(2),
            "pos": pos,
            "edge_index": edge_index,
            "edge_shift": torch.zeros(edge_index.shape[1], 3, dtype=torch.float64),
            "batch": torch.arange(2).repeat_interleave(n_atoms),
            "cell": torch.zeros(2, 3, 3, dtype=torch.float64),
        }

    def calibrate(self, **inputs: Tensor) -> None:
        """Measures the scales of densities and invariants on a batch, so that the network starts from unit variance.

        Args:
            **inputs: a batch of training structures, as for :meth:`forward`; call before training, once.
        """
        vectors = inputs["pos"][inputs["edge_index"][0]] + inputs["edge_shift"] - inputs["pos"][inputs["edge_index"][1]]
        scales = [module for module in self.modules() if isinstance(module, UnitRms)]
        for module in scales:
            module.measuring = True
        try:
            with torch.no_grad():
                self.atomic_energies(self._species(inputs["z"]), vectors.to(self._dtype), inputs["edge_index"])
        finally:
            for module in scales:
                module.measuring = False

    def check_elements(self, numbers: Sequence[int], where: str) -> None:
        """Refuses elements that the model has not been trained on.

        Args:
            numbers: atomic numbers of a structure.
            where: names the structure in the message.

        Raises:
            InputError: with the first unknown element and its atom index.
        """
        for index, number in enumerate(numbers):
            if number not in self.elements:
                known = ", ".join(chemical_symbols[n] for n in self.elements)
                symbol = chemical_symbols[number]
                raise InputError(f"{where}, atom {index}: the model does not know {symbol}; it was trained on {known}")
