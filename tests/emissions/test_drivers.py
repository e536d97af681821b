"""Drivers: what is known when, growth by hand, scenarios, and files that are wrong."""

import math

import numpy as np
import pandas as pd
import pytest

from sciml_zoo.emissions.drivers import Drivers, read_drivers
from sciml_zoo.errors import InputError


def drivers(years=range(2001, 2005), known=(), **columns):
    return Drivers(pd.DataFrame(columns, index=pd.Index(years, name="year")), frozenset(known))


def test_the_future_is_hidden_unless_it_is_known():
    seen = drivers(gdp=[1.0, 2.0, 3.0, 4.0], cap=[9.0, 8.0, 7.0, 6.0], known=["cap"]).until(2002)
    np.testing.assert_array_equal(seen.values["gdp"], [1, 2, math.nan, math.nan])
    np.testing.assert_array_equal(seen.values["cap"], [9, 8, 7, 6])
    assert list(drivers(gdp=[1.0, 2.0, 3.0, 4.0]).until(2002).values.index) == [2001, 2002]


def test_growth_by_hand_also_of_a_price_that_fell_to_nothing():
    growth = drivers(gdp=[100.0, 110.0, math.nan, 120.0], price=[7.5, 0.0, 0.5, 16.0]).growth()
    np.testing.assert_allclose(growth["gdp"], [math.nan, math.log(1.1), math.nan, math.nan], rtol=1e-12)
    np.testing.assert_allclose(growth["price"], [math.nan, -math.log(7.5), 0, math.log(16)], rtol=1e-12)


def test_a_scenario_replaces_later_years_and_is_known():
    base = drivers(gdp=[1.0, 2.0, 3.0, 4.0], price=[5.0, 6.0, 7.0, 8.0])
    world = base.replaced(drivers(range(2003, 2007), price=[50.0, math.nan, 70.0, 80.0]))
    assert list(world.values.index) == list(range(2001, 2007))
    nan = math.nan
    np.testing.assert_array_equal(world.values["price"], [5, 6, 50, nan, 70, 80])
    np.testing.assert_array_equal(world.values["gdp"], [1, 2, 3, 4, nan, nan])
    np.testing.assert_array_equal(world.until(2002).values["price"], [5, 6, 50, nan, 70, 80])
    assert world.until(2002).values["gdp"].isna().sum() == 4
    np.testing.assert_array_equal(base.values["price"], [5, 6, 7, 8])


def test_a_shorter_scenario_leaves_nothing_of_the_old_future():
    world = drivers(price=[5.0, 6.0, 7.0, 8.0]).replaced(drivers([2003], price=[1.0]))
    np.testing.assert_array_equal(world.values["price"], [5, 6, 1, math.nan])


def test_a_scenario_of_an_unknown_driver():
    with pytest.raises(InputError, match=r"no driver 'prise'; did you mean 'price'\?"):
        drivers(price=[1.0, 1.0, 1.0, 1.0]).replaced(drivers(prise=[1.0, 1.0, 1.0, 1.0]))


def test_a_file_out_of_order_with_holes(tmp_path):
    path = tmp_path / "drivers.csv"
    path.write_text("year,gdp,price\n2004,4,\n2001,1,0.0\n")
    read = read_drivers(path)
    expected = drivers(gdp=[1.0, math.nan, math.nan, 4.0], price=[0.0, math.nan, math.nan, math.nan])
    pd.testing.assert_frame_equal(read.values, expected.values)
    assert not read.known_future


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gdp\n1\n", "no column 'year'"),
        ("year\n2001\n", "no driver"),
        ("year,gdp\n", "no driver"),
        ("year,gdp\n2001,1\n2002,high\n", "line 3: gdp: 'high' is not a number from 0 on"),
        ("year,gdp\n2001,-1\n", "line 2: gdp: '-1' is not a number from 0 on"),
        ("year,gdp\n2001,inf\n", "line 2: gdp: 'inf' is not a number from 0 on"),
        ("year,gdp\n2001,1\n2001,2\n", "line 3: the year 2001 stands there twice"),
        ("year,gdp\n2001-01,1\n", "line 2: '2001-01' is not a year"),
        ("year,gdp\n,1\n", "line 2: '' is not a year"),
        ("year,gdp\n1e300,1\n", "line 2: '1e300' is not a year"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, message):
    path = tmp_path / "drivers.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"drivers.csv.*{message}"):
        read_drivers(path)
