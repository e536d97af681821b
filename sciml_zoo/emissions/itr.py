"""The sample portfolio of the OS-Climate ITR tool, as the three tables of a footprint."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sciml_zoo.emissions._table import numbers, read_table, texts
from sciml_zoo.emissions.units import to_tonnes

__all__ = ["ItrSample", "read_itr"]

_SCOPES = {"s1": "1", "s2": "2", "s3": "3"}
_FIGURES = ["company", "scope", "year"]
_AMOUNTS = {"evic": "evic", "market_cap": "equity", "debt": "debt", "revenue": "revenue"}
# The day from which spreadsheets count.
_EPOCH = pd.Timestamp("1899-12-30")
_TOTAL = re.compile(r"|combined|all|(sum )?total.*|(location|market)(-based)?\*?")
_WHOLE_COMPANY = ("", "total", "global", "own", "operated", "operations-driven", "enlarged group")
# Scope 2 by the electricity of the place, then without a word, then by contract. Parts come after all totals.
_METHODS = {"location": 0, "": 1, "market": 2}
_PARTS = 3
# PCAF scores reported emissions that nobody verified 2; a sum that may lack a part is scored one worse here.
_QUALITY_TOTAL, _QUALITY_PARTS = 2, 3


@dataclass(frozen=True)
class ItrSample:
    """A portfolio and what is known of its companies, keyed by the sample's ``company_id``.

    Attributes:
        holdings: ``company, value, currency, asset_class``.
        financials: ``company, year, evic, equity, debt, revenue, currency``; NaN where unknown.
        emissions: ``company, year, scope, emissions, unit, data_quality``; scope ``"1"``, ``"2"`` or ``"3"``, tonnes.
        targets: ``company, type, scopes, base_year, base_value, unit, year, reduction, net_zero_year``; scopes such as
            ``"1+2"``, reduction as a share of the base.
        rejected: values that were not taken: ``company, year, value, reason``.
    """

    holdings: pd.DataFrame
    financials: pd.DataFrame
    emissions: pd.DataFrame
    targets: pd.DataFrame
    rejected: pd.DataFrame


def read_itr(folder: Path) -> ItrSample:
    """Reads the sample.

    Money is converted to euros by the sample's own rates. Equity is the market capitalisation; where that or EVIC is 0
    or 1, it is not known, as for companies without listed shares. The year is that of the report. A key such as
    ``US0236081024+Gas Utilities`` is a segment, of which the sample has neither financials nor emissions.

    Of a company's figures for a year and scope the total is taken, or where no report has one the sum of the parts,
    with a data-quality score of 3 instead of 2; for scope 2 the location-based figure, then the one that names no
    method, then the market-based; of several reports the latest; of several totals in a report the last. Biogenic
    carbon stands outside the scopes, and sums over scopes (``s1s2``) are not divided.

    Args:
        folder: of ``portfolio.csv.gz``, ``financials.csv.gz``, ``esg.csv.gz`` and ``targets.csv.gz``.

    Returns:
        The three tables, the targets, and what was not taken.
    """
    portfolio = read_table(folder / "portfolio.csv.gz")
    value = numbers(portfolio["investment_value [EUR]"])
    holdings = pd.DataFrame({"company": portfolio["company_id"], "value": value}).assign(
        currency="EUR", asset_class="listed_equity"
    )
    financials, no_amounts = _financials(read_table(folder / "financials.csv.gz"))
    emissions, no_emissions = _emissions(read_table(folder / "esg.csv.gz"))
    rejected = pd.concat([no_amounts, no_emissions], ignore_index=True)
    targets = _targets(read_table(folder / "targets.csv.gz"))
    return ItrSample(holdings.reset_index(drop=True), financials, emissions, targets, rejected)


def _financials(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the table in euros, and the amounts that are not known."""
    days = pd.Series(numbers(rows["report_date"]), rows.index)
    rows["year"] = (_EPOCH + pd.to_timedelta(days, unit="D")).dt.year.astype("Int64")
    # "megaEUR" has the rate 1e6, so that this unit is resolved as if it were a currency.
    rows["rate"] = numbers(rows["fx_rate"].where(rows["currency"] != "EUR", "1"))
    cells = rows.rename(columns={"company_id": "company"} | _AMOUNTS).melt(
        ["company", "year", "rate"], list(_AMOUNTS.values()), var_name="amount"
    )
    cells = cells[cells["value"] != ""]
    number = numbers(cells["value"])
    cells["euros"] = number * cells["rate"]
    cells["reason"] = ""
    cells.loc[cells["euros"].isna(), "reason"] = "not a number, or no exchange rate"
    cells.loc[(number <= 1) & cells["amount"].isin(["evic", "equity"]), "reason"] = "stands for an unknown amount"
    cells.loc[cells["year"].isna(), "reason"] = "no report date"
    taken = cells[cells["reason"] == ""].astype({"year": int})
    table = taken.pivot(index=["company", "year"], columns="amount", values="euros").reset_index()
    table = table.reindex(columns=["company", "year", *_AMOUNTS.values()]).rename_axis(columns=None)
    return table.assign(currency="EUR"), _rejected(cells, cells["amount"])


