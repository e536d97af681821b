"""``sciml-zoo emissions``: every verb end to end on a tiny panel, with an untrained network; and bad input."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch

import sciml_zoo as sz
from sciml_zoo.cli import main
from sciml_zoo.emissions.footprint import footprint
from sciml_zoo.emissions.holdings import ASSET_CLASSES, SHORT_CLASSES
from sciml_zoo.emissions.synthetic import synthetic_panel

WEIGHTS = ["--weights", "local-dir:model"]
FORECAST = ["emissions", "forecast", "panel.csv", *WEIGHTS, "--horizon", "3", "-o", "out.csv", "--json", "out.json"]
FOOTPRINT = ["emissions", "footprint", "holdings.csv", "financials.csv", "emissions.csv", "--json", "out.json"]
BACKTEST = ["emissions", "backtest", "many.csv", "--origins", "2014,2016", "--horizon", "2", "--json", "out.json"]
SCENARIOS = ["emissions", "scenarios", "panel.csv", *WEIGHTS, "--horizon", "2", "--json", "out.json"]
KEYS = ["NA", "0", "02806440604", 'a,"b"', " two\nlines\r", "return\r"]
COLUMNS = ["company", "year", "mean", "q025", "q10", "q50", "q90", "q975"]
LEVELS = COLUMNS[3:]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    torch.manual_seed(0)
    model = sz.create_model("emissions_rnn", members=1, hidden=4, drivers=("gdp", "carbon"), last_year=2016)
    with torch.no_grad():
        # As if something had been learned, so that drivers have an effect.
        model.calibration.has_drift.fill_(True)
        model.shocks.used.fill_(True)
        model.shocks.remember(100 * torch.rand_like(model.shocks.levels).cumsum(0))
        model.shocks.past.normal_(std=0.03)
    sz.save_model(model, root / "model")
    sz.save_model(sz.create_model("boltzmann_machine", n_visible=3), root / "ising")
    synthetic_panel(30, 12).to_long().to_csv(root / "many.csv", index=False)
    (root / "text.csv").write_text("This is no panel.\n")
    return root


@pytest.fixture(autouse=True)
def here(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path in built.iterdir():
        Path(path.name).symlink_to(path)
    panel([])
    write("high.csv", [["year", "gdp", "carbon"], [2018, 100, 100], [2019, 110, 300], [2020, 120, 400]])
    return tmp_path


def write(name: str, rows: list[list[object]]) -> None:
    with Path(name).open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def panel(more: list[list[object]]) -> None:
    rows = [[key, year, 10.0 + i + year % 3, "kt"] for i, key in enumerate(KEYS) for year in range(2010, 2019)]
    write("panel.csv", [["company", "year", "emissions", "unit"], *rows, *more])


def read(name: str = "out.csv") -> list[dict[str, str]]:
    with Path(name).open(newline="") as file:
        return list(csv.DictReader(file))


def summary() -> dict:
    return json.loads(Path("out.json").read_text())


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs what must fail as wrong input, and leave no file; returns the message."""
    before = set(Path().iterdir())
    try:
        status = main(argv)
    except SystemExit as end:
        status = end.code
    shown = capsys.readouterr().err
    assert status == 2, shown
    assert "Traceback" not in shown
    assert set(Path().iterdir()) == before
    return shown


def test_keys_come_back_byte_for_byte() -> None:
    assert main(FORECAST) == 0
    rows = read()
    assert list(rows[0]) == COLUMNS
    assert [(row["company"], row["year"]) for row in rows] == [(k, str(y)) for k in KEYS for y in (2019, 2020, 2021)]
    quantiles = np.array([[float(row[level]) for level in LEVELS] for row in rows])
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles[:, 0] < quantiles[:, 2]).all()
    np.testing.assert_allclose(quantiles[0, 2], 12_000, rtol=0.2)  # untrained: the last value, 2018's, in tonnes
    told = summary()
    assert (told["origin"], told["horizon"], told["companies"]) == (2018, 3, len(KEYS))
    assert [row["year"] for row in told["total"]] == [2019, 2020, 2021]
    for row in told["total"]:
        means = [float(company["mean"]) for company in rows if company["year"] == str(row["year"])]
        assert row["mean"] == pytest.approx(sum(means), rel=1e-6)
    assert told["rejected"] == told["not_forecast"] == []


