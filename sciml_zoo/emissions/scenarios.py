"""What if: other futures of the drivers, and targets of companies, and what each driver contributes.

======================================================  =======================================================
y' = y · p / E[y],  log p linear from last to target    a company with a target: its expected path is p
φ_i = Σ_S |S|! (n − |S| − 1)! / n! · [v(S ∪ i) − v(S)]  contribution of driver i (Shapley, 1953), S without i
v(S) = E[total]                                         drivers S as in the scenario, the others as before
======================================================  =======================================================

All forecasts that are compared are drawn with one seed, so that what differs is the scenario and not the noise.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from sciml_zoo.emissions._table import is_year, numbers, require
from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.forecast import Forecast, spread
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.errors import InputError, nearest

__all__ = ["DrivenForecaster", "Scenario", "compare", "contributions", "forecast_scenario", "require_changes"]


class DrivenForecaster(Protocol):
    """A forecaster that asks what the drivers will be, such as a trained network."""

    def predict(
        self, panel: Panel, horizon: int, *, samples: int = 200, seed: int = 0, drivers: Drivers | None = None
    ) -> Forecast:
        """Forecasts the years after a panel's last, as :meth:`TrainedForecaster.predict` does.

        Args:
            panel: histories.
            horizon: years.
            samples: joint trajectories.
            seed: of the draws; what is drawn beside the drivers must not depend on them.
            drivers: what they will be; the years and drivers that it lacks are drawn.
        """


@dataclass(frozen=True)
class Scenario:
    """An assumed future.

    A target is taken as met. The path to it is linear in the logarithm, from the company's last report through its
    targets in order; after the last one it stays there. The relative spread around the path is that of the forecast.

    Attributes:
        name: by which results call it.
        drivers: levels in coming years, of some drivers or all, from :func:`~sciml_zoo.emissions.read_drivers`; what
            is not given is drawn. The change in the first year needs the level of the year before: it comes from the
            weights, or, where these end earlier, from here. None: all are drawn.
        targets: ``company, year, emissions`` (tonnes of CO2 equivalent, above 0); None: there are none.
    """

    name: str
    drivers: Drivers | None = None
    targets: pd.DataFrame | None = None


def forecast_scenario(
    forecaster: DrivenForecaster, panel: Panel, horizon: int, scenario: Scenario, *, samples: int = 200, seed: int = 0
) -> Forecast:
    """Forecasts a panel in a scenario.

    Args:
        forecaster: trained.
        panel: histories.
        horizon: years.
        scenario: what is assumed.
        samples: joint trajectories.
        seed: of the draws.

    Returns:
        The forecast, such as :func:`~sciml_zoo.emissions.footprint_trajectory` takes.

    Raises:
        InputError: what the forecaster refuses; a driver whose given years do not join; a target of an unknown company,
            of no coming year, given twice, not above 0, or of a company that last reported zero.
    """
    if scenario.drivers is not None:
        require_changes(f"scenario {scenario.name!r}", scenario.drivers, panel.years[-1], horizon)
    forecast = forecaster.predict(panel, horizon, samples=samples, seed=seed, drivers=scenario.drivers)
    if scenario.targets is None:
        return forecast
    factors = np.ones((len(forecast.companies), horizon))
    place = f"scenario {scenario.name!r}, targets"
    for company, known in _targets(scenario.targets, forecast, place).items():
        row = forecast.companies.index(company)
        reports = panel.emissions.loc[company].dropna()
        if not reports.iloc[-1] > 0:
            raise InputError(
                f"{place}: company {company!r} reported zero in {reports.index[-1]}, from which no path leads to a "
                "target; leave its target out"
            )
        steps = pd.concat([reports.iloc[-1:], known])
        path = np.exp(np.interp(forecast.years, steps.index.to_numpy(np.float64), np.log(steps.to_numpy(np.float64))))
        factors[row] = path / forecast.samples[:, row].mean(axis=0, dtype=np.float64)
    point = None if forecast.point is None else forecast.point * factors
    return dataclasses.replace(forecast, samples=forecast.samples * factors, point=point)


def compare(
    forecaster: DrivenForecaster,
    panel: Panel,
    horizon: int,
    scenarios: Sequence[Scenario],
    *,
    weights: np.ndarray | None = None,
    samples: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Forecasts the total of a panel's companies in several scenarios.

    Args:
        forecaster: trained.
        panel: histories.
        horizon: years.
        scenarios: what is assumed, each with a name of its own.
        weights: of the companies, such as attribution factors, [companies]; None: all one.
        samples: joint trajectories.
        seed: of the draws, the same for all scenarios.

    Returns:
        ``scenario, year, mean, q025, q10, q50, q90, q975`` in tonnes: a row for each scenario and year, in order.

    Raises:
        InputError: no scenario, two of one name, weights of another shape, or what :func:`forecast_scenario` refuses.
    """
    names = [scenario.name for scenario in scenarios]
    if not names or len(set(names)) < len(names):
        raise InputError(f"scenarios: {names}: give at least one, and each a name of its own")
    factors = _weights(weights, panel)
    tables = []
    for scenario in scenarios:
        forecast = forecast_scenario(forecaster, panel, horizon, scenario, samples=samples, seed=seed)
        columns = {"scenario": scenario.name, "year": forecast.years}
        tables.append(pd.DataFrame(columns | spread(forecast.total(factors))))
    return pd.concat(tables, ignore_index=True)


