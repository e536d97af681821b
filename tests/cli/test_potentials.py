"""``sciml-zoo potentials``: dynamics, relaxation and phonons end to end, their files, and bad input."""

import json
import shlex
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest

import sciml_zoo as sz
from sciml_zoo.cli import main
from sciml_zoo.potentials import ZooCalculator

MODEL = "--model local-dir:model"
MD = f"potentials md train.xyz {MODEL} --frame 2"


def _status(command: str) -> int | str | None:
    try:
        return main(shlex.split(command))
    except SystemExit as end:
        return end.code


def test_dynamics_and_their_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        "--ensemble nve --temperature 200 --picoseconds 0.03 --every 4 --out t.extxyz --json t.json --figure t.png"
    )
    assert _status(f"{MD} {options}") == 0
    told = json.loads((here / "t.json").read_text())
    assert told["steps"] == 60
    assert told["picoseconds"] == pytest.approx(0.03)
    rows = pd.read_csv(here / "t.csv")
    assert rows["step"].tolist() == list(range(0, 61, 4))
    assert rows["temperature_k"][0] == pytest.approx(200)
    assert told["mean_temperature_k"] == pytest.approx(rows["temperature_k"][8:].mean())
    assert rows["total_ev"].std() < 1e-3
    frames = ase.io.read(here / "t.extxyz", index=":")
    assert [frame.info["step"] for frame in frames] == rows["step"].tolist()
    last = frames[-1]
    energy = last.get_potential_energy()
    last.calc = ZooCalculator(sz.load_model("local-dir:model"))
    assert last.get_potential_energy() == pytest.approx(energy, abs=1e-5)
    assert (here / "t.png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr().out
    assert f"{told['drift_mev_per_atom_per_ps']:.4g}" in shown
    assert "milliseconds a step" in shown


@pytest.mark.parametrize("ensemble", ["nvt", "npt --pressure 1 --flexible-cell"])
def test_a_simulation_in_two_parts_is_that_in_one(ensemble: str, here: Path) -> None:
    crystal = f"potentials md crystal.xyz {MODEL} --ensemble {ensemble} --every 3 --seed 5"
    assert _status(f"{crystal} --steps 12 --out whole.xyz --json whole.json") == 0
    assert _status(f"{crystal} --steps 7 --out parts.xyz --log rows.csv") == 0
    assert _status(f"{crystal} --steps 12 --out parts.xyz --log rows.csv --resume --json parts.json") == 0
    assert (here / "whole.xyz").read_bytes() == (here / "parts.xyz").read_bytes()
    assert (here / "whole.csv").read_bytes() == (here / "rows.csv").read_bytes()
    whole, parts = (json.loads((here / f"{name}.json").read_text()) for name in ("whole", "parts"))
    for name in ("mean_temperature_k", "mean_pressure_gpa", "mean_density_g_per_cm3", "steps"):
        assert whole[name] == parts[name]
    volumes = pd.read_csv(here / "rows.csv")["volume_a3"]
    assert bool(volumes.std() > 0) is ensemble.startswith("npt")


def test_an_explosion_is_a_failure_that_names_the_atom(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(f"{MD} --steps 50 --timestep 100 --temperature 1000 --max-temperature 1500 --out t.xyz") == 1
    message = capsys.readouterr().err
    assert "the simulation exploded" in message
    assert "atom " in message
    assert "above the allowed 1500 K" in message
    for frame in ase.io.read(here / "t.xyz", index=":"):
        assert np.isfinite(frame.positions).all()


def test_relaxation_writes_the_structure_and_shows_what_changed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(f"potentials relax train.xyz {MODEL} --frame 0 -o out.xyz --fmax 0.002 --json out.json") == 0
    told = json.loads((here / "out.json").read_text())
    assert told["converged"]
    assert told["after"]["largest_force_ev_per_a"] <= 0.002
    assert told["after"]["energy_ev"] <= told["before"]["energy_ev"]
    relaxed = ase.io.read(here / "out.xyz")
    relaxed.calc = ZooCalculator(sz.load_model("local-dir:model").double())
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() <= 0.0021
    assert "largest force" in capsys.readouterr().out


def test_a_relaxation_that_does_not_converge_is_written_and_fails(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "-o out.cif --cell --pressure 2 --fmax 1e-9 --steps 2 --optimizer fire --json out.json"
    assert _status(f"potentials relax crystal.xyz {MODEL} {options}") == 1
    assert "not converged after 2 steps" in capsys.readouterr().err
    assert not json.loads((here / "out.json").read_text())["converged"]
    assert len(ase.io.read(here / "out.cif")) == 8


def test_vibrations_of_a_molecule(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = f"potentials phonons train.xyz {MODEL} --frame 0 --as-is --json out.json --figure out.svg"
    assert _status(command) == 0
    told = json.loads((here / "out.json").read_text())
    assert len(told["frequencies_cm"]) == 3
    assert len(told["rigid_frequencies_cm"]) == 6
    assert told["imaginary_cm"] == [f for f in told["frequencies_cm"] if f < -10]
    shown = capsys.readouterr().out
    assert f"{told['frequencies_cm'][-1]:.1f}" in shown
    assert ("IMAGINARY" in shown) is bool(told["imaginary_cm"])
    assert (here / "out.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_phonons_of_a_crystal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ase.io.write(here / "perfect.xyz", ase.build.bulk("C", "diamond", a=3.6))
    command = f"potentials phonons perfect.xyz {MODEL} --supercell 2 2 2 --fmax 0.01 --json out.json --figure out.pdf"
    assert _status(command) == 0
    told = json.loads((here / "out.json").read_text())
    assert told["supercell"] == [2, 2, 2]
    assert told["relaxation"]["converged"]
    assert np.array(told["frequencies_thz"]).shape == (len(told["distances"]), 6)
    assert np.sort(np.abs(told["gamma_thz"]))[:3].max() < 1e-3
    assert np.trapezoid(told["dos_per_thz"], told["dos_frequencies_thz"]) == pytest.approx(6, rel=0.02)
    assert told["imaginary"] is (told["lowest_thz"] < -0.1)
    assert [point["label"] for point in told["special_points"]][:3] == ["G", "X", "W"]
    shown = capsys.readouterr().out
    assert "Γ" in shown
    assert "acoustic sum rule" in shown
    assert (here / "out.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (f"{MD}", ("--steps", "--picoseconds")),
        (f"{MD} --steps 5 --picoseconds 1", ("not allowed with",)),
        (f"{MD} --steps 0", ("'0'", "1 or more")),
        (f"{MD} --steps 5 --timestep -1", ("'-1'", "positive")),
        (f"{MD} --steps 5 --ensemble nvp", ("'nvp'",)),
        (f"{MD} --steps 5 --ensemble npt", ("npt", "not periodic")),
        (f"{MD} --steps 5 --pressure 1", ("--pressure", "--ensemble npt")),
        (f"{MD} --steps 5 --flexible-cell", ("--flexible-cell", "--ensemble npt")),
        (f"{MD} --steps 5 --resume", ("--resume", "--out")),
        (f"{MD} --steps 5 --log rows.csv", ("--log", "--out")),
        (f"{MD} --steps 5 --out t.extxyz --resume", ("t.extxyz.restart.json", "nothing to resume")),
        (f"{MD} --steps 5 --out train.xyz", ("train.xyz exists", "--resume")),
        (f"{MD} --steps 5 --out t.traj", ("t.traj", ".extxyz")),
        (f"{MD} --steps 5 --keep-velocities", ("no velocities",)),
        (f"{MD} --steps 5 --stop-on-extrapolation", ("local-dir:model", "not been calibrated", "calibrate")),
        (f"potentials md train.xyz {MODEL} --steps 5 --frame 99", ("--frame 99", "9 frames")),
        (f"potentials md none.xyz {MODEL} --steps 5", ("none.xyz", "no such file")),
        ("potentials md train.xyz --steps 5", ("--model",)),
        ("potentials md train.xyz --steps 5 --model gto_potential.tini", ("did you mean 'gto_potential.tiny'",)),
        ("potentials md train.xyz --steps 5 --model rbm.digits", ("rbm.digits",)),
        (f"{MD} --steps 5 --device nonsense", ("--device nonsense",)),
        (f"potentials relax train.xyz {MODEL}", ("--out",)),
        (f"potentials relax train.xyz {MODEL} -o out.xyz --cell", ("no cell to relax",)),
        (f"potentials relax train.xyz {MODEL} -o out.xyz --pressure 1", ("--pressure", "--cell")),
        (f"potentials relax train.xyz {MODEL} -o out.nonsense", ("out.nonsense", ".extxyz")),
        (f"potentials relax train.xyz {MODEL} -o none/out.xyz", ("none: no such directory",)),
        (f"potentials phonons train.xyz {MODEL} --supercell 2 2 2", ("--supercell", "molecule")),
        (f"potentials phonons crystal.xyz {MODEL} --as-is --cell", ("--cell", "--as-is")),
        (f"potentials phonons crystal.xyz {MODEL} --supercell 2 2 0", ("'0'",)),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    command: str, words: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    assert _status(command) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert not [word for word in words if word not in message], message
    assert sorted(here.rglob("*")) == before
