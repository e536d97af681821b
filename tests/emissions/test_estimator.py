"""The forecaster as a user trains it, on panels of a known process."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sciml_zoo.emissions.baselines import Combination, Drift, Naive, PooledDrift
from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.estimator import NeuralForecaster, default_optimizer, default_trainer
from sciml_zoo.emissions.fitting import prepared_network
from sciml_zoo.emissions.model import EmissionsForecasterConfig
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.peers import LightGBM, Statsforecast
from sciml_zoo.emissions.synthetic import synthetic_panel
from sciml_zoo.errors import InputError

from .toy_panels import panel_of

SMALL = EmissionsForecasterConfig(members=1, hidden=6, horizon=3)


def quick() -> NeuralForecaster:
    """Trained in a second or two, for long enough that its intervals can be calibrated."""
    trainer = dataclasses.replace(default_trainer(), max_steps=80, batch_size=512, validate_every=80, accelerator="cpu")
    optimizer = dataclasses.replace(default_optimizer(), learning_rate=0.03, warmup_steps=0)
    return NeuralForecaster(SMALL, optimizer=optimizer, trainer=trainer, validation_fraction=0.3)


def test_other_units_give_the_same_ratios():
    panel = synthetic_panel(120, 12)
    thousandfold = Panel(1000 * panel.emissions, panel.statics)
    found = [quick().fit(each).predict(each, 3, samples=100).quantile(0.1, 0.5, 0.9) for each in (panel, thousandfold)]
    # The center of levels is rounded, and training carries that on.
    difference = np.abs(np.log(found[1] / found[0] / 1000))
    assert difference.mean() < 0.01
    assert difference.max() < 0.15


@pytest.mark.parametrize("drift", [-0.06, 0.06])
def test_a_planted_drift_is_found_and_companies_never_seen_are_covered(drift):
    panel = synthetic_panel(600, 20, drift=drift, seed=5)
    fresh = panel.select(panel.companies[400:])
    known = fresh.until(2019)
    forecast = quick().fit(panel.select(panel.companies[:400]).until(2019)).predict(known, 3, samples=200)
    last = known.values[:, -1]
    reported = np.isfinite(last)
    change = np.median(np.log(forecast.median[reported, -1] / last[reported]))
    assert change * np.sign(drift) > 0.05
    actual = fresh.emissions.loc[known.companies, forecast.years].to_numpy()
    low, high = forecast.quantile(0.1, 0.9)
    assert 0.7 < ((actual >= low) & (actual <= high))[np.isfinite(actual)].mean() < 0.9


def test_a_network_is_prepared_from_the_companies_trained_on():
    panel = synthetic_panel(100, 12)
    panel.statics["sector"] = ["Steel"] * 60 + ["Cement"] * 37 + ["Rare"] * 3
    prepared = prepared_network([panel], SMALL, validation_fraction=0.2, seed=0)
    config = prepared.model.config
    assert config.sectors == ("Cement", "Steel")
    assert config.countries == ()
    assert (config.first_year, config.last_year) == (panel.years[1], panel.years[-1])
    levels = np.log(panel.values[np.isfinite(panel.values)])
    assert config.level_center == pytest.approx(levels.mean(), abs=0.5)
    sides = (prepared.train, prepared.validation)
    train, validation = ({window.history.tobytes() for window in side} for side in sides)
    assert train.isdisjoint(validation)
    # Three reports are needed before a year's shocks can be learned.
    assert prepared.model.shocks.used.tolist() == [year >= panel.years[3] for year in panel.years[1:]]


def test_drivers_travel_with_the_network_up_to_the_last_year():
    panel = synthetic_panel(60, 12)
    values = panel.emissions.iloc[:1].T.set_axis(["gdp"], axis=1).ffill().bfill()
    panel = dataclasses.replace(panel, drivers=Drivers(values)).until(2019)
    model = prepared_network([panel], SMALL, validation_fraction=0.2, seed=0).model
    assert model.config.drivers == ("gdp",)
    np.testing.assert_array_equal(model.shocks.levels[:, 0].numpy(), values.loc[:2019, "gdp"])


@pytest.mark.parametrize("values", [[[0, 0, 0, 0]] * 20, [[5, 5, 5, 5]] * 20, [[5, 6]] * 20])
def test_a_panel_that_teaches_nothing_is_refused(values):
    with pytest.raises(InputError, match="nothing to train on"):
        quick().fit(panel_of(values))


def test_what_is_not_fitted_cannot_predict():
    with pytest.raises(InputError, match="not fitted; call fit"):
        NeuralForecaster().predict(synthetic_panel(3, 5), 1)


@pytest.mark.parametrize(
    "forecaster",
    [
        NeuralForecaster(seed=3, validation_fraction=0.2),
        PooledDrift(),
        Combination([Naive(), Drift()]),
        Statsforecast("AutoETS", 2),
        LightGBM(4),
    ],
    ids=lambda each: type(each).__name__,
)
def test_settings_are_those_of_scikit_learn(forecaster):
    copy = clone(forecaster)
    assert copy is not forecaster
    assert str(copy.get_params(deep=False)) == str(forecaster.get_params(deep=False))


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    quick().fit(synthetic_panel(100, 12))
    torch.testing.assert_close(torch.rand(3), expected)


def test_a_table_is_no_panel():
    with pytest.raises(InputError, match=r"Panel\.from_long"):
        NeuralForecaster().fit(synthetic_panel(5, 5).to_long())