def _emissions(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns a figure for each company, scope and year, and the figures that cannot be taken."""
    # A report begins where a company is named; the lines after it belong to it.
    rows["report"] = (rows["company_id"] != "").cumsum()
    rows["company"] = rows.groupby("report")["company_id"].transform("first")
    dates = pd.Series(numbers(rows["report_date"]), rows.index)
    rows["date"] = dates.groupby(rows["report"]).transform("first").fillna(0)
    rows["scope"] = rows["metric"].map(_SCOPES)
    rows["rank"], rows["biogenic"] = _rank(rows)
    years = [name for name in rows.columns if re.fullmatch(r"20\d\d", name)]
    kept = ["company", "report", "date", "scope", "unit", "submetric", "rank", "biogenic"]
    cells = rows[rows["scope"].notna()].melt(kept, years, var_name="year")
    cells = cells[cells["value"] != ""]
    cells[["tonnes", "reason"]] = to_tonnes(cells["value"], cells["unit"])
    cells.loc[cells["submetric"].isin(["net", "ignore"]), "reason"] = "neither a total nor a part of it"
    cells.loc[cells["biogenic"], "reason"] = "biogenic carbon, which stands outside the scopes"
    taken = cells[cells["reason"] == ""].astype({"year": int})
    taken = taken.sort_values(["rank", "date", "report"], ascending=[True, False, False], kind="stable")
    groups = taken.groupby(_FIGURES)
    best = taken[(groups[["rank", "report"]].transform("first") == taken[["rank", "report"]]).all(axis=1)]
    totals = best[best["rank"] < _PARTS].drop_duplicates(_FIGURES, keep="last").assign(data_quality=_QUALITY_TOTAL)
    parts = best[best["rank"] >= _PARTS].groupby(_FIGURES, as_index=False)["tonnes"].sum()
    table = pd.concat([totals, parts.assign(data_quality=_QUALITY_PARTS)]).rename(columns={"tonnes": "emissions"})
    table = table.assign(unit="t")[["company", "year", "scope", "emissions", "unit", "data_quality"]]
    return table.sort_values(_FIGURES, ignore_index=True), _rejected(cells, "scope " + cells["scope"])


def _rank(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Returns which figure of a company and year is to be preferred, the lowest, and which are biogenic."""
    part = rows["submetric"].str.strip().str.lower()
    boundary = rows["boundary"].str.strip().str.lower()
    method = part.str.extract("^(location|market)", expand=False).fillna("").where(rows["scope"] == "2", "")
    whole = part.map(lambda text: _TOTAL.fullmatch(text) is not None) & boundary.isin(_WHOLE_COMPANY)
    return method.map(_METHODS) + _PARTS * ~whole, part.str.contains("biogenic") | boundary.str.contains("biogenic")


def _rejected(cells: pd.DataFrame, what: pd.Series) -> pd.DataFrame:
    """Returns the values that have a reason, which then says what they are."""
    cells = cells.assign(year=texts(cells["year"]), reason=what + ": " + cells["reason"])[cells["reason"] != ""]
    return cells[["company", "year", "value", "reason"]]


def _targets(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the companies' targets."""
    columns = {
        "base_year": "target_base_year",
        "base_value": "target_base_year_qty",
        "year": "target_year",
        "reduction": "target_reduction_ambition",
        "net_zero_year": "netzero_year",
    }
    scopes = rows["target_scope"].str.strip().str.lower().str.replace(r"\bs(?=\d)", "", regex=True)
    table = pd.DataFrame({"company": rows["company_id"], "type": rows["target_type"], "scopes": scopes})
    table["unit"] = rows["target_base_year_unit"]
    table = table.assign(**{name: numbers(rows[given]) for name, given in columns.items()})
    return table[["company", "type", "scopes", "base_year", "base_value", "unit", "year", "reduction", "net_zero_year"]]
