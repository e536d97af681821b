"""What the verbs of ``sciml-zoo emissions`` read and write alike: panels, networks, warnings, tables."""

import argparse
import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sciml_zoo.cli.output import choose_device, plain_console, write_whole
from sciml_zoo.emissions._table import csv_text
from sciml_zoo.emissions.model import EmissionsForecaster
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.sources import open_panel
from sciml_zoo.errors import InputError
from sciml_zoo.zoo.resolve import load_model

__all__ = [
    "checked_panel",
    "kept_warnings",
    "open_network",
    "prepared_device",
    "show_table",
    "write_table",
]

_NAMED = 5
_WIDEST = 1000


def prepared_device(args: argparse.Namespace) -> str:
    """Returns the device asked for, with the number of threads set.

    Args:
        args: with ``device`` and ``threads``.
    """
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    return choose_device(args.device)


def open_network(name: str, device: str) -> EmissionsForecaster:
    """Loads weights.

    Args:
        name: of a network.
        device: where to.

    Returns:
        The network.

    Raises:
        InputError: there are none, or they are of another kind of model.
    """
    model = load_model(name, device=device)
    if not isinstance(model, EmissionsForecaster):
        raise InputError(f"--weights {name}: a {model.architecture} does not forecast emissions; see `sciml-zoo list`")
    return model


def checked_panel(reference: str, *, origin: int | None = None) -> Panel:
    """Opens a panel, and warns of the values in it that cannot be taken.

    Args:
        reference: a file, or a panel of the catalogue.
        origin: as for :func:`open_panel`.

    Returns:
        The panel.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    panel = open_panel(reference, origin=origin)
    if len(panel.rejected):
        first = [
            f"\n  company {row.company!r}, year {row.year}: {row.reason}"
            for row in panel.rejected[:_NAMED].itertuples()
        ]
        rest = len(panel.rejected) - len(first)
        more = f"\n  and {rest} more (--json FILE lists them)" if rest else ""
        warnings.warn(f"{reference}: {len(panel.rejected)} values not taken:{''.join(first)}{more}", stacklevel=2)
    return panel


@contextlib.contextmanager
def kept_warnings() -> Iterator[list[str]]:
    """Shows each warning once, as ever, and keeps its text.

    Yields:
        The texts, of which there may be more when the block ends.
    """
    texts: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def keep(message: Warning | str, *rest: Any, **named: Any) -> None:
            if str(message) not in texts:
                texts.append(str(message))
                show(message, *rest, **named)

        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = keep
        yield texts


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes CSV, text byte for byte.

    Args:
        path: the file.
        table: its rows.
    """
    write_whole(path, csv_text(table))


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table.

    Args:
        head: names of the columns.
        rows: cells.
    """
    from rich.table import Column, Table

    table = Table(*(Column(name, no_wrap=True) for name in head), box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    # A figure cut short is a wrong one: what is too wide for the terminal runs on.
    plain_console(width=_WIDEST).print(table)
