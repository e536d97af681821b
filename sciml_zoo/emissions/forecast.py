"""Forecasts as sampled joint trajectories."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from sciml_zoo.emissions.panel import Panel
from sciml_zoo.errors import InputError

__all__ = ["QUANTILES", "Forecast", "Forecaster", "spread"]

#: The quantiles in a forecast's table, by column.
QUANTILES = {"q025": 0.025, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q975": 0.975}


def spread(samples: np.ndarray) -> dict[str, np.ndarray]:
    """Returns ``mean`` and, by the names of :data:`QUANTILES`, the quantiles of samples, float64 [...].

    Args:
        samples: [samples, ...].
    """
    quantiles = np.quantile(samples, list(QUANTILES.values()), axis=0).astype(np.float64)
    return {"mean": samples.mean(axis=0, dtype=np.float64), **dict(zip(QUANTILES, quantiles, strict=True))}


@dataclass(frozen=True)
class Forecast:
    """What may happen: sample s of all companies together is one future, so that sums over companies are meant.

    Attributes:
        companies: keys.
        origin: the last year whose emissions were known.
        samples: tonnes of CO2 equivalent, float32 or float64 [samples, companies, horizon]; the first year forecast is
            ``origin + 1``.
        point: the best single value of each company and year, [companies, horizon]; None: the samples' median.
    """

    companies: list[str]
    origin: int
    samples: np.ndarray
    point: np.ndarray | None = None

    @property
    def horizon(self) -> int:
        """Years forecast."""
        return int(self.samples.shape[2])

    @property
    def years(self) -> list[int]:
        """The years forecast."""
        return list(range(self.origin + 1, self.origin + 1 + self.horizon))

    @property
    def mean(self) -> np.ndarray:
        """Expected emissions, float64 [companies, horizon]: these add up over companies."""
        return self.samples.mean(axis=0, dtype=np.float64)

    @property
    def median(self) -> np.ndarray:
        """The point forecast of each company, [companies, horizon]."""
        return self.quantile(0.5)[0] if self.point is None else self.point

    def quantile(self, *levels: float) -> np.ndarray:
        """Returns quantiles of each company, float64 [levels, companies, horizon].

        Args:
            levels: in (0, 1).
        """
        return np.quantile(self.samples, levels, axis=0).astype(np.float64)

    def total(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns sampled totals, float64 [samples, horizon].

        Args:
            weights: of the companies in their order, such as attribution factors, [companies]; None: all one.

        Raises:
            InputError: another number of weights.
        """
        if weights is None:
            return self.samples.sum(axis=1, dtype=np.float64)
        weights = np.asarray(weights)
        if weights.shape != (len(self.companies),):
            raise InputError(
                f"weights of shape {list(weights.shape)}: give a number for each of the {len(self.companies)} "
                "companies, in their order"
            )
        return np.einsum("sch,c->sh", self.samples, weights)

    def table(self) -> pd.DataFrame:
        """Returns ``company, year, mean, q025, q10, q50, q90, q975``: a row for each company and year, in order."""
        columns = spread(self.samples) | {"q50": self.median}
        index = pd.MultiIndex.from_product([self.companies, self.years], names=["company", "year"])
        return pd.DataFrame({name: array.ravel() for name, array in columns.items()}, index=index).reset_index()


class Forecaster(Protocol):
    """Whatever forecasts a panel: networks, baselines, other libraries."""

    def fit(self, panel: Panel) -> "Forecaster":
        """Learns from a panel, all of it history. Returns itself."""

    def predict(self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0) -> Forecast:
        """Forecasts the years after a panel's last for its companies, in the panel's order.

        Args:
            panel: their history; a company whose last report is older than the panel's last year is forecast from
                there.
            horizon: years, at least 1.
            samples: joint trajectories.
            seed: of them.
        """
