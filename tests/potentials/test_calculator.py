"""The ASE calculator: the same numbers as the model, the laws of dynamics, its uncertainty, and its refusals."""

import copy
import warnings

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.verlet import VelocityVerlet

from sciml_zoo.errors import InputError
from sciml_zoo.potentials import ZooCalculator
from sciml_zoo.potentials.calculator import ExtrapolationWarning
from sciml_zoo.potentials.data import collate, model_inputs, to_graph
from tests.potentials.cases import predict, random_potential


def _difference(found, expected):
    """Largest difference, relative to the largest value (or one); infinite between different shapes."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return np.inf
    return np.abs(found - expected).max() / max(1.0, np.abs(expected).max())


@pytest.fixture(scope="module")
def model():
    return random_potential("gto_potential", torch.float64)


def test_it_returns_the_model_s_numbers(model):
    ethanol = molecule("CH3CH2OH")
    ethanol.calc = ZooCalculator(model)
    expected = predict(model, [ethanol])
    assert ethanol.get_potential_energy() == pytest.approx(expected["energy"].item(), abs=1e-12)
    np.testing.assert_allclose(ethanol.get_forces(), expected["forces"].numpy(), atol=1e-12)
    ethanol.positions[0, 0] += 0.1
    assert ethanol.get_potential_energy() != pytest.approx(expected["energy"].item(), abs=1e-6)


def test_forces_and_stress_agree_with_ase_s_differences_of_the_energy(model):
    cell = bulk("C", "diamond", a=3.6)
    cell.rattle(0.05, seed=0)
    cell.calc = ZooCalculator(model)
    assert _difference(cell.get_forces(), calculate_numerical_forces(cell, eps=1e-4)) <= 1e-6
    assert _difference(cell.get_stress(), calculate_numerical_stress(cell, eps=1e-5)) <= 1e-6


@pytest.mark.parametrize("periodic", [False, True])
def test_results_do_not_depend_on_the_skin(model, periodic):
    atoms = bulk("C", "diamond", a=3.6) if periodic else molecule("CH3CH2OH")
    skins = {skin: ZooCalculator(model, skin=skin) for skin in (0.0, 0.3, 2.0)}
    rng = np.random.default_rng(0)
    for _ in range(15):
        atoms.positions += 0.03 * rng.normal(size=atoms.positions.shape)
        if periodic:
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.003 * rng.normal(size=(3, 3))), scale_atoms=True)
        expected = predict(model, [atoms], stress=periodic)
        for calculator in skins.values():
            atoms.calc = calculator
            assert atoms.get_potential_energy() == pytest.approx(expected["energy"].item(), rel=1e-12)
            assert _difference(atoms.get_forces(), expected["forces"]) <= 1e-11
            if periodic:
                assert _difference(atoms.get_stress(voigt=False), expected["stress"][0]) <= 1e-11
    searches = [calculator.neighbours.searches for calculator in skins.values()]
    assert searches[0] == 15
    assert 15 > searches[1] > searches[2]


def test_pairs_of_the_skin_beyond_the_cutoff_change_nothing(model):
    crystal = bulk("C", "diamond", a=3.6)
    crystal.rattle(0.05, seed=1)
    expected = predict(model, [crystal])
    more = model_inputs(collate([to_graph(crystal, model.cutoff + 0.7)]))
    found = model(**more)
    assert more["edge_index"].shape[1] > to_graph(crystal, model.cutoff).edge_index.shape[1]
    assert _difference(found["energy"], expected["energy"]) <= 1e-13
    assert _difference(found["forces"], expected["forces"]) <= 1e-12


def test_what_has_not_changed_is_not_computed_again(model):
    atoms = molecule("CH4")
    atoms.calc = calculator = ZooCalculator(model)
    calls = []
    evaluate = calculator._evaluate
    calculator._evaluate = lambda *args, **options: calls.append(1) or evaluate(*args, **options)
    atoms.get_potential_energy()
    atoms.get_forces()
    atoms.set_initial_charges(np.ones(5))  # of which the potential knows nothing
    atoms.get_forces()
    assert len(calls) == 1
    before = atoms.get_potential_energy()
    atoms.positions[0, 0] += 1e-5
    assert atoms.get_potential_energy() != before
    atoms.numbers[1] = 8
    atoms.get_forces()
    assert len(calls) == 3


class _Norms(torch.nn.Module):
    """Uncertainty: the norm of the features, if calibrated."""

    def __init__(self, threshold, *, calibrated=True):
        super().__init__()
        self.threshold, self.calibrated = threshold, calibrated

    def forward(self, features, species, pos, edge_index, edge_shift):
        return features.norm(dim=1) + 1e3 * (species < 0)


def _with_uncertainty(model, threshold, **options):
    model = copy.deepcopy(model)
    model.uncertainty = _Norms(threshold, **options)
    return model


def test_a_calibrated_potential_says_how_certain_it_is(model):
    atoms = molecule("CH3CH2OH")
    norms = predict(model, [atoms], features=True)["features"].norm(dim=1).numpy()
    expected = predict(model, [atoms])["forces"].numpy()
    atoms.calc = ZooCalculator(_with_uncertainty(model, float(norms.max()) * 1.01))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _difference(atoms.get_forces(), expected) <= 1e-12
    np.testing.assert_allclose(atoms.calc.results["force_uncertainty"], norms, rtol=1e-12)


def test_extrapolation_is_said_once_and_names_the_least_certain_atom(model):
    atoms = molecule("CH3CH2OH")
    norms = predict(model, [atoms], features=True)["features"].norm(dim=1).numpy()
    atoms.calc = ZooCalculator(_with_uncertainty(model, float(norms.max()) * 0.99))
    worst = int(norms.argmax())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            atoms.positions += 1e-6 * np.arange(27).reshape(9, 3)
            atoms.get_forces()
    assert [warning.category for warning in told] == [ExtrapolationWarning]
    assert f"atom {worst} ({atoms.symbols[worst]})" in str(told[0].message)


@pytest.mark.parametrize(("calibrated", "wanted"), [(False, True), (True, False)], ids=["not calibrated", "not wanted"])
def test_uncertainty_that_is_not_there_or_not_wanted_is_not_computed(model, calibrated, wanted):
    atoms = molecule("CH4")
    atoms.calc = ZooCalculator(_with_uncertainty(model, 0.0, calibrated=calibrated), uncertainty=wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_forces()
    assert "force_uncertainty" not in atoms.calc.results


def test_atoms_that_meet_on_the_way_are_refused(model):
    atoms = Atoms("HOH", positions=[[0, 0, 0], [0.97, 0, 0], [1.2, 0.9, 0]])
    atoms.calc = ZooCalculator(model, skin=3.0)
    atoms.get_forces()
    atoms.positions[2] = atoms.positions[1] + [0.01, 0, 0]
    with pytest.raises(InputError, match="atoms 1 and 2 are at one place"):
        atoms.get_forces()
    assert atoms.calc.neighbours.searches == 1


def test_stress_of_a_molecule_is_refused(model):
    water = molecule("H2O")
    water.calc = ZooCalculator(model)
    with pytest.raises(PropertyNotImplementedError, match="periodic"):
        water.get_stress()


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (Atoms("HN", positions=[[0, 0, 0], [1, 0, 0]]), "atom 1: the model does not know N"),
        (Atoms("HH", positions=[[0, 0, 0], [np.nan, 0, 0]]), "atom 1: the position is not finite"),
        (Atoms("HH", positions=[[0, 0, 0], [0, 0, 0.01]]), "atoms 0 and 1 are at one place"),
        (Atoms(), "no atoms"),
    ],
)
def test_what_it_cannot_describe_is_refused(model, atoms, words):
    atoms.calc = ZooCalculator(model)
    with pytest.raises(InputError, match=words):
        atoms.get_potential_energy()


def test_a_model_of_another_kind_is_refused():
    with pytest.raises(InputError, match="not an interatomic potential"):
        ZooCalculator(torch.nn.Linear(1, 1))


def test_dynamics_conserve_energy_to_second_order_in_the_time_step(model):
    deviation = []
    for step in (0.2, 0.1):
        water = molecule("H2O")
        water.rattle(0.05, seed=1)
        water.calc = ZooCalculator(model)
        dynamics = VelocityVerlet(water, timestep=step * units.fs)
        start = water.get_total_energy()
        energies = []
        for _ in range(round(10 / step)):
            dynamics.run(1)
            energies.append(water.get_total_energy() - start)
        deviation.append(max(map(abs, energies)))
    assert deviation[1] == pytest.approx(deviation[0] / 4, rel=0.3)
