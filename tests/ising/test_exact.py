"""Enumeration: against sums spelled out, Kaufman's formula, thermodynamic identities, and hard temperatures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.errors import InputError
from sciml_zoo.ising.exact import (
    all_energies,
    all_states,
    enumerate_states,
    exact_ground_state,
    log_probabilities,
    state_numbers,
)
from sciml_zoo.ising.generators import edwards_anderson, sherrington_kirkpatrick, square_lattice
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.onsager import CRITICAL_TEMPERATURE, kaufman_energy, kaufman_log_z
from tests.ising.test_hamiltonian import random_model


def assert_equals_plain_sums(model: IsingModel, beta: float) -> None:
    states = all_states(model.n).astype(float)
    energies = model.energy(states)
    log_weights = -beta * energies
    log_z = log_weights.max() + math.log(math.fsum(np.exp(log_weights - log_weights.max())))
    p = np.exp(log_weights - log_z)
    result = enumerate_states(model, beta)
    assert result.log_z == pytest.approx(log_z, rel=1e-12, abs=1e-12)
    mean = math.fsum(p * energies)
    assert result.energy_mean == pytest.approx(mean, rel=1e-11, abs=1e-11)
    assert result.energy_variance == pytest.approx(math.fsum(p * (energies - mean) ** 2), rel=1e-9, abs=1e-12)
    assert result.entropy == pytest.approx(-math.fsum(p * (log_weights - log_z)), rel=1e-10, abs=1e-11)
    np.testing.assert_allclose(result.magnetisation, p @ states, atol=1e-12)
    np.testing.assert_allclose(result.correlations, (states * p[:, None]).T @ states, atol=1e-12)
    ground = result.ground_state
    lowest = energies.min()
    assert ground.energy == pytest.approx(lowest, rel=1e-13, abs=1e-13)
    assert ground.count == (energies < lowest + 1e-10).sum()
    np.testing.assert_allclose(model.energy(ground.states), lowest, atol=1e-12)
    assert len({tuple(s) for s in ground.states}) == min(ground.count, 16)


@given(st.integers(1, 9), st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 1.0, 4.0]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_small_models_equal_plain_sums(n, seed, beta, dense):
    assert_equals_plain_sums(random_model(n, seed, dense), beta)


@pytest.mark.parametrize("n", [12, 13, 15])
def test_models_larger_than_a_block_equal_plain_sums(n):
    assert_equals_plain_sums(random_model(n, n, dense=True), 0.7)
    assert_equals_plain_sums(edwards_anderson((n,), "pm1", seed=n), 1.3)


@pytest.mark.parametrize("temperature", [1.0, 2.0, CRITICAL_TEMPERATURE, 3.0, 5.0])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (2, 7)])
def test_a_torus_equals_kaufmans_formula(shape, temperature):
    result = enumerate_states(square_lattice(*shape), 1 / temperature)
    assert result.log_z == pytest.approx(kaufman_log_z(*shape, 1 / temperature), rel=1e-12)
    n = math.prod(shape)
    assert result.energy_mean / n == pytest.approx(kaufman_energy(*shape, 1 / temperature), rel=1e-11)
    assert result.ground_state.energy == -2 * n
    assert result.ground_state.count == 2


def test_free_spins_have_their_closed_form():
    fields = np.linspace(-2, 2, 14)
    result = enumerate_states(IsingModel(np.zeros((14, 14)), fields, 3.0), 0.8)
    assert result.log_z == pytest.approx(np.log(2 * np.cosh(0.8 * fields)).sum() - 0.8 * 3.0, rel=1e-13)
    np.testing.assert_allclose(result.magnetisation, np.tanh(0.8 * fields), atol=1e-13)
    off = result.covariances - np.diag(np.diag(result.covariances))
    np.testing.assert_allclose(off, 0.0, atol=1e-13)


def test_derivatives_of_log_z_are_the_moments():
    model = random_model(14, 3, dense=True)
    beta, step = 0.6, 1e-3
    at = {k: enumerate_states(model, beta + k * step) for k in (-2, -1, 0, 1, 2)}
    first = (at[-2].log_z - 8 * at[-1].log_z + 8 * at[1].log_z - at[2].log_z) / (12 * step)
    assert at[0].energy_mean == pytest.approx(-first, rel=1e-8)
    slope = (at[-2].energy_mean - 8 * at[-1].energy_mean + 8 * at[1].energy_mean - at[2].energy_mean) / (12 * step)
    assert at[0].energy_variance == pytest.approx(-slope, rel=1e-7)
    assert at[0].heat_capacity == pytest.approx(beta**2 * at[0].energy_variance)
    assert at[0].free_energy == pytest.approx(at[0].energy_mean - at[0].entropy / beta, rel=1e-12)


def test_low_temperature_and_large_couplings_stay_finite():
    model = sherrington_kirkpatrick(16, seed=1)
    result = enumerate_states(model, 1e6)
    ground = result.ground_state
    assert result.energy_mean == pytest.approx(ground.energy, rel=1e-12)
    assert result.entropy == pytest.approx(math.log(2), rel=1e-9)
    assert result.log_z == pytest.approx(-1e6 * ground.energy + math.log(2), rel=1e-12)
    np.testing.assert_allclose(np.abs(result.correlations), 1.0, atol=1e-12)


def test_infinite_temperature():
    result = enumerate_states(random_model(17, 5), 0.0)
    assert result.log_z == pytest.approx(17 * math.log(2), rel=1e-13)
    assert result.entropy == pytest.approx(17 * math.log(2), rel=1e-13)
    np.testing.assert_allclose(result.correlations, np.eye(17), atol=1e-12)


def test_the_degeneracy_of_a_frustrated_ring_is_counted():
    """An antiferromagnetic ring of odd length has one unsatisfied bond anywhere: 2n ground states."""
    n = 13
    ring = IsingModel.from_edges([(k, (k + 1) % n, -0.1) for k in range(n)])
    ground = exact_ground_state(ring, max_states=100)
    assert ground.count == 2 * n
    assert len({tuple(s) for s in ground.states}) == 2 * n
    assert ground.energy == pytest.approx(-0.1 * (n - 2))


def test_26_spins_have_the_partition_function_of_a_ring():
    n, beta = 26, 0.4
    ring = IsingModel.from_edges([(k, (k + 1) % n, 1.0) for k in range(n)])
    result = enumerate_states(ring, beta)
    ratio = math.tanh(beta)
    assert result.log_z == pytest.approx(n * math.log(2 * math.cosh(beta)) + math.log1p(ratio**n), rel=1e-13)
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    expected = (ratio**distance + ratio ** (n - distance)) / (1 + ratio**n)
    np.testing.assert_allclose(result.correlations, expected, atol=1e-12)


def test_state_numbers_are_those_of_the_states():
    states = all_states(9)
    assert state_numbers(states).tolist() == list(range(512))
    assert states[5, :4].tolist() == [1, -1, 1, -1]
    model = random_model(9, 8)
    np.testing.assert_allclose(all_energies(model), model.energy(states), atol=1e-12)


def test_log_probabilities_are_normalised_differences_of_energy():
    model = random_model(10, 9)
    log_p = log_probabilities(model, 1.7)
    assert np.exp(log_p).sum() == pytest.approx(1.0, rel=1e-13)
    np.testing.assert_allclose(log_p - log_p[0], -1.7 * (all_energies(model) - all_energies(model)[0]), atol=1e-12)
    assert log_p[0] == pytest.approx(-1.7 * all_energies(model)[0] - enumerate_states(model, 1.7).log_z, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: enumerate_states(edwards_anderson((27,), seed=0)), "27 spins .* at most 26"),
        (lambda: exact_ground_state(edwards_anderson((27,), seed=0)), "at most 26"),
        (lambda: log_probabilities(edwards_anderson((21,), seed=0)), "at most 20"),
        (lambda: all_states(21), "at most 20"),
        (lambda: enumerate_states(square_lattice(2), -1.0), "beta is -1"),
        (lambda: enumerate_states(square_lattice(2), math.inf), "beta is inf"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
