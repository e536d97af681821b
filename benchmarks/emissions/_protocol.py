"""What the benchmarks of forecasts share: panels, origins, methods, and how results are kept."""

import dataclasses
import json
import os
import platform
import re
import time
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch

from sciml_zoo._files import write_atomically
from sciml_zoo.datasets import dataset_file
from sciml_zoo.emissions._history import aligned_history
from sciml_zoo.emissions._table import read_table
from sciml_zoo.emissions.backtest import backtest
from sciml_zoo.emissions.backtest_scores import BacktestResult
from sciml_zoo.emissions.baselines import Combination, DampedTrend, Drift, PooledDrift, Theta
from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.estimator import NeuralForecaster
from sciml_zoo.emissions.forecast import Forecast, Forecaster
from sciml_zoo.emissions.model import EmissionsForecaster
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.peers import LightGBM, Statsforecast
from sciml_zoo.emissions.recipe import ForecasterRecipe
from sciml_zoo.emissions.sources import open_panel
from sciml_zoo.training.recipe import read_recipe

REPOSITORY = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
OURS, POOLED = "emissions_rnn", "empirical_naive"
#: Of the companies, never in training.
HELD_OUT = 0.2
TRIMMED = 0.005
DECIMALS = 6


@dataclasses.dataclass(frozen=True)
class Case:
    """A panel, and how it is forecast.

    Attributes:
        recipe: whose settings the network has.
        origins: last years known.
        horizon: years.
        beside: a panel that the recipe trains on too.
    """

    recipe: str
    origins: tuple[int, ...]
    horizon: int
    beside: str | None = None


CASES = {
    "eutl": Case("eutl", (2011, 2013, 2015, 2017), 5),
    "ghgrp_facilities": Case("ghgrp", (2013, 2015, 2017, 2019), 4, "ghgrp_firms"),
    "ghgrp_firms": Case("ghgrp", (2013, 2015, 2017, 2019), 4, "ghgrp_facilities"),
    "gcb": Case("gcb", (2004, 2009, 2014, 2019), 5),
}


class EmpiricalNaive:
    """The last value, with the errors that the last value had in the past.

    A sample in h years is the last value times a ratio that some company had over h years of the history, drawn from
    all companies and years alike, companies and years of the horizon independently. The smallest and largest half
    percent of the ratios are left out: a plant that starts with a tonne and then emits a million would decide the mean,
    and make a reference that anything beats.
    """

    def fit(self, panel: Panel) -> Self:
        """Returns itself, with the ratios of all companies and years."""
        values = np.where(panel.values > 0, panel.values, np.nan)
        self._ratios = []
        for ahead in range(1, values.shape[1]):
            ratios = values[:, ahead:] / values[:, :-ahead]
            ratios = ratios[np.isfinite(ratios)]
            low, high = np.quantile(ratios, (TRIMMED, 1 - TRIMMED))
            self._ratios.append(ratios[(ratios >= low) & (ratios <= high)])
        return self

    def predict(self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0) -> Forecast:
        """Returns samples, and the last value as the point."""
        history, _ = aligned_history(panel)
        last = history[:, -1]
        rng = np.random.default_rng(seed)
        shape = (samples, len(last))
        # Farther than the history reaches, the errors are like the farthest.
        steps = [rng.choice(self._ratios[min(h, len(self._ratios) - 1)], size=shape) for h in range(horizon)]
        drawn = (np.stack(steps, axis=-1) * last[:, None]).astype(np.float32)
        return Forecast(panel.companies, panel.years[-1], drawn, np.repeat(last[:, None], horizon, axis=1))


class Ours:
    """The network with the settings of a recipe; it may learn from another panel too, up to the same year.

    Args:
        recipe: its settings.
        beside: the other panel.
    """

    def __init__(self, recipe: ForecasterRecipe, beside: Panel | None = None) -> None:
        self._beside = beside
        self._forecaster = NeuralForecaster(
            model=recipe.model,
            loss=recipe.loss,
            optimizer=recipe.optimizer,
            trainer=recipe.trainer,
            validation_fraction=recipe.data.validation_fraction,
            seed=recipe.seed,
        )

    def fit(self, panel: Panel) -> Self:
        """Returns itself, trained on the panel and on the other."""
        panels = [panel] if self._beside is None else [panel, self._beside.until(panel.years[-1])]
        self._forecaster.fit(panels)
        return self

    def predict(
        self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0, drivers: Drivers | None = None
    ) -> Forecast:
        """Returns the network's forecast; ``drivers``: what they will be."""
        return self._forecaster.predict(panel, horizon, samples=samples, seed=seed, drivers=drivers)

    @property
    def network(self) -> EmissionsForecaster:
        """The trained network."""
        assert self._forecaster.network is not None
        return self._forecaster.network


