"""Companies × years of emissions, with what is known of the companies."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from sciml_zoo.emissions._statics import NEVER_RENAMED, STATICS, statics_as_of, statics_of
from sciml_zoo.emissions._table import FIRST_YEAR, LAST_YEAR, is_year, likely_meant, numbers, read_table, require, texts
from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.units import to_tonnes
from sciml_zoo.errors import InputError

__all__ = ["STATICS", "Panel", "read_panel"]

_REJECTED = ["company", "year", "value", "reason"]
# Two reports are the same value if they differ by rounding, such as 2.3 kt and 2300 t.
_SAME = 1e-9


@dataclass(frozen=True)
class Panel:
    """Yearly emissions of many companies; a year in which nothing was reported is NaN, never zero.

    Attributes:
        emissions: tonnes of CO2 equivalent, float64; index ``company`` (text, unique), columns consecutive years (int).
        statics: text, "" where unknown; same index, columns :data:`STATICS`.
        drivers: economic drivers by year, if there are any.
        rejected: the values that were not taken: columns ``company``, ``year``, ``value`` (all as they were given) and
            ``reason``.
        renamed: of companies whose sector or country was another, or unknown, in an earlier year, what it was since
            when: columns ``company``, ``year``, ``static``, ``value``, by year.
    """

    emissions: pd.DataFrame
    statics: pd.DataFrame
    drivers: Drivers | None = None
    rejected: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_REJECTED))
    renamed: pd.DataFrame = field(default_factory=NEVER_RENAMED.copy)

    @property
    def companies(self) -> list[str]:
        """Their keys, in order."""
        return list(self.emissions.index)

    @property
    def years(self) -> list[int]:
        """All years, without holes, in order."""
        return [int(year) for year in self.emissions.columns]

    @property
    def values(self) -> np.ndarray:
        """Emissions as an array, float64 [companies, years], NaN where nothing was reported."""
        return self.emissions.to_numpy(dtype=np.float64)

    def total(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns what all that reported emitted together, NaN in a year without a report, float64 [years].

        Args:
            weights: of the companies, such as attribution factors, [companies]; None: all one.
        """
        values = self.values if weights is None else self.values * weights[:, None]
        return np.where(np.isfinite(values).any(axis=0), np.nansum(values, axis=0), np.nan)

    def until(self, year: int) -> "Panel":
        """Returns what was known at the end of a year: companies with nothing reported by then are left out.

        Sectors and countries too are those that had been named by then.

        Args:
            year: the last one kept; it may lie after the panel's.

        Raises:
            InputError: the panel begins later.
        """
        kept = [y for y in self.years if y <= year]
        if not kept:
            raise InputError(f"origin {year}: the panel begins in {self.years[0]}")
        emissions = self.emissions[kept]
        emissions = emissions[emissions.notna().any(axis=1)]
        drivers = None if self.drivers is None else self.drivers.until(year)
        statics = statics_as_of(self.statics, self.renamed, list(emissions.index), year)
        renamed = self.renamed[self.renamed["year"] <= year]
        return dataclasses.replace(self, emissions=emissions, statics=statics, drivers=drivers, renamed=renamed)

    def between(self, since: int | None, until: int | None) -> "Panel":
        """Returns the years of a range; companies with nothing reported in it are left out.

        Args:
            since: the first year kept; None: the panel's first.
            until: the last one kept; None: the panel's last.

        Raises:
            InputError: nothing lies in the range.
        """
        panel = self.until(self.years[-1] if until is None else until)
        kept = [year for year in panel.years if since is None or year >= since]
        emissions = panel.emissions[kept]
        emissions = emissions[emissions.notna().any(axis=1)]
        if emissions.empty:
            raise InputError(f"nothing is reported between {since} and {until}")
        return dataclasses.replace(panel, emissions=emissions, statics=panel.statics.loc[emissions.index])

    def select(self, companies: Iterable[str]) -> "Panel":
        """Returns the panel of some companies.

        Args:
            companies: keys, in the order wanted.

        Raises:
            InputError: a key that is not in the panel.
        """
        wanted = list(companies)
        unknown = [key for key in wanted if key not in self.emissions.index]
        if unknown:
            raise InputError(f"companies not in the panel: {', '.join(map(repr, unknown[:5]))}")
        return dataclasses.replace(self, emissions=self.emissions.loc[wanted], statics=self.statics.loc[wanted])

    @classmethod
    def from_long(
        cls,
        frame: pd.DataFrame,
        *,
        company: str = "company",
        year: str = "year",
        emissions: str = "emissions",
        unit: str | None = None,
        drivers: Drivers | None = None,
        place: str | Path = "the table",
    ) -> "Panel":
        """Builds a panel from a row for each company and year.

        A row without emissions is a year without a report. What cannot be taken stands in ``rejected``: values that are
        negative, infinite or no number, in a unit that is none, without a company or a sound year; and company-years
        given twice: with one value, all but the first; with several, all, since none can be trusted.

        Args:
            frame: the columns below and, if they are known, ``unit`` (of each row), ``sector`` and ``country``; of
                several sectors or countries of a company the latest is taken, and by :meth:`until` the latest by then.
                Keys are text and stay as they are: read files with ``dtype=str, keep_default_na=False``, or with
                :func:`read_panel`.
            company: name of the column of keys.
            year: name of the column of years.
            emissions: name of the column of emissions.
            unit: of the rows that do not say; None: tonnes if there is no column ``unit``, and a row that leaves it
                empty is rejected.
            drivers: economic drivers by year.
            place: the table's name, for messages.

        Returns:
            The panel, companies in their order of appearance, years from the first to the last report.

        Raises:
            InputError: a column is missing, or nothing can be taken.
        """
        require(frame, [company, year, emissions], place)
        where = pd.Series([f"{frame.index.name or 'row'} {label}: " for label in frame.index], dtype="str")
        frame = frame.reset_index(drop=True)
        rows = pd.DataFrame({name: texts(frame[name]) for name in STATICS if name in frame}, frame.index)
        rows["company"], rows["value"] = texts(frame[company]), texts(frame[emissions])
        rows["given year"], rows["year"] = texts(frame[year]), numbers(frame[year])
        units = texts(frame["unit"]) if "unit" in frame else pd.Series(unit or "t", frame.index)
        rows[["tonnes", "reason"]] = to_tonnes(frame[emissions], units.where(units != "", unit or ""))
        rows.loc[~is_year(rows["year"].to_numpy()), "reason"] = f"not a year from {FIRST_YEAR} to {LAST_YEAR}"
        rows.loc[rows["company"].str.strip() == "", "reason"] = "no company"
        sound = rows[rows["reason"] == ""]
        repeated = _repeated(sound[sound["tonnes"].notna()])
        rows.loc[repeated.index, "reason"] = repeated
        rejected = rows[rows["reason"] != ""].drop(columns="year").rename(columns={"given year": "year"})[_REJECTED]
        rejected["reason"] = where[rejected.index] + rejected["reason"]
        taken = rows[(rows["reason"] == "") & rows["tonnes"].notna()]
        if taken.empty:
            first = "; ".join(
                f"{row.company!r} {row.year}: {row.value!r}: {row.reason}" for row in rejected[:3].itertuples()
            )
            raise InputError(f"{place}: no emissions that can be taken" + (f" ({first})" if first else ""))
        matrix = _matrix(taken)
        statics, renamed = statics_of(sound, matrix.index)
        return cls(matrix, statics, drivers, rejected.reset_index(drop=True), renamed)

    @classmethod
    def from_wide(
        cls,
        frame: pd.DataFrame,
        *,
        company: str = "company",
        unit: str | None = None,
        drivers: Drivers | None = None,
        place: str | Path = "the table",
    ) -> "Panel":
        """Builds a panel from a row for each company, with a column for each year.

        Args:
            frame: the column, or index, of keys; columns named by years (numbers or text); and, if they are known,
                ``unit``, ``sector`` and ``country``. Otherwise as in :meth:`from_long`.
            company: name of the column, or index, of keys.
            unit: as in :meth:`from_long`.
            drivers: as in :meth:`from_long`.
            place: as in :meth:`from_long`.

        Returns:
            The panel.

        Raises:
            InputError: a column is missing, there is no year, or nothing can be taken.
        """
        if company not in frame and frame.index.name == company:
            frame = frame.reset_index()
        require(frame, [company], place)
        years = _year_columns(frame)
        if not years:
            raise InputError(f"{place}: no column is named by a year, such as 2019")
        kept = [name for name in (company, "unit", *STATICS) if name in frame]
        # Text and numbers may stand side by side, and must not become one another.
        cells = frame[kept + years].astype(dict.fromkeys(years, object))
        rows = cells.melt(id_vars=kept, value_vars=years, var_name="year", value_name="emissions", ignore_index=False)
        # By company, as the rows stand, so that companies and rejected rows come in the table's order.
        order = np.arange(len(rows)).reshape(len(years), len(frame)).T.ravel()
        return cls.from_long(rows.iloc[order], company=company, unit=unit, drivers=drivers, place=place)

    def to_long(self) -> pd.DataFrame:
        """Returns ``company, year, emissions, unit, sector, country``: a row for each report, in tonnes."""
        row, column = np.nonzero(~np.isnan(self.values))
        keys = self.emissions.index[row]
        columns = {"company": keys, "year": np.array(self.years)[column], "emissions": self.values[row, column]}
        return pd.DataFrame(columns | {"unit": "t"} | {name: self.statics[name].to_numpy()[row] for name in STATICS})

    def to_wide(self) -> pd.DataFrame:
        """Returns ``company, unit, sector, country`` and a column for each year, in tonnes: a row for each company."""
        left = self.statics.assign(unit="t")[["unit", *STATICS]]
        return pd.concat([left, self.emissions], axis=1).rename_axis(index="company", columns=None).reset_index()


