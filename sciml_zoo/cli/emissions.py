"""``sciml-zoo emissions``: what companies may emit, what that makes of a portfolio, and how good such forecasts are."""

import argparse
import contextlib
from pathlib import Path

from sciml_zoo.cli.arguments import count, file_ending_in, image_file, whole
from sciml_zoo.cli.output import add_json_option, output_file

__all__ = ["DEFAULT_WEIGHTS", "add_parser"]

_PANEL = (
    "CSV with company, year, emissions and perhaps unit, sector, country; or eutl, ghgrp_firms, ghgrp_facilities, gcb"
)
#: Weights where none are named.
DEFAULT_WEIGHTS = "emissions_rnn.eutl"
_WEIGHTS = "of a forecaster (see `sciml-zoo list`), local-dir:PATH or hf-hub:ORG/REPO@REV"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the group ``emissions``; each of its verbs sets ``run``, a function of the parsed arguments.

    Args:
        subparsers: of the main parser.
    """
    parser = subparsers.add_parser(
        "emissions",
        help="forecast companies' emissions and portfolios' footprints",
        description="Forecast what companies may "
        "emit, what that makes of a portfolio, and compare how good such forecasts are.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_forecast(verbs)
    _add_footprint(verbs)
    _add_backtest(verbs)
    _add_scenarios(verbs)


def _add_forecast(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "forecast",
        help="forecast the emissions of a panel of companies",
        description="Forecast all companies of a panel together: the total, and with -o the mean and the quantiles of "
        "each company and year, in tonnes of CO2 equivalent.",
    )
    verb.add_argument("panel", metavar="PANEL", help=_PANEL)
    verb.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME", help=f"{_WEIGHTS}; default: %(default)s")
    _add_horizon(verb)
    verb.add_argument("--origin", type=count, metavar="YEAR", help="the last year used; default: the panel's last")
    verb.add_argument(
        "--drivers", metavar="FILE", help="CSV with year and a column for each driver; what it leaves out is drawn"
    )
    verb.add_argument("-o", "--out", type=output_file, metavar="OUT.csv", help="write each company and year")
    verb.add_argument(
        "--samples", type=file_ending_in(".parquet"), metavar="OUT.parquet", help="also write the joint trajectories"
    )
    verb.add_argument(
        "--figure", type=image_file, metavar="FILE", help="also draw the total, or the company of --company"
    )
    verb.add_argument("--company", metavar="KEY", help="to draw")
    _add_common(verb, samples=1000)
    verb.set_defaults(run=_forecast)


def _add_footprint(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "footprint",
        help="report a portfolio's footprint, now and in coming years",
        description="Report every metric of a portfolio by scope, and the holdings that it does not cover. With "
        "--years, forecast the companies held, in scenarios too. EVIC, equity, debt and revenue are those of each "
        "coming year where FINANCIALS has a row for it, and otherwise stay at their last values, as the holdings do.",
    )
    verb.add_argument(
        "holdings",
        type=Path,
        metavar="HOLDINGS",
        help="CSV with company, value, currency, asset_class: listed_equity (or listed), corporate_bonds, "
        "business_loans (or private), unlisted_equity, project_finance; counted as not covered: "
        "commercial_real_estate, mortgages, motor_vehicle_loans, sovereign_debt, other",
    )
    verb.add_argument(
        "financials",
        type=Path,
        metavar="FINANCIALS",
        help="CSV with company, year, evic, equity, debt, revenue, currency; coming years too, where they are assumed",
    )
    verb.add_argument(
        "emissions",
        type=Path,
        metavar="EMISSIONS",
        help="CSV with company, year, scope, emissions, unit, data_quality",
    )
    verb.add_argument("--years", type=count, metavar="H", help="also forecast so many years")
    verb.add_argument("--weights", metavar="NAME", help=f"{_WEIGHTS}; default, with --years: {DEFAULT_WEIGHTS}")
    verb.add_argument(
        "--scenario",
        type=_named_file,
        action="append",
        default=[],
        metavar="NAME=FILE.csv",
        help="also the trajectory with the drivers' coming levels: year and a column for each; can be repeated",
    )
    verb.add_argument(
        "--targets",
        type=Path,
        metavar="FILE.csv",
        help="company, year, emissions, perhaps scope, unit: met in every scenario, or in one of their own",
    )
    verb.add_argument("--year", type=count, metavar="YEAR", help="of the report; default: the latest with emissions")
    verb.add_argument("--currency", metavar="CODE", help="of the report; default: that of the holdings")
    verb.add_argument(
        "--rates", type=Path, metavar="FILE", help="CSV with currency, rate (in units of --currency), perhaps year"
    )
    verb.add_argument(
        "--figure", type=image_file, metavar="FILE", help="also draw the financed emissions; needs --years"
    )
    _add_common(verb, samples=1000)
    verb.set_defaults(run=_footprint)


def _add_backtest(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "backtest",
        help="compare forecasting methods at past origins",
        description="Score methods, and trained networks, against what came after each origin; the naive forecast is "
        "always among them.",
    )
    verb.add_argument("panel", metavar="PANEL", help=_PANEL)
    verb.add_argument("--origins", type=_years, required=True, metavar="Y,Y", help="the last years that methods see")
    _add_horizon(verb)
    verb.add_argument(
        "--methods",
        type=lambda text: text.split(","),
        default=["drift", "pooled_drift", "theta", "damped_trend", "combination"],
        metavar="A,B",
        help="of naive, drift, pooled_drift, theta, damped_trend, combination, auto_ets, auto_theta, auto_arima, "
        "lightgbm, and rnn (a network trained anew at each origin); default: the first six",
    )
    verb.add_argument(
        "--weights", action="append", default=[], metavar="NAME", help=f"also a network, {_WEIGHTS}; can be repeated"
    )
    verb.add_argument(
        "--holdout", type=_fraction, default=0.0, metavar="FRACTION", help="of companies, never trained on; default: 0"
    )
    verb.add_argument("-o", "--out", type=output_file, metavar="SCORES.csv", help="also write every single score")
    _add_common(verb, samples=200)
    verb.set_defaults(run=_backtest)


def _add_scenarios(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "scenarios",
        help="compare assumed futures of economic drivers, and of companies' targets",
        description="Forecast a panel's total in each scenario and without any (baseline), and split the difference "
        "in the last year among the scenario's drivers (Shapley values) and the targets.",
    )
    verb.add_argument("panel", metavar="PANEL", help=_PANEL)
    verb.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME", help=f"{_WEIGHTS}; default: %(default)s")
    _add_horizon(verb)
    verb.add_argument(
        "--scenario",
        type=_named_file,
        action="append",
        default=[],
        metavar="NAME=FILE.csv",
        help="the drivers' coming levels: year (for companies' own: company, year) and a column for each driver; can "
        "be repeated",
    )
    verb.add_argument(
        "--targets", type=Path, metavar="FILE.csv", help="company, year, emissions: met in every scenario"
    )
    verb.add_argument(
        "--figure", type=image_file, metavar="FILE", help="also draw what the first scenario's drivers add"
    )
    _add_common(verb, samples=200)
    verb.set_defaults(run=_scenarios)


def _add_horizon(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--horizon", type=count, required=True, metavar="H", help="years to forecast")


def _add_common(verb: argparse.ArgumentParser, *, samples: int) -> None:
    verb.add_argument(
        "--n-samples", type=count, default=samples, metavar="N", help="joint trajectories; default: %(default)s"
    )
    verb.add_argument("--seed", type=whole, default=0, metavar="S", help="of the draws; default: 0")
    verb.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, …")
    verb.add_argument("--threads", type=count, metavar="N", help="of the CPU; default: all")
    add_json_option(verb)


def _years(text: str) -> list[int]:
    try:
        return [count(year) for year in text.split(",")]
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not years with commas between, such as 2016,2018") from None


def _fraction(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a fraction in [0, 1)")


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise argparse.ArgumentTypeError(f"{text!r}: give a name and a file, such as high_price=high.csv")
    return name, Path(file)


# The verbs import torch and pandas, which the command line itself must not.


def _forecast(args: argparse.Namespace) -> int:
    from sciml_zoo.cli.emissions_forecast import forecast

    return forecast(args)


def _footprint(args: argparse.Namespace) -> int:
    from sciml_zoo.cli.emissions_footprint import report

    return report(args)


def _backtest(args: argparse.Namespace) -> int:
    from sciml_zoo.cli.emissions_backtest import compare_methods

    return compare_methods(args)


def _scenarios(args: argparse.Namespace) -> int:
    from sciml_zoo.cli.emissions_scenarios import compare_scenarios

    return compare_scenarios(args)
