"""Scenarios against a forecaster whose totals are known by hand, and the network's own laws."""

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.estimator import NeuralForecaster
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.scenarios import Scenario, compare, contributions, forecast_scenario
from sciml_zoo.emissions.synthetic import synthetic_panel
from sciml_zoo.errors import InputError
from sciml_zoo.training.recipe import TrainerConfig

HORIZON = 3


@dataclass
class Product:
    """Emissions = last value × product of the drivers' levels in that year (1 where not given) × noise of mean 1."""

    names: tuple[str, ...] = ("carbon", "gdp", "oil")

    def predict(
        self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0, drivers: Drivers | None = None
    ) -> Forecast:
        origin = panel.years[-1]
        level = np.ones(horizon)
        if drivers is not None:
            known = drivers.values.reindex(index=range(origin + 1, origin + 1 + horizon), columns=list(self.names))
            level = known.fillna(1.0).prod(axis=1).to_numpy()
        noise = np.random.default_rng(seed).lognormal(0.0, 0.3, (samples, len(panel.companies), horizon))
        last = panel.emissions.ffill(axis=1).to_numpy()[:, -1]
        return Forecast(panel.companies, origin, noise / noise.mean(axis=0) * last[:, None] * level)


def panel() -> Panel:
    """Returns A, 100 t in 2022; B, 50 t in 2020 and silent since; C, nothing left in 2022."""
    values = [[80.0, 90.0, 100.0], [50.0, np.nan, np.nan], [10.0, np.nan, 0.0]]
    emissions = pd.DataFrame(values, pd.Index(["A", "B", "C"], name="company"), [2020, 2021, 2022])
    return Panel(emissions, pd.DataFrame({"sector": "", "country": ""}, emissions.index))


def future(first: int = 2023, **levels: list[float]) -> Drivers:
    length = len(next(iter(levels.values())))
    return Drivers(pd.DataFrame(levels, pd.Index(range(first, first + length), name="year"), dtype=np.float64))


def targets(*rows: tuple[object, object, object]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["company", "year", "emissions"])


def test_a_total_is_compared_year_by_year_with_the_same_noise() -> None:
    scenarios = [Scenario("drawn"), Scenario("dear", future(carbon=[0.5, 0.5, 0.25]))]
    table = compare(Product(), panel(), HORIZON, scenarios, weights=np.array([0.1, 0.2, 1.0]))
    assert list(table.columns) == ["scenario", "year", "mean", "q025", "q10", "q50", "q90", "q975"]
    assert list(table["scenario"]) == ["drawn"] * 3 + ["dear"] * 3
    assert list(table["year"]) == [2023, 2024, 2025] * 2
    # 0.1 × 100 + 0.2 × 50 + 1 × 0 tonnes, and of these what the price leaves.
    np.testing.assert_allclose(table["mean"], [20, 20, 20, 10, 10, 5])
    levels = table.set_index("scenario").drop(columns="year").to_numpy()
    np.testing.assert_allclose(levels[3:], levels[:3] * [[0.5], [0.5], [0.25]])
    assert (np.diff(table[["q025", "q10", "q50", "q90", "q975"]], axis=1) > 0).all()


def test_a_target_is_met_on_a_path_that_is_linear_in_the_logarithm() -> None:
    # A: a quarter in two years, then ten in one. B: from its own last report, 2020, it halves in four years.
    goals = targets(("A", 2025, 10), ("B", "2024", 25.0), ("A", 2024, 25.0))
    plain = forecast_scenario(Product(), panel(), HORIZON, Scenario("drawn"))
    met = forecast_scenario(Product(), panel(), HORIZON, Scenario("met", targets=goals))
    np.testing.assert_allclose(met.mean[0], [50, 25, 10])
    np.testing.assert_allclose(met.mean[1], [50 * 0.5**0.75, 25, 25])
    np.testing.assert_allclose(met.samples[:, :2] / met.mean[:2], plain.samples[:, :2] / plain.mean[:2])
    np.testing.assert_array_equal(met.samples[:, 2], plain.samples[:, 2])


def test_a_target_beyond_the_horizon_is_half_way_there() -> None:
    met = forecast_scenario(Product(), panel(), HORIZON, Scenario("met", targets=targets(("A", 2028, 25.0))))
    assert met.mean[0, 2] == pytest.approx(50)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("Z", 2024, 1)], "no company 'Z'"),
        ([("A", 2022, 1)], "'A': 2022 is not a year after 2022"),
        ([("A", "soon", 1)], "'A': 'soon' is not a year after 2022"),
        ([("A", 2030, 0)], "'A', 2030: 0.* is not above 0; give the tonnes that remain"),
        ([("A", 2030, "none")], "'A', 2030: nan is not above 0"),
        ([("A", 2030, 1), ("A", 2030, 2)], "'A' has two targets for 2030"),
        ([("C", 2030, 1)], "'C' reported zero in 2022"),
    ],
)
def test_targets_that_cannot_be_met_are_refused(rows: list[tuple], message: str) -> None:
    with pytest.raises(InputError, match=f"scenario 'net zero', targets: .*{message}"):
        forecast_scenario(Product(), panel(), HORIZON, Scenario("net zero", targets=targets(*rows)))


