"""``sciml-zoo emissions scenarios``: a panel's total in assumed futures, and what each driver adds."""

import argparse

import pandas as pd

from sciml_zoo._rows import records
from sciml_zoo.cli.emissions_inputs import (
    checked_panel,
    kept_warnings,
    open_network,
    prepared_device,
    show_table,
)
from sciml_zoo.cli.output import save_figure, write_json
from sciml_zoo.emissions.caveats import warn_of_panel
from sciml_zoo.emissions.drivers import read_drivers
from sciml_zoo.emissions.holdings import read_targets
from sciml_zoo.emissions.scenarios import Scenario, compare, contributions
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.errors import InputError

__all__ = ["compare_scenarios"]

_BASELINE = "baseline"


def compare_scenarios(args: argparse.Namespace) -> int:
    """Compares scenarios with a baseline in which nothing is assumed.

    Args:
        args: of the verb.

    Returns:
        The exit status.

    Raises:
        InputError: naming what is wrong with the panel, a scenario, the targets or the weights.
    """
    targets = None if args.targets is None else read_targets(args.targets)[["company", "year", "emissions"]]
    drivers = {name: read_drivers(file) for name, file in args.scenario}
    if not drivers and targets is None:
        raise InputError("nothing is assumed: give --scenario NAME=FILE.csv, --targets FILE.csv, or both")
    if args.figure is not None and not drivers:
        raise InputError("--figure: draws what a scenario's drivers add; give --scenario NAME=FILE.csv too")
    if len(drivers) < len(args.scenario) or _BASELINE in drivers:
        raise InputError(f"--scenario: give each a name of its own, and none {_BASELINE!r}")
    with kept_warnings() as told:
        panel = checked_panel(args.panel)
        device = prepared_device(args)
        model = open_network(args.weights, device)
        warn_of_panel(model, panel, args.horizon)
        forecaster = TrainedForecaster(model, device=device)
        assumed = [Scenario(name, future, targets) for name, future in drivers.items()]
        scenarios = [Scenario(_BASELINE), *(assumed or [Scenario("targets", None, targets)])]
        drawn = {"samples": args.n_samples, "seed": args.seed}
        totals = compare(forecaster, panel, args.horizon, scenarios, **drawn)
        added = {
            name: _with_targets(
                contributions(forecaster, panel, args.horizon, None, future, **drawn),
                totals[totals["scenario"] == name]["mean"].iloc[-1],
                targets is not None,
            )
            for name, future in drivers.items()
        }
    if args.figure is not None:
        from sciml_zoo.emissions.figures import waterfall

        name, first = next(iter(added.items()))
        save_figure(args.figure, waterfall(first, title=f"{name}, {panel.years[-1] + args.horizon}"))
    content = {
        "panel": args.panel,
        "weights": args.weights,
        "origin": panel.years[-1],
        "horizon": args.horizon,
        **{name.replace("samples", "n_samples"): value for name, value in drawn.items()},
        "targets": None if targets is None else records(targets),
        "totals": {
            name: records(rows.drop(columns="scenario")) for name, rows in totals.groupby("scenario", sort=False)
        },
        "contributions": {name: records(table) for name, table in added.items()},
        "rejected": records(panel.rejected),
        "warnings": told,
    }
    write_json(args.json, content)
    _show(totals, added)
    return 0


def _with_targets(added: pd.DataFrame, total: float, targets: bool) -> pd.DataFrame:
    """Returns contributions with a last row for what targets add to those of the drivers, if there are any."""
    if not targets:
        return added
    before = added["after"].iloc[-1]
    row = {"driver": "targets", "contribution": total - before, "before": before, "after": total}
    return pd.concat([added, pd.DataFrame([row])], ignore_index=True)


def _show(totals: pd.DataFrame, added: dict[str, pd.DataFrame]) -> None:
    means = totals.pivot(index="scenario", columns="year", values="mean")
    rows = [[name, *(f"{mean:,.0f}" for mean in means.loc[name])] for name in totals["scenario"].unique()]
    show_table(("expected total, t CO2e", *map(str, means.columns)), rows)
    if not added:
        return
    show_table(
        ("scenario", "driver", f"adds in {means.columns[-1]}, t CO2e"),
        [
            (name, row["driver"], f"{row['contribution']:+,.0f}")
            for name, table in added.items()
            for row in table.to_dict("records")
        ],
    )
