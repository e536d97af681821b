"""Values of options, as the ``type`` of an argument: what they must be, and the words that say so."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sciml_zoo.cli.output import output_file

__all__ = ["count", "file_ending_in", "image_file", "not_negative", "positive", "whole"]


def _number(text: str, kind: type, least: float, wanted: str, *, above: bool = False) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not (value > least if above else value >= least) or math.isinf(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value


def positive(text: str) -> float:
    """Returns a number above 0."""
    return float(_number(text, float, 0, "a positive number", above=True))


def not_negative(text: str) -> float:
    """Returns a number of 0 or more."""
    return float(_number(text, float, 0, "a number of zero or more"))


def count(text: str) -> int:
    """Returns a whole number of 1 or more."""
    return int(_number(text, int, 1, "a whole number of 1 or more"))


def whole(text: str) -> int:
    """Returns a whole number of 0 or more."""
    return int(_number(text, int, 0, "a whole number of 0 or more"))


def file_ending_in(*endings: str) -> Callable[[str], Path]:
    """Returns the type of a file to write, whose ending tells its format.

    Args:
        endings: those allowed, such as ``.png``.
    """

    def checked(text: str) -> Path:
        path = output_file(text)
        if path.suffix not in endings:
            raise argparse.ArgumentTypeError(f"{text}: give a name that ends in {', '.join(endings)}")
        return path

    return checked


#: A figure to write.
image_file = file_ending_in(".png", ".pdf", ".svg")
