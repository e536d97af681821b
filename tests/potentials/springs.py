"""Potentials of which everything is known exactly: springs of several kinds, and gases without forces."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress


class _Toy(Calculator):
    """A calculator that sees at once whether it must calculate."""

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        same = self.atoms is not None and np.array_equal(atoms.positions, self.atoms.positions)
        return [] if same and np.array_equal(atoms.cell.array, self.atoms.cell.array) else ["positions"]


class BondSprings(_Toy):
    """E = Σ_bonds ½ k (|r_i − r_j| − r0)², eV/Å² and Å."""

    implemented_properties = ("energy", "forces")

    def __init__(self, bonds: list[tuple[int, int]], k: float, r0: float) -> None:
        super().__init__()
        self.bonds, self.k, self.r0 = np.array(bonds), k, r0

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        first, second = self.bonds.T
        vectors = self.atoms.positions[second] - self.atoms.positions[first]
        lengths = np.linalg.norm(vectors, axis=1)
        pulls = self.k * (lengths - self.r0)[:, None] * vectors / lengths[:, None]
        forces = np.zeros_like(self.atoms.positions)
        np.add.at(forces, first, pulls)
        np.add.at(forces, second, -pulls)
        self.results = {"energy": 0.5 * self.k * np.sum((lengths - self.r0) ** 2), "forces": forces}


class SiteSprings(_Toy):
    """E = Σ_i ½ k |x_i − site_i|²: an Einstein crystal."""

    implemented_properties = ("energy", "forces")

    def __init__(self, sites: np.ndarray, k: float) -> None:
        super().__init__()
        self.sites, self.k = sites.copy(), k

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        moved = self.atoms.positions - self.sites
        self.results = {"energy": 0.5 * self.k * float((moved**2).sum()), "forces": -self.k * moved}


class CubicSprings(_Toy):
    """E = Σ_<ij> ½ k |u_i − u_j|² over nearest neighbours of a simple cubic crystal of one atom a cell.

    Its phonons are ω² = 4k/m Σ_α sin²(q_α a/2), three times.
    """

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, k: float, a: float) -> None:
        super().__init__()
        self.k, self.a = k, a

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        sites = np.rint(self.atoms.positions / self.a).astype(int)
        shape = np.rint(self.atoms.cell.lengths() / self.a).astype(int)
        place = tuple((sites % shape).T)
        moved = np.zeros((*shape, 3))
        moved[place] = self.atoms.positions - sites * self.a
        laplacian = sum(np.roll(moved, s, axis) for axis in range(3) for s in (1, -1)) - 6 * moved
        self.results = {
            "energy": -0.5 * self.k * float((moved * laplacian).sum()),
            "forces": self.k * laplacian[place],
            "stress": np.zeros(6),
        }


class IdealGas(_Toy):
    """No forces at all."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3)), "stress": np.zeros(6)}


class ElasticBox(_Toy):
    """A gas without forces in a box that resists strain: E = ½ C V0 tr(ε²), ε = ½ (F Fᵀ − 1), h = h0 F."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, cell: np.ndarray, stiffness: float) -> None:
        super().__init__()
        self.cell, self.stiffness = cell.copy(), stiffness

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        deformation = np.linalg.solve(self.cell, self.atoms.cell.array)
        strain = 0.5 * (deformation @ deformation.T - np.eye(3))
        modulus = self.stiffness * abs(np.linalg.det(self.cell))
        stress = modulus / self.atoms.get_volume() * deformation.T @ strain @ deformation
        self.results = {
            "energy": 0.5 * modulus * float((strain**2).sum()),
            "forces": np.zeros((len(self.atoms), 3)),
            "stress": full_3x3_to_voigt_6_stress(stress),
        }


def triangle(k: float = 10.0, r0: float = 1.2) -> Atoms:
    """Three equal atoms with three springs, at rest: ω² = 3k/m once, 3k/2m twice."""
    positions = r0 / np.sqrt(3) * np.array([[np.cos(t), np.sin(t), 0] for t in 2 * np.pi * np.arange(3) / 3])
    atoms = Atoms("C3", positions=positions)
    atoms.calc = BondSprings([(0, 1), (1, 2), (2, 0)], k, r0)
    return atoms
