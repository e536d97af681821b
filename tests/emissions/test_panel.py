"""Panels: long and wide are one, keys survive byte for byte, and every value is either taken or reported."""

import gzip
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.emissions.panel import Panel, read_panel
from sciml_zoo.errors import InputError

few = settings(max_examples=60, deadline=None)
KEYS = ["NA", "0", "02806440604", "nan", "None", "1e3", "Ørsted A/S", " padded ", 'with "quotes", and\nlines', "TRUE"]


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.emissions, other.emissions)
    pd.testing.assert_frame_equal(one.statics, other.statics)


@st.composite
def panels(draw):
    rows = draw(
        st.dictionaries(
            st.tuples(st.sampled_from(KEYS), st.integers(1990, 2000)),
            st.floats(0, 1e12, allow_subnormal=False),
            min_size=1,
            max_size=40,
        )
    )
    sectors = {key: draw(st.sampled_from(["", "NA", "steel"])) for key in KEYS}
    table = [(key, year, value, sectors[key]) for (key, year), value in rows.items()]
    return Panel.from_long(pd.DataFrame(table, columns=["company", "year", "emissions", "sector"]))


@given(panels())
@few
def test_long_and_wide_there_and_back(panel):
    assert_same(Panel.from_long(panel.to_long()), panel)
    assert_same(Panel.from_wide(panel.to_wide()), panel)
    assert_same(Panel.from_wide(panel.to_wide().set_index("company")), panel)


@given(panels(), st.booleans())
@few
def test_files_keep_keys_and_numbers_as_they_are(tmp_path_factory, panel, compressed):
    path = tmp_path_factory.mktemp("panel") / "panel.csv"
    for table in (panel.to_long(), panel.to_wide()):
        text = table.to_csv(index=False).encode("utf-8-sig")
        path.write_bytes(gzip.compress(text) if compressed else text)
        assert_same(read_panel(path), panel)


def test_gaps_zeros_late_starts_and_exits_stay():
    frame = pd.DataFrame(
        [("A", 2001, 5.0), ("B", 2003, 0.0), ("A", 2004, 2.0), ("B", 2002, math.nan)],
        columns=["company", "year", "emissions"],
    )
    panel = Panel.from_long(frame)
    nan = math.nan
    np.testing.assert_array_equal(panel.values, [[5, nan, nan, 2], [nan, nan, 0, nan]])
    assert panel.companies == ["A", "B"]
    assert panel.years == [2001, 2002, 2003, 2004]
    assert panel.rejected.empty
    assert (panel.statics == "").all(axis=None)


def test_units_by_row_by_argument_and_by_default():
    frame = pd.DataFrame({"company": ["A", "A", "A"], "year": [1, 2, 3], "emissions": ["1", "2", "3"]})
    frame["year"] += 2000
    np.testing.assert_array_equal(Panel.from_long(frame).values, [[1, 2, 3]])
    np.testing.assert_array_equal(Panel.from_long(frame, unit="kt CO2e").values, [[1000, 2000, 3000]])
    frame["unit"] = ["t", "Mt", ""]
    panel = Panel.from_long(frame)
    np.testing.assert_array_equal(panel.values, [[1, 2e6]])
    assert list(panel.rejected["reason"]) == ["row 2: no unit"]
    np.testing.assert_array_equal(Panel.from_long(frame, unit="kt").values, [[1, 2e6, 3000]])


def test_the_latest_sector_and_country_that_are_named():
    frame = pd.DataFrame(
        [("A", 2003, 1, "new", ""), ("A", 2001, 1, "old", "DE"), ("A", 2004, 1, "", "")],
        columns=["company", "year", "emissions", "sector", "country"],
    )
    assert Panel.from_long(frame).statics.to_dict("index") == {"A": {"sector": "new", "country": "DE"}}


def test_every_bad_row_is_reported_with_company_year_and_line(tmp_path):
    path = tmp_path / "bad.csv"
    rows = [
        ("A", "2001", "1", "t", ""),
        ("A", "2002", "Excluded", "t", "line 3: 'Excluded' is not a number"),
        ("A", "2003", "-4", "t", "line 4: negative"),
        ("A", "2004", "inf", "t", "line 5: infinite"),
        ("A", "2005.5", "1", "t", "line 6: not a year from 1700 to 2200"),
        ("A", "20O6", "1", "t", "line 7: not a year from 1700 to 2200"),
        ("A", "3000", "1", "t", "line 8: not a year from 1700 to 2200"),
        ("", "2001", "1", "t", "line 9: no company"),
        ("A", "2007", "1", "mt", "line 10: ambiguous unit 'mt': metric or mega tonnes? write 't' or 'Mt'"),
        ("B", "2001", "2.3", "kt", ""),
        ("B", "2001", "2300", "t", "line 12: this company and year were given before, with the same value"),
        ("B", "2002", "1", "kt", "line 13: this company and year are given with different values"),
        ("B", "2002", "1", "t", "line 14: this company and year are given with different values"),
        ("B", "2003", "n/a", "GWh", ""),
        ("B", "2003", "0", "t", ""),
    ]
    text = "company,year,emissions,unit\n" + "".join(",".join(row[:4]) + "\n" for row in rows)
    path.write_text(text)
    panel = read_panel(path)
    expected = [(company, year, value, reason) for company, year, value, _, reason in rows if reason]
    assert [tuple(row) for row in panel.rejected.itertuples(index=False)] == expected
    np.testing.assert_array_equal(panel.values, [[1, math.nan, math.nan], [2300, math.nan, 0]])