class Timed:
    """Counts the seconds of a forecaster.

    Args:
        made: the forecaster.
        add: told the seconds of each call.
    """

    def __init__(self, made: Forecaster, add: Callable[[float], None]) -> None:
        self._made, self._add = made, add

    def fit(self, panel: Panel) -> Self:
        """Returns itself, fitted."""
        begun = time.perf_counter()
        self._made.fit(panel)
        self._add(time.perf_counter() - begun)
        return self

    def predict(self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0) -> Forecast:
        """Returns the forecaster's forecast."""
        begun = time.perf_counter()
        found = self._made.predict(panel, horizon, samples=samples, seed=seed)
        self._add(time.perf_counter() - begun)
        return found


def recipe_of(name: str, seed: int) -> ForecasterRecipe:
    """Returns the recipe of shipped weights, with another seed."""
    path = REPOSITORY / "scripts" / "recipes" / f"emissions_rnn.{name}.yaml"
    return read_recipe(ForecasterRecipe, path, ["--seed", str(seed)])


def panel_of(name: str) -> Panel:
    """Returns a panel of the catalogue as its recipe reads it, with the recipe's drivers."""
    data = recipe_of(CASES[name].recipe, 0).data
    return open_panel(name, drivers=data.drivers).between(data.since, data.until)


def held_out(name: str, seed: int) -> list[str]:
    """Returns the companies of a panel that no method is fitted to: of GHGRP, firms with all their facilities."""
    firms = name.startswith("ghgrp")
    keys = np.array(panel_of("ghgrp_firms" if firms else name).companies, dtype=object)
    chosen = np.random.default_rng(seed).permutation(keys)[: round(HELD_OUT * len(keys))].tolist()
    if name != "ghgrp_facilities":
        return chosen
    facilities = read_table(dataset_file("ghgrp", "facilities.csv.gz"))
    return sorted(set(facilities.loc[facilities["ticker"].isin(chosen), "facility_id"]))


def ours(name: str, seed: int) -> Callable[[], Ours]:
    """Returns what makes the network for a panel; of the panel beside, the companies held out are left out too."""
    case = CASES[name]
    recipe = recipe_of(case.recipe, seed)
    if case.beside is None:
        return lambda: Ours(recipe)
    beside, hidden = panel_of(case.beside), set(held_out(case.beside, seed))
    beside = beside.select(key for key in beside.companies if key not in hidden)
    return lambda: Ours(recipe, beside)


def peers(horizon: int) -> dict[str, Callable[[], Forecaster]]:
    """Returns what makes each method but the network, by name; one thread each."""
    return {
        POOLED: EmpiricalNaive,
        "drift": Drift,
        "pooled_drift": PooledDrift,
        "theta": Theta,
        "damped_trend": DampedTrend,
        "combination": Combination,
        "auto_ets": lambda: Statsforecast("AutoETS"),
        "auto_theta": lambda: Statsforecast("AutoTheta"),
        "auto_arima": lambda: Statsforecast("AutoARIMA"),
        "lightgbm": lambda: LightGBM(horizon),
    }


def timed(
    methods: Mapping[str, Callable[[], Forecaster]],
) -> tuple[dict[str, Callable[[], Forecaster]], dict[str, float]]:
    """Returns methods whose seconds, of fits and forecasts together, are counted in the second value."""
    seconds = dict.fromkeys(methods, 0.0)

    def wrapped(name: str, make: Callable[[], Forecaster]) -> Callable[[], Forecaster]:
        def add(more: float) -> None:
            seconds[name] += more

        return lambda: Timed(make(), add)

    return {name: wrapped(name, make) for name, make in methods.items()}, seconds


def rolled(
    name: str, methods: Mapping[str, Callable[[], Forecaster]], *, samples: int, seed: int, **options: Any
) -> BacktestResult:
    """Returns the backtest of methods at the origins of a panel, fitted to all companies but those held out."""
    case = CASES[name]
    return backtest(
        methods,
        panel_of(name),
        origins=case.origins,
        horizon=case.horizon,
        samples=samples,
        seed=seed,
        holdout=held_out(name, seed),
        **options,
    )


def set_up() -> None:
    """Lets torch compute on one thread, as the other methods do; silences what statsforecast says of short series."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="statsforecast")


def machine() -> dict[str, Any]:
    """Returns what figures depend on beside the code."""
    libraries = ("torch", "statsforecast", "lightgbm", "numpy")
    return {
        "versions": {name: version(name) for name in libraries},
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def table(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns the rows of a table with its index."""
    return frame.reset_index().to_dict(orient="records")


def split_table(frame: pd.DataFrame) -> dict[str, Any]:
    """Returns a table with its index as ``columns`` and ``data``, which takes less room."""
    return frame.reset_index().to_dict(orient="split", index=False)


def write_results(name: str, content: Mapping[str, Any]) -> None:
    """Writes the figures of a benchmark, to six decimals; the innermost lists and objects stand on a line each."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(_rounded(content), indent=1)
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)
    write_atomically(RESULTS / f"{name}.json", text + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return round(value, DECIMALS) if np.isfinite(value) else None
    return value


def results_so_far(name: str) -> dict[str, Any]:
    """Returns the figures of an earlier run, or nothing."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
