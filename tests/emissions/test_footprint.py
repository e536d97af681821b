"""The report: sums by hand, attribution rules, what is not covered, years, currencies, and joint trajectories."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sciml_zoo.datasets import dataset_path
from sciml_zoo.emissions.currencies import Rates
from sciml_zoo.emissions.footprint import METRICS, footprint, footprint_trajectory
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.itr import read_itr
from sciml_zoo.errors import InputError

NAN = float("nan")


def holdings(*rows):
    return pd.DataFrame(rows, columns=["company", "value", "asset_class"]).assign(currency="EUR")


def financials(*rows):
    columns = ["company", "year", "evic", "equity", "debt", "revenue"]
    return pd.DataFrame(rows, columns=columns).assign(currency="EUR")


def emissions(*rows):
    return pd.DataFrame(rows, columns=["company", "year", "scope", "emissions", "data_quality"]).assign(unit="kt")


# A is listed, B private.
WORTH = financials(("A", 2020, 100e6, NAN, 40e6, 50e6), ("B", 2020, NAN, 20e6, 40e6, 20e6))
EMITTED = emissions(
    *(("A", 2020, "1", 2, 1), ("A", 2020, "2", 1, 3), ("A", 2020, "3", 30, 5)),
    *(("B", 2020, "1", 0.4, 4), ("B", 2020, "2", 0.2, 2), ("B", 2020, "3", 0, 4)),
)
HELD = holdings(("A", 10e6, "listed_equity"), ("B", 30e6, "business_loans"))


def reasons(report, scope):
    rows = report.uncovered[report.uncovered["scope"].eq(scope)]
    return dict(zip(rows["company"], rows["reason"], strict=True))


def test_every_metric_by_hand():
    """Factors 10/100 and 30/60: 0.1 × 2000 + 0.5 × 400 = 400 t of scope 1, on 40 million, and 15 million of revenue."""
    report = footprint(HELD, WORTH, EMITTED)
    expected = {
        "financed_emissions": 400,
        "total_carbon_emissions": 400,
        "carbon_footprint": 10,
        "economic_emission_intensity": 10,
        "carbon_intensity": 400 / 15,
        "waci": 0.25 * 2000 / 50 + 0.75 * 400 / 20,
        "data_quality_score": (10 * 1 + 30 * 4) / 40,
    }
    for name, value in expected.items():
        assert report.metric("1", name) == pytest.approx(value), name
    assert report.metrics["coverage"].eq(1).all()
    assert report.uncovered.empty
    assert report.warnings == ()
    assert (report.year, report.currency, report.value) == (2020, "EUR", 40e6)


def test_scopes_stay_apart():
    report = footprint(HELD, WORTH, EMITTED)
    financed = {scope: report.metric(scope, "financed_emissions") for scope in ("1", "2", "3", "1+2")}
    assert financed == pytest.approx({"1": 400, "2": 0.1 * 1000 + 0.5 * 200, "3": 3000, "1+2": 600})
    # The score of a sum is the worse of the two: 3 of A, 4 of B; scope 3 has its own.
    assert report.metric("1+2", "data_quality_score") == pytest.approx((10 * 3 + 30 * 4) / 40)
    assert report.metric("3", "data_quality_score") == pytest.approx((10 * 5 + 30 * 4) / 40)
    more = EMITTED.assign(emissions=EMITTED["emissions"].where(EMITTED["scope"].ne("3"), 1e6))
    changed = footprint(HELD, WORTH, more).metrics
    same = report.metrics["scope"].ne("3")
    pd.testing.assert_frame_equal(changed[same], report.metrics[same])


@pytest.mark.parametrize(
    ("asset_class", "evic", "equity", "divisor"),
    [
        ("listed_equity", 200, 50, 200),
        ("corporate_bonds", 200, 50, 200),
        ("corporate_bonds", NAN, 50, 150),
        ("business_loans", 200, 50, 200),
        ("business_loans", NAN, 50, 150),
        ("business_loans", NAN, -50, 100),
        ("unlisted_equity", NAN, 50, 150),
        ("unlisted_equity", NAN, -50, np.inf),
        ("project_finance", NAN, 50, 150),
    ],
)
def test_what_an_asset_class_is_divided_by(asset_class, evic, equity, divisor):
    """PCAF 5.1 and 5.2: EVIC of listed companies, also for loans; negative equity attributes nothing to its owners."""
    report = footprint(
        holdings(("A", 10, asset_class)),
        financials(("A", 2020, evic, equity, 100, 1)),
        emissions(("A", 2020, "1", 3, 1)),
    )
    assert report.metric("1", "financed_emissions") == pytest.approx(3000 * 10 / divisor)
    assert any("negative equity" in warning for warning in report.warnings) == (equity < 0)


@pytest.mark.parametrize(
    ("debt_class", "equity_class", "evic"),
    [("corporate_bonds", "listed_equity", 100.0), ("business_loans", "unlisted_equity", NAN)],
)
def test_all_owners_and_lenders_together_have_the_company_once(debt_class, equity_class, evic):
    worth, emitted = financials(("A", 2020, evic, 60, 40, 1)), emissions(("A", 2020, "1", 7, 1))
    everything = [("A", 25, debt_class), ("A", 15, debt_class), ("A", 60, equity_class)]
    whole = footprint(holdings(*everything), worth, emitted)
    assert whole.metric("1", "financed_emissions") == pytest.approx(7000)
    assert whole.warnings == ()
    parts = [footprint(holdings(one), worth, emitted).metric("1", "financed_emissions") for one in everything]
    assert sum(parts) == pytest.approx(7000)
    more = footprint(holdings(*everything, ("A", 1, debt_class)), worth, emitted)
    assert any("more than all of it" in warning and "'A'" in warning for warning in more.warnings)


def test_what_is_not_covered_is_listed_and_weighs_nothing():
    held = holdings(
        ("A", 20, "listed_equity"),
        ("nobody", 10, "listed_equity"),
        ("no evic", 10, "listed_equity"),
        ("no book", 10, "business_loans"),
        ("no revenue", 20, "listed_equity"),
        ("no scope 1", 10, "listed_equity"),
        ("worthless", 10, "unlisted_equity"),
        ("a state", 10, "sovereign_debt"),
    )
    rest = ["no evic", "no book", "no revenue", "worthless", "a state"]
    worth = financials(
        ("A", 2020, 100, 1, 1, 4e6),
        ("no evic", 2020, NAN, 50, 50, 4e6),
        ("no book", 2020, NAN, 50, NAN, 4e6),
        ("no revenue", 2020, 100, NAN, NAN, 0),
        ("no scope 1", 2020, 100, NAN, NAN, 4e6),
        ("worthless", 2020, NAN, -1, 0, 4e6),
        ("a state", 2020, 100, 50, 50, 4e6),
    )
    emitted = emissions(
        ("A", 2020, "1", 1, 1), ("no scope 1", 2020, "2", 1, 1), *((name, 2020, "1", 2, NAN) for name in rest)
    )
    report = footprint(held, worth, emitted)
    gaps = report.uncovered[report.uncovered["scope"].eq("1") & report.uncovered["reason"].ne("no data quality score")]
    assert dict(zip(gaps["company"], gaps["reason"], strict=True)) == {
        "nobody": "matches no company",
        "no evic": "no EVIC",
        "no book": "no EVIC, and no equity and debt",
        "no revenue": "no revenue above 0",
        "no scope 1": "no emissions of scope 1",
        "worthless": "equity + debt is not above 0",
        "a state": "the asset class is not attributed by a company's value",
    }
    assert gaps.set_index("company")["share"].to_dict() == pytest.approx(
        dict.fromkeys(gaps["company"], 0.1) | {"no revenue": 0.2}
    )
    rows = report.metrics[report.metrics["scope"].eq("1")].set_index("metric")
    assert rows["coverage"].to_dict() == pytest.approx(
        dict.fromkeys(METRICS, 0.4) | {"carbon_intensity": 0.2, "waci": 0.6, "data_quality_score": 0.2}
    )
    # A and "no revenue": 0.2 × 1000 + 0.2 × 2000 on 40
    assert rows.loc["financed_emissions", "value"] == pytest.approx(600)
    assert rows.loc["carbon_footprint", "value"] == pytest.approx(600 / 40 * 1e6)
    # all but "nobody", "no revenue" and "no scope 1": weight 2 of 6 with 1000 t, 4 of 6 with 2000 t, on 4 million
    assert rows.loc["waci", "value"] == pytest.approx((2 / 6 * 1000 + 4 / 6 * 2000) / 4)
    assert rows.loc["data_quality_score", "value"] == 1


def test_a_scope_that_nobody_reports_is_unknown_not_zero():
    report = footprint(HELD, WORTH, EMITTED[EMITTED["scope"].ne("3")])
    rows = report.metrics[report.metrics["scope"].eq("3")]
    assert rows["value"].isna().all()
    assert rows["coverage"].eq(0).all()
    assert reasons(report, "3") == {"A": "no emissions of scope 3", "B": "no emissions of scope 3"}
    assert report.as_dict()["scopes"]["3"]["metrics"]["waci"]["value"] is None


def test_the_latest_figures_up_to_the_year_are_used_and_reported():
    worth = financials(("A", 2018, 50, 1, 1, 5e6), ("A", 2019, 100, 1, 1, NAN), ("A", 2021, 400, 1, 1, 9e6))
    emitted = emissions(
        ("A", 2019, "1", 1, 1), ("A", 2020, "1", 2, 1), ("A", 2021, "1", 4, 1), ("A", 2020, "2", NAN, 1)
    )
    held = holdings(("A", 10, "listed_equity"))
    report = footprint(held, worth, emitted, year=2020)
    assert report.metric("1", "financed_emissions") == pytest.approx(0.1 * 2000)
    assert report.metric("1", "waci") == pytest.approx(2000 / 5)
    row = report.holdings.iloc[0]
    assert (row["company_value_year"], row["revenue_year"], row["scope_1_year"]) == (2019, 2018, 2020)
    assert report.warnings == (
        "EVIC or equity + debt of 2019, not 2020: 'A'",
        "revenue of 2018, not 2020: 'A'",
    )
    latest = footprint(held, worth, emitted)
    assert (latest.year, latest.metric("1", "financed_emissions")) == (2021, pytest.approx(4000 / 40))


def test_the_year_is_that_of_the_emissions_and_financials_may_begin_later():
    """EVIC of coming years is not the divisor of emissions reported; the first one known is, if there is no other."""
    worth = financials(
        *(("A", year, evic, NAN, NAN, 4e6) for year, evic in ((2022, 100), (2023, 200), (2025, 400))),
        *(("B", year, 50, NAN, NAN, NAN) for year in (2024, 2025)),
        *(("C", 2021, NAN, 30, 10, NAN), ("C", 2024, 999, NAN, NAN, NAN)),
    )
    emitted = emissions(*((name, year, "1", 1, 1) for name in "ABC" for year in (2021, 2022)), ("D", 2024, "1", 9, 1))
    unknown = emissions(("A", 2023, "1", NAN, 1))
    held = holdings(("A", 10, "listed"), ("B", 10, "listed_equity"), ("C", 10, "private"))
    report = footprint(held, worth, pd.concat([emitted, unknown]))
    assert report.year == 2022
    assert report.holdings["company_value"].tolist() == [100, 50, 40]
    assert report.holdings["company_value_year"].tolist() == [2022, 2024, 2021]
    assert report.metric("1", "financed_emissions") == pytest.approx(1000 * (0.1 + 0.2 + 0.25))
    assert "EVIC or equity + debt of 2024, not 2022: 'B'" in report.warnings
    assert footprint(held, worth, emitted, year=2025).holdings["company_value"].tolist() == [400, 50, 999]
    none = emissions(("A", 2022, "1", NAN, 1))
    assert footprint(held[:1], worth, none).year == 2025
    with pytest.raises(InputError, match="neither emissions nor financials are known of 'A'"):
        footprint(held[:1], worth[worth["company"].eq("B")], none)


def test_another_currency_changes_money_and_nothing_else():
    in_euros = footprint(HELD, WORTH, EMITTED)
    rates = Rates("EUR", {("USD", None): 0.8})
    in_dollars = footprint(HELD, WORTH, EMITTED, rates=rates, currency="USD")
    per_money = in_euros.metrics["unit"].str.contains("million")
    expected = in_euros.metrics["value"].where(~per_money, in_euros.metrics["value"] * 0.8)
    np.testing.assert_allclose(in_dollars.metrics["value"], expected)
    assert in_dollars.value == pytest.approx(in_euros.value / 0.8)
    assert in_dollars.metrics["unit"][per_money].str.contains("USD").all()


def test_mixed_currencies_meet_at_the_rates_of_their_years():
    rates = Rates("EUR", {("USD", 2020): 0.5, ("USD", 2021): 0.8})
    held = holdings(("A", 10, "listed_equity")).assign(currency="USD")
    worth = financials(("A", 2020, 100, NAN, NAN, 4e6)).assign(currency="USD")
    report = footprint(held, worth, emissions(("A", 2021, "1", 1, 1)), rates=rates, currency="EUR")
    # 10 dollars of 2021 are 8 euros, 100 dollars of 2020 are 50
    assert report.metric("1", "financed_emissions") == pytest.approx(1000 * 8 / 50)
    assert report.metric("1", "waci") == pytest.approx(1000 / 2)
    with pytest.raises(InputError, match="no rate from USD to EUR in 2021, needed for 'A'"):
        footprint(held, worth, emissions(("A", 2021, "1", 1, 1)), currency="EUR")
    with pytest.raises(InputError, match=r"the holdings are in EUR, USD: choose the report's currency"):
        footprint(HELD.assign(currency=["EUR", "USD"]), WORTH, EMITTED)


def test_no_match_at_all_is_an_error():
    with pytest.raises(
        InputError, match=r"no holding matches a company: the holdings name 'a', the emissions 'A', 'B'"
    ):
        footprint(holdings(("a", 1, "listed_equity")), WORTH, EMITTED)


def forecast(samples, companies=("B", "A"), origin=2020):
    return Forecast(list(companies), origin, np.asarray(samples, dtype=np.float64))


def test_trajectories_at_last_values_repeat_the_footprint():
    """Samples that all equal the last emissions give the footprint in every year, without any spread."""
    last = {scope: rows.set_index("company")["emissions"] * 1e3 for scope, rows in EMITTED.groupby("scope")}
    still = {
        scope: forecast(np.broadcast_to(tonnes[["B", "A"]].to_numpy()[None, :, None], (4, 2, 3)))
        for scope, tonnes in last.items()
    }
    report, future = footprint(HELD, WORTH, EMITTED), footprint_trajectory(HELD, WORTH, still)
    assert future.metrics["year"].unique().tolist() == [2021, 2022, 2023]
    for row in future.metrics.itertuples():
        expected = report.metric(row.scope, row.metric)
        assert [row.mean, row.q025, row.q10, row.q50, row.q90, row.q975] == pytest.approx([expected] * 6)
    assert len(future.metrics) == 4 * len(METRICS) * 3
    assert future.assumptions == (
        "holdings, EVIC, equity, debt, revenue and exchange rates stay at their last values up to 2020",
    )
    assert future.as_dict()["assumptions"] == list(future.assumptions)


def test_the_portfolios_interval_knows_the_correlation():
    """With factors 0.1 and 0.5, companies that move together add their spreads; opposed ones cancel exactly."""
    draws = np.random.default_rng(1).normal(size=(500, 1, 2))
    tonnes = np.concatenate([100 + draws, 500 + 5 * draws], axis=1)
    opposed = np.concatenate([100 + draws, 500 - 5 * draws], axis=1)
    spread = {}
    for name, samples in (("together", tonnes), ("opposed", opposed)):
        table = footprint_trajectory(HELD, WORTH, {"1": forecast(samples)}).metrics
        row = table[table["metric"].eq("financed_emissions") & table["year"].eq(2021)].iloc[0]
        spread[name] = row["q90"] - row["q10"]
        assert row["mean"] == pytest.approx((0.5 * samples[:, 0] + 0.1 * samples[:, 1])[:, 0].mean())
    low, high = np.quantile(draws[:, 0, 0], [0.1, 0.9])
    assert spread["together"] == pytest.approx(high - low)
    assert spread["opposed"] == pytest.approx(0, abs=1e-9)


def test_companies_without_a_forecast_are_listed():
    future = footprint_trajectory(HELD, WORTH, {"3": forecast(np.ones((2, 1, 1)), ["A"])})
    assert reasons(future, "3") == {"B": "no emissions of scope 3"}
    assert future.metrics["coverage"].unique().tolist() == [0.25]
    assert set(future.metrics["scope"]) == {"3"}


def still(companies, tonnes=1000.0, years=3):
    return forecast(np.full((2, len(companies), years), tonnes), companies)


def by_year(future, name, scope="1"):
    rows = future.metrics[future.metrics["metric"].eq(name) & future.metrics["scope"].eq(scope)]
    return dict(zip(rows["year"], rows["mean"], strict=True))


def test_each_coming_year_has_the_figures_that_are_given():
    """A's EVIC 100, 200, -, 400; B's equity + debt 30 + 10, then 70 of equity, then 30 of debt; revenue only of A."""
    worth = financials(
        *(("A", 2020, 100, NAN, NAN, 4e6), ("A", 2021, 200, NAN, NAN, NAN), ("A", 2023, 400, NAN, NAN, 8e6)),
        *(("B", 2020, NAN, 30, 10, 2e6), ("B", 2021, NAN, 70, NAN, NAN), ("B", 2023, NAN, NAN, 30, NAN)),
        ("B", 2024, NAN, 1e9, 1e9, 1e9),
    )
    held = holdings(("A", 10, "listed_equity"), ("B", 10, "unlisted_equity"))
    future = footprint_trajectory(held, worth, {"1": still("AB")})
    factors = {2021: (10 / 200, 10 / 80), 2022: (10 / 200, 10 / 80), 2023: (10 / 400, 10 / 100)}
    financed = {year: 1000 * sum(both) for year, both in factors.items()}
    assert by_year(future, "financed_emissions") == pytest.approx(financed)
    sales = {2021: (4e6, 2e6), 2022: (4e6, 2e6), 2023: (8e6, 2e6)}
    owned = {year: np.dot(factors[year], sales[year]) for year in factors}
    assert by_year(future, "carbon_intensity") == pytest.approx({y: financed[y] / owned[y] * 1e6 for y in owned})
    assert by_year(future, "waci") == pytest.approx({y: 0.5e9 * sum(1 / sold for sold in sales[y]) for y in sales})
    table = future.holdings_by_year
    assert table["attribution"].tolist() == pytest.approx([one for both in factors.values() for one in both])
    assert table["company_value_year"].tolist() == [2021, 2021, 2021, 2021, 2023, 2023]
    assert future.holdings["attribution"].tolist() == [0.1, 0.25]
    assert future.assumptions == (
        "holdings and exchange rates stay at their last values up to 2020",
        "EVIC is given up to 2023 for 1 company ('A')",
        "equity is given up to 2021 for 1 company ('B')",
        "debt is given up to 2023 for 1 company ('B')",
        "revenue is given up to 2023 for 1 company ('A'); of the others (1) it stays at its last value",
    )
    told = json.loads(json.dumps(future.as_dict(), allow_nan=False))
    assert [row["year"] for row in told["holdings_by_year"]] == [2021, 2021, 2022, 2022, 2023, 2023]


def test_a_future_on_which_nothing_depends_changes_nothing():
    once = footprint_trajectory(HELD, WORTH, {"1": still("AB")})
    again = pd.concat([WORTH, *(WORTH.assign(year=year) for year in (2021, 2022, 2023, 2030))])
    repeated = footprint_trajectory(HELD, again, {"1": still("AB")})
    pd.testing.assert_frame_equal(repeated.metrics, once.metrics)
    assert (repeated.year, once.year) == (2020, 2020)
    assert len(repeated.assumptions) == 5


def test_coming_figures_meet_at_the_rate_of_their_year_or_the_latest_before():
    rates = Rates("EUR", {("USD", 2020): 0.5, ("USD", 2022): 0.8})
    worth = financials(*(("A", year, 100, NAN, NAN, NAN) for year in range(2020, 2024))).assign(currency="USD")
    future = footprint_trajectory(
        holdings(("A", 10, "listed_equity")), worth, {"1": still("A")}, rates=rates, currency="EUR"
    )
    expected = {2021: 10 / 50, 2022: 10 / 80, 2023: 10 / 80}
    assert by_year(future, "financed_emissions") == pytest.approx({y: 1000 * factor for y, factor in expected.items()})
    assert "coming figures in USD are exchanged at the rate of their year" in future.assumptions[-1]
    with pytest.raises(InputError, match="no rate from USD to EUR in 2019"):
        footprint(HELD[:1], worth.assign(company="A", year=worth["year"] - 1)[:1], EMITTED, rates=rates)


def test_a_metric_covers_the_same_holdings_in_all_years():
    worth = financials(
        *(("A", 2020, 100, NAN, NAN, 4e6), ("A", 2022, NAN, NAN, NAN, 0)),
        *(("B", 2020, NAN, 30, 10, 2e6), ("B", 2023, NAN, -50, 0, NAN)),
    )
    held = holdings(("A", 10, "listed_equity"), ("B", 30, "business_loans"))
    future = footprint_trajectory(held, worth, {"1": still("AB")})
    assert by_year(future, "financed_emissions") == pytest.approx(dict.fromkeys((2021, 2022, 2023), 100))
    assert by_year(future, "waci") == pytest.approx(dict.fromkeys((2021, 2022, 2023), 500))
    assert reasons(future, "1") == {
        "A": "no revenue above 0 in 2022, 2023",
        "B": "equity + debt is not above 0 in 2023",
    }
    assert "2023: negative equity counts as 0: all is attributed to debt, nothing to equity: 'B'" in future.warnings


def test_cells_that_cannot_be_taken_are_unknown_and_listed():
    worth = financials(
        *(("A", 2020, 0, NAN, NAN, 4e6), ("B", 2020, NAN, 20e6, 40e6, -1), ("not held", 2020, -1, NAN, NAN, NAN))
    )
    emitted = pd.concat([EMITTED.astype({"emissions": object}), emissions(("not held", 2020, "1", "Excluded", 1))])
    emitted = emitted.reset_index(drop=True)
    emitted.loc[3, "emissions"] = "Excluded"  # scope 1 of B
    report = footprint(HELD, worth, emitted)
    found = report.as_dict()
    assert [(row["company"], row["year"], row["column"], row["value"]) for row in found["rejected"]] == [
        ("A", 2020, "evic", "0.0"),
        ("B", 2020, "revenue", "-1.0"),
        ("B", 2020, "emissions", "Excluded"),
    ]
    assert [row["place"] for row in found["rejected"]] == ["financials, row 0", "financials, row 1", "emissions, row 3"]
    assert found["rejected_rows_not_held"] == 2
    gaps = report.uncovered[report.uncovered["scope"].eq("1")]
    assert list(zip(gaps["company"], gaps["reason"], strict=True)) == [
        ("A", "no EVIC"),
        ("B", "no emissions of scope 1"),
        ("B", "no revenue above 0"),
    ]
    assert np.isnan(report.metric("1", "financed_emissions"))
    assert report.metric("2", "financed_emissions") == pytest.approx(100)
    assert sum("of companies held not taken" in text for text in report.warnings) == 2
    assert sum("rows of companies not held" in text for text in report.warnings) == 2


def test_bad_forecasts():
    one = forecast(np.ones((2, 2, 1)))
    with pytest.raises(InputError, match="no forecast is given"):
        footprint_trajectory(HELD, WORTH, {})
    with pytest.raises(InputError, match="no scope '4'"):
        footprint_trajectory(HELD, WORTH, {"4": one})
    with pytest.raises(InputError, match=r"scopes 1 and 2 cannot be added: 2 samples of the years \[2021\], and 3 of"):
        footprint_trajectory(HELD, WORTH, {"1": one, "2": forecast(np.ones((3, 2, 1)))})


def test_a_report_of_files_survives_json(tmp_path):
    paths = []
    for name, table in (("holdings", HELD), ("financials", WORTH), ("emissions", EMITTED)):
        paths.append(tmp_path / f"{name}.csv")
        table.to_csv(paths[-1], index=False)
    report = footprint(*paths)
    told = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert told["scopes"]["1"]["metrics"]["financed_emissions"] == {
        "value": pytest.approx(400),
        "unit": "tCO2e",
        "coverage": 1.0,
    }
    assert told["scopes"]["1"]["uncovered"] == []
    assert told["holdings"][1]["divided_by"] == "equity + debt"
    future = footprint_trajectory(*paths[:2], {"1": forecast(np.ones((3, 2, 2)))})
    told = json.loads(json.dumps(future.as_dict(), allow_nan=False))
    assert [row["year"] for row in told["scopes"]["1"]["metrics"]["waci"]["years"]] == [2021, 2022]


def test_three_thousand_companies_with_a_thousand_samples():
    companies = [f"c{k}" for k in range(3000)]
    rng = np.random.default_rng(2)
    samples = rng.lognormal(size=(1000, 3000, 5)).astype(np.float32)
    held = holdings(*((name, 1.0, "listed_equity") for name in companies))
    worth = financials(*((name, 2020, 10.0, NAN, NAN, 1.0) for name in companies))
    future = footprint_trajectory(held, worth, {"1": forecast(samples, companies)})
    row = future.metrics[future.metrics["metric"].eq("financed_emissions")].iloc[4]
    total = samples[:, :, 4].sum(axis=1, dtype=np.float64) / 10
    assert [row["mean"], row["q975"]] == pytest.approx([total.mean(), np.quantile(total, 0.975)])


@pytest.mark.data
def test_the_sample_portfolio_of_144_lines():
    sample = read_itr(Path(dataset_path("portfolio_itr")))
    report = footprint(sample.holdings, sample.financials, sample.emissions)
    assert len(report.holdings) == 144
    assert report.value == pytest.approx(sample.holdings["value"].sum())
    evic = sample.financials.sort_values("year").groupby("company")["evic"].last()
    emitted = sample.emissions[sample.emissions["scope"].eq("1")].sort_values("year").groupby("company")["emissions"]
    value = sample.holdings.set_index("company")["value"]
    financed = (value * emitted.last() / evic).dropna()
    assert report.metric("1", "financed_emissions") == pytest.approx(financed.sum())
    assert report.metric("1", "carbon_footprint") == pytest.approx(financed.sum() / value[financed.index].sum() * 1e6)
    # Segments of companies ("+Gas Utilities") are in the portfolio only; whatever is not covered is listed once.
    for scope, rows in report.uncovered[report.uncovered["affects"].str.startswith("all")].groupby("scope"):
        metric = report.metrics[report.metrics["scope"].eq(scope) & report.metrics["metric"].eq("financed_emissions")]
        listed = rows.drop_duplicates(["company", "value"])["share"].sum()
        assert metric["coverage"].item() + listed == pytest.approx(1)
    unmatched = report.uncovered[report.uncovered["reason"].eq("matches no company")]["company"]
    assert unmatched.str.contains("+", regex=False).sum() > 0
