"""The domain's part of the demo: a forecaster trained on generated companies, and a portfolio's coming footprint."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from sciml_zoo.emissions.backtest import backtest
from sciml_zoo.emissions.estimator import NeuralForecaster
from sciml_zoo.emissions.figures import fan_chart, portfolio_fan_chart
from sciml_zoo.emissions.footprint import footprint_trajectory
from sciml_zoo.emissions.model import EmissionsForecaster, EmissionsForecasterConfig
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.synthetic import synthetic_panel, synthetic_portfolio
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.report import Report, Say, Table
from sciml_zoo.training import TrainerConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["demo"]

_HEAD = ("origin", "companies", "MASE / naive", "total's error / naive", "in 80 %", "in 95 %")
_HORIZON = 5
_SAMPLES = 200
_SMALL = EmissionsForecasterConfig(members=1, hidden=8)
_BRIEF = TrainerConfig(max_steps=60, batch_size=256, clip_norm=1.0, validate_every=60, monitor="crps")


def demo(directory: Path, say: Say) -> Report:
    """Trains a small forecaster on generated companies, backtests it, and forecasts a portfolio.

    Args:
        directory: not used: the training leaves no files.
        say: told what is happening.

    Returns:
        The tables and figures.
    """
    panel = synthetic_panel()
    origin = panel.years[-1] - _HORIZON
    say(f"training a small forecaster on generated companies up to {origin} (a few seconds)")
    forecaster = NeuralForecaster(model=_SMALL, trainer=_BRIEF).fit(panel.until(origin))
    model = forecaster.network
    assert model is not None
    say("forecasting a portfolio of forty of them")
    table, figures = _portfolio(model, panel)
    text = (
        "A recurrent network samples joint trajectories of all companies, so that the interval of a portfolio's total "
        "respects what companies share. It shrinks to the last value where the past says nothing."
    )
    scores = Table("Forecasts against the last value (naive)", _HEAD, [_score(model, panel, origin)])
    return Report("Emissions", text, [scores, table], figures)


def _score(model: EmissionsForecaster, panel: Panel, origin: int) -> tuple[str, ...]:
    forecasters = {"network": lambda: TrainedForecaster(model)}
    result = backtest(forecasters, panel, origins=[origin], horizon=_HORIZON, samples=_SAMPLES, n_portfolios=1)
    row = result.summary("all").loc["network"]
    cells = (f"{row[c]:.3f}" for c in ("mase_relative", "total_relative", "coverage80", "coverage95"))
    return (str(origin), f"{row['companies']:,.0f}", *cells)


def _portfolio(model: EmissionsForecaster, made: Panel) -> "tuple[Table, list[tuple[str, Figure]]]":
    tables = synthetic_portfolio(made)
    held = made.select([c for c in made.companies if c in set(tables.holdings["company"])])
    forecast = TrainedForecaster(model).predict(held, _HORIZON, samples=_SAMPLES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = footprint_trajectory(tables.holdings, tables.financials, {"1": forecast})
    scope = found.as_dict()["scopes"]["1"]["metrics"]
    rows = [
        (
            name,
            str(metric["unit"]),
            f"{metric['coverage']:.0%}",
            *(f"{metric['years'][-1][level]:,.4g}" for level in ("q10", "q50", "q90")),
        )
        for name, metric in scope.items()
        if metric["years"] and metric["years"][-1]["mean"] is not None
    ]
    head = ("metric, scope 1", "unit", "covered", "10 %", "median", "90 %")
    figures = [
        (
            "a generated company: what it emitted, and what it may emit",
            fan_chart(held, forecast, held.companies[0]),
        ),
        (
            "all companies of the generated portfolio together",
            portfolio_fan_chart(held.years, held.total(), forecast.total(), forecast.origin, "Companies held"),
        ),
    ]
    return Table(f"The portfolio in {forecast.years[-1]}", head, rows), figures
