"""Gradient descent on relaxed spins: exact ground states of small glasses, and the law it descends on."""

import numpy as np
import pytest
import torch

from sciml_zoo.errors import InputError
from sciml_zoo.ising.exact import exact_ground_state
from sciml_zoo.ising.generators import (
    chimera,
    edwards_anderson,
    random_regular,
    sherrington_kirkpatrick,
    square_lattice,
)
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.relaxation import free_energy, relax
from tests.ising.sampled import frustrated

GLASSES = {
    "sk": sherrington_kirkpatrick(18, seed=1),
    "sk_pm1": sherrington_kirkpatrick(17, "pm1", seed=2),
    "square": edwards_anderson((4, 5), seed=3),
    "cube": edwards_anderson((2, 3, 3), "pm1", seed=4),
    "regular": random_regular(20, 3, seed=5),
    "chimera": chimera(1, 2, seed=6),
    "with_fields": frustrated(16, seed=7),
    "large_couplings": IsingModel(1e6 * frustrated(14, seed=8).couplings, 1e6 * frustrated(14, seed=8).fields, -3.0),
}


@pytest.mark.parametrize("name", GLASSES)
def test_ground_states_of_small_glasses(name: str) -> None:
    model = GLASSES[name]
    spins, energies = relax(model, n_steps=200, seed=1)
    assert energies.min() == pytest.approx(exact_ground_state(model).energy, rel=1e-12)
    np.testing.assert_array_equal(model.energy(spins), energies)
    # No single flip lowers the energy of any of them.
    assert (spins * model.local_fields(spins) >= -1e-6 * np.abs(energies).max()).all()
    assert spins.dtype == np.int8


def test_a_ferromagnet_is_aligned() -> None:
    spins, energies = relax(square_lattice(20), n_steps=200, seed=2)
    assert energies.min() == -800
    assert abs(spins[energies.argmin()].sum()) == 400


def test_fields_alone_decide_uncoupled_spins() -> None:
    fields = np.array([0.5, -2.0, 1e-3])
    spins, energies = relax(IsingModel(np.zeros((3, 3)), fields, 1.0), n_steps=50, n_replicas=5)
    np.testing.assert_array_equal(spins, np.tile(np.sign(fields), (5, 1)))
    np.testing.assert_allclose(energies, 1.0 - np.abs(fields).sum())


def test_descent_beats_roundings_of_random_states() -> None:
    model = sherrington_kirkpatrick(300, seed=3)
    _, energies = relax(model, n_steps=300, n_replicas=32, seed=4)
    # Signs of random numbers, descended, are what one step from cold amounts to.
    _, quenched = relax(model, n_steps=1, n_replicas=32, seed=4)
    assert energies.min() < quenched.min()
    assert energies.mean() < quenched.mean() - 3 * np.hypot(energies.std(), quenched.std()) / np.sqrt(32)
    # Parisi's ground state per spin is −0.7632 N; N = 300 lies above by 0.70 N^(−2/3) (Boettcher, EPJ B 46, 501, 2005).
    assert energies.min() / 300 == pytest.approx(-0.7632 + 0.70 * 300 ** (-2 / 3), abs=0.025)


def test_a_seed_gives_the_same_states() -> None:
    model = edwards_anderson((6, 6, 6), "pm1", seed=1)
    first, again, other = (relax(model, n_steps=100, n_replicas=8, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_sparse_and_dense_couplings_give_the_same_states() -> None:
    model = edwards_anderson((5, 5), seed=9)
    sparse, dense = (relax(m, n_steps=100, seed=3) for m in (model, IsingModel(model.dense())))
    np.testing.assert_array_equal(sparse[0], dense[0])
    np.testing.assert_allclose(sparse[1], dense[1], atol=1e-12)


def test_free_energy_is_energy_minus_entropy_and_its_gradient_is_exact() -> None:
    model, temperature = frustrated(7), torch.tensor([0.3, 0.9, 0.0], dtype=torch.float64)
    parameters = torch.randn((7, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    couplings = torch.tensor(model.dense())
    fields = torch.tensor(model.fields)[:, None]
    found = free_energy(couplings, fields, parameters, temperature)
    means = torch.tanh(parameters)
    up = (1 + means) / 2
    entropy = -(up * up.log() + (1 - up) * (1 - up).log()).sum(0)
    expected = (model.energy(means.T) - model.offset - temperature * entropy).sum()
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(value, parameters, retain_graph=True)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": 0}, "n_steps"),
        ({"n_replicas": 0}, "n_replicas"),
        ({"seed": -1}, "seed"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"device": "abacus"}, r"abacus.*device='cpu'"),
    ],
)
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        relax(frustrated(), **options)
