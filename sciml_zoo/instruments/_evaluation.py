"""How an instrument runs a user's modules without changing them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ["evaluating"]


@contextmanager
def evaluating(models: Iterable[Any]) -> Iterator[None]:
    """Puts those that are modules into evaluation mode, and every part of them back into its own mode after.

    Args:
        models: modules and other callables.

    Yields:
        Nothing.
    """
    modes = {part: part.training for model in models if isinstance(model, nn.Module) for part in model.modules()}
    for part in modes:
        part.training = False
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
