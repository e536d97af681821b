"""Panels and portfolios drawn from a known process: for the demo and tests, where no data are at hand.

log y(t) = log y(t − 1) + drift + λ u(t) + σ ε(t): one common shock u a year, ε with Student's t of 4 degrees of
freedom.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sciml_zoo.emissions.panel import Panel

__all__ = ["SyntheticPortfolio", "synthetic_panel", "synthetic_portfolio"]


def synthetic_panel(companies: int = 300, years: int = 18, *, drift: float = -0.015, seed: int = 0) -> Panel:
    """Draws a panel that ends in 2022, with gaps, late starts and exits.

    Args:
        companies: how many.
        years: how many.
        drift: of the log, a year.
        seed: of the draws.

    Returns:
        The panel; companies are called ``company 000`` and so on.
    """
    rng = np.random.default_rng(seed)
    spread = rng.gamma(2.0, 0.05, size=companies)
    common = 0.04 * rng.standard_normal(years)
    own = spread[:, None] * rng.standard_t(4, size=(companies, years)) / np.sqrt(2)
    level = rng.normal(10.5, 1.8, size=companies)
    values = np.exp(level[:, None] + np.cumsum(drift + common + own, axis=1))
    values[rng.random(values.shape) < 0.02] = np.nan
    late = rng.random(companies) < 0.2
    for row in np.flatnonzero(late):
        values[row, : rng.integers(1, years // 2)] = np.nan
    names = pd.Index([f"company {i:03d}" for i in range(companies)], name="company")
    emissions = pd.DataFrame(values, index=names, columns=range(2023 - years, 2023))
    statics = pd.DataFrame({"sector": "", "country": ""}, index=names)
    return Panel(emissions[emissions.notna().any(axis=1)], statics[emissions.notna().any(axis=1).to_numpy()])


@dataclass(frozen=True)
class SyntheticPortfolio:
    """Three tables as ``sciml-zoo emissions footprint`` takes them.

    Attributes:
        holdings: ``company,value,currency,asset_class``.
        financials: ``company,year,evic,equity,debt,revenue,currency``.
        emissions: ``company,year,scope,emissions,unit,data_quality``.
    """

    holdings: pd.DataFrame
    financials: pd.DataFrame
    emissions: pd.DataFrame


def synthetic_portfolio(panel: Panel, holdings: int = 40, *, seed: int = 0) -> SyntheticPortfolio:
    """Draws a portfolio of a panel's companies; one holding matches no company, and one company lacks EVIC.

    Args:
        panel: their scope 1 emissions.
        holdings: how many.
        seed: of the draws.

    Returns:
        The tables.
    """
    rng = np.random.default_rng(seed)
    held = list(rng.choice(panel.companies, size=holdings - 1, replace=False))
    evic = np.round(rng.lognormal(20, 1, size=len(held)))
    value = np.round(evic * rng.uniform(0.001, 0.01, size=len(held)))
    own = pd.DataFrame({"company": held, "value": value, "currency": "EUR", "asset_class": "listed_equity"})
    stranger = {"company": "unknown plc", "value": 1e6, "currency": "EUR", "asset_class": "listed_equity"}
    financials = pd.DataFrame(
        {
            "company": held,
            "year": panel.years[-1],
            "evic": [*map(str, evic[:-1]), ""],
            "equity": "",
            "debt": "",
            "revenue": np.round(evic * rng.uniform(0.2, 0.8, size=len(held))),
            "currency": "EUR",
        }
    )
    reported = panel.select(held).to_long()[["company", "year", "emissions", "unit"]]
    emissions = reported.assign(scope="1", data_quality=rng.integers(1, 4, size=len(reported)))
    return SyntheticPortfolio(pd.concat([own, pd.DataFrame([stranger])], ignore_index=True), financials, emissions)
