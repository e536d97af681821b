"""JSON of pymatgen's structures with VASP's results, as in the ``mlearn`` data sets of Zuo et al., 2020.

A list of entries (or one)::

    {"structure": {"lattice": {"matrix": …}, "sites": [{"species": [{"element": "Si", "occu": 1}], "xyz": …}, …]},
     "outputs": {"energy": …, "forces": …, "virial_stress": [xx, yy, zz, xy, yz, xz]}, "group": "Elastic", …}

or structures alone, without labels. Energy in eV, forces in eV/Å. ``virial_stress`` is VASP's: kbar, positive under
compression, so that ASE's stress is −0.1 GPa times it. pymatgen itself is not needed.

Sign and unit were checked against ΔE/V along each strain of the silicon crystals, and the order against the shear of
each strained cell and the shear stress of a potential fitted to the forces (``tests/potentials/test_mlearn.py``). The
published files are not consistent: all entries of Mo, and those of Si but the elastic ones, are in the order
xx yy zz xy xz yz, which is set right here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.units
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.formats.ase_files import decompressed
from sciml_zoo.potentials.formats.labels import LabelKeys, attach

__all__ = ["read", "recognises"]

_KBAR = 0.1 * ase.units.GPa
# From VASP's order xx yy zz xy yz xz to Voigt's xx yy zz yz xz xy, and from the order of some entries of mlearn.
_TO_VOIGT = [0, 1, 2, 4, 5, 3]
_TO_VOIGT_EXCHANGED = [0, 1, 2, 5, 4, 3]
_EXCHANGED = {"Mo": {"AIMD-NVT", "Elastic", "Surface", "Vacancy"}, "Si": {"AIMD-NVT", "Surface", "Vacancy"}}


def recognises(path: Path) -> bool:
    """Returns whether a JSON file holds structures of pymatgen.

    Args:
        path: the file, plain or gzipped.
    """
    return re.search(rb'"sites":\s*\[\s*\{', decompressed(path)) is not None


def read(path: Path, keys: LabelKeys) -> Iterator[tuple[str, Atoms]]:
    """Reads all entries.

    Args:
        path: the file, plain or gzipped.
        keys: the names of energy and forces in an entry or in its ``outputs``.

    Yields:
        The name of each frame in messages, and the structure; texts and numbers of the entry are in its ``info``.

    Raises:
        InputError: not JSON, or naming the frame and what is wrong with it.
    """
    try:
        content = json.loads(decompressed(path))
    except ValueError as error:  # also a wrong encoding
        raise InputError(f"{path}: not JSON ({error}); it is truncated or damaged, copy it again") from None
    for frame, entry in enumerate(content if isinstance(content, list) else [content]):
        where = f"{path}, frame {frame}"
        try:
            yield where, _structure(entry, keys, where)
        except KeyError as error:
            raise InputError(f"{where}: {error} is missing; each entry needs a pymatgen 'structure'") from None
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{where}: not an entry with a pymatgen 'structure' ({error})") from None


def _structure(entry: dict[str, Any], keys: LabelKeys, where: str) -> Atoms:
    structure = entry if "sites" in entry else entry["structure"]
    symbols = [_symbol(site["species"], f"{where}, atom {index}") for index, site in enumerate(structure["sites"])]
    lattice = structure.get("lattice")
    atoms = Atoms(
        symbols,
        positions=[site["xyz"] for site in structure["sites"]],
        cell=None if lattice is None else lattice["matrix"],
        pbc=False if lattice is None else lattice.get("pbc", True),
        info={name: value for name, value in entry.items() if isinstance(value, str | int | float) and name[0] != "@"},
    )
    outputs = {**entry, **entry.get("outputs", {})}
    attach(
        atoms,
        keys,
        energy=outputs.get(keys.energy),
        forces=outputs.get(keys.forces),
        stress=_stress(outputs["virial_stress"], entry, where) if "virial_stress" in outputs else None,
    )
    return atoms


def _stress(kbar: list[float], entry: dict[str, Any], where: str) -> np.ndarray:
    if np.shape(kbar) != (6,):
        raise InputError(f"{where}: 'virial_stress' must be 6 numbers (kbar: xx yy zz xy yz xz), not {kbar!r}")
    exchanged = entry.get("group") in _EXCHANGED.get(entry.get("element", ""), ())
    return -_KBAR * np.array(kbar, dtype=np.float64)[_TO_VOIGT_EXCHANGED if exchanged else _TO_VOIGT]


def _symbol(species: list[dict[str, Any]], where: str) -> str:
    if len(species) != 1 or species[0].get("occu", 1) != 1:
        raise InputError(f"{where}: the site is shared ({species}); give structures in which each site is one atom")
    symbol = species[0]["element"]
    if symbol not in atomic_numbers:
        raise InputError(f"{where}: {symbol!r} is not an element")
    return symbol