def test_rows_after_the_origin_are_ignored() -> None:
    assert main([*FORECAST, "--origin", "2015"]) == 0
    first, total = Path("out.csv").read_bytes(), summary()["total"]
    assert read()[0]["year"] == "2016"
    rows = read("panel.csv")
    changed = [[r["company"], r["year"], 999 if int(r["year"]) > 2015 else r["emissions"], r["unit"]] for r in rows]
    write("panel.csv", [["company", "year", "emissions", "unit"], *changed, ["later", 2017, 5, "kt"]])
    assert main([*FORECAST, "--origin", "2015"]) == 0
    assert Path("out.csv").read_bytes() == first
    assert summary()["total"] == total
    assert summary()["not_forecast"] == ["later"]


def test_neither_names_nor_order_after_the_origin_matter() -> None:
    def rows(years: range, steel: str) -> list[list[object]]:
        return [[key, year, 10 + i + year % 3, steel] for i, key in enumerate(KEYS) for year in years]

    def forecast() -> bytes:
        assert main([*FORECAST, "--origin", "2015"]) == 0
        return Path("out.csv").read_bytes()

    head = ["company", "year", "emissions", "sector"]
    past, later = rows(range(2008, 2014), "Steel"), rows(range(2016, 2019), "Paper")
    write("panel.csv", [head, *past])  # nobody reports in 2014 and 2015
    expected = forecast()
    write("panel.csv", [head, *reversed(later), *past])
    assert forecast() == expected
    assert summary()["not_reporting_at_origin"] == KEYS


def test_those_that_no_longer_report_are_named_and_stand_apart(capsys: pytest.CaptureFixture[str]) -> None:
    panel([["closed", year, 500, "kt"] for year in range(2010, 2016)])
    assert main(FORECAST) == 0
    shown, told = capsys.readouterr(), summary()
    assert "no report in 2018 of 'closed'" in shown.err.replace("\n", " ")
    assert f"of the {len(KEYS)} that reported in 2018" in shown.out
    assert told["not_reporting_at_origin"] == ["closed"]
    closed = {int(row["year"]): float(row["mean"]) for row in read() if row["company"] == "closed"}
    for whole, part in zip(told["total"], told["total_of_those_reporting"], strict=True):
        assert whole["mean"] - part["mean"] == pytest.approx(closed[whole["year"]], rel=1e-5)


def test_scenarios_name_those_that_no_longer_report_too() -> None:
    panel([["closed", year, 500, "kt"] for year in range(2010, 2016)])
    assert main([*SCENARIOS, "--scenario", "high=high.csv"]) == 0
    assert any("no report in 2018 of 'closed'" in text for text in summary()["warnings"])


def test_the_shortest_command_uses_shipped_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emissions", "forecast", "panel.csv", "--horizon", "2"]) == 0
    assert "by emissions_rnn.eutl" in capsys.readouterr().out
    assert not Path("out.csv").exists()


def test_samples_hold_what_the_table_sums_up() -> None:
    assert main([*FORECAST, "--samples", "out.parquet", "--n-samples", "50", "--seed", "7"]) == 0
    table = pyarrow.parquet.read_table("out.parquet")
    assert [str(kind) for kind in table.schema.types] == ["string", "int32", "int32", "float"]
    found = table.to_pandas()
    assert len(found) == len(KEYS) * 3 * 50
    groups = found.groupby(["company", "year"], sort=False)["emissions"]
    expected = {(row["company"], int(row["year"])): row for row in read()}
    assert list(groups.groups) == list(expected)
    for key, samples in groups:
        assert samples.mean() == pytest.approx(float(expected[key]["mean"]), rel=1e-5)
        assert samples.quantile(0.9) == pytest.approx(float(expected[key]["q90"]), rel=1e-5)
    totals = found.groupby(["year", "sample"])["emissions"].sum().groupby("year").quantile(0.975)
    np.testing.assert_allclose(totals, [row["q975"] for row in summary()["total"]], rtol=1e-5)


