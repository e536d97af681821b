"""Units: every common spelling, none that can be read in two ways, and tables of mixed units."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from sciml_zoo.emissions.units import to_tonnes, tonnes_per
from sciml_zoo.errors import InputError

MASSES = {"kg": 1e-3, "t": 1.0, "kt": 1e3, "Mt": 1e6, "Gt": 1e9}
GASES = ["CO2", "CO2e", "CO2eq", "CO2-e", "CO2-eq", "CO₂e", "co2e", "CO2 equivalent"]


@pytest.mark.parametrize(("mass", "tonnes"), MASSES.items())
def test_every_mass_with_every_gas(mass, tonnes):
    assert tonnes_per(mass) == tonnes
    for gas, gap in itertools.product(GASES, ["", " "]):
        assert tonnes_per(mass + gap + gas) == tonnes


def test_words():
    words = {
        "tonnes": 1,
        "Tonnes of CO2e": 1,
        "metric tons CO2e": 1,
        "thousand t CO2e": 1e3,
        "Millions t CO2e": 1e6,
        "million tonnes": 1e6,
        "MMT CO2e": 1e6,
        "megatonnes": 1e6,
        "billion metric tons": 1e9,
        " kt ": 1e3,
    }
    assert {word: tonnes_per(word) for word in words} == words


@pytest.mark.parametrize("unit", ["mt", "MT", "mt CO2e", "MTCO2e", "tons", "ton CO2", "million tons"])
def test_what_can_be_read_in_two_ways_is_refused(unit):
    with pytest.raises(InputError, match=f"ambiguous unit {unit!r}"):
        tonnes_per(unit)


@pytest.mark.parametrize(
    "unit", ["GWh", "t CH4", "t CO2e/MWh", "t C", "", "CO2e", "lb", "g CO2e", "some t", "T", "GWh CO2"]
)
def test_what_is_no_mass_of_co2_is_refused_and_the_right_ones_named(unit):
    with pytest.raises(InputError, match=f"unknown unit of emissions {unit!r}; write kg, t, kt, Mt or Gt"):
        tonnes_per(unit)


def test_each_value_is_converted_in_its_own_unit_or_has_a_reason():
    values = ["1.5", "0", "", "n/a", "Excluded", "-1", "inf", "1_000", "7", "8", "NaN"]
    units = ["kt", "Mt", "GWh", "t", "t", "t", "t", "t", "GWh", "", ""]
    table = to_tonnes(pd.Series(values), pd.Series(units))
    np.testing.assert_array_equal(table["tonnes"], [1500, 0] + 9 * [math.nan])
    reasons = ["", "", "", "", "'Excluded' is not a number", "negative", "infinite", "'1_000' is not a number"]
    assert list(table["reason"][:8]) == reasons
    assert table["reason"][8].startswith("unknown unit of emissions 'GWh'")
    assert list(table["reason"][9:]) == ["no unit", ""]


def test_numbers_are_taken_as_they_are():
    table = to_tonnes(pd.Series([0.1, math.nan, -2.0]), pd.Series(["Mt", "t", "t"]))
    np.testing.assert_array_equal(table["tonnes"], [100_000, math.nan, math.nan])
    assert list(table["reason"]) == ["", "", "negative"]
