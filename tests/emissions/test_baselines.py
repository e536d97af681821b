"""Simple forecasts: points by hand and against statsforecast, and what their samples promise."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsforecast.models import AutoETS
from statsforecast.models import Theta as ReferenceTheta

from sciml_zoo.emissions._smoothing import smooth
from sciml_zoo.emissions.baselines import Combination, DampedTrend, Drift, Naive, PooledDrift, Theta
from sciml_zoo.emissions.metrics import total_error
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.errors import InputError

NAN = np.nan
METHODS = [Naive, Drift, PooledDrift, DampedTrend, Theta, Combination]


def panel(values, first=2010):
    values = np.array(values, dtype=np.float64)
    keys = pd.Index([f"c{k}" for k in range(len(values))], name="company")
    emissions = pd.DataFrame(values, index=keys, columns=range(first, first + values.shape[1]))
    return Panel(emissions, pd.DataFrame("", index=keys, columns=["sector", "country"]))


def random_walks(companies=60, years=12, spread=0.1, common=0.0, seed=0):
    rng = np.random.default_rng(seed)
    changes = rng.normal(0, spread, (companies, years)) + rng.normal(0, common, years)
    return 1e5 * np.exp(rng.normal(0, 1, (companies, 1)) + np.cumsum(changes, axis=1))


def points(method, values, horizon=3):
    history = panel(values)
    return method.fit(history).predict(history, horizon, samples=8).point


def test_naive_is_the_last_report_however_old():
    np.testing.assert_array_equal(points(Naive(), [[1.0, 2.0, 4.0], [NAN, 5.0, NAN]]), [[4.0] * 3, [5.0] * 3])


def test_drift_goes_on_from_the_last_report_over_gaps():
    rows = [[10.0, NAN, 14.0, 16.0], [10.0, 11.0, 12.0, NAN], [NAN, NAN, 3.0, 9.0], [9.0, 5.0, 1.0, NAN]]
    expected = [[18.0, 20.0, 22.0], [14.0, 15.0, 16.0], [9.0, 9.0, 9.0], [0.0, 0.0, 0.0]]
    np.testing.assert_allclose(points(Drift(), rows), expected)


def test_the_pooled_drift_is_the_weighted_median_change():
    """From the steepest fall up, emissions over scale are 4, 5, 9, 10, 3, 2: the middle, 16.5, is in the third."""
    rows = [[100.0, 80.0, 60.0], [100.0, 90.0, 80.0], [10.0, 15.0, 20.0], [7.0, 7.0, 7.0]]
    forecast = points(method := PooledDrift(), rows)
    assert method.drift == pytest.approx(np.log(80 / 90))
    np.testing.assert_allclose(forecast[1], 80 * (80 / 90) ** np.array([1, 2, 3]))


def test_the_pooled_drift_of_random_walks_is_found():
    values = random_walks(2000, spread=0.05) * np.exp(-0.02 * np.arange(12))
    assert PooledDrift().fit(panel(values)).drift == pytest.approx(-0.02, abs=0.002)


@pytest.fixture(scope="module")
def trending():
    rng = np.random.default_rng(1)
    trends = rng.normal(0, 3000, (20, 1)) * np.arange(20)
    return 3e5 + trends + np.cumsum(rng.normal(0, 2000, (20, 20)), axis=1) + rng.normal(0, 3000, (20, 20))


def test_theta_forecasts_as_statsforecast_does(trending):
    """Its criterion looks three years ahead, ours one: the same slope, a level within 0.5 %."""
    ours = points(Theta(), trending, 5)
    expected = np.array([ReferenceTheta().forecast(y=row, h=5)["mean"] for row in trending])
    np.testing.assert_allclose(np.diff(ours), np.diff(expected), rtol=1e-5)
    np.testing.assert_allclose(ours, expected, rtol=0.005)


def test_a_damped_trend_fits_and_forecasts_as_statsforecast_does(trending):
    """Its search stops short of the least squares in some series; in the others forecasts are within 0.5 %."""
    _, errors = smooth(trending, damped=True)
    ours = np.square(errors).sum(axis=1) * 15 / 20
    fitted = [AutoETS(model="AAN", damped=True).fit(row) for row in trending]
    theirs = np.array([np.square(model.model_["residuals"]).sum() for model in fitted])
    assert (ours < 1.005 * theirs).all()
    same = theirs < 1.001 * ours
    assert same.sum() >= 10
    expected = np.array([model.predict(5)["mean"] for model in fitted])
    np.testing.assert_allclose(points(DampedTrend(), trending, 5)[same], expected[same], rtol=0.005)


@pytest.mark.parametrize("method", METHODS)
def test_samples_are_not_negative_and_have_the_point_as_their_mean(method):
    values = random_walks(spread=0.5)
    values[:5, :6], values[5:9, 5], values[9:12, -2:] = NAN, NAN, NAN
    history = panel(values)
    forecast = method().fit(history).predict(history, 4, samples=50)
    assert forecast.samples.shape == (50, 60, 4)
    assert forecast.origin == 2021
    assert forecast.samples.min() >= 0
    np.testing.assert_allclose(forecast.mean, forecast.point, rtol=1e-5)
    again = method().fit(history).predict(history, 4, samples=50)
    np.testing.assert_array_equal(forecast.samples, again.samples)
    assert (method().fit(history).predict(history, 4, samples=50, seed=1).samples != forecast.samples).any()


@pytest.mark.parametrize("method", METHODS)
def test_a_unit_does_not_matter(method):
    values = random_walks()
    tonnes, kilograms = panel(values), panel(1000 * values)
    one, thousand = (method().fit(history).predict(history, 3) for history in (tonnes, kilograms))
    np.testing.assert_allclose(1000 * one.point, thousand.point, rtol=1e-9)
    np.testing.assert_allclose(1000 * one.samples, thousand.samples, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_one_or_two_reports_are_forecast_as_naive(method):
    values = random_walks(20, 8)
    values[3, :-1] = NAN
    values[4, :-2] = NAN
    history = panel(values)
    forecast = method().fit(history).predict(history, 2)
    growth = np.exp(method().fit(history).drift * np.array([1, 2])) if method is PooledDrift else np.ones(2)
    np.testing.assert_allclose(forecast.point[3:5], values[3:5, -1:] * growth)
    assert forecast.samples[:, 3].std() > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_company_alone_is_forecast_as_among_others(method):
    history = panel(random_walks())
    fitted = method().fit(history)
    alone = fitted.predict(history.select(["c7"]), 3).point
    np.testing.assert_allclose(alone[0], fitted.predict(history, 3).point[7])


def test_intervals_of_random_walks_cover_as_they_say():
    values = 1e6 + np.cumsum(np.random.default_rng(2).normal(0, 1000, (1500, 25)), axis=1)
    history = panel(values[:, :20])
    forecast = Naive().fit(history).predict(history, 5, samples=1000)
    for level in (0.8, 0.95):
        lower, upper = forecast.quantile(0.5 - level / 2, 0.5 + level / 2)
        assert ((lower <= values[:, 20:]) & (values[:, 20:] <= upper)).mean() == pytest.approx(level, abs=0.02)


def test_what_hit_all_companies_widens_their_total():
    spreads = []
    for common in (0.0, 0.1):
        history = panel(random_walks(300, 20, common=common))
        forecast = Naive().fit(history).predict(history, 1, samples=500)
        spreads.append(forecast.total().std() / forecast.total().mean())
    assert spreads[0] < 0.02
    assert 0.05 < spreads[1] < 0.15


def test_a_combination_is_the_mean_of_its_members():
    history = panel(random_walks())
    members = [Naive(), Theta()]
    forecast = Combination(members).fit(history).predict(history, 3, samples=21)
    expected = np.mean([member.predict(history, 3).point for member in members], axis=0)
    np.testing.assert_allclose(forecast.point, expected)
    assert forecast.samples.shape == (21, 60, 3)


def test_years_without_a_change_are_certain():
    forecast = Naive().fit(panel([[5.0, 5.0, 5.0]])).predict(panel([[5.0, 5.0, 5.0]]), 2)
    np.testing.assert_array_equal(forecast.samples, np.full((200, 1, 2), 5.0, dtype=np.float32))


@pytest.mark.parametrize("method", METHODS)
def test_bad_input_is_named(method):
    history = panel(random_walks(3))
    with pytest.raises(InputError, match=r"call fit\(panel\) before predict"):
        method().predict(history, 1)
    with pytest.raises(InputError, match="horizon: 0"):
        method().fit(history).predict(history, 0)
    with pytest.raises(InputError, match=r"company 'c1' \(2 such\): no emissions up to 2011"):
        method().fit(panel([[1.0, 2.0], [NAN, NAN], [NAN, NAN]]))
    with pytest.raises(InputError, match="no company"):
        method().fit(history.select([]))


@pytest.mark.data
def test_all_companies_of_the_eu_ets_take_seconds():
    file = Path(os.environ["SCIML_ZOO_DATA"]) / "emissions/eutl/company_panel.csv.gz"
    table = pd.read_csv(file, dtype={"company_key": "str"}, keep_default_na=False)
    emissions = table.pivot(index="company_key", columns="year", values="verified_tco2e")
    history = Panel(emissions, pd.DataFrame("", index=emissions.index, columns=["sector", "country"])).until(2017)
    fitted = PooledDrift().fit(history)
    assert -0.02 < fitted.drift < -0.005
    active = history.emissions.index[history.emissions[2017].notna()]
    actual = emissions.loc[active, range(2018, 2023)]
    forecast = fitted.predict(history.select(active), 5)
    reference = Naive().fit(history).predict(history.select(active), 5)
    errors = [np.abs(total_error(each.mean, actual.to_numpy())).sum() for each in (forecast, reference)]
    assert errors[0] < 0.9 * errors[1]
