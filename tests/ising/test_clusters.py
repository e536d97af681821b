"""Cluster moves: what they conserve, and that they do what they are for."""

import numpy as np
import pytest

from sciml_zoo.ising._cluster_kernels import exchange_cluster
from sciml_zoo.ising._sampling_kernels import random_states
from sciml_zoo.ising.chains import CompiledModel
from sciml_zoo.ising.generators import edwards_anderson, square_lattice
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.onsager import CRITICAL_TEMPERATURE, kaufman_energy
from sciml_zoo.ising.sampling import sample


def exchanged(model: IsingModel, pair: np.ndarray, symmetric: bool, seed: int) -> tuple[np.ndarray, int, int]:
    """Two replicas [2, n] after one exchange, the size of the cluster, and how many spins it was chosen from."""
    graph = CompiledModel(model).graph
    spins = np.ascontiguousarray(pair.T)
    mark = np.zeros(model.n, dtype=bool)
    free, stack = np.arange(model.n, dtype=np.int32), np.empty(model.n, dtype=np.int64)
    state = random_states(seed, 0, np.arange(1))[:, 0].copy()
    size, found = exchange_cluster(graph[0], graph[1], free, symmetric, spins, 0, 1, state, stack, mark)
    assert not mark.any()
    return spins.T, size, found


@pytest.mark.parametrize("with_fields", [True, False])
def test_exchange_keeps_the_sum_of_energies_and_the_overlap(with_fields: bool) -> None:
    rng = np.random.default_rng(1)
    glass = edwards_anderson((8, 8), "gaussian", seed=1)
    model = IsingModel(glass.couplings, rng.normal(size=64)) if with_fields else glass
    sizes = []
    for seed in range(200):
        bias = rng.uniform(0.1, 0.9)
        pair = np.where(rng.random((2, 64)) < np.array([[0.5], [bias]]), 1, -1).astype(np.int8)
        after, size, found = exchanged(model, pair, not with_fields, seed)
        np.testing.assert_array_equal(after[0] * after[1], pair[0] * pair[1])
        assert model.energy(after).sum() == pytest.approx(model.energy(pair).sum(), abs=1e-9)
        turned = after[0] != pair[0]
        np.testing.assert_array_equal(turned, after[1] != pair[1])
        assert turned.sum() == size <= found
        if not with_fields:
            assert found <= 32
        sizes.append(size)
    assert len(set(sizes)) > 10


def test_exchange_of_equal_replicas_does_nothing() -> None:
    model = square_lattice(4)
    pair = np.ones((2, 16), dtype=np.int8)
    after, size, found = exchanged(model, pair, False, 0)
    assert (size, found) == (0, 0)
    np.testing.assert_array_equal(after, pair)


@pytest.mark.filterwarnings("ignore::sciml_zoo.ising.draws.UnconvergedWarning")
def test_clusters_beat_critical_slowing_down() -> None:
    model, beta = square_lattice(24), 1 / CRITICAL_TEMPERATURE
    tau = {}
    for method in ("wolff", "swendsen_wang", "heat_bath"):
        drawn = sample(model, beta, n_sweeps=3000, n_replicas=16, method=method, seed=1, keep_spins=False)
        tau[method] = drawn.diagnostics["absolute_magnetisation"].autocorrelation_time
        mean, error = drawn.estimate("energy")
        assert abs(mean - model.n * kaufman_energy(24, 24, beta)) < 4 * error
    assert tau["wolff"] < 0.1 * tau["heat_bath"]
    assert tau["swendsen_wang"] < 0.2 * tau["heat_bath"]


def test_a_sweep_of_wolff_turns_over_about_all_spins() -> None:
    drawn = sample(square_lattice(16), 0.3, n_sweeps=2000, n_replicas=4, method="wolff", burn_in=800, seed=1)
    changed = (drawn.spins[1:] != drawn.spins[:-1]).mean()
    # A spin is turned over once a sweep on average: were it at random, an odd number of times with chance (1 − e⁻²)/2.
    assert changed == pytest.approx((1 - np.exp(-2)) / 2, abs=0.1)
    assert drawn.acceptance < 0.2
