"""Drivers of companies' own: read, hidden, learned where they matter, and felt in a forecast."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from sciml_zoo.emissions.company_drivers import CompanyResponse, company_growth
from sciml_zoo.emissions.drivers import Drivers, read_drivers
from sciml_zoo.emissions.estimator import NeuralForecaster, default_trainer
from sciml_zoo.emissions.model import EmissionsForecasterConfig
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.synthetic import synthetic_panel
from sciml_zoo.errors import InputError

SLOPE = 0.8


def driven(companies: int = 150, years: int = 14) -> Panel:
    """A panel whose emissions follow each company's own output, which is known for some years more."""
    panel = synthetic_panel(companies, years, seed=2)
    emissions = panel.emissions.ffill(axis=1).bfill(axis=1)
    rng = np.random.default_rng(0)
    output = 100 * np.exp(0.2 * rng.standard_normal((len(emissions), years + 3)).cumsum(axis=1))
    table = pd.DataFrame(output, emissions.index, range(panel.years[0], panel.years[-1] + 4))
    moved = emissions * (table[panel.years] / 100) ** SLOPE
    drivers = Drivers(pd.DataFrame(index=table.columns), by_company={"output": table})
    return Panel(moved, panel.statics.loc[moved.index], drivers)


def quick(panel: Panel) -> NeuralForecaster:
    trainer = dataclasses.replace(default_trainer(), max_steps=10, batch_size=256, validate_every=10, accelerator="cpu")
    shape = EmissionsForecasterConfig(members=1, hidden=4, horizon=3)
    return NeuralForecaster(shape, trainer=trainer, validation_fraction=0.3).fit(panel)


def test_a_planted_response_is_learned_and_shrunk_where_years_are_few() -> None:
    def slope(years: int) -> float:
        response = CompanyResponse(1)
        panel = driven(years=years)
        response.fit(panel.until(panel.years[-1]), ["output"])
        return float(response.slope)

    # As if five more years had shown none: of T years' changes, T / (T + 5) is believed.
    for years in (40, 5):
        changes = years - 1
        assert slope(years) == pytest.approx(SLOPE * changes / (changes + 5), abs=0.06)


def test_a_shift_is_the_sum_of_the_years_growth_beyond_the_usual() -> None:
    response = CompanyResponse(2)
    response.slope.copy_(torch.tensor([0.5, -1.0]))
    response.typical.copy_(torch.tensor([0.1, 0.0]))
    growth = torch.tensor([[[0.3, 0.2], [0.1, float("nan")]]], dtype=torch.float64)
    torch.testing.assert_close(response.shift(growth)[0], torch.tensor([0.1 - 0.2, 0.1 - 0.2], dtype=torch.float64))


def test_a_known_future_moves_a_companys_forecast_and_an_unknown_one_does_not() -> None:
    panel = driven()
    forecaster = quick(panel.until(panel.years[-1]))
    origin, horizon = panel.years[-1], 3

    def log_median(**options: Drivers) -> np.ndarray:
        known = panel.until(origin)
        return np.log(forecaster.predict(known, horizon, samples=64, **options).median)

    assert panel.drivers is not None
    told = log_median(drivers=panel.drivers) - log_median()
    growth = company_growth(panel.drivers, ["output"], panel.companies, range(origin + 1, origin + 1 + horizon))
    response = forecaster.network.response
    expected = response.shift(torch.from_numpy(growth)).numpy()
    np.testing.assert_allclose(told, expected, atol=1e-4)
    assert np.abs(expected).mean() > 0.1
    # A future that is known, such as a legislated one, is used unasked, and survives the origin.
    legislated = dataclasses.replace(
        panel, drivers=dataclasses.replace(panel.drivers, known_future=frozenset({"output"}))
    )
    unasked = np.log(forecaster.predict(legislated.until(origin), horizon, samples=64).median)
    np.testing.assert_allclose(unasked - log_median(), expected, atol=1e-4)


def test_the_past_alone_is_seen_by_training() -> None:
    panel = driven()
    origin = panel.years[-3]
    changed = {"output": panel.drivers.by_company["output"].copy()}
    changed["output"].loc[:, origin + 1 :] *= 7
    other = dataclasses.replace(panel, drivers=dataclasses.replace(panel.drivers, by_company=changed))
    for one, two in zip(
        *(quick(each.until(origin)).network.state_dict().values() for each in (panel, other)), strict=True
    ):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_a_file_of_companies_own_drivers(tmp_path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("company,year,output\nNA,2020,5\nNA,2022,7\n007,2021,\n")
    read = read_drivers(path)
    assert read.names == ["output"]
    assert read.by_company["output"].loc["NA"].tolist()[::2] == [5, 7]
    assert read.given([2021]) == []
    assert read.given([2022]) == ["output"]
    assert read.until(2021).given([2022]) == []
    path.write_text("company,year,output\nNA,2020,5\nNA,2020,6\n")
    with pytest.raises(InputError, match=r"own.csv, line 3: the year 2020 of 'NA' stands there twice"):
        read_drivers(path)


def test_a_driver_of_the_wrong_kind_is_refused() -> None:
    panel = driven(60)
    forecaster = quick(panel.until(panel.years[-1]))
    shared = Drivers(pd.DataFrame({"output": [1.0]}, index=[panel.years[-1] + 1]))
    with pytest.raises(InputError, match="give a column company"):
        forecaster.predict(panel.until(panel.years[-1]), 1, drivers=shared)
