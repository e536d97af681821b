"""Every method draws from the exact distribution, errors included, and the same draws whatever the threads."""

import warnings

import numpy as np
import pytest

from sciml_zoo.errors import InputError
from sciml_zoo.ising.draws import UnconvergedWarning
from sciml_zoo.ising.generators import edwards_anderson, square_lattice
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.onsager import kaufman_energy
from sciml_zoo.ising.sampling import sample
from tests.ising.sampled import BETA, chance_of_counts, distribution, frustrated

METHODS = {
    "heat_bath": {"method": "heat_bath"},
    "metropolis": {"method": "metropolis"},
    "wolff": {"method": "wolff"},
    "swendsen_wang": {"method": "swendsen_wang"},
    "tempering": {"method": "tempering", "cluster_moves": False},
    "tempering with clusters": {"method": "tempering", "cluster_moves": True},
}
EVERY = pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
pytestmark = pytest.mark.filterwarnings("ignore::sciml_zoo.ising.draws.UnconvergedWarning")


@EVERY
@pytest.mark.parametrize("clamped", [None, {1: 1, 4: -1}], ids=["free", "clamped"])
def test_independent_draws_follow_the_exact_distribution(options: dict, clamped: dict | None) -> None:
    model = frustrated()
    # The last states of many replicas; of a pair that exchanges clusters, one: these are independent.
    drawn = sample(model, BETA, n_sweeps=1, burn_in=160, n_replicas=16000, clamped=clamped, seed=1, **options).final
    assert chance_of_counts(drawn[::2], model, clamped) > 1e-3
    assert chance_of_counts(drawn[1::2], model, clamped) > 1e-3


@EVERY
@pytest.mark.parametrize("with_fields", [True, False], ids=["fields", "no fields"])
def test_means_lie_within_their_errors(options: dict, with_fields: bool) -> None:
    model = frustrated(8, with_fields=with_fields)
    states, chances = distribution(model)
    exact = {
        "energy": chances @ model.energy(states),
        "magnetisation": chances @ states.mean(1),
        "absolute_magnetisation": chances @ np.abs(states.mean(1)),
        "bond": chances @ (states[:, 0] * states[:, 5]),
    }
    observables = {"bond": lambda s: s[:, 0] * s[:, 5]}
    drawn = sample(model, BETA, n_sweeps=6000, n_replicas=32, seed=2, observables=observables, **options)
    for name, value in exact.items():
        mean, error = drawn.estimate(name)
        assert abs(mean - value) < 4 * error, name
        assert error < 0.05
    np.testing.assert_allclose(model.energy(drawn.spins), drawn.energies, rtol=0, atol=1e-12)
    np.testing.assert_allclose(drawn.spins.mean(-1), drawn.magnetisation, atol=1e-12)
    np.testing.assert_array_equal(drawn.observables["bond"], drawn.spins[..., 0] * drawn.spins[..., 5])


@EVERY
def test_draws_depend_neither_on_threads_nor_on_other_replicas(options: dict) -> None:
    model = edwards_anderson((5, 5), "gaussian", seed=4)
    run = {"n_sweeps": 20, "burn_in": 20, "seed": 9, **options}
    one = sample(model, 1.0, n_replicas=70, **run)
    many = sample(model, 1.0, n_replicas=70, n_threads=3, **run)
    few = sample(model, 1.0, n_replicas=6, **run)
    other = sample(model, 1.0, n_replicas=6, **{**run, "seed": 10})
    np.testing.assert_array_equal(one.spins, many.spins)
    np.testing.assert_array_equal(one.energies, many.energies)
    np.testing.assert_array_equal(one.probe, many.probe)
    np.testing.assert_array_equal(one.spins[:, :6], few.spins)
    assert not np.array_equal(few.spins, other.spins)


@EVERY
def test_infinite_temperature_is_uniform(options: dict) -> None:
    if options["method"] == "tempering":
        with pytest.raises(InputError, match="heat_bath"):
            sample(frustrated(), 0.0, n_sweeps=1, **options)
        return
    drawn = sample(frustrated(), 0.0, n_sweeps=3000, n_replicas=16, seed=3, **options)
    codes = (drawn.spins[-1, :, 0] > 0).mean(), drawn.magnetisation.var() * 6
    assert 0 < codes[0] < 1
    assert abs(codes[1] - 1) < 0.05


def test_large_lattice_has_kaufmans_energy() -> None:
    model, beta = square_lattice(16), 1 / 2.5
    for method in ("heat_bath", "wolff"):
        drawn = sample(model, beta, n_sweeps=2000, n_replicas=32, method=method, seed=5, keep_spins=False)
        mean, error = drawn.estimate("energy")
        assert drawn.spins is None
        assert abs(mean / model.n - kaufman_energy(16, 16, beta)) < 4 * error / model.n
        assert error / model.n < 4e-3


def test_each_replica_is_clamped_at_values_of_its_own() -> None:
    model = frustrated()
    held = np.zeros((4000, 6), dtype=np.int8)
    held[:, 2] = np.where(np.arange(4000) % 2, 1, -1)
    for method in ("heat_bath", "tempering"):
        final = sample(model, BETA, n_sweeps=1, burn_in=100, n_replicas=4000, clamped=held, method=method).final
        for parity, value in ((0, -1), (1, 1)):
            assert chance_of_counts(final[parity::2], model, {2: value}) > 1e-3


