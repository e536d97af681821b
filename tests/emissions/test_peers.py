"""Peers: their own numbers come through, gaps and ages are handled, LightGBM learns what was planted."""

import sys

import numpy as np
import pandas as pd
import pytest
from statsforecast import models

from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.peers import STATSFORECAST_MODELS, LightGBM, Statsforecast
from sciml_zoo.errors import InputError

NAN = np.nan


def panel(values, sectors=""):
    keys = pd.Index([f"c{k}" for k in range(len(values))], name="company")
    emissions = pd.DataFrame(values, index=keys, columns=range(2010, 2010 + values.shape[1]))
    return Panel(emissions, pd.DataFrame({"sector": sectors, "country": ""}, index=keys))


@pytest.fixture(scope="module")
def walks():
    rng = np.random.default_rng(0)
    return 1e5 * np.exp(np.cumsum(rng.normal(0.02, 0.1, (6, 14)), axis=1))


@pytest.mark.parametrize("name", STATSFORECAST_MODELS)
def test_means_and_quantiles_are_those_of_statsforecast(walks, name):
    forecast = Statsforecast(name).fit(panel(walks)).predict(panel(walks), 3, samples=1000)
    for row, values in enumerate(walks):
        expected = getattr(models, name)(season_length=1).forecast(y=values, h=3, level=[80])
        np.testing.assert_allclose(forecast.point[row], expected["mean"], rtol=1e-6)
        if name != "AutoTheta":  # whose intervals are sampled, and moved so that their mean is the point
            spread = expected["hi-80"] - expected["lo-80"]
            lower, upper = forecast.quantile(0.1, 0.9)[:, row]
            np.testing.assert_allclose(lower, expected["lo-80"], atol=0.02 * spread.max())
            np.testing.assert_allclose(upper, expected["hi-80"], atol=0.02 * spread.max())
    np.testing.assert_allclose(forecast.mean, forecast.point, rtol=1e-5)


def test_gaps_are_filled_and_an_old_report_is_forecast_from_there(walks):
    gaps, filled = walks.copy(), walks.copy()
    gaps[0, 5], filled[0, 5] = NAN, (walks[0, 4] + walks[0, 6]) / 2
    gaps[1, -2:] = NAN
    peer = Statsforecast("AutoETS")
    forecast = peer.predict(panel(gaps), 2)
    np.testing.assert_allclose(forecast.point[0], peer.predict(panel(filled), 2).point[0])
    np.testing.assert_allclose(forecast.point[1], peer.predict(panel(walks[:, :-2]), 4).point[1, 2:])


@pytest.mark.parametrize("name", STATSFORECAST_MODELS)
def test_short_and_constant_histories_are_forecast_too(name):
    values = np.full((6, 6), NAN)
    for row, years in enumerate((1, 2, 3, 4)):
        values[row, -years:] = np.linspace(100, 120, years) + np.arange(years) % 2
    values[4], values[5] = 7.0, 0.0
    forecast = Statsforecast(name).predict(panel(values), 2)
    assert np.isfinite(forecast.samples).all()
    np.testing.assert_allclose(forecast.point[[0, 4, 5]], [[100.0] * 2, [7.0] * 2, [0.0] * 2])


def planted(rng, companies, years):
    """Sector "up" grows by 8 % a year, "down" shrinks as fast, in noise that hides it from a short history."""
    up = rng.random(companies) < 0.5
    changes = np.where(up, 0.08, -0.08)[:, None] + rng.normal(0, 0.1, (companies, years))
    values = np.exp(rng.normal(10, 1, (companies, 1)) + np.cumsum(changes, axis=1))
    return values, np.where(up, "up", "down")


def test_lightgbm_learns_what_sectors_do():
    rng = np.random.default_rng(1)
    values, sectors = planted(rng, 400, 15)
    model = LightGBM(3).fit(panel(values, sectors))
    fresh, fresh_sectors = planted(rng, 400, 6)
    forecast = model.predict(panel(fresh[:, :3], fresh_sectors), 3, samples=100)
    actual = fresh[:, 3:]
    naive, hidden = np.repeat(fresh[:, 2:3], 3, axis=1), model.predict(panel(fresh[:, :3]), 3).point
    learned, none, blind = (np.abs(np.log(point / actual)).mean() for point in (forecast.point, naive, hidden))
    ideal = np.log(naive * np.exp(np.where(fresh_sectors == "up", 0.08, -0.08)[:, None] * np.arange(1, 4)) / actual)
    assert learned < 1.1 * np.abs(ideal).mean() < 0.8 * none
    assert learned < 0.9 * blind
    lower, upper = forecast.quantile(0.1, 0.9)
    assert 0.7 < ((lower <= actual) & (actual <= upper)).mean() < 0.85


def test_lightgbm_forecasts_zeros_old_reports_and_new_sectors():
    values, sectors = planted(np.random.default_rng(2), 200, 10)
    model = LightGBM(2).fit(panel(values, sectors))
    values[0, -1], values[1, -1], values[2, :-1] = 0.0, NAN, NAN
    forecast = model.predict(panel(values, "unheard of"), 2)
    assert np.isfinite(forecast.samples).all()
    np.testing.assert_array_equal(forecast.point[0], 0)
    older = model.predict(panel(values[:, :-1][[1]], "unheard of"), 2).point[0]
    np.testing.assert_allclose(forecast.point[1], older[[1, 1]])


def test_bad_input_is_named(walks):
    with pytest.raises(InputError, match="no model 'AutoETs'; did you mean 'AutoETS'"):
        Statsforecast("AutoETs")
    with pytest.raises(InputError, match="horizon: 2; LightGBM is fitted for 1 to 1 years"):
        LightGBM(1).fit(panel(walks)).predict(panel(walks), 2)
    with pytest.raises(InputError, match=r"2010 to 2011: .* one a year later"):
        LightGBM(2).fit(panel(walks[:, :2]))


def test_boosting_forecasts_years_without_examples_like_the_last_with_some(walks):
    short = panel(walks[:, :3])
    found = LightGBM(3).fit(short).predict(short, 3).median
    np.testing.assert_allclose(found[:, 1:], found[:, [0, 0]])


@pytest.mark.parametrize("library", ["lightgbm", "statsforecast"])
def test_a_missing_library_is_named_with_the_remedy(walks, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    peer = LightGBM(1) if library == "lightgbm" else Statsforecast("AutoETS")
    with pytest.raises(InputError, match=f"{library} is not installed; pip install statsforecast lightgbm"):
        peer.fit(panel(walks)).predict(panel(walks), 1)
