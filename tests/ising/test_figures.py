"""What is drawn: the numbers in the figures, and the fit that they show, against exact laws."""

import itertools

import numpy as np
import pytest

from sciml_zoo.errors import InputError
from sciml_zoo.ising.draws import Estimate, Ladder
from sciml_zoo.ising.exact import all_energies, enumerate_states
from sciml_zoo.ising.figures import energy_histogram, energy_ratio, exchange_rates, lattice, magnetisation_curve
from sciml_zoo.ising.generators import edwards_anderson, sherrington_kirkpatrick
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.onsager import CRITICAL_TEMPERATURE, yang_magnetisation
from sciml_zoo.ising.sampling import sample

BETAS = (0.4, 0.55)


def drawn(model: IsingModel, beta: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Independent energies from the exact Boltzmann distribution."""
    energies = all_energies(model)
    chances = np.exp(-beta * (energies - energies.min()))
    return rng.choice(energies, shape, p=chances / chances.sum())


def test_the_slope_is_the_difference_of_beta_and_the_intercept_that_of_log_z():
    model, rng = edwards_anderson((3, 3), "pm1", seed=0), np.random.default_rng(0)
    fit = energy_ratio(BETAS, tuple(drawn(model, beta, (60_000, 16), rng) for beta in BETAS))
    assert fit.expected == pytest.approx(BETAS[0] - BETAS[1])
    assert fit.slope == pytest.approx(fit.expected, abs=4 * fit.standard_error)
    assert fit.standard_error < 0.01 * abs(fit.expected)
    logs = [enumerate_states(model, beta).log_z for beta in BETAS]
    assert fit.intercept == pytest.approx(logs[0] - logs[1], abs=0.01)


def test_unequal_numbers_of_draws_do_not_shift_the_intercept():
    model, rng = sherrington_kirkpatrick(8, seed=1), np.random.default_rng(1)
    fit = energy_ratio(BETAS, (drawn(model, BETAS[0], (40_000, 8), rng), drawn(model, BETAS[1], (10_000, 8), rng)))
    logs = [enumerate_states(model, beta).log_z for beta in BETAS]
    assert fit.intercept == pytest.approx(logs[0] - logs[1], abs=0.02)
    assert fit.slope == pytest.approx(fit.expected, abs=4 * fit.standard_error)


def test_the_standard_error_is_the_scatter_of_repeated_fits():
    model, rng = sherrington_kirkpatrick(7, seed=2), np.random.default_rng(2)
    fits = [energy_ratio(BETAS, tuple(drawn(model, beta, (200, 16), rng) for beta in BETAS)) for _ in range(300)]
    z = np.array([(fit.slope - fit.expected) / fit.standard_error for fit in fits])
    assert abs(z.mean()) < 4 / np.sqrt(300)
    assert 0.9 < z.std() < 1.3  # Student's t of 15 degrees of freedom: 1.07


def test_replicas_in_groups_are_left_out_together():
    model, rng = sherrington_kirkpatrick(7, seed=2), np.random.default_rng(3)
    single = [drawn(model, beta, (500, 8), rng) for beta in BETAS]
    twice = tuple(np.repeat(values, 2, axis=1) for values in single)  # pairs that are the same
    fit = energy_ratio(BETAS, twice, group=2)
    assert fit.standard_error == pytest.approx(energy_ratio(BETAS, tuple(single)).standard_error)
    assert energy_ratio(BETAS, twice).standard_error < 0.9 * fit.standard_error


def test_draws_of_parallel_tempering_obey_the_law():
    model = edwards_anderson((6, 6), seed=4)
    found = sample(model, [0.2, 0.5, 0.8, 1.1], n_sweeps=6000, n_replicas=16, seed=1, keep_spins=False)
    assert found.ladder is not None
    betas = (float(found.ladder.betas[1]), float(found.ladder.betas[2]))
    energies = (found.ladder.energies[..., 1], found.ladder.energies[..., 2])
    group = 2 if found.paired else 1
    fit = energy_ratio(betas, energies, group=group)
    assert fit.expected == pytest.approx(-0.3)
    assert fit.slope == pytest.approx(fit.expected, abs=4 * fit.standard_error)
    (_, right) = energy_histogram(betas, energies, group=group).axes
    label = right.get_legend().get_texts()[0].get_text()
    assert f"{fit.slope:.5f} ± {fit.standard_error:.5f}" in label
    x, y = next(line for line in right.lines if line.get_label() == label).get_data()
    assert np.diff(y)[0] / np.diff(x)[0] == pytest.approx(fit.slope)


@pytest.mark.parametrize("kind", ["pm1", "gaussian"])
def test_histograms_hold_every_draw_in_bins_of_equal_width(kind):
    values = drawn(edwards_anderson((3, 4), kind, seed=5), 0.3, (4000, 2), np.random.default_rng(4))
    (axes,) = energy_histogram([0.3], [values]).axes
    shares, edges, _ = axes.patches[0].get_data()
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])
    expected = [((values >= low) & (values < high)).mean() for low, high in itertools.pairwise(edges)]
    np.testing.assert_allclose(shares, expected, atol=1 / values.size + 1e-12)


def test_a_single_energy_is_a_histogram_of_one_bin():
    (axes,) = energy_histogram([1.0], [np.full((5, 2), -3.0)]).axes
    shares, edges, _ = axes.patches[0].get_data()
    assert (list(shares), list(edges)) == ([1.0], [-3.5, -2.5])


@pytest.mark.parametrize(
    ("betas", "first", "second", "words"),
    [
        ((0.5, 0.5), np.zeros((3, 4)), np.zeros((3, 4)), "two different"),
        ((0.5, 0.6), np.zeros(3), np.zeros(3), "n_replicas"),
        ((0.5, 0.6), np.zeros((3, 1)), np.zeros((3, 1)), "at least 2"),
        ((0.5, 9.0), np.array([[0.0, 1.0]]), np.array([[-3.0, -2.0]]), "closer"),
    ],
)
def test_energies_that_cannot_be_compared_are_refused(betas, first, second, words):
    with pytest.raises(InputError, match=words):
        energy_ratio(betas, (first, second))
    with pytest.raises(InputError, match="one or two"):
        energy_histogram([1.0, 2.0, 3.0], [first] * 3)


def test_a_lattice_is_drawn_row_by_row():
    spins = np.random.default_rng(5).choice([-1, 1], (2, 12))
    panels = lattice(spins, (3, 4)).axes
    for axes, state in zip(panels, spins, strict=True):
        np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), state.reshape(3, 4))
    with pytest.raises(InputError, match="no lattice of 3 rows, 5 columns"):
        lattice(spins, (3, 5))


def test_points_lie_over_yangs_curve():
    temperatures = [1.5, 2.0, 2.6]
    estimates = [Estimate(0.98, 0.001), Estimate(0.91, 0.002), Estimate(0.2, 0.01)]
    (axes,) = magnetisation_curve(temperatures, estimates).axes
    x, y = axes.lines[0].get_data()
    np.testing.assert_allclose(y, [yang_magnetisation(float(t)) for t in x])
    assert (x[0], x[-1]) == (pytest.approx(1.5), 2.6)
    near = np.flatnonzero(x < CRITICAL_TEMPERATURE)[-1]
    assert CRITICAL_TEMPERATURE - x[near] < 1e-9  # the steep end is drawn
    assert (x[near + 1], y[near + 1]) == (CRITICAL_TEMPERATURE, 0)
    points, _, (bars,) = axes.containers[0]
    np.testing.assert_allclose(np.asarray(points.get_ydata(), float), [0.98, 0.91, 0.2])
    np.testing.assert_allclose([np.ptp(bar[:, 1]) / 2 for bar in bars.get_segments()], [0.001, 0.002, 0.01])


def test_exchange_rates_stand_between_their_temperatures():
    none = np.zeros((1, 2, 3))
    ladder = Ladder(np.array([0.0, 1.0, 3.0]), none, none, np.array([0.9, 0.4]), np.array([2, 3]), np.zeros(3))
    (axes,) = exchange_rates(ladder).axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0.5, 0.9], [2.0, 0.4]])
    assert "barrier 0.70, 5 round trips" in axes.get_title()
