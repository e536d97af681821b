"""Molecular dynamics of one structure: ensembles, samples, and a state from which it goes on bit for bit.

=========  ============================================================================================
ensemble   integrator
=========  ============================================================================================
nve        velocity Verlet; overall translation, and rotation of an isolated structure, are removed
nvt        Langevin dynamics, BAOAB splitting (Leimkuhler & Matthews, J. Chem. Phys. 138, 174102 (2013))
npt        the same with a Langevin barostat (Quigley & Probert, J. Chem. Phys. 120, 11432 (2004))
=========  ============================================================================================
"""

import dataclasses
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.md import MolecularDynamics
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.potentials.rigid_motions import rigid_motions

__all__ = ["DynamicsConfig", "Sample", "Simulation"]

_HOT, _HOT_AT_LEAST = 10.0, 3000.0


@dataclass(frozen=True)
class DynamicsConfig:
    """What is simulated.

    Attributes:
        ensemble: ``nve``, ``nvt`` or ``npt``.
        temperature: of the ensemble, or of the first velocities of nve, K.
        pressure: of npt, GPa.
        flexible_cell: npt: all six components of the strain fluctuate, not the volume alone.
        timestep: fs.
        thermostat_time: inverse friction, fs.
        barostat_time: period of the cell's fluctuations and inverse of its friction, fs.
        keep_velocities: start with the velocities that the structure has.
        seed: of velocities and random forces.
        every: steps from one sample to the next.
        max_temperature: stop above it, K; None: ten times ``temperature``, at least 3000 K.
    """

    ensemble: Literal["nve", "nvt", "npt"] = "nvt"
    temperature: float = 300.0
    pressure: float = 1e-4
    flexible_cell: bool = False
    timestep: float = 0.5
    thermostat_time: float = 200.0
    barostat_time: float = 2000.0
    keep_velocities: bool = False
    seed: int = 0
    every: int = 20
    max_temperature: float | None = None


@dataclass(frozen=True)
class Sample:
    """What is known of one moment.

    Attributes:
        step: from 0.
        time_ps: ps.
        temperature_k: kinetic, K.
        potential_ev: eV.
        kinetic_ev: eV.
        total_ev: eV.
        pressure_gpa: with the kinetic part, GPa; None without stress, as of structures that are not periodic.
        volume_a3: Å³; None if not periodic in all directions.
        force_uncertainty_ev_per_a: of the least certain atom, eV/Å; None if the potential has not been calibrated.
    """

    step: int
    time_ps: float
    temperature_k: float
    potential_ev: float
    kinetic_ev: float
    total_ev: float
    pressure_gpa: float | None
    volume_a3: float | None
    force_uncertainty_ev_per_a: float | None


