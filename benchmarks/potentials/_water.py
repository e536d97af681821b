"""Boxes of water that need no data set: molecules in random orientations on a lattice, at 1 g/cm³."""

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from scipy.spatial.transform import Rotation

__all__ = ["water_box"]

SIDE = 4
DENSITY = 1.0  # g/cm³


def water_box(copies: int, seed: int = 0) -> Atoms:
    """Returns 64 molecules in a cube of 12.4 Å, repeated along each axis.

    Args:
        copies: along each axis; there are 192 · copies³ atoms.
        seed: of the orientations.
    """
    one = molecule("H2O")
    one.positions -= one.get_center_of_mass()
    mass = one.get_masses().sum() * units._amu * 1000
    spacing = (mass / DENSITY) ** (1 / 3) * 1e8
    turned = Rotation.random(SIDE**3, rng=np.random.default_rng(seed))
    corners = spacing * np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    positions = np.concatenate(
        [turn.apply(one.positions) + corner for turn, corner in zip(turned, corners, strict=True)]
    )
    box = Atoms(one.get_chemical_symbols() * SIDE**3, positions, cell=[SIDE * spacing] * 3, pbc=True)
    return box.repeat(copies)
