"""Rolling origins on EUTL, GHGRP and countries: the network beside everything else, in one run on one thread.

    python -m benchmarks.emissions.accuracy [--panels eutl ghgrp_facilities ghgrp_firms gcb] [--seed 0]

At each origin every method is fitted to what was known then, of four companies in five, and forecasts all that report.
Of GHGRP, firms are held out with all their facilities, since the network learns from both panels together. It has the
settings of the recipes of the shipped weights. Scores are MASE, CRPS and the error of the total over those of the naive
forecast, whose samples are bootstrapped from each company's own errors; ``crps_over_pooled_naive`` is over those of the
last value with the errors of all companies (``empirical_naive``), without the most extreme percent. Intervals are over
origins, drawn with replacement: four of them tell little. Panels not named keep their figures. Two hours on one core,
of which AutoARIMA takes one.
"""

import argparse
import sys
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.emissions._protocol import (
    CASES,
    OURS,
    POOLED,
    machine,
    ours,
    peers,
    results_so_far,
    rolled,
    set_up,
    split_table,
    table,
    timed,
    write_results,
)
from sciml_zoo.emissions.backtest_scores import REFERENCE, VIEWS, BacktestResult

SAMPLES, RESAMPLES = 500, 2000
SHOWN = ("mase_relative", "crps_relative", "crps_over_pooled_naive", "total_relative", "coverage80", "coverage95")
_KEPT = ("mase", "smape", "width80", "width95", *SHOWN, "companies", "company_origins")
# Sectors of a few companies say nothing, and there are many.
_LEAST_IN_SECTOR = 200


def measured(name: str, seed: int, samples: int, chosen: list[str] | None) -> dict[str, Any]:
    """Returns all figures of a panel, and prints a table."""
    case = CASES[name]
    methods = {**peers(case.horizon), OURS: ours(name, seed)}
    if chosen is not None:
        methods = {key: make for key, make in methods.items() if key in (POOLED, *chosen)}
    counted, seconds = timed(methods)
    result = rolled(
        name,
        counted,
        samples=samples,
        seed=seed,
        on_progress=lambda done, total, what: print(f"{name}: {done}/{total} {what}", file=sys.stderr, flush=True),
    )
    views = {view: _view(result, view, seed) for view in VIEWS}
    points = result.summary()["mase_relative"].drop(POOLED)
    _show(name, views)
    found = {
        "origins": list(case.origins),
        "horizon": case.horizon,
        "samples": samples,
        "seed": seed,
        **machine(),
        "seconds": {key: round(value, 1) for key, value in seconds.items()},
        "views": views,
        "portfolios_of_50": table(result.portfolio_coverage()),
        "survivorship": table(result.counts),
    }
    if OURS in methods:
        found["ours_is_below"] = points.index[points > points[OURS]].tolist()
        found["ours_is_not_below"] = points.index[points <= points[OURS]].drop(OURS).tolist()
    return found


def _view(result: BacktestResult, view: str, seed: int) -> dict[str, Any]:
    splits = {"by_horizon": result.by_horizon, "by_origin": result.by_origin}
    if view == "all":
        splits["by_sector"] = result.by_sector
    found: dict[str, Any] = {"summary": table(_over_pooled(result.summary(view))[list(_KEPT)])}
    for split, summarise in splits.items():
        frame = _over_pooled(summarise(view))
        if split == "by_sector":
            frame = frame[frame["company_origins"] >= _LEAST_IN_SECTOR]
        found[split] = split_table(frame[list(SHOWN)])
        if split == "by_origin" and OURS in frame.index:
            found["mase_relative_interval"] = _interval(frame, seed)
    return found


def _over_pooled(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns a summary with the CRPS over that of the last value with all companies' errors."""
    # All methods forecast the same, so each has the reference's rows, in its order.
    reference = frame.loc[[POOLED], "crps"].to_numpy()
    return frame.assign(crps_over_pooled_naive=frame["crps"] / np.tile(reference, len(frame) // len(reference)))


def _interval(by_origin: pd.DataFrame, seed: int) -> list[float]:
    """Returns the 95 % bootstrap interval over origins of the network's MASE relative to naive."""
    sums = by_origin["mase"] * by_origin["company_origins"]
    own, naive = sums[OURS].to_numpy(), sums[REFERENCE].to_numpy()
    draws = np.random.default_rng(seed).integers(len(own), size=(RESAMPLES, len(own)))
    return np.quantile(own[draws].sum(axis=1) / naive[draws].sum(axis=1), (0.025, 0.975)).tolist()


def _show(name: str, views: dict[str, Any]) -> None:
    for view, found in views.items():
        rows = found["summary"]
        print(
            f"\n{name}, {view}: {rows[0]['companies']:,} companies, {rows[0]['company_origins']:,} with their origins"
        )
        print(f"{'':16}" + "".join(f"{column:>23}" for column in SHOWN))
        for row in rows:
            print(f"{row['method']:16}" + "".join(f"{row[column]:23.3f}" for column in SHOWN))
    print(flush=True)


def main() -> int:
    """Returns 0; prints a table for each panel, writes the JSON."""
    known = [*peers(1), OURS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--methods", nargs="+", choices=known, help=f"beside naive and {POOLED}; writes nothing")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    set_up()
    for name in arguments.panels:
        found = measured(name, arguments.seed, arguments.samples, arguments.methods)
        if arguments.methods is None:
            write_results("accuracy", results_so_far("accuracy") | {name: found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
