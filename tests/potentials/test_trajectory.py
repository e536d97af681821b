"""Files of a simulation: whole frames only, what is cut off is what a restart does again, and refusals."""

import csv
import json

import ase.io
import numpy as np
import pytest
from ase.constraints import FixAtoms

from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.potentials import DynamicsConfig, Simulation
from sciml_zoo.potentials.trajectory import SampleLog, SimulationFiles
from tests.potentials.springs import triangle

SETTINGS = {"ensemble": "nvt", "timestep": 0.5}


def _simulate(files: SimulationFiles, steps: int, *, resume: bool, save_at: int | None = None) -> Simulation:
    simulation = Simulation(triangle(), DynamicsConfig(every=5))
    if resume:
        simulation.load_state_dict(files.resume())
    else:
        files.begin()

    def take(sample):
        files.add(simulation.atoms, sample)
        if sample.step == save_at:
            files.save(simulation.state_dict())

    simulation.run(steps, on_sample=take)
    if save_at is None:
        files.save(simulation.state_dict())
    return simulation


def test_frames_hold_what_the_simulation_knew(tmp_path):
    files = SimulationFiles(tmp_path / "t.extxyz", None, SETTINGS)
    simulation = _simulate(files, 20, resume=False)
    frames = ase.io.read(files.trajectory.path, index=":")
    assert [frame.info["step"] for frame in frames] == [0, 5, 10, 15, 20]
    last = frames[-1]
    np.testing.assert_allclose(last.positions, simulation.atoms.positions, atol=1e-7)
    np.testing.assert_allclose(last.get_momenta(), simulation.atoms.get_momenta(), atol=1e-7)
    np.testing.assert_allclose(last.get_forces(), simulation.atoms.get_forces(), atol=1e-7)
    assert last.get_potential_energy() == pytest.approx(simulation.atoms.get_potential_energy())
    with files.log.path.open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["total_ev"]) == simulation.sample().total_ev
    assert files.log.read()[-1] == simulation.sample()


def test_constraints_are_kept_and_labels_of_the_start_are_not(tmp_path):
    files = SimulationFiles(tmp_path / "t.extxyz", None, SETTINGS)
    atoms = triangle()
    atoms.set_constraint(FixAtoms([1]))
    atoms.info["energy"] = 1e9
    atoms.set_masses([12.0, 13.0, 12.0])
    simulation = Simulation(atoms)
    simulation.run(20, on_sample=lambda sample: files.add(atoms, sample))
    frame = ase.io.read(files.trajectory.path, index=-1)
    assert frame.get_potential_energy() == pytest.approx(atoms.get_potential_energy())
    assert frame.constraints[0].index.tolist() == [1]
    assert frame.get_masses().tolist() == [12.0, 13.0, 12.0]


@pytest.mark.parametrize("damage", [b"", b"3\nProperties=species:S:1:pos:R:3 half a fra"])
def test_a_simulation_that_died_goes_on_as_if_nothing_had_happened(tmp_path, damage):
    whole = SimulationFiles(tmp_path / "whole.extxyz", None, SETTINGS)
    _simulate(whole, 40, resume=False)
    killed = SimulationFiles(tmp_path / "killed.extxyz", tmp_path / "other.csv", SETTINGS)
    _simulate(killed, 30, resume=False, save_at=15)  # the last three samples came after the last saved state
    with killed.trajectory.path.open("ab") as file:
        file.write(damage)
    _simulate(killed, 40, resume=True)
    for one, other in ((whole.trajectory, killed.trajectory), (whole.log, killed.log)):
        assert one.path.read_bytes() == other.path.read_bytes()


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "t.extxyz"
    for name in ("t.extxyz", "t.csv", "t.extxyz.restart.json"):
        (tmp_path / name).write_text("precious")
        with pytest.raises(InputError, match=rf"{name} exists; go on with --resume"):
            SimulationFiles(path, None, SETTINGS).begin()
        (tmp_path / name).unlink()
    SimulationFiles(path, None, SETTINGS).begin()


def test_a_full_disk_leaves_whole_frames(tmp_path, monkeypatch):
    files = SimulationFiles(tmp_path / "t.extxyz", None, SETTINGS)
    simulation = _simulate(files, 10, resume=False)
    before = files.trajectory.path.read_bytes()

    class Full:
        def __init__(self, path, *_, **__):
            self.path = path

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

        def write(self, data):
            with open(self.path, "r+b") as file:  # noqa: PTH123
                file.seek(0, 2)
                file.write(bytes(data[:20]))
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.open", lambda path, *args, **options: Full(path))
    with pytest.raises(FailureError, match=r"t\.extxyz: cannot be written: No space left on device"):
        files.trajectory.add(simulation.atoms, simulation.sample())
    monkeypatch.undo()
    assert files.trajectory.path.read_bytes() == before


def test_another_simulation_is_not_gone_on_with(tmp_path):
    path = tmp_path / "t.extxyz"
    _simulate(SimulationFiles(path, None, SETTINGS), 10, resume=False)
    with pytest.raises(InputError, match=r"--resume: timestep was 0\.5 and is now 1\.0"):
        SimulationFiles(path, None, {**SETTINGS, "timestep": 1.0}).resume()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.with_name("t.extxyz.restart.json").unlink(), "no such file: nothing to resume"),
        (lambda path: path.with_name("t.extxyz.restart.json").write_text("{"), "cannot be read"),
        (lambda path: path.with_name("t.extxyz.restart.json").write_text(json.dumps({"state": {}})), "cannot be read"),
        (lambda path: path.write_text("short"), r"t\.extxyz: shorter than --resume expects"),
        (lambda path: path.unlink(), r"t\.extxyz: shorter than --resume expects \(0 of"),
    ],
)
def test_damaged_files_are_not_gone_on_with(tmp_path, spoil, words):
    path = tmp_path / "t.extxyz"
    _simulate(SimulationFiles(path, None, SETTINGS), 10, resume=False)
    spoil(path)
    with pytest.raises(InputError, match=words):
        SimulationFiles(path, None, SETTINGS).resume()


def test_a_table_that_holds_no_samples_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    assert SampleLog(path).read() == []
    path.write_text("step,time_ps\n1,x\n")
    with pytest.raises(InputError, match="not a table of samples"):
        SampleLog(path).read()
