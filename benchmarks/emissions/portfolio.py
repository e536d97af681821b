"""The 144 lines of the OS-Climate ITR portfolio: every metric by scope, what it covers, and the next five years.

    python -m benchmarks.emissions.portfolio [--weights emissions_rnn.eutl]

The sample is written as the three CSV files of ``sciml-zoo emissions footprint``, which then reports in a process of
its own. Its metrics are compared with a recomputation here from the same files, with pandas and nothing of this
project, one line a formula; and with what the library says of the tables in memory. The rules of what a holding is
divided by reduce to EVIC, since all holdings are listed equity in euros. Data quality is compared too, but for scope
1+2, whose score is a rule of this project (the worse of the two). The trajectory holds EVIC, revenue and holdings at
their last values.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from sciml_zoo.datasets import dataset_path
from sciml_zoo.emissions.footprint import footprint
from sciml_zoo.emissions.itr import ItrSample, read_itr

YEARS = 5
TABLES = ("holdings", "financials", "emissions")
LARGEST_DIFFERENCE = 1e-9
# What the report says of the metrics that a reason affects, for two metrics.
_AFFECTS = {
    "financed_emissions": ("all metrics", "all metrics but waci"),
    "waci": ("all metrics", "waci, carbon_intensity"),
}
_MILLION = 1e6


def write(sample: ItrSample, folder: Path) -> list[str]:
    """Writes the three tables.

    Returns:
        Their paths.
    """
    paths = [str(folder / f"{name}.csv") for name in TABLES]
    for name, path in zip(TABLES, paths, strict=True):
        getattr(sample, name).to_csv(path, index=False)
    return paths


def report(paths: list[str], folder: Path, more: list[str]) -> dict[str, Any]:
    """Returns what the command says of the tables."""
    out = folder / "report.json"
    words = ["-m", "sciml_zoo", "emissions", "footprint", *paths, "--json", str(out), *more]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return json.loads(out.read_text(encoding="utf-8"))


def latest(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Returns each company's latest row in which a column is known."""
    return table.dropna(subset=[column]).sort_values("year").groupby("company").tail(1).set_index("company")


