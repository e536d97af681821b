"""Training structures labelled by trained potentials: an ensemble distilled into one model.

Several potentials that were trained from different seeds err in different directions, and their mean errs less than
each. One model learns that mean from structures that cost no quantum chemistry: short pieces of dynamics, begun at the
training structures with velocities of a temperature, in which the mean of the teachers gives the forces.

Hinton, Vinyals & Dean, arXiv:1503.02531 (2015); for potentials: Kelvinius, Georgiev, Toshev & Gasteiger, NeurIPS 2023.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import collate, model_inputs, to_graph
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.zoo.resolve import load_model

__all__ = ["DistillationConfig", "label_by_teachers", "load_teachers"]

# Structures that move together: large enough to use the processor, small enough for any memory.
_TOGETHER_ATOMS = 512
# A structure whose largest force exceeds that of the training data by this has left what teachers know.
_EXPLODED = 3.0
# eV/Å: perfect crystals have no forces, but their vibrations do.
_THERMAL_FORCE = 1.0
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
        elements: of the data, which they must know.

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
    largest_force: float,
    stress: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Atoms]:
    """Makes structures by dynamics and labels them with the mean of the teachers.

    Args:
        teachers: the potentials.
        structures: training structures, where the dynamics begin; their labels are not looked at.
        config: how many, how hot, how long.
        rng: of the velocities.
        largest_force: component of a force in the training data, eV/Å.
        stress: also label what is periodic in all directions with the stress.
        on_progress: called with the number of structures made, and wanted.

    Returns:
        ``config.structures`` structures with energy (eV), forces (eV/Å) and, on request, stress (eV/Å³, Voigt), and
        without anything else that those they begin at carry; those that exploded are made again.

    Raises:
        InputError: the dynamics explode more often than not.
    """
    limit = _EXPLODED * max(largest_force, _THERMAL_FORCE)
    together = max(1, _TOGETHER_ATOMS // max(len(atoms) for atoms in structures))
    made: list[Atoms] = []
    tried = 0
    while len(made) < config.structures:
        size = min(together, config.structures - len(made))
        batch = [_without_labels(structures[index]) for index in rng.integers(len(structures), size=size)]
        begun = [atoms.positions.copy() for atoms in batch]
        for atoms, start, labels in zip(batch, begun, _dynamics(teachers, batch, config, rng, stress), strict=True):
            near = np.abs(atoms.positions - start).max() < _FLOWN
            force = labels["forces"]
            if near and np.isfinite(force).all() and np.abs(force).max() < limit:
                atoms.calc = SinglePointCalculator(atoms, **labels)
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


def _without_labels(atoms: Atoms) -> Atoms:
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, masses=atoms.get_masses())


def _dynamics(
    teachers: Sequence[Potential],
    batch: list[Atoms],
    config: DistillationConfig,
    rng: np.random.Generator,
    stress: bool,
) -> list[dict[str, Any]]:
    """Returns the labels of structures after moving them, in place, by velocity Verlet."""
    masses = np.concatenate([atoms.get_masses() for atoms in batch])[:, None]
    velocities = np.sqrt(units.kB * config.temperature / masses) * rng.normal(size=(len(masses), 3))
    ends = np.cumsum([len(atoms) for atoms in batch])[:-1]
    step = config.timestep * units.fs
    n_steps = max(1, round(config.duration / config.timestep))
    output = _mean_of(teachers, batch, stress=False)
    for index in range(n_steps):
        velocities += 0.5 * step * output["forces"] / masses
        # What explodes will be refused; until then it must stay where pairs can be searched, for the others' sake.
        moves = np.clip(np.nan_to_num(step * velocities), -_FLOWN, _FLOWN)
        for atoms, move in zip(batch, np.split(moves, ends), strict=True):
            atoms.positions += move
        output = _mean_of(teachers, batch, stress=stress and index == n_steps - 1)
        velocities += 0.5 * step * output["forces"] / masses
    labels: list[dict[str, Any]] = [
        {"energy": float(energy), "forces": forces}
        for energy, forces in zip(output["energy"], np.split(output["forces"], ends), strict=True)
    ]
    for index, atoms in enumerate(batch):
        if stress and atoms.pbc.all():
            labels[index]["stress"] = full_3x3_to_voigt_6_stress(output["stress"][index])
    return labels


def _mean_of(teachers: Sequence[Potential], batch: list[Atoms], *, stress: bool) -> dict[str, np.ndarray]:
    """Returns the mean energies [G], forces [N, 3] and, on request, stresses [G, 3, 3], float64."""
    graphs: dict[float, dict[str, torch.Tensor]] = {}
    outputs = []
    for teacher in teachers:
        if teacher.cutoff not in graphs:
            graphs[teacher.cutoff] = model_inputs(collate([to_graph(atoms, teacher.cutoff) for atoms in batch]))
        outputs.append(teacher(**graphs[teacher.cutoff], stress=stress))
    return {name: np.mean([output[name].double().numpy() for output in outputs], axis=0) for name in outputs[0]}
