"""Attacks on many samples, and the work along each: a row for each sample, and what they amount to."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sciml_zoo.adversarial.attacks import ATTACKS, RANDOM, options_of
from sciml_zoo.adversarial.line_integral import work
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.errors import InputError, nearest

__all__ = ["COLUMNS", "attacked", "summary", "survey", "surveyed_path"]

#: Columns of :func:`survey`.
COLUMNS = (
    "sample",
    "label",
    "work",
    "delta_loss",
    "closure",
    "error_estimate",
    "dissipation",
    "gradients",
    "norm",
    "success",
    "length",
    "integration_gradients",
    "segments",
    "panels",
)
_BATCH = 100
# Paths integrated at once: few enough that progress shows.
_INTEGRATED = 10
# The norm that an attack's size is given in; L2 for all others.
_NORMS = {"pgd_linf": float("inf"), "fgsm": float("inf"), "momentum": float("inf"), "minnorm_linf": float("inf")}


def attacked(model: nn.Module, images: Tensor, labels: Tensor, attack: str, *, seed: int = 0, **options: Any) -> Path:
    """Attacks a batch.

    Args:
        model: classifier, in the precision of the images.
        images: clean, [batch, ...].
        labels: int64 [batch].
        attack: its name, one of :data:`~sciml_zoo.adversarial.attacks.ATTACKS`.
        seed: of its draws, if it draws any.
        **options: of the attack.

    Returns:
        The paths.

    Raises:
        InputError: no such attack, or one that has no such option.
    """
    if attack not in ATTACKS:
        raise InputError(f"attack: no attack {attack!r}; {nearest(attack, ATTACKS)}")
    known = options_of(attack)
    for name in options:
        if name not in known:
            raise InputError(f"{name}: {attack} has no such option; it has {', '.join(known)}")
    if attack in RANDOM:
        options["generator"] = torch.Generator(images.device).manual_seed(seed)
    return ATTACKS[attack](model, images, labels, **options)


def survey(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: str,
    *,
    seed: int = 0,
    tolerance: float = 1e-9,
    on_progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Attacks samples in float64, and integrates the work along their paths.

    Args:
        model: classifier; it is copied.
        images: clean, [n, ...].
        labels: int64 [n].
        attack: its name.
        seed: of the first batch of a hundred samples; the others follow.
        tolerance: of the work.
        on_progress: called with the number of samples done, and their total.
        **options: of the attack.

    Returns:
        A row for each sample, with :data:`COLUMNS`; ``norm`` is L∞ for the attacks in that norm, L2 for the others;
        ``gradients`` are the attack's, ``integration_gradients`` those of the work.
    """
    if not len(images):
        raise InputError("no image; give at least one")
    tables = []
    p = _NORMS.get(attack, 2.0)
    for start in range(0, len(images), _BATCH):
        network, path = _batch(model, images, labels, attack, seed, start // _BATCH, options)
        for rows in torch.arange(path.points.shape[1], device=images.device).split(_INTEGRATED):
            part, mine = path.select(rows), labels[start + rows]
            found = work(LossPotential(network, mine, dtype=torch.float64), part, tolerance=tolerance)
            assert part.success is not None
            columns = {
                "sample": start + rows,
                "label": mine,
                **{
                    name: getattr(found, name)
                    for name in ("work", "delta_loss", "closure", "error_estimate", "dissipation")
                },
                "gradients": torch.full((len(mine),), part.gradients),
                "norm": part.norm(p),
                "success": part.success,
                "length": found.length,
                "integration_gradients": found.gradients,
                "segments": found.segments,
                "panels": found.panels,
            }
            tables.append(pd.DataFrame({name: column.detach().cpu().numpy() for name, column in columns.items()}))
            if on_progress is not None:
                on_progress(len(mine) + int(start + rows[0]), len(images))
    return pd.concat(tables, ignore_index=True)


def surveyed_path(
    model: nn.Module, images: Tensor, labels: Tensor, attack: str, sample: int, *, seed: int = 0, **options: Any
) -> Path:
    """Returns the path that :func:`survey` took of one sample, float64 [nodes, 1, ...].

    Args:
        model: as for the survey, like all but the next.
        images: clean, [n, ...].
        labels: int64 [n].
        attack: its name.
        sample: of the images.
        seed: of the first batch.
        **options: of the attack.
    """
    batch, row = divmod(sample, _BATCH)
    return _batch(model, images, labels, attack, seed, batch, options)[1].select([row])


def _batch(
    model: nn.Module, images: Tensor, labels: Tensor, attack: str, seed: int, batch: int, options: dict[str, Any]
) -> tuple[nn.Module, Path]:
    """Returns the network in float64, and the paths of the attack on a batch of samples."""
    rows = slice(batch * _BATCH, (batch + 1) * _BATCH)
    network = LossPotential(model, dtype=torch.float64).model
    assert isinstance(network, nn.Module)
    return network, attacked(network, images[rows].double(), labels[rows], attack, seed=seed + batch, **options)


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Returns what a survey amounts to.

    Args:
        table: as :func:`survey` gives it.

    Returns:
        The number of samples; the share of successes; medians of work, dissipation, norm and the number of gradients
        of attack and integral for each segment; and the largest closure as a part of max(|ΔV|, 1e-3).
    """
    relative = table["closure"] / table["delta_loss"].abs().clip(lower=1e-3)
    per_segment = table["integration_gradients"] / table["segments"].clip(lower=1)
    return {
        "samples": len(table),
        "success": float(table["success"].mean()),
        "median_norm": float(table["norm"].median()),
        "median_work": float(table["work"].median()),
        "median_dissipation": float(table["dissipation"].median()),
        "attack_gradients": float(table["gradients"].mean()),
        "gradients_per_segment": float(per_segment.mean()),
        "largest_relative_closure": float(np.max(relative)) if len(relative) else float("nan"),
    }
