"""Names and units of labels, and how a structure carries them."""

from dataclasses import dataclass

import ase.units
import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator

from sciml_zoo.errors import InputError, nearest

__all__ = ["LabelKeys", "attach", "unit_factor"]

_MOL = ase.units.mol
_ENERGIES = {
    "ev": 1.0,
    "mev": 1e-3,
    "kcal/mol": ase.units.kcal / _MOL,
    "kj/mol": ase.units.kJ / _MOL,
    "hartree": ase.units.Hartree,
    "ha": ase.units.Hartree,
    "ry": ase.units.Rydberg,
}
_LENGTHS = {"å": 1.0, "ang": 1.0, "angstrom": 1.0, "a": 1.0, "bohr": ase.units.Bohr, "a0": ase.units.Bohr, "nm": 10.0}
_STRESSES = {"gpa": ase.units.GPa, "kbar": 0.1 * ase.units.GPa}


@dataclass(frozen=True)
class LabelKeys:
    """What the labels of a file are called.

    Attributes:
        energy: of the energies.
        forces: of the forces.
        stress: of the stresses.
    """

    energy: str = "energy"
    forces: str = "forces"
    stress: str = "stress"


def attach(
    atoms: Atoms,
    keys: LabelKeys,
    energy: float | None = None,
    forces: np.ndarray | None = None,
    stress: np.ndarray | None = None,
) -> None:
    """Gives a structure its labels: as results of a calculator, and those that no calculator calls so as its own data.

    Args:
        atoms: the structure.
        keys: the names under which the labels will be looked for.
        energy: eV.
        forces: [N, 3], eV/Å.
        stress: [6], Voigt (xx yy zz yz xz xy), eV/Å³, positive under tension.
    """
    given = {keys.energy: energy, keys.forces: forces, keys.stress: stress}
    labels = {name: value for name, value in given.items() if value is not None}
    results = {name: value for name, value in labels.items() if name in all_properties}
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    for name, value in labels.items():
        if name not in results:
            (atoms.arrays if name == keys.forces else atoms.info)[name] = value


def unit_factor(text: str, quantity: str, where: str) -> float:
    """Returns what a number in some unit is to be multiplied by.

    Args:
        text: the unit, such as ``"kcal/mol"``, ``"Hartree/Bohr"`` or ``"GPa"``.
        quantity: ``"length"``, ``"energy"``, ``"forces"`` or ``"stress"``.
        where: names the place in messages.

    Returns:
        The factor to Å, eV, eV/Å or eV/Å³.

    Raises:
        InputError: not a unit of that quantity.
    """
    unit = text.strip().lower().replace("angstroms", "angstrom").replace("ångström", "å")
    energy, slash, length = unit.rpartition("/")
    if quantity == "forces" and slash and energy in _ENERGIES and length in _LENGTHS:
        return _ENERGIES[energy] / _LENGTHS[length]
    volume = length.replace("**", "").replace("^", "").replace("³", "3")
    if quantity == "stress" and volume.endswith("3") and energy in _ENERGIES and volume[:-1] in _LENGTHS:
        return _ENERGIES[energy] / _LENGTHS[volume[:-1]] ** 3
    known = {"length": _LENGTHS, "energy": _ENERGIES, "forces": {}, "stress": _STRESSES}[quantity]
    if unit in known:
        return known[unit]
    examples = {"forces": ["eV/Å", "kcal/mol/Å", "Hartree/Bohr"], "stress": ["eV/Å^3", "GPa", "kbar"]}
    raise InputError(f"{where}: {text!r} is not a unit of {quantity}; {nearest(unit, examples.get(quantity, known))}")
