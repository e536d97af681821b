"""Distillation: labels are the teachers' mean, structures are near the training data, and both are trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import energy_of, forces_of, stress_of
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
    told: list[tuple[int, int]] = []
    made = label_by_teachers(
        models,
        start,
        config,
        np.random.default_rng(0),
        largest_force=5.0,
        on_progress=lambda done, wanted: told.append((done, wanted)),
    )
    assert len(made) == 7
    assert told[-1] == (7, 7)
    outputs = [predict(model, made) for model in models]
    for index, atoms in enumerate(made):
        mean = np.mean([float(output["energy"][index]) for output in outputs])
        assert energy_of(atoms, "made") == pytest.approx(mean, rel=1e-7)
        nearest = min(np.abs(atoms.positions - s.positions).max() for s in start if (s.numbers == atoms.numbers).all())
        assert 1e-4 < nearest < 0.5
    forces = np.mean([output["forces"].double().numpy() for output in outputs], axis=0)
    np.testing.assert_allclose(np.concatenate([forces_of(a, "made") for a in made]), forces, rtol=1e-4, atol=1e-4)


def _crystal() -> Atoms:
    """A perfect crystal, with what it might carry from where it came from, and a heavy isotope."""
    atoms = bulk("C", "diamond", a=4.5)  # where random teachers are not too stiff
    atoms.set_masses([12.011, 13.003])
    atoms.info = {"virial": np.eye(3), "stress": np.eye(3), "group": "crystal"}
    atoms.arrays["REF_forces"] = np.zeros((2, 3))
    atoms.arrays["forces"] = np.ones((2, 3))
    return atoms


def _slab() -> Atoms:
    slab = fcc111("C", (1, 1, 2), a=3.6, vacuum=5.0)
    slab.info["virial"] = np.eye(3)
    return slab


@pytest.mark.parametrize("stress", [True, False])
def test_stresses_are_the_teachers_mean_and_labels_of_the_parent_are_gone(teachers, stress):
    config = DistillationConfig(tuple(teachers), structures=12, temperature=300, duration=2)
    models = load_teachers(config, ELEMENTS)
    start = [_crystal(), _slab(), random_molecule(np.random.default_rng(0), 5)]
    rng = np.random.default_rng(0)
    made = label_by_teachers(models, start, config, rng, largest_force=50.0, stress=stress)
    crystals = [atoms for atoms in made if atoms.pbc.all()]
    assert len(made) > len(crystals) > 0
    assert any(atoms.pbc.any() and not atoms.pbc.all() for atoms in made)
    for atoms in made:
        assert atoms.info == {}
        assert set(atoms.arrays) <= {"numbers", "positions", "masses"}
        outputs = [predict(model, [atoms], stress=True) for model in models]
        np.testing.assert_allclose(
            forces_of(atoms, "made"), np.mean([o["forces"].double().numpy() for o in outputs], axis=0), atol=1e-4
        )
        if stress and atoms.pbc.all():
            assert atoms.get_masses().tolist() == [12.011, 13.003]
            mean = np.mean([output["stress"][0].double().numpy() for output in outputs], axis=0)
            np.testing.assert_allclose(stress_of(atoms, "made"), mean, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(atoms.get_stress(voigt=False), mean, rtol=1e-4, atol=1e-6)
        else:
            assert np.isnan(stress_of(atoms, "made")).all()


def test_what_explodes_is_left_out_and_spoils_no_other(teachers):
    config = DistillationConfig(tuple(teachers), structures=8, temperature=300, duration=5)
    models, start = load_teachers(config, ELEMENTS), _labelled(teachers[0], 4)
    for atoms in start:
        atoms.numbers[:] = 6
    start[0].numbers[0] = 8

    def diverge(_module, _args, inputs, output):
        output["forces"][inputs["z"] == 8] = torch.nan

    hook = models[0].register_forward_hook(diverge, with_kwargs=True)
    made = label_by_teachers(models, start, config, np.random.default_rng(0), largest_force=50.0)
    hook.remove()
    assert len(made) == 8
    assert all(set(atoms.numbers) == {6} for atoms in made)
    forces = np.mean([predict(model, made)["forces"].double().numpy() for model in models], axis=0)
    np.testing.assert_allclose(np.concatenate([forces_of(a, "made") for a in made]), forces, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("largest", "limit"), [(4.0, 12.0), (0.0, 3.0)])
def test_forces_up_to_three_times_the_largest_are_taken(teachers, largest, limit):
    config = DistillationConfig(tuple(teachers[:1]), structures=2, temperature=1e-6, duration=0.01, timestep=0.01)
    (teacher,) = load_teachers(config, ELEMENTS)
    start = [random_molecule(np.random.default_rng(0), 5)]
    force = float(predict(teacher, start)["forces"].abs().max())
    for factor, taken in ((0.99, True), (1.01, False)):
        teacher.scale.fill_(factor * limit / force)
        if taken:
            made = label_by_teachers([teacher], start, config, np.random.default_rng(0), largest_force=largest)
            assert len(made) == 2
        else:
            with pytest.raises(InputError, match="exploded"):
                label_by_teachers([teacher], start, config, np.random.default_rng(0), largest_force=largest)


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
    models, start = load_teachers(hot, ELEMENTS), _labelled(teachers[0], 2)
    with pytest.raises(InputError, match="lower the temperature"):
        label_by_teachers(models, start, hot, np.random.default_rng(0), largest_force=5.0)
