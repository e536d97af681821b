"""Rigid scans of bonds: the energy of a molecule while one of its bonds is pressed and torn.

A bond that joins two fragments moves the smaller one as a whole, along the bond. A bond in a ring cannot be stretched
alone: the end with fewer substituents is moved with them along the bond, and its other ring bonds change with it.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import natural_cutoffs, neighbor_list
from scipy.signal import find_peaks
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.configurations import ConfigurationEnergy
from sciml_zoo.potentials.potential import Potential

__all__ = ["Bond", "bonded_pairs", "find_bonds", "minima", "scan_bond", "stretched", "without_shifts"]

# Of the sum of the covalent radii.
_BOND_TOLERANCE = 1.2
# Atoms in one batch: all that is computed of them stays in the processor's cache.
_ATOMS = 64


@dataclass(frozen=True)
class Bond:
    """A bond, and what moves when it is stretched.

    Attributes:
        fixed: atom at the end that stays.
        moved: atom at the end that moves.
        fragment: all atoms that move, in rising order.
        in_ring: whether the ends are connected without this bond.
    """

    fixed: int
    moved: int
    fragment: tuple[int, ...]
    in_ring: bool


def bonded_pairs(atoms: Atoms) -> list[tuple[int, int]]:
    """Returns the pairs of atoms closer than 1.2 times the sum of their covalent radii, the smaller index first.

    Args:
        atoms: a molecule, or several; without periodicity.

    Returns:
        The pairs, in rising order.

    Raises:
        InputError: a periodic structure.
    """
    if atoms.pbc.any():
        raise InputError("bonds are scanned in molecules: set pbc=False, or cut a cluster out of the crystal")
    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=_BOND_TOLERANCE))
    return sorted((int(i), int(j)) for i, j in zip(first, second, strict=True) if i < j)


def find_bonds(atoms: Atoms) -> list[Bond]:
    """Finds the bonds of a molecule by covalent radii, and what each of them moves.

    Args:
        atoms: a molecule, or several; without periodicity.

    Returns:
        The bonds, ordered by their atoms.

    Raises:
        InputError: a periodic structure.
    """
    pairs = bonded_pairs(atoms)
    bonds = []
    for i, j in pairs:
        others = [pair for pair in pairs if pair != (i, j)]
        in_ring = bool(_connected(len(atoms), others, i)[j])
        ends = []
        for fixed, moved in ((i, j), (j, i)):
            kept = [pair for pair in others if not in_ring or moved not in pair]
            along = _connected(len(atoms), others, moved) & ~_connected(len(atoms), kept, fixed)
            ends.append(Bond(fixed, moved, tuple(np.flatnonzero(along).tolist()), in_ring))
        bonds.append(min(ends, key=lambda bond: len(bond.fragment)))
    return bonds


def _connected(n_atoms: int, pairs: list[tuple[int, int]], atom: int) -> np.ndarray:
    """Returns which atoms the pairs connect to an atom, itself included."""
    index = np.array(pairs, dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(index)), (index[:, 0], index[:, 1])), shape=(n_atoms, n_atoms))
    _, label = connected_components(graph, directed=False)
    return label == label[atom]


def stretched(atoms: Atoms, bond: Bond, distance: float) -> Atoms:
    """Returns the molecule with a bond of another length; a negative one moves the fragment through the fixed atom.

    Args:
        atoms: the molecule.
        bond: one of :func:`find_bonds`.
        distance: length of the bond, Å.

    Returns:
        A copy.
    """
    copied = atoms.copy()
    vector = atoms.positions[bond.moved] - atoms.positions[bond.fixed]
    length = np.linalg.norm(vector)
    copied.positions[list(bond.fragment)] += (distance - length) / length * vector
    return copied


def without_shifts(model: Potential) -> Potential:
    """Returns a copy in float64 without the atoms' own energies, whose rounding would hide small differences.

    Args:
        model: the potential.

    Returns:
        The copy, in evaluation mode.
    """
    copied = copy.deepcopy(model).double().eval()
    copied.shifts.zero_()
    return copied


def scan_bond(model: Potential, atoms: Atoms, bond: Bond, distances: np.ndarray) -> np.ndarray:
    """Computes the energy of a molecule for lengths of one bond, all else rigid.

    Args:
        model: the potential; see :func:`without_shifts`.
        atoms: the molecule.
        bond: one of :func:`find_bonds`.
        distances: lengths, Å [n].

    Returns:
        Energies, eV, float64 [n].
    """
    energy = ConfigurationEnergy(model, atoms)
    device = model.shifts.device
    energies = []
    size = max(1, _ATOMS // len(atoms))
    for start in range(0, len(distances), size):
        positions = [stretched(atoms, bond, distance).positions for distance in distances[start : start + size]]
        with torch.no_grad():
            energies.append(energy(torch.from_numpy(np.array(positions)).to(device)).cpu().numpy())
    return np.concatenate(energies)


def minima(energies: np.ndarray, prominence: float = 1e-6) -> np.ndarray:
    """Finds the minima of a curve; one at an end counts, if the curve rises from there.

    Args:
        energies: eV [n].
        prominence: height of the lower barrier around a minimum below which it does not count, eV.

    Returns:
        Their indices.
    """
    wall = energies.max() + 1.0 + 2 * prominence
    found, _ = find_peaks(-np.pad(energies, 1, constant_values=wall), prominence=prominence)
    return found - 1
