"""Data bases of ``ase.db`` (SQLite ``.db`` and ``.json``).

Energy, forces and stress are those of the calculator (eV, eV/Å, eV/Å³); for other names, the row's key-value pairs and
its data. There, and for lengths, the units that the data base declares hold (``_property_unit_dict`` and
``_distance_unit`` of its metadata, as SchNetPack writes them), and ASE's where it declares none.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
from ase import Atoms

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.formats.ase_files import guarded
from sciml_zoo.potentials.formats.labels import LabelKeys, unit_factor

__all__ = ["read"]


def read(path: Path, keys: LabelKeys) -> Iterator[tuple[str, Atoms]]:
    """Reads a data base.

    Args:
        path: the ``.db`` or ``.json`` file.
        keys: the names of the labels.

    Yields:
        The name of each frame in messages, and the structure.

    Raises:
        InputError: naming the frame that cannot be read, or a unit that is not known.
    """
    if path.suffix == ".gz":
        raise InputError(f"{path}: ASE reads its data bases only unpacked; run gunzip on it first")
    yield from guarded(path, _structures(path, keys))


def _structures(path: Path, keys: LabelKeys) -> Iterator[Atoms]:
    with ase.db.connect(path, serial=True) as database:
        metadata = database.metadata
        units = metadata.get("_property_unit_dict") or {}
        scale = unit_factor(metadata.get("_distance_unit") or "Å", "length", f"{path}, _distance_unit")
        for row in database.select():
            atoms = row.toatoms()
            atoms.set_cell(scale * atoms.cell.array)
            atoms.positions *= scale
            results = atoms.calc.results if atoms.calc is not None else {}
            found = {**row.data, **row.key_value_pairs}
            for quantity, name in vars(keys).items():
                if name in found and name not in results:
                    home = atoms.arrays if quantity == "forces" else atoms.info
                    home[name] = _label(found[name], quantity, units.get(name), f"{path}, unit of {name!r}")
            yield atoms


def _label(value: Any, quantity: str, unit: str | None, where: str) -> Any:
    if unit is not None:
        value = np.asarray(value, dtype=np.float64) * unit_factor(unit, quantity, where)
    return np.asarray(value).item() if quantity == "energy" and np.size(value) == 1 else value
