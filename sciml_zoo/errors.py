"""The package's own errors, and the words they share.

The command line turns :class:`InputError` into exit status 2 and :class:`FailureError` into exit status 1.
"""

import difflib
from collections.abc import Iterable

__all__ = ["FailureError", "InputError", "nearest"]


class InputError(ValueError):
    """Something the user gave is wrong: the message says what, where, and what would be right."""


class FailureError(RuntimeError):
    """Valid input, but the work could not be done (network down, disk full, predictions differ)."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Says which valid name was probably meant.

    Args:
        name: the name that is not valid.
        valid: the names that are.

    Returns:
        A sentence to append to an error message, such as ``"did you mean 'n_radial'?"``; without a close match,
        the sorted list of valid names.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid names: {', '.join(names)}" if names else "there are no valid names"