def test_rejected_values_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    panel([["bad", 2010 + i, "Excluded", "kt"] for i in range(6)] + [["NA", 2009, -5, "kt"]])
    assert main(FORECAST) == 0
    shown = capsys.readouterr().err
    assert "panel.csv: 7 values not taken" in shown
    assert shown.count("'Excluded'") == 5
    assert "company 'bad', year 2010" in shown
    assert "and 2 more" in shown
    told = summary()
    assert [(row["company"], row["year"]) for row in told["rejected"]][-1] == ("NA", "2009")
    assert len(told["rejected"]) == 7
    assert told["not_forecast"] == ["bad"]
    assert any("not forecast" in text and "'bad'" in text for text in told["warnings"])


def test_drivers_and_figures_of_a_forecast() -> None:
    assert main([*FORECAST, "--figure", "total.png"]) == 0
    drawn = Path("out.csv").read_bytes()
    assert main([*FORECAST, "--drivers", "high.csv", "--figure", "one.svg", "--company", 'a,"b"']) == 0
    assert Path("out.csv").read_bytes() != drawn
    assert Path("total.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in Path("one.svg").read_text()


def test_drivers_of_the_past_change_nothing_and_known_ones_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FORECAST) == 0
    drawn = Path("out.csv").read_bytes()
    write("past.csv", [["year", "gdp"], [2017, 90], [2018, 100]])
    assert main([*FORECAST, "--drivers", "past.csv"]) == 0
    assert Path("out.csv").read_bytes() == drawn
    assert "given in no year from 2019 to 2021: their future is drawn" in capsys.readouterr().err.replace("\n", " ")
    write("high.csv", [["year", "gdp"], [2017, 90], [2018, 100], [2019, 10100]])
    assert main([*FORECAST, "--drivers", "high.csv", "--origin", "2017"]) == 0
    assert any("no test" in text and "2018" in text for text in summary()["warnings"])
    assert main([*FORECAST, "--drivers", "high.csv"]) == 0
    assert any("in the unit of the weights" in text for text in summary()["warnings"])
    write("gap.csv", [["year", "gdp"], [2018, 100], [2020, 110]])
    assert "not in 2019" in refused([*FORECAST, "--drivers", "gap.csv"], capsys)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--origin 2030", ("--origin 2030", "ends in 2018", "at most 5 years more")),
        ("--origin 2001", ("2001", "begins in 2010")),
        ("--horizon 0", ("--horizon", "'0' is not a whole number of 1 or more")),
        ("--weights local-dir:ising", ("boltzmann_machine", "does not forecast emissions")),
        ("--drivers none.csv", ("none.csv", "no such file")),
        ("--drivers panel.csv", ("panel.csv", "line")),
        ("--company NA", ("--company", "--figure")),
        ("--company MA --figure out.png", ("'MA'", "'NA'")),
        ("--figure out.txt", ("out.txt", ".png, .pdf, .svg")),
        ("--samples out.csv", ("out.csv", ".parquet")),
        ("-o none/out.csv", ("none", "no such directory")),
    ],
)
def test_a_bad_forecast_is_refused(argv: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    shown = refused([*FORECAST, *argv.split()], capsys)
    assert not [word for word in words if word not in shown], shown


@pytest.mark.parametrize(("name", "words"), [("none.csv", "no such file"), ("text.csv", "no column"), ("eutk", "eutl")])
def test_a_bad_panel_is_refused(name: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = refused([*FORECAST[:2], name, *FORECAST[3:]], capsys)
    assert name in shown
    assert words in shown


def portfolio(currency: str = "EUR") -> None:
    write(
        "holdings.csv",
        [
            ["company", "value", "currency", "asset_class"],
            ["NA", 200, "EUR", "listed_equity"],
            ["0", 300, currency, "listed_equity"],
            ["stranger", 500, "EUR", "listed_equity"],
        ],
    )
    figures = [["NA", 2018, 1000, "", "", 100, "EUR"], ["0", 2018, 1000, "", "", 200, "EUR"]]
    write("financials.csv", [["company", "year", "evic", "equity", "debt", "revenue", "currency"], *figures])
    rows = [
        [key, year, scope, tonnes * int(scope), "t", 2]
        for key, tonnes in (("NA", 50), ("0", 100), ("not held", 7))
        for year in range(2013, 2019)
        for scope in ("1", "2")
    ]
    write("emissions.csv", [["company", "year", "scope", "emissions", "unit", "data_quality"], *rows])


def test_a_footprint_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    portfolio()
    assert main(FOOTPRINT) == 0
    told = summary()
    one, both = told["scopes"]["1"], told["scopes"]["1+2"]
    assert one["metrics"]["financed_emissions"]["value"] == pytest.approx(0.2 * 50 + 0.3 * 100)
    assert both["metrics"]["financed_emissions"]["value"] == pytest.approx(3 * 40)
    assert one["metrics"]["waci"]["value"] == pytest.approx((0.4 * 50 / 100 + 0.6 * 100 / 200) * 1e6)
    assert one["metrics"]["waci"]["coverage"] == pytest.approx(0.5)
    assert [(row["company"], row["share"]) for row in one["uncovered"]] == [("stranger", 0.5)]
    assert {row["company"] for row in told["scopes"]["3"]["uncovered"]} == {"NA", "0", "stranger"}
    assert told == json.loads(json.dumps(footprint("holdings.csv", "financials.csv", "emissions.csv").as_dict()))
    shown = capsys.readouterr().out
    assert "'stranger'" in shown
    assert "matches no company" in shown
    assert "50.0%" in shown


def test_a_footprint_of_coming_years(capsys: pytest.CaptureFixture[str]) -> None:
    portfolio()
    assert main([*FOOTPRINT, "--years", "3", *WEIGHTS, "--n-samples", "2000", "--figure", "out.png"]) == 0
    trajectory = summary()["trajectory"]
    rows = {scope: trajectory["scopes"][scope]["metrics"]["financed_emissions"]["years"] for scope in ("1", "2", "1+2")}
    assert [row["year"] for row in rows["1"]] == [2019, 2020, 2021]
    assert rows["1"][0]["q50"] == pytest.approx(40, rel=0.1)
    for one, two, both in zip(*rows.values(), strict=True):
        assert one["mean"] + two["mean"] == pytest.approx(both["mean"], rel=1e-5)
        assert both["q025"] < both["q50"] < both["q975"]
    assert [row["company"] for row in trajectory["scopes"]["1"]["uncovered"]] == ["stranger"]
    assert any("revenue" in text and "stay at their last values" in text for text in trajectory["assumptions"])
    assert summary()["scopes"]["1"]["metrics"]["financed_emissions"]["value"] == pytest.approx(40)
    assert "stay at their last values" in capsys.readouterr().out
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


def append(name: str, *rows: list[object]) -> None:
    with Path(name).open("a", newline="") as file:
        csv.writer(file).writerows(rows)


def test_coming_figures_of_companies_are_those_given(capsys: pytest.CaptureFixture[str]) -> None:
    portfolio()
    coming = [*FOOTPRINT, "--years", "3", *WEIGHTS, "--n-samples", "50"]
    assert main(coming) == 0
    before = summary()
    append("financials.csv", *([key, year, 2000, "", "", "", "EUR"] for key in ("NA", "0") for year in (2020, 2021)))
    assert main([*coming, "--figure", "out.png"]) == 0
    after = summary()
    assert after["year"] == 2018
    assert after["scopes"] == before["scopes"]
    assert after["holdings"] == before["holdings"]
    plain, halved = (
        [row["mean"] for row in told["trajectory"]["scopes"]["1"]["metrics"]["financed_emissions"]["years"]]
        for told in (before, after)
    )
    np.testing.assert_allclose(np.divide(halved, plain), [1, 0.5, 0.5])
    assert after["trajectory"]["assumptions"] == [
        "holdings, equity, debt, revenue and exchange rates stay at their last values up to 2018",
        "EVIC is given up to 2021 for 2 companies ('NA', '0')",
    ]
    assert "EVIC is given up to 2021" in capsys.readouterr().out


def test_a_vendors_bad_rows_do_not_stop_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    portfolio()
    append("financials.csv", ["strange", 2018, 0, "", "", -1, "EUR"])
    append("emissions.csv", ["not held", 2019, "1", "Excluded", "t", 2])
    assert main(FOOTPRINT) == 0
    told = summary()
    assert (told["rejected"], told["rejected_rows_not_held"]) == ([], 2)
    assert told["scopes"]["1"]["metrics"]["financed_emissions"]["value"] == pytest.approx(40)
    capsys.readouterr()
    append("emissions.csv", ["0", 2012, "1", -3, "t", 2])
    append("financials.csv", ["stranger", 2018, 0, "", "", 10, "EUR"])
    assert main([*FOOTPRINT, "--years", "2", *WEIGHTS, "--n-samples", "20"]) == 0
    told, shown = summary(), capsys.readouterr().err
    assert [(Path(row["place"]).name, *list(row.values())[1:]) for row in told["rejected"]] == [
        ("financials.csv, line 5", "stranger", 2018, "evic", "0", "is not above 0"),
        ("emissions.csv, line 39", "0", 2012, "emissions", "-3", "is below 0; removals are reported apart"),
    ]
    assert shown.count("of companies held not taken") == 2
    assert "company 'stranger', year 2018: evic '0' is not above 0" in shown
    assert "1 rows of companies not held" in shown
    assert ("stranger", "no EVIC") in {(row["company"], row["reason"]) for row in told["scopes"]["1"]["uncovered"]}


@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        ("financials.csv", ["0", 2018, 5, "", "", 1, "EUR"], "the same company, year"),
        ("financials.csv", ["0", "soon", 5, "", "", 1, "EUR"], "'soon' is not a"),
        ("financials.csv", ["0", 2017, 5, "", "", 1, "euros"], "'euros' is not an ISO 4217 code"),
        ("emissions.csv", ["0", 2017, "3", 5, "barrels", 1], "'barrels' cannot be converted"),
    ],
)
def test_what_leaves_a_held_companys_row_without_meaning_is_refused(
    name: str, row: list[object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    portfolio()
    append(name, row)
    shown = refused(FOOTPRINT, capsys)
    assert words in shown
    assert f"{name}, line {len(Path(name).read_text().splitlines())}, company '0'" in shown


def test_years_need_no_weights(capsys: pytest.CaptureFixture[str]) -> None:
    portfolio()
    assert main([*FOOTPRINT, "--years", "2", "--n-samples", "10"]) == 0
    assert summary()["weights"] == "emissions_rnn.eutl"
    assert len(summary()["trajectory"]["scopes"]["1"]["metrics"]["waci"]["years"]) == 2
    assert "with the weights emissions_rnn.eutl" in capsys.readouterr().out


def financed(trajectory: dict, scope: str = "1") -> list[float]:
    return [row["mean"] for row in trajectory["scopes"][scope]["metrics"]["financed_emissions"]["years"]]


def test_scenarios_reach_the_footprint(capsys: pytest.CaptureFixture[str]) -> None:
    portfolio()
    coming = [*FOOTPRINT, "--years", "2", *WEIGHTS, "--n-samples", "50"]
    assert main(coming) == 0
    plain = summary()
    assert "scenarios" not in plain
    assert main([*coming, "--scenario", "high=high.csv"]) == 0
    told = summary()
    assert told["trajectory"] == plain["trajectory"]
    assert list(told["scenarios"]) == ["high"]
    high = told["scenarios"]["high"]
    assert high.keys() == told["trajectory"].keys()
    assert financed(high) != financed(told["trajectory"])
    shown = capsys.readouterr().out
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("1 ") and "high" in line] == [
        ["1", "high"]
    ]
    write("targets.csv", [["company", "year", "scope", "emissions"], ["NA", 2020, "1", 25], ["not held", 2020, 1, 5]])
    assert main([*coming, "--scenario", "high=high.csv", "--targets", "targets.csv"]) == 0
    met = summary()
    assert met["trajectory"] == plain["trajectory"]
    assert financed(met["scenarios"]["high"], "2") == financed(high, "2")
    assert "targets without effect" in capsys.readouterr().err


def test_a_companys_own_drivers_move_all_its_scopes() -> None:
    portfolio()
    model = sz.create_model("emissions_rnn", members=1, hidden=4, company_drivers=("output",), last_year=2016)
    model.response.slope.fill_(1.0)
    sz.save_model(model, Path("own"))
    levels = [["NA", 2018, 100], ["NA", 2019, 200], ["NA", 2020, 200], ["not held", 2020, 7]]
    write("output.csv", [["company", "year", "output"], *levels])
    write("holdings.csv", [["company", "value", "currency", "asset_class"], ["NA", 200, "EUR", "listed"]])
    coming = [*FOOTPRINT, "--years", "2", "--weights", "local-dir:own", "--n-samples", "50"]
    assert main([*coming, "--scenario", "doubled=output.csv"]) == 0
    doubled, before = summary()["scenarios"]["doubled"], summary()["trajectory"]
    for scope in ("1", "2", "1+2"):
        np.testing.assert_allclose(np.divide(financed(doubled, scope), financed(before, scope)), 2, rtol=1e-5)


def test_targets_alone_are_a_scenario() -> None:
    portfolio()
    coming = [*FOOTPRINT, "--years", "2", *WEIGHTS, "--n-samples", "50", "--targets", "targets.csv"]
    rows = [[key, 2020, scope, 10, "t"] for key in ("NA", "0") for scope in ("1", "2")]
    write("targets.csv", [["company", "year", "scope", "emissions", "unit"], *rows])
    assert main(coming) == 0
    told = summary()
    assert list(told["scenarios"]) == ["targets"]
    # On the way there, linear in the logarithm; 50 and 100 t in 2018.
    path = [0.2 * (50 * 10) ** 0.5 + 0.3 * (100 * 10) ** 0.5, 0.2 * 10 + 0.3 * 10]
    assert financed(told["scenarios"]["targets"]) == pytest.approx(path, rel=1e-5)
    assert financed(told["scenarios"]["targets"], "1+2")[1] == pytest.approx(10, rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["company", "year", "emissions"], ["NA", 2020, 10]], "no column 'scope'"),
        ([["company", "year", "scope", "emissions"], ["NB", 2020, "1", 10]], "none is of a company held"),
        ([["company", "year", "scope", "emissions"], ["NA", 2020, "3", 10]], "none is of a company held"),
        ([["company", "year", "scope", "emissions"], ["NA", 2018, "1", 10]], "'NA, scope 1': 2018 is not a year after"),
        ([["company", "year", "scope", "emissions"], ["NA", 2020, "1", 0]], "targets.csv, line 2"),
    ],
)
def test_bad_targets_of_a_footprint(rows: list[list[object]], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    portfolio()
    write("targets.csv", rows)
    assert words in refused([*FOOTPRINT, "--years", "2", *WEIGHTS, "--targets", "targets.csv"], capsys)


def test_the_help_names_every_asset_class(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["emissions", "footprint", "--help"])
    shown = "".join(capsys.readouterr().out.split())
    assert not [name for name in [*ASSET_CLASSES, *SHORT_CLASSES] if name not in shown]


def test_currencies_need_rates(capsys: pytest.CaptureFixture[str]) -> None:
    portfolio("USD")
    assert "currenc" in refused(FOOTPRINT, capsys)
    assert "--rates" in refused([*FOOTPRINT, "--currency", "EUR"], capsys)
    write("rates.csv", [["currency", "rate"], ["USD", 0.5]])
    assert "--currency" in refused([*FOOTPRINT, "--rates", "rates.csv"], capsys)
    assert main([*FOOTPRINT, "--currency", "EUR", "--rates", "rates.csv"]) == 0
    value = summary()["scopes"]["1"]["metrics"]["financed_emissions"]["value"]
    assert value == pytest.approx(0.2 * 50 + 0.15 * 100)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (WEIGHTS, "--years"),
        (["--scenario", "high=high.csv"], "--years"),
        (["--targets", "high.csv"], "--years"),
        (["--years", "2", "--scenario", "baseline=high.csv"], "'baseline'"),
        (["--years", "2", "--scenario", "a=high.csv", "--scenario", "a=high.csv"], "name of its own"),
        (["--figure", "out.png"], "--years"),
        (["--year", "0"], "--year"),
        (["--rates", "none.csv", "--currency", "EUR"], "none.csv"),
    ],
)
def test_a_bad_footprint_is_refused(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    portfolio()
    assert words in refused([*FOOTPRINT, *argv], capsys)


def test_a_bad_cell_of_a_portfolio_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    portfolio()
    Path("holdings.csv").write_text("company,value,currency,asset_class\nNA,much,EUR,listed_equity\n")
    shown = refused(FOOTPRINT, capsys)
    assert "holdings.csv, line 2" in shown
    assert "'much'" in shown


def test_methods_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--methods", "naive,drift,pooled_drift", *WEIGHTS, "--holdout", "0.2", "-o", "out.csv"]
    assert main([*BACKTEST, *more]) == 0
    told, shown = summary(), capsys.readouterr()
    assert list(told["views"]) == ["all", "held out", "complete"]
    assert len(told["held_out"]) == 6
    table = {row["method"]: row for row in told["views"]["all"]["summary"]}
    assert list(table) == ["naive", "drift", "pooled_drift", "local-dir:model"]
    assert table["naive"]["mase_relative"] == 1
    scores = pd.read_csv("out.csv")
    assert {row["horizon"] for row in told["views"]["all"]["by_horizon"]} == {1, 2} == set(scores["horizon"])
    drift = scores[scores["method"].eq("drift")].assign(mase=lambda t: t["error"] / t["scale"])
    assert table["drift"]["mase"] == pytest.approx(drift.groupby(["origin", "company"])["mase"].mean().mean())
    assert [row["origin"] for row in told["survivorship"]] == [2014, 2016]
    assert all(row["known"] >= row["scored"] > 0 for row in told["survivorship"])
    assert "learned from years up to 2016: its forecasts from 2014 are no test" in shown.err
    assert "held out: " in shown.out


def test_a_network_is_trained_at_each_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    from sciml_zoo.emissions import estimator
    from sciml_zoo.training.recipe import TrainerConfig

    ends = []
    fit = estimator.NeuralForecaster.fit

    def watched(self: estimator.NeuralForecaster, panel: object) -> object:
        ends.append(panel.years[-1])
        self.trainer = TrainerConfig(max_steps=2, batch_size=16, validate_every=2, monitor="crps")
        return fit(self, panel)

    monkeypatch.setattr(estimator.NeuralForecaster, "fit", watched)
    assert main([*BACKTEST, "--methods", "rnn", "--n-samples", "20"]) == 0
    assert ends == [2014, 2016]
    assert [row["method"] for row in summary()["views"]["all"]["summary"]] == ["naive", "rnn"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--methods", "thta"], ("'thta'", "'theta'")),
        (["--origins", "2014,soon"], ("--origins", "2014,soon", "2016,2018")),
        (["--origins", "2030"], ("2030", "2012 to 2021")),
        (["--holdout", "1"], ("--holdout", "'1'")),
        (["--weights", "local-dir:none"], ("none",)),
    ],
)
def test_a_bad_backtest_is_refused(argv: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    shown = refused([*BACKTEST, *argv], capsys)
    assert not [word for word in words if word not in shown], shown


def test_scenarios_are_split_among_their_drivers(capsys: pytest.CaptureFixture[str]) -> None:
    write("targets.csv", [["company", "year", "emissions", "unit"], ["NA", 2020, 6, "kt"]])
    one = [*SCENARIOS, "--scenario", "high=high.csv", "--figure", "out.pdf"]
    assert main(one) == 0
    plain = summary()
    assert main([*one, "--targets", "targets.csv"]) == 0
    told = summary()
    assert list(told["totals"]) == ["baseline", "high"]
    assert told["totals"]["baseline"] == plain["totals"]["baseline"]
    added = told["contributions"]["high"]
    assert [row["driver"] for row in added] == ["gdp", "carbon", "targets"]
    assert plain["contributions"]["high"] == added[:2]
    assert added[0]["before"] == pytest.approx(plain["totals"]["baseline"][-1]["mean"])
    assert added[1]["after"] == pytest.approx(plain["totals"]["high"][-1]["mean"])
    assert added[2]["after"] == pytest.approx(told["totals"]["high"][-1]["mean"])
    assert sum(row["contribution"] for row in added) == pytest.approx(added[-1]["after"] - added[0]["before"])
    assert main([*SCENARIOS, "--targets", "targets.csv"]) == 0
    assert list(summary()["totals"]) == ["baseline", "targets"]
    assert summary()["contributions"] == {}
    lower = plain["totals"]["high"][-1]["mean"] - told["totals"]["high"][-1]["mean"]
    assert main([*FORECAST, "--horizon", "2", "--drivers", "high.csv", "--n-samples", "200"]) == 0
    assert lower == pytest.approx(float(read()[1]["mean"]) - 6000)  # of 'NA' in 2020
    assert "carbon" in capsys.readouterr().out
    assert Path("out.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ("--scenario", "--targets")),
        (["--targets", "targets.csv", "--figure", "out.png"], ("--figure", "--scenario")),
        (["--scenario", "late=late.csv"], ("'gdp'", "2018", "add a row for 2018")),
        (["--scenario", "high.csv"], ("'high.csv'", "name and a file")),
        (["--scenario", "high=none.csv"], ("none.csv", "no such file")),
        (["--scenario", "a=high.csv", "--scenario", "a=high.csv"], ("--scenario", "name of its own")),
        (["--scenario", "baseline=high.csv"], ("'baseline'",)),
        (["--scenario", "a=high.csv", "--targets", "bad.csv"], ("bad.csv", "'NA'", "line 3", "-1")),
    ],
)
def test_bad_scenarios_are_refused(argv: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    write("bad.csv", [["company", "year", "emissions"], ["NA", 2019, 5], ["NA", 2020, -1]])
    write("late.csv", [["year", "gdp"], [2019, 5], [2020, 6]])
    write("targets.csv", [["company", "year", "emissions"], ["NA", 2020, 6]])
    shown = refused([*SCENARIOS, *argv], capsys)
    assert not [word for word in words if word not in shown], shown


def test_the_command_line_does_not_load_the_domain() -> None:
    code = (
        "import sys; from sciml_zoo.cli import main\n"
        "assert main(['list']) == 0\n"
        "print(*{'torch', 'pandas', 'matplotlib', 'sciml_zoo.emissions'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.splitlines()[-1] == ""
