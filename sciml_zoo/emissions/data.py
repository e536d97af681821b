"""Readers of published emissions: EU ETS, US GHGRP, Global Carbon Budget, world drivers, and the M3 competition.

Activities of the EU Registry, the sector in :func:`read_eutl`. Codes 1 to 9 are those of before 2013; where one of them
has a single heir, it is read as that:

| code | activity | code | activity |
|---|---|---|---|
| 10 | aircraft | 32 (8) | ceramics |
| 20 (1) | combustion of fuels | 33, 34 | mineral wool, gypsum |
| 21 (2) | refining of mineral oil | 35, 36 | pulp, paper or cardboard |
| 22 (3) | coke | 37 | carbon black |
| 23 (4) | roasting of metal ore | 38, 39 | nitric acid, adipic acid |
| 24 (5) | pig iron or steel | 40 | glyoxal |
| 25 | ferrous metals | 41, 42 | ammonia, bulk chemicals |
| 26, 27 | aluminium, primary and secondary | 43 | hydrogen and synthesis gas |
| 28 | non-ferrous metals | 44 | soda ash |
| 29, 30 | cement clinker, lime | 45, 46, 47 | capture, transport, storage of CO2 |
| 31 (7) | glass | 99 | other, opted in |

The old codes 6 (cement clinker or lime) and 9 (pulp or paper) were each split in two, and stay.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from sciml_zoo.emissions._table import numbers, read_table, require
from sciml_zoo.emissions.drivers import Drivers, read_drivers
from sciml_zoo.emissions.panel import STATICS, Panel

__all__ = [
    "read_eutl",
    "read_eutl_allocation",
    "read_gcb",
    "read_ghgrp_facilities",
    "read_ghgrp_firms",
    "read_m3",
    "read_us_drivers",
    "read_world_drivers",
]

_HEIRS = {"1": "20", "2": "21", "3": "22", "4": "23", "5": "24", "7": "31", "8": "32"}
# Not countries: the sums of all, what is burned between countries, and an event.
_NO_COUNTRIES = ("Global", "International Aviation", "International Shipping", "Kuwaiti Oil Fires")
_M3_HORIZON = 6
# FRED's series: our name, and how often a year.
_FRED = {
    "GDP": ("us_gdp_usd_bn", 4),
    "CPIAUCSL": ("us_cpi", 12),
    "INDPRO": ("us_industrial_production", 12),
    "UNRATE": ("us_unemployment_pct", 12),
    "FEDFUNDS": ("us_federal_funds_pct", 12),
}


def read_eutl(folder: Path) -> Panel:
    """Reads verified emissions under the EU Emissions Trading System, by company.

    Args:
        folder: of ``company_panel.csv.gz`` and ``company_static.csv.gz``.

    Returns:
        The panel; sector: the company's main activity (see the head of this module), country: its registry.
    """
    reports = read_table(folder / "company_panel.csv.gz")
    companies = read_table(folder / "company_static.csv.gz").set_index("company_key")
    reports["sector"] = reports["company_key"].map(companies["activity_code"].replace(_HEIRS))
    reports["country"] = reports["company_key"].map(companies["registry"])
    return Panel.from_long(reports, company="company_key", emissions="verified_tco2e", place=folder)


def read_eutl_allocation(folder: Path) -> pd.DataFrame:
    """Reads the allowances that companies of :func:`read_eutl` were given for free.

    Args:
        folder: of ``company_allocation.csv.gz``.

    Returns:
        Tonnes of CO2 equivalent, float64 [companies, years], NaN where none are recorded.
    """
    rows = read_table(folder / "company_allocation.csv.gz")
    return Panel.from_long(rows, company="company_key", emissions="free_allocation_tco2e", place=folder).emissions


def read_ghgrp_firms(folder: Path) -> Panel:
    """Reads direct emissions of S&P 500 firms as reported to the US Greenhouse Gas Reporting Program.

    A firm's emissions are the sum over the facilities that it owned, wholly or in part, in 2023, each in full.

    Args:
        folder: of ``company_year.csv.gz`` and ``sp500_constituents.csv.gz``.

    Returns:
        The panel; company: ticker, sector: that of the Global Industry Classification Standard, country: ``US``.
    """
    reports = read_table(folder / "company_year.csv.gz").assign(country="US")
    sectors = read_table(folder / "sp500_constituents.csv.gz").set_index("Symbol")["GICS Sector"]
    reports["sector"] = reports["ticker"].map(sectors)
    return Panel.from_long(reports, company="ticker", emissions="total_emissions", place=folder)


def read_ghgrp_facilities(folder: Path) -> Panel:
    """Reads direct emissions of the facilities behind :func:`read_ghgrp_firms`, each in full whoever owns it.

    Args:
        folder: of ``facilities.csv.gz``.

    Returns:
        The panel; company: the facility's number, sector: its latest industry, the first three digits of NAICS,
        country: ``US``.
    """
    reports = read_table(folder / "facilities.csv.gz").assign(country="US")
    reports["sector"] = reports["naics_code"].str[:3]
    return Panel.from_long(reports, company="facility_id", emissions="total_emissions", place=folder)


def read_gcb(path: Path) -> Panel:
    """Reads fossil CO2 of countries from the Global Carbon Budget, 1750 on.

    Args:
        path: the flat file, MtCO2.

    Returns:
        The panel; country: ISO 3166-1 alpha-3, "" for those of former times. Left out are what is no country: Global,
        International Aviation, International Shipping and Kuwaiti Oil Fires.
    """
    rows = read_table(path)
    require(rows, ["Country"], path)
    rows = rows[~rows["Country"].isin(_NO_COUNTRIES)].rename(columns={"ISO 3166-1 alpha-3": "country"})
    return Panel.from_long(rows, company="Country", year="Year", emissions="Total", unit="MtCO2", place=path)


def read_world_drivers(folder: Path) -> Drivers:
    """Reads drivers of the world economy.

    Args:
        folder: of ``worldbank_gdp_current_usd.csv.gz``, ``brent_year_usd_bbl.csv`` and ``eua_year_eur_t.csv``.

    Returns:
        ``world_gdp_usd`` (current US dollars), ``brent_usd_bbl`` (US dollars a barrel) and ``eua_eur_t`` (the price of
        EU allowances, euros a tonne; 0 in 2007, when those of the first phase had lost their worth).
    """
    gdp = read_table(folder / "worldbank_gdp_current_usd.csv.gz")
    world = gdp[gdp["Country Code"] == "WLD"]
    columns = [
        pd.DataFrame({"world_gdp_usd": numbers(world["Value"])}, numbers(world["Year"]).astype(int)),
        read_drivers(folder / "brent_year_usd_bbl.csv").values,
        read_drivers(folder / "eua_year_eur_t.csv").values,
    ]
    values = pd.concat(columns, axis=1)
    years = range(int(values.index.min()), int(values.index.max()) + 1)
    return Drivers(values.reindex(pd.Index(years, name="year")))


def read_us_drivers(folder: Path) -> Drivers:
    """Reads drivers of the US economy, from the Federal Reserve's data base (FRED).

    Args:
        folder: of ``fred_GDP.csv.gz`` and the like.

    Returns:
        Means of the year's quarters or months, of years that have them all: ``us_gdp_usd_bn`` (current, annual rate),
        ``us_cpi`` (1982–84 = 100), ``us_industrial_production`` (2017 = 100), ``us_unemployment_pct`` and
        ``us_federal_funds_pct``; where growth is taken, a rate below 1 % counts as 1 %.
    """
    columns = []
    for series, (name, periods) in _FRED.items():
        path = folder / f"fred_{series}.csv.gz"
        rows = read_table(path)
        require(rows, ["DATE", series], path)
        values = pd.Series(numbers(rows[series]), numbers(rows["DATE"].str[:4]).astype(int))
        years = values.groupby(level=0)
        columns.append(years.mean()[years.count() == periods].rename(name))
    table = pd.concat(columns, axis=1).sort_index()
    return Drivers(table.reindex(pd.Index(range(table.index[0], table.index[-1] + 1), name="year")))


def read_m3(path: Path) -> tuple[Panel, np.ndarray]:
    """Reads the yearly series of the M3 competition (Makridakis and Hibon 2000), which are of many units.

    Args:
        path: ``series, category, split, year, value``.

    Returns:
        The history, whose years count from each series' last year of training: …, −1, 0; sector: the category. And the
        six values after it, float64 [series, 6].
    """
    rows = read_table(path)
    rows[["year", "value"]] = np.stack([numbers(rows["year"]), numbers(rows["value"])], axis=1)
    train, test = rows[rows["split"] == "train"], rows[rows["split"] == "test"]
    offset = train["year"] - train.groupby("series")["year"].transform("max")
    history = train.assign(year=offset.astype(int)).pivot(index="series", columns="year", values="value")
    history = history.rename_axis(index="company")
    sectors = train.drop_duplicates("series").set_index("series")["category"].reindex(history.index)
    statics = pd.DataFrame({"sector": sectors, "country": ""}, history.index, list(STATICS))
    future = test.sort_values(["series", "year"])["value"].to_numpy().reshape(len(history), _M3_HORIZON)
    return Panel(history, statics), future
