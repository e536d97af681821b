"""Diagnostics against processes whose autocorrelation is known in closed form."""

import numpy as np
import pytest
from scipy.signal import lfilter

from sciml_zoo.errors import InputError
from sciml_zoo.ising.diagnostics import (
    autocorrelation,
    autocorrelation_time,
    diagnose,
    effective_sample_size,
    split_rhat,
    standard_error,
)


def autoregressive(phi: float, n: int, chains: int, seed: int) -> np.ndarray:
    """Stationary x_t = φ x_{t−1} + ε_t, whose ρ_t = φᵗ and τ = (1 + φ)/(1 − φ)."""
    noise = np.random.default_rng(seed).normal(size=(n, chains))
    noise[0] /= np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=0)


@pytest.mark.parametrize("window", ["sokal", "geyer"])
@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9, 0.98])
def test_autocorrelation_time_of_an_autoregressive_process(phi: float, window: str) -> None:
    tau = autocorrelation_time(autoregressive(phi, 20000, 8, seed=1), window=window)
    assert tau == pytest.approx((1 + phi) / (1 - phi), rel=0.1)


def test_autocorrelation_decays_as_known() -> None:
    rho = autocorrelation(autoregressive(0.8, 50000, 4, seed=2))
    np.testing.assert_allclose(rho[:10], 0.8 ** np.arange(10), atol=0.02)


def test_autocorrelation_of_one_chain_is_the_textbook_sum() -> None:
    x = np.random.default_rng(3).normal(size=50)
    d = x - x.mean()
    direct = np.array([d[: 50 - t] @ d[t:] for t in range(50)]) / 50
    expected = 1 - (direct[0] - direct) * 50 / 49 / direct[0]
    np.testing.assert_allclose(autocorrelation(x)[1:], expected[1:], atol=1e-12)


@pytest.mark.parametrize("phi", [-0.3, 0.0, 0.9])
def test_standard_error_is_the_spread_of_means(phi: float) -> None:
    runs = [autoregressive(phi, 2000, 4, seed=k) for k in range(300)]
    scores = np.array([run.mean() / standard_error(run) for run in runs])
    assert abs(scores.std() - 1) < 0.12
    assert (np.abs(scores) < 2).mean() > 0.9


def test_effective_sample_size_of_independent_draws_is_their_number() -> None:
    x = np.random.default_rng(5).normal(size=(5000, 4))
    assert effective_sample_size(x) == pytest.approx(x.size, rel=0.1)


def test_rhat_of_shifted_chains_follows_its_formula() -> None:
    x = np.random.default_rng(6).normal(size=(1000, 4)) + np.array([0.0, 0.0, 1.0, 1.0])
    halves = np.concatenate([x[:500], x[500:]], axis=1)
    w, b = halves.var(0, ddof=1).mean(), halves.mean(0).var(ddof=1)
    assert split_rhat(x) == pytest.approx(np.sqrt(499 / 500 + b / w), rel=1e-12)
    assert split_rhat(x) > 1.1
    assert split_rhat(x[:, :2]) < 1.01


def test_split_rhat_sees_a_drift_within_one_chain() -> None:
    x = np.linspace(0, 3, 1000) + np.random.default_rng(7).normal(size=1000)
    assert split_rhat(x) > 1.3


def test_rank_normalised_rhat_sees_chains_of_different_width() -> None:
    x = np.random.default_rng(8).normal(size=(1000, 4)) * np.array([1.0, 1.0, 1.0, 5.0])
    assert split_rhat(x) < 1.01
    assert split_rhat(x, rank_normalised=True) > 1.1
    assert split_rhat(np.exp(x), rank_normalised=True) > 1.1


def test_chains_that_disagree_are_worth_little() -> None:
    x = np.random.default_rng(9).normal(size=(1000, 4)) + np.array([0.0, 10.0, 0.0, 10.0])
    assert effective_sample_size(x) < 40
    assert standard_error(x) > 2


def test_quantities_that_never_change() -> None:
    same, apart = np.full((10, 3), 2.5), np.tile([1.0, 2.0, 3.0], (10, 1))
    assert diagnose(same) == diagnose(same)
    assert (diagnose(same).standard_error, diagnose(same).rhat) == (0.0, 1.0)
    assert diagnose(apart).rhat == np.inf
    assert np.isnan(diagnose(same[:3]).rhat)
    assert diagnose(same[:3]).mean == 2.5


def test_bad_draws_are_refused() -> None:
    with pytest.raises(InputError, match="at least 4"):
        split_rhat([1.0, 2.0])
    with pytest.raises(InputError, match=r"entry \[2, 0\]"):
        autocorrelation_time([1.0, 2.0, np.nan, 3.0])
    with pytest.raises(InputError, match="'sokal' or 'geyer'"):
        autocorrelation_time(np.arange(9.0), window="batch")
