"""Rows of the README's table of measured claims: emissions."""

from typing import Any

__all__ = ["NEEDED", "measured"]

#: Benchmarks whose results are read.
NEEDED = tuple(
    f"emissions.{name}" for name in ("accuracy", "m3", "drivers", "out_of_time", "ceiling", "speed", "portfolio")
)

_OURS = "emissions_rnn"
# Its point forecast is the naive one: no method of its own.
_YARDSTICK = "empirical_naive"
_WORDS = {
    "pooled_drift": "one drift for all",
    "damped_trend": "damped trend",
    "theta": "Theta",
    "auto_ets": "AutoETS",
    "auto_theta": "AutoTheta",
    "auto_arima": "AutoARIMA",
    "lightgbm": "LightGBM",
}
_PANELS = {
    "eutl": "companies in the EU's emissions trading",
    "ghgrp_facilities": "US facilities (GHGRP)",
    "ghgrp_firms": "US firms (GHGRP)",
    "gcb": "countries",
}
_SCORES = ("mase_relative", "crps_relative", "total_relative")
_OVER_NAIVE = "MASE / CRPS / error of the total, each over the last value's"


def measured(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns what was measured, the figure, and the benchmark.

    Args:
        results: by benchmark.
    """
    accuracy = results["emissions.accuracy"]
    return [
        *(row for name, words in _PANELS.items() for row in _panel(words, accuracy[name])),
        _out_of_time(results["emissions.out_of_time"]),
        _ceiling(results["emissions.ceiling"]),
        *(_drivers(_PANELS[name], found) for name, found in results["emissions.drivers"]["panels"].items()),
        _m3(results["emissions.m3"]),
        *_speed(results["emissions.speed"]),
        _portfolio(results["emissions.portfolio"]),
    ]


def _ratios(row: dict[str, Any]) -> str:
    return " / ".join(f"{row[score]:.3f}" for score in _SCORES)


def _best(scores: dict[str, float]) -> str:
    name = min(scores.keys() - {_OURS, _YARDSTICK}, key=scores.__getitem__)
    return f"{_WORDS.get(name, name)} {scores[name]:.3f}"


def _of(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["method"]: row for row in rows}


def _panel(words: str, found: dict[str, Any]) -> list[tuple[str, str, str]]:
    views = {view: _of(found["views"][view]["summary"]) for view in ("all", "held out")}
    own = views["all"][_OURS]
    best = _best({method: row["mase_relative"] for method, row in views["all"].items()})
    portfolios = next(row for row in found["portfolios_of_50"] if (row["method"], row["view"]) == (_OURS, "all"))
    inside = " / ".join(
        f"{portfolios[f'coverage{level}']:.2f} ({portfolios[f'low{level}']:.2f} … {portfolios[f'high{level}']:.2f})"
        for level in (80, 95)
    )
    return [
        (
            f"{words}, {len(found['origins'])} origins, {found['horizon']} years: {_OVER_NAIVE}; the same of those "
            "never trained on; best other MASE",
            f"{'; '.join(_ratios(rows[_OURS]) for rows in views.values())}; {best}",
            "emissions.accuracy",
        ),
        (
            "the same: share in the 80 / 95 % interval, each alone; portfolios of 50 (95 % interval over origins)",
            f"{own['coverage80']:.3f} / {own['coverage95']:.3f}; {inside}",
            "emissions.accuracy",
        ),
    ]


def _out_of_time(found: dict[str, Any]) -> tuple[str, str, str]:
    rows = _of(found["views"]["all"]["summary"])
    own, origin = rows[_OURS], found["origin"]
    return (
        f"{_PANELS['eutl']}, {origin + 1} to {origin + found['horizon']}, by `{found['weights']}`, trained up to "
        f"{origin}: {_OVER_NAIVE}; share in the 80 / 95 % interval; best other MASE",
        f"{_ratios(own)}; {own['coverage80']:.3f} / {own['coverage95']:.3f}; "
        + _best({method: row["mase_relative"] for method, row in rows.items()}),
        "emissions.out_of_time",
    )


def _ceiling(found: dict[str, Any]) -> tuple[str, str, str]:
    scores = found["views"]["all"]["mase_relative"]
    return (
        f"{_PANELS['eutl']}: MASE over the last value's of oracles that know what came: the best drift common to all; "
        "boosting trained on other companies' same years",
        f"{scores['constant drift']:.3f}; {scores['boosting']:.3f}",
        "emissions.ceiling",
    )


def _drivers(words: str, found: dict[str, Any]) -> tuple[str, str, str]:
    rows = {row["method"]: row for row in found["mean"] if row["origin"] == "all"}
    total = found["with drivers"]["total_relative"]
    better, worse = (", ".join(total[effect]) or "none" for effect in ("helps", "hurts"))
    return (
        f"{words}, what drivers add: {_OVER_NAIVE}, {'; '.join(rows)}; origins at which drivers better the total, "
        "worsen it",
        f"{'; '.join(map(_ratios, rows.values()))}; {better}; {worse}",
        "emissions.drivers",
    )


def _m3(found: dict[str, Any]) -> tuple[str, str, str]:
    published = ", ".join(f"{name} {entry:.3f}" for name, entry in found["published"].items() if name != "source")
    return (
        f"M3, {found['series']} yearly series, {found['horizon']} years: MASE, mean of {len(found['by_seed'])} seeds; "
        "our Theta; published",
        f"{found['methods'][_OURS]['mase']:.3f}; {found['methods']['theta']['mase']:.3f}; {published}",
        "emissions.m3",
    )


def _speed(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    one, two = (found["forecasts"][f"{threads}_threads"] for threads in (1, 2))
    peers = found["peers"]
    ratios = ", ".join(f"{_WORDS[name]} {ratio:.1f}" for name, ratio in peers["over_ours"].items() if name != _OURS)
    return [
        (
            "fit on the EU's companies, two threads: time, memory",
            f"{found['fit']['seconds'] / 60:.1f} min, {found['fit']['peak_mb']:.0f} MB",
            "emissions.speed",
        ),
        (
            f"{one['companies']:,} companies × {found['horizon']} years × {found['samples']:,} joint trajectories: "
            "one / two threads, memory; exponent in the number of companies",
            f"{one['seconds']:.1f} / {two['seconds']:.1f} s, {one['peak_mb']:.0f} MB; {found['exponent']:.2f}",
            "emissions.speed",
        ),
        (
            "a company's forecast with intervals, one thread: ours; others' time over ours",
            f"{1000 * peers['seconds_per_company'][_OURS]:.1f} ms; {ratios}",
            "emissions.speed",
        ),
    ]


def _portfolio(found: dict[str, Any]) -> tuple[str, str, str]:
    covered = found["scopes"]["1"]["financed_emissions"]["coverage"]
    return (
        f"{found['holdings']}-line portfolio: metrics against a recomputation with pandas, largest relative "
        "difference; value covered in scope 1",
        f"{found['largest_relative_difference']:.0e}; {covered:.0%}",
        "emissions.portfolio",
    )
