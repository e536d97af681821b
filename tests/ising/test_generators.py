"""Generators: the graphs that they claim, the distributions, and the seeds."""

import dimod
import networkx
import numpy as np
import pytest

from sciml_zoo.errors import InputError
from sciml_zoo.ising.generators import (
    chimera,
    cubic_lattice,
    edwards_anderson,
    random_regular,
    sherrington_kirkpatrick,
    square_lattice,
)


def pairs(model) -> set[tuple[int, int]]:
    i, j, _ = model.edges
    return set(zip(i.tolist(), j.tolist(), strict=True))


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (4, 3, 5), (3, 3, 4, 3)])
def test_lattices_are_those_of_networkx(shape, periodic):
    graph = networkx.grid_graph(shape[::-1], periodic=periodic)
    number = {node if isinstance(node, tuple) else (node,): None for node in graph.nodes}
    expected = set()
    for u, v in graph.edges:
        a, b = (int(np.ravel_multi_index(end if isinstance(end, tuple) else (end,), shape)) for end in (u, v))
        expected.add((min(a, b), max(a, b)))
    model = edwards_anderson(shape, periodic=periodic, seed=0)
    assert model.n == len(number)
    assert pairs(model) == expected


def test_uniform_lattices_have_the_energy_of_all_spins_up():
    assert square_lattice(5, 7, coupling=2.0).energy(np.ones(35)) == -2 * 70
    assert square_lattice(5, 7, periodic=False).energy(np.ones(35)) == -(4 * 7 + 5 * 6)
    assert cubic_lattice(4, coupling=-1.0).energy(np.ones(64)) == 3 * 64


def test_a_periodic_axis_of_two_has_both_bonds_and_one_of_one_has_none():
    assert square_lattice(2, 2).dense()[0].tolist() == [0.0, 2.0, 2.0, 0.0]
    assert pairs(square_lattice(1, 4)) == {(0, 1), (1, 2), (2, 3), (0, 3)}
    assert square_lattice(1, 1).n_edges == 0


def test_chimera_has_the_indices_of_dwave():
    bqm = dimod.generators.chimera_anticluster(3, 2, 4)
    expected = {(min(u, v), max(u, v)) for u, v in bqm.quadratic}
    model = chimera(3, 2, seed=0)
    assert model.n == bqm.num_variables == 48
    assert pairs(model) == expected


@pytest.mark.parametrize(("n", "degree"), [(50, 3), (51, 6), (7, 6), (9, 4), (10, 9), (12, 7), (4, 0), (2000, 11)])
def test_a_regular_graph_is_simple_and_regular(n, degree):
    model = random_regular(n, degree, seed=5)
    matrix = model.csr()
    assert (np.diff(matrix.indptr) == degree).all()
    assert set(np.unique(matrix.data)) <= {-1.0, 1.0}


def test_five_cycles_are_equally_likely():
    counts: dict[frozenset, int] = {}
    for seed in range(600):
        graph = frozenset(pairs(random_regular(5, 2, seed=seed)))
        counts[graph] = counts.get(graph, 0) + 1
    assert len(counts) == 12  # the five-cycles on five named vertices
    expected = 600 / 12
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 31.3  # χ², 11 degrees, p = 0.001


def test_distributions_have_their_moments():
    gaussian = edwards_anderson((40, 40, 40), "gaussian", seed=1).edges[2]
    assert abs(gaussian.mean()) < 4 / np.sqrt(len(gaussian))
    assert abs(gaussian.var() - 1) < 4 * np.sqrt(2 / len(gaussian))
    signs = edwards_anderson((40, 40, 40), "pm1", seed=1).edges[2]
    assert set(signs) == {-1.0, 1.0}
    assert abs(signs.mean()) < 4 / np.sqrt(len(signs))


def test_sherrington_kirkpatrick_is_dense_and_scaled():
    n = 400
    gaussian = sherrington_kirkpatrick(n, seed=2)
    assert gaussian.is_dense
    values = gaussian.couplings[np.triu_indices(n, 1)]
    assert abs(values.var() * n - 1) < 4 * np.sqrt(2 / len(values))
    signs = sherrington_kirkpatrick(n, "pm1", seed=2).couplings[np.triu_indices(n, 1)]
    np.testing.assert_allclose(np.abs(signs), 1 / np.sqrt(n))
    assert abs(np.sign(signs).mean()) < 4 / np.sqrt(len(signs))


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: edwards_anderson((6, 6), seed=seed),
        lambda seed: edwards_anderson((6, 6), "pm1", seed=seed),
        lambda seed: sherrington_kirkpatrick(20, seed=seed),
        lambda seed: chimera(2, seed=seed),
        lambda seed: random_regular(30, 3, seed=seed),
    ],
)
def test_a_seed_is_the_model(make):
    assert make(7) == make(7)
    assert make(7) != make(8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: square_lattice(0), "length of axis 0 is 0"),
        (lambda: edwards_anderson((), seed=0), "at least one axis"),
        (lambda: edwards_anderson((3, 2.5), seed=0), "length of axis 1 is 2.5"),
        (lambda: edwards_anderson((3, 3), "gausian", seed=0), "did you mean 'gaussian'"),
        (lambda: sherrington_kirkpatrick(-3, seed=0), "n is -3"),
        (lambda: chimera(0, seed=0), "rows is 0"),
        (lambda: random_regular(5, 3, seed=0), "must be even"),
        (lambda: random_regular(5, 5, seed=0), "0 ≤ degree < n"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