def contributions(
    forecaster: DrivenForecaster,
    panel: Panel,
    horizon: int,
    baseline: Drivers | None,
    scenario: Drivers,
    *,
    weights: np.ndarray | None = None,
    year: int | None = None,
    samples: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Splits the difference that a scenario makes among its drivers: exact Shapley values, by the library ``shap``.

    It takes 2ⁿ forecasts for n drivers in the scenario.

    Args:
        forecaster: trained.
        panel: histories.
        horizon: years.
        baseline: the drivers' future without the scenario; None, and a driver that it lacks: drawn.
        scenario: another future of some drivers or all: from its first year on, they are as it says.
        weights: of the companies, such as attribution factors, [companies]; None: all one.
        year: of the total that is explained; None: the last one.
        samples: joint trajectories.
        seed: of the draws, the same for all forecasts.

    Returns:
        ``driver, contribution, before, after`` in tonnes, a row for each driver of the scenario: what it adds to the
        expected total, which runs from the baseline's (the first ``before``) to the scenario's (the last ``after``).

    Raises:
        InputError: ``shap`` is not installed, a year that is not forecast, no driver in the scenario, or what
            :func:`compare` refuses.
    """
    try:
        import shap
    except ImportError:
        raise InputError("the contributions of drivers need the library shap: pip install shap") from None
    coming = range(panel.years[-1] + 1, panel.years[-1] + 1 + horizon)
    year = coming[-1] if year is None else year
    if year not in coming:
        raise InputError(f"year: {year} is not forecast; choose one from {coming[0]} to {coming[-1]}")
    names = scenario.names
    if not names:
        raise InputError("scenario: it has no driver; give a column for each")
    require_changes("scenario", scenario, panel.years[-1], horizon)
    factors = _weights(weights, panel)

    def expected_totals(masks: np.ndarray) -> np.ndarray:
        totals = []
        for mask in masks:
            drivers = _mixed(baseline, scenario, [name for name, on in zip(names, mask, strict=True) if on])
            forecast = forecaster.predict(panel, horizon, samples=samples, seed=seed, drivers=drivers)
            totals.append(forecast.total(factors)[:, coming.index(year)].mean())
        return np.array(totals)

    off, on = np.zeros((1, len(names))), np.ones((1, len(names)))
    explained = shap.ExactExplainer(expected_totals, shap.maskers.Independent(off))(on, silent=True)
    added = explained.values[0]
    after = explained.base_values[0] + np.cumsum(added)
    return pd.DataFrame({"driver": names, "contribution": added, "before": after - added, "after": after})


def _mixed(baseline: Drivers | None, scenario: Drivers, names: list[str]) -> Drivers | None:
    """Returns the baseline with some drivers as the scenario has them; None: nothing is assumed."""
    if not names:
        return baseline
    part = scenario.select(names)
    if baseline is None:
        return part
    shared = baseline.values.columns.union(part.values.columns, sort=False)
    return dataclasses.replace(baseline, values=baseline.values.reindex(columns=shared)).replaced(part)


def require_changes(place: str, drivers: Drivers, origin: int, horizon: int) -> None:
    """Refuses drivers of which a coming year is given and not the year before: such a level would have no effect.

    Args:
        place: where they come from, for the message.
        drivers: levels by year.
        origin: the last year known.
        horizon: years.

    Raises:
        InputError: naming the driver and the year.
    """
    years = range(origin + 1, origin + 1 + horizon)
    for driver in drivers.values.columns:
        known = drivers.values[driver].reindex(list(years)).notna().to_numpy()
        if not known.any():
            raise InputError(
                f"{place}: driver {driver!r} is given in no year from {years[0]} to {years[-1]}; give these, "
                "or leave it out"
            )
        gaps = np.flatnonzero(known[1:] & ~known[:-1])
        if len(gaps):
            raise InputError(
                f"{place}: driver {driver!r} is given in {years[gaps[0] + 1]} and not in {years[gaps[0]]}, "
                f"so that its change is unknown; give every year from {years[0]} on"
            )


def _targets(table: pd.DataFrame, forecast: Forecast, place: str) -> dict[str, pd.Series]:
    """Returns the checked targets of each company: tonnes by year, in order."""
    require(table, ["company", "year", "emissions"], place)
    years, tonnes = numbers(table["year"]), numbers(table["emissions"])
    for company, given, year, value in zip(table["company"], table["year"], years, tonnes, strict=True):
        if company not in forecast.companies:
            raise InputError(
                f"{place}: no company {company!r} in the panel; {nearest(str(company), forecast.companies)}"
            )
        if not is_year(np.array([year]))[0] or year <= forecast.origin:
            raise InputError(f"{place}: company {company!r}: {given!r} is not a year after {forecast.origin}")
        if not 0 < value < np.inf:
            raise InputError(
                f"{place}: company {company!r}, {given}: {value} is not above 0; give the tonnes that remain (for net "
                "zero, those before removals)"
            )
    checked = pd.DataFrame({"company": table["company"].to_numpy(), "year": years.astype(int), "emissions": tonnes})
    twice = checked[checked.duplicated(["company", "year"])]
    if len(twice):
        first = twice.iloc[0]
        raise InputError(f"{place}: company {first['company']!r} has two targets for {first['year']}; leave one")
    ordered = checked.sort_values("year").groupby("company", sort=False)
    return {str(company): part.set_index("year")["emissions"] for company, part in ordered}


def _weights(weights: np.ndarray | None, panel: Panel) -> np.ndarray | None:
    if weights is None:
        return None
    found = np.asarray(weights, dtype=np.float64)
    if found.shape != (len(panel.companies),) or not np.isfinite(found).all():
        raise InputError(
            f"weights of shape {list(found.shape)}: expected a finite number for each of the panel's "
            f"{len(panel.companies)} companies, in order"
        )
    return found
