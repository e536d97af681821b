"""Files of a simulation: a trajectory of whole frames, a table of samples, and the state to go on from."""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from sciml_zoo._files import write_atomically
from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.potentials.dynamics import Sample

__all__ = ["SampleLog", "SimulationFiles", "TrajectoryFile"]

_COLUMNS = [field.name for field in dataclasses.fields(Sample)]


class _Appended:
    """A file that grows by whole records."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, text: str) -> None:
        """Adds a record; if the disk is full, the file is left as it was.

        Raises:
            FailureError: it cannot be written.
        """
        size = self.size
        try:
            with self.path.open("ab", buffering=0) as file:
                data = memoryview(text.encode())
                while data:
                    data = data[file.write(data) :]
        except OSError as error:
            if self.path.exists():
                os.truncate(self.path, size)
            raise FailureError(f"{self.path}: cannot be written: {error.strerror}; --resume goes on") from error

    @property
    def size(self) -> int:
        """In bytes; 0 if there is none."""
        return self.path.stat().st_size if self.path.exists() else 0

    def cut(self, size: int) -> None:
        """Forgets what was written after a moment.

        Raises:
            InputError: the file is shorter than it was at that moment.
        """
        if self.size < size:
            raise InputError(f"{self.path}: shorter than --resume expects ({self.size} of {size} bytes)")
        if size or self.path.exists():
            os.truncate(self.path, size)


class TrajectoryFile(_Appended):
    """Frames in extxyz, with velocities, energy, forces and stress.

    Args:
        path: the file.
    """

    def add(self, atoms: Atoms, sample: Sample) -> None:
        """Appends a frame.

        Args:
            atoms: the structure, with its results.
            sample: of the moment.
        """
        frame = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        frame.set_constraint(atoms.constraints)
        frame.set_momenta(atoms.get_momenta(), apply_constraint=False)
        if atoms.has("masses"):
            frame.set_masses(atoms.get_masses())
        frame.info = {"step": sample.step, "time_ps": sample.time_ps}
        results = {
            name: atoms.calc.results[name] for name in ("energy", "forces", "stress") if name in atoms.calc.results
        }
        frame.calc = SinglePointCalculator(frame, **results)
        text = io.StringIO()
        ase.io.write(text, frame, format="extxyz")
        self.append(text.getvalue())


class SampleLog(_Appended):
    """Samples as CSV, with the names and units of :class:`Sample`.

    Args:
        path: the file.
    """

    def add(self, sample: Sample) -> None:
        """Appends a row, and before the first the names of the columns.

        Args:
            sample: what to write.
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        if not self.size:
            rows.writerow(_COLUMNS)
        rows.writerow(dataclasses.astuple(sample))
        self.append(text.getvalue())

    def read(self) -> list[Sample]:
        """Returns the samples.

        Raises:
            InputError: the file is damaged.
        """
        if not self.size:
            return []
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            return [_sample(row) for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.path}: not a table of samples ({error}); start again without --resume") from error


def _sample(row: Mapping[str, str]) -> Sample:
    values: dict[str, Any] = {name: float(row[name]) if row[name] else None for name in _COLUMNS[1:]}
    return Sample(step=int(row["step"]), **values)


class SimulationFiles:
    """Trajectory, samples and restart file of one simulation, which grow together.

    Args:
        trajectory: the trajectory; the restart file is beside it.
        log: the samples; None: beside the trajectory.
        settings: what must be the same to go on, as JSON holds it.
    """

    def __init__(self, trajectory: Path, log: Path | None, settings: Mapping[str, Any]) -> None:
        self.trajectory = TrajectoryFile(trajectory)
        self.log = SampleLog(trajectory.with_suffix(".csv") if log is None else log)
        self.restart = trajectory.with_name(f"{trajectory.name}.restart.json")
        self._settings = json.loads(json.dumps(settings))

    def begin(self) -> None:
        """Makes sure that nothing is overwritten.

        Raises:
            InputError: one of the files exists.
        """
        for path in (self.trajectory.path, self.log.path, self.restart):
            if path.exists():
                raise InputError(f"{path} exists; go on with --resume, remove it, or choose another name")

    def resume(self) -> dict[str, Any]:
        """Returns the state that was saved last, and forgets all that came after.

        Returns:
            Of :meth:`~sciml_zoo.potentials.dynamics.Simulation.state_dict`.

        Raises:
            InputError: there is none, or it is of another simulation.
        """
        try:
            saved = json.loads(self.restart.read_text(encoding="utf-8"))
            state, settings = saved["state"], saved["settings"]
            sizes = saved["trajectory_bytes"], saved["log_bytes"]
        except FileNotFoundError:
            raise InputError(f"{self.restart}: no such file: nothing to resume; start without --resume") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.restart}: cannot be read ({error}); start again without --resume") from None
        for name, value in self._settings.items():
            if settings.get(name) != value:
                raise InputError(f"--resume: {name} was {settings.get(name)} and is now {value}; {self.restart}")
        self.trajectory.cut(sizes[0])
        self.log.cut(sizes[1])
        return state

    def add(self, atoms: Atoms, sample: Sample) -> None:
        """Appends a sample to trajectory and log.

        Args:
            atoms: the structure, with its results.
            sample: of the moment.
        """
        self.trajectory.add(atoms, sample)
        self.log.add(sample)

    def save(self, state: Mapping[str, Any]) -> None:
        """Saves a state, to which trajectory and log belong as they are.

        Args:
            state: of :meth:`~sciml_zoo.potentials.dynamics.Simulation.state_dict`.

        Raises:
            FailureError: it cannot be written.
        """
        sizes = {"trajectory_bytes": self.trajectory.size, "log_bytes": self.log.size}
        content = {"settings": self._settings, **sizes, "state": state}
        try:
            write_atomically(self.restart, json.dumps(content))
        except OSError as error:
            raise FailureError(f"{self.restart}: cannot be written: {error.strerror}") from error
