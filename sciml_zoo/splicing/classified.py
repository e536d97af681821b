"""Windows of 60 bases to be told apart: a donor in the middle (EI), an acceptor in the middle (IE), or neither (N).

A file of the UCI repository's data set 69 has lines ``class, name, sequence``. The junction lies between bases 30 and
31, so that with positions from zero the first base of the intron is 30 in EI and its last base is 29 in IE.

==========================================  ==========================================================
ℓ_N = 0                                     logits of the classes, from those of any splice-site network
ℓ_EI = donor logit of base 30               both on the + strand
ℓ_IE = acceptor logit of base 29
L = −Σ_k w_k q_k log softmax(ℓ)_k           q: 1 − ε at the true class and ε/3 everywhere (Szegedy et al., CVPR 2016)
==========================================  ==========================================================
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import CatMetric

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.splicing._opening import open_text
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.sequences import encode, reverse_complement
from sciml_zoo.training.task import StepOutput, Task

__all__ = [
    "CLASSES",
    "LENGTH",
    "ClassLossConfig",
    "ClassifiedBatch",
    "ClassifiedTask",
    "ClassifiedWindow",
    "class_logits",
    "error_rates",
    "folds",
    "is_classified",
    "read_classified",
    "related",
    "split_windows",
]

CLASSES = ("N", "EI", "IE")
#: Bases of a window.
LENGTH = 60
_DONOR, _ACCEPTOR = LENGTH // 2, LENGTH // 2 - 1
_FIELDS = 3
# Bases on either side of the junction that are never masked in training: the consensus of a donor, and of an acceptor.
_KEPT = 20


@dataclass(frozen=True)
class ClassifiedWindow:
    """One line.

    Attributes:
        name: of the window.
        codes: bases, uint8 [60].
        label: index into ``CLASSES``.
    """

    name: str
    codes: NDArray[np.uint8]
    label: int


def read_classified(path: str | Path) -> list[ClassifiedWindow]:
    """Reads windows, one a line: class, name and 60 bases with commas between them.

    Args:
        path: a text file, plain or gzip; D, N, R, S and the other ambiguity letters are unknown bases.

    Returns:
        The windows, in the order of the file.

    Raises:
        InputError: naming the line of what is wrong.
    """
    windows = []
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            fields = [field.strip() for field in line.split(",")]
            if len(fields) != _FIELDS:
                raise InputError(f"{place}: expected `class, name, sequence`, found {len(fields)} fields")
            label, name, sequence = fields
            if label not in CLASSES:
                raise InputError(f"{place}: the class {label!r} is unknown; {nearest(label, CLASSES)}")
            if len(sequence) != LENGTH:
                raise InputError(f"{place}: {len(sequence)} bases, expected {LENGTH} with the junction in the middle")
            try:
                codes = encode(sequence)
            except InputError as error:
                raise InputError(f"{place}: {error}") from error
            windows.append(ClassifiedWindow(name, codes, CLASSES.index(label)))
    if not windows:
        raise InputError(f"{path}: holds no windows; expected lines of `class, name, sequence`")
    return windows


def is_classified(path: str | Path) -> bool:
    """Says whether a file holds classified windows, by its first line that is not blank.

    Args:
        path: any text file, plain or gzip.

    Returns:
        Whether it does.
    """
    with open_text(path) as lines:
        first = next((line for line in lines if line.strip()), "")
    return first.count(",") == _FIELDS - 1 and first.partition(",")[0].strip() in CLASSES


def related(windows: Sequence[ClassifiedWindow]) -> NDArray[np.int64]:
    """Numbers the groups of windows with the same sequence on either strand.

    Args:
        windows: the windows; their classes do not matter.

    Returns:
        The group of each window, [n].
    """
    first: dict[bytes, int] = {}
    groups = np.empty(len(windows), np.int64)
    for index, window in enumerate(windows):
        text = min(window.codes.tobytes(), reverse_complement(window.codes).tobytes())
        groups[index] = first.setdefault(text, index)
    return groups


def folds(windows: Sequence[ClassifiedWindow], n: int, *, seed: int) -> NDArray[np.int64]:
    """Deals groups of equal windows to folds at random, so that folds have about the same numbers of each class.

    Args:
        windows: the windows.
        n: how many folds.
        seed: of the order of dealing.

    Returns:
        The fold of each window, [windows].
    """
    group = related(windows)
    labels = np.array([window.label for window in windows])
    held = np.zeros((n, len(CLASSES)), int)
    fold = np.empty(len(windows), np.int64)
    for number in np.random.default_rng(seed).permutation(np.unique(group)):
        members = np.flatnonzero(group == number)
        # The smallest in the class of its first member; among equals, the smallest in all.
        chosen = min(range(n), key=lambda k: (held[k, labels[members[0]]], held[k].sum()))
        fold[members] = chosen
        np.add.at(held[chosen], labels[members], 1)
    return fold


def split_windows(
    windows: Sequence[ClassifiedWindow], fraction: float, *, seed: int
) -> tuple[list[ClassifiedWindow], list[ClassifiedWindow]]:
    """Sets a random part of the windows aside; duplicates stay together.

    Args:
        windows: the windows.
        fraction: how many to set aside, in (0, 1).
        seed: of the choice.

    Returns:
        The rest, and the windows set aside.

    Raises:
        InputError: one of the two parts would be empty.
    """
    group = related(windows)
    order = np.random.default_rng(seed).permutation(np.unique(group))
    sizes = np.array([np.count_nonzero(group == number) for number in order])
    aside = set(order[np.cumsum(sizes) <= max(round(fraction * len(windows)), 1)].tolist())
    parts = [
        [w for w, g in zip(windows, group.tolist(), strict=True) if (g in aside) is which] for which in (False, True)
    ]
    if not all(parts):
        raise InputError(f"{len(windows)} windows cannot be split into training and validation; give more")
    return parts[0], parts[1]


def class_logits(model: SpliceModel, codes: Tensor) -> Tensor:
    """Returns the logits of N, EI and IE.

    Args:
        model: any splice-site network.
        codes: windows, [B, 60].

    Returns:
        [B, 3].
    """
    logits = model(codes)[:, :, 0]
    donor, acceptor = logits[:, _DONOR, 0], logits[:, _ACCEPTOR, 1]
    return torch.stack([torch.zeros_like(donor), donor, acceptor], 1)


def error_rates(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, float]:
    """Returns the percentage of wrong classes, of all windows (``error``) and of those of each class (``error_EI``).

    Args:
        predicted: classes, [n].
        labels: true classes, [n]; a class without any has NaN.
    """
    wrong = predicted != labels
    found = {"error": 100 * float(wrong.mean())}
    for index, name in enumerate(CLASSES):
        members = labels == index
        found[f"error_{name}"] = 100 * float(wrong[members].mean()) if members.any() else float("nan")
    return found


@dataclass(frozen=True)
class ClassLossConfig:
    """What keeps a network from learning a few thousand windows by heart.

    Attributes:
        smoothing: ε of the label smoothing, in [0, 1).
        masked: the probability with which a training base far from the junction is hidden, in [0, 1).
        substituted: the probability with which any training base but the two of the consensus is replaced by a random
            one, in [0, 1).
        weights: of the classes N, EI, IE in the loss: more of N makes false junctions rarer.
    """

    smoothing: float = 0.0
    masked: float = 0.0
    substituted: float = 0.0
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if min(self.weights) <= 0:
            raise InputError(f"weights: {self.weights} are not all positive")
        for name in ("smoothing", "masked", "substituted"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not in [0, 1)")


class ClassifiedBatch(NamedTuple):
    """Windows on top of each other: codes [B, 60] and classes [B]."""

    codes: Tensor
    labels: Tensor


class ClassifiedTask(Task):
    """Trains a splice-site network to tell the three classes apart.

    Args:
        model: the network.
        loss: smoothing and noise.
    """

    #: What :meth:`evaluate` returns.
    NAMES = ("loss", "error", *(f"error_{name}" for name in CLASSES))

    model: SpliceModel

    def __init__(self, model: SpliceModel, loss: ClassLossConfig | None = None) -> None:
        self.model = model
        self.loss = loss or ClassLossConfig()

    def collate(self, samples: list[ClassifiedWindow]) -> ClassifiedBatch:
        """Stacks windows.

        Args:
            samples: the windows.

        Returns:
            The batch.
        """
        codes = torch.from_numpy(np.stack([sample.codes for sample in samples]))
        return ClassifiedBatch(codes, torch.tensor([sample.label for sample in samples]))

    def steps(self, batch: ClassifiedBatch) -> Iterator[StepOutput]:
        """Yields the loss of one step.

        Args:
            batch: windows.

        Yields:
            The mean cross-entropy; weight: the number of windows.
        """
        logits = class_logits(self.model, self._disturbed(batch.codes))
        weights = logits.new_tensor(self.loss.weights)
        loss = F.cross_entropy(logits, batch.labels, weights, label_smoothing=self.loss.smoothing)
        yield StepOutput(loss, len(batch.labels))

    def _disturbed(self, codes: Tensor) -> Tensor:
        """Returns the bases with some hidden and some replaced, others each time that a window is read."""
        chance = torch.rand(2, *codes.shape, device=codes.device, generator=self.generator)
        other = torch.randint(4, codes.shape, device=codes.device, generator=self.generator).to(codes)
        place = torch.arange(LENGTH, device=codes.device)
        near = (place >= _DONOR - _KEPT) & (place < _DONOR + _KEPT)
        # GT after, AG before the junction.
        consensus = (place >= _DONOR - 2) & (place < _DONOR + 2)
        codes = torch.where((chance[0] < self.loss.substituted) & ~consensus, other, codes)
        return torch.where((chance[1] < self.loss.masked) & ~near, 4, codes)

    def evaluate(self, batches: Iterable[ClassifiedBatch]) -> dict[str, float]:
        """Scores the network, and calibrates it on the same windows.

        Args:
            batches: windows.

        Returns:
            ``loss``, the cross-entropy without smoothing, and the percentages of wrong classes.
        """
        kept = {name: CatMetric().to(self.device) for name in ("logits", "labels")}
        for batch in batches:
            with torch.no_grad():
                kept["logits"].update(class_logits(self.model, batch.codes).double())
            kept["labels"].update(batch.labels.double())
        logits, labels = (kept[name].compute() for name in ("logits", "labels"))
        if not len(logits):
            return {}
        labels = labels.long()
        self.model.calibration.fit(logits[:, 1:], F.one_hot(labels, len(CLASSES))[:, 1:] > 0)
        found = error_rates(logits.argmax(1).cpu().numpy(), labels.cpu().numpy())
        return {"loss": float(F.cross_entropy(logits, labels)), **found}
