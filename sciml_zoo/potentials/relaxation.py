"""Relaxation: atoms, and on request the cell, are moved to a minimum of the energy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms, units
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS

from sciml_zoo.errors import FailureError, InputError

__all__ = ["Relaxation", "StationarityReport", "relax"]

_OPTIMIZERS = {"bfgs": BFGS, "lbfgs": LBFGS, "fire": FIRE}
# BFGS diagonalises a matrix of 3N × 3N in every step.
_DENSE = 200


@dataclass(frozen=True)
class StationarityReport:
    """How far a structure is from a minimum.

    Attributes:
        energy_ev: eV.
        largest_force_ev_per_a: on an atom that is not fixed, eV/Å.
        pressure_gpa: GPa; None without stress, as of structures that are not periodic in all directions.
        largest_stress_gpa: largest component of stress, by size, GPa; None likewise.
        volume_a3: Å³; None likewise.
    """

    energy_ev: float
    largest_force_ev_per_a: float
    pressure_gpa: float | None
    largest_stress_gpa: float | None
    volume_a3: float | None

    @classmethod
    def of(cls, atoms: Atoms) -> "StationarityReport":
        """Measures a structure.

        Args:
            atoms: the structure with its calculator.

        Returns:
            The report.
        """
        force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
        if not atoms.pbc.all() or "stress" not in atoms.calc.implemented_properties:
            return cls(float(atoms.get_potential_energy()), force, None, None, None)
        stress = atoms.get_stress() / units.GPa
        pressure, largest = -float(stress[:3].mean()), float(abs(stress).max())
        return cls(float(atoms.get_potential_energy()), force, pressure, largest, float(atoms.get_volume()))


@dataclass(frozen=True)
class Relaxation:
    """What a relaxation did.

    Attributes:
        converged: whether the forces fell below the limit.
        steps: taken.
        before: of the structure as it was.
        after: of the structure as it is.
        largest_displacement_a: of an atom, Å; in the coordinates of the cell where that was relaxed too.
    """

    converged: bool
    steps: int
    before: StationarityReport
    after: StationarityReport
    largest_displacement_a: float


def relax(
    atoms: Atoms,
    *,
    fmax: float = 0.01,
    cell: bool = False,
    pressure: float = 0.0,
    optimizer: Literal["auto", "bfgs", "lbfgs", "fire"] = "auto",
    max_steps: int = 1000,
    on_step: Callable[[int, float], None] | None = None,
) -> Relaxation:
    """Moves atoms until no force is larger than a limit.

    Args:
        atoms: the structure with its calculator; it is changed. Atoms that it fixes stay where they are.
        fmax: the limit, eV/Å; with ``cell`` also of the force on the cell, per atom: the stress may be up to
            ``fmax`` · N / V.
        cell: relax the cell too.
        pressure: with ``cell``, GPa.
        optimizer: of ASE; ``auto``: BFGS, and L-BFGS for more than 200 atoms.
        max_steps: at most.
        on_step: called with the number of the step and the largest force (eV/Å).

    Returns:
        What happened; ``converged`` tells whether the limit was reached.

    Raises:
        InputError: the cell of a structure that is not periodic, or an argument that is wrong.
        FailureError: the structure ran into what the potential cannot describe.
    """
    if not 0 < fmax < math.inf:
        raise InputError(f"fmax must be positive (eV/Å), got {fmax}")
    if cell and not atoms.pbc.all():
        raise InputError("cell: the structure is not periodic in all three directions, so it has no cell to relax")
    if optimizer == "auto":
        optimizer = "bfgs" if len(atoms) <= _DENSE else "lbfgs"
    if optimizer not in _OPTIMIZERS:
        raise InputError(f"optimizer must be auto, {', '.join(_OPTIMIZERS)}, got {optimizer!r}")
    before = StationarityReport.of(atoms)
    start, box = atoms.positions.copy(), atoms.cell.complete().array
    moved = FrechetCellFilter(atoms, scalar_pressure=pressure * units.GPa) if cell else atoms
    search = _OPTIMIZERS[optimizer](moved, logfile=None)

    def report() -> None:
        if on_step is not None:
            on_step(search.nsteps, float(np.linalg.norm(moved.get_forces(), axis=1).max()))

    search.attach(report)
    try:
        converged = bool(search.run(fmax=fmax, steps=max_steps))
    except InputError as error:
        raise FailureError(
            f"step {search.nsteps}: the relaxation left what the potential can describe: {error}; "
            "start from a structure that it knows"
        ) from error
    deformed = start @ np.linalg.solve(box, atoms.cell.complete().array) if cell else start
    return Relaxation(
        converged=converged,
        steps=int(search.nsteps),
        before=before,
        after=StationarityReport.of(atoms),
        largest_displacement_a=float(np.linalg.norm(atoms.positions - deformed, axis=1).max()),
    )
