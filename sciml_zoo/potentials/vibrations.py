"""Vibrations of a molecule in the harmonic approximation.

===========================  ===============================================================================
equation                     variable
===========================  ===============================================================================
H_ij = −∂F_i/∂x_j            Hessian, by central differences of fourth order, eV/Å²
D = M^(−1/2) H M^(−1/2)      mass-weighted; B: basis of the rigid motions, Q: of all that is orthogonal to them
ω² = eigenvalues of Qᵀ D Q   ``frequencies``, cm⁻¹; the square root of −ω² with a minus sign where ω² < 0
the same of Bᵀ D B           ``rigid_frequencies``: zero at a minimum of a function that is invariant
===========================  ===============================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from scipy.linalg import null_space

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.rigid_motions import rigid_motions

__all__ = ["Vibrations", "hessian", "molecular_vibrations"]

# √(eV/Å²/u) as ħω in eV.
_QUANTUM = units._hbar * 1e10 / np.sqrt(units._e * units._amu)
# Central differences of fourth order: steps and weights of the first derivative.
_STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))


@dataclass(frozen=True)
class Vibrations:
    """Harmonic vibrations.

    Attributes:
        frequencies: rising, cm⁻¹; imaginary ones negative [M].
        modes: displacements of unit length, mode by mode [M, N, 3].
        rigid_frequencies: of translations and rotations, which should be zero, cm⁻¹ [k]; M + k = 3N.
    """

    frequencies: np.ndarray
    modes: np.ndarray
    rigid_frequencies: np.ndarray

    @property
    def zero_point_energy(self) -> float:
        """Half a quantum of each real frequency, eV."""
        return float(0.5 * self.frequencies[self.frequencies > 0].sum() * units.invcm)


def molecular_vibrations(
    atoms: Atoms, *, displacement: float = 0.01, on_progress: Callable[[int, int], None] | None = None
) -> Vibrations:
    """Computes the vibrations of a molecule at its minimum.

    Args:
        atoms: the relaxed molecule with its calculator.
        displacement: of finite differences, Å.
        on_progress: called with the number of displacements done and in all.

    Returns:
        Frequencies and modes.

    Raises:
        InputError: the structure is periodic, has a single atom, or fixes some.
    """
    if atoms.pbc.any():
        raise InputError("vibrations: the structure is periodic; a crystal has phonons, a molecule has pbc=False")
    if len(atoms) < 2:
        raise InputError("vibrations: a single atom does not vibrate")
    if atoms.constraints:
        raise InputError("vibrations: atoms of the structure are fixed; remove the constraints")
    weights = np.sqrt(np.repeat(atoms.get_masses(), 3))
    dynamical = hessian(atoms, displacement=displacement, on_progress=on_progress) / np.outer(weights, weights)
    rigid = rigid_motions(atoms)
    internal = null_space(rigid.T)
    squared, vectors = np.linalg.eigh(internal.T @ dynamical @ internal)
    modes = (internal @ vectors / weights[:, None]).T
    modes /= np.linalg.norm(modes, axis=1, keepdims=True)
    return Vibrations(
        frequencies=_wavenumbers(squared),
        modes=modes.reshape(len(modes), -1, 3),
        rigid_frequencies=_wavenumbers(np.linalg.eigvalsh(rigid.T @ dynamical @ rigid)),
    )


def hessian(
    atoms: Atoms, *, displacement: float = 0.01, on_progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """Computes the second derivatives of the energy.

    Args:
        atoms: the structure with its calculator.
        displacement: of finite differences, Å.
        on_progress: called with the number of displacements done and in all.

    Returns:
        Symmetric [3N, 3N], eV/Å².
    """
    moved = atoms.copy()
    moved.calc = atoms.calc
    n = moved.positions.size
    rows = np.zeros((n, n))
    for index in range(n):
        for steps, weight in _STENCIL:
            moved.positions[:] = atoms.positions
            moved.positions.flat[index] += steps * displacement
            rows[index] -= weight / displacement * moved.get_forces().ravel()
        if on_progress is not None:
            on_progress(index + 1, n)
    return 0.5 * (rows + rows.T)


def _wavenumbers(squared: np.ndarray) -> np.ndarray:
    return np.sign(squared) * np.sqrt(abs(squared)) * _QUANTUM / units.invcm
