"""Files in, predictions and scores out."""

import ase.io
import ase.units
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from sciml_zoo.errors import InputError
from sciml_zoo.potentials import ZooCalculator, evaluate, predict
from sciml_zoo.potentials.inference import predict_structures
from sciml_zoo.potentials.metrics import EnergyForceErrors
from tests.potentials.cases import random_molecule, random_potential


@pytest.fixture(scope="module")
def model():
    return random_potential("gto_potential", torch.float64)


def mixed_structures(n: int = 45) -> list[Atoms]:
    """Molecules and, among them, crystals."""
    rng = np.random.default_rng(0)
    structures = [random_molecule(rng) for _ in range(n)]
    for index in (3, 4, 20):
        structures[index] = bulk("C", "diamond", a=3.5 + 0.02 * index)
    return structures


def test_each_structure_gets_what_the_calculator_gives(model):
    structures = mixed_structures()
    for atoms, prediction in zip(structures, predict_structures(model, structures), strict=True):
        atoms.calc = ZooCalculator(model)
        assert prediction["energy"] == pytest.approx(atoms.get_potential_energy(), rel=1e-12, abs=1e-9)
        np.testing.assert_allclose(prediction["forces"], atoms.get_forces(), atol=1e-9)
        assert ("stress" in prediction) == bool(atoms.pbc.all())
        if atoms.pbc.all():
            np.testing.assert_allclose(prediction["stress"], atoms.get_stress(), atol=1e-9)


class ThreeRanks:
    """Three processes, one after the other in this one."""

    def __init__(self, rank: int, others: list) -> None:
        self.rank, self.world_size, self.others = rank, 3, others

    def gather(self, value):
        self.others.append(value)
        return self.others


def test_the_number_of_ranks_does_not_change_the_output(model):
    structures = mixed_structures(80)
    alone = predict_structures(model, structures)
    parts: list = []
    for rank in range(2):
        with pytest.raises(KeyError):  # the other ranks' parts are not there yet
            predict_structures(model, structures, ranks=ThreeRanks(rank, parts))
    together = predict_structures(model, structures, ranks=ThreeRanks(2, parts))
    for one, other in zip(alone, together, strict=True):
        assert one["energy"] == other["energy"]
        assert np.array_equal(one["forces"], other["forces"])


def test_scores_are_their_definitions(model, tmp_path):
    rng = np.random.default_rng(1)
    structures = [random_molecule(rng) for _ in range(7)]
    predictions = predict_structures(model, structures)
    energy_errors = rng.normal(scale=0.05, size=7)
    force_errors = [rng.normal(scale=0.1, size=(len(atoms), 3)) for atoms in structures]
    for atoms, prediction, de, df in zip(structures, predictions, energy_errors, force_errors, strict=True):
        atoms.calc = SinglePointCalculator(atoms, energy=prediction["energy"] + de, forces=prediction["forces"] + df)
    ase.io.write(tmp_path / "file.xyz", structures, format="extxyz")
    scores = evaluate(model, tmp_path / "file.xyz")
    flat = np.concatenate([errors.ravel() for errors in force_errors])
    sizes = np.array([len(atoms) for atoms in structures])
    assert scores == {
        "n": 7,
        "energy_mae_mev": pytest.approx(1000 * np.abs(energy_errors).mean(), abs=1e-3),
        "energy_rmse_mev": pytest.approx(1000 * np.sqrt(np.square(energy_errors).mean()), abs=1e-3),
        "energy_mae_mev_per_atom": pytest.approx(1000 * np.abs(energy_errors / sizes).mean(), abs=1e-3),
        "energy_rmse_mev_per_atom": pytest.approx(1000 * np.sqrt(np.square(energy_errors / sizes).mean()), abs=1e-3),
        "force_mae_mev_per_a": pytest.approx(1000 * np.abs(flat).mean(), abs=1e-3),
        "force_rmse_mev_per_a": pytest.approx(1000 * np.sqrt(np.square(flat).mean()), abs=1e-3),
    }


def test_stress_is_scored_where_there_are_labels(model, tmp_path):
    rng = np.random.default_rng(3)
    structures = mixed_structures(22)
    error = rng.normal(scale=0.01, size=6)
    for index, (atoms, prediction) in enumerate(zip(structures, predict_structures(model, structures), strict=True)):
        if index == 4:
            prediction["stress"] += error
        elif index != 3:  # the crystals 3 and 4 have a stress, 20 has none
            prediction.pop("stress", None)
        atoms.calc = SinglePointCalculator(atoms, **prediction)
    ase.io.write(tmp_path / "file.xyz", structures, format="extxyz")
    scores = evaluate(model, tmp_path / "file.xyz")
    gpa = np.concatenate([np.zeros(6), error]) / ase.units.GPa
    assert scores["stress_mae_gpa"] == pytest.approx(np.abs(gpa).mean(), abs=1e-4)
    assert scores["stress_rmse_gpa"] == pytest.approx(np.sqrt(np.square(gpa).mean()), abs=1e-4)
    assert scores["n"] == 22


