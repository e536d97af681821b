"""DeePMD-kit's npy folders.

=========================  =====================  ===============================================================
file                       shape                  content
=========================  =====================  ===============================================================
``type.raw``               [N]                    type of every atom, counted from 0
``type_map.raw``           [types]                element of every type
``nopbc``                  –                      if there, nothing is periodic and no box is needed
``set.*/coord.npy``        [M, 3 N]               Å
``set.*/box.npy``          [M, 9]                 cell vectors in rows, Å
``set.*/energy.npy``       [M]                    eV
``set.*/force.npy``        [M, 3 N]               eV/Å
``set.*/virial.npy``       [M, 9]                 eV; ASE's stress is −virial/V
``set.*/real_atom_types``  [M, N]                 types of each frame by itself, −1: no atom (DeePMD's mixed type)
=========================  =====================  ===============================================================

A folder of several such folders is read in the order of their names.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.stress import full_3x3_to_voigt_6_stress

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.formats.labels import LabelKeys, attach

__all__ = ["read"]


def read(folder: Path, keys: LabelKeys) -> Iterator[tuple[str, Atoms]]:
    """Reads the systems in a folder.

    Args:
        folder: a system, or a folder that holds systems at any depth.
        keys: the names under which the labels will be looked for.

    Yields:
        The name of each frame in messages, and the structure.

    Raises:
        InputError: no system in the folder, or naming the file that is missing, damaged or of a wrong shape.
    """
    systems = sorted(path.parent for path in folder.rglob("type.raw"))
    if not systems:
        raise InputError(
            f"{folder}: not a file; give a structure file, or a folder of DeePMD-kit (type.raw, type_map.raw, "
            "set.*/coord.npy)"
        )
    for system in systems:
        numbers, types = _numbers_of_types(system), _whole_numbers(system / "type.raw")
        sets = sorted(path for path in system.glob("set.*") if path.is_dir())
        if not sets:
            raise InputError(f"{system}: no set.*/ folder beside type.raw; copy the whole system")
        for directory in sets:
            yield from _read_set(directory, types, numbers, keys, periodic=not (system / "nopbc").exists())


def _read_set(
    directory: Path, types: np.ndarray, numbers: np.ndarray, keys: LabelKeys, *, periodic: bool
) -> Iterator[tuple[str, Atoms]]:
    n_atoms = len(types)
    positions = _array(directory / "coord.npy", 3 * n_atoms)
    if positions is None:
        raise InputError(f"{directory}: coord.npy is missing; copy the whole system")
    n_frames = len(positions)
    cells = _array(directory / "box.npy", 9, n_frames) if periodic else None
    if periodic and cells is None:
        raise InputError(f"{directory}: box.npy is missing; add it, or an empty file 'nopbc' if this is a molecule")
    energies = _array(directory / "energy.npy", 1, n_frames)
    forces = _array(directory / "force.npy", 3 * n_atoms, n_frames)
    virials = _array(directory / "virial.npy", 9, n_frames)
    real_types = _array(directory / "real_atom_types.npy", n_atoms, n_frames)
    for frame in range(n_frames):
        where = f"{directory}, frame {frame}"
        of_atoms = types if real_types is None else real_types[frame].astype(int)
        atom = of_atoms >= 0
        unknown = np.flatnonzero(of_atoms >= len(numbers))
        if len(unknown):
            raise InputError(f"{where}, atom {unknown[0]}: type {of_atoms[unknown[0]]} is not in type_map.raw")
        atoms = Atoms(
            numbers[of_atoms[atom]],
            positions=positions[frame].reshape(n_atoms, 3)[atom],
            cell=None if cells is None else cells[frame].reshape(3, 3),
            pbc=cells is not None,
        )
        stress = None
        if virials is not None and cells is not None:
            stress = full_3x3_to_voigt_6_stress(-virials[frame].reshape(3, 3) / atoms.get_volume())
        attach(
            atoms,
            keys,
            energy=None if energies is None else energies[frame, 0],
            forces=None if forces is None else forces[frame].reshape(n_atoms, 3)[atom],
            stress=stress,
        )
        yield where, atoms


def _array(path: Path, width: int, n_frames: int | None = None) -> np.ndarray | None:
    """Returns an array [M, width] in float64; None if the file is not there."""
    if not path.is_file():
        return None
    try:
        values = np.load(path, allow_pickle=False).astype(np.float64)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); it is truncated, damaged, or no npy file") from None
    if values.ndim == 0 or values.size != len(values) * width or len(values) != (n_frames or len(values)):
        wanted = f"[{n_frames or 'frames'}, {width}]"
        raise InputError(f"{path}: shape {list(values.shape)}, but {wanted} is needed for the atoms of type.raw")
    return values.reshape(-1, width)


def _whole_numbers(path: Path) -> np.ndarray:
    try:
        types = np.array([int(word) for word in path.read_text(encoding="utf-8").split()])
    except ValueError as error:
        raise InputError(f"{path}: not whole numbers ({error}); it holds the type of every atom, from 0") from None
    if len(types) == 0 or types.min() < 0:
        raise InputError(
            f"{path}: {'empty' if len(types) == 0 else 'negative'}; it holds the type of every atom, from 0"
        )
    return types


def _numbers_of_types(system: Path) -> np.ndarray:
    path = system / "type_map.raw"
    if not path.is_file():
        raise InputError(f"{path}: missing; write the element of every type into it, such as 'O H' for types 0 and 1")
    symbols = path.read_text(encoding="utf-8").split()
    unknown = [symbol for symbol in symbols if symbol not in atomic_numbers]
    if unknown:
        raise InputError(f"{path}: {unknown[0]!r} is not an element")
    return np.array([atomic_numbers[symbol] for symbol in symbols])
