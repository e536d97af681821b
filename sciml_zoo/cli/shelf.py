"""``list``, ``info`` and ``verify``: what is on the shelf, what it promises, whether it keeps it."""

import argparse
from typing import Any

from sciml_zoo.cli.output import add_json_option, choose_device, plain_console, write_json
from sciml_zoo.errors import FailureError, InputError, nearest

__all__ = ["add_parser"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``list``, ``info`` and ``verify``.

    Args:
        subparsers: of the main parser.
    """
    verb = subparsers.add_parser("list", help="list trained weights, or architectures")
    verb.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="a wildcard, such as 'gto*'")
    verb.add_argument("--domain", metavar="DOMAIN", help="only this domain's")
    verb.add_argument("--architectures", action="store_true", help="list what can be trained, not what has been")
    add_json_option(verb)
    verb.set_defaults(run=_list)
    verb = subparsers.add_parser("info", help="show the card of trained weights, or an architecture's options")
    verb.add_argument("name", metavar="NAME")
    verb.set_defaults(run=_info)
    verb = subparsers.add_parser("verify", help="check hashes and replay the golden predictions of shipped weights")
    verb.add_argument("names", nargs="*", metavar="NAME", help="weights, local-dir:PATH or hf-hub:REPO; default: all")
    verb.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, …")
    add_json_option(verb)
    verb.set_defaults(run=_verify)


def _list(args: argparse.Namespace) -> int:
    from rich.table import Table

    from sciml_zoo.zoo.manifest import get_weights
    from sciml_zoo.zoo.registry import get_architecture, list_models

    pretrained = not args.architectures
    names = list_models(args.pattern, pretrained=pretrained, domain=args.domain)
    if not names and args.pattern != "*":
        hint = nearest(args.pattern.strip("*?"), list_models(pretrained=pretrained, domain=args.domain))
        raise InputError(f"nothing matches {args.pattern!r}; {hint}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    rows: list[dict[str, Any]] = []
    if args.architectures:
        for heading in ("architecture", "domain", "what it is"):
            table.add_column(heading)
        for name in names:
            architecture = get_architecture(name)
            rows.append({"name": name, "domain": architecture.domain, "summary": architecture.summary})
            table.add_row(name, architecture.domain, architecture.summary)
    else:
        for heading in ("weights", "domain", "parameters", "licence", "measured"):
            table.add_column(heading, no_wrap=heading == "weights", overflow="fold")
        for name in names:
            row = _row(get_weights(name))
            rows.append(row)
            first = [m for m in row["metrics"] if m["dataset"] == row["metrics"][0]["dataset"]]
            measured = "\n".join(
                [*(m["dataset"] for m in first[:1]), *(f"{m['name']} {m['value']:.4g} {m['unit']}" for m in first)]
            )
            table.add_row(name, row["domain"], f"{row['parameters']:,}", row["licence"], measured)
    write_json(args.json, rows)
    plain_console().print(table)
    return 0


def _row(weights: Any) -> dict[str, Any]:
    from sciml_zoo.zoo.frozen import to_json

    return {
        "name": weights.name,
        "architecture": weights.architecture,
        "domain": weights.domain,
        "summary": weights.summary,
        "parameters": weights.parameters,
        "licence": weights.licence,
        "sha256": weights.sha256,
        "metrics": [to_json(metric) for metric in weights.metrics],
    }


def _info(args: argparse.Namespace) -> int:
    from rich.markdown import Markdown

    from sciml_zoo.zoo.registry import list_models

    if args.name in list_models():
        text = _options(args.name)
    elif args.name in list_models(pretrained=True) or ":" in args.name:
        from sciml_zoo.zoo.layout import README, read_file
        from sciml_zoo.zoo.resolve import resolve

        text = read_file(resolve(args.name), README).decode(errors="replace")
    else:
        hint = nearest(args.name, [*list_models(), *list_models(pretrained=True)])
        raise InputError(f"{args.name!r} is neither an architecture nor trained weights; {hint}")
    console = plain_console()
    console.print(Markdown(text) if console.is_terminal else text, soft_wrap=not console.is_terminal)
    return 0


def _options(name: str) -> str:
    import dataclasses
    import inspect

    from sciml_zoo.zoo.registry import get_registration

    registration = get_registration(name)
    rows = [f"| `{field.name}` | `{field.default}` |" for field in dataclasses.fields(registration.config_type)]
    lines = [f"# {name}", "", inspect.getdoc(registration.model_type) or "", "", "| option | default |"]
    return "\n".join([*lines, "|---|---|", *rows, "", inspect.getdoc(registration.config_type) or ""])


def _verify(args: argparse.Namespace) -> int:
    from rich.table import Table
    from rich.text import Text

    from sciml_zoo.zoo.registry import list_models
    from sciml_zoo.zoo.verify import verify

    device = choose_device(args.device)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("weights", "verdict", "largest error", "tolerance"):
        table.add_column(heading, no_wrap=heading == "weights", overflow="fold")
    rows: list[dict[str, Any]] = []
    failures: list[InputError | FailureError] = []
    for name in args.names or list_models(pretrained=True):
        try:
            report = verify(name, device=device)
        except (InputError, FailureError) as error:
            failures.append(error)
            rows.append({"name": name, "verified": False, "error": str(error)})
            table.add_row(name, Text("failed", "red"), str(error), "")
            continue
        error_size = {"max_abs_error": report.max_abs_error, "max_rel_error": report.max_rel_error}
        rows.append({"name": name, "verified": True, **error_size, "rtol": report.rtol, "atol": report.atol})
        tolerance = f"{report.atol:g} + {report.rtol:g}·|golden|"
        table.add_row(name, Text("verified", "green"), f"{report.max_abs_error:.2g}", tolerance)
    write_json(args.json, rows)
    plain_console().print(table)
    if failures:
        raise failures[0]
    return 0
