"""A working directory with a tiny model, a shelf of its own that holds it, a recipe and labelled structures."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones

import sciml_zoo as sz
from sciml_zoo.potentials.data import collate, model_inputs, to_graph
from sciml_zoo.zoo import manifest, resolve

RECIPE = """\
architecture: gto_potential
data:
  train: train.xyz
model:
  n_radial: 4
  n_channels: 4
  n_hidden: 8
trainer:
  max_steps: 4
  batch_size: 2
  monitor: force_mae_mev_per_a
"""

_ROW = {
    "summary": "A tiny model with random weights",
    "licence": "CC0-1.0",
    "data": [{"name": "nothing", "source": "https://example.org", "licence": "CC0-1.0"}],
    "metrics": [
        {
            "dataset": "samples",
            "name": "force MAE",
            "value": 123.456,
            "unit": "meV/Å",
            "seed": 0,
            "command": "sciml-zoo evaluate gto_potential.tiny file.xyz",
        }
    ],
    "command": "sciml-zoo train recipe.yaml --out run",
    "recipe": "scripts/recipes/gto_potential.yaml",
    "domain_of_validity": "None.",
    "known_failures": [],
    "citation": "none",
}


def labelled(atoms: Atoms, seed: int) -> Atoms:
    """The structure, shaken, with energy and forces of Lennard-Jones particles."""
    atoms = atoms.copy()
    atoms.rattle(0.05, seed=seed)
    atoms.calc = LennardJones(sigma=1.0, epsilon=0.5, rc=4.0, smooth=True)
    atoms.get_potential_energy()
    atoms.get_forces()
    return atoms


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every working directory is a copy of."""
    root = tmp_path_factory.mktemp("built")
    torch.manual_seed(0)
    model = sz.create_model("gto_potential", elements=(1, 6, 8), n_radial=4, n_channels=4, n_hidden=8)
    molecules = [labelled(molecule(name), seed) for seed in range(15) for name in ("H2O", "CH4", "CH3OH")]
    model.calibrate(**model_inputs(collate([to_graph(atoms, model.cutoff) for atoms in molecules])))
    model.scale.fill_(0.01)  # small forces, so that rounding to float32 is small too
    sz.save_model(model, root / "model")
    (root / "recipe.yaml").write_text(RECIPE)
    ase.io.write(root / "train.xyz", molecules[:9], format="extxyz")
    ase.io.write(root / "many.xyz", molecules, format="extxyz")  # more than one chunk of predictions
    crystals = [labelled(bulk("C", "diamond", a=3.6 + 0.05 * i, cubic=True), i) for i in range(3)]
    ase.io.write(root / "crystal.xyz", crystals, format="extxyz")
    (root / "crowded").mkdir()
    np.savetxt(root / "crowded" / "numbers.txt", np.arange(3))
    return root


@pytest.fixture
def here(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with ``gto_potential.tiny`` as the only weights on the shelf."""
    directory = tmp_path / "work"
    shutil.copytree(built, directory)
    packaged, rows = tmp_path / "weights", tmp_path / "weights.json"
    shutil.copytree(built / "model", packaged / "gto_potential.tiny")
    rows.write_text('{"format_version": 1, "weights": []}')
    parameters = sum(p.numel() for p in sz.load_model(f"local-dir:{built / 'model'}").parameters())
    row = manifest.weights_row(built / "model", name="gto_potential.tiny", parameters=parameters, **_ROW)
    manifest.write_row(rows, row)
    monkeypatch.setattr(manifest, "MANIFEST_PATH", rows)
    monkeypatch.setattr(resolve, "PACKAGED", packaged)
    monkeypatch.setenv("SCIML_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCIML_ZOO_OFFLINE", "1")
    monkeypatch.delenv("SCIML_ZOO_DATA", raising=False)
    monkeypatch.chdir(directory)
    manifest.manifest.cache_clear()
    yield directory
    manifest.manifest.cache_clear()
