"""``sciml-zoo emissions forecast``: a panel's coming years, by company and in total."""

import argparse
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sciml_zoo._rows import records
from sciml_zoo.cli.emissions_inputs import (
    checked_panel,
    kept_warnings,
    open_network,
    prepared_device,
    show_table,
    write_table,
)
from sciml_zoo.cli.output import plain_console, progress_bar, save_figure, write_json, write_whole
from sciml_zoo.emissions.caveats import silent_companies, without_report
from sciml_zoo.emissions.forecast import Forecast, spread
from sciml_zoo.emissions.inference import forecast_panel
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.sources import open_drivers
from sciml_zoo.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["forecast"]

# Companies whose trajectories are written together.
_BLOCK = 256


def forecast(args: argparse.Namespace) -> int:
    """Forecasts a panel, and writes what was asked for, once all of it is there.

    Args:
        args: of the verb.

    Returns:
        The exit status.

    Raises:
        InputError: naming what is wrong with the panel, the drivers, the weights or the options.
    """
    if args.company is not None and args.figure is None:
        raise InputError("--company: names what to draw; give --figure FILE too")
    with kept_warnings() as told:
        panel = checked_panel(args.panel, origin=args.origin)
        drivers = None if args.drivers is None else open_drivers(args.drivers)
        device = prepared_device(args)
        model = open_network(args.weights, device)
        with progress_bar("forecasting") as show:
            found = forecast_panel(
                model,
                panel,
                args.horizon,
                origin=args.origin,
                drivers=drivers,
                samples=args.n_samples,
                seed=args.seed,
                device=device,
                on_progress=show,
            )
    table = found.table()
    figure = None if args.figure is None else _figure(panel, found, args.company)
    samples = None if args.samples is None else _parquet(found)
    if args.out is not None:
        write_table(args.out, table)
    if samples is not None:
        write_whole(args.samples, samples)
    if figure is not None:
        save_figure(args.figure, figure)
    total = _total(found)
    silent = silent_companies(panel, found.origin)
    reporting = ~np.isin(found.companies, silent)
    summary = {
        "panel": args.panel,
        "out": None if args.out is None else str(args.out),
        "weights": args.weights,
        "origin": found.origin,
        "horizon": found.horizon,
        "companies": len(found.companies),
        "n_samples": args.n_samples,
        "seed": args.seed,
        "total": total,
        "total_of_those_reporting": _total(found, reporting),
        "not_reporting_at_origin": silent,
        "not_forecast": without_report(panel, panel.select(found.companies)),
        "rejected": records(panel.rejected),
        "warnings": told,
    }
    write_json(args.json, summary)
    _show("total, t CO2e", total)
    if silent and reporting.any():
        _show(f"of the {reporting.sum():,} that reported in {found.origin}", summary["total_of_those_reporting"])
    written = "" if args.out is None else f", written to {args.out}"
    plain_console().print(
        f"{len(found.companies):,} companies forecast from {found.origin} by {args.weights}{written}", soft_wrap=True
    )
    return 0


def _total(found: Forecast, of: np.ndarray | None = None) -> list[dict[str, Any]]:
    weights = None if of is None else of.astype(np.float64)
    return records(pd.DataFrame({"year": found.years} | spread(found.total(weights))))


def _show(title: str, total: list[dict[str, Any]]) -> None:
    show_table(
        (title, "mean", "10 %", "median", "90 %"),
        [[str(row["year"]), *(f"{row[level]:,.0f}" for level in ("mean", "q10", "q50", "q90"))] for row in total],
    )


def _figure(panel: Panel, found: Forecast, company: str | None) -> "Figure":
    from sciml_zoo.emissions.figures import fan_chart, portfolio_fan_chart

    if company is not None:
        return fan_chart(panel, found, company)
    title = f"Total of {len(found.companies):,} companies"
    return portfolio_fan_chart(panel.years, panel.select(found.companies).total(), found.total(), found.origin, title)


def _parquet(found: Forecast) -> bytes:
    """Returns ``company``, ``year``, ``sample``, ``emissions``: a row for each sample, of each company and year.

    Raises:
        InputError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError("--samples: parquet needs pyarrow: pip install 'sciml-zoo[parquet]'") from None
    types = {"company": pyarrow.string(), "year": pyarrow.int32(), "sample": pyarrow.int32()}
    schema = pyarrow.schema({**types, "emissions": pyarrow.float32()})
    samples, _, horizon = found.samples.shape
    buffer = io.BytesIO()
    with parquet.ParquetWriter(buffer, schema) as writer:
        for start in range(0, len(found.companies), _BLOCK):
            keys = found.companies[start : start + _BLOCK]
            part = found.samples[:, start : start + _BLOCK].transpose(1, 2, 0).astype(np.float32)
            columns = {
                "company": np.repeat(np.array(keys, dtype=object), horizon * samples),
                "year": np.tile(np.repeat(found.years, samples), len(keys)),
                "sample": np.tile(np.arange(samples), len(keys) * horizon),
                "emissions": part.ravel(),
            }
            writer.write_table(pyarrow.table(columns, schema=schema))
    return buffer.getvalue()
