"""Labelled grey images: the digits of scikit-learn, and a user's own files.

| reference | images |
|---|---|
| ``sklearn:digits/train``, ``…/test`` | 8×8 digits, pixels of 0 … 16 divided by 16; 1200 and 597 of them, stratified |
| ``FILE.npz`` | arrays ``images`` [n, s, s], [n, 1, s, s] or [n, s²], and ``labels`` [n] |
| ``FILE.csv`` | a head; a column ``label``; all other columns are the pixels, row by row of the image |

Pixels are grey values in [0, 1], labels the integers 0, 1, ….
"""

import csv
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml_zoo.errors import InputError, nearest

__all__ = ["LabelledImages", "digits", "load_images"]

_DIGITS = {"sklearn:digits/train": 0, "sklearn:digits/test": 1}
_DIGIT_LEVELS = 16
_DIGIT_TESTS = 597
_LABEL = "label"


@dataclass(frozen=True)
class LabelledImages:
    """Images and what they show.

    Attributes:
        images: grey values in [0, 1], float32 [n, 1, s, s].
        labels: classes, int64 [n]; None: not known.
    """

    images: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Pixels on a side."""
        return self.images.shape[-1]


def load_images(reference: str | Path, *, labelled: bool = True) -> LabelledImages:
    """Reads images.

    Args:
        reference: as in the table above.
        labelled: refuse images without labels; otherwise labels are None where a file has none.

    Returns:
        The images, in the order of the file.

    Raises:
        InputError: naming the file, the line or row, and what is wrong.
    """
    text = str(reference)
    if text.startswith("sklearn:"):
        if text not in _DIGITS:
            raise InputError(f"{text!r} is unknown; {nearest(text, _DIGITS)}")
        return digits()[_DIGITS[text]]
    path = Path(reference)
    readers = {".npz": _read_npz, ".csv": _read_csv}
    if path.suffix not in readers:
        raise InputError(f"{text}: give {', '.join(_DIGITS)}, or a file that ends in .npz or .csv")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return readers[path.suffix](path, labelled)


def digits() -> tuple[LabelledImages, LabelledImages]:
    """Returns the train and test parts of scikit-learn's digits, split once and for all with seed 0."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    order = np.arange(len(labels))
    parts = train_test_split(order, test_size=_DIGIT_TESTS, stratify=labels, random_state=0)
    train, test = (
        LabelledImages(_images(pixels[rows] / _DIGIT_LEVELS), torch.from_numpy(labels[rows])) for rows in parts
    )
    return train, test


def _images(pixels: NDArray[np.float64]) -> Tensor:
    """Returns pixels [n, s²] as float32 [n, 1, s, s]."""
    size = math.isqrt(pixels.shape[1])
    return torch.from_numpy(pixels.astype(np.float32)).reshape(-1, 1, size, size)


def _checked(pixels: NDArray[np.float64], places: list[str]) -> Tensor:
    """Returns the images of pixels [n, s²], or says at which place one is wrong."""
    n_pixels = pixels.shape[1]
    if n_pixels < 1 or math.isqrt(n_pixels) ** 2 != n_pixels:
        raise InputError(f"{places[0]}: {n_pixels} pixels do not make a square image; 8×8 has 64")
    wrong = ~((pixels >= 0) & (pixels <= 1))  # NaN too
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        hint = "; divide by the largest grey value, such as 16 or 255" if np.nanmax(pixels) > 1 else ""
        raise InputError(f"{places[row]}: pixel {column + 1} is {pixels[row, column]:g}, outside [0, 1]{hint}")
    return _images(pixels)


def _read_npz(path: Path, labelled: bool) -> LabelledImages:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as .npz ({error})") from error
    for name in ("images", "labels") if labelled else ("images",):
        if name not in arrays:
            raise InputError(f"{path}: no array {name!r}; {nearest(name, arrays)}")
    images, labels = arrays["images"], arrays.get("labels")
    if images.dtype.kind not in "fiub":
        raise InputError(f"{path}: images of type {images.dtype} are not numbers")
    if not (images.ndim in (2, 3) or (images.ndim == 4 and images.shape[1] == 1)) or not images.size:
        raise InputError(f"{path}: images of shape {list(images.shape)}; give [n, s, s], [n, 1, s, s] or [n, s·s]")
    if images.ndim > 2 and images.shape[-1] != images.shape[-2]:
        raise InputError(f"{path}: images of {images.shape[-2]}×{images.shape[-1]} pixels are not square")
    found = _checked(
        images.reshape(len(images), -1).astype(np.float64), [f"{path}, row {i}" for i in range(len(images))]
    )
    if labels is None:
        return LabelledImages(found, None)
    if labels.shape != (len(images),) or labels.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: labels of {labels.dtype} {list(labels.shape)}; give an integer for each image, [{len(images)}]"
        )
    numbers = labels.astype(np.float64)
    wrong = ~((numbers >= 0) & (numbers == np.floor(numbers)))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"{path}, row {row}: label {labels[row]} is missing or not 0, 1, 2, …")
    return LabelledImages(found, torch.from_numpy(numbers.astype(np.int64)))


def _read_csv(path: Path, labelled: bool) -> LabelledImages:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            head = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from error
    if head.count(_LABEL) > 1 or (labelled and _LABEL not in head):
        raise InputError(
            f"{path}, line 1: the head must name one column 'label', and the pixels; it is {','.join(head)[:60]!r}"
        )
    if not rows:
        raise InputError(f"{path}: no images after the head")
    places = [f"{path}, line {number}" for number, _ in rows]
    for place, (_, row) in zip(places, rows, strict=True):
        if len(row) != len(head):
            raise InputError(f"{place}: {len(row)} values, where the head has {len(head)}")
    at = head.index(_LABEL) if _LABEL in head else None
    labels = None if at is None else _labels([row.pop(at) for _, row in rows], places, labelled)
    names = [name for name in head if name != _LABEL]
    return LabelledImages(_checked(_numbers([row for _, row in rows], names, places), places), labels)


def _numbers(rows: list[list[str]], names: list[str], places: list[str]) -> NDArray[np.float64]:
    try:
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    except ValueError:
        for place, row in zip(places, rows, strict=True):
            for name, text in zip(names, row, strict=True):
                if not _is_number(text):
                    raise InputError(f"{place}, column {name!r}: {text[:60]!r} is not a number") from None
        raise


def _labels(texts: list[str], places: list[str], labelled: bool) -> Tensor | None:
    if not labelled and not any(text.strip() for text in texts):
        return None
    for place, text in zip(places, texts, strict=True):
        if not text.strip():
            raise InputError(f"{place}: no label")
        if not (text.strip().isascii() and text.strip().isdigit()):
            raise InputError(f"{place}: label {text[:60]!r} is not 0, 1, 2, …")
    return torch.tensor([int(text) for text in texts])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
