"""``train``: a recipe in, a run folder with a checkpoint out."""

import argparse
from pathlib import Path
from typing import Any

from sciml_zoo.cli.output import add_json_option, plain_console, write_json
from sciml_zoo.errors import InputError

__all__ = ["add_parser"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``train``.

    Args:
        subparsers: of the main parser.
    """
    verb = subparsers.add_parser(
        "train",
        help="train a model from a recipe",
        description="Train a model from a YAML recipe. Any value of the recipe can be changed on the command line, "
        "such as --data.train mine.xyz or --model.n_radial 32. Under torchrun, all ranks share the work.",
    )
    verb.add_argument("recipe", type=Path, metavar="RECIPE", help="for example scripts/recipes/gto_potential.yaml")
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run folder")
    verb.add_argument("--resume", action="store_true", help="go on from DIR/last")
    add_json_option(verb)
    verb.set_defaults(run=_train, takes_options=True)


def _train(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn
    from rich.table import Table

    from sciml_zoo.training.recipe import read_architecture, read_recipe
    from sciml_zoo.zoo.registry import get_architecture, load_domain

    existing = next(path for path in (args.out, *args.out.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise InputError(f"--out {args.out}: {existing} is a file; give a directory")
    architecture = get_architecture(read_architecture(args.recipe, args.extra))
    domain = load_domain(architecture.domain)
    recipe: Any = read_recipe(domain.recipe_type(architecture.name), args.recipe, args.extra)
    _refuse_to_overwrite(args.out, args.resume)
    with Progress("preparing", TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        progress.add_task("preparing")
        prepared = domain.prepare(recipe)

    from sciml_zoo.training import ProgressBar, Trainer, finish_best

    trainer = Trainer(prepared.recipe.trainer, directory=args.out, callbacks=[ProgressBar()], recipe=prepared.recipe)
    console = plain_console(quiet=not trainer.is_main)
    notes = Table("chosen from the data", "", box=None, pad_edge=False, show_header=True, header_style="bold")
    for name, text in prepared.notes.items():
        notes.add_row(name, text)
    console.print(notes)
    result = trainer.fit(
        prepared.task, prepared.recipe.optimizer, prepared.train, prepared.validation, resume=args.resume
    )
    if not trainer.is_main:
        return 0
    summary = {
        "stopped_because": result.stopped_because,
        "step": result.step,
        "epoch": result.epoch,
        "seconds": result.seconds,
        "best": result.best,
        "monitor": prepared.recipe.trainer.monitor,
        "metrics": result.metrics,
        "checkpoint": None if result.best is None else str(args.out / "best"),
        "chosen_from_data": prepared.notes,
    }
    if prepared.finish is not None and result.best is not None and result.stopped_because != "interrupted":
        told = {key: summary[key] for key in ("step", "epoch", "metrics", "seconds")}
        summary["finished_with"] = finish_best(args.out, prepared.finish, told)
    write_json(args.json, summary)
    table = Table("validation", "", box=None, pad_edge=False, header_style="bold")
    for name, value in result.metrics.items():
        table.add_row(name, f"{value:.4g}")
    for name, text in summary.get("finished_with", {}).items():
        table.add_row(name, text)
    console.print(table)
    console.print(f"{result.step} steps in {result.seconds:.0f} s, stopped by {result.stopped_because}")
    if result.best is None:  # stopped before the first validation
        console.print("not validated yet: go on with --resume", soft_wrap=True)
    else:
        console.print(f"best {prepared.recipe.trainer.monitor} {result.best:.4g}")
        console.print(f"load it with sciml_zoo.load_model('local-dir:{args.out / 'best'}')", soft_wrap=True)
    return 0


def _refuse_to_overwrite(directory: Path, resume: bool) -> None:
    from sciml_zoo.training import has_checkpoint

    if has_checkpoint(directory) and not resume:
        raise InputError(f"{directory} already holds a run: add --resume to go on with it, or choose another --out")
    if resume and not has_checkpoint(directory):
        raise InputError(f"{directory} holds no checkpoint to resume from; start without --resume")
