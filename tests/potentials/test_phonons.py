"""Vibrations and phonons: systems of springs that are solved exactly, sum rules, and instabilities."""

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from sciml_zoo.errors import InputError
from sciml_zoo.potentials import ZooCalculator, crystal_phonons, molecular_vibrations, relax
from sciml_zoo.potentials.phonons import default_supercell
from sciml_zoo.potentials.rigid_motions import rigid_motions
from sciml_zoo.potentials.vibrations import hessian
from tests.potentials.cases import predict, random_potential
from tests.potentials.springs import BondSprings, CubicSprings, triangle

# √(eV/Å²/u) as an angular frequency, rad/s.
_OMEGA = np.sqrt(units._e * 1e20 / units._amu)
_CM = 1 / (2 * np.pi * units._c * 100)
_THZ = 1e-12 / (2 * np.pi)


def test_a_diatomic_molecule_vibrates_with_its_reduced_mass():
    atoms = Atoms("HCl", positions=[[0, 0, 0], [0.3, 0.4, 1.2]])
    atoms.calc = BondSprings([(0, 1)], 30.0, 1.3)
    found = molecular_vibrations(atoms)
    first, second = atoms.get_masses()
    expected = np.sqrt(30.0 * (first + second) / (first * second)) * _OMEGA * _CM
    assert found.frequencies == pytest.approx([expected], rel=1e-8)
    assert np.abs(found.rigid_frequencies).max() < 0.3  # of five: it is linear
    assert found.rigid_frequencies.shape == (5,)
    assert found.zero_point_energy == pytest.approx(0.5 * expected * units.invcm)
    assert found.modes.shape == (1, 2, 3)
    ratio = np.linalg.norm(found.modes[0], axis=1)
    assert ratio[0] / ratio[1] == pytest.approx(second / first)


def test_a_triangle_of_springs_has_the_frequencies_of_the_textbook():
    k = 12.0
    atoms = triangle(k=k)
    found = molecular_vibrations(atoms)
    expected = np.sqrt(np.array([1.5, 1.5, 3.0]) * k / atoms.get_masses()[0]) * _OMEGA * _CM
    np.testing.assert_allclose(found.frequencies, expected, rtol=1e-8)
    assert np.abs(found.rigid_frequencies).max() < 0.3
    breathing = found.modes[2] / np.linalg.norm(found.modes[2], axis=1, keepdims=True)
    outwards = atoms.positions / np.linalg.norm(atoms.positions, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs((breathing * outwards).sum(axis=1)), 1.0, atol=1e-8)


def test_a_compressed_chain_is_unstable_and_its_modes_are_negative():
    atoms = Atoms("C3", positions=[[0, 0, 0], [0, 0, 1.2], [0, 0, 2.4]])
    atoms.calc = BondSprings([(0, 1), (1, 2)], 10.0, 1.3)
    found = molecular_vibrations(atoms)
    assert (found.frequencies[:2] < -100).all()
    assert (found.frequencies[2:] > 100).all()


def test_a_learned_potential_leaves_six_motions_free():
    ethanol = molecule("CH3CH2OH")
    ethanol.calc = ZooCalculator("gto_potential.rmd17_ethanol")
    ethanol.calc.model.double()
    relax(ethanol, fmax=1e-6)
    found = molecular_vibrations(ethanol)
    assert found.rigid_frequencies.shape == (6,)
    assert np.abs(found.rigid_frequencies).max() < 0.3
    assert found.frequencies.min() > 150
    assert 3600 < found.frequencies.max() < 3850  # O–H
    assert ((found.frequencies > 2800) & (found.frequencies < 3150)).sum() == 5  # C–H


