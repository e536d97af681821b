"""Padding adds nothing, and shapes stay fixed while edges come and go."""

import pytest
import torch
from ase.build import molecule

from sciml_zoo.potentials.data import collate, model_inputs, to_graph
from sciml_zoo.potentials.padded import PaddedEvaluation, pad_edges
from tests.potentials.cases import random_potential

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def inputs_of(atoms, model, device="cpu"):
    return {name: value.to(device) for name, value in model_inputs(collate([to_graph(atoms, model.cutoff)])).items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_changes_neither_energy_nor_forces_nor_features(dtype):
    model = random_potential("gto_potential", dtype).eval()
    inputs = inputs_of(molecule("CH3CH2OH"), model)
    padded = pad_edges(inputs, inputs["edge_index"].shape[1] + 37, model.cutoff)
    expected, found = (model(**each, features=True) for each in (inputs, padded))
    assert set(found) == {"energy", "forces", "features"}
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_a_trajectory_needs_one_shape(device):
    model = random_potential("gto_potential", torch.float64).to(device).eval()
    evaluate = PaddedEvaluation(model)
    atoms = molecule("CH3CH2OH")
    for step in range(6):
        atoms.rattle(0.05, seed=step)
        inputs = inputs_of(atoms, model, device)
        expected, found = model(**inputs), evaluate(**inputs)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-9)
    assert evaluate.captures == 1


def test_another_structure_or_more_edges_take_a_new_shape():
    model = random_potential("gto_potential", torch.float64).eval()
    evaluate = PaddedEvaluation(model)
    for captures, name in enumerate(["H2O", "CH3CH2OH", "H2O"], start=1):
        inputs = inputs_of(molecule(name), model)
        torch.testing.assert_close(evaluate(**inputs)["forces"], model(**inputs)["forces"])
        assert evaluate.captures == captures
