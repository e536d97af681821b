"""What a backtest found, and its summaries."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sciml_zoo.errors import InputError, nearest

__all__ = ["REFERENCE", "VIEWS", "BacktestResult"]

#: The method that all others are compared with.
REFERENCE = "naive"

#: Companies that a summary may be of: those scored, those of them that were never in training, and those with a report
#: in every year of the panel. The last leave out whoever came late or vanished: good for seeing how much that matters,
#: not for a claim.
VIEWS = ("all", "held out", "complete")


@dataclass(frozen=True)
class BacktestResult:
    """Scores of several methods at several origins.

    Attributes:
        scores: a row for each ``method``, ``origin``, ``company``, ``horizon`` (years ahead) with an actual value:
            ``actual``, ``point``, ``mean``, ``error`` (absolute, of the point), ``scale``, ``crps`` in tonnes;
            ``smape`` in percent; ``in80``, ``in95``, 1 where the interval holds the actual value; ``width80``,
            ``width95`` in units of the scale.
        companies: index company; ``sector``, ``country``, ``complete``, ``held_out``.
        portfolio_hits: by ``method``, ``origin``, ``view``, ``horizon`` the shares ``in80``, ``in95`` of random
            portfolios whose total lay in its interval.
        counts: index origin; companies ``known``, why some were not scored, and ``scored``.
    """

    scores: pd.DataFrame
    companies: pd.DataFrame
    portfolio_hits: pd.DataFrame
    counts: pd.DataFrame

    def summary(self, view: str = "all") -> pd.DataFrame:
        """Returns the scores of each method.

        Args:
            view: one of :data:`VIEWS`.

        Returns:
            Index ``method``. ``mase``, ``crps`` (over the scale), ``smape`` (percent), ``width80`` and ``width95``: the
            mean over the years of a company at an origin, then over all of these. ``mase_relative``, ``crps_relative``:
            over that mean of the naive forecast, of the same companies and origins. ``coverage80``, ``coverage95``: of
            all years together. ``total``: Σ |Σ mean − Σ actual| over origins and years, the inner sums over the
            companies with an actual value, tonnes; ``total_relative``: over that of the naive forecast. ``companies``,
            ``company_origins``: how many.

        Raises:
            InputError: an unknown view, or one without a company.
        """
        return self._by([], view)

    def by_horizon(self, view: str = "all") -> pd.DataFrame:
        """Returns :meth:`summary` for each year of the horizon, index ``method, horizon``.

        Args:
            view: one of :data:`VIEWS`.
        """
        return self._by(["horizon"], view)

    def by_origin(self, view: str = "all") -> pd.DataFrame:
        """Returns :meth:`summary` for each origin, index ``method, origin``.

        Args:
            view: one of :data:`VIEWS`.
        """
        return self._by(["origin"], view)

    def by_sector(self, view: str = "all") -> pd.DataFrame:
        """Returns :meth:`summary` for each sector ("" where unknown), index ``method, sector``.

        Args:
            view: one of :data:`VIEWS`.
        """
        return self._by(["sector"], view)

    def portfolio_coverage(self, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
        """Returns how often the intervals of random portfolios held their totals.

        Years near each other share their shocks, so the uncertainty is over origins: these are drawn with replacement.

        Args:
            resamples: bootstrap draws of the origins.
            seed: of the draws.

        Returns:
            Index ``method, view``; ``coverage80``, ``coverage95``, the mean over origins of the share of portfolios and
            years; ``low80``, ``high80``, ``low95``, ``high95``, 95 % bootstrap intervals of these.
        """
        rng = np.random.default_rng(seed)
        rows = []
        for (method, view), group in self.portfolio_hits.groupby(["method", "view"], observed=True):
            shares = group.groupby("origin")[["in80", "in95"]].mean().to_numpy()
            draws = shares[rng.integers(len(shares), size=(resamples, len(shares)))].mean(axis=1)
            (low80, low95), (high80, high95) = np.quantile(draws, (0.025, 0.975), axis=0)
            coverage80, coverage95 = shares.mean(axis=0)
            row = {"method": method, "view": view, "coverage80": coverage80, "low80": low80, "high80": high80}
            rows.append(row | {"coverage95": coverage95, "low95": low95, "high95": high95})
        return pd.DataFrame(rows).set_index(["method", "view"])

    def _by(self, keys: list[str], view: str) -> pd.DataFrame:
        """Returns the summary of a view, split by keys."""
        groups = ["method", *keys]
        rows = self._rows(view)
        series = rows.groupby([*groups, *(key for key in ("origin", "company") if key not in keys)], observed=True)
        means = series[["mase", "crps", "smape", "width80", "width95"]].mean().groupby(groups, observed=True)
        table = means.mean()
        pooled = rows.groupby(groups, observed=True)
        table[["coverage80", "coverage95"]] = pooled[["in80", "in95"]].mean()
        years = rows.groupby([*groups, *(key for key in ("origin", "horizon") if key not in keys)], observed=True)
        totals = years[["mean", "actual"]].sum()
        table["total"] = (totals["mean"] - totals["actual"]).abs().groupby(groups, observed=True).sum()
        # All methods forecast the same, so each has the reference's rows, in its order.
        for score in ("mase", "crps", "total"):
            reference = table.loc[[REFERENCE], score].to_numpy()
            table[f"{score}_relative"] = table[score] / np.tile(reference, len(table) // len(reference))
        table["companies"] = pooled["company"].nunique()
        table["company_origins"] = means.size()
        return table

    def _rows(self, view: str) -> pd.DataFrame:
        """Returns the scores of a view, ``crps`` over the scale, with ``mase`` and ``sector``.

        Raises:
            InputError: an unknown view, or one without a company.
        """
        if view not in VIEWS:
            raise InputError(f"view: no view {view!r}; {nearest(view, VIEWS)}")
        rows = self.scores
        if view != "all":
            chosen = self.companies.index[self.companies["held_out" if view == "held out" else "complete"]]
            rows = rows[rows["company"].isin(chosen)]
        if rows.empty:
            raise InputError(f"view {view!r}: none of the companies scored belongs to it")
        scaled = {"mase": rows["error"] / rows["scale"], "crps": rows["crps"] / rows["scale"]}
        return rows.assign(**scaled, sector=rows["company"].astype(object).map(self.companies["sector"]))