def recomputed(paths: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns value and coverage of each metric, by scope, from the files alone."""
    held, worth, emitted = (pd.read_csv(path, dtype={"company": str, "scope": str}) for path in paths)
    evic = held["company"].map(latest(worth, "evic")["evic"])
    revenue = held["company"].map(latest(worth, "revenue")["revenue"]).where(lambda sold: sold > 0)
    tonnes, score = {}, {}
    for scope, rows in emitted.groupby("scope"):
        last = latest(rows, "emissions")
        tonnes[scope] = held["company"].map(last["emissions"])
        score[scope] = held["company"].map(last["data_quality"])
    tonnes["1+2"] = tonnes["1"] + tonnes["2"]
    return {scope: _metrics(held["value"], evic, revenue, tonnes[scope], score.get(scope)) for scope in tonnes}


def _metrics(
    value: pd.Series, evic: pd.Series, revenue: pd.Series, tonnes: pd.Series, score: pd.Series | None
) -> dict[str, dict[str, float]]:
    financed = value / evic * tonnes
    weight = value.where((tonnes / revenue).notna())
    owned = (value / evic * revenue).where(tonnes.notna())
    attributed = value.where(financed.notna())
    total, sold = financed.sum(), financed.where(revenue.notna())
    share = value / value.sum()
    found = {
        "financed_emissions": (total, financed),
        "total_carbon_emissions": (total, financed),
        "carbon_footprint": (_MILLION * total / attributed.sum(), financed),
        "economic_emission_intensity": (_MILLION * total / attributed.sum(), financed),
        "carbon_intensity": (_MILLION * sold.sum() / owned.sum(), owned),
        "waci": (_MILLION * (weight / weight.sum() * tonnes / revenue).sum(), weight),
    }
    if score is not None:
        scored = value.where(financed.notna() & score.notna())
        found["data_quality_score"] = ((scored * score).sum() / scored.sum(), scored)
    return {
        name: {"value": float(result), "coverage": float(share[rows.notna()].sum())}
        for name, (result, rows) in found.items()
    }


def differences(told: dict[str, Any], own: dict[str, dict[str, dict[str, float]]]) -> dict[str, float]:
    """Returns the largest relative difference of each metric over the scopes, and that of the coverage."""
    found: dict[str, float] = {}
    for scope, metrics in own.items():
        for name, entry in metrics.items():
            theirs = told["scopes"][scope]["metrics"][name]
            for what in ("value", "coverage"):
                difference = abs(theirs[what] / entry[what] - 1)
                key = name if what == "value" else "coverage"
                found[key] = max(found.get(key, 0.0), difference)
    return found


def gaps(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the holdings that a metric lacks: company, share, reason, and the scopes of which that is so."""
    rows = [row | {"scope": scope} for scope, entry in told["scopes"].items() for row in entry["uncovered"]]
    table = pd.DataFrame(rows)
    table["reason"] = table["reason"].str.replace(r" of scope .*", "", regex=True)
    grouped = table.groupby(["company", "share", "reason"], sort=False)["scope"].agg(lambda scopes: sorted(set(scopes)))
    return grouped.reset_index(name="scopes").to_dict("records")


def listed(told: dict[str, Any], own: dict[str, dict[str, dict[str, float]]]) -> bool:
    """Returns whether shares covered and shares listed as uncovered make up the portfolio, in each scope."""
    sums = []
    for scope, metrics in own.items():
        table = pd.DataFrame(told["scopes"][scope]["uncovered"])
        for name, affects in _AFFECTS.items():
            # A holding with two reasons counts once.
            missing = table[table["affects"].isin(affects)].drop_duplicates("company")["share"].sum()
            sums.append(missing + metrics[name]["coverage"])
    return all(abs(total - 1) <= LARGEST_DIFFERENCE for total in map(float, sums))


def show(told: dict[str, Any], uncovered: list[dict[str, Any]]) -> None:
    """Prints the tables."""
    print(f"{told['portfolio_value']:,.0f} {told['currency']}, reported for {told['year']}")
    for scope, entry in told["scopes"].items():
        coming = told["trajectory"]["scopes"].get(scope, {"metrics": {}})["metrics"]
        for name, metric in entry["metrics"].items():
            years = coming.get(name, {"years": []})["years"]
            mean = "  ".join(f"{row['year']} {row['mean']:,.4g}" for row in years)
            print(f"{scope:4} {name:28} {metric['value']:>14,.4f} {metric['coverage']:7.1%}  {mean}")
    for row in uncovered:
        print(f"not covered: {row['company']:32} {row['share']:6.2%} {row['reason']} ({', '.join(row['scopes'])})")


def main() -> int:
    """Returns 0 where both computations agree; prints the tables, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="emissions_rnn.eutl")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "portfolio.json")
    arguments = parser.parse_args()
    sample = read_itr(dataset_path("portfolio_itr"))
    with tempfile.TemporaryDirectory() as name:
        paths = write(sample, Path(name))
        told = report(paths, Path(name), ["--years", str(YEARS), "--weights", arguments.weights])
        own = recomputed(paths)
    library = footprint(*(getattr(sample, name) for name in TABLES)).as_dict()
    found, uncovered = differences(told, own), gaps(told)
    show(told, uncovered)
    for metric, difference in found.items():
        print(f"{metric}: largest relative difference {difference:.1e}")
    checks = {
        "144 lines": len(told["holdings"]) == 144,
        "the command says what the library says": all(
            library["scopes"][scope]["metrics"] == entry["metrics"] for scope, entry in told["scopes"].items()
        ),
        "recomputed: equal to 1e-9": max(found.values()) <= LARGEST_DIFFERENCE,
        "all that is not covered is listed": listed(told, own),
        "five years of every metric": all(
            len(metric["years"]) == YEARS
            for entry in told["trajectory"]["scopes"].values()
            for metric in entry["metrics"].values()
        ),
    }
    for words, holds in checks.items():
        print(f"{words}: {'yes' if holds else 'NO'}")
    result = {
        "weights": arguments.weights,
        "holdings": len(told["holdings"]),
        "portfolio_value": told["portfolio_value"],
        **{name: told[name] for name in ("currency", "year", "warnings")},
        "scopes": {scope: entry["metrics"] for scope, entry in told["scopes"].items()},
        "trajectory": {scope: entry["metrics"] for scope, entry in told["trajectory"]["scopes"].items()},
        "assumptions": told["trajectory"]["assumptions"],
        "uncovered": uncovered,
        "rejected_values": len(sample.rejected),
        "relative_differences": found,
        "largest_relative_difference": max(found.values()),
        "checks": checks,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(not all(checks.values()))


if __name__ == "__main__":
    sys.exit(main())
