"""What rolling origins correct, against its formulas on planted data."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciml_zoo.emissions.calibration import LEVELS, TrajectoryCalibration, weighted_median

HORIZON = 3


def calibrated(
    calibration: TrajectoryCalibration, ratios: torch.Tensor, level: float = 0.0, drift: torch.Tensor | None = None
) -> torch.Tensor:
    n, samples, _ = ratios.shape
    drift = torch.zeros(samples) if drift is None else drift
    return calibration(ratios, drift, torch.zeros(n, dtype=torch.int64), torch.full((n,), level))


def fit_years(changes: torch.Tensor, prior: float = 0.02) -> TrajectoryCalibration:
    """Fits a drift where all companies of a year change alike, changes [years, horizon]."""
    calibration = TrajectoryCalibration(len(changes), changes.shape[1])
    origin = torch.arange(len(changes)).repeat_interleave(20)
    calibration.fit_drift(changes[origin], torch.ones(len(origin)), origin, torch.randn(len(origin)), prior)
    return calibration


@given(st.lists(st.tuples(st.integers(-5, 5) | st.none(), st.integers(0, 4)), min_size=1, max_size=9))
def test_the_weighted_median_is_the_least_value_with_half_of_the_weight_up_to_it(pairs):
    values = torch.tensor([float("nan") if value is None else float(value) for value, _ in pairs])
    known = [(value, weight) for value, weight in pairs if value is not None]
    half = sum(weight for _, weight in known) / 2
    reached = [value for value, _ in known if sum(w for v, w in known if v <= value) >= half]
    found = weighted_median(values, torch.tensor([float(weight) for _, weight in pairs]))
    assert found.item() == min(reached) if reached else torch.isnan(found)


@pytest.mark.parametrize("samples", [1, 8, 9])
def test_an_unfitted_calibration_is_the_identity_beyond_its_horizon_too(samples):
    ratios = torch.randn(4, samples, HORIZON + 3)
    found = calibrated(TrajectoryCalibration(2, HORIZON), ratios, drift=torch.randn(samples))
    torch.testing.assert_close(found, ratios)


def test_the_drift_is_the_mean_change_times_how_far_it_is_believed():
    changes = torch.tensor([[-0.05, -0.08], [0.01, -0.03], [-0.03, -0.07], [-0.02, -0.01]])
    calibration = fit_years(changes, prior=0.03)
    belief = 0.03**2 / (0.03**2 + np.var(changes[:, 0].numpy(), ddof=1) / 4)
    # Of four years with weight alike, the second smallest change is the first with half of the weight up to it.
    np.testing.assert_allclose(calibration.drift.numpy(), belief * -0.03 * np.array([1, 2]), rtol=1e-4)
    np.testing.assert_allclose(calibration.growth.numpy(), belief * changes.numpy().mean(0), rtol=1e-4)
    assert calibration.drift_spread.item() == pytest.approx(0.03 * np.sqrt(1 - belief), rel=1e-5)


def test_one_year_tells_no_drift():
    calibration = fit_years(torch.full((1, HORIZON), -0.1), prior=0.03)
    assert (calibration.drift == 0).all()
    assert calibration.drift_spread.item() == pytest.approx(0.03)


def test_years_beyond_the_horizon_go_on_in_a_line():
    calibration = fit_years(torch.tensor([-0.02, -0.05, -0.06]).repeat(6, 1))
    found = calibrated(calibration, torch.zeros(1, 3, 6))[0, 0]
    torch.testing.assert_close(found, -0.02 * torch.arange(1.0, 7))


def test_the_expected_total_drifts_by_its_growth_and_medians_by_theirs():
    generator = torch.Generator().manual_seed(0)
    level = 2 * torch.randn(400, generator=generator)
    origin = torch.arange(4).repeat_interleave(100)
    change = torch.tensor([-0.03, -0.05, -0.08]).expand(400, HORIZON)
    calibration = TrajectoryCalibration(4, HORIZON)
    calibration.fit_drift(change, torch.ones(400), origin, level, 0.05)
    noise, drift = 0.4 * torch.randn(400, 301, HORIZON, generator=generator), torch.zeros(301)
    calibration.fit(noise, change, torch.ones(400), origin, level, drift=drift)
    found, tonnes = calibration(noise, drift, origin, level), level.double().exp()[:, None]
    growth = ((found.double().exp().mean(1) * tonnes).sum(0) / tonnes.sum()).log()
    torch.testing.assert_close(growth.float(), calibration.growth, atol=2e-3, rtol=0)
    assert (calibration.skew < 0).all()
    medians = found.median(1).values
    torch.testing.assert_close(medians, calibration.drift.expand_as(medians))
    small, large = (calibrated(calibration, noise[:1], size)[0] for size in (-9.0, 9.0))
    assert (large.mean(0) < small.mean(0)).all()


def test_the_drift_that_is_left_open_is_shared_by_companies_and_grows_by_the_year():
    calibration = fit_years(torch.tensor([[0.1], [-0.1]]))
    drift = torch.tensor([-1.0, 0.5])
    left = calibrated(calibration, torch.zeros(4, 2, 3), drift=drift) - calibrated(calibration, torch.zeros(4, 2, 3))
    expected = drift[:, None] * calibration.drift_spread * torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(left, expected.expand_as(left))


@pytest.mark.parametrize(
    ("slopes", "belief"),
    [((1.0, 1.0, 1.0), 1.0), ((0.5, 0.7), 0.6 - 0.1 * np.sqrt(2)), ((0.9, -0.9, 0.9, -0.9), 0.0), ((1.5, 1.5), 1.0)],
)
def test_differences_are_believed_as_far_as_their_slope_is_stable(slopes, belief):
    predicted = 0.1 * torch.linspace(-1, 1, 21)[:, None].expand(21, HORIZON)
    n = 21 * len(slopes)
    origin = torch.arange(len(slopes)).repeat_interleave(21)
    calibration = TrajectoryCalibration(len(slopes), HORIZON)
    calibration.has_drift.fill_(True)
    ratios = predicted.repeat(len(slopes), 1)[:, None] + 0.1 * torch.linspace(-1, 1, 5)[:, None]
    actual = torch.tensor(slopes)[origin][:, None] * predicted.repeat(len(slopes), 1) + 0.05
    calibration.fit(ratios, actual, torch.ones(n), origin, torch.zeros(n), drift=torch.zeros(5))
    torch.testing.assert_close(calibration.belief, torch.full((HORIZON,), belief, dtype=torch.float32))
    medians = calibrated(calibration, ratios).median(1).values
    torch.testing.assert_close(medians, belief * predicted.repeat(len(slopes), 1), atol=1e-6, rtol=1e-5)


@pytest.fixture(scope="module")
def widened() -> tuple[TrajectoryCalibration, torch.Tensor, torch.Tensor]:
    """A calibration of forecasts whose intervals are too narrow above and too wide below."""
    generator = torch.Generator().manual_seed(0)
    ratios = 0.1 * torch.randn(3000, 200, HORIZON, generator=generator)
    actual = 0.1 * torch.randn(3000, HORIZON, generator=generator)
    actual = torch.where(actual > 0, 1.8 * actual, 0.7 * actual)
    calibration = TrajectoryCalibration(1, HORIZON)
    zero = torch.zeros(3000)
    calibration.fit(ratios, actual, torch.ones(3000), zero.long(), zero, drift=torch.zeros(200))
    return calibration, ratios, actual


def test_fitted_quantiles_cover_what_they_are_fitted_to(widened):
    calibration, ratios, actual = widened
    quantiles = torch.quantile(calibrated(calibration, ratios), torch.tensor(LEVELS), dim=1)
    below = (actual <= quantiles).double().mean(1)
    np.testing.assert_allclose(below.numpy(), np.tile(np.array(LEVELS)[:, None], HORIZON), atol=0.006)


def test_calibrated_trajectories_keep_their_joint_order_but_for_close_neighbours(widened):
    calibration, ratios, _ = widened
    before, after = ratios.argsort(1).argsort(1), calibrated(calibration, ratios).argsort(1).argsort(1)
    assert (before - after).abs().double().mean() < 0.005 * ratios.shape[1]
