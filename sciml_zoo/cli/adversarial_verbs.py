"""What the verbs of ``sciml-zoo adversarial`` do."""

import argparse
import importlib
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from sciml_zoo._rows import records
from sciml_zoo.adversarial.attacks import options_of
from sciml_zoo.adversarial.attacks.objective import margin
from sciml_zoo.adversarial.audits import audit
from sciml_zoo.adversarial.barrier_surveys import BarrierSurvey, barrier_survey
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.model import DigitsCNN
from sciml_zoo.adversarial.potential import LossPotential, cross_entropy
from sciml_zoo.adversarial.surveys import summary, survey, surveyed_path
from sciml_zoo.cli.output import choose_device, plain_console, progress_bar, save_figure, write_json, write_whole
from sciml_zoo.errors import InputError
from sciml_zoo.zoo.resolve import load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["audit_gradient", "find_barriers", "measure_work"]

_WORK = {
    "samples": "images",
    "success": "share fooled",
    "median_norm": "norm of the perturbation, median",
    "median_work": "work, median, nats",
    "median_dissipation": "dissipation, median, nats",
    "attack_gradients": "gradients of the attack, each",
    "gradients_per_segment": "gradients of the integral, a segment",
    "largest_relative_closure": "closure |W − ΔL| / max(|ΔL|, 0.001), largest",
    "largest_relative_error_estimate": "error estimate of W, likewise, largest",
    "tolerance": "tolerance of both",
}
#: Options of attacks that can be given.
_OPTIONS = ("epsilon", "steps", "restarts", "budget")
# Of the work, relative to max(|ΔL|, 0.001 nats).
_TOLERANCE = 1e-9
# Images tried for each pair that is wanted.
_TRIED = 2
_BARRIER = {
    "samples": "images",
    "success": "share fooled",
    "distinct": "pairs with distinct minima",
    "shared": "others, which the next images replaced",
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
    _check_sample(args)
    model, images, labels = _classified(args)
    with progress_bar("attacking") as show:
        table = survey(
            model,
            images,
            labels,
            args.attack,
            seed=args.seed,
            tolerance=_TOLERANCE,
            on_progress=show,
            **_attack_options(args),
        )
    scale = table["delta_loss"].abs().clip(lower=1e-3)
    open_ = int((~(table["closure"] / scale <= _TOLERANCE)).sum())
    found = {
        **summary(table),
        "largest_relative_error_estimate": float((table["error_estimate"] / scale).max()),
        "tolerance": _TOLERANCE,
        "not_closed": open_,
    }
    figure = None if args.figure is None else _work_figure(args, model, images, labels, table)
    _write(args, {}, found, table, figure)
    _show(found, _WORK)
    if open_:
        plain_console().print(
            f"NOT CLOSED: on {open_} of {len(table)} paths |W − ΔL| is above the tolerance. Where it is also far above "
            "the error estimate, the gradient is not that of the loss: see `sciml-zoo adversarial audit`",
            soft_wrap=True,
        )
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
    _check_sample(args)
    model, images, labels = _classified(args, _TRIED * args.n)
    if model.config.activation == "relu":
        raise InputError(
            f"{args.weights}: a piecewise linear network has no smooth saddles; choose one with gelu or tanh"
        )
    options = {"stiffness": args.stiffness, "method": args.method}
    with progress_bar("finding barriers") as show:
        barriers = barrier_survey(
            model,
            images,
            labels,
            args.attack,
            wanted=args.n,
            seed=args.seed,
            on_progress=show,
            **options,
            **_attack_options(args),
        )
    table = barriers.table
    ended = table[table["found"]]
    found = {
        "samples": len(table),
        "success": float(table["success"].mean()),
        "distinct": int(table["distinct"].sum()),
        "shared": int((~table["distinct"]).sum()),
        "found": len(ended),
        **{f"median_{name}": float(ended[name].median()) for name in ("forward", "backward", "line", "attack")},
        "largest_gradient_norm": float(ended["gradient_norm"].max()),
    }
    figure = None if args.figure is None else _barrier_figure(args, barriers, labels)
    _write(args, options, found, table, figure)
    _show(found, _BARRIER)
    if found["distinct"] < args.n:
        plain_console().print(
            f"{found['shared']} of {len(table)} pairs roll into one minimum, or did not come to rest: a twin must lie "
            "well beyond the boundary. Try pgd_l2 with a larger --epsilon, or a smaller --stiffness",
            soft_wrap=True,
        )
    return 0


def _check_sample(args: argparse.Namespace) -> None:
    if args.sample is None:
        return
    if args.figure is None:
        raise InputError("--sample: names what to draw; give --figure FILE too")
    if args.sample >= args.n:
        raise InputError(f"--sample {args.sample}: --n {args.n} images are numbered from 0 to {args.n - 1}")


def _write(
    args: argparse.Namespace,
    options: Mapping[str, Any],
    found: Mapping[str, float],
    table: pd.DataFrame,
    figure: "Figure | None",
) -> None:
    known = {name: value if math.isfinite(value) else None for name, value in found.items()}  # JSON has no NaN
    write_json(args.json, {**_asked(args), **options, "summary": known, "samples": records(table)})
    if args.table is not None:
        write_whole(args.table, table.to_csv(index=False))
    if figure is not None:
        save_figure(args.figure, figure)


def _first(table: pd.DataFrame, *columns: str) -> int:
    """Returns the first row of which some column is true: of the first column that has one, or else row 0."""
    return next((int(table[name].argmax()) for name in columns if table[name].any()), 0)


def _work_figure(
    args: argparse.Namespace, model: DigitsCNN, images: torch.Tensor, labels: torch.Tensor, table: pd.DataFrame
) -> "Figure":
    from sciml_zoo.adversarial.figures import work_figure

    sample = _first(table, "success") if args.sample is None else args.sample
    path = surveyed_path(model, images, labels, args.attack, sample, seed=args.seed, **_attack_options(args))
    potential, margins = (
        LossPotential(model, labels[sample : sample + 1], loss=loss, dtype=torch.float64)
        for loss in (cross_entropy, margin)
    )
    row = table.iloc[sample]
    return work_figure(
        table,
        potential,
        path,
        margin=margins,
        title=f"{args.weights}, {args.attack}, {len(table)} images",
        sample_title=f"image {sample}, a {labels[sample]}, {'fooled' if row['success'] else 'not fooled'}: work "
        f"{row['work']:.4g}, dissipation {row['dissipation']:.4g} nats",
    )


def _barrier_figure(args: argparse.Namespace, found: BarrierSurvey, labels: torch.Tensor) -> "Figure":
    from sciml_zoo.adversarial.figures import barrier_figure

    sample = _first(found.table, "found", "distinct", "success") if args.sample is None else args.sample
    row, pair = found.table.iloc[sample], found.pair(sample)
    margins = LossPotential(found.model, labels[sample : sample + 1], loss=margin, dtype=torch.float64)
    if row["found"]:
        outcome = f"barrier {row['forward']:.4g} nats"
    elif pair.saddle is not None:
        outcome = "saddle above the straight line's highest: not the lowest pass"
    else:
        outcome = "no saddle found" if row["distinct"] else "its ends do not relax to two minima: no barrier"
    title = f"{args.weights}, {args.attack}, image {sample}, a {labels[sample]}: {outcome}"
    return barrier_figure(pair, margin=margins, title=title)


def _classified(args: argparse.Namespace, count: int | None = None) -> tuple[DigitsCNN, torch.Tensor, torch.Tensor]:
    device = choose_device(args.device)
    model = load_model(args.weights, device=device)
    if not isinstance(model, DigitsCNN):
        raise InputError(f"{args.weights}: a {model.architecture} is no classifier of images; see `sciml-zoo list`")
    data = load_images(args.data)
    if args.n > len(data):
        raise InputError(f"--n {args.n}: {args.data} has {len(data)} images")
    assert data.labels is not None
    count = args.n if count is None else count
    return model, data.images[:count].to(device), data.labels[:count].to(device)


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    asked = {name: getattr(args, name) for name in ("weights", "data", "attack", "n", "seed")}
    return {**asked, **_attack_options(args)}


def _attack_options(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the options of the attack that were given.

    Raises:
        InputError: the attack has no such option.
    """
    known = options_of(args.attack)
    given = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    for name in given:
        if name not in known:
            others = ", ".join(f"--{each}" for each in _OPTIONS if each in known) or "none of them"
            raise InputError(f"--{name}: {args.attack} has no such option; it takes {others}")
    return given


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
    found = audit(*given, samples=args.samples, seed=args.seed)
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
    hint = f"; did you mean {name[:-3]}:{attribute}?" if name.endswith(".py") else ""
    try:
        module = importlib.import_module(name)
    except Exception as error:  # whatever a user's module may raise
        raise InputError(
            f"{target}: the module {name!r} cannot be imported: {type(error).__name__}: {error}{hint}"
        ) from error
    make = getattr(module, attribute, None)
    if not callable(make):
        raise InputError(f"{target}: the module has no callable {attribute!r}")
    try:
        given = make()
    except Exception as error:
        raise InputError(f"{target}: raised {type(error).__name__}: {error}") from error
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
        table.add_row(text, f"{found[name]:.4g}" if math.isfinite(found[name]) else "–")
    plain_console().print(table)
