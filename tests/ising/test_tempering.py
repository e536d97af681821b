"""Temperatures of equal exchange rates, and draws at all of them."""

import numpy as np
import pytest

from sciml_zoo.errors import InputError
from sciml_zoo.ising.exact import enumerate_states
from sciml_zoo.ising.generators import edwards_anderson, random_regular, sherrington_kirkpatrick, square_lattice
from sciml_zoo.ising.onsager import kaufman_energy
from sciml_zoo.ising.sampling import sample
from sciml_zoo.ising.tempering import adapt_ladder, equal_steps
from tests.ising.sampled import frustrated

UNJUDGED = pytest.mark.filterwarnings("ignore::sciml_zoo.ising.draws.UnconvergedWarning")


def test_equal_steps_of_a_known_barrier() -> None:
    # Rejection proportional to β_{t+1}² − β_t², so that Λ(β) = β²: equal steps are square roots.
    ladder = np.linspace(0.0, 1.0, 101)
    found = equal_steps(ladder, np.diff(ladder**2), 5)
    np.testing.assert_allclose(found, np.sqrt(np.linspace(0, 1, 5)), atol=0.02)
    assert equal_steps(ladder, np.zeros(100), 3).tolist() == pytest.approx([0.0, 0.5, 1.0])


def test_adapted_ladder_exchanges_evenly() -> None:
    model = square_lattice(12)
    ladder = adapt_ladder(model, 0.6, seed=1)
    assert (ladder[0], ladder[-1]) == (0.0, 0.6)
    assert (np.diff(ladder) > 0).all()
    drawn = sample(model, ladder, n_sweeps=2000, n_replicas=8, cluster_moves=False, seed=2)
    rates = drawn.ladder.exchange_rates
    even = sample(model, np.linspace(0, 0.6, len(ladder)), n_sweeps=2000, n_replicas=8, cluster_moves=False, seed=2)
    assert np.ptp(rates) < 0.25
    assert np.ptp(rates) < 0.6 * np.ptp(even.ladder.exchange_rates)
    # As many rungs as are best: exchanges of about one half.
    assert 0.35 < rates.mean() < 0.65
    np.testing.assert_allclose(drawn.ladder.barrier, (1 - rates).sum())
    assert (drawn.ladder.round_trips > 10).all()


def test_every_temperature_has_kaufmans_energy() -> None:
    model = square_lattice(8)
    drawn = sample(model, 0.5, n_sweeps=4000, n_replicas=16, method="tempering", cluster_moves=False, seed=3)
    ladder = drawn.ladder
    np.testing.assert_array_equal(ladder.energies[..., -1], drawn.energies)
    np.testing.assert_array_equal(ladder.magnetisation[..., -1], drawn.magnetisation)
    for t, beta in enumerate(ladder.betas[1:], 1):
        means = ladder.energies[..., t].mean(0) / model.n
        error = means.std(ddof=1) / np.sqrt(len(means))
        assert abs(means.mean() - kaufman_energy(8, 8, beta)) < 4.5 * error
        assert error < 5e-3


@UNJUDGED
def test_clusters_are_exchanged_where_they_do_not_percolate() -> None:
    run = {"n_sweeps": 200, "burn_in": 400, "n_replicas": 8, "method": "tempering", "seed": 1}
    flat = sample(edwards_anderson((12, 12), "gaussian", seed=1), 2.0, **run)
    dense = sample(sherrington_kirkpatrick(60, "gaussian", seed=1), 2.0, **run)
    assert flat.paired
    assert flat.ladder.cluster_moves.mean() > 0.5
    assert dense.ladder.cluster_moves.mean() < 0.2
    odd = sample(edwards_anderson((12, 12), "gaussian", seed=1), 2.0, **{**run, "n_replicas": 7})
    assert not odd.paired
    assert not odd.ladder.cluster_moves.any()


@UNJUDGED
def test_clusters_shorten_the_autocorrelation_of_a_flat_glass() -> None:
    model = edwards_anderson((16, 16), "gaussian", seed=3)
    run = {"n_sweeps": 1500, "n_replicas": 16, "n_rungs": 12, "method": "tempering", "seed": 2, "keep_spins": False}
    with_moves = sample(model, 2.0, cluster_moves=True, **run)
    without = sample(model, 2.0, cluster_moves=False, **run)
    # Each replica by itself; of the pairs' means the exchange changes little, which is why errors are taken from those.
    errors = [np.std(drawn.probe.mean(0), ddof=1) for drawn in (with_moves, without)]
    assert errors[0] < errors[1]
    assert with_moves.series("probe").shape == (1500, 8)


def test_ground_states_are_reached_as_often_as_boltzmann_says() -> None:
    model = edwards_anderson((4, 5), "pm1", seed=5)
    exact = enumerate_states(model, 2.0)
    drawn = sample(model, 2.0, n_sweeps=5000, n_replicas=16, method="tempering", seed=4)
    mean, error = drawn.estimate("energy")
    assert abs(mean - exact.energy_mean) < 4 * error
    found = {state.tobytes() for state in drawn.spins[np.isclose(drawn.energies, exact.ground_state.energy)]}
    assert len(found) == exact.ground_state.count


def test_tempering_of_a_random_regular_glass_converges() -> None:
    model = random_regular(100, 3, "pm1", seed=2)
    drawn = sample(model, 1.5, n_sweeps=6000, n_replicas=16, seed=3)
    assert drawn.method == "tempering"
    assert not drawn.unconverged


def test_bad_ladders_are_refused() -> None:
    with pytest.raises(InputError, match="positive"):
        adapt_ladder(frustrated(), 0.0)
    with pytest.raises(InputError, match="at least 2"):
        adapt_ladder(frustrated(), 1.0, n_rungs=1)
