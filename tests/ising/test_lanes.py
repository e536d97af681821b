"""The SIMD kernels sample Boltzmann's distribution, and say the truth about energies."""

import numpy as np
import pytest

from sciml_zoo.ising._lane_sweeps import anneal_lanes, lane_energies, temper_lanes
from sciml_zoo.ising._lanes import LANES, seed_lanes
from sciml_zoo.ising.annealing import random_lanes
from sciml_zoo.ising.exact import enumerate_states
from sciml_zoo.ising.generators import edwards_anderson
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.lane_graph import LaneGraph


def glass(kind: str, with_fields: bool) -> IsingModel:
    model = edwards_anderson((3, 4), kind, periodic=False, seed=5)
    fields = np.random.default_rng(3).normal(size=model.n) * 0.4 if with_fields else None
    return IsingModel(model.couplings, fields)


def energies_of(graph: LaneGraph, spins: np.ndarray) -> np.ndarray:
    energies = np.zeros(LANES)
    lane_energies(graph.starts, graph.neighbours, graph.values, graph.fields, spins, energies)
    return energies


@pytest.mark.parametrize(
    ("kind", "with_fields"), [("pm1", False), ("pm1", True), ("gaussian", False), ("gaussian", True)]
)
def test_mean_energy_is_the_exact_one(kind: str, with_fields: bool) -> None:
    model, beta = glass(kind, with_fields), 0.7
    graph = LaneGraph.of(model)
    assert (graph.unit > 0) == (kind == "pm1")
    spins, state = random_lanes(model.n, 11, 0)
    schedule = np.full(6, 0.5 / beta, np.float32)
    means = []
    for step in range(1200):
        anneal_lanes(*graph.arrays, spins, state, schedule)
        if step >= 20:
            means.append(energies_of(graph, spins).mean())
    blocks = np.array(means).reshape(20, -1).mean(1)
    exact = enumerate_states(model, beta)
    assert abs(blocks.mean() - exact.energy_mean) < 4 * blocks.std(ddof=1) / np.sqrt(20)
    # 75,000 draws of 6 sweeps each: the error is small enough to see a wrong acceptance rule.
    assert blocks.std(ddof=1) / np.sqrt(20) < 0.02


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_tempering_with_cluster_exchange_keeps_every_level_at_its_temperature(share: float) -> None:
    model = glass("gaussian", True)
    graph = LaneGraph.of(model)
    bones = model.csr().copy()
    if share < 1:
        bones.data = np.where(np.abs(bones.data) >= np.quantile(np.abs(bones.data), 1 - share), bones.data, 0.0)
        bones.eliminate_zeros()
    betas = np.linspace(0.2, 1.6, 4)
    spins, state = random_lanes(model.n, 7, 0)
    energies = energies_of(graph, spins)
    lane_at = np.arange(LANES).reshape(4, 16)
    best, best_spins = np.array([np.inf]), spins[:, 0].copy()
    exchanges, accepted, random = np.zeros(3), np.zeros(4), np.array([99], np.uint64)
    means = []
    for step in range(3000):
        temper_lanes(
            *graph.arrays, bones.indptr.astype(np.int64), bones.indices.astype(np.uint32), spins, state, energies,
            betas,
            lane_at, random, 2, 0, 4, 1, 1.0, best, best_spins, exchanges, accepted,
        )  # fmt: skip
        if step >= 50:
            means.append(energies[lane_at].mean(1))
    blocks = np.array(means)[-2900:].reshape(20, -1, 4).mean(1)
    error = blocks.std(0, ddof=1) / np.sqrt(20)
    exact = np.array([enumerate_states(model, beta).energy_mean for beta in betas])
    assert (np.abs(blocks.mean(0) - exact) < 4 * error).all()
    assert (error < 0.05).all()
    assert (accepted > 1000).all()
    np.testing.assert_allclose(energies, model.energy(spins.T) - model.offset, atol=1e-2)
    assert sorted(lane_at.ravel()) == list(range(LANES))
    assert best[0] == pytest.approx(float(model.energy(best_spins)), abs=1e-2)
    assert best[0] == pytest.approx(enumerate_states(model, 1.0).ground_state.energy, abs=1e-2)


def test_energies_of_lanes_are_the_models() -> None:
    for kind in ("pm1", "gaussian"):
        model = glass(kind, True)
        spins, _ = random_lanes(model.n, 0, 0)
        np.testing.assert_allclose(energies_of(LaneGraph.of(model), spins), model.energy(spins.T), atol=1e-5)


def test_a_lane_depends_on_its_number_and_seed_only() -> None:
    whole, part, other = (np.zeros((4, LANES), np.uint32) for _ in range(3))
    seed_lanes(4, 0, whole)
    seed_lanes(4, 32, part)
    seed_lanes(5, 0, other)
    np.testing.assert_array_equal(whole[:, 32:], part[:, :32])
    assert not (whole[:3] == other[:3]).all(0).any()
    assert len(np.unique(whole[:3].T, axis=0)) == LANES
