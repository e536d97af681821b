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
    from sciml_zoo.potentials.calculator import ZooCalculator
    from sciml_zoo.potentials.configurations import ConfigurationEnergy
    from sciml_zoo.potentials.data import read_structures, to_graph
    from sciml_zoo.potentials.inference import evaluate, predict
    from sciml_zoo.potentials.model import GTOConfig, GTOPotential, RadialConfig, RadialPotential
    from sciml_zoo.potentials.recipe import prepare, recipe_type
    from sciml_zoo.potentials.showcase import demo

__all__ = [
    "ConfigurationEnergy",
    "GTOConfig",
    "GTOPotential",
    "RadialConfig",
    "RadialPotential",
    "ZooCalculator",
    "demo",
    "evaluate",
    "predict",
    "prepare",
    "read_structures",
    "recipe_type",
    "to_graph",
]

_MODULES = {
    "calculator": ("ZooCalculator",),
    "configurations": ("ConfigurationEnergy",),
    "data": ("read_structures", "to_graph"),
    "inference": ("evaluate", "predict"),
    "model": ("GTOConfig", "GTOPotential", "RadialConfig", "RadialPotential"),
    "recipe": ("prepare", "recipe_type"),
    "showcase": ("demo",),
}
_homes = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__getattr__, __dir__ = lazy_names(__name__, _homes)