def test_a_run_goes_on_from_its_last_state() -> None:
    model = edwards_anderson((4, 4), "pm1", seed=1)
    first = sample(model, 2.0, n_sweeps=50, n_replicas=3, method="heat_bath", seed=1)
    np.testing.assert_array_equal(first.final, first.spins[-1])
    second = sample(model, 2.0, n_sweeps=1, burn_in=0, n_replicas=3, method="wolff", initial=first.final, seed=2)
    assert (second.final != first.final).any(1).all()
    assert second.spins.shape == (1, 3, 16)


def test_thinned_draws_are_every_kth() -> None:
    model = edwards_anderson((4, 4), "pm1", seed=1)
    run = {"n_replicas": 4, "method": "heat_bath", "burn_in": 10, "seed": 7}
    every = sample(model, 0.5, n_sweeps=60, **run)
    third = sample(model, 0.5, n_sweeps=60, thin=3, **run)
    np.testing.assert_array_equal(every.spins[2::3], third.spins)


def test_method_is_chosen_by_the_model() -> None:
    lattice, glass = square_lattice(6), edwards_anderson((6, 6), "pm1", seed=1)
    random_fields = IsingModel(lattice.couplings, np.where(np.arange(36) % 2, 0.5, -0.5))
    run = {"n_sweeps": 4, "n_replicas": 2}
    assert sample(lattice, 0.1, **run).method == "heat_bath"
    assert sample(lattice, 0.5, **run).method == "wolff"
    assert sample(glass, 0.2, **run).method == "heat_bath"
    assert sample(glass, 1.0, **run).method == "tempering"
    assert sample(random_fields, 0.5, **run).method == "tempering"
    assert sample(lattice, 0.5, clamped={0: 1, 7: -1}, **run).method == "tempering"
    assert sample(lattice, [0.1, 0.5], **run).method == "tempering"


@pytest.mark.filterwarnings("default::sciml_zoo.ising.draws.UnconvergedWarning")
def test_only_an_unconverged_run_warns() -> None:
    glass = edwards_anderson((6, 6, 6), "pm1", seed=2)
    with pytest.warns(UnconvergedWarning, match=r"probe: R-hat \d+\.\d+, effective.*tempering"):
        sample(glass, 2.0, n_sweeps=400, n_replicas=8, method="heat_bath", seed=1)
    with pytest.warns(UnconvergedWarning, match="too few"):
        sample(glass, 0.1, n_sweeps=2, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        good = sample(glass, 0.1, n_sweeps=1000, n_replicas=8, seed=1)
    assert not good.unconverged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": -1.0}, "at least 0"),
        ({"beta": [0.5]}, "at least 2 different"),
        ({"beta": [0.1, 0.5], "method": "wolff"}, "one temperature"),
        ({"n_sweeps": 0}, "n_sweeps 0"),
        ({"n_sweeps": 5, "thin": 6}, "thin 6"),
        ({"method": "wolf"}, "did you mean 'wolff'"),
        ({"clamped": {9: 1}}, r"0 … 5"),
        ({"clamped": {0: 2}}, "±1"),
        ({"clamped": [1, 0, 0]}, r"\[6\] or \[16, 6\]"),
        ({"clamped": np.eye(16, 6, dtype=int)}, "in all or none"),
        ({"initial": np.zeros(6)}, r"entry \[0\] is 0"),
        ({"backend": "jax"}, "backend 'jax'"),
        ({"device": "cuda", "backend": "numba"}, "'numba' on 'cpu'"),
        ({"method": "wolff", "backend": "torch"}, "tempering"),
        ({"method": "tempering", "n_rungs": 1}, "at least 2"),
        ({"method": "tempering", "cluster_moves": True, "n_replicas": 3}, "even n_replicas"),
        ({"observables": {"x": lambda s: s}}, "a number for each state"),
    ],
)
def test_bad_arguments_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample(frustrated(), **{"beta": 0.5, "n_sweeps": 10, **options})


def test_clusters_of_replicas_clamped_apart_are_refused() -> None:
    held = np.zeros((2, 6), dtype=int)
    held[:, 0] = 1, -1
    for options in ({"method": "wolff"}, {"method": "tempering", "cluster_moves": True}):
        with pytest.raises(InputError, match=r"same values|clamp alike"):
            sample(frustrated(), 0.5, n_sweeps=10, n_replicas=2, clamped=held, **options)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["heat_bath", "wolff", "tempering"])
def test_errors_are_calibrated(method: str) -> None:
    # Over many seeds, the distance from the exact value in units of the stated error is normal.
    model, beta = square_lattice(8), 1 / 2.3
    exact = kaufman_energy(8, 8, beta) * 64
    scores = []
    for seed in range(200):
        options = {"n_rungs": 6} if method == "tempering" else {}
        run = {"n_sweeps": 1000, "n_replicas": 8, "keep_spins": False, "seed": seed, **options}
        mean, error = sample(model, beta, method=method, **run).estimate("energy")
        scores.append((mean - exact) / error)
    assert abs(np.mean(scores)) < 4 / np.sqrt(200)
    assert abs(np.std(scores) - 1) < 0.2