def test_energies_alone_are_scored_and_it_says_so(model, tmp_path):
    rng = np.random.default_rng(4)
    structures = [random_molecule(rng) for _ in range(5)] + [Atoms("H")]
    for atoms, prediction in zip(structures, predict_structures(model, structures), strict=True):
        atoms.calc = SinglePointCalculator(atoms, energy=prediction["energy"] + 0.25)
    ase.io.write(tmp_path / "scan.xyz", structures, format="extxyz")
    with pytest.warns(UserWarning, match=r"scan\.xyz: no 'forces'; the scores of forces are left out"):
        scores = evaluate(model, tmp_path / "scan.xyz")
    assert scores["energy_mae_mev"] == pytest.approx(250, abs=1e-3)
    assert not [name for name in scores if "force" in name or "stress" in name]
    with pytest.raises(InputError, match=r"scan\.xyz, frame 0: no 'REF_forces'"):
        evaluate(model, tmp_path / "scan.xyz", forces_key="REF_forces")


def test_forces_of_some_structures_are_scored_and_it_says_so(model, tmp_path):
    rng = np.random.default_rng(5)
    structures = [random_molecule(rng) for _ in range(3)]
    for index, (atoms, prediction) in enumerate(zip(structures, predict_structures(model, structures), strict=True)):
        labels = {} if index == 1 else {"forces": prediction["forces"] + 0.125}
        atoms.calc = SinglePointCalculator(atoms, energy=prediction["energy"], **labels)
    ase.io.write(tmp_path / "some.xyz", structures, format="extxyz")
    with pytest.warns(UserWarning, match=r"1 of 3 structures have no 'forces' \(the first is frame 1\)"):
        scores = evaluate(model, tmp_path / "some.xyz")
    assert scores["force_mae_mev_per_a"] == pytest.approx(125, abs=1e-3)


def test_relative_energies_have_no_constant(model, tmp_path):
    rng = np.random.default_rng(6)
    structures = [random_molecule(rng) for _ in range(8)]
    sizes = np.array([len(atoms) for atoms in structures])
    noise = rng.normal(scale=0.02, size=8)
    for atoms, prediction, de in zip(structures, predict_structures(model, structures), noise, strict=True):
        energy = prediction["energy"] + de - 0.5 * len(atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=prediction["forces"])
    ase.io.write(tmp_path / "file.xyz", structures, format="extxyz")
    scores = evaluate(model, tmp_path / "file.xyz", relative=True)
    left = noise / sizes - np.mean(noise / sizes)
    assert scores["energy_mae_mev_per_atom"] == pytest.approx(1000 * np.abs(left).mean(), abs=1e-3)
    assert scores["energy_mae_mev"] == pytest.approx(1000 * np.abs(left * sizes).mean(), abs=1e-3)
    assert evaluate(model, tmp_path / "file.xyz")["energy_mae_mev_per_atom"] == pytest.approx(500, abs=20)


def test_a_prediction_that_is_not_finite_is_no_missing_label():
    errors = EnergyForceErrors(torch.device("cpu"), over_ranks=False)
    prediction = {"energy": torch.tensor([1.0, torch.nan]), "forces": torch.full((4, 3), torch.nan)}
    errors.update(prediction, torch.zeros(2), torch.full((4, 3), torch.nan))
    scores = errors.compute()
    assert np.isnan(scores["energy_mae_mev"])
    assert set(scores) == {"n", "energy_mae_mev", "energy_rmse_mev"} <= set(EnergyForceErrors.NAMES)


def test_predictions_replace_old_labels_and_keep_the_rest(model, tmp_path):
    atoms = random_molecule(np.random.default_rng(2))
    atoms.info["name"] = "mine"
    atoms.arrays["tag_of_mine"] = np.arange(len(atoms))
    atoms.calc = SinglePointCalculator(atoms, energy=99.0, forces=np.ones((len(atoms), 3)))
    ase.io.write(tmp_path / "in.xyz", atoms, format="extxyz")
    assert predict(model, tmp_path / "in.xyz", tmp_path / "out.xyz") == 1
    written = ase.io.read(tmp_path / "out.xyz")
    expected = predict_structures(model, [atoms])[0]
    assert written.get_potential_energy() == pytest.approx(expected["energy"], abs=1e-6)
    np.testing.assert_allclose(written.get_forces(), expected["forces"], atol=1e-6)
    assert written.info["name"] == "mine"
    assert list(written.arrays["tag_of_mine"]) == list(range(len(atoms)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.xyz", "out.xyz"]
