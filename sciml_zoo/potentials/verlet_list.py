"""Verlet's neighbour list: pairs within the cutoff and a skin, good until atoms or the cell have moved too far.

==============================  =====================================================================
equation                        variable
==============================  =====================================================================
|r⃗_ij| < r_c + s                pairs of the list, found for positions x and cell h
F = h⁻¹ h′                      deformation of the cell since (rows are vectors: x′ = x F)
u = max_i |x′_i − x_i F|        farthest that an atom has moved against the cell
(r_c + 2u) ‖F⁻¹‖₂ ≤ r_c + s     no pair that is within r_c now can be missing: the list is good
d_max + 2u < r_c                in an unchanged cell: all pairs of the list are within r_c
==============================  =====================================================================
"""

import math

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import neighbours

__all__ = ["VerletList"]


class VerletList:
    """Pairs of one structure within a cutoff, searched anew only when they must be.

    The pairs that it returns, and their order, depend on the structure alone: not on the skin, nor on how long the
    list has been in use.

    Args:
        cutoff: r_c, Å.
        skin: s, Å; with 0 every move needs a new search.
        device: where the pairs are kept.

    Raises:
        InputError: the skin is negative or not finite.
    """

    def __init__(self, cutoff: float, skin: float, device: str | torch.device = "cpu") -> None:
        if not 0 <= skin < np.inf:
            raise InputError(f"skin must be zero or more (Å), got {skin}")
        self.cutoff = cutoff
        self.skin = skin
        self.device = torch.device(device)
        self.searches = 0
        self._frame = b""

    def holds(self, atoms: Atoms) -> bool:
        """Says whether the last search still has all pairs of a structure.

        Args:
            atoms: the structure.

        Returns:
            False also where positions or cell are not finite.
        """
        if _frame(atoms) != self._frame:
            return False
        positions, stretch = self._positions, 1.0
        self._deformed = self._periodic and atoms.cell.tobytes() != self._cell
        if self._deformed:
            if not np.isfinite(atoms.cell).all():
                return False
            deformation = np.linalg.solve(self._box, _box(atoms))
            if np.linalg.det(deformation) <= 0:
                return False
            positions = positions @ deformation
            stretch = 1.0 / float(np.linalg.svd(deformation, compute_uv=False)[-1])
        moved = atoms.positions - positions
        self._farthest = math.sqrt(np.einsum("ij,ij->i", moved, moved).max())
        return (self.cutoff + 2 * self._farthest) * stretch <= self.cutoff + self.skin

    def search(self, atoms: Atoms) -> None:
        """Searches all pairs within cutoff and skin.

        Args:
            atoms: a structure that :func:`~sciml_zoo.potentials.data.check_structure` accepts.
        """
        centre, neighbour, shifts, distance = neighbours(atoms, self.cutoff + self.skin, "ijSd")
        order = np.lexsort((*shifts.T[::-1], neighbour, centre))
        edge_index = np.stack([neighbour[order], centre[order]]).astype(np.int64)
        self._edge_index = torch.from_numpy(edge_index).to(self.device)
        self._shifts = torch.from_numpy(shifts[order].astype(np.float64)).to(self.device)
        self._frame, self._cell = _frame(atoms), atoms.cell.tobytes()
        self._periodic = bool(atoms.pbc.any())
        self._positions, self._box = atoms.positions.copy(), _box(atoms)
        self._farthest, self._deformed = 0.0, False
        self._translate(atoms)
        self._shortest, self._longest = float(distance.min(initial=np.inf)), float(distance.max(initial=0.0))
        self.searches += 1

    def pairs(self, atoms: Atoms, pos: Tensor) -> tuple[Tensor, Tensor, float]:
        """Returns the pairs within the cutoff, of the structure for which :meth:`holds` said so last.

        Args:
            atoms: the structure.
            pos: its positions [N, 3], Å, float64, on the list's device.

        Returns:
            ``edge_index`` [2, E] (neighbour, central atom), ``edge_shift`` [E, 3] (Å), as for
            :meth:`~sciml_zoo.potentials.potential.Potential.forward`, and a distance (Å) that no pair falls below.
        """
        if self._periodic and atoms.cell.tobytes() != self._translated_by:
            self._translate(atoms)
        if not self._deformed and self._longest + 2 * self._farthest < self.cutoff:
            return self._edge_index, self._edge_shift, self._shortest - 2 * self._farthest
        neighbour, centre = self._edge_index
        vectors = pos.index_select(0, neighbour) - pos.index_select(0, centre) + self._edge_shift
        squared = vectors.square().sum(1)
        within = torch.nonzero(squared < self.cutoff**2).squeeze(1)
        edge_index, edge_shift = self._edge_index, self._edge_shift
        if len(within) < len(squared):
            edge_index, edge_shift = edge_index.index_select(1, within), edge_shift.index_select(0, within)
        return edge_index, edge_shift, math.sqrt(squared.min()) if len(squared) else math.inf

    def _translate(self, atoms: Atoms) -> None:
        self._edge_shift = self._shifts @ torch.from_numpy(_box(atoms)).to(self.device)
        self._translated_by = atoms.cell.tobytes()


def _frame(atoms: Atoms) -> bytes:
    return atoms.pbc.tobytes() + atoms.numbers.tobytes()


def _box(atoms: Atoms) -> np.ndarray:
    """Returns cell vectors in rows [3, 3]; unit vectors where the structure is not periodic and has none."""
    return atoms.cell.complete().array if atoms.pbc.any() else np.eye(3)
