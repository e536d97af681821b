"""Smoothness: of functions that are known to jump or not, and of every registered potential along its bonds."""

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.bond_scan import (
    bonded_pairs,
    find_bonds,
    minima,
    scan_bond,
    stretched,
    without_shifts,
)
from sciml_zoo.potentials.continuity import derivative_continuity
from sciml_zoo.potentials.gto import smooth_cutoff
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.potentials.repulsion import ZBLRepulsion
from tests.potentials.cases import ARCHITECTURES, inputs, random_potential

CUTOFF = 4.0
# No step meets r = 0, where the neighbour list takes two atoms for one.
START, STOP = -0.29987, CUTOFF + 0.5


class CosinePairs(Potential):
    """Pair energies that must be found wanting: a cusp at r = 0, and a squared cosine cutoff, which is C³."""

    def __init__(self) -> None:
        super().__init__((1, 6, 8), CUTOFF, n_features=1)
        self.weight = torch.nn.Parameter(torch.ones(()))

    def atomic_energies(self, species, vectors, edge_index, *, fast=False):
        distance = vectors.norm(dim=1)
        cutoff = torch.where(distance < CUTOFF, (0.5 + 0.5 * torch.cos(torch.pi * distance / CUTOFF)) ** 2, 0.0)
        pairs = self.weight * torch.exp(-distance) * cutoff
        energies = vectors.new_zeros(len(species)).index_add(0, edge_index[1], pairs)
        return energies, energies[:, None]


def trimer_scan(model: Potential, first: str, second: str):
    """An atom that passes through another, beside a third, and leaves the cutoff: its energy, and where that starts."""
    atoms = Atoms([first, second, first], positions=[[0, 0, 0], [1.1, 0, 0], [0.4, 1.0, 0.3]])
    bond = next(bond for bond in find_bonds(atoms) if {bond.fixed, bond.moved} == {0, 1})
    model = without_shifts(model)
    return lambda distances: scan_bond(model, atoms, bond, distances)


@pytest.mark.parametrize("jumping", [1, 2, 3, 4])
def test_a_jump_of_each_derivative_is_found_where_it_is(jumping):
    found = derivative_continuity(lambda x: np.sin(3 * x) + np.maximum(x - 2.0, 0) ** jumping, 0.0, 4.0)
    assert not found.continuous
    assert found.positions[found.worst] == pytest.approx(2.0, abs=0.05)
    assert found.exponents[found.worst] == pytest.approx(jumping - 4, abs=0.5)
    elsewhere = abs(found.positions - 2.0) > 0.1
    assert (found.exponents[elsewhere] > 0.8).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sin(3 * x) + np.maximum(x - 2.0, 0) ** 5,  # the fifth derivative may jump
        lambda x: np.exp(-(((x - 2.0) * 300) ** 2)),
        lambda x: (
            (x - 2.0) / (1 + np.exp(-np.clip(1000 * (x - 2.0), -700, 700)))
        ),  # like a corner, until looked at closely
        lambda x: np.exp(-(x**2)) * smooth_cutoff(torch.from_numpy(x) ** 2, 3.0).numpy(),
        lambda x: np.sin(3 * x) + 1e-12 * np.random.default_rng(0).normal(size=len(x)),
        np.zeros_like,
    ],
)
def test_smooth_functions_are_not_accused(function):
    assert derivative_continuity(function, 0.0, 4.0).continuous


def test_resolution_is_the_jump_that_would_have_been_seen():
    smooth = lambda x: np.sin(3 * x)  # noqa: E731
    resolution = derivative_continuity(smooth, 0.0, 4.0).resolutions.max()
    for factor, continuous in ((0.1, True), (10.0, False)):
        jump = factor * resolution
        found = derivative_continuity(lambda x, j=jump: smooth(x) + j * np.maximum(x - 2.0, 0) ** 4 / 24, 0.0, 4.0)
        assert found.continuous is continuous


def test_a_function_that_cannot_be_judged_is_refused():
    with pytest.raises(InputError, match=r"at least 0\.08"):
        derivative_continuity(np.sin, 0.0, 0.03)
    with pytest.raises(InputError, match="not finite at"), np.errstate(all="ignore"):
        derivative_continuity(np.log, -1.0, 1.0)


def test_bonds_of_ethanol_move_the_smaller_fragment():
    ethanol = molecule("CH3CH2OH")
    bonds = find_bonds(ethanol)
    assert len(bonds) == 8
    assert not any(bond.in_ring for bond in bonds)
    assert sorted(len(bond.fragment) for bond in bonds) == [1] * 6 + [2, 4]
    for bond in bonds:
        assert bond.moved in bond.fragment
        assert bond.fixed not in bond.fragment
        if len(bond.fragment) == 1:
            assert ethanol.symbols[bond.moved] == "H"


def test_a_ring_atom_takes_its_hydrogen_with_it():
    bonds = find_bonds(molecule("C6H6"))
    assert sum(bond.in_ring for bond in bonds) == 6
    for bond in bonds:
        assert len(bond.fragment) == (2 if bond.in_ring else 1)


def test_other_molecules_do_not_move():
    pair = molecule("H2O") + Atoms("H2", positions=[[5, 0, 0], [5, 0, 0.74]])
    fragments = {bond.fragment for bond in find_bonds(pair)}
    assert fragments == {(1,), (2,), (3,)} or fragments == {(1,), (2,), (4,)}


