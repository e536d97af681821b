"""``sciml-zoo emissions footprint``: a portfolio's metrics by scope, what they lack, and what they may become."""

import argparse
import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sciml_zoo.cli.emissions import DEFAULT_WEIGHTS
from sciml_zoo.cli.emissions_inputs import (
    kept_warnings,
    open_network,
    prepared_device,
    show_table,
)
from sciml_zoo.cli.output import plain_console, progress_bar, save_figure, write_json
from sciml_zoo.emissions._checked_table import named
from sciml_zoo.emissions.currencies import read_rates
from sciml_zoo.emissions.drivers import Drivers, read_drivers
from sciml_zoo.emissions.footprint import Footprint, FootprintTrajectory, footprint, footprint_trajectory
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.holdings import SCOPES, read_emissions, read_targets
from sciml_zoo.emissions.inference import forecast_panel
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.scenarios import Scenario, forecast_scenario
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.errors import InputError

__all__ = ["report"]

_SHOWN = 20
_SCOPE = ", scope "
_BASELINE, _TARGETS = "baseline", "targets"


def report(args: argparse.Namespace) -> int:
    """Reports a portfolio's footprint, and with ``--years`` its trajectory, in scenarios too.

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
    weights = args.weights or DEFAULT_WEIGHTS
    with kept_warnings() as told:
        now = footprint(args.holdings, args.financials, args.emissions, year=args.year, **money)
        content = now.as_dict()
        coming: dict[str, FootprintTrajectory] = {}
        _tell(now)
        if args.years is not None:
            panel = _series(args, now)
            forecasts = {name: _by_scope(joint) for name, joint in _forecasts(args, weights, panel).items()}
            for name, by_scope in forecasts.items():
                coming[name] = footprint_trajectory(args.holdings, args.financials, by_scope, year=now.year, **money)
                _tell(coming[name])
            told_of = {name: trajectory.as_dict() for name, trajectory in coming.items()}
            content |= {"weights": weights, "trajectory": told_of.pop(_BASELINE)}
            content |= {"scenarios": told_of} if told_of else {}
            if args.figure is not None:
                _draw(args, panel, forecasts[_BASELINE], coming[_BASELINE])
    write_json(args.json, content | {"warnings": told})
    _show(now, coming, weights)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.rates is not None and args.currency is None:
        raise InputError("--rates: they count in the currency of the report; give --currency CODE too")
    for option in ("weights", "scenario", "targets", "figure"):
        if args.years is None and getattr(args, option):
            raise InputError(f"--{option}: is of the years to come; give --years H too")
    names = [name for name, _ in args.scenario]
    if len(set(names)) < len(names) or _BASELINE in names:
        raise InputError(f"--scenario: give each a name of its own, and none {_BASELINE!r}")


def _tell(found: Footprint | FootprintTrajectory) -> None:
    for text in found.warnings:
        warnings.warn(text, stacklevel=2)


def _series(args: argparse.Namespace, now: Footprint) -> Panel:
    """Returns the emissions of the companies held, a series for each company and scope.

    Raises:
        InputError: no company held has emissions.
    """
    table = read_emissions(args.emissions, set(now.holdings["company"])).table
    held = table["company"].isin(now.holdings["company"]) & table["year"].le(now.year)
    series = table[held].assign(company=_keys(table[held]))
    if series["emissions"].isna().all():
        raise InputError(f"{args.emissions}: no company held has emissions up to {now.year}; nothing can be forecast")
    return Panel.from_long(series, place=args.emissions)


def _keys(table: pd.DataFrame) -> pd.Series:
    return table["company"] + _SCOPE + table["scope"]


def _forecasts(args: argparse.Namespace, weights: str, panel: Panel) -> dict[str, Forecast]:
    """Returns the baseline and the scenarios, by name; all series are drawn together, and all forecasts alike.

    So scopes share the common shocks, and what differs between scenarios is not the noise.
    """
    scenarios = _scenarios(args, panel)
    device = prepared_device(args)
    model = open_network(weights, device)
    drawn = {"samples": args.n_samples, "seed": args.seed}
    with progress_bar("forecasting") as show:
        baseline = forecast_panel(model, panel, args.years, **drawn, device=device, on_progress=show)
    forecaster = TrainedForecaster(model, device=device)
    return {_BASELINE: baseline} | {
        scenario.name: forecast_scenario(forecaster, panel, args.years, scenario, **drawn) for scenario in scenarios
    }


def _scenarios(args: argparse.Namespace, panel: Panel) -> list[Scenario]:
    targets = None if args.targets is None else _targets(args.targets, panel)
    scenarios = [Scenario(name, _drivers(file, panel), targets) for name, file in args.scenario]
    return scenarios or ([] if targets is None else [Scenario(_TARGETS, targets=targets)])


def _drivers(path: Path, panel: Panel) -> Drivers:
    """Returns drivers; a company's own are those of each of its series."""
    drivers = read_drivers(path)
    companies = [key.rpartition(_SCOPE)[0] for key in panel.companies]
    own = {name: levels.reindex(companies).set_axis(panel.companies) for name, levels in drivers.by_company.items()}
    return dataclasses.replace(drivers, by_company=own)