def test_the_hessian_is_that_of_the_energy():
    model = random_potential("gto_potential", torch.float64)
    atoms = molecule("H2O")
    atoms.calc = ZooCalculator(model)
    model.scale.div_(predict(model, [atoms])["forces"].abs().max())
    found = hessian(atoms)
    rng = np.random.default_rng(0)
    for _ in range(3):
        direction = rng.normal(size=9)
        values = []
        for step in (-1, 0, 1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions += 2e-3 * step * direction.reshape(3, 3)
            values.append(moved.get_potential_energy())
        second = (values[0] - 2 * values[1] + values[2]) / 2e-3**2
        assert direction @ found @ direction == pytest.approx(second, rel=1e-3, abs=1e-2)


@pytest.mark.parametrize(("name", "expected"), [("H2O", 6), ("CO2", 5), ("H", 3)])
def test_rigid_motions_are_orthonormal_and_stretch_nothing(name, expected):
    atoms = Atoms("H") if name == "H" else molecule(name)
    atoms.rotate(40, (1, 2, 3))
    basis = rigid_motions(atoms)
    assert basis.shape == (3 * len(atoms), expected)
    np.testing.assert_allclose(basis.T @ basis, np.eye(expected), atol=1e-12)
    weights = np.sqrt(atoms.get_masses())[:, None]
    for motion in basis.T:
        moved = atoms.positions + 1e-6 * motion.reshape(-1, 3) / weights
        stretched = np.linalg.norm(moved[:, None] - moved, axis=2) - atoms.get_all_distances()
        assert np.abs(stretched).max() < 1e-11
    atoms.set_cell([9, 9, 9])
    atoms.pbc = (True, False, False)
    assert rigid_motions(atoms).shape[1] == 3


def test_a_cubic_crystal_of_springs_has_its_dispersion():
    k, a = 3.0, 2.8
    atoms = bulk("Cu", "sc", a=a)
    atoms.calc = CubicSprings(k, a)
    progress = []
    found = crystal_phonons(atoms, supercell=(4, 4, 4), on_progress=lambda *counts: progress.append(counts))
    squared = 4 * k / atoms.get_masses()[0] * (np.sin(np.pi * found.wave_vectors) ** 2).sum(axis=1)
    expected = np.sqrt(squared) * _OMEGA * _THZ
    np.testing.assert_allclose(found.frequencies, expected[:, None].repeat(3, axis=1), atol=1e-5)
    assert found.path == "GXMGRX,MR"
    assert "R" in found.labels
    assert np.trapezoid(found.dos, found.dos_frequencies) == pytest.approx(3, rel=0.01)
    assert found.dos_frequencies[found.dos > 1e-6].max() == pytest.approx(expected.max(), rel=0.02)
    assert np.abs(found.gamma).max() < 1e-5
    assert found.lowest == pytest.approx(0, abs=1e-5)
    assert progress == [(1, 2), (2, 2)]  # symmetry leaves one displacement, and its opposite
    assert found.n_displacements == 2


def test_a_crystal_that_wants_to_distort_has_imaginary_phonons():
    atoms = bulk("Cu", "sc", a=2.8)
    atoms.calc = CubicSprings(-1.0, 2.8)
    found = crystal_phonons(atoms, supercell=(4, 4, 4))
    expected = -np.sqrt(12 / atoms.get_masses()[0]) * _OMEGA * _THZ
    assert found.lowest == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(np.abs(found.lowest_at), 0.5)


def test_the_conventional_cell_of_a_crystal_gives_the_phonons_of_the_primitive_one():
    found = []
    for cubic, supercell in ((True, (2, 2, 2)), (False, (4, 4, 4))):
        atoms = bulk("Cu", a=3.59, cubic=cubic)
        atoms.calc = EMT()
        found.append(crystal_phonons(atoms, supercell=supercell))
    assert [len(one.primitive) for one in found] == [1, 1]
    assert found[0].path == found[1].path
    assert found[0].frequencies.max() == pytest.approx(found[1].frequencies.max(), rel=0.03)  # other supercells
    assert found[0].lowest > -0.01
    assert 7 < found[0].frequencies.max() < 9  # THz


def test_a_learned_potential_leaves_three_motions_of_a_crystal_free():
    model = random_potential("gto_potential", torch.float64)
    atoms = bulk("C", "diamond", a=3.6)
    atoms.calc = ZooCalculator(model)
    rattled = atoms.copy()
    rattled.rattle(0.05, seed=0)
    model.scale.div_(predict(model, [rattled])["forces"].abs().max())
    found = crystal_phonons(atoms, supercell=(2, 2, 2))
    assert np.sort(np.abs(found.gamma))[:3].max() < 1e-4
    assert found.acoustic_violation < 0.02  # without imposing the sum rule
    assert np.sort(np.abs(found.gamma))[3] > 0.1


def test_a_supercell_is_at_least_twelve_angstroms_long():
    assert default_supercell(bulk("Si", a=5.43)) == (4, 4, 4)
    assert default_supercell(Atoms("Cu", cell=[3.0, 6.0, 13.0], pbc=True)) == (4, 2, 1)


@pytest.mark.parametrize(
    ("compute", "atoms", "words"),
    [
        (molecular_vibrations, bulk("Cu"), "the structure is periodic"),
        (molecular_vibrations, Atoms("Cu"), "a single atom does not vibrate"),
        (crystal_phonons, fcc111("Al", (1, 1, 2), vacuum=5), "not periodic in all three directions"),
    ],
)
def test_what_has_no_such_modes_is_refused(compute, atoms, words):
    with pytest.raises(InputError, match=words):
        compute(atoms)


@pytest.mark.parametrize(("compute", "atoms"), [(molecular_vibrations, molecule("H2O")), (crystal_phonons, bulk("Cu"))])
def test_fixed_atoms_are_refused(compute, atoms):
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(InputError, match="fixed; remove the constraints"):
        compute(atoms)


def test_without_phonopy_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "phonopy", None)
    with pytest.raises(InputError, match=r"pip install 'sciml-zoo\[phonons\]'"):
        crystal_phonons(bulk("Cu"))
