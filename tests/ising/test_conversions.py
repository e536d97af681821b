"""Conversions: equal energies in all states, there and back, against the other side's own arithmetic."""

import builtins
import itertools

import dimod
import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sciml_zoo.errors import InputError
from sciml_zoo.ising.conversions import cut_value, from_bqm, from_max_cut, from_qubo, to_bqm, to_max_cut, to_qubo
from sciml_zoo.ising.exact import all_energies, all_states
from sciml_zoo.ising.hamiltonian import IsingModel
from tests.ising.test_hamiltonian import random_model

cases = given(st.integers(1, 7), st.integers(0, 10**6), st.booleans())
few = settings(max_examples=25, deadline=None)


@cases
@few
def test_a_qubo_has_the_energies_of_its_matrix(n, seed, dense):
    rng = np.random.default_rng(seed)
    qubo = rng.normal(size=(n, n))
    x = (all_states(n) + 1) // 2
    expected = np.einsum("ki,ij,kj->k", x, qubo, x) + 0.7
    model = from_qubo(qubo if dense else sparse.csr_array(qubo), 0.7)
    assert model.is_dense == dense
    np.testing.assert_allclose(all_energies(model), expected, atol=1e-12)
    named = from_qubo({(f"x{i}", f"x{j}"): qubo[i, j] for i, j in itertools.product(range(n), repeat=2)}, 0.7)
    assert named.labels == tuple(f"x{i}" for i in range(n))
    np.testing.assert_allclose(all_energies(named), expected, atol=1e-12)


@cases
@few
def test_to_qubo_and_back(n, seed, dense):
    model = random_model(n, seed, dense)
    qubo, offset = to_qubo(model)
    matrix = qubo if dense else qubo.toarray()
    assert not np.tril(matrix, -1).any()
    x = (all_states(n) + 1) // 2
    np.testing.assert_allclose(np.einsum("ki,ij,kj->k", x, matrix, x) + offset, all_energies(model), atol=1e-12)
    back = from_qubo(qubo, offset)
    np.testing.assert_allclose(back.dense(), model.dense(), atol=1e-12)
    np.testing.assert_allclose(back.fields, model.fields, atol=1e-12)
    assert back.offset == pytest.approx(model.offset, abs=1e-12)


@given(st.integers(2, 8), st.integers(0, 10**6))
@few
def test_the_energy_of_a_max_cut_is_minus_the_cut(n, seed):
    rng = np.random.default_rng(seed)
    i, j = np.triu_indices(n, 1)
    edges = [(int(a), int(b), float(w)) for a, b, w in zip(i, j, rng.integers(-5, 6, len(i)), strict=True)]
    weights = np.zeros((n, n))
    weights[i, j] = weights[j, i] = [w for _, _, w in edges]
    states = all_states(n)
    cuts = [sum(w for a, b, w in edges if s[a] != s[b]) for s in states]
    graph = networkx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from(edges)
    for source in (edges, np.array(edges) if len(edges) != 3 else edges, weights, sparse.csr_array(weights), graph):
        assert np.array_equal(all_energies(from_max_cut(source, n)), np.negative(cuts))
    assert np.array_equal(cut_value(weights, states), cuts)


def test_edges_without_weights_and_repeated_edges():
    model = from_max_cut([(0, 1), (1, 0), (1, 2)])
    assert model.energy([1, -1, -1]) == -2.0
    assert model.energy([1, -1, 1]) == -3.0


def test_a_networkx_graph_keeps_its_names():
    graph = networkx.Graph([("a", "b"), ("b", "c")])
    model = from_max_cut(graph)
    assert model.labels == ("a", "b", "c")
    assert model.energy([1, -1, 1]) == -2.0
    graph.add_edge("c", "c")
    with pytest.raises(InputError, match=r"'c', 'c'.* self-loop"):
        from_max_cut(graph)


@cases
@few
def test_max_cut_with_a_ghost_keeps_energies(n, seed, dense):
    model = random_model(n, seed, dense)
    weights, constant = to_max_cut(model)
    states = all_states(n)
    with_ghost = np.concatenate([states, np.ones((len(states), 1), dtype=np.int8)], axis=1)
    np.testing.assert_allclose(constant - cut_value(weights, with_ghost), all_energies(model), atol=1e-12)
    np.testing.assert_allclose(cut_value(weights, with_ghost), cut_value(weights, -with_ghost), atol=1e-12)


def test_max_cut_without_fields_has_no_ghost_and_comes_back():
    edges = [(0, 1, 3.0), (1, 2, -2.0)]
    model = from_max_cut(edges)
    weights, constant = to_max_cut(model)
    assert weights.shape == (3, 3)
    assert constant == 0.0
    assert from_max_cut(weights) == model


@cases
@few
def test_dimod_counts_the_same_energies(n, seed, dense):
    model = random_model(n, seed, dense)
    for vartype in ("SPIN", "BINARY"):
        bqm = to_bqm(model, vartype)
        assert bqm.vartype is dimod.as_vartype(vartype)
        states = all_states(n) if vartype == "SPIN" else (all_states(n) + 1) // 2
        np.testing.assert_allclose(bqm.energies((states, list(range(n)))), all_energies(model), atol=1e-10)
        np.testing.assert_allclose(all_energies(from_bqm(bqm)), all_energies(model), atol=1e-10)
    assert from_bqm(to_bqm(model)) == model


def test_dimod_signs_are_the_opposite_and_labels_stay():
    bqm = dimod.BinaryQuadraticModel({"p": 1.0, "q": 0.0}, {("p", "q"): 2.0}, 0.5, "SPIN")
    model = from_bqm(bqm)
    assert model.labels == ("p", "q")
    assert model.dense()[0, 1] == -2.0
    assert model.fields.tolist() == [-1.0, 0.0]
    assert to_bqm(model) == bqm


def test_without_dimod_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name == "dimod":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"pip install 'sciml-zoo\[dimod\]'"):
        to_bqm(IsingModel.from_edges([(0, 1, 1.0)]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: from_qubo(np.ones((2, 3))), r"\[2, 3\]"),
        (lambda: from_qubo([[1.0, np.nan], [0.0, 1.0]]), "not a finite number"),
        (lambda: from_qubo({("a", "b"): np.inf}), r"\('a', 'b'\) is inf"),
        (lambda: from_max_cut([(0, 0, 1.0)]), "couples a spin with itself"),
        (lambda: from_max_cut([(0, 7)], 3), "outside 0 … 2"),
        (lambda: from_max_cut(np.array([[0.0, 1.0], [2.0, 0.0]])), "not symmetric"),
        (lambda: from_bqm({"a": 1}), "expected a dimod.BinaryQuadraticModel, got dict"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(InputError, match=message):
        build()
