"""The three tables: keys byte for byte, tonnes, and every bad cell with its place."""

import numpy as np
import pandas as pd
import pytest

from sciml_zoo.emissions.holdings import read_emissions, read_financials, read_holdings
from sciml_zoo.errors import InputError

HOLDINGS = "company,value,currency,asset_class\n"
FINANCIALS = "company,year,evic,equity,debt,revenue,currency\n"
EMISSIONS = "company,year,scope,emissions,unit,data_quality\n"
READERS = {HOLDINGS: read_holdings, FINANCIALS: read_financials, EMISSIONS: read_emissions}


@pytest.fixture
def read(tmp_path):
    def read(header, *rows):
        path = tmp_path / "table.csv"
        path.write_bytes((header + "".join(f"{row}\n" for row in rows)).encode())
        return READERS[header](path)

    return read


def test_keys_come_back_byte_for_byte(read):
    keys = ["NA", "0", "02806440604", " Söhne ", "null", "1e3", "a,b"]
    table = read(HOLDINGS, *(f'"{key}",1,EUR,listed_equity' for key in keys))
    assert table["company"].tolist() == keys


def test_a_company_may_be_held_twice(read):
    table = read(HOLDINGS, "A,1.5,EUR,listed_equity", "A,2,USD,corporate_bonds")
    assert table["value"].tolist() == [1.5, 2]
    assert table["currency"].tolist() == ["EUR", "USD"]


def test_units_become_tonnes_row_by_row(read):
    table = read(EMISSIONS, "A,2020,1,2,kt CO2e,1", "A,2020,2,3,t,", "A,2020,3,4,Mt,5", "B,2020,1,,kt,2")
    np.testing.assert_array_equal(table["emissions"], [2e3, 3, 4e6, np.nan])
    assert table["unit"].unique().tolist() == ["t"]
    np.testing.assert_array_equal(table["data_quality"], [1, np.nan, 5, 2])


def test_empty_figures_are_unknown_and_revenue_may_be_negative(read):
    table = read(FINANCIALS, "A,2020,,-5,10,-3,EUR", "A,2021,7,,,,EUR")
    np.testing.assert_array_equal(table["evic"], [np.nan, 7])
    np.testing.assert_array_equal(table["revenue"], [-3, np.nan])
    assert table["equity"][0] == -5


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (HOLDINGS, "A,1,EUR,listed_equity"),
        (FINANCIALS, "A,2020,,1.1,10,3,EUR"),
        (EMISSIONS, "A,2020,1,0.1,kt,1"),
    ],
)
def test_reading_again_changes_nothing(read, header, row):
    table = read(header, row)
    pd.testing.assert_frame_equal(READERS[header](table), table)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (HOLDINGS, "A,x,EUR,listed_equity", r"value 'x' is not a number"),
        (HOLDINGS, "A,inf,EUR,listed_equity", r"value 'inf' is not a number"),
        (HOLDINGS, "A,,EUR,listed_equity", r"value '' says nothing"),
        (HOLDINGS, "A,-1,EUR,listed_equity", r"value '-1' is a short position"),
        (HOLDINGS, "A,1,euro,listed_equity", r"currency 'euro' is not an ISO 4217 code"),
        (HOLDINGS, "A,1,EUR,listed_equities", r"asset_class 'listed_equities' .*did you mean 'listed_equity'"),
        (HOLDINGS, "A,1,EUR,", r"asset_class '' is not known; use listed_equity, corporate_bonds"),
        (HOLDINGS, ",1,EUR,listed_equity", r"company '' names no company"),
        (FINANCIALS, "A,2020,0,1,1,1,EUR", r"evic '0' is not above 0"),
        (FINANCIALS, "A,2020,1,1,-1,1,EUR", r"debt '-1' is below 0"),
        (FINANCIALS, "A,2020.5,1,1,1,1,EUR", r"year '2020.5' is not a year"),
        (FINANCIALS, "A,2020,n/a,1,1,1,EUR", r"evic 'n/a' is not a number; leave the cell empty"),
        (EMISSIONS, "A,2020,4,1,t,1", r"scope '4' is not known; valid names: 1, 2, 3"),
        (EMISSIONS, "A,2020,1,Excluded,t,1", r"emissions 'Excluded' is not a number"),
        (EMISSIONS, "A,2020,1,-1,t,1", r"emissions '-1' is below 0"),
        (EMISSIONS, "A,2020,1,1,barrels,1", r"unit 'barrels' cannot be converted to tonnes"),
        (EMISSIONS, "A,2020,1,1,t,6", r"data_quality '6' is not one of PCAF's scores"),
        (EMISSIONS, "A,2020,1,1,t,2.5", r"data_quality '2.5' is not one of PCAF's scores"),
    ],
)
def test_a_bad_cell_is_named_with_its_place(read, header, row, message):
    good = {
        HOLDINGS: "B,1,EUR,listed_equity",
        FINANCIALS: "B,2020,1,1,1,1,EUR",
        EMISSIONS: "B,2020,1,1,t,1",
    }[header]
    with pytest.raises(InputError, match=rf"table\.csv, line 3(, company 'A')?.*: {message}") as error:
        read(header, good, row)
    assert ("company 'A'" in str(error.value)) == row.startswith("A")


def test_repeated_rows_name_both(read):
    with pytest.raises(InputError, match=r"line 4.*the same company, year, scope as .*line 2; keep one"):
        read(EMISSIONS, "A,2020,1,1,t,1", "A,2020,2,1,t,1", "A,2020,1,5,kt,1")
    with pytest.raises(InputError, match=r"line 3.*the same company, year as .*line 2"):
        read(FINANCIALS, "A,2020,1,1,1,1,EUR", "A,2020,2,1,1,1,EUR")


def test_nothing_held(read):
    with pytest.raises(InputError, match="no rows"):
        read(HOLDINGS)
    with pytest.raises(InputError, match="worth 0"):
        read(HOLDINGS, "A,0,EUR,listed_equity")


def test_tables_in_memory_name_their_rows():
    table = pd.DataFrame({"company": ["A", "B"], "value": [1.0, -1.0], "currency": "EUR", "asset_class": "other"})
    with pytest.raises(InputError, match=r"holdings, row 1, company 'B': value '-1.0' is a short position"):
        read_holdings(table)
    with pytest.raises(InputError, match="company '5' is not text: read keys with dtype=str"):
        read_holdings(table.assign(company=5))
    with pytest.raises(InputError, match="holdings: no column 'asset_class'"):
        read_holdings(table.drop(columns="asset_class"))
