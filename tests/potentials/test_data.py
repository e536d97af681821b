"""Reading structures and building graphs: against brute force, and units, labels and keys."""

import gzip

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from torch_geometric.data import Batch

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import collate, energy_of, forces_of, read_structures, to_graph


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
        assert torch.equal(ours[name], theirs[name]), name


def test_a_single_atom_has_no_pairs():
    graph = to_graph(Atoms("H"), 5.0)
    assert graph.edge_index.shape == (2, 0)
    assert graph.edge_shift.shape == (0, 3)
