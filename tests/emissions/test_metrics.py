"""Scores: by hand, and the CRPS against the Gaussian's closed form and all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from sciml_zoo.emissions.metrics import coverage, crps, inside, mase, naive_scale, smape, total_error, width
from sciml_zoo.errors import InputError

NAN = np.nan


def test_the_naive_scale_is_the_mean_change_of_consecutive_reports():
    history = [[10.0, 13.0, 11.0], [10.0, NAN, 30.0], [NAN, 5.0, 9.0], [7.0, 7.0, 7.0]]
    np.testing.assert_array_equal(naive_scale(np.array(history)), [2.5, NAN, 4.0, 0.0])


def test_mase_by_hand():
    point = np.array([[10.0, 10.0], [4.0, 4.0], [1.0, 1.0], [2.0, 2.0]])
    actual = np.array([[12.0, 7.0], [NAN, 6.0], [2.0, 2.0], [NAN, NAN]])
    scores = mase(point, actual, np.array([2.5, 4.0, 0.0, 1.0]))
    np.testing.assert_allclose(scores, [(2 + 3) / 2 / 2.5, 2 / 4, NAN, NAN])


def test_smape_by_hand():
    scores = smape(np.array([[100.0, 0.0, 0.0]]), np.array([[300.0, 0.0, 5.0]]))
    np.testing.assert_allclose(scores, [[100.0, 0.0, 200.0]])


def test_the_crps_is_unbiased_for_a_gaussian_however_few_the_samples():
    """CRPS of N(μ, σ²) at y: σ [z (2Φ(z) − 1) + 2φ(z) − 1/√π] with z = (y − μ)/σ (Gneiting & Raftery 2007, eq. 22)."""
    mean, sigma, y, replicates = 3.0, 2.0, 4.5, 40_000
    z = (y - mean) / sigma
    exact = sigma * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    samples = np.random.default_rng(0).normal(mean, sigma, (4, replicates, 1))
    scores = crps(samples, np.full((replicates, 1), y))
    assert abs(scores.mean() - exact) < 4 * scores.std() / np.sqrt(replicates)


@given(
    arrays(np.float64, (5, 2, 3), elements=st.floats(-1e6, 1e6)),
    arrays(np.float64, (2, 3), elements=st.floats(-1e6, 1e6)),
)
@settings(max_examples=50, deadline=None)
def test_the_sorted_crps_is_that_of_all_pairs(samples, actual):
    pairs = np.abs(samples[:, None] - samples[None]).sum(axis=(0, 1)) / (5 * 4)
    expected = np.abs(samples - actual).mean(axis=0) - pairs / 2
    np.testing.assert_allclose(crps(samples, actual), expected, atol=1e-8)


def test_a_year_without_an_actual_value_has_no_crps_and_float32_loses_nothing():
    samples = np.array([[[1e9, 1.0]], [[1e9 + 64, 2.0]]], dtype=np.float32)
    np.testing.assert_array_equal(crps(samples, np.array([[1e9 + 64, NAN]])), [[0.0, NAN]])


def test_one_sample_has_no_crps():
    with pytest.raises(InputError, match=r"samples: 1; .* at least 2"):
        crps(np.zeros((1, 2, 3)), np.zeros((2, 3)))


def test_intervals_by_hand():
    lower, upper = np.array([[0.0, 1.0, 2.0]]), np.array([[2.0, 3.0, 4.0]])
    actual = np.array([[2.0, 0.0, NAN]])
    np.testing.assert_array_equal(inside(lower, upper, actual), [[1.0, 0.0, NAN]])
    assert coverage(lower, upper, actual) == 0.5
    assert np.isnan(coverage(lower, upper, np.full((1, 3), NAN)))
    np.testing.assert_array_equal(width(lower, upper, np.array([4.0])), [[0.5, 0.5, 0.5]])


def test_the_total_is_over_those_who_reported():
    mean = np.array([[10.0, 10.0], [20.0, 20.0]])
    actual = np.array([[8.0, NAN], [25.0, 19.0]])
    np.testing.assert_array_equal(total_error(mean, actual), [-3.0, 1.0])
