"""Ground states against enumeration, reproducibility, and what the result says of itself."""

import numpy as np
import pytest

from sciml_zoo.errors import InputError
from sciml_zoo.ising.annealing import anneal, beta_range_of
from sciml_zoo.ising.exact import exact_ground_state
from sciml_zoo.ising.generators import edwards_anderson, random_regular, sherrington_kirkpatrick
from sciml_zoo.ising.ground_states import GroundState, ground_state
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.tempering_search import TemperingSearch

SEARCHES = ("tempering", "annealing", "local_search", "relaxation")


def chain(n: int, exponent: float, seed: int) -> IsingModel:
    """A chain of Gaussian couplings that decay with distance: hard for single flips."""
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) + np.eye(n)
    couplings = np.triu(np.random.default_rng(seed).normal(size=(n, n)) / distance**exponent, 1)
    return IsingModel.from_dense(couplings)


CASES = {
    "gaussian": lambda: edwards_anderson((4, 5), "gaussian", seed=1),
    "pm1": lambda: edwards_anderson((4, 5), "pm1", seed=2),
    "dense": lambda: sherrington_kirkpatrick(18, "gaussian", seed=3),
    "fields": lambda: IsingModel(
        edwards_anderson((4, 5), "gaussian", seed=4).couplings, np.random.default_rng(0).normal(size=20), 3.25
    ),
    "chain": lambda: chain(20, 2.5, 0),
    "no couplings": lambda: IsingModel.from_edges([], 5, fields=[1.0, -2.0, 0.5, 3.0, -1.0]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", SEARCHES)
def test_every_search_finds_the_exact_ground_state(method: str, case: str) -> None:
    model = CASES[case]()
    found = ground_state(model, method=method, n_sweeps=600 if method != "local_search" else 60, seed=1)
    exact = exact_ground_state(model)
    assert found.energy == pytest.approx(exact.energy, abs=1e-9)
    assert found.energy == float(model.energy(found.spins))
    assert not found.proven
    assert found.method == method
    assert 0 <= found.hits <= found.restarts
    assert 0 <= found.seconds_to_best <= found.seconds


def test_small_models_are_proven() -> None:
    model = CASES["fields"]()
    found = ground_state(model)
    assert (found.proven, found.method) == (True, "enumeration")
    assert found.energy == pytest.approx(exact_ground_state(model).energy, abs=1e-12)


def test_domains_of_a_chain_are_turned_as_a_whole() -> None:
    """Couplings in blocks whose inner bonds are a thousand times stronger: the ground state is that of the blocks."""
    blocks = sherrington_kirkpatrick(12, "gaussian", seed=8)
    signs = np.random.default_rng(2).choice([-1.0, 1.0], 12 * 4)
    couplings = np.kron(blocks.dense(), np.zeros((4, 4)))
    couplings[::4, ::4] = blocks.dense() * 1e-3
    for block in range(12):
        for k in range(3):
            i = 4 * block + k
            couplings[i, i + 1] = couplings[i + 1, i] = 1.0
    model = IsingModel(couplings * np.outer(signs, signs))
    expected = 1e-3 * exact_ground_state(blocks).energy - 36
    for method in ("tempering", "local_search"):
        assert ground_state(model, method=method, n_sweeps=400, seed=0).energy == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("method", SEARCHES)
def test_a_run_of_sweeps_is_reproducible(method: str) -> None:
    model = random_regular(60, 3, seed=1)
    first, again = (ground_state(model, method=method, n_sweeps=45, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.spins, again.spins)
    assert first.sweeps == again.sweeps == 45
    assert (first.energy, first.sweeps_to_best, first.hits, first.restarts) == (
        again.energy, again.sweeps_to_best, again.hits, again.restarts,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["tempering", "annealing", "local_search"])
def test_a_run_of_time_is_on_the_same_trajectory(method: str) -> None:
    model = edwards_anderson((20, 20), "gaussian", seed=0)
    timed = ground_state(model, method=method, time_limit=0.05, seed=5)
    counted = ground_state(model, method=method, n_sweeps=timed.sweeps, seed=5)
    assert counted.sweeps == timed.sweeps
    np.testing.assert_array_equal(timed.spins, counted.spins)
    assert timed.energy == counted.energy


def test_tempering_does_not_depend_on_how_it_is_divided() -> None:
    model = edwards_anderson((12, 12), "gaussian", seed=0)
    whole, parts = TemperingSearch(model, 2), TemperingSearch(model, 2)
    whole.advance(200)
    for count in (1, 30, 62, 100, 7):
        parts.advance(count)
    assert whole.best_energy == parts.best_energy
    np.testing.assert_array_equal(whole.best_spins, parts.best_spins)
    np.testing.assert_array_equal(whole.betas, parts.betas)


def test_annealing_does_not_depend_on_threads_or_on_the_number_of_replicas() -> None:
    model = edwards_anderson((6, 6, 6), "pm1", seed=0)
    one, two, few = (
        anneal(model, n_sweeps=50, n_replicas=count, seed=9, n_threads=threads)
        for count, threads in ((150, 1), (150, 2), (70, 1))
    )
    np.testing.assert_array_equal(one.spins, two.spins)
    np.testing.assert_array_equal(one.spins[:70], few.spins)
    np.testing.assert_array_equal(one.energies, model.energy(one.spins))
    assert len(np.unique(one.spins, axis=0)) == 150


def test_more_sweeps_find_lower_energies() -> None:
    model = edwards_anderson((8, 8, 8), "pm1", seed=0)
    means = [anneal(model, n_sweeps=count, seed=0).energies.mean() for count in (10, 100, 1000)]
    assert means[0] > means[1] > means[2]


def test_temperatures_scale_with_the_couplings() -> None:
    model = edwards_anderson((6, 6), "gaussian", seed=0)
    np.testing.assert_allclose(np.array(beta_range_of(IsingModel(model.couplings * 10))) * 10, beta_range_of(model))


@pytest.mark.parametrize("method", ["tempering", "annealing"])
def test_the_state_is_a_minimum_under_single_flips_even_after_few_sweeps(method: str) -> None:
    """Also where a few couplings are so strong that float32 sums cannot see the others."""
    glass = edwards_anderson((40, 40), "gaussian", seed=0)
    scaled = IsingModel.from_edges([(0, 1, 1e9), (1, 2, 1e9)], 30, fields=np.ones(30))
    for model in (glass, scaled):
        found = ground_state(model, method=method, n_sweeps=20, seed=0)
        assert (found.spins * model.local_fields(found.spins) > -1e-9).all()


def test_the_search_stops_at_a_target() -> None:
    model = edwards_anderson((16, 16), "gaussian", seed=0)
    reached = ground_state(model, time_limit=1.0, seed=0)
    again = ground_state(model, time_limit=30, target=reached.energy, seed=1)
    assert again.energy <= reached.energy + 1e-6
    assert again.seconds < 20


def test_time_to_solution_follows_from_hits() -> None:
    model = random_regular(100, 3, seed=0)
    found = ground_state(model, method="annealing", n_sweeps=256, seed=0)
    assert found.restarts == 64
    assert 0 < found.hits <= 64
    repeats = 1.0 if found.hits == 64 else max(1.0, np.log(0.01) / np.log1p(-found.hits / 64))
    assert found.time_to_solution == pytest.approx(repeats * found.seconds / 64)


def test_the_model_has_it_as_a_method() -> None:
    found = CASES["pm1"]().ground_state(seed=0)
    assert isinstance(found, GroundState)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "tempring"}, "did you mean 'tempering'"),
        ({"time_limit": 0.0}, "time_limit"),
        ({"time_limit": float("nan")}, "time_limit"),
        ({"n_sweeps": 0}, "n_sweeps"),
        ({"seed": -1}, "seed"),
        ({"method": "enumeration"}, "at most 26"),
    ],
)
def test_bad_input(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ground_state(random_regular(30, 3, seed=0), **options)


def test_no_spins() -> None:
    with pytest.raises(InputError, match="no spins"):
        ground_state(IsingModel.from_edges([]))


@pytest.mark.parametrize("options", [{"n_sweeps": 0}, {"n_replicas": 0}, {"seed": -1}, {"beta_range": (1.0, 0.5)}])
def test_bad_annealing(options: dict) -> None:
    with pytest.raises(InputError):
        anneal(CASES["pm1"](), **options)
