"""The ITR sample: what is preferred to what on rows made by hand, and the real one."""

import pandas as pd
import pytest

from sciml_zoo.datasets import dataset_file
from sciml_zoo.emissions.itr import read_itr

ESG = "company_name,company_lei,company_id,metric,submetric,boundary,unit,report_date,base_year,2019,2020\n"
FINANCIALS = "company_name,company_id,currency,fx_quote,fx_rate,report_date,market_cap,revenue,ev,evic,debt\n"
TARGETS = (
    "company_id,netzero_year,target_type,target_scope,target_base_year,target_base_year_qty,target_base_year_unit,"
    "target_year,target_reduction_ambition\n"
)


@pytest.fixture
def sample(tmp_path):
    def read(esg="A,,a,s1,,,t CO2e,44196,,1,\n", financials="A,a,EUR,,,44196,50,10,,60,\n"):
        (tmp_path / "esg.csv.gz").write_text(ESG + esg)
        (tmp_path / "financials.csv.gz").write_text(FINANCIALS + financials)
        (tmp_path / "portfolio.csv.gz").write_text("company_id,investment_value [EUR]\na,5.5\n")
        (tmp_path / "targets.csv.gz").write_text(TARGETS + "a,2050,absolute,S1+S2 ,2016,7,kt CO2e,2030,0.4\n")
        return read_itr(tmp_path)

    return read


def figures(sample):
    columns = ["company", "year", "scope", "emissions", "data_quality"]
    return [tuple(row) for row in sample.emissions[columns].itertuples(index=False)]


def test_a_total_before_parts_and_a_later_report_before_an_earlier_one(sample):
    read = sample(
        esg="A,,a,s1,,,kt CO2e,43830,,1,\n"
        ",,,s1,electricity,,kt CO2e,,,0.7,0.9\n"
        ",,,s1,gas,,t CO2e,,,300,200\n"
        "B,,b,s3,combined,,Mt CO2e,44196,,2,3\n"
        "B,,b,s3,total,,Mt CO2e,43830,,1,\n"
        ",,,s3,11,,Mt CO2e,,,9,\n"
        "A,,a,s1,Total ,,t CO2e,44196,,1100,\n"
    )
    expected = [
        ("a", 2019, "1", 1100, 2),
        ("a", 2020, "1", 1100, 3),
        ("b", 2019, "3", 2e6, 2),
        ("b", 2020, "3", 3e6, 2),
    ]
    assert figures(read) == expected
    assert read.rejected.empty


def test_location_before_market_and_the_whole_company_before_a_part_of_it(sample):
    read = sample(
        esg="A,,a,s2,market,,t CO2e,44196,,5,6\n"
        ",,,s2,location,,t CO2e,,,4,\n"
        ",,,s2,location-based,biogenic,t CO2e,,,,8\n"
        "B,,b,s1,,Global,t CO2e,44196,,10,\n"
        ",,,s1,,Korea,t CO2e,,,7,\n"
        "C,,c,s1,,parent,t CO2e,44196,,1,\n"
        ",,,s1,,subsidiaries,t CO2e,,,2,\n"
        ",,,s1,net,,t CO2e,,,99,\n"
        ",,,s1s2,,,t CO2e,,,77,\n"
    )
    assert figures(read) == [
        ("a", 2019, "2", 4, 2),
        ("a", 2020, "2", 6, 2),
        ("b", 2019, "1", 10, 2),
        ("c", 2019, "1", 3, 3),
    ]
    assert [tuple(row) for row in read.rejected.itertuples(index=False)] == [
        ("c", "2019", "99", "scope 1: neither a total nor a part of it"),
        ("a", "2020", "8", "scope 2: biogenic carbon, which stands outside the scopes"),
    ]


def test_what_is_no_emission_is_reported(sample):
    read = sample(esg="A,,a,s1,,,t CO2e,44196,,1,Excluded\nB,,b,s3,,,GWh,44196,,-1,2\n")
    assert figures(read) == [("a", 2019, "1", 1, 2)]
    rejected = read.rejected.set_index(["company", "year"])["reason"]
    assert rejected["a", "2020"] == "scope 1: 'Excluded' is not a number"
    assert rejected["b", "2019"] == "scope 3: negative"
    assert rejected["b", "2020"].startswith("scope 3: unknown unit of emissions 'GWh'")


def test_money_in_euros(sample):
    read = sample(
        financials="A,a,USD,EUR,0.5,44196,100,10,,120,30\n"
        "B,b,megaEUR,EUR,1000000,44561,7,8,,9,\n"
        "C,c,EUR,,,44926,1,5,,1,\n"
        "D,d,CHF,,,44926,50,5,,60,\n"
        "E,e,EUR,,,,0,,,x,\n"
    )
    rows = read.financials.astype(object).where(read.financials.notna(), None)
    assert [tuple(row) for row in rows.itertuples(index=False)] == [
        ("a", 2020, 60, 50, 15, 5, "EUR"),
        ("b", 2021, 9e6, 7e6, None, 8e6, "EUR"),
        ("c", 2022, None, None, None, 5, "EUR"),
    ]
    assert {tuple(row) for row in read.rejected.itertuples(index=False)} == {
        ("c", "2022", "1", "evic: stands for an unknown amount"),
        ("c", "2022", "1", "equity: stands for an unknown amount"),
        ("d", "2022", "60", "evic: not a number, or no exchange rate"),
        ("d", "2022", "50", "equity: not a number, or no exchange rate"),
        ("d", "2022", "5", "revenue: not a number, or no exchange rate"),
        ("e", "", "x", "evic: no report date"),
        ("e", "", "0", "equity: no report date"),
    }


def test_holdings_and_targets(sample):
    read = sample()
    expected = {"company": "a", "value": 5.5, "currency": "EUR", "asset_class": "listed_equity"}
    assert read.holdings.to_dict("records") == [expected]
    target = {
        "company": "a",
        "type": "absolute",
        "scopes": "1+2",
        "base_year": 2016,
        "base_value": 7,
        "unit": "kt CO2e",
    }
    assert read.targets.to_dict("records") == [target | {"year": 2030, "reduction": 0.4, "net_zero_year": 2050}]


@pytest.mark.data
def test_the_real_sample():
    read = read_itr(dataset_file("portfolio_itr", "portfolio.csv.gz").parent)
    assert len(read.holdings) == 144
    assert len(read.targets) == 254
    amounts = pd.read_csv(dataset_file("portfolio_itr", "portfolio.csv.gz"))["investment_value [EUR]"]
    assert read.holdings["value"].sum() == amounts.sum()
    money = read.financials.set_index("company")
    # All but four companies without a report; 65,110 million US dollars at 0.94; 44,519 million euros, given as 44519.
    assert len(money) == 120
    assert money.index.is_unique
    assert money.loc["DE0005190003", "equity"] == pytest.approx(65.11e9 * 0.94)
    assert money.loc["IT0003132476", "equity"] == 44_519e6
    emissions = read.emissions.set_index(["company", "year", "scope"])["emissions"]
    assert emissions.index.is_unique
    assert emissions["US00130H1059", 2019, "1"] == 45_611_000
    assert emissions["US00130H1059", 2018, "2"] == 314_000
    assert emissions["DE0005190003", 2020, "1"] == 678_967
    assert emissions["DE000BASF111", 2021, "3"] == 122_000_000
    assert emissions["US2333311072", 2021, "1"] == 26_500_000 + 770_000 + 711_000
    assert read.rejected.groupby("value").size()["N/A"] == 14
    assert set(read.rejected["company"]) >= {"PETRONAS_SOE", "US0921131092", "NO0010657505"}