def read_panel(path: str | Path, *, until: int | None = None) -> Panel:
    """Reads a panel from CSV, long (``company, year, emissions``) or wide (``company`` and a column for each year).

    Args:
        path: the file, plain or gzip; in both forms ``unit``, ``sector`` and ``country`` may stand beside.
        until: rows, or columns, of later years are passed over, as if they were not there; None: none are.

    Returns:
        The panel; the reasons in ``rejected`` name the line.

    Raises:
        InputError: naming the file: neither form, nothing can be taken, or a column such as ``units`` that is all but
            named like an optional one.
    """
    frame = read_table(path)
    if "year" not in frame and "emissions" not in frame and _year_columns(frame):
        years = pd.Series(_year_columns(frame), dtype=object)
        late = [] if until is None else list(years[numbers(years) > until])
        return Panel.from_wide(frame.drop(columns=late), place=path)
    known = {"company", "year", "emissions", "unit", *STATICS}
    others = [name for name in frame.columns if name not in known]
    meant = likely_meant(others, known - set(frame.columns) - {"company", "year", "emissions"})
    if meant:
        raise InputError(f"{path}: a column would be passed over{meant}, or to something else")
    if until is not None and "year" in frame:
        frame = frame[~(numbers(frame["year"]) > until)]
    return Panel.from_long(frame, place=path)


