"""The tables: keys byte for byte, tonnes, and every bad cell with its place, refused or listed as unknown."""

import numpy as np
import pandas as pd
import pytest

from sciml_zoo.emissions.holdings import (
    ASSET_CLASSES,
    CompanyFigures,
    read_emissions,
    read_financials,
    read_holdings,
    read_targets,
)
from sciml_zoo.errors import InputError

HOLDINGS = "company,value,currency,asset_class\n"
FINANCIALS = "company,year,evic,equity,debt,revenue,currency\n"
EMISSIONS = "company,year,scope,emissions,unit,data_quality\n"
TARGETS = "company,year,scope,emissions,unit\n"
READERS = {
    HOLDINGS: read_holdings,
    FINANCIALS: read_financials,
    EMISSIONS: read_emissions,
    TARGETS: read_targets,
}


@pytest.fixture
def read(tmp_path):
    def read(header, *rows, **options):
        path = tmp_path / "table.csv"
        path.write_bytes((header + "".join(f"{row}\n" for row in rows)).encode())
        return READERS[header](path, **options)

    return read


def rejected(figures):
    assert list(figures.rejected.columns) == ["place", "company", "year", "column", "value", "reason"]
    return [tuple(row)[1:] for row in figures.rejected.itertuples(index=False)]


def test_keys_come_back_byte_for_byte(read):
    keys = ["NA", "0", "02806440604", " Söhne ", "null", "1e3", "a,b"]
    table = read(HOLDINGS, *(f'"{key}",1,EUR,listed_equity' for key in keys))
    assert table["company"].tolist() == keys


def test_a_company_may_be_held_twice(read):
    table = read(HOLDINGS, "A,1.5,EUR,listed_equity", "A,2,USD,corporate_bonds")
    assert table["value"].tolist() == [1.5, 2]
    assert table["currency"].tolist() == ["EUR", "USD"]


def test_the_short_words_for_asset_classes(read):
    table = read(HOLDINGS, "A,1,EUR,listed", "B,1,EUR,private", *(f"C,1,EUR,{name}" for name in ASSET_CLASSES))
    assert table["asset_class"].tolist() == ["listed_equity", "business_loans", *ASSET_CLASSES]


def test_units_become_tonnes_row_by_row(read):
    table = read(EMISSIONS, "A,2020,1,2,kt CO2e,1", "A,2020,2,3,t,", "A,2020,3,4,Mt,5", "B,2020,1,,kt,2").table
    np.testing.assert_array_equal(table["emissions"], [2e3, 3, 4e6, np.nan])
    assert table["unit"].unique().tolist() == ["t"]
    np.testing.assert_array_equal(table["data_quality"], [1, np.nan, 5, 2])


def test_empty_figures_are_unknown_and_equity_may_be_negative(read):
    figures = read(FINANCIALS, "A,2020,,-5,10,0,EUR", "A,2021,7,,,,EUR")
    np.testing.assert_array_equal(figures.table["evic"], [np.nan, 7])
    np.testing.assert_array_equal(figures.table["revenue"], [0, np.nan])
    assert figures.table["equity"][0] == -5
    assert rejected(figures) == []
    assert figures.warnings == []


@pytest.mark.parametrize(
    ("header", "row", "column", "reason"),
    [
        (FINANCIALS, "A,2020,0,1,1,1,EUR", "evic", "is not above 0"),
        (FINANCIALS, "A,2020,-2,1,1,1,EUR", "evic", "is not above 0"),
        (FINANCIALS, "A,2020,n/a,1,1,1,EUR", "evic", "is not a number"),
        (FINANCIALS, "A,2020,inf,1,1,1,EUR", "evic", "is not a number"),
        (FINANCIALS, "A,2020,1,?,1,1,EUR", "equity", "is not a number"),
        (FINANCIALS, "A,2020,1,1,-1,1,EUR", "debt", "is below 0"),
        (FINANCIALS, "A,2020,1,1,1,-1,EUR", "revenue", "is below 0"),
        (EMISSIONS, "A,2020,1,Excluded,t,1", "emissions", "is not a number"),
        (EMISSIONS, "A,2020,1,-1,t,1", "emissions", "is below 0; removals are reported apart"),
        (EMISSIONS, "A,2020,1,1,t,6", "data_quality", "is not one of PCAF's scores 1 to 5"),
        (EMISSIONS, "A,2020,1,1,t,2.5", "data_quality", "is not one of PCAF's scores 1 to 5"),
    ],
)
def test_a_figure_that_cannot_be_meant_is_unknown_and_listed(read, header, row, column, reason):
    good = {FINANCIALS: "A,2019,1,1,1,1,EUR", EMISSIONS: "A,2019,1,1,t,1"}[header]
    figures = read(header, good, row)
    value = row.split(",")[header.strip().split(",").index(column)]
    assert rejected(figures) == [("A", 2020, column, value, reason)]
    assert figures.rejected["place"][0].endswith("table.csv, line 3")
    unknown = figures.table.select_dtypes("number").isna()
    assert unknown.to_numpy().sum() == 1
    assert unknown[column].tolist() == [False, True]
    (warning,) = figures.warnings
    assert f"line 3, company 'A', year 2020: {column} '{value}' {reason}" in warning


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (FINANCIALS, "B,2020,0,1,1,1,EUR"),
        (FINANCIALS, "B,soon,1,1,1,1,EUR"),
        (FINANCIALS, "B,2020,1,1,1,1,euro"),
        (FINANCIALS, ",2020,1,1,1,1,EUR"),
        (EMISSIONS, "B,2020,1,Excluded,t,2"),
        (EMISSIONS, "B,2020,1,1,barrels,2"),
        (EMISSIONS, "B,2020,1+2,1,t,2"),
        (EMISSIONS, "B,,1,1,t,2"),
    ],
)
def test_rows_of_companies_not_held_are_counted_and_cannot_fail(read, header, row):
    good = {FINANCIALS: "A,2020,1,1,1,1,EUR", EMISSIONS: "A,2020,1,1,t,1"}[header]
    figures = read(header, good, row, row.replace("2020", "2021"), held=["A"])
    assert figures.table["company"].tolist() == ["A"]
    assert rejected(figures) == []
    assert figures.passed_over == 2
    (warning,) = figures.warnings
    assert "2 rows of companies not held" in warning


