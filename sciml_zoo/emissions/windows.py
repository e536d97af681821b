"""Training samples: a company's history up to some year, and what came after it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml_zoo.emissions.metrics import naive_scale
from sciml_zoo.emissions.model import EmissionsForecasterConfig
from sciml_zoo.emissions.panel import Panel

__all__ = ["Changes", "PanelWindows", "Window", "changes_ahead", "log_emissions", "places"]

# A company that hardly changed before weighs at most this much: its scale is a fluke.
_LARGEST_WEIGHT = 50.0
_MIN_REPORTS = 3


class Window(NamedTuple):
    """One or many histories and what came after them.

    Attributes:
        history: log emissions, NaN where nothing was reported, float32 [..., context].
        future: log ratios to the history's last value, NaN likewise, float32 [..., horizon].
        weight: last value / mean absolute change up to then: times an error of ratios, a scaled error; float32 [...].
        sector: place in the vocabulary, int64 [...].
        country: likewise.
        year: the first year of the future, counted from the first of the common shocks, int64 [...].
    """

    history: Tensor
    future: Tensor
    weight: Tensor
    sector: Tensor
    country: Tensor
    year: Tensor


class Changes(NamedTuple):
    """What came after every report, however short the history before it.

    Attributes:
        future: log ratios to the report, NaN where nothing was reported, float32 [n, horizon].
        weight: the report / mean absolute change of the company in all years, float32 [n].
        year: the first year of the future, counted from the first of the common shocks, int64 [n].
        level: log of the report, float32 [n].
    """

    future: Tensor
    weight: Tensor
    year: Tensor
    level: Tensor


def log_emissions(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns natural logarithms, NaN where nothing, or zero, was reported.

    Args:
        values: tonnes, [companies, years].
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log(values), np.nan).astype(np.float32)


def places(texts: Sequence[str], vocabulary: Sequence[str]) -> NDArray[np.int64]:
    """Finds sectors or countries in a vocabulary.

    An entry such as ``20 Combustion of fuels`` is found by its code, by its name, or whole, in any case.

    Args:
        texts: as a panel has them.
        vocabulary: of the network.

    Returns:
        Place plus one, 0 where it is not in the vocabulary, [companies].
    """
    table: dict[str, int] = {}
    for index, entry in enumerate(vocabulary, start=1):
        code, _, name = entry.partition(" ")
        for key in (entry, code, name) if code.isdigit() else (entry,):
            table.setdefault(key.strip().casefold(), index)
    table.pop("", None)
    return np.array([table.get(text.strip().casefold(), 0) for text in texts], dtype=np.int64)


class PanelWindows(Sequence[Window]):
    """All histories of a panel's companies that have a future.

    A history ends in a year with a report, with at least three reports by then that differ.

    Args:
        panels: of any companies.
        config: of the network: context, horizon, vocabularies, first year.
        open_ended: whether histories up to the last year are there too, whose future is not known.
    """

    def __init__(self, panels: Sequence[Panel], config: EmissionsForecasterConfig, *, open_ended: bool = False) -> None:
        parts = [_windows(panel, config, open_ended) for panel in panels]
        self._arrays = {name: np.concatenate([part[name] for part in parts]) for name in Window._fields}

    def __len__(self) -> int:
        return len(self._arrays["weight"])

    def __getitem__(self, index: int) -> Window:  # type: ignore[override]
        return Window(*(self._arrays[name][index] for name in Window._fields))

    def tensor(self, name: str) -> Tensor:
        """Returns one field of all windows."""
        return torch.from_numpy(self._arrays[name])

    @staticmethod
    def collate(samples: Sequence[Window]) -> Window:
        """Stacks windows.

        Args:
            samples: at least one.

        Returns:
            The batch.
        """
        return Window(*(torch.from_numpy(np.stack([getattr(s, name) for s in samples])) for name in Window._fields))


def _windows(panel: Panel, config: EmissionsForecasterConfig, open_ended: bool) -> Mapping[str, NDArray[np.generic]]:
    values = panel.values
    logs = log_emissions(values)
    n, years = logs.shape
    before = np.full((n, config.context), np.nan, dtype=np.float32)
    after = np.full((n, config.horizon), np.nan, dtype=np.float32)
    padded = np.concatenate([before, logs, after], axis=1)
    statics = {
        "sector": places(list(panel.statics["sector"]), config.sectors),
        "country": places(list(panel.statics["country"]), config.countries),
    }
    found: dict[str, list[NDArray[np.generic]]] = {name: [] for name in Window._fields}
    for last in range(_MIN_REPORTS - 1, years - 1 + open_ended):
        scale = naive_scale(values[:, : last + 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = values[:, last] / scale
        future = padded[:, config.context + last + 1 :][:, : config.horizon] - logs[:, last : last + 1]
        enough = np.isfinite(logs[:, : last + 1]).sum(1) >= _MIN_REPORTS
        kept = np.isfinite(weight) & (weight > 0) & enough & (np.isfinite(future).any(1) | (last == years - 1))
        found["history"].append(padded[kept, last + 1 : last + 1 + config.context])
        found["future"].append(future[kept])
        found["weight"].append(np.minimum(weight[kept], _LARGEST_WEIGHT).astype(np.float32))
        found["year"].append(np.full(kept.sum(), panel.years[last] + 1 - config.first_year, dtype=np.int64))
        for name, place in statics.items():
            found[name].append(place[kept])
    shapes = {"history": (0, config.context), "future": (0, config.horizon)}
    return {
        name: np.concatenate([np.zeros(shapes.get(name, (0,)), dtype=np.float32), *parts]).astype(
            np.int64 if name in ("sector", "country", "year") else np.float32
        )
        for name, parts in found.items()
    }


def changes_ahead(panels: Sequence[Panel], config: EmissionsForecasterConfig) -> Changes:
    """Collects what came after every report of companies that ever changed.

    Args:
        panels: of any companies.
        config: of the network: horizon, first year.

    Returns:
        The changes.
    """
    found: dict[str, list[NDArray[np.generic]]] = {name: [] for name in Changes._fields}
    for panel in panels:
        values, logs = panel.values, log_emissions(panel.values)
        scale = naive_scale(values)
        padded = np.concatenate([logs, np.full((len(logs), config.horizon), np.nan, dtype=np.float32)], axis=1)
        for last, year in enumerate(panel.years[:-1]):
            future = padded[:, last + 1 : last + 1 + config.horizon] - logs[:, last : last + 1]
            kept = np.isfinite(future).any(1) & (scale > 0)
            found["future"].append(future[kept])
            found["weight"].append(np.minimum(values[kept, last] / scale[kept], _LARGEST_WEIGHT).astype(np.float32))
            found["year"].append(np.full(kept.sum(), year + 1 - config.first_year, dtype=np.int64))
            found["level"].append(logs[kept, last])
    return Changes(*(torch.from_numpy(np.concatenate(found[name])) for name in Changes._fields))
