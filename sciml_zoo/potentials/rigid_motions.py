"""Motions of a structure as a whole: translations and, where nothing is periodic, rotations."""

import numpy as np
from ase import Atoms

__all__ = ["rigid_motions"]

# Relative: below it, a structure is linear, and turning it about its axis moves nothing.
_LINEAR = 1e-4


def rigid_motions(atoms: Atoms) -> np.ndarray:
    """Returns an orthonormal basis of the mass-weighted displacements √m·u that change no distance.

    Args:
        atoms: the structure.

    Returns:
        [3N, k]: three translations, and of an isolated structure also three rotations, two if it is linear, none of
        a single atom.
    """
    weights = np.sqrt(atoms.get_masses())
    translations = np.kron(weights[:, None], np.eye(3)) / np.linalg.norm(weights)
    if atoms.pbc.any():
        return translations
    arms = atoms.positions - atoms.get_center_of_mass()
    turned = [(weights[:, None] * np.cross(axis, arms)).ravel() for axis in np.eye(3)]
    rotations, sizes, _ = np.linalg.svd(np.stack(turned, axis=1), full_matrices=False)
    return np.concatenate([translations, rotations[:, sizes > _LINEAR * weights.max()]], axis=1)
