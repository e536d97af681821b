"""Laws that every registered potential must obey, with random weights."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from scipy.spatial.transform import Rotation

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from tests.potentials.cases import ARCHITECTURES, ELEMENTS, inputs, predict, random_molecule, random_potential

pytestmark = pytest.mark.parametrize("architecture", ARCHITECTURES)


def test_forces_are_minus_the_central_difference_of_the_energy(architecture):
    model = random_potential(architecture, torch.float64)
    rng = np.random.default_rng(0)
    step = 1e-4
    for _ in range(100):
        atoms = random_molecule(rng)
        forces = predict(model, [atoms])["forces"].numpy()
        direction = rng.normal(size=forces.shape)
        moved = []
        for shift in (-2, -1, 1, 2):  # fourth order: errors of rounding and truncation are both below 1e-8
            copy = atoms.copy()
            copy.positions += shift * step * direction
            moved.append(copy)
        shifts = model.shifts.clone()
        model.shifts.zero_()  # numbers of order one, for exact differences
        energy = predict(model, moved)["energy"].numpy()
        model.shifts.copy_(shifts)
        slope = (energy[0] - 8 * energy[1] + 8 * energy[2] - energy[3]) / (12 * step)
        scale = np.linalg.norm(forces) * np.linalg.norm(direction)
        assert abs(slope + np.sum(forces * direction)) <= 1e-7 * scale + 1e-12


def test_energy_is_invariant_and_forces_equivariant(architecture):
    model = random_potential(architecture, torch.float64)
    rng = np.random.default_rng(1)
    originals, moved, maps = [], [], []
    for case in range(300):
        atoms = random_molecule(rng)
        matrix = Rotation.random(rng=rng).as_matrix() * (-1 if case % 2 else 1)  # half of them are reflections
        order = rng.permutation(len(atoms))
        copy = Atoms(atoms.numbers[order], (atoms.positions @ matrix.T + 10 * rng.normal(size=3))[order])
        originals.append(atoms)
        moved.append(copy)
        maps.append((matrix, order))
    model.shifts.zero_()  # numbers of order one: nothing hides behind a large constant
    before, after = predict(model, originals), predict(model, moved)
    assert (before["energy"] - after["energy"]).abs().max() <= 1e-10 * before["energy"].abs().max()
    sizes = [len(atoms) for atoms in originals]
    for old, new, (matrix, order) in zip(
        before["forces"].split(sizes), after["forces"].split(sizes), maps, strict=True
    ):
        expected = (old.numpy() @ matrix.T)[order]
        assert np.abs(new.numpy() - expected).max() <= 1e-9 * max(1.0, np.abs(expected).max())


def test_isolated_structures_feel_no_net_force_and_no_torque(architecture):
    model = random_potential(architecture, torch.float64)
    rng = np.random.default_rng(2)
    for _ in range(20):
        atoms = random_molecule(rng)
        forces = predict(model, [atoms])["forces"].numpy()
        assert np.abs(forces.sum(axis=0)).max() < 1e-10
        assert np.abs(np.cross(atoms.positions, forces).sum(axis=0)).max() < 1e-9


def test_structures_of_a_batch_do_not_see_each_other(architecture):
    model = random_potential(architecture, torch.float32)
    rng = np.random.default_rng(3)
    structures = [random_molecule(rng) for _ in range(20)]
    model.shifts.zero_()
    together = predict(model, structures)
    forces = together["forces"].split([len(atoms) for atoms in structures])
    for index, atoms in enumerate(structures):
        alone = predict(model, [atoms])
        assert abs(alone["energy"][0] - together["energy"][index]) <= 1e-6 * max(1.0, abs(alone["energy"][0]))
        largest = alone["forces"].abs().max()
        assert (alone["forces"] - forces[index]).abs().max() <= 1e-6 * max(1.0, largest)


def test_float32_agrees_with_float64(architecture):
    single, double = random_potential(architecture, torch.float32), random_potential(architecture, torch.float64)
    structures = [random_molecule(np.random.default_rng(seed)) for seed in range(10)]
    a, b = predict(single, structures), predict(double, structures)
    torch.testing.assert_close(a["energy"], b["energy"], rtol=1e-8, atol=1e-4)
    torch.testing.assert_close(a["forces"].double(), b["forces"], rtol=1e-4, atol=1e-4)
    assert a["energy"].dtype == torch.float64


def _line_derivatives(model, distance: float, order: int) -> list[float]:
    """Derivatives of the energy with respect to the distance of the last atom of a bent chain from the first."""
    x = torch.tensor(distance, dtype=torch.float64, requires_grad=True)
    fixed = torch.tensor([[0.0, 0.0, 0.0], [1.1, 0.4, 0.0], [-0.3, 1.0, 0.5]], dtype=torch.float64)
    moving = torch.stack([x, torch.zeros_like(x), torch.zeros_like(x)])[None]
    pos = torch.cat([fixed, moving])
    centre, neighbour = map(torch.as_tensor, np.nonzero(~np.eye(4, dtype=bool)))
    species = torch.tensor([0, 1, 2, 0])
    value = model.atomic_energies(species, pos[neighbour] - pos[centre], torch.stack([neighbour, centre]))[0].sum()
    values = [value]
    for _ in range(order):
        values.append(torch.autograd.grad(values[-1], x, create_graph=True)[0])
    return [value.item() for value in values]


def test_energy_is_smooth_when_an_atom_crosses_the_cutoff(architecture):
    model = random_potential(architecture, torch.float64)
    for crossing in (model.cutoff, model.cutoff + 1.1):  # of the first atom; of its neighbour, more or less
        points = [_line_derivatives(model, crossing + offset, 4) for offset in np.linspace(-1e-3, 1e-3, 9)]
        steps = np.abs(np.diff(np.array(points), axis=0)).max(axis=0)
        slopes = np.abs(np.array(points)).max(axis=0)
        # From one point to the next, 2.5e-4 Å apart, no derivative jumps.
        assert (steps[:4] <= 1e-3 * np.maximum(slopes[1:], 1.0)).all()
        assert steps[4] <= 0.02 * max(slopes[4], 1.0)


def test_an_atom_beyond_the_cutoff_adds_only_its_own_energy(architecture):
    model = random_potential(architecture, torch.float64)
    atoms = random_molecule(np.random.default_rng(4))
    far = atoms + Atoms("O", positions=[[50.0, 0.0, 0.0]])
    alone = Atoms("O")
    energy = predict(model, [atoms, far, alone])["energy"]
    assert float(energy[1] - energy[0] - energy[2]) == pytest.approx(0.0, abs=1e-9)
    assert torch.equal(predict(model, [far])["forces"][-1], torch.zeros(3, dtype=torch.float64))


def test_a_supercell_has_the_energy_of_its_cells(architecture):
    model = random_potential(architecture, torch.float64)
    cell = bulk("C", "diamond", a=3.57, cubic=True)
    cell.rattle(0.05, seed=0)
    output = predict(model, [cell, cell * (2, 1, 2)], stress=True)
    assert float(output["energy"][1]) == pytest.approx(4 * float(output["energy"][0]), rel=1e-12)
    torch.testing.assert_close(output["forces"][: len(cell)], output["forces"][len(cell) : 2 * len(cell)])
    torch.testing.assert_close(output["stress"][0], output["stress"][1], rtol=1e-9, atol=1e-12)


def test_stress_is_the_strain_derivative_of_the_energy(architecture):
    model = random_potential(architecture, torch.float64)
    cell = bulk("C", "diamond", a=3.57)
    cell.rattle(0.05, seed=1)
    stress = predict(model, [cell], stress=True)["stress"][0].numpy()
    step = 1e-5
    for i, j in ((0, 0), (1, 1), (0, 1), (1, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = cell.copy()
            strained.set_cell(cell.cell.array @ strain, scale_atoms=True)
            energies.append(float(predict(model, [strained])["energy"][0]))
        derivative = (energies[0] - energies[1]) / (2 * step) / cell.get_volume()
        # Half a step on strain_ij and half on strain_ji: a whole one on the diagonal.
        assert stress[i, j] == pytest.approx(derivative, rel=2e-5, abs=1e-5)


def test_angles_matter_to_the_gto_network_and_not_to_the_baseline(architecture):
    model = random_potential(architecture, torch.float64, cutoff=1.5)
    structures = []
    for angle in (2.0, 2.6, 3.1):  # the outer atoms are further apart than the cutoff
        arm = 1.2 * np.array([np.cos(angle), np.sin(angle), 0.0])
        structures.append(Atoms("OHH", positions=[[0, 0, 0], [1.2, 0, 0], arm]))
    spread = float(np.ptp(predict(model, structures)["energy"].numpy()))
    if architecture == "radial_potential":
        assert spread < 1e-9
    else:
        assert spread > 1e-4


def test_recursion_sees_beyond_the_cutoff(architecture):
    model = random_potential(architecture, torch.float64, cutoff=1.5)
    chain = Atoms("CCO", positions=[[0, 0, 0], [1.2, 0, 0], [2.4, 0, 0]])
    other = Atoms("CCH", positions=chain.positions)
    force = [predict(model, [atoms])["forces"][0] for atoms in (chain, other)]
    sees = bool((force[0] - force[1]).abs().max() > 1e-6)
    # The first atom's energy cannot know the third directly, but its neighbour's message can carry it.
    pair_only = architecture == "radial_potential"
    energies = [_first_atom_energy(model, atoms) for atoms in (chain, other)]
    assert (abs(energies[0] - energies[1]) > 1e-9) is (not pair_only)
    assert sees  # through the energy of the middle atom, which knows both


def _first_atom_energy(model, atoms: Atoms) -> float:
    batch = inputs([atoms], model.cutoff)
    vectors = batch["pos"][batch["edge_index"][0]] - batch["pos"][batch["edge_index"][1]]
    return model.atomic_energies(model.species_of[batch["z"]], vectors, batch["edge_index"])[0][0].item()


def test_a_model_made_for_a_perfect_crystal_stands_a_distorted_one(architecture):
    torch.manual_seed(0)
    model = sz.create_model(architecture, elements=[6], cutoff=4.0, n_radial=6, n_channels=8, n_hidden=16).eval()
    crystal = bulk("C", "fcc", a=3.0, cubic=True)
    model.calibrate(**inputs([crystal], model.cutoff))  # densities of l = 1, 2, 3 vanish by symmetry
    distorted = crystal.copy()
    distorted.rattle(0.3, seed=0)
    output = predict(model, [crystal, distorted])
    assert output["energy"].abs().max() < 1e3
    assert output["forces"].abs().max() < 1e4


def test_a_model_made_for_atoms_without_neighbours_stands_a_molecule(architecture):
    torch.manual_seed(0)
    model = sz.create_model(architecture, elements=[6], cutoff=4.0, n_radial=6, n_channels=8, n_hidden=16).eval()
    apart = Atoms("C2", positions=[[0, 0, 0], [9, 0, 0]])
    model.calibrate(**inputs([apart], model.cutoff))
    assert all(module.rms.tolist() == [1.0] * len(module.rms) for module in model.modules() if hasattr(module, "rms"))
    output = predict(model, [apart, Atoms("C3", positions=[[0, 0, 0], [1.3, 0.2, 0], [2.1, 1.2, 0.4]])])
    assert output["energy"].isfinite().all()
    assert output["forces"].isfinite().all()


def test_an_unknown_element_is_refused(architecture):
    model = random_potential(architecture, torch.float32)
    with pytest.raises(InputError, match="atom 1: the model does not know N; it was trained on H, C, O"):
        predict(model, [Atoms("HN", positions=[[0, 0, 0], [1, 0, 0]])])


def test_every_parameter_receives_a_gradient_from_forces(architecture):
    model = random_potential(architecture, torch.float64).train()
    rng = np.random.default_rng(5)
    output = predict(model, [random_molecule(rng, 8) for _ in range(12)])
    (output["forces"].square().sum() + output["energy"].sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert len(ELEMENTS) == model.shifts.numel()