@pytest.mark.parametrize("distance", [-0.4, 0.6, 3.0])
def test_stretching_moves_a_fragment_rigidly_to_the_wanted_length(distance):
    ethanol = molecule("CH3CH2OH")
    for bond in find_bonds(ethanol):
        moved = stretched(ethanol, bond, distance)
        assert moved.get_distance(bond.fixed, bond.moved) == pytest.approx(abs(distance))
        inside = np.isin(np.arange(9), bond.fragment)
        for part in (inside, ~inside):
            np.testing.assert_allclose(moved[part].get_all_distances(), ethanol[part].get_all_distances(), atol=1e-12)
        np.testing.assert_array_equal(moved.positions[~inside], ethanol.positions[~inside])


def test_bonds_of_a_crystal_are_refused():
    with pytest.raises(InputError, match="set pbc=False"):
        bonded_pairs(bulk("C", "diamond", a=3.57))


def test_minima_are_counted_at_the_ends_too_and_ripples_are_not():
    x = np.linspace(0.0, 4.0, 401)
    morse = (1 - np.exp(-2 * (x - 1))) ** 2
    assert minima(morse).tolist() == [100]
    assert minima(morse - 50 * np.exp(-x / 0.1)).tolist() == [0, 100]
    assert minima(morse - 0.2 * np.exp((x - 4.0) / 0.2)).tolist() == [100, 400]
    ripple = 0.01 * np.sin(60 * x)
    assert len(minima(morse + ripple)) > 1
    assert minima(morse + ripple, prominence=0.03).tolist() == [pytest.approx(100, abs=10)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("pair", ["CO", "HC"])
def test_energy_is_smooth_through_zero_distance_and_across_the_cutoff(architecture, pair):
    scan = trimer_scan(random_potential(architecture, torch.float32, CUTOFF), *pair)
    found = derivative_continuity(scan, START, STOP, step=4e-3)
    worst = found.worst
    assert found.continuous, (found.positions[worst], found.exponents[worst])
    assert np.isfinite(found.exponents).mean() > 0.5
    assert np.ptp(scan(np.linspace(START, CUTOFF, 40))) > 1e-3


def test_a_cosine_cutoff_and_a_cusp_are_found_by_the_same_scan():
    found = derivative_continuity(trimer_scan(CosinePairs(), "C", "O"), START, STOP, refinements=1)
    assert not found.continuous
    for where, highest in ((0.0, -1.5), (CUTOFF, 0.5)):  # a corner, and a jump of the fourth derivative
        assert found.exponents[abs(found.positions - where) < 0.1].min() < highest
    assert (found.exponents[(found.positions > 1.5) & (found.positions < 3.0)] > 0.8).all()


def test_the_cosine_cutoff_of_the_ablation_is_found_too():
    torch.manual_seed(0)
    options = {"elements": (1, 6, 8), "cutoff": CUTOFF, "n_radial": 6, "n_channels": 8, "n_hidden": 16}
    model = sz.create_model("gto_potential", cutoff_function="cosine", **options)
    found = derivative_continuity(trimer_scan(model, "C", "O"), CUTOFF - 0.4, CUTOFF + 0.4, refinements=1)
    leaves = (CUTOFF, 0.4 + np.sqrt(CUTOFF**2 - 1.09))  # of the first atom, and of the third
    for where in leaves:
        assert found.exponents[abs(found.positions - where) < 0.1].min() < 0.0


def test_nuclear_repulsion_leaves_the_energy_smooth_and_repulsive():
    model = random_potential("gto_potential", torch.float32, CUTOFF)
    model.zbl = ZBLRepulsion(model.elements, CUTOFF)
    scan = trimer_scan(model, "C", "O")
    assert derivative_continuity(scan, 0.2, 2.0).continuous
    model.zbl = None
    bare = trimer_scan(model, "C", "O")
    distance = np.array([0.01, 0.05, 0.1])
    assert (np.diff(scan(distance) - bare(distance)) < -100).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_energy_is_smooth_along_the_bonds_of_a_molecule(architecture):
    model = without_shifts(random_potential(architecture, torch.float32, CUTOFF))
    water = molecule("H2O")
    found = derivative_continuity(lambda r: scan_bond(model, water, find_bonds(water)[0], r), 0.6, 3.0, step=4e-3)
    assert found.continuous, (found.positions[found.worst], found.exponents[found.worst])


def test_a_scan_is_the_energy_of_each_structure():
    model = random_potential("gto_potential", torch.float64, CUTOFF)
    ethanol = molecule("CH3CH2OH")
    bond = find_bonds(ethanol)[0]
    distances = np.array([0.8, 1.1, 2.0])
    batch = inputs([stretched(ethanol, bond, distance) for distance in distances], CUTOFF)
    expected = model(**batch)["energy"].numpy()
    np.testing.assert_allclose(scan_bond(model, ethanol, bond, distances), expected, rtol=1e-14)
    shifts = float(model.shifts[model.species_of[torch.from_numpy(ethanol.numbers)]].sum())
    np.testing.assert_allclose(scan_bond(without_shifts(model), ethanol, bond, distances), expected - shifts, atol=1e-9)
    assert float(model.shifts.abs().max()) > 0
    assert len({*itertools.pairwise(expected)}) == 2