def _year_columns(frame: pd.DataFrame) -> list:
    """Returns the columns that are named by a year."""
    return list(frame.columns[is_year(numbers(pd.Series(list(frame.columns), dtype=object)))])


def _repeated(reported: pd.DataFrame) -> pd.Series:
    """Returns why rows are rejected that repeat a company-year; only those."""
    groups = reported.groupby(["company", "year"], sort=False)["tonnes"]
    low, high = groups.transform("min"), groups.transform("max")
    differ = high - low > _SAME * high
    again = reported.duplicated(["company", "year"]) & ~differ
    several = pd.Series("this company and year are given with different values", reported.index[differ], dtype=object)
    same = pd.Series(
        "this company and year were given before, with the same value", reported.index[again], dtype=object
    )
    return pd.concat([several, same])


def _matrix(taken: pd.DataFrame) -> pd.DataFrame:
    """Returns emissions by company and year, companies in their order of appearance."""
    codes, companies = pd.factorize(taken["company"])
    years = taken["year"].astype(int)
    columns = pd.Index(range(years.min(), years.max() + 1), name="year")
    values = np.full((len(companies), len(columns)), np.nan)
    values[codes, years - columns[0]] = taken["tonnes"]
    return pd.DataFrame(values, pd.Index(companies, name="company"), columns)
