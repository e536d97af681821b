"""Rolling origins: what forecasters would have said, and how it turned out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sciml_zoo.emissions.backtest_scores import REFERENCE, BacktestResult
from sciml_zoo.emissions.baselines import Naive
from sciml_zoo.emissions.forecast import QUANTILES, Forecast, Forecaster
from sciml_zoo.emissions.metrics import crps, inside, naive_scale, smape, width
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.errors import InputError

__all__ = ["backtest"]


@dataclass(frozen=True)
class _Origin:
    """What is known at an origin, and what came after it.

    Args:
        year: the last one known.
        training: to fit to, nothing after the origin in it.
        test: to forecast, nothing after the origin in it.
        actual: of the test companies, [companies, horizon]; NaN: not reported.
        scale: of the test companies, [companies].
        portfolios: by view, which companies are in it, float32 [portfolios, companies].
        counts: of companies by what became of them.
    """

    year: int
    training: Panel
    test: Panel
    actual: np.ndarray
    scale: np.ndarray
    portfolios: dict[str, np.ndarray]
    counts: dict[str, int]


def backtest(
    make: Callable[[], Forecaster] | Mapping[str, Callable[[], Forecaster]],
    panel: Panel,
    *,
    origins: Sequence[int],
    horizon: int,
    min_history: int = 3,
    samples: int = 200,
    seed: int = 0,
    holdout: Collection[str] = (),
    n_portfolios: int = 200,
    portfolio_size: int = 50,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> BacktestResult:
    """Fits and scores forecasters at several origins, beside the naive forecast.

    At an origin, a forecaster gets nothing but what was known at its end: emissions, and drivers, of which only those
    with a known future go on. It is fitted to all companies but those held out. It forecasts all companies that
    reported in the origin year, have at least ``min_history`` reports, and changed at least once (else there is no
    scale). What became of them later plays no part in this choice; a year without an actual value is not scored.

    Args:
        make: makes an unfitted forecaster, or several by name; the naive one is always added, as "naive".
        panel: with the years after the origins.
        origins: last years known, each before the panel's last.
        horizon: years to forecast.
        min_history: reports up to the origin.
        samples: joint trajectories.
        seed: of the forecasts, and of the random portfolios.
        holdout: companies never seen in training.
        n_portfolios: random portfolios at each origin: of all companies, and of those held out.
        portfolio_size: companies in a portfolio, all where there are fewer.
        on_progress: called with the number of fits done, their total, and which comes next.

    Returns:
        The scores.

    Raises:
        InputError: an origin that the panel does not allow, a horizon below 1, a held-out company that is not in the
            panel, a method called "naive", no company to train on or to score, a forecast of other companies or years
            than asked for, or one that is not finite.
    """
    methods = dict(make) if isinstance(make, Mapping) else {"forecaster": make}
    _check(methods, panel, origins, horizon, holdout)
    methods = {REFERENCE: Naive, **methods}
    scores: list[pd.DataFrame] = []
    hits, counts = [], []
    total = len(origins) * len(methods)
    for year in origins:
        origin = _at(panel, year, horizon, min_history, set(holdout))
        origin.portfolios.update(_portfolios(origin, set(holdout), n_portfolios, portfolio_size, seed))
        counts.append({"origin": year, **origin.counts})
        for name, maker in methods.items():
            if on_progress is not None:
                on_progress(len(scores), total, f"{name}, {year}")
            forecast = maker().fit(origin.training).predict(origin.test, horizon, samples=samples, seed=seed)
            _check_forecast(name, forecast, origin)
            scores.append(_scores(forecast, origin).assign(method=name, origin=year))
            hits.append(_portfolio_hits(forecast, origin).assign(method=name, origin=year))
            # Two forecasts may not fit in memory.
            del forecast
    table = pd.concat(scores, ignore_index=True)
    order = pd.CategoricalDtype(list(methods), ordered=True)
    companies = panel.statics.assign(
        complete=panel.emissions.notna().all(axis=1), held_out=panel.emissions.index.isin(list(holdout))
    )
    return BacktestResult(
        table.astype({"method": order, "company": "category"}),
        companies,
        pd.concat(hits, ignore_index=True).astype({"method": order}),
        pd.DataFrame(counts).set_index("origin"),
    )


def _check(
    methods: Mapping[str, object], panel: Panel, origins: Sequence[int], horizon: int, holdout: Collection[str]
) -> None:
    if REFERENCE in methods:
        raise InputError(f"method {REFERENCE!r}: the name of the reference, which is always added; choose another")
    if not origins or horizon < 1:
        raise InputError(
            f"{len(origins)} origins, horizon {horizon}: a backtest needs at least one origin and one year"
        )
    for year in origins:
        if not panel.years[0] < year < panel.years[-1]:
            first, last = panel.years[0] + 1, panel.years[-1] - 1
            raise InputError(f"origin {year}: the panel allows origins from {first} to {last}")
    unknown = sorted(set(holdout) - set(panel.companies))
    if unknown:
        raise InputError(f"held-out companies not in the panel: {', '.join(map(repr, unknown[:5]))}")


def _at(panel: Panel, year: int, horizon: int, min_history: int, holdout: set[str]) -> _Origin:
    """Returns an origin, without portfolios.

    Raises:
        InputError: no company to train on or to score.
    """
    past = panel.until(year)
    # A copy: the arrays behind a slice still hold the future, and rejected rows may be of later years.
    known = Panel(past.emissions.copy(), past.statics, past.drivers, renamed=past.renamed)
    scale = naive_scale(known.values)
    reports = np.isfinite(known.values)
    reporting, long = reports[:, -1], reports.sum(axis=1) >= min_history
    eligible = reporting & long & (scale > 0)
    test = known.select(np.array(known.companies, dtype=object)[eligible])
    years = range(year + 1, year + horizon + 1)
    actual = panel.emissions.loc[test.companies].reindex(columns=years).to_numpy(dtype=np.float64)
    training = known.select(company for company in known.companies if company not in holdout)
    counts = {
        "known": len(reports),
        "not reporting": int((~reporting).sum()),
        "history too short": int((reporting & ~long).sum()),
        "zero scale": int((reporting & long & ~(scale > 0)).sum()),
        "no actual value": int((~np.isfinite(actual).any(axis=1)).sum()),
        "scored": int(np.isfinite(actual).any(axis=1).sum()),
    }
    if not counts["scored"] or not training.companies:
        raise InputError(f"origin {year}: {len(training.companies)} companies to train on, of those to score {counts}")
    return _Origin(year, training, test, actual, scale[eligible], {}, counts)


def _portfolios(origin: _Origin, holdout: set[str], n: int, size: int, seed: int) -> dict[str, np.ndarray]:
    """Returns random portfolios of companies that are scored, by view, float32 [portfolios, companies]."""
    rng = np.random.default_rng([seed, origin.year])
    scored = np.isfinite(origin.actual).any(axis=1)
    views = {"all": scored, "held out": scored & np.isin(origin.test.companies, list(holdout))}
    portfolios = {}
    for view, members in views.items():
        candidates = np.flatnonzero(members)
        if len(candidates):
            # Too few to choose from are one portfolio.
            drawn = n if len(candidates) > size else 1
            portfolios[view] = np.zeros((drawn, len(members)), dtype=np.float32)
            for portfolio in portfolios[view]:
                portfolio[rng.choice(candidates, min(size, len(candidates)), replace=False)] = 1
    return portfolios


def _check_forecast(name: str, forecast: Forecast, origin: _Origin) -> None:
    companies = origin.test.companies
    if forecast.companies != companies or forecast.samples.shape[1:] != origin.actual.shape:
        raise InputError(
            f"{name}, origin {origin.year}: samples {forecast.samples.shape} of {len(forecast.companies)} companies; "
            f"asked for [samples, {len(companies)}, {origin.actual.shape[1]}] of those given, in their order"
        )
    wrong = ~(np.isfinite(forecast.samples).all(axis=0) & np.isfinite(forecast.median))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{name}, origin {origin.year}: {companies[row]!r}, {forecast.years[column]}: not a finite number"
        )


def _scores(forecast: Forecast, origin: _Origin) -> pd.DataFrame:
    """Returns a row for each company and year with an actual value."""
    actual, point = origin.actual, forecast.median
    quantiles = dict(zip(QUANTILES, forecast.quantile(*QUANTILES.values()), strict=True))
    wide, narrow = (quantiles["q025"], quantiles["q975"]), (quantiles["q10"], quantiles["q90"])
    known = np.isfinite(actual)
    row, column = np.nonzero(known)
    values = {
        "actual": actual,
        "point": point,
        "mean": forecast.mean,
        "error": np.abs(actual - point),
        "scale": np.broadcast_to(origin.scale[:, None], actual.shape),
        "smape": smape(point, actual),
        "crps": crps(forecast.samples, actual),
        "in80": inside(*narrow, actual),
        "in95": inside(*wide, actual),
        "width80": width(*narrow, origin.scale),
        "width95": width(*wide, origin.scale),
    }
    keys = {"company": np.array(forecast.companies, dtype=object)[row], "horizon": column + 1}
    return pd.DataFrame(keys | {name: array[known] for name, array in values.items()})


def _portfolio_hits(forecast: Forecast, origin: _Origin) -> pd.DataFrame:
    """Returns the shares of portfolios whose total lies in its interval, by view and year of the horizon."""
    rows = []
    for view, portfolios in origin.portfolios.items():
        for h, actual in enumerate(origin.actual.T):
            known = np.isfinite(actual)
            members = portfolios[:, known]
            members = members[members.any(axis=1)]
            if len(members):
                samples = forecast.samples[:, known, h] @ members.T
                total = members @ actual[known]
                low95, low80, high80, high95 = np.quantile(samples, (0.025, 0.1, 0.9, 0.975), axis=0)
                in80, in95 = inside(low80, high80, total).mean(), inside(low95, high95, total).mean()
                rows.append({"view": view, "horizon": h + 1, "in80": in80, "in95": in95})
    return pd.DataFrame(rows)
