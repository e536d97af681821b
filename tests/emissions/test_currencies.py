"""Exchange: exact at given rates, and never without one."""

import pandas as pd
import pytest

from sciml_zoo.emissions.currencies import convert, read_rates
from sciml_zoo.errors import InputError

TABLE = pd.DataFrame(
    {
        "company": ["A", "B", "C"],
        "year": [2020, 2020, 2021],
        "currency": ["EUR", "USD", "GBP"],
        "value": [100.0, 100.0, float("nan")],
    }
)


@pytest.fixture
def rates(tmp_path):
    def read(text, base="EUR"):
        path = tmp_path / "rates.csv"
        path.write_text(text)
        return read_rates(path, base)

    return read


def test_rates_are_units_of_the_base(rates):
    converted = convert(TABLE, ["value"], "EUR", rates("currency,rate\nUSD,0.5\nGBP,1.25\n"))
    assert converted["value"].tolist()[:2] == [100, 50]
    assert converted["currency"].unique().tolist() == ["EUR"]
    assert converted["value"].isna().tolist() == [False, False, True]


def test_cross_rates_and_the_way_back(rates):
    known = rates("currency,rate\nEUR,1\nUSD,0.5\nGBP,1.25\n")
    pounds = convert(TABLE, ["value"], "GBP", known)
    assert pounds["value"].tolist()[:2] == pytest.approx([80, 40])
    back = convert(pounds, ["value"], "EUR", known)
    assert back["value"].tolist()[:2] == pytest.approx([100, 50])


def test_the_rate_of_the_amounts_year(rates):
    known = rates("currency,rate,year\nUSD,0.5,2020\nUSD,0.8,2021\n")
    table = TABLE.assign(currency="USD", value=10.0)
    assert convert(table, ["value"], "EUR", known)["value"].tolist() == [5, 5, 8]
    with pytest.raises(InputError, match=r"no rate from USD to EUR in 2019, needed for 'A', 'B', 'C'.*--rates"):
        convert(table.assign(year=2019), ["value"], "EUR", known)


def test_rates_may_go_on_after_a_year_and_not_before(rates):
    known = rates("currency,rate,year\nUSD,0.5,2018\nUSD,0.8,2021\nGBP,1.2,2019\n").continued(2019, 2022)
    dollars, pounds = ([known.of(code, year) for year in range(2018, 2024)] for code in ("USD", "GBP"))
    assert dollars == pytest.approx([0.5, float("nan"), 0.5, 0.8, 0.8, float("nan")], nan_ok=True)
    assert pounds == pytest.approx([float("nan"), 1.2, 1.2, 1.2, 1.2, float("nan")], nan_ok=True)
    undated = rates("currency,rate\nUSD,0.5\n")
    assert undated.continued(2019, 2022) == undated


def test_the_same_currency_needs_no_rate():
    pd.testing.assert_frame_equal(convert(TABLE[:1], ["value"], "EUR", None), TABLE[:1])


def test_a_missing_rate_names_currency_and_company(rates):
    with pytest.raises(InputError, match=r"USD to EUR in 2020, needed for 'B':.*--rates FILE"):
        convert(TABLE, ["value"], "EUR", None)
    with pytest.raises(InputError, match="GBP to EUR in 2021, needed for 'C'"):
        convert(TABLE, ["value"], "EUR", rates("currency,rate\nUSD,0.5\n"))
    # The rates count in euros: they say nothing of francs.
    with pytest.raises(InputError, match="EUR to CHF"):
        convert(TABLE, ["value"], "CHF", rates("currency,rate\nUSD,0.5\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("currency,rate\nUSD,0\n", r"line 2: rate '0' is not a positive number"),
        ("currency,rate\nUSD,\n", r"line 2: rate '' is not a positive number"),
        ("currency,rate\nUSD,0.5\nusd,0.5\n", r"line 3: currency 'usd' is not an ISO 4217 code"),
        ("currency,rate\nEUR,0.5\n", r"line 2: rate '0.5' is of EUR.*must be 1"),
        ("currency,rate\nUSD,1\nGBP,1\nUSD,2\n", r"line 4: the same currency, year as .*line 2"),
        ("currency,rate,year\nUSD,1,2020\nUSD,1,\n", r"line 3: year '' is not a year"),
        ("currency\nUSD\n", r"no column 'rate'"),
    ],
)
def test_bad_rates(rates, text, message):
    with pytest.raises(InputError, match=message):
        rates(text)
