"""Units of emissions: masses of CO2 equivalent in tonnes."""

import re

import numpy as np
import pandas as pd

from sciml_zoo.emissions._table import numbers, texts
from sciml_zoo.errors import InputError

__all__ = ["NOT_REPORTED", "to_tonnes", "tonnes_per"]

#: What stands in a table where nothing was reported.
NOT_REPORTED = frozenset({"", "nan", "NaN", "n/a"})

# Symbols, in which case tells milli from mega. "MMT" is the million metric tons of American reports.
_SYMBOLS = {"kg": 1e-3, "t": 1.0, "kt": 1e3, "Kt": 1e3, "KT": 1e3, "Mt": 1e6, "MMT": 1e6, "Gt": 1e9}
_WORDS = {
    "kilogram": 1e-3,
    "tonne": 1.0,
    "metric ton": 1.0,
    "kilotonne": 1e3,
    "megatonne": 1e6,
    "gigatonne": 1e9,
}
_TIMES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_AMBIGUOUS = {
    "mt": "metric or mega tonnes? write 't' or 'Mt'",
    "MT": "metric or mega tonnes? write 't' or 'Mt'",
    "ton": "short, long or metric? write 't' and convert if need be",
    "tons": "short, long or metric? write 't' and convert if need be",
}
_UNIT = re.compile(
    r"(?:(?P<times>[a-z]+?)s?\s+)??"
    r"(?P<mass>metric tons?|[a-z]+?)"
    r"(?:(?:\s+of\s+|\s*)CO[2₂](?:\s*-?\s*e(?:q(?:uivalents?)?)?)?)?",
    re.IGNORECASE,
)


def tonnes_per(unit: str) -> float:
    """Returns how many tonnes one of a unit is.

    Args:
        unit: ``kg``, ``t``, ``kt``, ``Mt``, ``MMT``, ``Gt`` or the word (``tonnes``, ``metric tons``, ``megatonnes``);
            before it ``thousand``, ``million`` or ``billion``, if need be; after it ``CO2``, ``CO2e``, ``CO2eq`` or
            ``CO2-e``, with a space or not, if need be.

    Raises:
        InputError: no such unit, or one that can be read in two ways, such as ``mt``.
    """
    match = _UNIT.fullmatch(unit.strip())
    if match:
        times, mass = (match["times"] or "").lower(), match["mass"]
        if mass in _AMBIGUOUS:
            raise InputError(f"ambiguous unit {unit!r}: {_AMBIGUOUS[mass]}")
        size = _SYMBOLS.get(mass, _WORDS.get(mass.lower().removesuffix("s")))
        if size is not None and (not times or times in _TIMES):
            return size * _TIMES.get(times, 1.0)
    raise InputError(
        f"unknown unit of emissions {unit!r}; write kg, t, kt, Mt or Gt, or a word such as 'million tonnes', "
        "with or without CO2, CO2e, CO2eq or CO2-e after it"
    )


def to_tonnes(values: pd.Series, units: pd.Series) -> pd.DataFrame:
    """Converts reported emissions, each in its own unit.

    Args:
        values: numbers or text, [n].
        units: text, [n]; same index.

    Returns:
        ``tonnes``, float64, NaN where nothing was reported (see :data:`NOT_REPORTED`) or the value cannot be taken, and
        ``reason``, why it cannot, "" elsewhere; same index.
    """
    text = texts(values)
    reported = ~text.isin(NOT_REPORTED).to_numpy()
    amount = numbers(values)
    factors, reason = np.full(len(values), np.nan), np.full(len(values), "", dtype=object)
    for unit in units[reported].unique():
        here = (units == unit).to_numpy() & reported
        try:
            factors[here] = tonnes_per(unit)
        except InputError as error:
            reason[here] = str(error) if unit else "no unit"
    no_number = reported & np.isnan(amount)
    reason[no_number] = [f"{value!r} is not a number" for value in text[no_number]]
    reason[reported & np.isinf(amount)] = "infinite"
    reason[reported & (amount < 0) & np.isfinite(amount)] = "negative"
    tonnes = np.where(reported & (reason == ""), amount * factors, np.nan)
    return pd.DataFrame({"tonnes": tonnes, "reason": reason}, index=values.index)
