"""From panels to an untrained network and its windows."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sciml_zoo.emissions.model import EmissionsForecaster, EmissionsForecasterConfig
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.windows import PanelWindows, changes_ahead, log_emissions
from sciml_zoo.errors import InputError

__all__ = ["Prepared", "prepared_network"]

# A sector or country with fewer companies counts as unknown.
_FEWEST = 10
_FEWEST_COMPANIES = 2


@dataclass(frozen=True)
class Prepared:
    """What a trainer needs.

    Attributes:
        model: with its vocabularies, years and drivers.
        train: windows of most companies.
        validation: windows of the others, to calibrate on.
        notes: what was chosen from the data.
    """

    model: EmissionsForecaster
    train: PanelWindows
    validation: PanelWindows
    notes: dict[str, str]


def prepared_network(
    panels: Sequence[Panel], shape: EmissionsForecasterConfig, *, validation_fraction: float, seed: int
) -> Prepared:
    """Builds a network for panels, and splits their companies.

    Args:
        panels: to learn from; the first one's drivers are used, companies' own with its companies alone.
        shape: of the network; what depends on the data is filled in.
        validation_fraction: of the companies, to calibrate on, in (0, 1).
        seed: of the split and of the initial weights.

    Returns:
        The network and its windows.

    Raises:
        InputError: too little to train on, or to validate on.
    """
    for panel in panels:
        if len(panel.companies) < _FEWEST_COMPANIES:
            raise InputError(
                f"there is nothing to calibrate on: a panel of {len(panel.companies)} companies; give at least "
                f"{_FEWEST_COMPANIES}, better hundreds, or use shipped weights"
            )
    parts = [_split(panel, validation_fraction, seed) for panel in panels]
    train, validation = [part[0] for part in parts], [part[1] for part in parts]
    logs = np.concatenate([log_emissions(panel.values).ravel() for panel in train])
    logs = logs[np.isfinite(logs)]
    if not len(logs):
        raise InputError("there is nothing to train on: no positive emissions")
    first, last = min(panel.years[0] for panel in panels) + 1, max(panel.years[-1] for panel in panels)
    drivers = panels[0].drivers
    config = dataclasses.replace(
        shape,
        sectors=_vocabulary(train, "sector"),
        countries=_vocabulary(train, "country"),
        drivers=() if drivers is None else tuple(drivers.values.columns),
        company_drivers=() if drivers is None else tuple(drivers.by_company),
        first_year=first,
        last_year=last,
        level_center=round(float(np.mean(logs)), 3),
        level_spread=max(round(float(np.std(logs)), 3), 0.1),
    )
    torch.manual_seed(seed)
    model = EmissionsForecaster(config)
    windows = PanelWindows(train, config), PanelWindows(validation, config, open_ended=True)
    for name, part in zip(("train", "validate"), windows, strict=True):
        if not len(part):
            raise InputError(
                f"there is nothing to {name} on: no company with three reports that differ, and a later one; "
                f"give a panel with more years or companies"
            )
    _know_years(model, windows[0], None if drivers is None else drivers.values)
    if config.prior_drift is not None:
        model.calibration.fit_drift(*changes_ahead(panels, config), prior=config.prior_drift)
    if model.response is not None:
        model.response.fit(panels[0], config.company_drivers)
    companies = [sum(len(panel.companies) for panel in side) for side in (train, validation)]
    notes = {
        "companies": f"{companies[0]:,} to train on, {companies[1]:,} to calibrate on",
        "windows": f"{len(windows[0]):,} and {len(windows[1]):,}, of years up to {last}",
        "drivers": ", ".join([*config.drivers, *config.company_drivers]) or "none",
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
    }
    return Prepared(model, *windows, notes)


def _split(panel: Panel, fraction: float, seed: int) -> tuple[Panel, Panel]:
    n = len(panel.companies)
    order = np.random.default_rng(seed).permutation(n)
    held = max(round(fraction * n), 1)
    keys = np.array(panel.companies, dtype=object)
    return panel.select(keys[np.sort(order[held:])]), panel.select(keys[np.sort(order[:held])])


def _vocabulary(panels: Sequence[Panel], name: str) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for panel in panels:
        for text, count in panel.statics[name].value_counts().items():
            counts[str(text)] = counts.get(str(text), 0) + int(count)
    return tuple(sorted(text for text, count in counts.items() if text and count >= _FEWEST))


def _know_years(model: EmissionsForecaster, windows: PanelWindows, drivers: pd.DataFrame | None) -> None:
    """Tells the common shocks which years are learned, and what the drivers did."""
    config = model.config
    future, year = torch.isfinite(windows.tensor("future")), windows.tensor("year")
    for step in range(future.shape[1]):
        model.shocks.used[year[future[:, step]] + step] = True
    if drivers is not None:
        table = drivers.reindex(range(config.first_year - 1, config.last_year + 1))
        model.shocks.remember(torch.tensor(table.to_numpy(dtype=np.float64)))
