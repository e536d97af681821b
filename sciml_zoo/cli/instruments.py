"""``sciml-zoo instruments``: learning as physics, measured."""

import argparse

from sciml_zoo.cli.arguments import image_file, whole
from sciml_zoo.cli.output import add_json_option
from sciml_zoo.instruments import NAMES

__all__ = ["add_parser"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the verb ``instruments``, which sets ``run``, a function of the parsed arguments.

    Args:
        subparsers: of the main parser.
    """
    verb = subparsers.add_parser(
        "instruments",
        help="measure the physics of learning: springs, waves, chaos, phases",
        description="Run one instrument on its demonstration, or on a model of the shelf.",
    )
    verb.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    verb.add_argument("--model", metavar="WEIGHTS", help="measure these weights, or local-dir:…, in place of the demo")
    verb.add_argument("--plot", type=image_file, metavar="FILE", help="draw the result, to .png, .pdf or .svg")
    verb.add_argument("--seed", type=whole, metavar="S", help="of what is drawn at random, with --model; default: 0")
    verb.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, …")
    add_json_option(verb)
    verb.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    # Imports torch, which the command line itself must not.
    from sciml_zoo.cli.instrument_verbs import run_instrument

    return run_instrument(args)
