"""Shocks of coming years: the spread of past ones, and the response to drivers."""

import numpy as np
import pytest
import torch

from sciml_zoo.emissions.common_shocks import CommonShocks

YEARS, FACTORS = 14, 2


def learned(drivers: int) -> CommonShocks:
    """Shocks of all years but the first two, with drivers that explain a part of them."""
    torch.manual_seed(0)
    shocks = CommonShocks(YEARS, FACTORS, drivers)
    growth = 0.05 * torch.randn(YEARS + 1, drivers, dtype=torch.float64)
    shocks.remember(1000 * growth.cumsum(0).exp())
    with torch.no_grad():
        shocks.past.copy_(0.03 * torch.randn(YEARS, FACTORS) + 0.8 * shocks.growth.sum(1, keepdim=True) + 0.1)
    shocks.used[2:] = True
    return shocks


def draws(shocks: CommonShocks, samples: int = 3, horizon: int = 4, growth: torch.Tensor | None = None) -> torch.Tensor:
    return shocks.draw(samples, horizon, generator=torch.Generator().manual_seed(1), growth=growth).detach()


def standardised(shocks: CommonShocks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Growth in the years learned, standardised, and its mean and standard deviation."""
    growth = np.diff(np.log(shocks.levels.numpy()), axis=0)[2:]
    mean, spread = growth.mean(0), growth.std(0, ddof=1)
    return (growth - mean) / spread, mean, spread


def test_the_response_is_ridge_regression_on_the_years_learned():
    shocks = learned(3)
    known, _, _ = standardised(shocks)
    past = shocks.past.detach().double().numpy()[2:]
    past = past - past.mean(0)
    expected = np.linalg.inv(known.T @ known + 5 * np.eye(3)) @ known.T @ past
    residual = past - known @ expected
    response, covariance = shocks.response()
    np.testing.assert_allclose(response.numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(covariance.numpy(), residual.T @ residual / (len(past) - 1), rtol=1e-9)


@pytest.mark.parametrize("drivers", [0, 2])
def test_draws_are_centred_and_have_the_covariance_of_the_past(drivers):
    shocks = learned(drivers)
    drawn = draws(shocks, 40000, 1)[:, 0].double().numpy()
    response, expected = (tensor.numpy() for tensor in shocks.response())
    if drivers:
        known, _, _ = standardised(shocks)
        expected = expected + response.T @ np.corrcoef(known.T) @ response
    else:
        np.testing.assert_allclose(expected, np.cov(shocks.past.detach().double().numpy()[2:].T), rtol=1e-9)
    spread = np.sqrt(np.diag(expected))
    scale = np.outer(spread, spread)
    np.testing.assert_allclose(drawn.mean(0) / spread, 0, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T) / scale, expected / scale, atol=0.03)


def test_a_driver_that_is_given_moves_every_draw_by_its_response():
    shocks = learned(2)
    _, mean, spread = standardised(shocks)
    usual = torch.from_numpy(np.tile(mean, (4, 1)))
    more = usual.clone()
    more[1, 0] += 2 * spread[0]
    moved = (draws(shocks, growth=more) - draws(shocks, growth=usual)).double()
    expected = torch.zeros(3, 4, FACTORS, dtype=torch.float64)
    expected[:, 1] = 2 * shocks.response()[0][0]
    torch.testing.assert_close(moved, expected, atol=1e-7, rtol=1e-5)


def test_an_unknown_growth_is_drawn():
    shocks = learned(2)
    unknown = torch.full((4, 2), float("nan"), dtype=torch.float64)
    torch.testing.assert_close(draws(shocks, growth=unknown), draws(shocks), rtol=0, atol=0)
    first = unknown.clone()
    first[:, 0] = 0.01
    assert draws(shocks, 2000, growth=first).var(0).min() > 0


def test_a_year_not_learned_does_not_matter():
    shocks = learned(2)
    before = draws(shocks)
    with torch.no_grad():
        shocks.past[:2] = 1e3
    torch.testing.assert_close(draws(shocks), before, rtol=0, atol=0)


def test_without_a_year_learned_there_are_no_shocks():
    shocks = CommonShocks(YEARS, FACTORS, 1)
    assert (draws(shocks) == 0).all()
    assert (draws(shocks, growth=torch.ones(4, 1, dtype=torch.float64)) == 0).all()
