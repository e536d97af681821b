"""What every interatomic potential here shares: energies summed in float64, forces and stress as derivatives.

====================  ==========================================================================
equation              variable
====================  ==========================================================================
E = Σ_i (s ε_i + e_Z + Z_i)  ``scale`` s (eV), network output ε_i, ``shifts`` e_Z per element (eV, float64), and on
                      request the repulsion Z_i of nuclei
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
from sciml_zoo.potentials.kernels import kernels_available
from sciml_zoo.potentials.repulsion import ZBLRepulsion
from sciml_zoo.potentials.scales import UnitRms
from sciml_zoo.potentials.uncertainty import AtomicUncertainty

__all__ = ["Potential", "volumes"]


class Potential(nn.Module, ABC):
    """A sum of atomic energies that depend on the neighbours within a cutoff.

    Subclasses implement :meth:`atomic_energies`.

    On a CPU and in float32, energies and forces come from compiled C++ kernels where the architecture has them; set
    ``use_kernels`` to False for plain torch.

    Args:
        elements: atomic numbers that the model knows.
        cutoff: Å.
        n_features: F, what the last layer sees of every atom.
        zbl: add the repulsion of nuclei.
    """

    species_of: Tensor
    shifts: Tensor
    scale: Tensor

    def __init__(self, elements: Sequence[int], cutoff: float, *, n_features: int, zbl: bool = False) -> None:
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
        self.uncertainty = AtomicUncertainty(n_features, len(self.elements))
        self.zbl = ZBLRepulsion(self.elements, cutoff) if zbl else None
        self.use_kernels = True

    @property
    def has_kernels(self) -> bool:
        """Whether the architecture has C++ kernels for this shape."""
        return False

    @abstractmethod
    def atomic_energies(
        self, species: Tensor, vectors: Tensor, edge_index: Tensor, *, fast: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Computes the network's dimensionless energy of every atom, and what its last layer sees of it.

        Args:
            species: position in ``elements`` of every atom [N].
            vectors: from the central atom to its neighbour [E, 3], Å.
            edge_index: neighbour (row 0) and central atom (row 1) of every edge [2, E].
            fast: use the C++ kernels, which can be differentiated once and take edges sorted by central atom.

        Returns:
            Energies [N] and features [N, F].
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
        features: bool = False,
        forces: bool = True,
    ) -> dict[str, Tensor]:
        """Computes energies, forces and, on request, stresses and features of a batch of structures.

        Args:
            z: atomic numbers [N].
            pos: positions [N, 3], Å; float64 positions give float64 edge vectors before they are rounded.
            edge_index: neighbour j (row 0) and central atom i (row 1) of every pair within the cutoff [2, E].
            edge_shift: cell translation S · cell of every pair [E, 3], Å: r⃗ = x_j + shift − x_i.
            batch: structure of every atom [N].
            cell: cell vectors in rows [G, 3, 3], Å; zeros for a molecule.
            stress: also return ``stress``.
            features: also return ``features``, what the last layer sees of every atom.
            forces: without them, energies that can be differentiated once by the parameters.

        Returns:
            ``energy`` [G] in eV (float64), ``forces`` [N, 3] in eV/Å, with ``stress=True`` ``stress``
            [G, 3, 3] in eV/Å³, NaN for a structure whose cell has no volume, and with ``features=True`` ``features``
            [N, F], detached. In training mode they carry the graph for derivatives with respect to the parameters.
        """
        if not forces:
            vectors = pos[edge_index[0]] + edge_shift - pos[edge_index[1]]
            energy, seen = self._energy(z, vectors, edge_index, batch, cell.shape[0], once=True)
            return {"energy": energy, "features": seen.detach()} if features else {"energy": energy}
        if not self.training:
            with torch.no_grad():
                vectors = pos[edge_index[0]] + edge_shift - pos[edge_index[1]]
                found = self._in_one_call(z, vectors, edge_index, batch, cell, stress=stress)
            if found is not None:
                return found if features else {name: found[name] for name in found if name != "features"}
        with torch.enable_grad():
            if not pos.requires_grad:
                pos = pos.detach().requires_grad_()
            inputs = [pos]
            vectors = pos[edge_index[0]] + edge_shift - pos[edge_index[1]]
            if stress:
                strain = torch.zeros_like(cell, requires_grad=True)
                inputs.append(strain)
                vectors = vectors + (vectors[:, None, :] @ strain[batch[edge_index[1]]]).squeeze(1)
            energy, seen = self._energy(z, vectors, edge_index, batch, cell.shape[0], once=not self.training)
            gradients = torch.autograd.grad(energy.sum(), inputs, create_graph=self.training)
        output = {"energy": energy, "forces": -gradients[0]}
        if stress:
            output["stress"] = _stress(gradients[1], cell)
        if features:
            output["features"] = seen.detach()
        return output if self.training else {name: value.detach() for name, value in output.items()}

    def slopes(self, species: Tensor, vectors: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        """Computes energies and their derivatives in one call, where an architecture has one.

        Args:
            species: position in ``elements`` of every atom [N].
            vectors: from the central atom to its neighbour [E, 3], Å, float32, on the CPU.
            edge_index: neighbour (row 0) and central atom (row 1) of every edge [2, E], sorted by row 1.

        Returns:
            Dimensionless energies [N], features [N, F], and the derivative of the sum of the energies by the vectors
            [E, 3]; or None.
        """
        return None

    def _in_one_call(
        self, z: Tensor, vectors: Tensor, edge_index: Tensor, batch: Tensor, cell: Tensor, *, stress: bool
    ) -> dict[str, Tensor] | None:
        """Returns what :meth:`forward` does, with features, by :meth:`slopes`; None where there is no such thing."""
        if self.zbl is not None or not self._use_fast(vectors):
            return None
        species = self._species(z)
        edge_index, vectors = _by_central_atom(edge_index, vectors)
        found = self.slopes(species, vectors.to(self._dtype), edge_index)
        if found is None:
            return None
        atomic, seen, slopes = found
        neighbour, centre = edge_index
        pull = (self.scale * slopes).to(vectors.dtype)
        forces = vectors.new_zeros(len(z), 3).index_add_(0, centre, pull).index_add_(0, neighbour, pull, alpha=-1)
        output = {"energy": self._total(atomic, species, batch, len(cell)), "forces": forces, "features": seen}
        if stress:
            strained = (vectors[:, :, None] * pull[:, None, :]).to(cell.dtype)
            output["stress"] = _stress(torch.zeros_like(cell).index_add_(0, batch[centre], strained), cell)
        return output

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
        return self._energy(z, vectors, edge_index, batch, n_structures, once=False)[0]

    def _energy(
        self, z: Tensor, vectors: Tensor, edge_index: Tensor, batch: Tensor, n_structures: int, *, once: bool
    ) -> tuple[Tensor, Tensor]:
        """Returns energies [G] and features [N, F]; with ``once`` they will not be differentiated twice."""
        species = self._species(z)
        fast = once and self._use_fast(vectors)
        if fast:
            edge_index, vectors = _by_central_atom(edge_index, vectors)
        vectors = vectors.to(self._dtype)
        atomic, seen = self.atomic_energies(species, vectors, edge_index, fast=fast)
        total = self._total(atomic, species, batch, n_structures)
        if self.zbl is not None:
            repulsion = self.zbl(species, (vectors * vectors).sum(-1), edge_index).double()
            total = total.index_add(0, batch, repulsion)
        return total, seen

    def _use_fast(self, vectors: Tensor) -> bool:
        return self.use_kernels and self.has_kernels and kernels_available(vectors.device, self._dtype)

    def _total(self, atomic: Tensor, species: Tensor, batch: Tensor, n_structures: int) -> Tensor:
        """Returns energies [G], eV, of the network's atomic ones."""
        total = torch.zeros(n_structures, dtype=torch.float64, device=atomic.device)
        return total.index_add(0, batch, self.scale * atomic.double() + self.shifts[species])

    def _species(self, z: Tensor) -> Tensor:
        species = self.species_of[z]
        captured = z.is_cuda and torch.cuda.is_current_stream_capturing()
        if not torch.compiler.is_compiling() and not captured and bool((species < 0).any()):
            self.check_elements(z.tolist(), "batch")
        return species

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

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
            module.rms.fill_(1.0)
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


def _by_central_atom(edge_index: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Returns edges sorted by central atom, as the kernels want them."""
    centre = edge_index[1]
    if bool((centre[1:] < centre[:-1]).any()):
        order = centre.argsort(stable=True)
        return edge_index[:, order], vectors[order]
    return edge_index, vectors


def _stress(by_strain: Tensor, cell: Tensor) -> Tensor:
    """Returns stresses [G, 3, 3] of derivatives by the strain; NaN where a cell has no volume."""
    volume = volumes(cell)[:, None, None]
    # No division by zero: its derivative would be NaN even where nobody asks for this stress.
    return (0.5 * (by_strain + by_strain.mT) / volume.masked_fill(volume == 0, 1.0)).masked_fill(volume == 0, torch.nan)


def volumes(cell: Tensor) -> Tensor:
    """Computes volumes of cells as triple products, without waiting for a GPU as a determinant would.

    Args:
        cell: cell vectors in rows [G, 3, 3], Å.

    Returns:
        Å³ [G]; 0 for a molecule.
    """
    return torch.linalg.vecdot(cell[:, 0], torch.linalg.cross(cell[:, 1], cell[:, 2])).abs()
