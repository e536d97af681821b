"""Relaxation: to known minima, of atoms and of cells, and what it says when it cannot."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from scipy.optimize import minimize_scalar

from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.potentials import ZooCalculator, relax
from tests.potentials.springs import SiteSprings, triangle


@pytest.mark.parametrize("optimizer", ["auto", "bfgs", "lbfgs", "fire"])
def test_a_triangle_of_springs_relaxes_to_the_length_of_its_springs(optimizer):
    atoms = triangle(r0=1.2)
    atoms.positions[1] += [0.2, -0.1, 0.1]
    steps = []
    found = relax(atoms, fmax=1e-6, optimizer=optimizer, on_step=lambda *step: steps.append(step))
    assert found.converged
    lengths = atoms.get_all_distances()[np.triu_indices(3, 1)]
    np.testing.assert_allclose(lengths, 1.2, atol=1e-6)
    assert found.after.energy_ev == pytest.approx(0, abs=1e-12)
    assert found.after.largest_force_ev_per_a <= 1e-6 < found.before.largest_force_ev_per_a
    assert [step for step, _ in steps] == list(range(found.steps + 1))
    assert steps[-1][1] == pytest.approx(found.after.largest_force_ev_per_a)


def test_a_potential_relaxes_to_its_own_minimum():
    ethanol = molecule("CH3CH2OH")
    ethanol.calc = ZooCalculator("gto_potential.rmd17_ethanol")
    ethanol.calc.model.double()
    found = relax(ethanol, fmax=1e-5)
    assert np.linalg.norm(ethanol.get_forces(), axis=1).max() <= 1e-5
    assert found.after.energy_ev < found.before.energy_ev
    assert ethanol.get_distance(1, 2) == pytest.approx(1.43, abs=0.02)  # C–O, PBE


def test_a_cell_relaxes_to_the_lattice_constant_of_lowest_energy():
    def energy(a):
        crystal = bulk("Cu", a=a)
        crystal.calc = EMT()
        return crystal.get_potential_energy()

    best = minimize_scalar(energy, bounds=(3.4, 3.8), method="bounded", options={"xatol": 1e-7}).x
    crystal = bulk("Cu", a=3.7, cubic=True)
    crystal.set_cell(crystal.cell.array @ np.array([[1, 0.02, 0], [0, 1.01, 0], [0, 0, 0.99]]), scale_atoms=True)
    crystal.calc = EMT()
    found = relax(crystal, fmax=1e-5, cell=True)
    assert found.converged
    assert found.after.largest_stress_gpa < 1e-3
    assert crystal.get_volume() == pytest.approx(best**3, rel=1e-5)
    assert found.largest_displacement_a < 1e-3  # of the atoms against the cell


def test_a_cell_relaxes_to_the_pressure_that_is_asked_for():
    crystal = bulk("Cu", cubic=True)
    crystal.calc = EMT()
    found = relax(crystal, fmax=1e-4, cell=True, pressure=5.0)
    assert found.after.pressure_gpa == pytest.approx(5.0, abs=0.02)
    assert -crystal.get_stress()[:3].mean() / units.GPa == pytest.approx(found.after.pressure_gpa)
    assert found.after.volume_a3 < found.before.volume_a3


def test_fixed_atoms_stay_and_their_forces_do_not_count():
    atoms = bulk("Cu", "sc", a=3.0) * (2, 1, 1)
    atoms.calc = SiteSprings(atoms.positions, 2.0)
    atoms.positions += 0.1
    atoms.set_constraint(FixAtoms([0]))
    start = atoms.positions[0].copy()
    assert relax(atoms, fmax=1e-4).converged
    assert np.array_equal(atoms.positions[0], start)
    np.testing.assert_allclose(atoms.positions[1], [3.0, 0.0, 0.0], atol=1e-4)


def test_what_has_not_converged_is_said():
    atoms = triangle()
    atoms.positions[1] += 0.3
    found = relax(atoms, fmax=1e-8, max_steps=2, optimizer="fire")
    assert not found.converged
    assert found.steps == 2


def test_a_relaxation_that_leaves_the_potential_ends():
    atoms = triangle()
    atoms.positions[1] += 0.3
    calculate = atoms.calc.calculate

    def refuse(*args, **options):
        if calls.append(1) or len(calls) > 3:
            raise InputError("atoms 0 and 1 are at one place")
        calculate(*args, **options)

    calls: list[int] = []
    atoms.calc.calculate = refuse
    with pytest.raises(FailureError, match=r"step \d+: .* cannot|step \d+: the relaxation left .* at one place"):
        relax(atoms, fmax=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cell": True}, "no cell to relax"),
        ({"fmax": 0.0}, "fmax must be positive"),
        ({"optimizer": "newton"}, "optimizer must be auto, bfgs, lbfgs, fire, got 'newton'"),
    ],
)
def test_what_cannot_be_relaxed_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        relax(triangle(), **options)


def test_a_single_atom_is_at_its_minimum():
    atoms = Atoms("Cu", positions=[[1.0, 2.0, 3.0]])
    atoms.calc = EMT()
    assert relax(atoms).steps == 0
