"""HDF5 files in groups, as those of ANI: each group, at any depth, holds frames of one composition.

=========================================  ==================  ===========================  =========
data set                                   shape               content                      unit
=========================================  ==================  ===========================  =========
``coordinates``                            [M, N, 3]           positions                    needed
``species``, ``atomic_numbers``            [N]                 symbols or atomic numbers    –
``energies``, ``energy``                   [M]                 of the whole structure       needed
``forces``                                 [M, N, 3]                                        needed
``cell``                                   [3, 3], [M, 3, 3]   vectors in rows; periodic    needed
``stress``                                 [M, 6], [M, 3, 3]   Voigt; positive: tension     needed
=========================================  ==================  ===========================  =========

Only the first two are required. A unit is the attribute ``units`` of the data set (``"Å"``, ``"bohr"``, ``"eV"``,
``"hartree"``, ``"kcal/mol"``, ``"hartree/bohr"``, ``"GPa"``, …), or for all groups the attribute ``<data set>_units``
of the file. Labels of other names are found by ``energy_key`` and ``forces_key``, such as ``wb97x_dz.energy``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.stress import full_3x3_to_voigt_6_stress

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.formats.labels import LabelKeys, attach, unit_factor

__all__ = ["read"]

_SPECIES = ("species", "atomic_numbers")
_EXAMPLES = {"length": "Å", "energy": "eV", "forces": "eV/Å", "stress": "GPa"}


def read(path: Path, keys: LabelKeys) -> Iterator[tuple[str, Atoms]]:
    """Reads all groups that hold ``coordinates``, in the order of their names.

    Args:
        path: the file.
        keys: the names of the labels; the plural ``energies`` stands for the key ``energy`` too.

    Yields:
        The name of each frame in messages, and the structure.

    Raises:
        InputError: h5py is not installed, or naming the data set that is missing, damaged, of a wrong shape, or without
            a unit.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: HDF5 needs h5py: pip install 'sciml-zoo[hdf5]'") from None
    try:
        with h5py.File(path, "r") as file:
            groups = ["/"] if "coordinates" in file else []
            file.visititems(
                lambda name, item: (
                    groups.append(name) if isinstance(item, h5py.Group) and "coordinates" in item else None
                )
            )
            if not groups:
                raise InputError(f"{path}: no group holds 'coordinates' [frames, atoms, 3]; see {__name__}")
            for name in groups:
                yield from _read_group(_Group(file, name, str(path)), keys)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); it is truncated, damaged, or no HDF5 file") from None


class _Group:
    """A group of a file, whose data sets are read with their units.

    Args:
        file: the open file.
        name: of the group.
        path: of the file, for messages.
    """

    def __init__(self, file: Any, name: str, path: str) -> None:
        self.file, self.group = file, file[name]
        self.where = f"{path}, group {name}"

    def numbers(self) -> np.ndarray:
        """Returns the atomic numbers [N]."""
        name = next((name for name in _SPECIES if name in self.group), None)
        if name is None:
            raise InputError(
                f"{self.where}: no {' or '.join(_SPECIES)} beside 'coordinates'; found {', '.join(self.group)}"
            )
        values = self.group[name][()].ravel()
        if values.dtype.kind in "iuf":
            return values.astype(int)
        symbols = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
        unknown = next((symbol for symbol in symbols if symbol not in atomic_numbers), None)
        if unknown is not None:
            raise InputError(f"{self.where}: {name} has {unknown!r}, which is not an element")
        return np.array([atomic_numbers[symbol] for symbol in symbols])

    def values(self, name: str, quantity: str, shapes: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Returns a data set in ASE's units; it must have one of the shapes."""
        where, data = f"{self.where}, {name}", self.group[name]
        unit = data.attrs.get("units", self.file.attrs.get(f"{name}_units"))
        if unit is None:
            remedy = f"h5py.File({self.file.filename!r}, 'r+').attrs['{name}_units'] = {_EXAMPLES[quantity]!r}"
            raise InputError(f"{where}: its unit is not known; say it for the whole file, such as {remedy}")
        factor = unit_factor(unit.decode() if isinstance(unit, bytes) else str(unit), quantity, where)
        if data.shape not in shapes or data.dtype.kind not in "iuf":
            wanted = " or ".join(str(list(shape)) for shape in shapes)
            raise InputError(f"{where}: {data.dtype} of the shape {list(data.shape)}, not numbers of {wanted}")
        return factor * data[()].astype(np.float64)

    def optional(self, names: Sequence[str], quantity: str, shapes: Sequence[tuple[int, ...]]) -> np.ndarray | None:
        """Returns the first data set that is there as :meth:`values` does; None if none is."""
        name = next((name for name in names if name in self.group), None)
        return None if name is None else self.values(name, quantity, shapes)


def _read_group(group: _Group, keys: LabelKeys) -> Iterator[tuple[str, Atoms]]:
    numbers = group.numbers()
    n_frames = len(group.group["coordinates"])
    vectors = [(n_frames, len(numbers), 3)]
    energy_names = (keys.energy, "energies") if keys.energy == "energy" else (keys.energy,)
    positions = group.values("coordinates", "length", vectors)
    cells = group.optional(("cell",), "length", [(n_frames, 3, 3), (3, 3)])
    energies = group.optional(energy_names, "energy", [(n_frames,), (n_frames, 1)])
    forces = group.optional((keys.forces,), "forces", vectors)
    stresses = group.optional((keys.stress,), "stress", [(n_frames, 6), (n_frames, 3, 3)])
    if stresses is not None and stresses.ndim == 3:
        stresses = np.array([full_3x3_to_voigt_6_stress(stress) for stress in stresses])
    for frame in range(n_frames):
        atoms = Atoms(
            numbers,
            positions=positions[frame],
            cell=None if cells is None else np.broadcast_to(cells, (n_frames, 3, 3))[frame],
            pbc=cells is not None,
        )
        attach(
            atoms,
            keys,
            energy=None if energies is None else energies.ravel()[frame],
            forces=None if forces is None else forces[frame],
            stress=None if stresses is None else stresses[frame],
        )
        yield f"{group.where}, frame {frame}", atoms
