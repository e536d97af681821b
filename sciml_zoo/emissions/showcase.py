"""The domain's part of the demo: each shipped forecaster at work, and a portfolio's footprint in coming years."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sciml_zoo.emissions.backtest import backtest
from sciml_zoo.emissions.figures import fan_chart, portfolio_fan_chart
from sciml_zoo.emissions.footprint import footprint_trajectory
from sciml_zoo.emissions.model import EmissionsForecaster
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.sources import PANELS, open_panel
from sciml_zoo.emissions.synthetic import synthetic_panel, synthetic_portfolio
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.report import Report, Say, Table
from sciml_zoo.zoo.registry import list_models
from sciml_zoo.zoo.resolve import load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["demo"]

_HEAD = ("weights", "panel", "origin", "companies", "MASE / naive", "total's error / naive", "in 80 %", "in 95 %")
_HORIZON = 5
_SAMPLES = 200
# Which panel of the catalogue shows what weights do.
_SHOWN = {"eutl": "eutl", "eutl_to2017": "eutl", "ghgrp": "ghgrp_facilities", "gcb": "gcb"}


def demo(directory: Path, say: Say) -> Report:
    """Backtests the shipped forecasters, and forecasts a portfolio.

    Args:
        directory: not used: nothing is trained here.
        say: told what is happening.

    Returns:
        The tables and figures.
    """
    rows: list[tuple[str, ...]] = []
    figures: list[tuple[str, Figure]] = []
    made = synthetic_panel()
    for name in list_models("emissions_rnn.*", pretrained=True):
        panel, where = _panel(name.partition(".")[2], made)
        say(f"{name}: {where}")
        model = load_model(name)
        assert isinstance(model, EmissionsForecaster)
        rows.append(_score(name, model, panel, where))
        if name == "emissions_rnn.eutl":
            say("a portfolio of forty generated companies: five years ahead")
            table, drawn = _portfolio(model, made)
            figures = drawn
    text = (
        "One recurrent network per panel samples joint trajectories of all companies, so that the interval of a "
        "portfolio's total respects what companies share. It shrinks to the last value where the past says nothing. "
        "Forecasts from an origin before the weights' last year are no test; those of eutl_to2017 from 2017 are."
    )
    tables = [Table("Forecasts against the last value (naive)", _HEAD, rows)] if rows else []
    return Report("Emissions", text, [*tables, table] if figures else tables, figures)


def _panel(trained_on: str, made: Panel) -> tuple[Panel, str]:
    name = _SHOWN.get(trained_on, "")
    if name in PANELS:
        try:
            return open_panel(name), name
        except (InputError, FailureError):
            pass
    return made, "generated companies (the data are not on this machine)"


def _score(name: str, model: EmissionsForecaster, panel: Panel, where: str) -> tuple[str, ...]:
    origin = panel.years[-1] - _HORIZON
    forecasters = {"network": lambda: TrainedForecaster(model)}
    result = backtest(forecasters, panel, origins=[origin], horizon=_HORIZON, samples=_SAMPLES, n_portfolios=1)
    row = result.summary("all").loc["network"]
    cells = (f"{row[c]:.3f}" for c in ("mase_relative", "total_relative", "coverage80", "coverage95"))
    return (name, where, str(origin), f"{row['companies']:,.0f}", *cells)


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
    history = np.nansum(held.values, axis=0)
    figures = [
        (
            "a generated company: what it emitted, and what it may emit",
            fan_chart(held, forecast, held.companies[0]),
        ),
        (
            "all companies of the generated portfolio together",
            portfolio_fan_chart(held.years, history, forecast.total(), forecast.origin, "Companies held"),
        ),
    ]
    return Table(f"The portfolio in {forecast.years[-1]}", head, rows), figures
