"""How much could be known at best on EUTL: two oracles that look at the future of the origin that they forecast.

    python -m benchmarks.emissions.ceiling

``constant drift`` is the one log drift for all companies that makes the mean MASE of their future least. ``boosting``
is LightGBM, trained on the histories of four companies in five with what happened to them after this very origin, and
tested on the fifth, in turn for all: it knows what the coming years do to companies of each size, sector, country and
recent past, which nobody knows in time. Neither is a strict bound (a model may read more from a history, and learn more
from earlier origins), but they show how little is left once the years to come are known. A view's oracles are of that
view's companies alone; those with a report in every year (``complete``) were themselves chosen by the future.
``pooled_drift`` is no oracle: one drift, fitted before the origin. Figures are MASE relative to naive. A minute.
"""

import argparse
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from benchmarks.emissions._protocol import CASES, machine, panel_of, split_table, write_results
from sciml_zoo.emissions._history import filled_gaps
from sciml_zoo.emissions.backtest import backtest
from sciml_zoo.emissions.baselines import PooledDrift
from sciml_zoo.emissions.forecast import Forecast, Forecaster
from sciml_zoo.emissions.metrics import mase, naive_scale
from sciml_zoo.emissions.panel import STATICS, Panel
from sciml_zoo.emissions.peers import boosted, features, log_ratio

VIEWS = ("all", "complete")
DRIFTS = np.arange(-150, 151) / 1000
FOLDS = 5
# A company that hardly changed must not outweigh all others.
_LARGEST_WEIGHT = 50.0


class Oracle(ABC):
    """Knows what will happen.

    Args:
        panel: with the future.
        members: the companies that it is asked about; for the others it says the last value.
        seed: of what it draws.

    Attributes:
        seed: likewise.
    """

    def __init__(self, panel: Panel, members: frozenset[str], seed: int = 0) -> None:
        self._panel, self._members, self.seed = panel, members, seed

    def fit(self, panel: Panel) -> Self:
        """Returns itself: nothing is learned from the past alone."""
        return self

    def predict(self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0) -> Forecast:
        """Returns a forecast without spread."""
        years = range(panel.years[-1] + 1, panel.years[-1] + 1 + horizon)
        future = self._panel.emissions.loc[panel.companies].reindex(columns=years).to_numpy(np.float64)
        last = panel.values[:, -1:]
        member = np.isin(panel.companies, list(self._members))
        point = np.repeat(last, horizon, axis=1)
        asked = panel.select(np.array(panel.companies, dtype=object)[member])
        point[member] = last[member] * np.exp(self.changes(asked, future[member]))
        return Forecast(panel.companies, panel.years[-1], np.broadcast_to(point, (samples, *point.shape)), point)

    @abstractmethod
    def changes(self, panel: Panel, future: np.ndarray) -> np.ndarray:
        """Returns log ratios to the last value.

        Args:
            panel: histories up to the origin.
            future: [companies, horizon], NaN where nothing was reported.

        Returns:
            Of a shape that broadcasts to [companies, horizon].
        """


class ConstantDrift(Oracle):
    """The best log drift for all.

    Attributes:
        found: drifts by origin.
    """

    def __init__(self, panel: Panel, members: frozenset[str]) -> None:
        super().__init__(panel, members)
        self.found: dict[int, float] = {}

    def changes(self, panel: Panel, future: np.ndarray) -> np.ndarray:
        """Returns the same changes for all."""
        ahead, last, scale = np.arange(1, future.shape[1] + 1), panel.values[:, -1:], naive_scale(panel.values)
        errors = [np.nanmean(mase(last * np.exp(drift * ahead), future, scale)) for drift in DRIFTS]
        drift = self.found[panel.years[-1]] = float(DRIFTS[np.argmin(errors)])
        return drift * ahead


class Boosting(Oracle):
    """LightGBM, which learns from the same future of other companies."""

    def changes(self, panel: Panel, future: np.ndarray) -> np.ndarray:
        """Returns what is said of companies by a model of the others."""
        last, scale = panel.values[:, -1], naive_scale(panel.values)
        statics = [panel.statics[name].astype("category").cat.codes for name in STATICS]
        inputs = np.column_stack([features(filled_gaps(panel.values)), *statics])
        target = log_ratio(future, last[:, None])
        weight = np.minimum(last / scale, _LARGEST_WEIGHT)
        fold = np.random.default_rng(self.seed).permutation(np.arange(len(last)) % FOLDS)
        found = np.zeros_like(future)
        for k, ahead in np.ndindex(FOLDS, future.shape[1]):
            known = (fold != k) & np.isfinite(target[:, ahead])
            model = boosted(inputs[known], target[known, ahead], weight[known], seed=self.seed)
            found[fold == k, ahead] = model.predict(inputs[fold == k])
        return found


def measured(panel: Panel, view: str, seed: int) -> dict[str, Any]:
    """Returns the figures of a view, and prints its table."""
    case = CASES["eutl"]
    members = frozenset(panel.emissions.index if view == "all" else panel.emissions.dropna().index)
    drift, boosting = ConstantDrift(panel, members), Boosting(panel, members, seed)
    methods: dict[str, Callable[[], Forecaster]] = {
        "pooled_drift": PooledDrift,
        "constant drift": lambda: drift,
        "boosting": lambda: boosting,
    }
    result = backtest(methods, panel, origins=case.origins, horizon=case.horizon, samples=2, n_portfolios=1)
    summary = result.summary(view)
    by_origin = result.by_origin(view)["mase_relative"].unstack()
    overall, companies = summary["mase_relative"].to_dict(), int(summary["companies"].iloc[0])
    print(f"\n{view}: {companies:,} companies")
    print(f"{'':16}{'all origins':>12}" + "".join(f"{origin:>8}" for origin in case.origins))
    for method, row in by_origin.iterrows():
        print(f"{method:16}{overall[method]:12.3f}" + "".join(f"{value:8.3f}" for value in row))
    print(f"{'drift, % a year':28}" + "".join(f"{100 * value:8.1f}" for value in drift.found.values()), flush=True)
    return {
        "companies": companies,
        "mase_relative": overall,
        "by_origin": split_table(by_origin.rename(columns=str)),
        "constant_drifts": {str(year): value for year, value in drift.found.items()},
    }


def main() -> int:
    """Returns 0; prints the tables, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the folds and of LightGBM")
    arguments = parser.parse_args()
    panel, case = panel_of("eutl"), CASES["eutl"]
    content = {
        "origins": list(case.origins),
        "horizon": case.horizon,
        "seed": arguments.seed,
        **machine(),
        "views": {view: measured(panel, view, arguments.seed) for view in VIEWS},
    }
    write_results("ceiling", content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