class Simulation:
    """Molecular dynamics of a structure.

    Example:
        >>> from ase.build import molecule
        >>> ethanol = molecule("CH3CH2OH")
        >>> ethanol.calc = ZooCalculator("gto_potential.rmd17_ethanol")
        >>> simulation = Simulation(ethanol, DynamicsConfig(ensemble="nve"))
        >>> simulation.run(1000)
        >>> simulation.sample().total_ev

    Args:
        atoms: the structure with its calculator; it moves.
        config: what is simulated.

    Raises:
        InputError: the structure cannot be simulated in this ensemble, or the config is wrong.
    """

    def __init__(self, atoms: Atoms, config: DynamicsConfig | None = None) -> None:
        config = DynamicsConfig() if config is None else config
        _check(atoms, config)
        self.atoms = atoms
        self.config = config
        self.max_temperature = config.max_temperature or max(_HOT * config.temperature, _HOT_AT_LEAST)
        self._rng = np.random.default_rng(config.seed)
        conserved = rigid_motions(atoms) if config.ensemble == "nve" and not atoms.constraints else None
        self.degrees_of_freedom = atoms.get_number_of_degrees_of_freedom()
        if conserved is not None:
            self.degrees_of_freedom -= conserved.shape[1]
        if self.degrees_of_freedom <= 0:
            raise InputError("nothing can move: an isolated atom, or all atoms are fixed")
        self._set_velocities(conserved)
        self._integrator = self._make_integrator()

    def _set_velocities(self, conserved: np.ndarray | None) -> None:
        atoms, config = self.atoms, self.config
        if not config.keep_velocities:
            thermalize_momenta(atoms, config.temperature, rng=self._rng)
        if conserved is not None:
            weights = np.sqrt(atoms.get_masses())[:, None]
            weighted = (atoms.get_momenta() / weights).ravel()
            weighted -= conserved @ (conserved.T @ weighted)
            atoms.set_momenta(weights * weighted.reshape(-1, 3))
        if config.ensemble == "nve" and not config.keep_velocities:
            wanted = 0.5 * self.degrees_of_freedom * units.kB * config.temperature
            atoms.set_momenta(atoms.get_momenta() * math.sqrt(wanted / atoms.get_kinetic_energy()))

    def _make_integrator(self) -> MolecularDynamics:
        config = self.config
        timestep = config.timestep * units.fs
        if config.ensemble == "nve":
            return VelocityVerlet(self.atoms, timestep)
        options: dict[str, Any] = {
            "temperature_K": config.temperature,
            "T_tau": config.thermostat_time * units.fs,
            "rng": self._rng,
        }
        if config.ensemble == "npt":
            options["externalstress"] = -config.pressure * units.GPa
            options["hydrostatic"] = not config.flexible_cell
            options["P_tau"] = config.barostat_time * units.fs
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Using heuristic P_mass")
            return LangevinBAOAB(self.atoms, timestep, **options)

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self._integrator.nsteps)

    def run(
        self,
        steps: int,
        *,
        on_sample: Callable[[Sample], None] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        max_force_uncertainty: float = math.inf,
    ) -> None:
        """Goes on until so many steps have been done in all.

        Args:
            steps: in all, not from here.
            on_sample: called with the sample of the start, and of every so many steps.
            on_progress: called with the steps done and in all, at every sample.
            max_force_uncertainty: stop where an atom's is larger, eV/Å.

        Raises:
            FailureError: the simulation exploded, or left what the potential is certain of; names step and atom.
        """
        start = self.step
        moves = self._integrator.irun(steps - start)
        while self._next(moves):
            self._check(max_force_uncertainty)
            if self.step % self.config.every == 0 and (self.step > start or start == 0):
                if on_sample is not None:
                    on_sample(self.sample())
                if on_progress is not None:
                    on_progress(self.step, steps)

    def _next(self, moves: Any) -> bool:
        try:
            return next(moves, None) is not None
        except InputError as error:
            raise FailureError(f"{self._when()}: the simulation exploded: {error}. {_REMEDY}") from error

    def _check(self, max_force_uncertainty: float) -> None:
        momenta, masses = self.atoms.arrays["momenta"], self._integrator.masses
        kinetic = 0.5 * (momenta**2 / masses).sum(axis=1)
        temperature = 2 * kinetic.sum() / (self.degrees_of_freedom * units.kB)
        if not temperature <= self.max_temperature:
            wrong = np.flatnonzero(~np.isfinite(kinetic))
            atom = int(wrong[0]) if len(wrong) else int(kinetic.argmax())
            speed = float(np.linalg.norm(momenta[atom]) / masses[atom, 0] * units.fs)
            raise FailureError(
                f"{self._when()}: the simulation exploded: {temperature:.4g} K, above the allowed "
                f"{self.max_temperature:g} K; fastest is {self._named(atom)} with {speed:.3g} Å/fs. {_REMEDY}"
            )
        uncertainty = self._uncertainty()
        if uncertainty is not None and uncertainty.max() > max_force_uncertainty:
            atom = int(uncertainty.argmax())
            raise FailureError(
                f"{self._when()}: the simulation has left what the potential was trained on: the force on "
                f"{self._named(atom)} is expected to be wrong by {uncertainty[atom]:.3g} eV/Å, more than "
                f"{max_force_uncertainty:.3g}"
            )

    def _when(self) -> str:
        return f"step {self.step} ({self.step * self.config.timestep / 1000:g} ps)"

    def _named(self, atom: int) -> str:
        return f"atom {atom} ({self.atoms.symbols[atom]})"

    def _uncertainty(self) -> np.ndarray | None:
        return self.atoms.calc.results.get("force_uncertainty")

    def sample(self) -> Sample:
        """Returns what is known of the present moment."""
        atoms = self.atoms
        potential, kinetic = float(atoms.get_potential_energy()), float(atoms.get_kinetic_energy())
        periodic = bool(atoms.pbc.all())
        uncertainty = self._uncertainty()
        pressed = periodic and "stress" in atoms.calc.implemented_properties
        stress = atoms.get_stress(include_ideal_gas=True) if pressed else None
        return Sample(
            step=self.step,
            time_ps=self.step * self.config.timestep / 1000,
            temperature_k=2 * kinetic / (self.degrees_of_freedom * units.kB),
            potential_ev=potential,
            kinetic_ev=kinetic,
            total_ev=potential + kinetic,
            pressure_gpa=None if stress is None else -float(stress[:3].mean()) / units.GPa,
            volume_a3=float(atoms.get_volume()) if periodic else None,
            force_uncertainty_ev_per_a=None if uncertainty is None else float(uncertainty.max()),
        )

    def state_dict(self) -> dict[str, Any]:
        """Returns all that the simulation needs to go on bit for bit, as JSON holds it."""
        state = {
            "step": self.step,
            "positions": self.atoms.positions.tolist(),
            "momenta": self.atoms.get_momenta().tolist(),
            "cell": self.atoms.cell.array.tolist(),
            "rng": self._rng.bit_generator.state,
        }
        if self.config.ensemble == "npt":
            state["barostat"] = [
                np.asarray(part).tolist() for part in (self._integrator.p_eps, self._integrator.force_eps)
            ]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts the simulation where another one of the same structure and config was.

        Args:
            state: of :meth:`state_dict`.
        """
        self.atoms.set_cell(state["cell"])
        self.atoms.positions = np.array(state["positions"])
        self.atoms.set_momenta(np.array(state["momenta"]), apply_constraint=False)
        self._rng.bit_generator.state = state["rng"]
        self._integrator = self._make_integrator()
        self._integrator.nsteps = state["step"]
        if self.config.ensemble == "npt":
            momentum, force = (np.array(part)[()] for part in state["barostat"])
            self._integrator.p_eps, self._integrator.force_eps = momentum, force


_REMEDY = "Relax the structure first, take a shorter time step, or ask whether the potential knows such structures"


def _check(atoms: Atoms, config: DynamicsConfig) -> None:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.type is float and field.name != "pressure" and not 0 < value < math.inf:
            raise InputError(f"{field.name} must be positive, got {value}")
    if config.ensemble not in ("nve", "nvt", "npt"):
        raise InputError(f"ensemble must be nve, nvt or npt, got {config.ensemble!r}")
    if config.every < 1:
        raise InputError(f"every must be 1 or more, got {config.every}")
    if config.ensemble == "npt" and not atoms.pbc.all():
        raise InputError("npt: the structure is not periodic in all three directions and has no pressure; take nvt")
    if config.ensemble == "npt" and atoms.constraints:
        raise InputError("npt: atoms of the structure are fixed, which a cell that changes cannot respect; take nvt")
    if config.keep_velocities and not atoms.get_momenta().any():
        raise InputError("keep_velocities: the structure has no velocities (momenta)")
