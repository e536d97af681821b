"""What a user must know before believing the forecast of a panel."""

import warnings

import pandas as pd

from sciml_zoo.emissions._checked_table import named
from sciml_zoo.emissions.model import EmissionsForecaster, EmissionsForecasterConfig
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.windows import places

__all__ = ["silent_companies", "warn_of_panel", "without_report"]

_FEWEST_REPORTS = 3


def warn_of_panel(model: EmissionsForecaster, known: Panel, horizon: int) -> None:
    """Warns of companies, sectors, countries and years that a network knows little of, or too much.

    Args:
        model: the network.
        known: histories up to the origin.
        horizon: years to forecast.
    """
    last, config = known.years[-1], model.config
    _warn_of_companies(known)
    if config.last_year > last:
        warnings.warn(
            f"the weights have learned from years up to {config.last_year}: a forecast from {last} is no test",
            stacklevel=3,
        )
    _warn_of_statics(known, config)
    if horizon > config.horizon:
        warnings.warn(
            f"the weights are calibrated for {config.horizon} years ahead: what lies beyond is extrapolated",
            stacklevel=3,
        )


def silent_companies(panel: Panel, year: int) -> list[str]:
    """Returns the companies that reported before a year and not in it.

    Args:
        panel: with them.
        year: such as an origin, which may lie after the panel's last.
    """
    reports = panel.until(year).emissions.reindex(columns=[year])[year]
    return list(reports.index[reports.isna()])


def without_report(panel: Panel, known: Panel) -> list[str]:
    """Returns the companies of a panel, those of whom no value could be taken too, that another does not have.

    Args:
        panel: all of them.
        known: those with a report up to some year.
    """
    there = {*known.companies, ""}
    return [key for key in dict.fromkeys([*panel.companies, *panel.rejected["company"]]) if key not in there]


def _warn_of_companies(known: Panel) -> None:
    """Warns of companies that can hardly be forecast."""
    last = known.years[-1]
    silent = pd.Series(silent_companies(known, last))
    if len(silent):
        warnings.warn(
            f"no report in {last} of {named(silent)}: forecast from the last report, as if they went on; if they have "
            "closed, leave them out of totals",
            stacklevel=3,
        )
    few = pd.Series(list(known.emissions.index[known.emissions.notna().sum(axis=1) < _FEWEST_REPORTS]))
    if len(few):
        warnings.warn(
            f"fewer than three reports of {named(few)}: their forecasts are little more than guesses",
            stacklevel=3,
        )


def _warn_of_statics(known: Panel, config: EmissionsForecasterConfig) -> None:
    """Warns of sectors and countries that a network does not tell apart."""
    for static, vocabulary in (("sector", config.sectors), ("country", config.countries)):
        texts = known.statics[static]
        unknown = texts[(texts != "") & (places(list(texts), vocabulary) == 0)]
        if len(unknown):
            warnings.warn(
                f"the weights do not tell the {static} {named(unknown.drop_duplicates())} apart "
                f"({len(unknown)} companies): taken as unknown; they know {', '.join(vocabulary) or 'none'}",
                stacklevel=3,
            )
