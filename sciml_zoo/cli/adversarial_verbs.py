"""What the verbs of ``sciml-zoo adversarial`` do."""

import argparse
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sciml_zoo._rows import records
from sciml_zoo.adversarial.audits import audit
from sciml_zoo.adversarial.barrier_surveys import barrier_survey
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.model import DigitsCNN
from sciml_zoo.adversarial.surveys import summary, survey
from sciml_zoo.cli.output import choose_device, plain_console, progress_bar, write_json
from sciml_zoo.errors import InputError
from sciml_zoo.zoo.resolve import load_model

__all__ = ["audit_gradient", "find_barriers", "measure_work"]

_WORK = {
    "samples": "images",
    "success": "share fooled",
    "median_norm": "norm of the perturbation, median",
    "median_work": "work, median, nats",
    "median_dissipation": "dissipation, median, nats",
    "attack_gradients": "gradients of the attack, each",
    "gradients_per_segment": "gradients of the integral, a segment",
    "largest_relative_closure": "|W − ΔL| / max(|ΔL|, 0.001), largest",
}
_BARRIER = {
    "samples": "images",
    "success": "share fooled",
    "distinct": "pairs with distinct minima",
    "found": "of these, saddles refined that connect them",
    "median_forward": "barrier from the clean side, median",
    "median_backward": "barrier from the twin's side, median",
    "median_line": "straight line's highest, median",
    "median_attack": "attack's highest, median",
    "largest_gradient_norm": "largest norm of the gradient at a saddle",
}


def measure_work(args: argparse.Namespace) -> int:
    """Attacks images, and measures the work.

    Args:
        args: of the verb.

    Returns:
        The exit status.

    Raises:
        InputError: naming what is wrong with the weights, the images or the attack.
    """
    model, images, labels = _classified(args)
    with progress_bar("attacking") as show:
        table = survey(model, images, labels, args.attack, seed=args.seed, on_progress=show)
    found = summary(table)
    write_json(args.json, {**_asked(args), "summary": found, "samples": records(table)})
    _show(found, _WORK)
    return 0


def find_barriers(args: argparse.Namespace) -> int:
    """Finds the barriers between images and their twins.

    Args:
        args: of the verb.

    Returns:
        The exit status.

    Raises:
        InputError: naming what is wrong with the weights, the images or the attack.
    """
    model, images, labels = _classified(args)
    if model.config.activation == "relu":
        raise InputError(
            f"{args.weights}: a piecewise linear network has no smooth saddles; choose one with gelu or tanh"
        )
    table = barrier_survey(
        model, images, labels, args.attack, stiffness=args.stiffness, method=args.method, seed=args.seed
    )
    ended = table[table["found"]]
    found = {
        "samples": len(table),
        "success": float(table["success"].mean()),
        "distinct": int(table["distinct"].sum()),
        "found": len(ended),
        **{f"median_{name}": float(ended[name].median()) for name in ("forward", "backward", "line", "attack")},
        "largest_gradient_norm": float(ended["gradient_norm"].max()),
    }
    content = {**_asked(args), "stiffness": args.stiffness, "method": args.method, "summary": found}
    write_json(args.json, {**content, "samples": records(table)})
    _show(found, _BARRIER)
    return 0


def _classified(args: argparse.Namespace) -> tuple[DigitsCNN, torch.Tensor, torch.Tensor]:
    device = choose_device(args.device)
    model = load_model(args.weights, device=device)
    if not isinstance(model, DigitsCNN):
        raise InputError(f"{args.weights}: a {model.architecture} is no classifier of images; see `sciml-zoo list`")
    data = load_images(args.data)
    if args.n > len(data):
        raise InputError(f"--n {args.n}: {args.data} has {len(data)} images")
    assert data.labels is not None
    return model, data.images[: args.n].to(device), data.labels[: args.n].to(device)


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(args, name) for name in ("weights", "data", "attack", "n", "seed")}


def audit_gradient(args: argparse.Namespace) -> int:
    """Audits the gradient of a user's model.

    Args:
        args: of the verb.

    Returns:
        The exit status: 0 whatever the audit finds.

    Raises:
        InputError: naming what is wrong with the callable or with what it returns.
    """
    given = _returned(args.target)
    found = audit(*given, seed=args.seed)
    write_json(args.json, {"target": args.target, "seed": args.seed, **found.to_dict()})
    console = plain_console()
    console.print(f"{args.target}: {'honest' if found.honest else 'NOT honest'}", soft_wrap=True)
    console.print(found.reason, soft_wrap=True)
    return 0


def _returned(target: str) -> tuple[Any, ...]:
    """Returns what a user's callable returns: model, inputs, labels, and perhaps a loss."""
    name, colon, attribute = target.partition(":")
    if not (name and colon and attribute):
        raise InputError(f"{target!r}: give a module and a callable in it, such as mine:make_model")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{target}: the module {name!r} cannot be imported: {error}") from error
    make = getattr(module, attribute, None)
    if not callable(make):
        raise InputError(f"{target}: the module has no callable {attribute!r}")
    given = make()
    if not isinstance(given, (tuple, list)) or len(given) not in (3, 4) or not callable(given[0]):
        raise InputError(f"{target}: it must return (model, inputs, labels), or these and a loss")
    model, inputs, labels, *loss = given
    if not isinstance(inputs, torch.Tensor) or not (labels is None or isinstance(labels, torch.Tensor)):
        raise InputError(f"{target}: inputs and labels must be tensors (labels perhaps None)")
    return (model, inputs, labels, *loss)


def _show(found: Mapping[str, float], words: Mapping[str, str]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in words.items():
        table.add_row(text, f"{found[name]:.4g}")
    plain_console().print(table)