def test_a_wide_file_reports_the_line_too(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("company,country,2001,2002,name\nA,DE,1,Excluded,x\n\nB,FR,,2,y\n")
    panel = read_panel(path)
    np.testing.assert_array_equal(panel.values, [[1, math.nan], [math.nan, 2]])
    assert panel.rejected.to_dict("records") == [
        {"company": "A", "year": "2002", "value": "Excluded", "reason": "line 2: 'Excluded' is not a number"}
    ]
    assert list(panel.statics["country"]) == ["DE", "FR"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"company,year,emissions\n", "no emissions that can be taken"),
        (b"company,year,emissions\nA,2001,Excluded\n", r"\('A' 2001: 'Excluded': line 2: 'Excluded' is not a number\)"),
        (b"firm,year,tonnes\nA,2001,1\n", "no column 'company', 'emissions'; the columns are: firm, year, tonnes"),
        (b"company,year,emissions\nA,2001\n", "line 2: 2 cells, where the header has 3"),
        (b"company,year,year,emissions\nA,2001,1,1\n", "the columns 'year' stand there twice"),
        (b"company,year,emissions\nA,2001,\xff\n", "not UTF-8 text"),
        (b"\x1f\x8bnot gzip", "cannot be read"),
    ],
)
def test_files_that_hold_no_panel(tmp_path, content, message):
    path = tmp_path / "panel.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"panel.csv.*{message}"):
        read_panel(path)


def test_tables_that_hold_no_panel(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        read_panel(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="no column is named by a year"):
        Panel.from_wide(pd.DataFrame({"company": ["A"], "first": [1.0]}))
    with pytest.raises(InputError, match=r"no column 'company'"):
        Panel.from_wide(pd.DataFrame({2001: [1.0]}))
    with pytest.raises(InputError, match=r"no company"):
        Panel.from_long(pd.DataFrame({"company": [None], "year": [2001], "emissions": [1.0]}))


@given(panels(), st.integers(1990, 2000))
@few
def test_what_was_known_at_the_end_of_a_year(panel, year):
    if year < panel.years[0]:
        with pytest.raises(InputError, match="the panel begins in"):
            panel.until(year)
        return
    long = panel.to_long()
    assert_same(Panel.from_long(long[long["year"] <= year]), _trimmed(panel.until(year)))


def _trimmed(panel):
    """Without the last years in which no company reports."""
    last = max(np.flatnonzero(~np.isnan(panel.values).all(axis=0)))
    return Panel(panel.emissions.iloc[:, : last + 1], panel.statics)


def test_companies_are_selected_by_key():
    panel = Panel.from_long(pd.DataFrame({"company": ["NA", "0"], "year": 2001, "emissions": [1.0, 2.0]}))
    assert panel.select(["0"]).companies == ["0"]
    with pytest.raises(InputError, match="not in the panel: 'x'"):
        panel.select(["NA", "x"])


def test_a_past_year_knows_only_what_had_been_named_by_then() -> None:
    rows = [("a", 2010, "Coal"), ("a", 2015, "Wind"), ("b", 2010, ""), ("b", 2012, "Steel"), ("c", 2010, "Paper")]
    frame = pd.DataFrame([(key, year, 1.0, sector) for key, year, sector in rows])
    panel = Panel.from_long(frame.set_axis(["company", "year", "emissions", "sector"], axis=1))
    assert list(panel.statics["sector"]) == ["Wind", "Steel", "Paper"]
    assert list(panel.until(2014).statics["sector"]) == ["Coal", "Steel", "Paper"]
    assert list(panel.until(2014).until(2011).statics["sector"]) == ["Coal", "", "Paper"]
    assert list(panel.select(["c", "a"]).until(2011).statics["sector"]) == ["Paper", "Coal"]


def test_later_rows_and_columns_are_passed_over(tmp_path: Path) -> None:
    long, wide = tmp_path / "long.csv", tmp_path / "wide.csv"
    long.write_text("company,year,emissions\nz,2015,1\na,2010,2\nz,2011,3\n")
    wide.write_text("company,2010,2011,2015\nz,,3,1\na,2,,\n")
    for path, companies in ((long, ["a", "z"]), (wide, ["z", "a"])):
        panel = read_panel(path, until=2014)
        assert panel.companies == companies
        assert panel.years == [2010, 2011]


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("company,year,emissions,units", "rename 'units' to 'unit'"),
        ("company,year,emissions, Unit", "rename ' Unit' to 'unit'"),
        ("company,year,emission", "no column 'emissions'.*rename 'emission' to 'emissions'"),
        ("company;year;emissions", "separate the columns by commas"),
    ],
)
def test_columns_that_would_be_passed_over_are_named(tmp_path: Path, header: str, hint: str) -> None:
    path = tmp_path / "panel.csv"
    path.write_text(f"{header}\n" + ",".join("a") + "," * header.count(",") + "\n")
    with pytest.raises(InputError, match=hint):
        read_panel(path)
