"""Scores of a trained network at one origin of a panel, and forecasts written to a file."""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from sciml_zoo._files import write_atomically
from sciml_zoo.emissions._checked_table import named
from sciml_zoo.emissions._table import csv_text
from sciml_zoo.emissions.backtest import backtest
from sciml_zoo.emissions.caveats import warn_of_panel, without_report
from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.model import EmissionsForecaster
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.scenarios import require_changes
from sciml_zoo.emissions.sources import open_panel
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.errors import InputError
from sciml_zoo.training.ranks import Ranks

__all__ = ["evaluate", "forecast_panel", "predict"]

_SAMPLES = 1000
# A forecast may begin so many years after the last report.
_OLDEST = 5
_SCORES = {
    "mase": "mase",
    "relative_to_naive": "mase_relative",
    "crps_relative": "crps_relative",
    "total_relative": "total_relative",
    "coverage_80": "coverage80",
    "coverage_95": "coverage95",
    "n": "company_origins",
}


def _whole(name: str, value: int | str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InputError(f"--{name}: {value!r} is not a whole number") from None


def evaluate(
    model: EmissionsForecaster,
    path: str | Path,
    *,
    origin: int | str | None = None,
    horizon: int | str = 5,
    samples: int | str = 500,
    seed: int | str = 0,
    view: str = "all",
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Scores a network's forecast from one origin.

    Args:
        model: the network.
        path: a CSV file, or a panel of the catalogue (eutl, ghgrp_firms, ghgrp_facilities, gcb).
        origin: the last year that the network gets; None: as late as the horizon allows.
        horizon: years.
        samples: joint trajectories.
        seed: of them.
        view: ``all`` companies, or those with ``complete`` histories.
        device: where to compute.
        ranks: processes that call this together; the first does all of it.
        on_progress: called with the number of forecasts done, and their total.

    Returns:
        ``mase``; ``relative_to_naive``, of its mean; the same of the CRPS and of the error of the total; coverage of
        the 80 % and 95 % intervals; ``n`` companies.

    Raises:
        InputError: a panel that cannot be read, an origin that it does not allow, or an unknown view.
    """
    if view not in ("all", "complete"):
        raise InputError(f"--view: {view!r}; give all or complete")
    scores: dict[str, float] = {}
    if ranks is None or ranks.rank == 0:
        panel = open_panel(path)
        years = _whole("horizon", horizon)
        last = panel.years[-1] - years if origin is None else _whole("origin", origin)
        result = backtest(
            {"network": lambda: TrainedForecaster(model, device=device)},
            panel,
            origins=[last],
            horizon=years,
            samples=_whole("samples", samples),
            seed=_whole("seed", seed),
            on_progress=None if on_progress is None else lambda done, total, _: on_progress(done, total),
        )
        summary = result.summary(view)
        scores = {name: float(summary[column]["network"]) for name, column in _SCORES.items()}
    return scores if ranks is None else ranks.gather(scores)[0]


def forecast_panel(
    model: EmissionsForecaster,
    panel: Panel,
    horizon: int,
    *,
    origin: int | None = None,
    drivers: Drivers | None = None,
    samples: int = _SAMPLES,
    seed: int = 0,
    device: str | torch.device = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> Forecast:
    """Forecasts a panel from an origin, with all that a user should be warned of.

    Args:
        model: the network.
        panel: histories; rows after the origin are ignored.
        horizon: years.
        origin: the last year used, at most five after the panel's last; None: the panel's last.
        drivers: what they will be, where that is known or assumed.
        samples: joint trajectories.
        seed: of them.
        device: where to compute.
        on_progress: called with the number of companies done, and their total.

    Returns:
        The forecast.

    Raises:
        InputError: an origin outside the panel, or what :meth:`TrainedForecaster.predict` refuses.
    """
    last = panel.years[-1] if origin is None else origin
    if last > panel.years[-1] + _OLDEST:
        raise InputError(f"--origin {last}: the panel ends in {panel.years[-1]}; give at most {_OLDEST} years more")
    known = panel.until(last)
    # Years in which nobody reports, up to the origin, belong to the history too.
    years = range(known.years[0], last + 1)
    known = dataclasses.replace(known, emissions=known.emissions.reindex(columns=pd.Index(years, name="year")))
    left_out = without_report(panel, known)
    if left_out:
        warnings.warn(f"not forecast, for lack of a report up to {last}: {named(pd.Series(left_out))}", stacklevel=2)
    warn_of_panel(model, known, horizon)
    if drivers is not None:
        drivers = _checked(drivers, last, horizon, past=last < panel.years[-1])
    forecaster = TrainedForecaster(model, device=device)
    return forecaster.predict(known, horizon, samples=samples, seed=seed, drivers=drivers, on_progress=on_progress)


def _checked(drivers: Drivers, origin: int, horizon: int, *, past: bool) -> Drivers | None:
    """Returns drivers whose coming years count; None, with a warning, if they say nothing of them."""
    given = drivers.given(range(origin + 1, origin + 1 + horizon))
    if not given:
        warnings.warn(
            f"the drivers are given in no year from {origin + 1} to {origin + horizon}: their future is drawn",
            stacklevel=3,
        )
        return None
    drivers = drivers.select(given)
    require_changes("--drivers", drivers, origin, horizon)
    if past:
        warnings.warn(
            f"the drivers of {origin + 1} and later years are taken as known, which they were not in {origin}: the "
            "forecast is no test",
            stacklevel=3,
        )
    return drivers


def predict(
    model: EmissionsForecaster,
    source: str | Path,
    target: str | Path,
    *,
    horizon: int | str = 5,
    origin: int | str | None = None,
    samples: int | str = _SAMPLES,
    seed: int | str = 0,
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Forecasts a panel, and writes ``company,year,mean,q025,q10,q50,q90,q975``; see also ``emissions forecast``.

    Args:
        model: the network.
        source: a CSV file, or a panel of the catalogue.
        target: the CSV file to write.
        horizon: years.
        origin: the last year used; None: the panel's last.
        samples: joint trajectories.
        seed: of them.
        device: where to compute.
        ranks: processes that call this together; the first does all of it.
        on_progress: called with the number of companies done, and their total.

    Returns:
        The number of rows.

    Raises:
        InputError: a panel that cannot be read, or an origin or horizon that it does not allow.
    """
    n = 0
    if ranks is None or ranks.rank == 0:
        last = None if origin is None else _whole("origin", origin)
        forecast = forecast_panel(
            model,
            open_panel(source, origin=last),
            _whole("horizon", horizon),
            origin=last,
            samples=_whole("samples", samples),
            seed=_whole("seed", seed),
            device=device,
            on_progress=on_progress,
        )
        table = forecast.table()
        write_atomically(Path(target), csv_text(table))
        n = len(table)
    return n if ranks is None else ranks.gather(n)[0]
