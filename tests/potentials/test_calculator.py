"""The ASE calculator: the same numbers as the model, the laws of dynamics, and its refusals."""

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.verlet import VelocityVerlet

from sciml_zoo.errors import InputError
from sciml_zoo.potentials import ZooCalculator
from tests.potentials.cases import predict, random_potential


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


def test_stress_agrees_with_ase_s_numerical_stress(model):
    from ase.calculators.fd import calculate_numerical_stress

    cell = bulk("C", "diamond", a=3.6)
    cell.rattle(0.05, seed=0)
    cell.calc = ZooCalculator(model)
    np.testing.assert_allclose(cell.get_stress(), calculate_numerical_stress(cell, eps=1e-5), atol=1e-6)


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
