"""What machines learn from and complete: files of states, unknown entries in them, and the digits of scikit-learn.

| reference | states |
|---|---|
| a file, ``dataset:NAME/FILE`` | see :mod:`sciml_zoo.ising.observed_states` |
| ``sklearn:digits/train``, ``…/test`` | 8×8 digits, 1 where a pixel (0 … 16) is at least 8; 1437 and 360 of them |
"""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.ising.observed_states import read_samples

__all__ = ["binarised_digits", "load_incomplete", "load_samples"]

_DIGITS = {"sklearn:digits/train": 0, "sklearn:digits/test": 1}
_DIGIT_THRESHOLD = 8
_DIGIT_TEST_FRACTION = 0.2
_UNKNOWN = ("?", "nan", "NaN")


def load_samples(reference: str | Path) -> NDArray[np.float64]:
    """Reads complete states.

    Args:
        reference: as in the table above.

    Returns:
        [m, n] of 0 and 1; −1 of a ±1 file is 0.

    Raises:
        InputError: naming file and line of what is wrong.
    """
    text = str(reference)
    if not text.startswith("sklearn:"):
        return read_samples(text).bits.astype(np.float64)
    if text not in _DIGITS:
        raise InputError(f"{text!r} is unknown; {nearest(text, _DIGITS)}")
    return binarised_digits()[_DIGITS[text]]


def binarised_digits() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the train and test parts [m, 64] of scikit-learn's digits in 0/1, split once and for all with seed 0."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, digits = load_digits(return_X_y=True)
    binary = (pixels >= _DIGIT_THRESHOLD).astype(np.float64)
    train, test = train_test_split(binary, test_size=_DIGIT_TEST_FRACTION, stratify=digits, random_state=0)
    return train, test


def load_incomplete(reference: str | Path) -> NDArray[np.float64]:
    """Reads states in which ``?`` or NaN stands for an unknown entry.

    Args:
        reference: as for :func:`load_samples`; a text file with unknown entries holds digits without separators
            (``10?1``), or words between blanks or commas (``1 -1 ?``).

    Returns:
        [m, n] of 0, 1 and NaN.

    Raises:
        InputError: naming file and line of what is wrong.
    """
    path = Path(reference)
    if path.suffix == ".npy" and path.is_file():
        return _with_nan(path)
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError):
        return load_samples(reference)  # which says what is wrong, or knows the reference
    rows = [(number, line.split("#")[0].strip()) for number, line in enumerate(text.splitlines(), 1)]
    rows = [(number, row) for number, row in rows if row]
    if not any(word in row for _, row in rows for word in _UNKNOWN):
        return load_samples(reference)
    table = [(number, list(row) if set(row) <= set("01?") else row.replace(",", " ").split()) for number, row in rows]
    low = "-1" if any("-1" in words for _, words in table) else "0"
    values = {low: 0.0, "1": 1.0, "+1": 1.0, **dict.fromkeys(_UNKNOWN, np.nan)}
    for number, words in table:
        wrong = next((word for word in words if word not in values), None)
        if wrong is not None:
            raise InputError(f"{path}, line {number}: {wrong[:60]!r} is not {low}, 1 or ? (unknown)")
        if len(words) != len(table[0][1]):
            raise InputError(f"{path}, line {number}: {len(words)} values, where the first has {len(table[0][1])}")
    return np.array([[values[word] for word in words] for _, words in table])


def _with_nan(path: Path) -> NDArray[np.float64]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as .npy ({error})") from error
    if array.ndim != 2 or array.dtype.kind != "f" or not np.isnan(array).any():
        return load_samples(path)
    known = np.unique(array[~np.isnan(array)])
    low = -1.0 if -1.0 in known else 0.0
    if not np.isin(known, (low, 1.0)).all():
        i, j = np.argwhere(~np.isin(array, (low, 1.0)) & ~np.isnan(array))[0]
        raise InputError(f"{path}, row {i}: value {array[i, j]} in column {j}; expected {low:g}, 1 or NaN")
    return np.where(np.isnan(array), np.nan, (array == 1).astype(np.float64))
