"""``sciml-zoo potentials export``: the file it writes, how it says to load it, and bad input."""

import json
import re
from pathlib import Path

import ase.io
import pytest
import torch
from ase.build import molecule

import sciml_zoo as sz
from sciml_zoo.cli import main

MODEL = "gto_potential.tiny"  # knows H, C and O


@pytest.fixture(autouse=True)
def structures(here: Path) -> None:
    ase.io.write("water.xyz", [molecule("H2O"), molecule("CH4")])
    ase.io.write("salt.xyz", molecule("NaCl"))


def test_a_file_for_openmm_is_for_the_first_frame(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["potentials", "export", MODEL, "--to", "openmm", "--structure", "water.xyz", "-o", "water.pt"]
    assert main([*command, "--json", "told.json"]) == 0
    shown = capsys.readouterr().out
    assert "3 atoms of H2O" in shown
    assert 'openmm_force("water.pt", periodic=False)' in shown
    assert 'TorchForce("water.pt")' in shown
    told = json.loads(Path("told.json").read_text())
    assert (told["to"], told["atoms"], told["file"]) == ("openmm", 3, "water.pt")
    energy = torch.jit.load("water.pt")(torch.tensor(molecule("H2O").positions / 10))
    assert energy.isfinite()


def test_a_file_for_lammps_names_the_elements(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["potentials", "export", MODEL, "--to", "lammps", "-o", "tiny.pt"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"pair_style +mliap unified tiny\.pt 0", shown)
    elements = re.search(r"pair_coeff +\* \* (.*)", shown)
    assert elements
    assert torch.load("tiny.pt", weights_only=False).element_types == elements[1].split()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "openmm", "-o", "x.pt"], "needs --structure"),
        (["--to", "lammps", "--structure", "water.xyz", "-o", "x.pt"], "--structure is for OpenMM"),
        (["--to", "openmm", "--structure", "salt.xyz", "-o", "x.pt"], "does not know Na"),
        (["--to", "openmm", "--structure", "none.xyz", "-o", "x.pt"], "none.xyz"),
    ],
)
def test_bad_input_says_what_is_wrong(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["potentials", "export", MODEL, *options]) == 2
    assert words in capsys.readouterr().err
    assert not Path("x.pt").exists()


def test_other_models_and_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    sz.save_model(sz.create_model("rbm", n_visible=3, n_hidden=2), "machine")
    assert main(["potentials", "export", "local-dir:machine", "--to", "lammps", "-o", "x.pt"]) == 2
    assert "not an interatomic potential" in capsys.readouterr().err
    for name, words in (("x.bin", "ends in .pt"), ("missing/x.pt", "no such directory")):
        with pytest.raises(SystemExit, match="2"):
            main(["potentials", "export", MODEL, "--to", "lammps", "-o", name])
        assert words in capsys.readouterr().err
