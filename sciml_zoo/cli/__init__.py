"""The command ``sciml-zoo``: the same verbs for every domain.

Exit status 0: done; 1: the work failed; 2: the input was wrong. Messages go to standard error; no traceback without
``--debug``.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import sciml_zoo
from sciml_zoo.cli import (
    adversarial,
    data,
    demo,
    emissions,
    inference,
    instruments,
    ising,
    potentials,
    shelf,
    splicing,
    train,
)
from sciml_zoo.errors import FailureError, InputError, nearest

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Refuses what is unknown with the nearest valid name, and nothing can be abbreviated.

    A verb that sets ``takes_options`` leaves ``--name value`` and ``--name=value`` that it does not know in ``extra``,
    wherever they stand.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Returns the arguments, and those not known if the verb takes options of its own."""
        words = list(sys.argv[1:] if args is None else args)
        if self.get_default("takes_options"):
            words = self._joined(words)
        found, extra = super().parse_known_args(words, namespace)
        if extra and not getattr(found, "takes_options", False):
            hint = f"; {nearest(extra[0], self._option_string_actions)}" if extra[0].startswith("-") else ""
            self.error(f"unrecognised arguments: {' '.join(extra)}{hint}")
        return found, extra

    def _joined(self, words: list[str]) -> list[str]:
        # Writes `--name value` as one word, so that the value is not taken for a positional argument.
        joined: list[str] = []
        rest = list(words)
        while rest:
            word = rest.pop(0)
            unknown = word.startswith("--") and "=" not in word and word not in self._option_string_actions
            joined.append(f"{word}={rest.pop(0)}" if unknown and rest and not rest[0].startswith("--") else word)
        return joined

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"unknown: {value!r}; {nearest(str(value), action.choices)}")


def _parser() -> _Parser:
    parser = _Parser(
        prog="sciml-zoo", description="A scientific machine-learning model zoo: list, verify, use and train models."
    )
    parser.add_argument("--version", action="version", version=f"sciml-zoo {sciml_zoo.__version__}")
    subparsers = parser.add_subparsers(metavar="VERB", required=True)
    for group in (
        shelf,
        train,
        inference,
        demo,
        data,
        potentials,
        ising,
        splicing,
        emissions,
        adversarial,
        instruments,
    ):
        group.add_parser(subparsers)
    return parser


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Says what a user can act on, without the line of code that said it."""
    print(f"sciml-zoo: warning: {message}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit status.
    """
    args, args.extra = _parser().parse_known_args(argv)
    debug = getattr(args, "debug", False)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return int(args.run(args))
    except (InputError, FailureError) as error:
        if debug:
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
        if debug:
            raise
        print(f"sciml-zoo: {type(error).__name__}: {error}\n(run `sciml-zoo --debug …` for details)", file=sys.stderr)
        return 1