@pytest.mark.parametrize(
    ("drivers", "message"),
    [
        (future(carbon=[np.nan, 2.0, 2.0]), "'carbon' is given in 2024 and not in 2023"),
        (future(gdp=[2.0] * 3, carbon=[1.0, np.nan, 2.0]), "'carbon' is given in 2025 and not in 2024"),
        (future(2030, oil=[2.0]), "'oil' is given in no year from 2023 to 2025"),
    ],
)
def test_a_level_that_would_have_no_effect_is_refused(drivers: Drivers, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(Product(), panel(), HORIZON, [Scenario("holes", drivers)])
    with pytest.raises(InputError, match=message):
        contributions(Product(), panel(), HORIZON, None, drivers)


def test_scenarios_and_weights_are_checked() -> None:
    for scenarios in ([], [Scenario("a"), Scenario("a")]):
        with pytest.raises(InputError, match="a name of its own"):
            compare(Product(), panel(), HORIZON, scenarios)
    for weights in (np.ones(2), np.array([1.0, np.nan, 1.0])):
        with pytest.raises(InputError, match="each of the panel's 3 companies"):
            compare(Product(), panel(), HORIZON, [Scenario("a")], weights=weights)


def test_contributions_are_shapley_values_by_hand() -> None:
    baseline = future(carbon=[1.0, 1.0, 2.0], gdp=[1.0, 1.0, 1.0])
    scenario = future(carbon=[1.0, 1.0, 3.0], oil=[1.0, 1.0, 0.5])
    found = contributions(Product(), panel(), HORIZON, baseline, scenario)
    # v: neither 300, carbon 450, oil 150, both 225; so carbon adds (150 + 75) / 2, oil (−150 − 225) / 2.
    assert list(found["driver"]) == ["carbon", "oil"]
    np.testing.assert_allclose(found["contribution"], [112.5, -187.5])
    np.testing.assert_allclose(found["before"], [300, 412.5])
    np.testing.assert_allclose(found["after"], [412.5, 225])


def test_symmetric_drivers_share_equally_and_an_unchanged_one_has_nothing() -> None:
    baseline = future(carbon=[1.0, 1.2, 1.1], gdp=[1.0, 1.2, 1.1], oil=[1.3, 1.2, 1.1])
    scenario = future(carbon=[1.0, 1.5, 2.0], gdp=[1.0, 1.5, 2.0], oil=[1.3, 1.2, 1.1])
    found = contributions(Product(), panel(), HORIZON, baseline, scenario, year=2024).set_index("driver")
    assert found.loc["carbon", "contribution"] == pytest.approx(found.loc["gdp", "contribution"], rel=1e-12)
    assert found.loc["oil", "contribution"] == pytest.approx(0, abs=1e-10)
    assert found["contribution"].sum() == pytest.approx(150 * 1.2 * (1.5**2 - 1.2**2))


def test_contributions_need_a_year_that_is_forecast_and_shap(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = future(carbon=[2.0] * 3)
    with pytest.raises(InputError, match="year: 2026 is not forecast; choose one from 2023 to 2025"):
        contributions(Product(), panel(), HORIZON, None, scenario, year=2026)
    with pytest.raises(InputError, match="it has no driver"):
        contributions(Product(), panel(), HORIZON, None, Drivers(scenario.values[[]]))
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(InputError, match="pip install shap"):
        contributions(Product(), panel(), HORIZON, None, scenario)


@pytest.fixture(scope="module")
def trained() -> tuple[NeuralForecaster, Panel]:
    """A network after a few steps, on companies that a driver moves."""
    made = synthetic_panel(40, 12)
    rng = np.random.default_rng(1)
    walks = 100 * np.exp(np.cumsum(0.1 * rng.standard_normal((13, 3)), axis=0))
    drivers = pd.DataFrame(walks, pd.Index(range(2010, 2023), name="year"), ["carbon", "gdp", "oil"])
    made = Panel(made.emissions, made.statics, Drivers(drivers))
    return NeuralForecaster(trainer=TrainerConfig(max_steps=5, batch_size=256, monitor="crps")).fit(made), made


def test_a_networks_contributions_add_up_to_what_the_scenario_changes(
    trained: tuple[NeuralForecaster, Panel],
) -> None:
    forecaster, made = trained
    weights = np.linspace(0, 1, len(made.companies))
    baseline = future(gdp=[102.0, 104.0, 106.0])
    scenario = future(carbon=[200.0, 300.0, 400.0], gdp=[95.0, 90.0, 85.0], oil=[100.0, 80.0, 60.0])
    found = contributions(forecaster, made, HORIZON, baseline, scenario, weights=weights, samples=20)
    scenarios = [Scenario("baseline", baseline), Scenario("scenario", scenario)]
    means = compare(forecaster, made, HORIZON, scenarios, weights=weights, samples=20)["mean"]
    before, after = means[HORIZON - 1], means[2 * HORIZON - 1]
    assert abs(after - before) > 1e-6 * before
    assert found["contribution"].sum() == pytest.approx(after - before, rel=1e-6)
    assert found["before"].iloc[0] == pytest.approx(before, rel=1e-9)
    assert found["after"].iloc[-1] == pytest.approx(after, rel=1e-9)


def test_a_network_refuses_a_driver_that_it_does_not_know(trained: tuple[NeuralForecaster, Panel]) -> None:
    forecaster, made = trained
    with pytest.raises(InputError, match=r"'carbn'.*'carbon'"):
        compare(forecaster, made, HORIZON, [Scenario("typing error", future(carbn=[1.0] * 3))], samples=2)