def test_what_a_warning_does_not_name_it_counts(read):
    (warning,) = read(EMISSIONS, *(f"A,{year},1,Excluded,t,1" for year in range(2000, 2009))).warnings
    assert warning.startswith("9 values of companies held not taken")
    assert warning.count("Excluded") == 5
    assert warning.endswith("and 4 more")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (HOLDINGS, "A,1,EUR,listed_equity"),
        (FINANCIALS, "A,2020,,1.1,10,3,EUR"),
        (EMISSIONS, "A,2020,1,0.1,kt,1"),
        (TARGETS, "A,2030,1,0.1,kt"),
    ],
)
def test_reading_again_changes_nothing(read, header, row):
    tables = [read(header, row)]
    tables.append(READERS[header](tables[0].table if isinstance(tables[0], CompanyFigures) else tables[0]))
    first, again = (one.table if isinstance(one, CompanyFigures) else one for one in tables)
    pd.testing.assert_frame_equal(again, first)


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
        (FINANCIALS, "A,2020.5,1,1,1,1,EUR", r"year '2020.5' is not a year"),
        (EMISSIONS, "A,2020,4,1,t,1", r"scope '4' is not known; valid names: 1, 2, 3"),
        (EMISSIONS, "A,2020,1,1,barrels,1", r"unit 'barrels' cannot be converted to tonnes"),
        (FINANCIALS, "A,2020,1,1,1,1,euro", r"currency 'euro' is not an ISO 4217 code"),
        (TARGETS, "A,2030,1,0,t", r"emissions '0' is not above 0; give the tonnes that remain"),
        (TARGETS, "A,2030,1,none,t", r"emissions 'none' is not a number"),
        (TARGETS, "A,2030,1+2,1,t", r"scope '1\+2' is not known"),
    ],
)
def test_a_bad_cell_is_named_with_its_place(read, header, row, message):
    good = {
        HOLDINGS: "B,1,EUR,listed_equity",
        FINANCIALS: "B,2020,1,1,1,1,EUR",
        EMISSIONS: "B,2020,1,1,t,1",
        TARGETS: "B,2030,1,1,t",
    }[header]
    with pytest.raises(InputError, match=rf"table\.csv, line 3(, company 'A')?.*: {message}") as error:
        read(header, good, row)
    assert ("company 'A'" in str(error.value)) == row.startswith("A")


def test_repeated_rows_name_both(read):
    with pytest.raises(InputError, match=r"line 4.*the same company, year, scope as .*line 2; keep one"):
        read(EMISSIONS, "A,2020,1,1,t,1", "A,2020,2,1,t,1", "A,2020,1,5,kt,1")
    with pytest.raises(InputError, match=r"line 3.*the same company, year as .*line 2"):
        read(FINANCIALS, "A,2020,1,1,1,1,EUR", "A,2020,2,1,1,1,EUR")
    with pytest.raises(InputError, match=r"line 3.*the same company, year, scope as .*line 2"):
        read(TARGETS, "A,2030,1,1,t", "A,2030,1,1,t")


def test_a_row_that_says_the_same_again_is_listed(read):
    figures = read(EMISSIONS, "A,2020,1,2.3,kt,1", "A,2020,1,2300,t,1")
    assert figures.table["emissions"].tolist() == [2300]
    assert [row[:3] for row in rejected(figures)] == [("A", 2020, "scope")]
    assert "and figures, as" in figures.rejected["reason"][0]
    figures = read(FINANCIALS, "A,2020,,1,1,1,EUR", "A,2020,,1,1,1,EUR")
    assert len(figures.table) == len(figures.rejected) == 1


def test_targets_without_unit_or_scope_are_tonnes_of_the_only_one(tmp_path):
    path = tmp_path / "targets.csv"
    path.write_text("company,year,emissions\nA,2030,5\n")
    assert read_targets(path).to_dict("records") == [{"company": "A", "year": 2030, "emissions": 5.0, "scope": ""}]


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
