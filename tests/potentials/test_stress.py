"""Stress as the strain derivative of the energy, and the laws that it must obey."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_stress
from scipy.spatial.transform import Rotation

from sciml_zoo.errors import InputError
from sciml_zoo.potentials import ZooCalculator
from sciml_zoo.potentials.bond_scan import without_shifts
from sciml_zoo.potentials.potential import volumes
from sciml_zoo.potentials.repulsion import ZBLRepulsion
from tests.potentials.cases import ARCHITECTURES, ELEMENTS, predict, random_molecule, random_potential

CUTOFF = 4.0
# All three heights differ, and are shorter than the cutoff; the cell is left-handed in the last.
TRICLINIC = np.array([[4.1, 0.3, -0.2], [1.2, 3.6, 0.4], [-0.7, 0.9, 3.3]])


def triclinic(n_atoms: int, handedness: int = 1) -> Atoms:
    """Atoms in a cell without symmetry, smaller than the cutoff: each has neighbours that are images of itself."""
    rng = np.random.default_rng(n_atoms)
    cell = TRICLINIC * np.array([[1.0], [1.0], [handedness]])
    grid = np.array(np.meshgrid([0.0, 0.5], [0.0, 0.5], [0.0, 0.5])).reshape(3, -1).T[:n_atoms]
    atoms = Atoms(rng.choice(ELEMENTS, n_atoms), scaled_positions=grid, cell=cell, pbc=True)
    atoms.rattle(0.1, seed=1)
    return atoms


CELLS = {
    "one atom": triclinic(1),
    "two atoms": triclinic(2),
    "five atoms": triclinic(5),
    "left-handed": triclinic(4, -1),
    "primitive diamond": bulk("C", "diamond", a=3.4),
}


def strain_derivative(model, atoms: Atoms) -> np.ndarray:
    """(1/V) ∂E/∂η of fourth order, Voigt, eV/Å³."""
    structure = atoms.copy()
    structure.calc = ZooCalculator(model)
    coarse, fine = (calculate_numerical_stress(structure, eps=step) for step in (2e-4, 1e-4))
    return (4 * fine - coarse) / 3


def voigt(matrix: torch.Tensor) -> np.ndarray:
    return matrix.numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", CELLS)
def test_stress_is_the_strain_derivative_to_one_in_a_million(architecture, name):
    model = without_shifts(random_potential(architecture, torch.float32, CUTOFF))
    stress = voigt(predict(model, [CELLS[name]], stress=True)["stress"][0])
    expected = strain_derivative(model, CELLS[name])
    assert abs(stress - expected).max() <= 1e-6 * abs(stress).max()
    assert abs(stress).max() > 1e-4


def test_stress_of_a_potential_with_nuclear_repulsion_is_the_strain_derivative():
    model = without_shifts(random_potential("gto_potential", torch.float32, CUTOFF))
    cell = bulk("C", "diamond", a=2.4)  # bonds of 1.04 Å, where the repulsion is being switched off
    cell.rattle(0.02, seed=0)
    without = voigt(predict(model, [cell], stress=True)["stress"][0])
    model.zbl = ZBLRepulsion(model.elements, CUTOFF)
    stress = voigt(predict(model, [cell], stress=True)["stress"][0])
    assert abs(stress - strain_derivative(model, cell)).max() <= 1e-6 * abs(stress).max()
    assert (stress - without)[:3].max() < -1e-3  # nuclei push the cell apart


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_stress_is_symmetric_turns_with_the_cell_and_ignores_where_it_is_cut(architecture):
    model = random_potential(architecture, torch.float64, CUTOFF)
    cell = CELLS["five atoms"]
    rotation = Rotation.random(rng=np.random.default_rng(0)).as_matrix()
    turned = Atoms(cell.numbers, cell.positions @ rotation.T, cell=cell.cell.array @ rotation.T, pbc=True)
    shifted = cell.copy()
    shifted.translate([1.3, -0.4, 2.2])
    shifted.wrap()
    other_vectors = cell.copy()
    other_vectors.set_cell(np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ cell.cell.array)
    stress = [
        predict(model, [atoms], stress=True)["stress"][0].numpy()
        for atoms in (cell, turned, shifted, other_vectors, cell * (1, 2, 1))
    ]
    scale = abs(stress[0]).max()
    np.testing.assert_allclose(stress[0], stress[0].T, atol=1e-15 * scale)
    np.testing.assert_allclose(stress[1], rotation @ stress[0] @ rotation.T, atol=1e-9 * scale)
    for same in stress[2:]:
        np.testing.assert_allclose(same, stress[0], atol=1e-9 * scale)


def test_trace_is_the_derivative_by_volume():
    model = without_shifts(random_potential("gto_potential", torch.float32, CUTOFF))
    cell = CELLS["two atoms"]
    step, volume, energies = 1e-4, cell.get_volume(), []
    for sign in (1, -1):
        scaled = cell.copy()
        scaled.set_cell(cell.cell.array * (1 + sign * step) ** (1 / 3), scale_atoms=True)
        energies.append(float(predict(model, [scaled])["energy"][0]))
    trace = float(predict(model, [cell], stress=True)["stress"][0].trace())
    assert trace / 3 == pytest.approx((energies[0] - energies[1]) / (2 * step * volume), rel=1e-6)


def test_two_structures_keep_their_own_stress():
    model = random_potential("gto_potential", torch.float64, CUTOFF)
    pair = [CELLS["one atom"], CELLS["five atoms"]]
    together = predict(model, pair, stress=True)["stress"]
    alone = torch.cat([predict(model, [atoms], stress=True)["stress"] for atoms in pair])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("training", [False, True])
def test_a_structure_without_a_cell_has_no_stress_and_leaves_others_theirs(training):
    model = random_potential("gto_potential", torch.float64, CUTOFF).train(training)
    crystal, molecule = CELLS["two atoms"], random_molecule(np.random.default_rng(0))
    stress = predict(model, [molecule, crystal], stress=True)["stress"]
    assert stress[0].isnan().all()
    alone = predict(model, [crystal], stress=True)["stress"][0]
    torch.testing.assert_close(stress[1], alone, rtol=1e-10, atol=1e-13)
    if training:
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        found = torch.autograd.grad(stress[1].square().sum(), parameters, allow_unused=True)
        expected = torch.autograd.grad(alone.square().sum(), parameters, allow_unused=True)
        for one, other in zip(found, expected, strict=True):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_volumes_are_those_of_ase(name):
    cell = CELLS[name].cell
    both = torch.from_numpy(np.stack([cell.array, np.zeros((3, 3))]))
    assert volumes(both).tolist() == pytest.approx([cell.volume, 0.0], rel=1e-12)


def test_a_cell_without_volume_is_refused():
    flat = CELLS["two atoms"].copy()
    flat.set_cell([[3, 0, 0], [0, 3, 0], [3, 3, 0]])
    flat.calc = ZooCalculator(random_potential("gto_potential", torch.float64, CUTOFF))
    with pytest.raises(InputError, match="no volume"):
        flat.get_stress()
