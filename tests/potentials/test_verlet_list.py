"""The neighbour list with a skin: never a pair too few, the same pairs in the same order whatever its history."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.verlet_list import VerletList


def _structures() -> dict[str, Atoms]:
    triclinic = bulk("C", "diamond", a=3.6)  # cutoff far beyond half the cell: atoms see their own images
    triclinic.set_cell(triclinic.cell.array @ np.array([[1, 0.1, 0], [0, 1.1, 0.2], [0.05, 0, 1]]), scale_atoms=True)
    return {
        "molecule": molecule("CH3CH2OH"),
        "triclinic": triclinic,
        "supercell": bulk("C", "diamond", a=3.6, cubic=True) * (2, 1, 1),
        "slab": fcc111("Al", (2, 2, 2)),
    }


STRUCTURES = _structures()


def _pairs(verlet: VerletList, atoms: Atoms) -> tuple[torch.Tensor, torch.Tensor, float]:
    if not verlet.holds(atoms):
        verlet.search(atoms)
    return verlet.pairs(atoms, torch.tensor(atoms.positions))


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("strained", [False, True])
def test_pairs_are_those_of_a_new_search_at_every_step(name, strained):
    atoms = STRUCTURES[name].copy()
    if strained and not atoms.pbc.any():
        atoms.set_cell([9.0, 9.0, 9.0])  # which means nothing to a molecule
    rng = np.random.default_rng(0)
    verlet = VerletList(4.0, 0.4)
    for step in range(60):
        atoms.positions += 0.01 * rng.normal(size=atoms.positions.shape)
        if strained:
            strain = np.eye(3) + 0.002 * rng.normal(size=(3, 3))
            atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        if step == 40:
            atoms.wrap()
        kept, new = _pairs(verlet, atoms), _pairs(VerletList(4.0, 0.0), atoms)
        assert torch.equal(kept[0], new[0])
        assert torch.equal(kept[1], new[1])
        assert kept[2] <= new[2] + 1e-12
    assert 1 < verlet.searches < 30


def test_it_holds_until_an_atom_has_moved_half_the_skin():
    atoms = molecule("CH4")
    verlet = VerletList(4.0, 0.6)
    verlet.search(atoms)
    for distance, holds in ((0.299, True), (0.301, False)):
        moved = atoms.copy()
        moved.positions[2] += distance * np.array([0.6, 0.0, -0.8])
        assert verlet.holds(moved) is holds


def test_a_cell_that_comes_back_has_its_translations_back():
    atoms = bulk("Cu", cubic=True)
    verlet = VerletList(4.0, 0.5)
    first = _pairs(verlet, atoms)
    stretched = atoms.copy()
    stretched.set_cell(1.01 * atoms.cell.array, scale_atoms=True)
    assert not torch.equal(_pairs(verlet, stretched)[1], first[1])
    assert torch.equal(_pairs(verlet, atoms)[1], first[1])
    assert verlet.searches == 1


def test_a_small_molecule_of_which_all_atoms_are_neighbours_is_never_filtered():
    atoms = molecule("CH4")
    verlet = VerletList(4.0, 0.6)
    first = _pairs(verlet, atoms)
    assert first[0].shape == (2, 20)
    assert first[2] == pytest.approx(atoms.get_all_distances()[np.triu_indices(5, 1)].min())
    atoms.positions[1] += [0.1, 0.0, 0.0]
    second = _pairs(verlet, atoms)
    assert second[0] is first[0]
    assert second[2] == pytest.approx(first[2] - 0.2)


def test_a_cell_that_shrinks_is_searched_again_only_when_pairs_could_be_missing():
    atoms = bulk("Cu", cubic=True)
    verlet = VerletList(5.0, 0.5)
    verlet.search(atoms)
    for scale, holds in ((1.5, True), (0.92, True), (5.0 / 5.5 - 1e-6, False)):
        moved = atoms.copy()
        moved.set_cell(scale * atoms.cell.array, scale_atoms=True)
        assert verlet.holds(moved) is holds


@pytest.mark.parametrize("change", ["numbers", "pbc", "count", "not finite", "cell not finite", "mirrored cell"])
def test_it_does_not_hold_for_another_structure(change):
    atoms = bulk("Cu", cubic=True)
    verlet = VerletList(4.0, 0.5)
    assert not verlet.holds(atoms)
    verlet.search(atoms)
    assert verlet.holds(atoms)
    if change == "numbers":
        atoms.numbers[0] = 47
    elif change == "pbc":
        atoms.pbc = (True, True, False)
    elif change == "count":
        atoms.pop()
    elif change == "not finite":
        atoms.positions[1, 2] = np.nan
    elif change == "cell not finite":
        atoms.cell[1, 1] = np.inf
    else:
        atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    assert not verlet.holds(atoms)


@pytest.mark.parametrize("skin", [-0.1, np.inf, np.nan])
def test_a_skin_that_makes_no_sense_is_refused(skin):
    with pytest.raises(InputError, match="skin must be zero or more"):
        VerletList(4.0, skin)
