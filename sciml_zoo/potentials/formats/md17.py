"""npz files of one molecule: MD17, rMD17 and sGDML.

================  =======================================================================================  ============
set               arrays                                                                                   units
================  =======================================================================================  ============
rMD17             ``nuclear_charges`` [N], ``coords`` [M, N, 3], ``energies`` [M], ``forces`` [M, N, 3]    kcal/mol, Å
MD17, sGDML       ``z`` [N], ``R`` [M, N, 3], ``E`` [M], ``F`` [M, N, 3], ``e_unit``, ``r_unit``           as they say
================  =======================================================================================  ============

Either set of names may come with ``e_unit`` (such as ``"eV"``) and ``r_unit`` (such as ``"Ang"``). Without them, only
the original files of rMD17 are known to be in kcal/mol and Å: they also hold ``old_energies``. All else is refused,
for the numbers alone do not tell their unit.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.formats.labels import LabelKeys, attach, unit_factor

__all__ = ["read"]

_NAMES = {
    "numbers": ("nuclear_charges", "z"),
    "positions": ("coords", "R"),
    "energy": ("energies", "E"),
    "forces": ("forces", "F"),
}
_READ = {"e_unit", "r_unit", *(name for names in _NAMES.values() for name in names)}


def read(path: Path, keys: LabelKeys) -> Iterator[tuple[str, Atoms]]:
    """Reads a trajectory of one molecule.

    Args:
        path: the ``.npz`` file.
        keys: the names under which the labels will be looked for.

    Yields:
        The name of each frame in messages, and the structure.

    Raises:
        InputError: arrays that are missing, damaged or do not fit together, or units that are not known.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            files = archive.files
            arrays = {name: archive[name] for name in files if name in _READ}
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); it is truncated, damaged, or no npz file") from None
    length, unit = _units(arrays, files, path)
    named = {what: next((arrays[name] for name in names if name in arrays), None) for what, names in _NAMES.items()}
    numbers, positions = named["numbers"], named["positions"]
    if numbers is None or positions is None:
        absent = " or ".join(_NAMES["numbers" if numbers is None else "positions"])
        raise InputError(f"{path}: no {absent}; found {', '.join(files) or 'nothing'}")
    frames = (len(positions), numbers.size, 3)
    positions = length * _shaped(positions, frames, "positions", path)
    energies = None if named["energy"] is None else unit * _shaped(named["energy"], frames[:1], "energy", path)
    forces = None if named["forces"] is None else unit / length * _shaped(named["forces"], frames, "forces", path)
    for frame in range(len(positions)):
        atoms = Atoms(numbers.astype(int).ravel(), positions=positions[frame])
        attach(
            atoms,
            keys,
            energy=None if energies is None else energies[frame],
            forces=None if forces is None else forces[frame],
        )
        yield f"{path}, frame {frame}", atoms


def _units(arrays: dict[str, np.ndarray], files: list[str], path: Path) -> tuple[float, float]:
    """Returns the factors of lengths (to Å) and energies (to eV)."""
    if "e_unit" in arrays and "r_unit" in arrays:
        length = unit_factor(str(arrays["r_unit"]), "length", f"{path}, r_unit")
        return length, unit_factor(str(arrays["e_unit"]), "energy", f"{path}, e_unit")
    if "old_energies" in files:
        return 1.0, unit_factor("kcal/mol", "energy", str(path))
    raise InputError(
        f"{path}: the units are not known; add them, as in np.savez('new.npz', **np.load({path.name!r}), e_unit='eV', "
        "r_unit='Ang'); MD17 has e_unit='kcal/mol'"
    )


def _shaped(values: np.ndarray, shape: tuple[int, ...], what: str, path: Path) -> np.ndarray:
    if values.shape not in {shape, (*shape, 1)} or values.dtype.kind not in "iuf":
        raise InputError(
            f"{path}: {' or '.join(_NAMES[what])} is {values.dtype} of the shape {list(values.shape)}, not numbers of "
            f"{list(shape)} as its frames and atoms need"
        )
    return values.astype(np.float64).reshape(shape)
