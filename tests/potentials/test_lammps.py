"""Export for LAMMPS: own atoms, ghosts and pairs as LAMMPS lists them give the calculator's energies and forces.

``python -m benchmarks.potentials.engines`` compares with LAMMPS itself.
"""

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.potentials import ZooCalculator, export_lammps
from tests.potentials.cases import ARCHITECTURES, ELEMENTS, inputs, random_molecule, random_potential


class Data:
    """What a LAMMPS process gives to a unified model, and what it does with the answers (mliap_unified.cpp)."""

    def __init__(self, atoms: Atoms, owned: np.ndarray, radius: float, element_types: list[str]) -> None:
        reach = np.ceil(radius / (1 / np.linalg.norm(np.linalg.inv(atoms.cell.complete()), axis=0))).astype(int) + 1
        images = [range(-n, n + 1) if periodic else (0,) for n, periodic in zip(reach, atoms.pbc, strict=True)]
        copies = sorted(itertools.product(*images), key=lambda image: (image != (0, 0, 0), image))
        positions = np.concatenate([atoms.positions + np.array(image) @ atoms.cell.array for image in copies])
        owner = np.tile(np.arange(len(atoms)), len(copies))
        # A process's own atoms come first, then ghosts: images, and atoms of other processes.
        order = np.concatenate([owned, np.setdiff1d(np.arange(len(positions)), owned)])
        positions, self.owner = positions[order], owner[order]
        self.elems = np.array([element_types.index(symbol) for symbol in atoms.symbols], dtype=np.int32)[self.owner]
        self.nlistatoms = len(owned)
        self.iatoms = np.arange(len(owned), dtype=np.int32)
        vectors = positions[None, :, :] - positions[: len(owned), None, :]
        distances = np.linalg.norm(vectors, axis=2)
        distances[self.iatoms, self.iatoms] = np.inf
        self.pair_i, self.pair_j = (index.astype(np.int32) for index in np.nonzero(distances < radius))
        self.rij = vectors[self.pair_i, self.pair_j]
        self.npairs = len(self.rij)
        self.forces = np.zeros((len(atoms), 3))
        self.virial = np.zeros((3, 3))

    def update_pair_forces(self, fij: np.ndarray) -> None:
        assert fij.dtype == np.float64
        assert fij.shape == (self.npairs, 3)
        np.add.at(self.forces, self.owner[self.pair_i], fij)
        np.subtract.at(self.forces, self.owner[self.pair_j], fij)
        self.virial -= self.rij.T @ fij


def in_lammps(unified, atoms: Atoms, n_processes: int = 1):
    """Energy, forces, stress and energies of all atoms, computed by some processes."""
    energy, forces, virial, energies = 0.0, np.zeros((len(atoms), 3)), np.zeros((3, 3)), np.zeros(len(atoms))
    for owned in np.array_split(np.random.default_rng(0).permutation(len(atoms)), n_processes):
        data = Data(atoms, owned, 2 * unified.rcutfac, unified.element_types)
        for step in (unified.compute_descriptors, unified.compute_gradients, unified.compute_forces):
            step(data)
        energy += data.energy
        energies[owned] = data.eatoms
        forces += data.forces
        virial += data.virial
    stress = -virial / atoms.get_volume() if atoms.pbc.all() else None
    return energy, forces, stress, energies


def loaded(model, folder):
    """A model written and read, as LAMMPS does."""
    return torch.load(export_lammps(model, folder / "model.pt"), weights_only=False)


def rattled(atoms: Atoms) -> Atoms:
    atoms.rattle(0.05, seed=1)
    return atoms


STRUCTURES = [
    rattled(molecule("CH3CH2OH")),
    rattled(
        Atoms("H8O4", positions=np.random.default_rng(4).permutation(np.indices((3, 2, 2)).reshape(3, -1).T) * 1.6)
    ),
    rattled(bulk("C", "diamond", a=3.6)),
    rattled(bulk("C", "fcc", a=3.4, cubic=True)),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("atoms", STRUCTURES, ids=str)
def test_energies_forces_and_stress_are_the_calculator_s(architecture, atoms, tmp_path):
    model = random_potential(architecture, torch.float64, cutoff=3.0)
    atoms = atoms.copy()
    energy, forces, stress, energies = in_lammps(loaded(model, tmp_path), atoms)
    atoms.calc = ZooCalculator(model)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert energies.sum() == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)
    if atoms.pbc.all():
        np.testing.assert_allclose(stress, atoms.get_stress(voigt=False), atol=1e-10)


@pytest.mark.parametrize("n_rounds", [1, 2, 3])
def test_results_do_not_depend_on_the_number_of_processes(n_rounds, tmp_path):
    torch.manual_seed(0)
    small = {"n_radial": 4, "n_channels": 8, "n_hidden": 16, "n_rounds": n_rounds, "zbl": True}
    model = sz.create_model("gto_potential", elements=ELEMENTS, cutoff=2.0, **small).double()
    atoms = rattled(bulk("C", "diamond", a=3.4, cubic=True))
    unified = loaded(model, tmp_path)
    atoms.calc = ZooCalculator(model)
    for n_processes in (1, 3, 8):
        energy, forces, stress, _ = in_lammps(unified, atoms, n_processes)
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)
        np.testing.assert_allclose(stress, atoms.get_stress(voigt=False), atol=1e-10)


def test_a_model_with_kernels_keeps_its_precision(tmp_path):
    torch.manual_seed(0)
    model = sz.create_model("gto_potential", elements=ELEMENTS, cutoff=3.0, n_radial=6, n_channels=16, n_hidden=16)
    rng = np.random.default_rng(0)
    model.eval().calibrate(**inputs([random_molecule(rng) for _ in range(16)], 3.0))
    assert model.has_kernels
    for original in STRUCTURES:
        atoms = original.copy()
        energy, forces, _, _ = in_lammps(loaded(model, tmp_path), atoms)
        atoms.calc = ZooCalculator(model)
        assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-6, abs=1e-5)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-5 * np.abs(forces).max())


def test_atoms_without_neighbours_have_the_energy_of_free_atoms(tmp_path):
    model = random_potential("gto_potential", torch.float64, cutoff=3.0)
    apart = Atoms("OC", positions=[[0, 0, 0], [0, 0, 50]])
    energy, forces, _, energies = in_lammps(loaded(model, tmp_path), apart)
    apart.calc = ZooCalculator(model)
    assert energy == pytest.approx(apart.get_potential_energy(), abs=1e-9)
    assert energies[0] < energies[1]
    assert not forces.any()


def test_a_file_that_lammps_would_not_read_is_refused(tmp_path):
    model = random_potential("gto_potential", torch.float32)
    with pytest.raises(InputError, match=r"end in \.pt"):
        export_lammps(model, tmp_path / "model.bin")
    with pytest.raises(InputError, match="cannot be written"):
        export_lammps(model, tmp_path / "missing" / "model.pt")
    assert not list(tmp_path.iterdir())
