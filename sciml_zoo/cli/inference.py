"""``evaluate`` and ``predict``: a model and a file of its domain's format; under torchrun, all ranks share the work."""

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sciml_zoo.cli.output import (
    add_json_option,
    choose_device,
    join_ranks,
    output_file,
    plain_console,
    progress_bar,
    write_json,
)
from sciml_zoo.errors import InputError, nearest

__all__ = ["add_parser"]

_OWN = ("model", "path", "source", "target", "device", "ranks", "on_progress")
_SWITCH = {"true": True, "false": False}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``evaluate`` and ``predict``.

    Args:
        subparsers: of the main parser.
    """
    model = "weights (see `sciml-zoo list`), local-dir:PATH or hf-hub:ORG/REPO@REV"
    verb = subparsers.add_parser("evaluate", help="score a model on a file with reference values")
    verb.add_argument("name", metavar="NAME", help=model)
    verb.add_argument("file", type=Path, metavar="FILE", help="with reference values, or dataset:NAME/FILE")
    verb.set_defaults(run=_evaluate, takes_options=True)
    _add_common(verb)
    verb = subparsers.add_parser("predict", help="predict a file")
    verb.add_argument("name", metavar="NAME", help=model)
    verb.add_argument("file", type=Path, metavar="FILE", help="of the model's domain, or dataset:NAME/FILE")
    verb.add_argument("-o", "--out", type=output_file, required=True, metavar="FILE", help="the file to write")
    verb.set_defaults(run=_predict, takes_options=True)
    _add_common(verb)


def _add_common(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, …")
    add_json_option(verb)


def _load(name: str, device: str) -> tuple[Any, Any]:
    from sciml_zoo.zoo.registry import get_architecture, load_domain
    from sciml_zoo.zoo.resolve import load_model

    model = load_model(name, device=device)
    return model, load_domain(get_architecture(str(model.architecture)).domain)


def _options(function: Callable[..., Any], extra: list[str]) -> dict[str, Any]:
    """Returns ``--energy_key REF_energy``, ``--relative`` and the like as arguments of the domain's function."""
    parameters = inspect.signature(function).parameters
    valid = [name for name in parameters if name not in _OWN]
    options: dict[str, Any] = {}
    rest = list(extra)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        key = name.replace("-", "_")
        if not word.startswith("--") or key not in valid:
            raise InputError(f"unknown option {word}; {nearest(key, valid)}")
        if isinstance(parameters[key].default, bool):
            if equals and value not in _SWITCH:
                raise InputError(f"--{name}: {value!r} is neither true nor false; write --{name} at the end, or =true")
            options[key] = _SWITCH[value] if equals else True
            continue
        if not equals and not rest:
            raise InputError(f"--{name}: a value is missing")
        options[key] = value if equals else rest.pop(0)
    return options


def _evaluate(args: argparse.Namespace) -> int:
    from rich.table import Table

    device = choose_device(args.device)
    model, domain = _load(args.name, device)
    options = _options(domain.evaluate, args.extra)
    ranks = join_ranks()
    main = ranks is None or ranks.rank == 0
    with progress_bar("evaluating", shown=main) as show:
        scores = domain.evaluate(model, args.file, device=device, ranks=ranks, on_progress=show, **options)
    if main:
        write_json(args.json, scores)
        table = Table("metric", "value", box=None, pad_edge=False, header_style="bold")
        for name, value in scores.items():
            table.add_row(name, f"{value:.6g}")
        plain_console().print(table)
    return 0


def _predict(args: argparse.Namespace) -> int:
    device = choose_device(args.device)
    model, domain = _load(args.name, device)
    options = _options(domain.predict, args.extra)
    ranks = join_ranks()
    main = ranks is None or ranks.rank == 0
    with progress_bar("predicting", shown=main) as show:
        n = domain.predict(model, args.file, args.out, device=device, ranks=ranks, on_progress=show, **options)
    if main:
        write_json(args.json, {"n": n, "out": str(args.out)})
        print(f"{n} predictions written to {args.out}")
    return 0
