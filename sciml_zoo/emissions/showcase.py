"""The domain's part of the demo: shipped forecasters on the years that followed, and a small one trained here."""

import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from sciml_zoo.emissions.backtest import backtest
from sciml_zoo.emissions.estimator import NeuralForecaster
from sciml_zoo.emissions.figures import fan_chart, portfolio_fan_chart
from sciml_zoo.emissions.footprint import footprint_trajectory
from sciml_zoo.emissions.model import EmissionsForecaster, EmissionsForecasterConfig
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.sources import open_panel
from sciml_zoo.emissions.synthetic import synthetic_panel, synthetic_portfolio
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.report import Report, Say, Table
from sciml_zoo.training import TrainerConfig
from sciml_zoo.zoo.registry import list_models
from sciml_zoo.zoo.resolve import load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["demo"]

# The catalogue's panel that weights are shown on, where it is at hand; otherwise they forecast generated companies.
_PANEL_OF = {"eutl": "eutl", "eutl_to2017": "eutl", "ghgrp": "ghgrp_firms", "gcb": "gcb"}
_GENERATED = "generated companies"
_HEAD = (
    "network",
    "panel",
    "origin",
    "companies",
    "MASE / naive",
    "total's error / naive",
    "in 80 %",
    "in 95 %",
    "trained on the years forecast",
)
_HORIZON = 5
# As `evaluate` draws by default: the figures are then those of the cards.
_SAMPLES = 500
_SMALL = EmissionsForecasterConfig(members=1, hidden=8)
_BRIEF = TrainerConfig(max_steps=60, batch_size=256, clip_norm=1.0, validate_every=60, monitor="crps")


def demo(directory: Path, say: Say) -> Report:
    """Scores the shipped networks, trains a small one on generated companies, and forecasts a portfolio.

    Where the real panels are not at hand (``SCIML_ZOO_DATA``), the shipped networks forecast the generated companies.

    Args:
        directory: not used: the training leaves no files.
        say: told what is happening.

    Returns:
        The tables and figures.
    """
    made = synthetic_panel()
    origin = made.years[-1] - _HORIZON
    rows: list[tuple[str, ...]] = []
    open_once = functools.cache(_real_panel)
    for name in list_models(pretrained=True, domain="emissions"):
        real = open_once(_PANEL_OF.get(name.partition(".")[2]))
        say(f"{name}: the last {_HORIZON} years of {_GENERATED if real is None else real[0]}")
        model = load_model(name)
        assert isinstance(model, EmissionsForecaster)
        rows.append(_score(name, model, *(real or (_GENERATED, made))))
    say(f"training a small forecaster on generated companies up to {origin} (a few seconds)")
    small = NeuralForecaster(model=_SMALL, trainer=_BRIEF).fit(made.until(origin)).network
    assert small is not None
    rows.append(_score("small network, trained here", small, _GENERATED, made))
    say("forecasting a portfolio of forty of them")
    table, figures = _portfolio(small, made)
    text = (
        "A recurrent network samples joint trajectories of all companies, so that the interval of a portfolio's total "
        "respects what companies share. It shrinks to the last value where the past says nothing."
    )
    return Report("Emissions", text, [Table("Forecasts against the last value (naive)", _HEAD, rows), table], figures)


def _real_panel(name: str | None) -> tuple[str, Panel] | None:
    if name is None:
        return None
    try:
        return name, open_panel(name)
    except (InputError, FailureError):
        return None


def _score(name: str, model: EmissionsForecaster, where: str, panel: Panel) -> tuple[str, ...]:
    origin = panel.years[-1] - _HORIZON
    forecasters = {"network": lambda: TrainedForecaster(model)}
    result = backtest(forecasters, panel, origins=[origin], horizon=_HORIZON, samples=_SAMPLES, n_portfolios=1)
    row = result.summary("all").loc["network"]
    cells = (f"{row[c]:.3f}" for c in ("mase_relative", "total_relative", "coverage80", "coverage95"))
    seen = where != _GENERATED and model.config.last_year > origin
    return (name, where, str(origin), f"{row['companies']:,.0f}", *cells, "yes: no test" if seen else "no")


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
