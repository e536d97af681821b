"""The shipped network that has seen nothing after 2017, on 2018 to 2022, beside the last value and two drifts.

    python -m benchmarks.emissions.out_of_time [--weights emissions_rnn.eutl_to2017]

The other methods are fitted to the same years and companies. ``--weights local-dir:runs/eutl_to2017/best`` takes a run.
The error of the total is by year too, in percent: 2020 and the energy crisis of 2022 could not be foreseen.
"""

import argparse
import sys
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.emissions._protocol import CASES, OURS, machine, panel_of, set_up, table, write_results
from sciml_zoo.emissions.backtest import backtest
from sciml_zoo.emissions.baselines import Drift, PooledDrift
from sciml_zoo.emissions.model import EmissionsForecaster
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.errors import InputError
from sciml_zoo.zoo.resolve import load_model

ORIGIN, SAMPLES = 2017, 1000
# A panel's company was known to all methods: nothing is held out.
VIEWS = ("all", "complete")
SHOWN = ("mase_relative", "crps_relative", "total_relative", "coverage80", "coverage95")


def network(weights: str) -> EmissionsForecaster:
    """Returns the network.

    Raises:
        InputError: it has learned of a year after the origin.
    """
    model = load_model(weights)
    assert isinstance(model, EmissionsForecaster)
    if model.config.last_year > ORIGIN:
        raise InputError(f"{weights} has learned from years up to {model.config.last_year}: no test from {ORIGIN}")
    return model


def total_errors(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns the error of the total by method and year, in percent of what was emitted."""
    sums = scores.groupby(["method", "horizon"], observed=True)[["mean", "actual"]].sum()
    error = (100 * (sums["mean"] / sums["actual"] - 1)).unstack()
    return table(error.set_axis([str(ORIGIN + ahead) for ahead in error.columns], axis=1))


def main() -> int:
    """Returns 0; prints a table for each view, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="emissions_rnn.eutl_to2017")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    set_up()
    model, case = network(arguments.weights), CASES["eutl"]
    result = backtest(
        {"drift": Drift, "pooled_drift": PooledDrift, OURS: lambda: TrainedForecaster(model)},
        panel_of("eutl"),
        origins=[ORIGIN],
        horizon=case.horizon,
        samples=SAMPLES,
        seed=arguments.seed,
    )
    views = {}
    for view in VIEWS:
        summary, by_horizon = result.summary(view), result.by_horizon(view)
        kept = ["mase", *SHOWN, "companies"]
        views[view] = {"summary": table(summary[kept]), "by_horizon": table(by_horizon[list(SHOWN)])}
        print(f"\n{view}: {int(summary['companies'].iloc[0]):,} companies")
        print(f"{'':16}" + "".join(f"{column:>16}" for column in SHOWN))
        for method, row in summary.iterrows():
            print(f"{method:16}" + "".join(f"{row[column]:16.3f}" for column in SHOWN))
    totals = total_errors(result.scores)
    print(f"\n{'total, percent':16}" + "".join(f"{ORIGIN + h:>16}" for h in range(1, case.horizon + 1)))
    for row in totals:
        print(f"{row['method']:16}" + "".join(f"{value:16.1f}" for value in list(row.values())[1:]))
    content = {
        "weights": arguments.weights,
        "trained_on_years": [model.config.first_year - 1, model.config.last_year],
        "origin": ORIGIN,
        "horizon": case.horizon,
        "samples": SAMPLES,
        "seed": arguments.seed,
        **machine(),
        "views": views,
        "total_error_percent": totals,
        "portfolios_of_50": table(_of_one_origin(result.portfolio_coverage())),
        "survivorship": table(result.counts),
    }
    write_results("out_of_time", content)
    return 0


def _of_one_origin(coverage: pd.DataFrame) -> pd.DataFrame:
    """Returns the coverage without its intervals, which are over origins."""
    return coverage[["coverage80", "coverage95"]].replace({np.nan: None})


if __name__ == "__main__":
    sys.exit(main())
