"""Distillation: labels are the teachers' mean, structures are near the training data, and both are trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import energy_of, forces_of
from sciml_zoo.potentials.distillation import DistillationConfig, label_by_teachers, load_teachers
from sciml_zoo.potentials.model import GTOConfig
from sciml_zoo.potentials.recipe import DataConfig, GTORecipe, prepare
from tests.potentials.cases import ELEMENTS, inputs, predict, random_molecule, random_potential


@pytest.fixture(scope="module")
def teachers(tmp_path_factory) -> list[str]:
    """Two potentials with different random weights, saved."""
    paths = []
    for seed in range(2):
        model = random_potential("gto_potential", torch.float32, seed=seed)
        paths.append(f"local-dir:{sz.save_model(model, tmp_path_factory.mktemp('teachers') / str(seed))}")
    return paths


def _labelled(teacher: str, n: int) -> list[Atoms]:
    model = sz.load_model(teacher)
    structures = [random_molecule(np.random.default_rng(seed), 5) for seed in range(n)]
    for atoms in structures:
        output = predict(model, [atoms])
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(output["energy"]), forces=output["forces"].double().numpy()
        )
    return structures


def test_labels_are_the_mean_of_the_teachers_at_the_end_of_the_dynamics(teachers):
    config = DistillationConfig(tuple(teachers), structures=7, temperature=300, duration=2)
    models = load_teachers(config, ELEMENTS)
    start = _labelled(teachers[0], 4)
    made = label_by_teachers(models, start, config, np.random.default_rng(0))
    assert len(made) == 7
    outputs = [predict(model, made) for model in models]
    for index, atoms in enumerate(made):
        mean = np.mean([float(output["energy"][index]) for output in outputs])
        assert energy_of(atoms, "made") == pytest.approx(mean, rel=1e-7)
        nearest = min(np.abs(atoms.positions - s.positions).max() for s in start if (s.numbers == atoms.numbers).all())
        assert 1e-4 < nearest < 0.5
    forces = np.mean([output["forces"].double().numpy() for output in outputs], axis=0)
    np.testing.assert_allclose(np.concatenate([forces_of(a, "made") for a in made]), forces, rtol=1e-4, atol=1e-4)


def test_a_recipe_with_teachers_trains_on_their_structures_too(teachers, tmp_path: Path):
    write(tmp_path / "train.xyz", _labelled(teachers[0], 10))
    recipe = GTORecipe(
        "gto_potential",
        DataConfig(str(tmp_path / "train.xyz"), validation_fraction=0.2),
        model=GTOConfig(n_radial=4, n_channels=8, n_hidden=8, l_message=1),
        distillation=DistillationConfig(tuple(teachers), structures=6, duration=1, repeats=3),
    )
    prepared = prepare(recipe)
    assert len(prepared.train) == 3 * 8 + 6
    assert "6 structures labelled by 2 teachers" in prepared.notes["distillation"]
    batch = inputs([random_molecule(np.random.default_rng(0))], 4.0)
    assert set(prepared.train[-1].keys()) == set(prepared.train[0].keys()) > set(batch) - {"batch"}


def test_bad_teachers_are_refused(teachers):
    with pytest.raises(InputError, match="name at least one potential"):
        DistillationConfig(())
    with pytest.raises(InputError, match="does not know N"):
        load_teachers(DistillationConfig(tuple(teachers)), [7])
    with pytest.raises(InputError, match="is not an interatomic potential"):
        load_teachers(DistillationConfig(("rbm.digits",)), [1])
    hot = DistillationConfig(tuple(teachers), structures=4, temperature=1e7, duration=20)
    with pytest.raises(InputError, match="lower the temperature"):
        label_by_teachers(load_teachers(hot, ELEMENTS), _labelled(teachers[0], 2), hot, np.random.default_rng(0))
