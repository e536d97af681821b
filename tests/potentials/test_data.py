"""Reading structures and building graphs: against brute force, and units, labels and keys."""

import gzip
import time

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from torch_geometric.data import Batch

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import collate, energy_of, forces_of, read_structures, stress_of, to_graph


def labelled(name: str = "H2O", energy: float = -1.5) -> Atoms:
    atoms = molecule(name)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.full((len(atoms), 3), 0.25))
    return atoms


@pytest.mark.parametrize("compress", [False, True])
def test_labels_survive_a_file(tmp_path, compress):
    path = tmp_path / "two.xyz"
    ase.io.write(path, [labelled(energy=-1.5), labelled("CH4", energy=-2.5)], format="extxyz")
    if compress:
        packed = path.with_suffix(".xyz.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    structures = read_structures(path, energy=True, forces=True)
    assert [energy_of(atoms, "") for atoms in structures] == [-1.5, -2.5]
    assert forces_of(structures[1], "").shape == (5, 3)


def test_labels_under_other_keys_are_found_by_name(tmp_path):
    atoms = molecule("H2O")
    atoms.info["REF_energy"] = -3.0
    atoms.arrays["REF_forces"] = np.zeros((3, 3))
    path = tmp_path / "ref.xyz"
    ase.io.write(path, atoms, format="extxyz")
    with pytest.raises(InputError, match=r"frame 0: no 'energy' \(eV\); found REF_energy"):
        read_structures(path, energy=True)
    structures = read_structures(path, energy=True, forces=True, energy_key="REF_energy", forces_key="REF_forces")
    assert energy_of(structures[0], "", "REF_energy") == -3.0


def test_other_formats_of_ase_are_read(tmp_path):
    path = tmp_path / "cell.cif"
    ase.io.write(path, bulk("Si", cubic=True))
    assert len(read_structures(path)[0]) == 8


def test_pairs_of_a_molecule_are_those_of_brute_force():
    atoms = molecule("C6H6")
    graph = to_graph(atoms, 2.2)
    distance = atoms.get_all_distances()
    expected = {(i, j) for i, j in zip(*np.nonzero((distance > 0) & (distance < 2.2)), strict=True)}
    assert {(int(i), int(j)) for j, i in graph.edge_index.T} == expected


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, False), (True, True, False)])
def test_periodic_pairs_are_those_of_brute_force(pbc):
    atoms = bulk("NaCl", "rocksalt", a=4.0)
    atoms.rattle(0.1, seed=0)
    atoms.pbc = pbc
    cutoff = 4.5
    found = to_graph(atoms, cutoff)
    vectors = found.pos[found.edge_index[0]] + found.edge_shift - found.pos[found.edge_index[1]]
    ranges = [range(-4, 5) if periodic else (0,) for periodic in pbc]
    expected = []
    for shift in np.array(np.meshgrid(*ranges)).reshape(3, -1).T:
        for i in range(2):
            for j in range(2):
                vector = atoms.positions[j] + shift @ atoms.cell.array - atoms.positions[i]
                if 0 < np.linalg.norm(vector) < cutoff:
                    expected.append(vector)
    expected_lengths = np.sort(np.linalg.norm(expected, axis=1))
    np.testing.assert_allclose(np.sort(vectors.norm(dim=1).numpy()), expected_lengths, atol=1e-10)
    np.testing.assert_allclose(vectors.sum(dim=0).numpy(), 0, atol=1e-9)


def test_collate_is_what_torch_geometric_gives():
    graphs = [to_graph(labelled(name), 4.0, labels=True) for name in ("H2O", "CH4", "C6H6")]
    ours, theirs = collate(graphs), Batch.from_data_list(graphs)
    assert ours.num_graphs == 3
    for name in theirs.keys():  # noqa: SIM118
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0, equal_nan=True)


def test_missing_labels_are_refused_or_nan_as_wanted():
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.info["energy"] = -1.0
    with pytest.raises(InputError, match=r"crystal: no 'forces' \(eV/Å\)"):
        to_graph(atoms, 4.0, labels=True, where="crystal")
    graph = to_graph(atoms, 4.0, labels=True, forces_optional=True)
    assert graph.forces.shape == (2, 3)
    assert graph.stress.shape == (1, 3, 3)
    assert bool(graph.forces.isnan().all() and graph.stress.isnan().all())
    atoms.arrays["forces"] = np.ones((2, 4))
    with pytest.raises(InputError, match=r"'forces' are \[2, 4\] numbers"):
        to_graph(atoms, 4.0, labels=True, forces_optional=True)


@pytest.mark.parametrize("key", ["stress", "REF_stress"])
def test_stress_is_a_symmetric_matrix_from_six_numbers_or_nine(key):
    xx, yy, zz, yz, xz, xy = voigt = np.arange(1.0, 7.0)
    matrix = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.info |= {"energy": 0.0}
    for value in (voigt, matrix, matrix.ravel()):
        atoms.info[key] = value
        graph = to_graph(atoms, 4.0, labels=True, forces_optional=True, stress_key=key)
        np.testing.assert_allclose(graph.stress[0], matrix)
    atoms.info[key] = np.ones(5)
    with pytest.raises(InputError, match=rf"cell: '{key}' is 5 numbers, not 6 \(Voigt: xx yy zz yz xz xy\) or 9"):
        stress_of(atoms, "cell", key)
    atoms.pbc = (True, True, False)
    assert np.isnan(stress_of(atoms, "slab", key)).all()


def test_forces_that_are_there_must_be_finite(tmp_path):
    atoms = labelled()
    atoms.calc.results["forces"][1, 2] = np.nan
    ase.io.write(tmp_path / "bad.xyz", [labelled(), atoms], format="extxyz")
    with pytest.raises(InputError, match=r"frame 1, atom 1: the force is not finite"):
        read_structures(tmp_path / "bad.xyz", forces_optional=True)


def test_a_thousand_frames_are_read_in_seconds(tmp_path):
    ase.io.write(tmp_path / "many.xyz", [labelled("CH3CH2OH")] * 1000, format="extxyz")
    start = time.process_time()
    assert len(read_structures(tmp_path / "many.xyz", energy=True, forces=True)) == 1000
    assert time.process_time() - start < 5.0


def test_a_single_atom_has_no_pairs():
    graph = to_graph(Atoms("H"), 5.0)
    assert graph.edge_index.shape == (2, 0)
    assert graph.edge_shift.shape == (0, 3)
