"""Laws of the network, from its features to calibrated forecasts."""

import numpy as np
import pytest
import torch

from sciml_zoo.emissions.calibration import TrajectoryCalibration, weighted_median
from sciml_zoo.emissions.estimator import NeuralForecaster, default_trainer
from sciml_zoo.emissions.history import History
from sciml_zoo.emissions.model import EmissionsForecaster, EmissionsForecasterConfig
from sciml_zoo.emissions.synthetic import synthetic_panel
from sciml_zoo.emissions.task import fair_crps
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.emissions.windows import PanelWindows, places
from sciml_zoo.errors import InputError


def untrained(**shape: object) -> EmissionsForecaster:
    torch.manual_seed(0)
    return EmissionsForecaster(EmissionsForecasterConfig(**{"members": 1, "hidden": 4, **shape})).eval()


def test_a_sampled_year_changes_the_history_as_an_observed_one_does():
    levels = torch.tensor([[1.0, 2.0, 2.5], [3.0, 3.1, 2.9]])
    history = History.empty(levels[:, 0])
    for level in levels.unbind(1):
        history = history.observed(level)
    change = torch.tensor([0.3, -0.2])
    torch.testing.assert_close(
        history.advanced(change).features(1.0, 2.0), history.observed(history.level + change).features(1.0, 2.0)
    )


def test_years_before_the_first_report_change_nothing():
    member = untrained().members[0]
    levels = torch.randn(5, 4)
    padded = torch.cat([torch.full((5, 3), float("nan")), levels], 1)
    for a, b in zip(member.read(levels), member.read(padded), strict=True):
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b)


def test_the_untrained_network_forecasts_the_last_value():
    model = untrained()
    out = model(**model.example_inputs())
    assert (out["median"] == 0).all()
    inputs = model.example_inputs()
    shocks = torch.zeros(1, 4001, 1, model.config.factors)
    ratios = model.trajectories(**inputs, shocks=shocks, generator=torch.Generator().manual_seed(0))
    assert ratios.median(1).values.abs().max() < 0.02


def test_common_shocks_correlate_companies():
    torch.manual_seed(0)
    model = untrained(factors=1)
    shocks = 0.5 * torch.randn(1, 500, 1, 1)
    ratios = model.trajectories(**model.example_inputs(), shocks=shocks, generator=torch.Generator().manual_seed(0))
    assert np.corrcoef(ratios[:2, :, 0].detach().numpy())[0, 1] > 0.3


def test_weighted_median_by_repetition():
    values, weights = torch.tensor([3.0, 1.0, 2.0, float("nan")]), torch.tensor([1.0, 3.0, 1.0, 9.0])
    assert weighted_median(values, weights) == np.median([3, 1, 1, 1, 2])


def test_fair_crps_by_all_pairs():
    samples, actual = torch.randn(3, 6, 2, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    pairs = (samples[:, :, None] - samples[:, None]).abs().sum((1, 2)) / (6 * 5)
    expected = (samples - actual[:, None]).abs().mean(1) - pairs / 2
    torch.testing.assert_close(fair_crps(samples, actual), expected)


def test_an_unfitted_calibration_changes_nothing():
    ratios = torch.randn(4, 50, 7)
    level, origin = torch.zeros(4), torch.zeros(4, dtype=torch.int64)
    found = TrajectoryCalibration(3, 5)(ratios, torch.randn(50), origin, level)
    typical = ratios - found
    torch.testing.assert_close(typical, typical[:, :1].expand_as(typical), atol=1e-5, rtol=0)


def test_drift_is_believed_where_years_agree():
    origin = torch.arange(10).repeat_interleave(20)
    level, weight = torch.randn(200), torch.ones(200)
    agreeing = torch.full((200, 2), -0.03) * torch.tensor([1.0, 2.0])
    contrary = agreeing * torch.where(origin % 2 == 0, 20.0, -20.0)[:, None]
    calibration = TrajectoryCalibration(10, 2)
    calibration.fit_drift(agreeing, weight, origin, level, 0.02)
    torch.testing.assert_close(calibration.drift[0], torch.tensor([-0.03, -0.06]))
    calibration.fit_drift(contrary, weight, origin, level, 0.02)
    assert calibration.drift[0].abs().max() < 0.01


def test_no_window_holds_its_future():
    panel = synthetic_panel(20, 10)
    config = EmissionsForecasterConfig(first_year=2014)
    windows = PanelWindows([panel], config)
    cut = PanelWindows([panel.until(2018)], config, open_ended=True)
    ends = {(round(float(w.history[-1]), 6), int(w.year)): w for w in (windows[i] for i in range(len(windows)))}
    for index in range(len(cut)):
        window = cut[index]
        twin = ends.get((round(float(window.history[-1]), 6), int(window.year)))
        if twin is not None:
            np.testing.assert_array_equal(window.history, twin.history)
            assert window.weight == twin.weight


def test_a_sector_is_found_by_code_name_or_whole():
    vocabulary = ("20 Combustion of fuels", "Energy")
    found = places(["20", "combustion of fuels", "20 Combustion of fuels", "ENERGY", "", "other"], vocabulary)
    assert found.tolist() == [1, 1, 1, 2, 0, 0]


@pytest.fixture(scope="module")
def fitted() -> NeuralForecaster:
    panel = synthetic_panel(400, 16, drift=-0.05, seed=1)
    trainer = default_trainer()
    quick = NeuralForecaster(
        model=EmissionsForecasterConfig(members=1, hidden=8),
        trainer=type(trainer)(max_steps=40, batch_size=256, validate_every=40, monitor="crps", clip_norm=1.0),
    )
    return quick.fit(panel.until(2017))


def test_a_fitted_network_learns_the_drift_and_covers_other_companies(fitted):
    panel = synthetic_panel(300, 16, drift=-0.05, seed=1)
    known = panel.until(2017)
    forecast = fitted.predict(known, 5, samples=200)
    last = known.values[:, -1]
    seen = np.isfinite(last)
    assert np.nanmedian(forecast.median[seen, -1] / last[seen]) < 0.95
    actual = panel.emissions.loc[known.companies, range(2018, 2023)].to_numpy()
    low, high = forecast.quantile(0.1, 0.9)
    inside = ((actual >= low) & (actual <= high))[np.isfinite(actual)].mean()
    assert 0.65 < inside < 0.95


def test_the_same_seed_gives_the_same_forecast(fitted):
    panel = synthetic_panel(30, 12, seed=2)
    first, second = (fitted.predict(panel, 3, samples=20, seed=5).samples for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (fitted.predict(panel, 3, samples=20, seed=6).samples != first).any()


def test_a_company_at_zero_stays_there(fitted):
    panel = synthetic_panel(5, 12, seed=3)
    panel.emissions.iloc[2, -1] = 0.0
    forecast = fitted.predict(panel, 7, samples=10)
    assert (forecast.samples[:, 2] == 0).all()
    assert (forecast.samples[:, [0, 1, 3, 4]] > 0).all()


def test_bad_requests_are_refused(fitted):
    panel = synthetic_panel(5, 12, seed=3)
    with pytest.raises(InputError, match="horizon: 0"):
        fitted.predict(panel, 0)
    with pytest.raises(InputError, match="not fitted"):
        NeuralForecaster().predict(panel, 1)
    panel.emissions.iloc[1] = np.nan
    with pytest.raises(InputError, match="company 001"):
        TrainedForecaster(fitted.network).predict(panel, 1)
