"""``demo``: verifies and uses every shipped weight, trains a small model of each domain, and writes a report."""

import argparse
import base64
import html
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sciml_zoo._files import write_atomically
from sciml_zoo.report import Report, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

__all__ = ["add_parser"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "th,td{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #ddd}"
    "caption{text-align:left;font-weight:600;padding:.3rem 0}img{max-width:100%}figcaption{color:#555}"
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``demo``.

    Args:
        subparsers: of the main parser.
    """
    verb = subparsers.add_parser("demo", help="verify and use all shipped weights, train small models, write a report")
    verb.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    verb.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> int:
    from rich.console import Console

    from sciml_zoo.zoo.registry import DOMAINS, list_models, load_domain
    from sciml_zoo.zoo.verify import verify

    console = Console()
    started = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        console.print(text, highlight=False)

    rows = []
    for name in list_models(pretrained=True):
        say(f"verifying {name}")
        report = verify(name)
        rows.append((name, "verified", f"{report.max_abs_error:.2g}", f"{report.atol:g} + {report.rtol:g}·|golden|"))
    shelf = Table("Shipped weights", ("weights", "hashes and golden predictions", "largest error", "tolerance"), rows)
    reports = [Report("The shelf", "Every shipped model gives here what it gave where it was trained.", [shelf])]
    for domain in DOMAINS:
        say(f"[bold]{domain}[/bold]")
        reports.append(load_domain(domain).demo(args.out, say))
    path = args.out / "report.html"
    write_atomically(path, _page(reports, time.monotonic() - started))
    for part in reports:
        for table in part.tables:
            _show(console, table)
    console.print(f"report written to {path}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _show(console: "Console", table: Table) -> None:
    from rich.table import Table as RichTable

    shown = RichTable(*table.head, title=table.title, title_justify="left", box=None, pad_edge=False)
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)


def _page(reports: list[Report], seconds: float) -> str:
    import platform

    import torch

    import sciml_zoo

    machine = f"sciml_zoo {sciml_zoo.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, "
    machine += f"{platform.machine()}, {seconds:.0f} s"
    body = "".join(_section(report) for report in reports)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>sciml_zoo demo</title><style>{_STYLE}</style>'
        f"<h1>sciml_zoo demo</h1><p>{html.escape(machine)}</p>{body}</html>\n"
    )


def _section(report: Report) -> str:
    parts = [f"<h2>{html.escape(report.title)}</h2><p>{html.escape(report.text)}</p>"]
    for table in report.tables:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
        parts.append(f"<table><caption>{html.escape(table.title)}</caption><tr>{head}</tr>{rows}</table>")
    for caption, figure in report.figures:
        image = base64.b64encode(_png(figure)).decode()
        text = html.escape(caption)
        parts.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{image}"><figcaption>{text}</figcaption></figure>'
        )
    return "".join(parts)


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, bbox_inches="tight")
    return buffer.getvalue()