def _targets(path: Path, panel: Panel) -> pd.DataFrame:
    """Returns targets of the panel's series; warns of those that are of none.

    Raises:
        InputError: one that cannot be taken, no scope where there are several, or none that is of a series.
    """
    table = read_targets(path)
    scopes = [scope for scope in SCOPES if any(key.endswith(_SCOPE + scope) for key in panel.companies)]
    if table["scope"].eq("").all():
        if len(scopes) > 1:
            raise InputError(
                f"--targets {path}: no column 'scope', and companies held report the scopes {', '.join(scopes)}: add it"
            )
        table = table.assign(scope=scopes[0])
    keys = _keys(table)
    known = keys.isin(panel.companies)
    if not known.any():
        raise InputError(f"--targets {path}: none is of a company held and a scope that it reports: {named(keys)}")
    if not known.all():
        text = f"{path}: targets without effect, of companies not held or scopes not reported: {named(keys[~known])}"
        warnings.warn(text, stacklevel=2)
    return table[known].assign(company=keys[known])[["company", "year", "emissions"]]


def _by_scope(joint: Forecast) -> dict[str, Forecast]:
    """Returns the forecasts of companies, by the scopes that they report."""
    forecasts = {}
    for scope in SCOPES:
        ending = _SCOPE + scope
        rows = [row for row, key in enumerate(joint.companies) if key.endswith(ending)]
        if rows:
            companies = [joint.companies[row].removesuffix(ending) for row in rows]
            forecasts[scope] = dataclasses.replace(joint, companies=companies, samples=joint.samples[:, rows])
    return forecasts


def _draw(args: argparse.Namespace, panel: Panel, forecasts: dict[str, Forecast], found: FootprintTrajectory) -> None:
    """Draws the financed emissions of the first scope that there is."""
    from sciml_zoo.emissions.figures import portfolio_fan_chart

    scope, forecast = next(iter(forecasts.items()))
    history = panel.select([company + _SCOPE + scope for company in forecast.companies])
    owned = found.holdings.groupby("company")["attribution"].sum().reindex(forecast.companies).to_numpy(np.float64)
    coming = found.holdings_by_year.pivot_table("attribution", "company", "year", aggfunc="sum")
    factors = coming.reindex(forecast.companies, columns=forecast.years, fill_value=0.0).to_numpy(np.float64)
    total = np.einsum("sch,ch->sh", forecast.samples, factors)
    title = f"Financed emissions, scope {scope}"
    save_figure(args.figure, portfolio_fan_chart(history.years, history.total(owned), total, forecast.origin, title))


def _show(now: Footprint, coming: dict[str, FootprintTrajectory], weights: str) -> None:
    console = plain_console()
    console.print(f"{now.value:,.0f} {now.currency} held, reported for {now.year}", soft_wrap=True)
    show_table(
        ("scope", "metric", "value", "unit", "covered"),
        [
            (row["scope"], _words(row["metric"]), _number(row["value"]), row["unit"], f"{row['coverage']:.1%}")
            for row in now.metrics.to_dict("records")
        ],
    )
    if coming:
        console.print(f"coming years are forecast with the weights {weights}", soft_wrap=True)
        _show_trajectory(coming[_BASELINE])
        if len(coming) > 1:
            _show_scenarios(coming)
        for text in coming[_BASELINE].assumptions:
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


def _show_scenarios(found: dict[str, FootprintTrajectory]) -> None:
    tables = [one.metrics.assign(scenario=name) for name, one in found.items()]
    table = pd.concat(tables)
    table = table[table["metric"].eq("financed_emissions")]
    rows = [
        (str(scope), str(name), *map(_number, group["mean"]))
        for (scope, name), group in table.groupby(["scope", "scenario"], sort=False)
    ]
    rows.sort(key=lambda row: [*SCOPES, "1+2"].index(row[0]))
    years = map(str, sorted(table["year"].unique()))
    show_table(("scope", "expected financed emissions, tCO2e", *years), rows)


def _words(metric: str) -> str:
    return metric.replace("_", " ")


def _number(value: float) -> str:
    return "unknown" if pd.isna(value) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
