"""Emissions of companies: what they may be in coming years, and what that makes of a portfolio's footprint.

Example:
    >>> import pandas as pd
    >>> from sciml_zoo.emissions import Naive, Panel
    >>> table = pd.DataFrame({"company": "A", "year": range(2015, 2023), "emissions": [9, 8, 9, 8, 7, 7, 6, 6.5]})
    >>> panel = Panel.from_long(table, unit="kt CO2e")
    >>> forecaster = Naive().fit(panel)  # or NeuralForecaster(), with a panel of many companies
    >>> list(forecaster.predict(panel, horizon=3, samples=100).table().columns)
    ['company', 'year', 'mean', 'q025', 'q10', 'q50', 'q90', 'q975']
"""

from typing import TYPE_CHECKING

from sciml_zoo._lazy import lazy_names

if TYPE_CHECKING:
    from sciml_zoo.emissions.baselines import Combination, DampedTrend, Drift, Naive, PooledDrift, Theta
    from sciml_zoo.emissions.currencies import Rates, read_rates
    from sciml_zoo.emissions.drivers import Drivers, read_drivers
    from sciml_zoo.emissions.estimator import NeuralForecaster
    from sciml_zoo.emissions.footprint import footprint_trajectory
    from sciml_zoo.emissions.forecast import Forecast, Forecaster
    from sciml_zoo.emissions.holdings import read_emissions, read_financials, read_holdings
    from sciml_zoo.emissions.inference import evaluate, forecast_panel, predict
    from sciml_zoo.emissions.model import EmissionsForecaster, EmissionsForecasterConfig
    from sciml_zoo.emissions.panel import Panel, read_panel
    from sciml_zoo.emissions.peers import LightGBM, Statsforecast
    from sciml_zoo.emissions.recipe import prepare, recipe_type
    from sciml_zoo.emissions.showcase import demo
    from sciml_zoo.emissions.sources import open_drivers, open_panel
    from sciml_zoo.emissions.trained import TrainedForecaster

_MODULES = {
    "baselines": ("Combination", "DampedTrend", "Drift", "Naive", "PooledDrift", "Theta"),
    "currencies": ("Rates", "read_rates"),
    "drivers": ("Drivers", "read_drivers"),
    "estimator": ("NeuralForecaster",),
    "footprint": ("footprint_trajectory",),
    "forecast": ("Forecast", "Forecaster"),
    "holdings": ("read_emissions", "read_financials", "read_holdings"),
    "inference": ("evaluate", "forecast_panel", "predict"),
    "model": ("EmissionsForecaster", "EmissionsForecasterConfig"),
    "panel": ("Panel", "read_panel"),
    "peers": ("LightGBM", "Statsforecast"),
    "recipe": ("prepare", "recipe_type"),
    "showcase": ("demo",),
    "sources": ("open_drivers", "open_panel"),
    "trained": ("TrainedForecaster",),
}

__all__ = [
    "Combination",
    "DampedTrend",
    "Drift",
    "Drivers",
    "EmissionsForecaster",
    "EmissionsForecasterConfig",
    "Forecast",
    "Forecaster",
    "LightGBM",
    "Naive",
    "NeuralForecaster",
    "Panel",
    "PooledDrift",
    "Rates",
    "Statsforecast",
    "Theta",
    "TrainedForecaster",
    "demo",
    "evaluate",
    "footprint_trajectory",
    "forecast_panel",
    "open_drivers",
    "open_panel",
    "predict",
    "prepare",
    "read_drivers",
    "read_emissions",
    "read_financials",
    "read_holdings",
    "read_panel",
    "read_rates",
    "recipe_type",
]

_homes = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__getattr__, __dir__ = lazy_names(__name__, _homes)
