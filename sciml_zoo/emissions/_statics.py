"""What is known of companies beside their emissions, and since when."""

from collections.abc import Sequence

import pandas as pd

__all__ = ["NEVER_RENAMED", "STATICS", "statics_as_of", "statics_of"]

#: What is known of a company beside its emissions.
STATICS = ("sector", "country")

#: No company whose sector or country changes: columns ``company, year, static, value``.
NEVER_RENAMED = pd.DataFrame({"company": [], "year": [], "static": [], "value": []}, dtype=object)


def statics_of(rows: pd.DataFrame, companies: pd.Index) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the latest sector and country that each company names, and what it named before.

    Args:
        rows: ``company``, ``year`` (number) and, if they are known, :data:`STATICS` (text, "" where not).
        companies: keys, in the order wanted.

    Returns:
        Text, "" where unknown [companies, STATICS]; and, of companies that name something else, or nothing, in an
        earlier year: ``company, year, static, value``, by year.
    """
    statics, renamed = pd.DataFrame("", companies, list(STATICS)), [NEVER_RENAMED]
    for static in statics.columns.intersection(rows.columns):
        ordered = rows[["company", "year", static]].sort_values("year", kind="stable")
        named = ordered[ordered[static] != ""]
        latest = named.drop_duplicates("company", keep="last").set_index("company")[static]
        statics[static] = latest.reindex(companies).fillna("")
        first = ordered.drop_duplicates("company").set_index("company")["year"]
        begins = named.drop_duplicates("company").set_index("company")["year"]
        several = named.groupby("company")[static].nunique() > 1
        changing = several | (begins > first.reindex(begins.index))
        part = named[named["company"].isin(changing.index[changing])].rename(columns={static: "value"})
        renamed.append(part.assign(static=static)[["company", "year", "static", "value"]])
    found = [part for part in renamed if len(part)]
    return statics, pd.concat(found, ignore_index=True) if found else NEVER_RENAMED


def statics_as_of(statics: pd.DataFrame, renamed: pd.DataFrame, companies: Sequence[str], year: int) -> pd.DataFrame:
    """Returns what was known at the end of a year.

    Args:
        statics: the latest, as :func:`statics_of` gives them.
        renamed: likewise.
        companies: keys wanted.
        year: the last one looked at.

    Returns:
        Text, "" where unknown [companies, STATICS].
    """
    known = statics.loc[list(companies)].copy()
    for static, rows in renamed[renamed["company"].isin(known.index)].groupby("static"):
        named = rows[rows["year"] <= year].drop_duplicates("company", keep="last").set_index("company")["value"]
        changing = rows["company"].unique()
        known.loc[changing, str(static)] = named.reindex(changing).fillna("")
    return known
