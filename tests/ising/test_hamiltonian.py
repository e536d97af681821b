"""The Hamiltonian: its definition spelled out, all ways to build it, flips, relaxed spins, and bad input."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sciml_zoo.errors import InputError
from sciml_zoo.ising.hamiltonian import IsingModel


def random_model(n: int, seed: int, dense: bool = False, density: float = 0.7) -> IsingModel:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.normal(size=(n, n)) * (rng.random((n, n)) < density), 1)
    couplings = upper + upper.T
    return IsingModel(couplings if dense else sparse.csr_array(couplings), rng.normal(size=n), rng.normal())


def energy_by_definition(model: IsingModel, s) -> float:
    j, h = model.dense(), model.fields
    pairs = sum(j[a, b] * s[a] * s[b] for a, b in itertools.combinations(range(model.n), 2))
    return -pairs - sum(h[a] * s[a] for a in range(model.n)) + model.offset


@given(st.integers(1, 8), st.integers(0, 10**6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_energy_is_its_definition(n, seed, dense):
    model = random_model(n, seed, dense)
    states = np.random.default_rng(seed).choice([-1, 1], size=(2, 3, n))
    expected = [[energy_by_definition(model, s) for s in row] for row in states]
    np.testing.assert_allclose(model.energy(states), expected, atol=1e-12)
    np.testing.assert_allclose(model.energy(states.astype(np.int8)), expected, atol=1e-12)
    np.testing.assert_allclose(model.energy(torch.tensor(states)).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("dense", [True, False])
def test_a_flip_costs_twice_the_spin_times_its_local_field(dense):
    model = random_model(9, 1, dense)
    s = np.random.default_rng(2).choice([-1, 1], size=9)
    flipped = s * (1 - 2 * np.eye(9, dtype=int))
    np.testing.assert_allclose(model.energy(flipped) - model.energy(s), 2 * s * model.local_fields(s), atol=1e-12)


@pytest.mark.parametrize("dense", [True, False])
def test_the_gradient_of_relaxed_spins_is_minus_the_local_field(dense):
    model = random_model(7, 3, dense)
    relaxed = torch.rand(4, 7, dtype=torch.float64, requires_grad=True)
    model.energy(relaxed).sum().backward()
    expected = -(relaxed.detach().numpy() @ model.dense() + model.fields)
    np.testing.assert_allclose(relaxed.grad.numpy(), expected, atol=1e-12)


def test_all_ways_to_build_a_model_agree():
    edges = [(0, 1, 1.5), (2, 1, -0.5), (0, 3, 2.0)]
    fields = [0.1, 0.0, -0.2, 0.3]
    model = IsingModel.from_edges(edges, fields=fields, offset=2.0)
    dense = np.zeros((4, 4))
    for i, j, w in edges:
        dense[i, j] = dense[j, i] = w
    assert model == IsingModel.from_dense(dense, fields, 2.0)
    assert model == IsingModel.from_dense(np.triu(dense), fields, 2.0)
    assert model == IsingModel(sparse.coo_array(dense), fields, 2.0)
    assert model == IsingModel.from_dict({(i, j): w for i, j, w in edges}, dict(enumerate(fields)), 2.0)
    assert model != IsingModel.from_dense(dense, fields, 2.5)
    assert [list(part) for part in model.edges] == [[0, 0, 1], [1, 3, 2], [1.5, 2.0, -0.5]]
    assert model.n_edges == 3


def test_repeated_pairs_are_summed_and_zeros_dropped():
    model = IsingModel.from_coo([0, 1, 1, 2], [1, 0, 2, 1], [1.0, 2.0, 1.0, -1.0])
    assert model.n_edges == 1
    assert model.dense()[0, 1] == 3.0


def test_labels_are_kept_in_order():
    model = IsingModel.from_dict({("b", "a"): 1.0}, {"c": 0.5})
    assert model.labels == ("c", "b", "a")
    assert model.energy([1, 1, -1]) == pytest.approx(1.0 - 0.5)


def test_energies_of_integers_are_exact():
    rng = np.random.default_rng(0)
    i, j = np.triu_indices(60, 1)
    w = rng.integers(-(10**8), 10**8, len(i)).astype(float)
    s = rng.choice([-1, 1], size=60)
    exact = -sum(int(w[k]) * int(s[i[k]]) * int(s[j[k]]) for k in range(len(i)))
    assert int(IsingModel.from_coo(i, j, w).energy(s)) == exact


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: IsingModel(np.ones((2, 3))), r"shape \[2, 3\]"),
        (lambda: IsingModel(np.eye(2)), r"entry \(0, 0\) couples a spin with itself"),
        (lambda: IsingModel([[0.0, 1.0], [2.0, 0.0]]), r"not symmetric: entries \(0, 1\) and \(1, 0\)"),
        (lambda: IsingModel([[0.0, np.nan], [np.nan, 0.0]]), r"entry \(0, 1\) is not a finite number"),
        (lambda: IsingModel(sparse.csr_array([[0, np.inf], [np.inf, 0]])), r"entry \(0, 1\) is not a finite number"),
        (lambda: IsingModel(np.zeros((2, 2)), [1.0]), r"fields have shape \[1\]"),
        (lambda: IsingModel(np.zeros((2, 2)), [1.0, np.inf]), "fields: entry 1"),
        (lambda: IsingModel(np.zeros((2, 2)), offset=np.nan), "offset"),
        (lambda: IsingModel(np.zeros((2, 2)), labels=["a", "a"]), "2 different names, got 1"),
        (lambda: IsingModel.from_edges([(0, 1, 1.0), (1, 1, 1.0)]), "edge 1: .* couples a spin with itself"),
        (lambda: IsingModel.from_edges([(0, 5, 1.0)], 3), r"edge 0: .* outside 0 … 2"),
        (lambda: IsingModel.from_edges([(-1, 1, 1.0)], 3), "edge 0: .* outside"),
        (lambda: IsingModel.from_edges([(0, 1, np.nan)]), "edge 0: .* not a finite number"),
        (lambda: IsingModel.from_coo([0.5], [1], [1.0]), "indices must be integers"),
        (lambda: IsingModel.from_edges([(0, 1, 1.0)]).energy([1, 1, 1]), r"expected \[..., 2\]"),
        (lambda: IsingModel.from_edges([(0, 1, 1.0)]).energy([[1, 1], [1, 0]]), r"entry \[1, 1\] is 0"),
        (lambda: IsingModel.from_edges([(0, 1, 1.0)]).energy(torch.ones(3)), r"expected \[..., 2\]"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_a_model_cannot_be_changed_in_place():
    model = random_model(4, 0, dense=True)
    with pytest.raises(ValueError, match="read-only"):
        model.couplings[0, 1] = 5.0
    with pytest.raises(ValueError, match="read-only"):
        model.fields[0] = 5.0
