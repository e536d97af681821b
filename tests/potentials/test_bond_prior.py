"""The prior on bonds: nothing to pay where bonds have one minimum, and a way there where they have not."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import covalent_radii

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.bond_prior import BondPrior
from sciml_zoo.potentials.bond_scan import find_bonds, minima, scan_bond
from sciml_zoo.potentials.potential import Potential
from tests.potentials.cases import random_potential

CUTOFF = 5.0


class Springs(Potential):
    """Every pair has a Morse curve with its minimum at the sum of the covalent radii, and on request a hole."""

    def __init__(self, hole: float = 0.0) -> None:
        super().__init__((1, 6, 8), CUTOFF, n_features=1)
        self.depth = torch.nn.Parameter(torch.tensor(4.0, dtype=torch.float64))
        self.hole = torch.nn.Parameter(torch.tensor(hole, dtype=torch.float64))
        self.radii = torch.from_numpy(covalent_radii[list(self.elements)])

    def atomic_energies(self, species, vectors, edge_index, *, fast=False):
        distance = vectors.norm(dim=1)
        r0 = self.radii[species[edge_index[0]]] + self.radii[species[edge_index[1]]]
        pairs = self.depth * (1 - torch.exp(-1.5 * (distance - r0))) ** 2 - self.hole * torch.exp(
            -300 * (distance - 0.65) ** 2
        )
        energies = vectors.new_zeros(len(species)).index_add(0, edge_index[1], pairs / 2)
        return energies, energies[:, None]


def frames(name: str = "H2O", n: int = 5) -> list[Atoms]:
    """A molecule, rattled."""
    structures = []
    for seed in range(n):
        atoms = molecule(name)
        atoms.rattle(0.03, seed=seed)
        structures.append(atoms)
    return structures


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_bonds_with_one_minimum_cost_nothing_and_a_hole_does():
    prior = BondPrior(frames(), CUTOFF, pairs=40)
    batch = prior.sample(generator())
    assert prior.loss(Springs(), batch).item() == 0.0
    assert prior.loss(Springs(hole=3.0), batch).item() > 0.1


def test_samples_are_pairs_that_differ_in_one_bond_by_a_step():
    prior = BondPrior(frames(), CUTOFF, pairs=30)
    batch = prior.sample(generator())
    positions = batch.pos.reshape(30, 2, 3, 3).numpy()
    mean = prior.lengths.mean()
    for sign, (short, long) in zip(batch.sign.tolist(), positions, strict=True):
        first, second = (np.linalg.norm(shape[1:] - shape[0], axis=1) for shape in (short, long))
        changed = np.flatnonzero(abs(first - second) > 1e-9)
        assert len(changed) == 1
        length = first[changed[0]]
        assert second[changed[0]] - length == pytest.approx(0.05)
        assert (0.55 <= length <= 0.93 * mean) if sign < 0 else (1.07 * mean * 0.97 <= length <= 3.1)
        assert abs(first[1 - changed[0]] - mean) < 0.25 * mean
    assert sorted(set(batch.sign.tolist())) == [-1.0, 1.0]


def test_samples_depend_on_the_generator_alone():
    prior = BondPrior(frames(), CUTOFF)
    assert torch.equal(prior.sample(generator(3)).pos, prior.sample(generator(3)).pos)
    assert not torch.equal(prior.sample(generator(3)).pos, prior.sample(generator(4)).pos)


def test_a_fragment_that_meets_another_atom_is_not_judged():
    # The hydrogen of a hydrogen bond is torn from one oxygen and handed to the other.
    bridge = Atoms("OHO", positions=[[0, 0, 0], [1.0, 0, 0], [2.7, 0, 0]])
    prior = BondPrior([bridge], CUTOFF, pairs=60)
    assert [(bond.fixed, bond.moved) for bond in find_bonds(bridge)] == [(0, 1)]
    batch = prior.sample(generator())
    torn = batch.pos.reshape(-1, 2, 3, 3)[batch.sign > 0]
    acceptor = (torn[:, :, 2] - torn[:, :, 1]).norm(dim=2)
    assert acceptor.min() > 1.5
    assert (batch.sign < 0).sum() == 30


def test_training_on_it_fills_a_hole():
    water = molecule("H2O")
    model = Springs(hole=3.0)
    grid = np.linspace(0.55, 3.0, 120)
    bond = find_bonds(water)[0]
    assert len(minima(scan_bond(model, water, bond, grid))) > 1
    prior, draws = BondPrior(frames(), CUTOFF, pairs=16), generator()
    optimizer = torch.optim.SGD([model.hole], lr=1.0)
    for _ in range(200):
        optimizer.zero_grad()
        prior.loss(model, prior.sample(draws)).backward()
        optimizer.step()
    assert len(minima(scan_bond(model, water, bond, grid))) == 1


def test_every_weight_of_a_network_receives_its_gradient():
    model = random_potential("gto_potential", torch.float32).train()
    prior = BondPrior(frames("CH3CH2OH"), model.cutoff, slope=1e3)
    prior.loss(model, prior.sample(generator())).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not missing


@pytest.mark.parametrize(
    ("structures", "words"),
    [
        ([], "needs training structures"),
        ([molecule("H2O"), molecule("CH4")], "different atoms"),
        ([Atoms("He")], "no bonds"),
        ([bulk("C", "diamond", a=3.57)], "pbc=False"),
    ],
)
def test_what_has_no_bonds_to_judge_is_refused(structures, words):
    with pytest.raises(InputError, match=words):
        BondPrior(structures, CUTOFF)
