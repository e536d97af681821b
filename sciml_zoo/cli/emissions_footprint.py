"""``sciml-zoo emissions footprint``: a portfolio's metrics by scope, what they lack, and what they may become."""

import argparse
import dataclasses
import warnings
from typing import Any

import numpy as np
import pandas as pd

from sciml_zoo.cli.emissions_inputs import (
    kept_warnings,
    open_network,
    prepared_device,
    save_figure,
    show_table,
)
from sciml_zoo.cli.output import plain_console, progress_bar, write_json
from sciml_zoo.emissions.currencies import read_rates
from sciml_zoo.emissions.footprint import Footprint, FootprintTrajectory, footprint, footprint_trajectory
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.holdings import SCOPES, read_emissions
from sciml_zoo.emissions.inference import forecast_panel
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.errors import InputError

__all__ = ["report"]

_SHOWN = 20


def report(args: argparse.Namespace) -> int:
    """Reports a portfolio's footprint, and with ``--years`` its trajectory.

    Args:
        args: of the verb.

    Returns:
        The exit status.

    Raises:
        InputError: naming what is wrong with a table or the options.
    """
    _check(args)
    money: dict[str, Any] = {"currency": args.currency}
    if args.rates is not None:
        money["rates"] = read_rates(args.rates, args.currency)
    with kept_warnings() as told:
        now = footprint(args.holdings, args.financials, args.emissions, year=args.year, **money)
        content, coming = now.as_dict(), None
        _tell(now)
        if args.years is not None:
            history, forecasts = _forecasts(args, now)
            coming = footprint_trajectory(args.holdings, args.financials, forecasts, year=now.year, **money)
            _tell(coming)
            content |= {"weights": args.weights, "trajectory": coming.as_dict()}
            if args.figure is not None:
                _draw(args, history, forecasts, coming)
    write_json(args.json, content | {"warnings": told})
    _show(now, coming)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.rates is not None and args.currency is None:
        raise InputError("--rates: they count in the currency of the report; give --currency CODE too")
    if (args.years is None) != (args.weights is None):
        raise InputError("--years and --weights go together: give both to forecast, or neither")
    if args.figure is not None and args.years is None:
        raise InputError("--figure: draws the years to come; give --years H and --weights NAME too")


def _tell(found: Footprint | FootprintTrajectory) -> None:
    for text in found.warnings:
        warnings.warn(text, stacklevel=2)


def _forecasts(args: argparse.Namespace, now: Footprint) -> tuple[dict[str, Panel], dict[str, Forecast]]:
    """Forecasts the emissions of the companies held.

    Each scope of a company is a series, and all series are drawn together, so that scopes share the common shocks.

    Returns:
        Histories and forecasts by scope, of the scopes that companies held report.

    Raises:
        InputError: no company held has emissions.
    """
    table = read_emissions(args.emissions)
    held = table["company"].isin(now.holdings["company"]) & table["year"].le(now.year)
    series = table[held].assign(company=table["scope"] + table["company"])
    if series["emissions"].isna().all():
        raise InputError(f"{args.emissions}: no company held has emissions up to {now.year}; nothing can be forecast")
    panel = Panel.from_long(series, place=args.emissions)
    device = prepared_device(args)
    model = open_network(args.weights, device)
    with progress_bar("forecasting") as show:
        joint = forecast_panel(
            model, panel, args.years, samples=args.n_samples, seed=args.seed, device=device, on_progress=show
        )
    histories, forecasts = {}, {}
    for scope in SCOPES:
        rows = [row for row, key in enumerate(joint.companies) if key.startswith(scope)]
        if rows:
            keys = [joint.companies[row] for row in rows]
            histories[scope] = panel.select(keys)
            companies = [key.removeprefix(scope) for key in keys]
            forecasts[scope] = dataclasses.replace(joint, companies=companies, samples=joint.samples[:, rows])
    return histories, forecasts


def _draw(
    args: argparse.Namespace, histories: dict[str, Panel], forecasts: dict[str, Forecast], found: FootprintTrajectory
) -> None:
    """Draws the financed emissions of the first scope that there is."""
    from sciml_zoo.emissions.figures import portfolio_fan_chart

    scope, forecast = next(iter(forecasts.items()))
    factors = found.holdings.groupby("company")["attribution"].sum().reindex(forecast.companies).to_numpy(np.float64)
    panel, total = histories[scope], forecast.total(factors)
    title = f"Financed emissions, scope {scope}"
    figure = portfolio_fan_chart(panel.years, panel.total(factors), total, forecast.origin, title)
    save_figure(args.figure, figure)


def _show(now: Footprint, coming: FootprintTrajectory | None) -> None:
    console = plain_console()
    console.print(f"{now.value:,.0f} {now.currency} held, reported for {now.year}", soft_wrap=True)
    show_table(
        ("scope", "metric", "value", "unit", "covered"),
        [
            (row["scope"], _words(row["metric"]), _number(row["value"]), row["unit"], f"{row['coverage']:.1%}")
            for row in now.metrics.to_dict("records")
        ],
    )
    if coming is not None:
        _show_trajectory(coming)
        for text in coming.assumptions:
            console.print(text, soft_wrap=True)
    rows = [
        (repr(row["company"]), row["scope"], f"{row['share']:.2%}", row["reason"])
        for row in now.uncovered.groupby(["company", "share", "reason"], sort=False)["scope"]
        .agg(lambda scopes: ", ".join(dict.fromkeys(scopes)))
        .reset_index()
        .to_dict("records")
    ]
    if rows:
        show_table(("not covered", "scopes", "share of the portfolio", "reason"), rows[:_SHOWN])
    if len(rows) > _SHOWN:
        console.print(f"and {len(rows) - _SHOWN} more (--json FILE lists them)", soft_wrap=True)


def _show_trajectory(found: FootprintTrajectory) -> None:
    years = [str(year) for year in sorted(found.metrics["year"].unique())]
    rows = []
    for (scope, metric), group in found.metrics.groupby(["scope", "metric"], sort=False):
        last = group.iloc[-1]
        span = f"{_number(last['q10'])} to {_number(last['q90'])}"
        rows.append((str(scope), _words(str(metric)), last["unit"], *map(_number, group["mean"]), span))
    show_table(("scope", "expected", "unit", *years, f"80 % interval, {years[-1]}"), rows)


def _words(metric: str) -> str:
    return metric.replace("_", " ")


def _number(value: float) -> str:
    return "unknown" if pd.isna(value) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
