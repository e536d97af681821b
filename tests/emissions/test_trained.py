"""What a forecast by a trained network promises."""

import numpy as np
import pandas as pd
import pytest
import torch

from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.model import EmissionsForecaster
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.synthetic import synthetic_panel
from sciml_zoo.emissions.trained import TrainedForecaster, driver_growth
from sciml_zoo.errors import InputError

from .toy_panels import panel_of, scrambled

YEARS = range(2004, 2023)


@pytest.fixture
def network() -> EmissionsForecaster:
    """Own shocks are small, common ones large; the carbon price explains them."""
    model = scrambled(factors=1, drivers=("carbon", "gdp"))
    with torch.no_grad():
        spread = model.members[0].spread[-1]
        spread.weight.zero_()
        spread.bias.copy_(torch.tensor([-4.0, 0.0, 2.0, 1.0]))
        growth = 0.2 * torch.randn(len(YEARS), 2, dtype=torch.float64)
        model.shocks.remember(100 * growth.cumsum(0).exp())
        model.shocks.past.copy_(0.2 * model.shocks.growth[:, :1])
    model.shocks.used[:] = True
    # The origin then matters to the calibration.
    model.calibration.has_drift.fill_(True)
    model.calibration.typical.normal_(std=0.1)
    return model


@pytest.fixture
def panel() -> Panel:
    return synthetic_panel(12, 10, seed=4)


def drawn(network: EmissionsForecaster, panel: Panel, horizon: int = 4, **options: object) -> np.ndarray:
    return TrainedForecaster(network).predict(panel, horizon, samples=64, **options).samples


def with_years_unreported(panel: Panel, count: int) -> Panel:
    later = range(panel.years[-1] + 1, panel.years[-1] + 1 + count)
    return Panel(panel.emissions.reindex(columns=[*panel.years, *later]), panel.statics)


def test_an_old_last_report_is_forecast_from_there(network):
    panel = panel_of(synthetic_panel(12, 10, seed=4).emissions.ffill(axis=1).bfill(axis=1), last_year=2018)
    found = drawn(network, with_years_unreported(panel, 2), 3)
    np.testing.assert_array_equal(found, drawn(network, panel, 5)[..., 2:])


def test_companies_share_the_common_shocks_of_a_sample(network, panel):
    ratios = np.log(drawn(network, panel))[..., 0]
    assert np.corrcoef(ratios.T).min() > 0.5
    network.shocks.used[:] = False
    alone = np.corrcoef(np.log(drawn(network, panel))[..., 0].T)
    assert np.abs(alone - np.eye(len(alone))).max() < 0.5


def test_what_came_after_the_origin_does_not_matter(network, panel):
    changed = Panel(panel.emissions.copy(), panel.statics)
    changed.emissions.loc[:, 2019:] *= 100
    before, after = (drawn(network, each.until(2018)) for each in (panel, changed))
    np.testing.assert_array_equal(before, after)


def test_a_horizon_beyond_the_trained_one_is_forecast_too(network, panel):
    forecast = TrainedForecaster(network).predict(panel, 11, samples=8)
    assert forecast.years == list(range(2023, 2034))
    assert np.isfinite(forecast.samples).all()
    assert (forecast.samples > 0).all()


def test_one_company_and_one_sample_are_enough(network, panel):
    one = TrainedForecaster(network).predict(panel.select([panel.companies[3]]), 1, samples=1)
    assert one.samples.shape == (1, 1, 1)
    assert one.companies == [panel.companies[3]]


def test_a_dearer_driver_moves_the_whole_forecast_by_the_learned_response(network, panel):
    def at(price: float) -> np.ndarray:
        level = network.shocks.levels[-1, 0].item()
        values = pd.DataFrame({"carbon": [price * level]}, index=pd.Index([2023], name="year"))
        return np.log(drawn(network, panel, 1, drivers=Drivers(values)).astype(np.float64))

    growth = network.shocks.growth[:, 0]
    response = network.shocks.response()[0][0, 0] * np.log(1.5) / growth.std()
    np.testing.assert_allclose(at(1.5) - at(1.0), float(response), atol=1e-5)


def test_drivers_shift_every_company_however_little_its_own_forecast_is_believed(network, panel):
    dear = Drivers(pd.DataFrame({"carbon": [100.0, 300.0]}, index=[panel.years[-1], panel.years[-1] + 1]))
    with torch.no_grad():
        network.shocks.levels[-1], network.shocks.known[-1] = 100.0, True

    def shift() -> np.ndarray:
        without, given = (np.median(drawn(network, panel, 2, drivers=each), axis=0) for each in (None, dear))
        return np.log(given / without)

    believed = shift()
    network.calibration.belief.zero_()
    np.testing.assert_allclose(shift(), believed, atol=0.01)
    assert np.abs(believed).min() > 0.1


def test_growth_starts_from_the_level_in_the_weights(network):
    values = pd.DataFrame({"gdp": [110.0, 0.5]}, index=pd.Index([2021, 2022], name="year"))
    found = driver_growth(network, Drivers(values), 2020, 3)
    level = network.shocks.levels[2020 - 2004, 1].item()
    nan = float("nan")
    np.testing.assert_allclose(found, [[nan, np.log(110 / level)], [nan, -np.log(110)], [nan, nan]])


def test_an_unknown_driver_is_named(network, panel):
    values = pd.DataFrame({"carbn": [1.0]}, index=pd.Index([2023], name="year"))
    with pytest.raises(InputError, match=r"'carbn'.*carbon"):
        drawn(network, panel, drivers=Drivers(values))


def test_progress_ends_with_all_companies_that_are_not_at_zero(network, panel):
    panel.emissions.iloc[0, -1] = 0.0
    seen: list[tuple[int, int]] = []
    drawn(network, panel, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(panel.companies) - 1, len(panel.companies) - 1)


def test_the_same_seed_gives_the_same_forecast(network, panel):
    first = drawn(network, panel, seed=5)
    np.testing.assert_array_equal(drawn(network, panel, seed=5), first)
    assert (drawn(network, panel, seed=6) != first).any()


def test_a_company_at_zero_stays_there(network, panel):
    panel.emissions.iloc[2, -1] = 0.0
    samples = drawn(network, panel, 7)
    assert (samples[:, 2] == 0).all()
    assert (np.delete(samples, 2, axis=1) > 0).all()


def test_impossible_requests_are_refused(network, panel):
    with pytest.raises(InputError, match="horizon: 0"):
        drawn(network, panel, 0)
    panel.emissions.iloc[1] = np.nan
    with pytest.raises(InputError, match="company 001"):
        drawn(network, panel)


def test_what_weighs_a_total_or_forecasts_it_is_checked(network, panel):
    forecast = TrainedForecaster(network).predict(panel, 2, samples=4)
    with pytest.raises(InputError, match=r"weights of shape \[3\]: give a number for each of the 12 companies"):
        forecast.total(np.ones(3))
    with pytest.raises(InputError, match="a Linear does not forecast emissions"):
        TrainedForecaster(torch.nn.Linear(1, 1))
