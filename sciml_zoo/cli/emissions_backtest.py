"""``sciml-zoo emissions backtest``: methods side by side at past origins."""

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from sciml_zoo._rows import records
from sciml_zoo.cli.emissions_inputs import (
    checked_panel,
    kept_warnings,
    open_network,
    prepared_device,
    show_table,
    write_table,
)
from sciml_zoo.cli.output import plain_console, progress_bar, write_json
from sciml_zoo.emissions.backtest import backtest
from sciml_zoo.emissions.backtest_scores import REFERENCE, VIEWS, BacktestResult
from sciml_zoo.emissions.baselines import Combination, DampedTrend, Drift, PooledDrift, Theta
from sciml_zoo.emissions.estimator import NeuralForecaster
from sciml_zoo.emissions.forecast import Forecaster
from sciml_zoo.emissions.peers import LightGBM, Statsforecast
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.errors import InputError, nearest

__all__ = ["compare_methods"]

_SHOWN = {
    "MASE": "mase",
    "/ naive": "mase_relative",
    "CRPS / naive": "crps_relative",
    "total / naive": "total_relative",
    "sMAPE": "smape",
    "in 80 %": "coverage80",
    "in 95 %": "coverage95",
}


def compare_methods(args: argparse.Namespace) -> int:
    """Backtests methods and networks on a panel.

    Args:
        args: of the verb.

    Returns:
        The exit status.

    Raises:
        InputError: naming what is wrong with the panel, a method, the weights or the origins.
    """
    with kept_warnings() as told:
        device = prepared_device(args)
        methods = _methods(args, device)
        panel = checked_panel(args.panel)
        short = [str(year) for year in args.origins if year + args.horizon > panel.years[-1]]
        if short:
            warnings.warn(
                f"the panel ends in {panel.years[-1]}: from {', '.join(short)}, fewer than {args.horizon} years are "
                "scored",
                stacklevel=2,
            )
        rng = np.random.default_rng(args.seed)
        held_out = rng.permutation(np.array(panel.companies, dtype=object))[
            : round(args.holdout * len(panel.companies))
        ]
        with progress_bar("backtesting") as show:
            result = backtest(
                methods,
                panel,
                origins=args.origins,
                horizon=args.horizon,
                samples=args.n_samples,
                seed=args.seed,
                holdout=held_out.tolist(),
                on_progress=lambda done, total, _: show(done, total),
            )
    views = _views(result)
    if args.out is not None:
        write_table(args.out, result.scores)
    content = {
        "panel": args.panel,
        "origins": args.origins,
        "horizon": args.horizon,
        "n_samples": args.n_samples,
        "seed": args.seed,
        "held_out": held_out.tolist(),
        "views": {view: _scores(result, view) for view in views},
        "portfolio_coverage": _rows(result.portfolio_coverage()),
        "survivorship": _rows(result.counts),
        "rejected": records(panel.rejected),
        "warnings": told,
    }
    write_json(args.json, content)
    _show(result, views)
    return 0


def _methods(args: argparse.Namespace, device: str) -> dict[str, Callable[[], Forecaster]]:
    """Returns what makes each method, by name; the naive one is always added by the backtest."""
    jobs = args.threads or 1
    known: dict[str, Callable[[], Forecaster]] = {
        "drift": Drift,
        "pooled_drift": PooledDrift,
        "theta": Theta,
        "damped_trend": DampedTrend,
        "combination": Combination,
        "auto_ets": lambda: Statsforecast("AutoETS", jobs),
        "auto_theta": lambda: Statsforecast("AutoTheta", jobs),
        "auto_arima": lambda: Statsforecast("AutoARIMA", jobs),
        "lightgbm": lambda: LightGBM(args.horizon, jobs),
        "rnn": lambda: NeuralForecaster(seed=args.seed, device=device),
    }
    asked = [name for name in args.methods if name != REFERENCE]
    for name in asked:
        if name not in known:
            raise InputError(f"--methods: no method {name!r}; {nearest(name, [REFERENCE, *known])}")
    return {name: known[name] for name in asked} | {name: _trained(name, args, device) for name in args.weights}


def _trained(name: str, args: argparse.Namespace, device: str) -> Callable[[], Forecaster]:
    model = open_network(name, device)
    seen = [year for year in args.origins if year < model.config.last_year]
    if seen:
        warnings.warn(
            f"{name} has learned from years up to {model.config.last_year}: its forecasts from "
            f"{', '.join(map(str, seen))} are no test",
            stacklevel=2,
        )
    return lambda: TrainedForecaster(model, device=device)


def _views(result: BacktestResult) -> list[str]:
    """Returns the views that any company scored belongs to."""
    scored = result.companies.loc[result.scores["company"].unique()]
    there = {"all": True, "held out": scored["held_out"].any(), "complete": scored["complete"].any()}
    return [view for view in VIEWS if there[view]]


def _scores(result: BacktestResult, view: str) -> dict[str, Any]:
    return {
        "summary": _rows(result.summary(view)),
        "by_horizon": _rows(result.by_horizon(view)),
        "by_origin": _rows(result.by_origin(view)),
        "by_sector": _rows(result.by_sector(view)),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return records(table.reset_index())


def _show(result: BacktestResult, views: list[str]) -> None:
    for view in views:
        table = result.summary(view)
        rows = [
            [str(method), *(f"{row[column]:.3f}" for column in _SHOWN.values())] for method, row in table.iterrows()
        ]
        companies, forecasts = (int(table[column].iloc[0]) for column in ("companies", "company_origins"))
        plain_console().print(f"{view}: {companies:,} companies, {forecasts:,} companies × origins", soft_wrap=True)
        show_table(("method", *_SHOWN), rows)
    counts = result.counts
    head = ("origin", *map(str, counts.columns))
    show_table(head, [[str(origin), *(f"{count:,}" for count in row)] for origin, row in counts.iterrows()])
