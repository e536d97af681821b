"""Scores of a classifier on a file of images, clean and attacked, and its predictions; shared over ranks."""

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

import torch

from sciml_zoo._files import write_atomically
from sciml_zoo.adversarial.data import LabelledImages, load_images
from sciml_zoo.adversarial.metrics import score
from sciml_zoo.adversarial.model import DigitsCNN
from sciml_zoo.adversarial.threat import KINDS, Threat
from sciml_zoo.errors import InputError, nearest
from sciml_zoo.training.ranks import Ranks

__all__ = ["evaluate", "predict"]

# Images attacked at once; each part has random starts of its own, so that ranks do not change the result.
_PART = 200


def evaluate(
    model: DigitsCNN,
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    attack: str = "l2",
    epsilon: float | str = 0.5,
    steps: int | str = 50,
    restarts: int | str = 3,
    seed: int | str = 0,
) -> dict[str, float]:
    """Scores a classifier on images, and on the worst that projected gradient ascent finds near them.

    Args:
        model: the classifier.
        path: the images; see :func:`load_images`.
        device: where to compute.
        ranks: processes that share the work.
        on_progress: called with the number of images done by this rank, and its total.
        attack: norm of the ball about each image: ``linf``, ``l2``, or ``none``.
        epsilon: its radius, in units of the pixels' range [0, 1].
        steps: of gradient ascent.
        restarts: how often it is tried, from random starts.
        seed: of them.

    Returns:
        ``n``; ``loss`` (nats), ``accuracy`` and its standard error ``accuracy_error``, of the clean images; the same of
        the worst image found near each: ``robust_loss``, ``robust_accuracy``, ``robust_accuracy_error``. What is found
        bounds the robustness from above.

    Raises:
        InputError: images that cannot be read or do not fit the model, or an option that is unknown or no number.
    """
    if attack not in KINDS:
        raise InputError(f"--attack: {attack!r} is unknown; {nearest(attack, KINDS)}")
    threat = Threat(attack, _number("epsilon", epsilon), _integer("steps", steps))
    tries, first = _integer("restarts", restarts), _integer("seed", seed)
    if tries < 1 or first < 0:
        raise InputError(f"--restarts {tries}, --seed {first}: give at least 1, and 0 or more")
    found = _images_for(model, path, labelled=True)
    assert found.labels is not None
    network = model.to(device).eval()
    dtype = next(network.parameters()).dtype
    rank, world_size = (ranks.rank, ranks.world_size) if ranks else (0, 1)
    parts = range(0, len(found), _PART)
    mine = parts[rank::world_size]
    done: dict[int, list[list[float]]] = {}
    for start in mine:
        images, labels = (x[start : start + _PART].to(device) for x in (found.images, found.labels))
        generator = torch.Generator(device).manual_seed(first + start)
        each = score(network, images.to(dtype), labels, threat, generator, restarts=tries)
        scores = (each.loss, each.right, each.robust_loss, each.robust)
        done[start] = torch.stack([one.double() for one in scores]).tolist()
        if on_progress is not None:
            on_progress(len(done), len(mine))
    if ranks is not None:
        done = {start: columns for part in ranks.gather(done) for start, columns in part.items()}
    columns = torch.cat([torch.tensor(done[start], dtype=torch.float64) for start in sorted(done)], 1)
    loss, accuracy, robust_loss, robust = columns.mean(1).tolist()
    n = len(found)
    return {
        "n": n,
        "loss": loss,
        "accuracy": accuracy,
        "accuracy_error": math.sqrt(accuracy * (1 - accuracy) / n),
        "robust_loss": robust_loss,
        "robust_accuracy": robust,
        "robust_accuracy_error": math.sqrt(robust * (1 - robust) / n),
    }


@torch.no_grad()
def predict(
    model: DigitsCNN,
    source: str | Path,
    target: str | Path,
    *,
    device: str | torch.device = "cpu",
    ranks: Ranks | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Classifies images, and writes a CSV with a row for each: ``predicted`` and the probabilities ``p0``, ``p1``, ….

    Args:
        model: the classifier.
        source: the images, with or without labels; see :func:`load_images`.
        target: the CSV file to write; it appears, or replaces an older one, when it is complete.
        device: where to compute.
        ranks: processes that call this together; the first does all of it.
        on_progress: called with the number of images done, and their number.

    Returns:
        The number of images.

    Raises:
        InputError: images that cannot be read or do not fit the model, or a target that cannot be written.
    """
    target = Path(target)
    if target.suffix != ".csv":
        raise InputError(f"{target}: predictions are written as CSV; give a name that ends in .csv")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: no such directory; create it first")
    images = _images_for(model, source, labelled=False).images
    if ranks is None or ranks.rank == 0:
        network = model.to(device).eval()
        dtype = next(network.parameters()).dtype
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["predicted", *(f"p{label}" for label in range(model.config.n_classes))])
        for start in range(0, len(images), _PART):
            chances = network(images[start : start + _PART].to(device, dtype)).double().softmax(1)
            for row in chances.tolist():
                writer.writerow([row.index(max(row)), *(f"{chance:.9g}" for chance in row)])
            if on_progress is not None:
                on_progress(min(start + _PART, len(images)), len(images))
        write_atomically(target, text.getvalue())
    return len(images)


def _images_for(model: DigitsCNN, path: str | Path, *, labelled: bool) -> LabelledImages:
    found, config = load_images(path, labelled=labelled), model.config
    if found.size != config.size:
        raise InputError(
            f"{path}: images of {found.size}×{found.size} pixels; the model reads {config.size}×{config.size}"
        )
    if labelled and found.labels is not None and int(found.labels.max()) >= config.n_classes:
        raise InputError(f"{path}: label {int(found.labels.max())}; the model knows 0 … {config.n_classes - 1}")
    return found


def _number(name: str, value: float | str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"--{name}: {value!r} is not a number") from None


def _integer(name: str, value: int | str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InputError(f"--{name}: {value!r} is not an integer") from None
