"""The command ``sciml-zoo``: the same verbs for every domain.

Exit status 0: done; 1: the work failed; 2: the input was wrong. Messages go to standard error; no traceback without
``--debug``.
"""

import argparse
import sys
from collections.abc import Sequence

import sciml_zoo
from sciml_zoo.cli import data, demo, inference, shelf, train
from sciml_zoo.errors import FailureError, InputError

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sciml-zoo", description="A scientific machine-learning model zoo: list, verify, use and train models."
    )
    parser.add_argument("--version", action="version", version=f"sciml-zoo {sciml_zoo.__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(metavar="VERB", required=True)
    for group in (shelf, train, inference, demo, data):
        group.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit status.
    """
    parser = _parser()
    args, extra = parser.parse_known_args(argv)
    if extra and not getattr(args, "takes_options", False):
        parser.error(f"unrecognised arguments: {' '.join(extra)}")
    args.extra = extra
    try:
        return int(args.run(args))
    except (InputError, FailureError) as error:
        if args.debug:
            raise
        print(f"sciml-zoo: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("sciml-zoo: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe, such as `head`, has gone
        return 1
    except Exception as error:
        if args.debug:
            raise
        print(f"sciml-zoo: {type(error).__name__}: {error}\n(run `sciml-zoo --debug …` for details)", file=sys.stderr)
        return 1
