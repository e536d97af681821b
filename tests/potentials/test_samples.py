"""This project's own quantum chemistry: readable, at rest as a whole, and what the shipped weights say of it."""

import numpy as np
import pytest

from sciml_zoo.datasets import dataset_file, dataset_path
from sciml_zoo.potentials import evaluate, read_structures
from sciml_zoo.potentials.data import forces_of
from sciml_zoo.zoo.resolve import load_model

MOLECULES = sorted(path.name for path in dataset_path("samples").glob("*.xyz") if path.name != "isolated_atoms.xyz")


@pytest.mark.parametrize("name", MOLECULES)
def test_forces_of_a_sample_add_up_to_nothing(name):
    structures = read_structures(dataset_file("samples", name), energy=True, forces=True)
    assert len(structures) >= 20
    for atoms in structures:
        forces = forces_of(atoms, name)
        assert np.abs(forces.sum(axis=0)).max() < 1e-5
        assert 0.01 < np.abs(forces).mean() < 5


@pytest.mark.parametrize("name", ["ethanol.xyz", "ethanol_nms.xyz"])
def test_shipped_ethanol_weights_agree_with_another_code(name):
    model = load_model("gto_potential.rmd17_ethanol")
    scores = evaluate(model, dataset_file("samples", name))
    # The published test error plus the 5 meV/Å that the issue of this model allows; energies differ by a constant.
    assert scores["force_mae_mev_per_a"] < 12.0
    assert scores["energy_rmse_mev"] < 20.0


@pytest.mark.data
def test_shipped_ethanol_weights_keep_their_promise():
    scores = evaluate(load_model("gto_potential.rmd17_ethanol"), dataset_file("rmd17_ethanol", "test.xyz"))
    assert scores["n"] == 500
    assert scores["force_mae_mev_per_a"] <= 7.0
    assert scores["energy_mae_mev"] <= 1.5
