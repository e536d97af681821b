"""Backtests: no look at the future, scores by hand, views and portfolios."""

import numpy as np
import pandas as pd
import pytest

from sciml_zoo.emissions.backtest import backtest
from sciml_zoo.emissions.baselines import Drift, Naive
from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.errors import InputError

NAN = np.nan


def panel(values, sectors="", drivers=None):
    values = np.array(values, dtype=np.float64)
    keys = pd.Index([f"c{k}" for k in range(len(values))], name="company")
    emissions = pd.DataFrame(values, index=keys, columns=range(2010, 2010 + values.shape[1]))
    return Panel(emissions, pd.DataFrame({"sector": sectors, "country": ""}, index=keys), drivers)


def random_walks(companies=80, years=14, common=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return 1e6 + np.cumsum(rng.normal(0, 1e4, (companies, years)) + common * rng.normal(0, 1e4, years), axis=1)


class Spy:
    """Forecasts naively and keeps whatever it was given."""

    seen = None

    def fit(self, panel):
        type(self).seen.append(("fit", panel))
        self.naive = Naive().fit(panel)
        return self

    def predict(self, panel, horizon, *, samples=200, seed=0):
        type(self).seen.append(("predict", panel))
        forecast = self.naive.predict(panel, horizon, samples=samples, seed=seed)
        type(self).seen.append(("forecast", forecast))
        return forecast


@pytest.fixture
def spy():
    Spy.seen = []
    return Spy


def memory(array):
    """The largest array that an array shows a part of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_a_forecaster_never_sees_what_comes_later(spy):
    cap = pd.DataFrame({"gdp": np.arange(1.0, 15.0), "cap": np.arange(1.0, 15.0)}, index=range(2010, 2024))
    values = random_walks(10)
    values[3, 8:] = NAN
    history = panel(values, drivers=Drivers(cap, frozenset({"cap"})))
    rejected = pd.DataFrame({"company": ["c1"], "year": [2022], "value": ["Excluded"], "reason": ["text"]})
    history = Panel(history.emissions, history.statics, history.drivers, rejected)
    backtest({"spy": spy}, history, origins=[2015, 2018], horizon=2, holdout=["c2"], samples=10)
    calls = [(kind, given) for kind, given in spy.seen if kind != "forecast"]
    assert [(kind, given.years[-1]) for kind, given in calls] == [
        ("fit", 2015), ("predict", 2015), ("fit", 2018), ("predict", 2018)
    ]  # fmt: skip
    for kind, given in calls:
        origin = given.years[-1]
        assert given.drivers.values.loc[origin + 1 :, "gdp"].isna().all()
        assert given.drivers.values.loc[2023, "cap"] == 14
        assert memory(given.emissions.to_numpy()).size <= 10 * (origin - 2009)
        assert given.rejected.empty
        assert ("c2" in given.companies) == (kind == "predict")
    assert "c3" in calls[1][1].companies
    assert "c3" not in calls[3][1].companies


def test_another_future_changes_no_forecast(spy):
    values = random_walks(20)
    other = values.copy()
    other[:, 9:] *= np.random.default_rng(1).lognormal(0, 1, (20, 5))
    other[4, 9:] = NAN
    forecasts = []
    for each in (values, other):
        spy.seen.clear()
        backtest(spy, panel(each), origins=[2018], horizon=3, samples=20)
        forecasts.append(next(found for kind, found in spy.seen if kind == "forecast"))
    assert forecasts[0].companies == forecasts[1].companies
    np.testing.assert_array_equal(forecasts[0].samples, forecasts[1].samples)


def test_scores_by_hand():
    """Naive and drift at 2013, for two companies; the second does not report 2015."""
    values = [[10.0, 12.0, 14.0, 18.0, 20.0, 30.0], [8.0, 6.0, 4.0, 2.0, 4.0, NAN]]
    result = backtest({"drift": Drift}, panel(values, ["power", "steel"]), origins=[2013], horizon=2, samples=50)
    # Scales (2 + 2 + 4) / 3 and 2; the drifts are 8 / 3 and −2.
    errors = {"naive": ([2, 12], [2]), "drift": ([18 + 8 / 3 - 20, 30 - 18 - 16 / 3], [4])}
    scale = 8 / 3
    summary = result.summary()
    mase = {name: (np.mean(first) / scale + second[0] / 2) / 2 for name, (first, second) in errors.items()}
    assert summary.loc["naive", "mase"] == pytest.approx(mase["naive"])
    assert summary.loc["drift", "mase_relative"] == pytest.approx(mase["drift"] / mase["naive"])
    # Totals: 24 against 20, then 30 against 18; the drift's are 18 + 8/3 + 0 and 18 + 16/3.
    total = abs(18 + 8 / 3 - 24) + abs(18 + 16 / 3 - 30)
    assert summary.loc["naive", "total"] == pytest.approx(16, rel=1e-5)
    assert summary.loc["drift", "total_relative"] == pytest.approx(total / 16, rel=1e-5)
    smape = (np.mean([200 * 2 / 38, 200 * 12 / 48]) + 200 * 2 / 6) / 2
    assert summary.loc["naive", "smape"] == pytest.approx(smape)
    assert summary.loc["naive", ["mase_relative", "crps_relative", "total_relative"]].tolist() == [1, 1, 1]
    assert summary["company_origins"].tolist() == [2, 2]
    by_horizon = result.by_horizon()
    assert by_horizon.loc[("naive", 2), "mase"] == pytest.approx(12 / scale)
    assert by_horizon.loc[("drift", 1), "mase"] == pytest.approx(((8 / 3 - 2) / scale + 4 / 2) / 2)
    by_sector = result.by_sector()
    assert by_sector.loc[("drift", "steel"), "mase_relative"] == pytest.approx(2)
    assert by_sector.loc[("drift", "power"), "total_relative"] == pytest.approx(sum(errors["drift"][0]) / 14, rel=1e-5)
    assert result.by_origin().loc[("drift", 2013), "mase"] == pytest.approx(mase["drift"])


def test_who_is_not_scored_is_counted():
    values = random_walks(8)
    values[0, 9] = NAN
    values[1, :8] = NAN
    values[2, :10] = 5.0
    values[3, 10:] = NAN
    values[4, :10] = NAN
    counts = backtest(Naive, panel(values), origins=[2019], horizon=2, samples=20).counts.loc[2019]
    assert counts.to_dict() == {
        "known": 7,
        "not reporting": 1,
        "history too short": 1,
        "zero scale": 1,
        "no actual value": 1,
        "scored": 3,
    }


def test_views_are_of_those_they_name():
    values = random_walks(30)
    values[:10, 0] = NAN
    result = backtest(Naive, panel(values), origins=[2017, 2019], horizon=4, holdout=["c5", "c20"], samples=20)
    companies = {view: result.summary(view).loc["forecaster", "companies"] for view in ("all", "held out", "complete")}
    assert companies == {"all": 30, "held out": 2, "complete": 20}
    assert set(result.portfolio_coverage().index.get_level_values("view")) == {"all", "held out"}
    assert result.summary("held out").loc["naive", "company_origins"] == 4


def test_intervals_of_random_walks_cover_and_naive_is_the_best():
    result = backtest({"drift": Drift}, panel(random_walks(600, 34)), origins=range(2035, 2039), horizon=4, samples=500)
    summary = result.summary()
    assert summary.loc["naive", "coverage80"] == pytest.approx(0.8, abs=0.03)
    assert summary.loc["naive", "coverage95"] == pytest.approx(0.95, abs=0.02)
    assert summary.loc["drift", "mase_relative"] > 1.02
    assert summary.loc["drift", "crps_relative"] > 1.02
    # The least CRPS of a Gaussian random walk: σ √h / √π, in units of the scale σ √(2/π).
    best = np.sqrt(np.arange(1, 5)) / np.sqrt(2)
    np.testing.assert_allclose(result.by_horizon().loc["naive", "crps"], best, rtol=0.06)


class Independent(Drift):
    """The naive forecast without what companies have in common: each one's samples in an order of its own."""

    def predict(self, panel, horizon, *, samples=200, seed=0):
        forecast = Naive().fit(panel).predict(panel, horizon, samples=samples, seed=seed)
        shuffled = np.random.default_rng(seed).permuted(forecast.samples, axis=0)
        return Forecast(forecast.companies, forecast.origin, shuffled, forecast.point)


def test_portfolios_need_joint_samples():
    history = panel(random_walks(120, 40, common=0.5))
    result = backtest({"independent": Independent}, history, origins=range(2025, 2049), horizon=1, portfolio_size=40)
    coverage = result.portfolio_coverage()
    joint, independent = coverage.loc[("naive", "all")], coverage.loc[("independent", "all")]
    assert joint["low80"] <= 0.8 <= joint["high80"]
    assert joint["low95"] <= 0.95 <= joint["high95"]
    assert independent["high80"] < 0.7
    assert result.summary().loc["independent", "coverage80"] == pytest.approx(0.8, abs=0.05)


def test_progress_is_told():
    told = []
    backtest(
        Naive, panel(random_walks(5)), origins=[2015, 2016], horizon=1, samples=5, on_progress=lambda *x: told.append(x)
    )
    assert told == [
        (0, 4, "naive, 2015"),
        (1, 4, "forecaster, 2015"),
        (2, 4, "naive, 2016"),
        (3, 4, "forecaster, 2016"),
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"origins": [2023]}, "origin 2023: the panel allows origins from 2011 to 2022"),
        ({"origins": []}, "at least one origin"),
        ({"horizon": 0}, "horizon 0"),
        ({"holdout": ["c1", "z"]}, "held-out companies not in the panel: 'z'"),
        ({"holdout": [f"c{k}" for k in range(5)]}, "origin 2015: 0 companies to train on"),
        ({"min_history": 9}, "origin 2015: 5 companies to train on, of those to score .*'history too short': 5"),
        ({"make": {"naive": Naive}}, "method 'naive': the name of the reference"),
    ],
)
def test_bad_input_is_named(changed, message):
    given = {"make": Naive, "panel": panel(random_walks(5)), "origins": [2015], "horizon": 2} | changed
    with pytest.raises(InputError, match=message):
        backtest(given.pop("make"), given.pop("panel"), **given)


class Fewer(Naive):
    def predict(self, panel, horizon, *, samples=200, seed=0):
        return super().predict(panel.select(panel.companies[1:]), horizon, samples=samples, seed=seed)


class Endless(Naive):
    def predict(self, panel, horizon, *, samples=200, seed=0):
        forecast = super().predict(panel, horizon, samples=samples, seed=seed)
        forecast.samples[0, 2, 1] = np.inf
        return forecast


def test_a_bad_forecast_is_named():
    history = panel(random_walks(5))
    with pytest.raises(InputError, match=r"fewer, origin 2015: samples \(200, 4, 2\) of 4 companies; .* 5, 2\]"):
        backtest({"fewer": Fewer}, history, origins=[2015], horizon=2)
    with pytest.raises(InputError, match="endless, origin 2015: 'c2', 2017: not a finite number"):
        backtest({"endless": Endless}, history, origins=[2015], horizon=2)


def test_an_unknown_view_is_named():
    result = backtest(Naive, panel(random_walks(5)), origins=[2015], horizon=2, samples=5)
    with pytest.raises(InputError, match="no view 'held-out'; did you mean 'held out'"):
        result.summary("held-out")
    with pytest.raises(InputError, match="view 'held out': none of the companies"):
        result.summary("held out")
