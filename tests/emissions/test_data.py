"""Published emissions: nothing is lost on the way from the files to the panels."""

import math

import numpy as np
import pandas as pd
import pytest

from sciml_zoo.datasets import dataset_file
from sciml_zoo.emissions import data

pytestmark = pytest.mark.data


def raw(dataset, name):
    return pd.read_csv(dataset_file(dataset, name), keep_default_na=False, na_values=[""])


def folder(dataset, name):
    return dataset_file(dataset, name).parent


def by_year(panel):
    return panel.emissions.sum().to_numpy()


def test_eutl():
    panel = data.read_eutl(folder("eutl", "company_panel.csv.gz"))
    assert panel.emissions.shape == (7530, 18)
    assert panel.rejected.empty
    totals = raw("eutl", "company_panel.csv.gz").groupby("year")["verified_tco2e"].sum()
    assert panel.years == list(totals.index)
    np.testing.assert_array_equal(by_year(panel), totals)
    assert panel.emissions.notna().sum().sum() == 79_838
    assert {"NA", "0", "02806440604"} <= set(panel.companies)
    assert panel.statics.loc["02806440604"].to_dict() == {"sector": "32", "country": "IT"}
    codes = raw("eutl", "company_static.csv.gz")["activity_code"].value_counts()
    sectors = panel.statics["sector"].value_counts()
    assert (sectors["20"], sectors["21"], sectors["10"]) == (codes[20] + codes[1], codes[21] + codes[2], codes[10])
    assert not {"", "1", "2", "3", "4", "5", "7", "8"} & set(sectors.index)


def test_eutl_allocation():
    allocation = data.read_eutl_allocation(folder("eutl", "company_allocation.csv.gz"))
    rows = raw("eutl", "company_allocation.csv.gz")
    np.testing.assert_array_equal(allocation.sum(), rows.groupby("year")["free_allocation_tco2e"].sum())
    assert allocation.loc["0", 2005] == 51_075


def test_ghgrp_firms_and_facilities_sum_to_the_same():
    place = folder("ghgrp", "company_year.csv.gz")
    firms, facilities = data.read_ghgrp_firms(place), data.read_ghgrp_facilities(place)
    assert (firms.emissions.notna().sum().sum(), len(firms.companies)) == (1150, 85)
    assert (facilities.emissions.notna().sum().sum(), len(facilities.companies)) == (15_778, 1216)
    assert firms.rejected.empty
    assert facilities.rejected.empty
    totals = raw("ghgrp", "facilities.csv.gz").groupby("year")["total_emissions"].sum()
    np.testing.assert_allclose(by_year(facilities), totals, rtol=1e-12)
    np.testing.assert_allclose(by_year(firms), totals, rtol=1e-12)
    assert firms.statics.loc["MMM"].to_dict() == {"sector": "Industrials", "country": "US"}
    assert facilities.statics.loc["1003188"].to_dict() == {"sector": "326", "country": "US"}


def test_countries_and_what_was_left_out_sum_to_the_world():
    name = "GCB2025v15_MtCO2_flat.csv.gz"
    panel = data.read_gcb(dataset_file("gcb", name))
    assert panel.rejected.empty
    assert (panel.years[0], panel.years[-1]) == (1750, 2024)
    rows = raw("gcb", name).pivot(index="Country", columns="Year", values="Total") * 1e6
    left_out = rows.loc[["International Aviation", "International Shipping", "Kuwaiti Oil Fires"]].sum()
    np.testing.assert_allclose(by_year(panel) + left_out, rows.loc["Global"], rtol=1e-7)
    assert "Global" not in panel.companies
    assert panel.statics.loc["Türkiye", "country"] == "TUR"
    assert panel.statics.loc["Namibia", "country"] == "NAM"
    assert (panel.emissions == 0).sum().sum() == (rows.drop(["Global", *left_out_names(rows)]) == 0).sum().sum()


def left_out_names(rows):
    return [name for name in rows.index if name.startswith("International ") or name == "Kuwaiti Oil Fires"]


def test_world_drivers():
    values = data.read_world_drivers(folder("drivers", "eua_year_eur_t.csv")).values
    assert list(values.columns) == ["world_gdp_usd", "brent_usd_bbl", "eua_eur_t"]
    assert list(values.index) == list(range(1960, 2024))
    assert values.loc[2022].to_list() == [101225059591362.84, 100.93, 80.9]
    assert values.loc[2007, "eua_eur_t"] == 0
    assert values.loc[2004].isna().to_list() == [False, False, True]


def test_us_drivers_are_means_of_whole_years():
    where = folder("drivers", "fred_GDP.csv.gz")
    values = data.read_us_drivers(where).values
    assert values.index[0] == 2015
    months = pd.read_csv(where / "fred_CPIAUCSL.csv.gz")
    of_2016 = months[months["DATE"].str.startswith("2016")]["CPIAUCSL"]
    assert len(of_2016) == 12
    assert values.loc[2016, "us_cpi"] == pytest.approx(of_2016.mean())
    # Three quarters of 2025, and one month of 2026, are no years.
    assert math.isnan(values.loc[2025, "us_gdp_usd_bn"])
    assert 2026 not in values.index


def test_m3():
    panel, future = data.read_m3(dataset_file("m3_yearly", "m3_yearly.csv.gz"))
    assert (len(panel.companies), panel.years[-1], future.shape) == (645, 0, (645, 6))
    assert panel.emissions.notna().sum().sum() + future.size == 18_319
    assert panel.emissions[0].notna().all()
    first = panel.emissions.loc["N0001"].dropna()
    assert list(first.index) == list(range(-13, 1))
    assert (first.iloc[0], first.iloc[-1]) == (940.66, 4936.99)
    np.testing.assert_array_equal(future[0], [5379.75, 6158.68, 6876.58, 7851.91, 8407.84, 9156.01])
    assert panel.statics.loc["N0001", "sector"] == "MICRO"
    # Naive, as published: MASE 3.172 (Hyndman, M3 yearly).
    scale = panel.emissions.diff(axis=1).abs().mean(axis=1).to_numpy()
    assert np.abs(future - panel.emissions[[0]].to_numpy()).mean(axis=1) @ (1 / scale) / 645 == pytest.approx(
        3.172, abs=0.001
    )
