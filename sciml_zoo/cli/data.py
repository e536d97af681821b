"""``sciml-zoo data``: lists the data sets, fetches them, says where they are."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sciml_zoo.cli.output import write_json
from sciml_zoo.datasets import (
    DataFile,
    Dataset,
    UnknownDatasetError,
    dataset_path,
    dataset_place,
    fetch_dataset,
    get_dataset,
    list_datasets,
)
from sciml_zoo.errors import nearest

if TYPE_CHECKING:
    from sciml_zoo.datasets.locate import FileProgress

__all__ = ["add_parser"]

_WIDE = 110  # columns from which on there is room for a summary

_PLACES = {
    "local": "here",
    "cache": "in the cache",
    "download": "can be downloaded",
    "partly": "partly downloadable",
    "by hand": "set SCIML_ZOO_DATA",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the group ``data``; each of its verbs sets ``run``, a function of the parsed arguments.

    Args:
        subparsers: of the main parser.
    """
    parser = subparsers.add_parser("data", help="list, fetch and find data sets", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    verb = verbs.add_parser("list", help="list the data sets of the catalogue")
    verb.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="a wildcard, such as 'rmd17_*'")
    verb.add_argument("--domain", metavar="DOMAIN", help="only this domain's")
    verb.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to a JSON file")
    verb.set_defaults(run=_list)
    verb = verbs.add_parser("fetch", help="download data sets, or check those under SCIML_ZOO_DATA")
    verb.add_argument("names", nargs="+", metavar="NAME")
    verb.set_defaults(run=_fetch)
    verb = verbs.add_parser("path", help="print the folder of a data set, fetching it if needed")
    verb.add_argument("name", metavar="NAME")
    verb.set_defaults(run=_path)


def _row(dataset: Dataset) -> dict[str, object]:
    return {
        "name": dataset.name,
        "domain": dataset.domain,
        "summary": dataset.summary,
        "files": len(dataset.files),
        "size": dataset.size,
        "licence": dataset.licence,
        "source": dataset.source,
        "commit": dataset.commit,
        "citation": dataset.citation,
        "ships_weights": dataset.ships_weights,
        "place": dataset_place(dataset.name),
    }


def _list(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    datasets = list_datasets(args.pattern, args.domain)
    if not datasets:
        names = [dataset.name for dataset in list_datasets(domain=args.domain)]
        raise UnknownDatasetError(f"no data set matches {args.pattern!r}; {nearest(args.pattern.strip('*?'), names)}")
    rows = [_row(dataset) for dataset in datasets]
    write_json(args.json, rows)
    console = Console()
    table = Table(box=None, header_style="bold", pad_edge=False, expand=console.width >= _WIDE)
    for heading in ("name", "domain", "size", "where"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "size" else "left")
    table.add_column("licence", no_wrap=True, max_width=14)
    if table.expand:
        table.add_column("content", no_wrap=True, ratio=1)
    for dataset, row in zip(datasets, rows, strict=True):
        size = decimal(dataset.size) if dataset.files else ""
        cells = [dataset.name, dataset.domain, size, _PLACES[str(row["place"])], dataset.licence]
        table.add_row(*cells, *([dataset.summary] if table.expand else []))
    console.print(table)
    return 0


@contextlib.contextmanager
def _progress_bars() -> "Iterator[FileProgress]":
    """Shows one bar for each file that is being downloaded, on standard error.

    Yields:
        The function to call with a file, the bytes so far and the total.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(file: DataFile, done: int, total: int | None) -> None:
            if file.path not in tasks:
                tasks[file.path] = bars.add_task(file.downloaded_path, total=total)
            bars.update(tasks[file.path], completed=done, total=total)

        yield show


def _fetch(args: argparse.Namespace) -> int:
    for name in args.names:  # a misspelt last name is an error before the first download
        get_dataset(name)
    for name in args.names:
        with _progress_bars() as show:
            folder = fetch_dataset(name, progress=show)
        print(folder)
    return 0


def _path(args: argparse.Namespace) -> int:
    print(dataset_path(args.name))
    return 0
