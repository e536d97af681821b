"""The Ising–Boltzmann machine: one object that maps, samples, solves and learns.

Example:
    >>> from sciml_zoo.ising import BoltzmannMachine, edwards_anderson, enumerate_states, ground_state, sample
    >>> glass = edwards_anderson((4, 4), "pm1", seed=1)  # E(s) = −Σ J_ij s_i s_j − Σ h_i s_i + c
    >>> lowest = ground_state(glass, n_sweeps=200, seed=0)
    >>> exact = enumerate_states(glass, beta=0.5)
    >>> bool(lowest.energy == exact.ground_state.energy)
    True
    >>> drawn = sample(glass, 0.5, n_sweeps=4000, seed=0)
    >>> bool(abs(drawn.estimate("energy").mean - exact.energy_mean) < 0.2)
    True
    >>> machine = BoltzmannMachine.from_ising(glass, beta=0.5)  # a torch module: learns by backpropagation
    >>> bool(machine.to_ising(beta=0.5).energy(lowest.spins) == lowest.energy)
    True
"""

from typing import TYPE_CHECKING

from sciml_zoo._lazy import lazy_names

if TYPE_CHECKING:
    from sciml_zoo.ising.annealing import AnnealingResult, anneal
    from sciml_zoo.ising.conversions import (
        cut_value,
        from_bqm,
        from_max_cut,
        from_qubo,
        to_bqm,
        to_max_cut,
        to_qubo,
    )
    from sciml_zoo.ising.data import Instance, read_instances
    from sciml_zoo.ising.dimod_sampler import IsingSampler
    from sciml_zoo.ising.draws import Estimate, Ladder, Samples, UnconvergedWarning
    from sciml_zoo.ising.exact import enumerate_states, exact_ground_state
    from sciml_zoo.ising.generators import (
        chimera,
        cubic_lattice,
        edwards_anderson,
        random_regular,
        sherrington_kirkpatrick,
        square_lattice,
    )
    from sciml_zoo.ising.ground_states import GroundState, ground_state
    from sciml_zoo.ising.hamiltonian import IsingModel
    from sciml_zoo.ising.inference import evaluate, predict
    from sciml_zoo.ising.model import BoltzmannMachine, RestrictedBoltzmannMachine
    from sciml_zoo.ising.observed_states import read_samples
    from sciml_zoo.ising.onsager import (
        CRITICAL_TEMPERATURE,
        kaufman_energy,
        kaufman_log_z,
        onsager_energy,
        onsager_free_energy,
        yang_magnetisation,
    )
    from sciml_zoo.ising.recipe import prepare, recipe_type
    from sciml_zoo.ising.sampling import sample
    from sciml_zoo.ising.shape import BoltzmannMachineConfig, RBMConfig
    from sciml_zoo.ising.showcase import demo

__all__ = [
    "CRITICAL_TEMPERATURE",
    "AnnealingResult",
    "BoltzmannMachine",
    "BoltzmannMachineConfig",
    "Estimate",
    "GroundState",
    "Instance",
    "IsingModel",
    "IsingSampler",
    "Ladder",
    "RBMConfig",
    "RestrictedBoltzmannMachine",
    "Samples",
    "UnconvergedWarning",
    "anneal",
    "chimera",
    "cubic_lattice",
    "cut_value",
    "demo",
    "edwards_anderson",
    "enumerate_states",
    "evaluate",
    "exact_ground_state",
    "from_bqm",
    "from_max_cut",
    "from_qubo",
    "ground_state",
    "kaufman_energy",
    "kaufman_log_z",
    "onsager_energy",
    "onsager_free_energy",
    "predict",
    "prepare",
    "random_regular",
    "read_instances",
    "read_samples",
    "recipe_type",
    "sample",
    "sherrington_kirkpatrick",
    "square_lattice",
    "to_bqm",
    "to_max_cut",
    "to_qubo",
    "yang_magnetisation",
]

_MODULES = {
    "annealing": ("AnnealingResult", "anneal"),
    "conversions": ("cut_value", "from_bqm", "from_max_cut", "from_qubo", "to_bqm", "to_max_cut", "to_qubo"),
    "data": ("Instance", "read_instances"),
    "dimod_sampler": ("IsingSampler",),
    "draws": ("Estimate", "Ladder", "Samples", "UnconvergedWarning"),
    "exact": ("enumerate_states", "exact_ground_state"),
    "generators": (
        "chimera",
        "cubic_lattice",
        "edwards_anderson",
        "random_regular",
        "sherrington_kirkpatrick",
        "square_lattice",
    ),
    "ground_states": ("GroundState", "ground_state"),
    "hamiltonian": ("IsingModel",),
    "inference": ("evaluate", "predict"),
    "model": ("BoltzmannMachine", "RestrictedBoltzmannMachine"),
    "observed_states": ("read_samples",),
    "onsager": (
        "CRITICAL_TEMPERATURE",
        "kaufman_energy",
        "kaufman_log_z",
        "onsager_energy",
        "onsager_free_energy",
        "yang_magnetisation",
    ),
    "recipe": ("prepare", "recipe_type"),
    "sampling": ("sample",),
    "shape": ("BoltzmannMachineConfig", "RBMConfig"),
    "showcase": ("demo",),
}
_homes = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__getattr__, __dir__ = lazy_names(__name__, _homes)
