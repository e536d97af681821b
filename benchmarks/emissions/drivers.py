"""What drivers add: the network on EUTL and on countries with world drivers, without, and with their true future.

    python -m benchmarks.emissions.drivers [--seeds 0]

Drivers explain the common shocks after the network is trained, and take no part in training: with and without them, its
weights are the same. So it is trained once at each origin, and then built and calibrated again without drivers; for the
first origin on countries it is trained without drivers too, to show that nothing differs. With drivers, the unknown
future of these is drawn. The third arm, on EUTL, is told what they came to be: no forecast, but how much there would be
to gain. Origins, companies and seeds are those of ``benchmarks.emissions.accuracy``. Twenty minutes for each seed.
"""

import argparse
import dataclasses
import sys
from typing import Any, Self

import numpy as np
import pandas as pd
import torch

from benchmarks.emissions._protocol import (
    CASES,
    Ours,
    held_out,
    machine,
    panel_of,
    recipe_of,
    rolled,
    set_up,
    table,
    write_results,
)
from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.fitting import prepared_network
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.model import EmissionsForecaster
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.recipe import ForecasterRecipe
from sciml_zoo.emissions.sources import open_drivers
from sciml_zoo.emissions.task import ForecastTask
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.training.trainer import Trainer

SAMPLES = 500
WITHOUT, WITH, TOLD = "without drivers", "with drivers", "with their future"
SCORES = ("mase_relative", "crps_relative", "total_relative")
# Differences below this are of the draws.
NEGLIGIBLE = 0.002


class Arms:
    """Networks of one panel and seed, trained once for each origin.

    Args:
        recipe: their settings.
    """

    def __init__(self, recipe: ForecasterRecipe) -> None:
        self._recipe = recipe
        self._last: tuple[int, Ours] | None = None

    def trained(self, panel: Panel) -> Ours:
        """Returns the network trained with drivers on a panel."""
        if self._last is None or self._last[0] != panel.years[-1]:
            self._last = panel.years[-1], Ours(self._recipe).fit(panel)
        return self._last[1]

    def without(self, panel: Panel) -> EmissionsForecaster:
        """Returns the trained network without drivers, calibrated again."""
        network, recipe = self.trained(panel).network, self._recipe
        bare = dataclasses.replace(panel, drivers=None)
        fraction = recipe.data.validation_fraction
        prepared = prepared_network([bare], recipe.model, validation_fraction=fraction, seed=recipe.seed)
        prepared.model.members.load_state_dict(network.members.state_dict())
        with torch.no_grad():
            prepared.model.shocks.past.copy_(network.shocks.past)
        Trainer(recipe.trainer).evaluate(ForecastTask(prepared.model, recipe.loss), prepared.validation)
        return prepared.model


class Arm:
    """One arm, as a forecaster.

    Args:
        arms: with the network.
        name: of the arm.
        future: of the drivers.
    """

    def __init__(self, arms: Arms, name: str, future: Drivers | None = None) -> None:
        self._arms, self._name, self._future = arms, name, future

    def fit(self, panel: Panel) -> Self:
        """Returns itself, with the network of this origin."""
        network = self._arms.without(panel) if self._name == WITHOUT else self._arms.trained(panel).network
        self._forecaster = TrainedForecaster(network)
        return self

    def predict(self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0) -> Forecast:
        """Returns the network's forecast."""
        return self._forecaster.predict(panel, horizon, samples=samples, seed=seed, drivers=self._future)


def measured(name: str, seed: int) -> pd.DataFrame:
    """Returns scores by arm and origin, and over all origins ("all")."""
    arms = Arms(recipe_of(CASES[name].recipe, seed))
    methods = {arm: lambda arm=arm: Arm(arms, arm) for arm in (WITHOUT, WITH)}
    if name == "eutl":
        methods[TOLD] = lambda: Arm(arms, TOLD, open_drivers("world"))
    result = rolled(name, methods, samples=SAMPLES, seed=seed, n_portfolios=1)
    overall = result.summary()[list(SCORES)].assign(origin="all").set_index("origin", append=True)
    by_origin = result.by_origin()[list(SCORES)].rename(index=str, level="origin")
    return pd.concat([overall, by_origin]).loc[list(methods)]


def largest_difference(seed: int) -> float:
    """Returns by how much the network differs that was trained without drivers, at the first origin on countries."""
    panel, recipe = panel_of("gcb"), recipe_of("gcb", seed)
    origin = CASES["gcb"].origins[0]
    hidden = set(held_out("gcb", seed))
    known = panel.until(origin)
    known = known.select(company for company in known.companies if company not in hidden)
    ours = Arms(recipe).without(known).state_dict()
    retrained = Ours(recipe).fit(dataclasses.replace(known, drivers=None)).network.state_dict()
    return max(
        float((ours[key].double() - value.double()).abs().max()) for key, value in retrained.items() if value.numel()
    )


def helped(scores: pd.DataFrame, arm: str) -> dict[str, Any]:
    """Returns at which origins an arm's mean over seeds is better, and where worse, than without drivers."""
    found: dict[str, Any] = {}
    for score in SCORES:
        difference = (scores.loc[arm, score] - scores.loc[WITHOUT, score]).drop("all")
        found[score] = {
            "helps": difference.index[difference < -NEGLIGIBLE].tolist(),
            "hurts": difference.index[difference > NEGLIGIBLE].tolist(),
        }
    return found


def main() -> int:
    """Returns 0 where training without drivers gives the same network; prints the tables, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--panels", nargs="+", choices=("eutl", "gcb"), default=["eutl", "gcb"])
    arguments = parser.parse_args()
    set_up()
    panels: dict[str, Any] = {}
    for name in arguments.panels:
        each = {seed: measured(name, seed) for seed in arguments.seeds}
        mean = sum(each.values()) / len(each)
        arms = mean.index.unique("method").drop(WITHOUT)
        panels[name] = {
            "mean": table(mean),
            "by_seed": {str(seed): table(scores) for seed, scores in each.items()},
            **{arm: helped(mean, arm) for arm in arms},
        }
        print(f"\n{name}")
        for score in SCORES:
            print(f"{score:20}" + "".join(f"{origin:>9}" for origin in mean.index.unique("origin")))
            for arm, row in mean[score].unstack("method").T.reindex(columns=mean.index.unique("origin")).iterrows():
                print(f"  {arm:18}" + "".join(f"{value:9.3f}" for value in row), flush=True)
    difference = largest_difference(arguments.seeds[0])
    print(f"\ntrained without drivers: largest difference of a weight {difference:.1g}")
    content = {"seeds": arguments.seeds, "samples": SAMPLES, **machine(), "panels": panels}
    write_results("drivers", content | {"largest_difference_retrained": difference})
    return int(difference != 0 or not np.isfinite(difference))


if __name__ == "__main__":
    sys.exit(main())
