"""Interatomic potentials on GTO activations, with forces by backpropagation.

Example:
    >>> from ase.build import molecule
    >>> from sciml_zoo.potentials import ZooCalculator
    >>> ethanol = molecule("CH3CH2OH")
    >>> ethanol.calc = ZooCalculator("gto_potential.rmd17_ethanol")
    >>> ethanol.get_forces().shape
    (9, 3)
"""

from typing import TYPE_CHECKING

from sciml_zoo._lazy import lazy_names

if TYPE_CHECKING:
    from sciml_zoo.potentials.bond_prior import BondPrior
    from sciml_zoo.potentials.bond_scan import Bond, find_bonds, scan_bond
    from sciml_zoo.potentials.calculator import ExtrapolationWarning, ZooCalculator
    from sciml_zoo.potentials.calibration import UncertaintyFit, calibrate_uncertainty
    from sciml_zoo.potentials.configurations import ConfigurationEnergy
    from sciml_zoo.potentials.continuity import Continuity, derivative_continuity
    from sciml_zoo.potentials.data import read_structures, to_graph
    from sciml_zoo.potentials.dynamics import DynamicsConfig, Simulation
    from sciml_zoo.potentials.inference import evaluate, predict
    from sciml_zoo.potentials.lammps import MLIAPPotential, export_lammps
    from sciml_zoo.potentials.model import GTOConfig, GTOPotential, RadialConfig, RadialPotential
    from sciml_zoo.potentials.openmm import export_openmm, openmm_force
    from sciml_zoo.potentials.padded import PaddedEvaluation
    from sciml_zoo.potentials.phonons import Phonons, crystal_phonons
    from sciml_zoo.potentials.recipe import prepare, recipe_type
    from sciml_zoo.potentials.relaxation import Relaxation, relax
    from sciml_zoo.potentials.repulsion import ZBLRepulsion
    from sciml_zoo.potentials.selection import Selection, select_structures
    from sciml_zoo.potentials.showcase import demo
    from sciml_zoo.potentials.torch_sim import TorchSimModel
    from sciml_zoo.potentials.uncertainty import AtomicUncertainty
    from sciml_zoo.potentials.verlet_list import VerletList
    from sciml_zoo.potentials.vibrations import Vibrations, molecular_vibrations

__all__ = [
    "AtomicUncertainty",
    "Bond",
    "BondPrior",
    "ConfigurationEnergy",
    "Continuity",
    "DynamicsConfig",
    "ExtrapolationWarning",
    "GTOConfig",
    "GTOPotential",
    "MLIAPPotential",
    "PaddedEvaluation",
    "Phonons",
    "RadialConfig",
    "RadialPotential",
    "Relaxation",
    "Selection",
    "Simulation",
    "TorchSimModel",
    "UncertaintyFit",
    "VerletList",
    "Vibrations",
    "ZBLRepulsion",
    "ZooCalculator",
    "calibrate_uncertainty",
    "crystal_phonons",
    "demo",
    "derivative_continuity",
    "evaluate",
    "export_lammps",
    "export_openmm",
    "find_bonds",
    "molecular_vibrations",
    "openmm_force",
    "predict",
    "prepare",
    "read_structures",
    "recipe_type",
    "relax",
    "scan_bond",
    "select_structures",
    "to_graph",
]

_MODULES = {
    "bond_prior": ("BondPrior",),
    "bond_scan": ("Bond", "find_bonds", "scan_bond"),
    "calculator": ("ExtrapolationWarning", "ZooCalculator"),
    "calibration": ("UncertaintyFit", "calibrate_uncertainty"),
    "configurations": ("ConfigurationEnergy",),
    "continuity": ("Continuity", "derivative_continuity"),
    "data": ("read_structures", "to_graph"),
    "dynamics": ("DynamicsConfig", "Simulation"),
    "inference": ("evaluate", "predict"),
    "lammps": ("MLIAPPotential", "export_lammps"),
    "model": ("GTOConfig", "GTOPotential", "RadialConfig", "RadialPotential"),
    "openmm": ("export_openmm", "openmm_force"),
    "padded": ("PaddedEvaluation",),
    "phonons": ("Phonons", "crystal_phonons"),
    "recipe": ("prepare", "recipe_type"),
    "relaxation": ("Relaxation", "relax"),
    "repulsion": ("ZBLRepulsion",),
    "selection": ("Selection", "select_structures"),
    "showcase": ("demo",),
    "torch_sim": ("TorchSimModel",),
    "uncertainty": ("AtomicUncertainty",),
    "verlet_list": ("VerletList",),
    "vibrations": ("Vibrations", "molecular_vibrations"),
}
_homes = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__getattr__, __dir__ = lazy_names(__name__, _homes)
