"""Training structures labelled by trained potentials: an ensemble distilled into one model.

Several potentials that were trained from different seeds err in different directions, and their mean errs less than
each. One model learns that mean from structures that cost no quantum chemistry: short pieces of dynamics, begun at the
training structures with velocities of a temperature, in which the mean of the teachers gives the forces.

Hinton, Vinyals & Dean, arXiv:1503.02531 (2015); for potentials: Kelvinius, Georgiev, Toshev & Gasteiger, NeurIPS 2023.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import collate, forces_of, model_inputs, to_graph
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.zoo.resolve import load_model

__all__ = ["DistillationConfig", "label_by_teachers", "load_teachers"]

# Structures that move together: large enough to use the processor, small enough for any memory.
_TOGETHER_ATOMS = 512
# A structure whose largest force exceeds that of the training data by this has left what teachers know.
_EXPLODED = 3.0
# Å: nor does an atom go that far in some tens of femtoseconds.
_FLOWN = 2.0


@dataclass(frozen=True)
class DistillationConfig:
    """Structures labelled by teachers, beside the training data.

    Attributes:
        teachers: weights names, or ``local-dir:`` references, of potentials trained on the same data.
        structures: how many to make.
        temperature: of the velocities with which each piece of dynamics begins, K. Potential energy takes half of it,
            and the training structures already have theirs.
        duration: of each piece, fs.
        timestep: fs.
        repeats: how often each training structure is used for one of these.
    """

    teachers: tuple[str, ...]
    structures: int = 4000
    temperature: float = 500.0
    duration: float = 50.0
    timestep: float = 0.5
    repeats: int = 2

    def __post_init__(self) -> None:
        if not self.teachers:
            raise InputError("distillation.teachers: name at least one potential")
        for name in ("structures", "temperature", "duration", "timestep", "repeats"):
            if getattr(self, name) <= 0:
                raise InputError(f"distillation.{name} must be positive, got {getattr(self, name)}")


def load_teachers(config: DistillationConfig, elements: Sequence[int]) -> list[Potential]:
    """Loads the teachers.

    Args:
        config: names them.
        elements: that they must know.

    Returns:
        The potentials.

    Raises:
        InputError: a teacher is no potential, or does not know an element.
    """
    teachers = []
    for name in config.teachers:
        teacher = load_model(name)
        if not isinstance(teacher, Potential):
            raise InputError(f"distillation.teachers: {name} is not an interatomic potential")
        teacher.check_elements(elements, f"distillation.teachers: {name}")
        teachers.append(teacher.eval())
    return teachers


def label_by_teachers(
    teachers: Sequence[Potential],
    structures: Sequence[Atoms],
    config: DistillationConfig,
    rng: np.random.Generator,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Atoms]:
    """Makes structures by dynamics and labels them with the mean of the teachers.

    Args:
        teachers: the potentials.
        structures: training structures with forces, where the dynamics begin.
        config: how many, how hot, how long.
        rng: of the velocities.
        on_progress: called with the number of structures made, and wanted.

    Returns:
        ``config.structures`` structures with energy (eV) and forces (eV/Å); those that exploded are made again.

    Raises:
        InputError: the dynamics explode more often than not.
    """
    limit = _EXPLODED * max(float(np.abs(forces_of(atoms, "train")).max()) for atoms in structures)
    together = max(1, _TOGETHER_ATOMS // max(len(atoms) for atoms in structures))
    made: list[Atoms] = []
    tried = 0
    while len(made) < config.structures:
        size = min(together, config.structures - len(made))
        batch = [structures[index].copy() for index in rng.integers(len(structures), size=size)]
        begun = [atoms.positions.copy() for atoms in batch]
        energies, forces = _dynamics(teachers, batch, config, rng)
        for atoms, start, energy, force in zip(batch, begun, energies, forces, strict=True):
            near = np.abs(atoms.positions - start).max() < _FLOWN
            if near and np.isfinite(force).all() and np.abs(force).max() < limit:
                atoms.calc = SinglePointCalculator(atoms, energy=float(energy), forces=force)
                made.append(atoms)
        tried += size
        if tried > config.structures / 2 and len(made) < tried / 2:
            raise InputError(
                f"distillation: {tried - len(made)} of {tried} pieces of dynamics exploded: lower the temperature "
                f"({config.temperature:g} K), the duration or the timestep, or train the teachers better"
            )
        if on_progress is not None:
            on_progress(len(made), config.structures)
    return made


def _dynamics(
    teachers: Sequence[Potential], batch: list[Atoms], config: DistillationConfig, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns energies and forces of structures after moving them, in place, by velocity Verlet."""
    masses = np.concatenate([atoms.get_masses() for atoms in batch])[:, None]
    velocities = np.sqrt(units.kB * config.temperature / masses) * rng.normal(size=(len(masses), 3))
    ends = np.cumsum([len(atoms) for atoms in batch])[:-1]
    step = config.timestep * units.fs
    energies, forces = _mean_of(teachers, batch)
    for _ in range(max(1, round(config.duration / config.timestep))):
        velocities += 0.5 * step * forces / masses
        for atoms, move in zip(batch, np.split(step * velocities, ends), strict=True):
            atoms.positions += move
        if not np.isfinite(velocities).all():
            break
        energies, forces = _mean_of(teachers, batch)
        velocities += 0.5 * step * forces / masses
    return energies, np.split(forces, ends)


def _mean_of(teachers: Sequence[Potential], batch: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    graphs: dict[float, dict[str, torch.Tensor]] = {}
    energies, forces = [], []
    for teacher in teachers:
        if teacher.cutoff not in graphs:
            graphs[teacher.cutoff] = model_inputs(collate([to_graph(atoms, teacher.cutoff) for atoms in batch]))
        device = teacher.shifts.device
        output = teacher(**{name: value.to(device) for name, value in graphs[teacher.cutoff].items()})
        energies.append(output["energy"].cpu().numpy())
        forces.append(output["forces"].double().cpu().numpy())
    return np.mean(energies, axis=0), np.mean(forces, axis=0)
