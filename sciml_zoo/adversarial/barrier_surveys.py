"""Barriers between many samples and their adversarial twins: a row for each sample, and what there is to draw of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from sciml_zoo.adversarial.barriers import Barriers, barrier
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.surveys import attacked
from sciml_zoo.adversarial.valley import ValleyPotential
from sciml_zoo.errors import InputError

__all__ = ["BarrierSurvey", "Pair", "barrier_survey"]

# Pairs whose barriers are sought at once: few enough that progress shows.
_BATCH = 25


@dataclass(frozen=True)
class Pair:
    """A clean input, its twin, and the ways between them; all of one sample.

    Attributes:
        potential: V of the pair.
        attack: the attack's path, [nodes, 1, ...].
        line: straight line between the two minima, [2, 1, ...]; None: there are no two.
        path: minimum-energy path, [nodes, 1, ...]; None: none was found without a gap.
        saddle: the highest on it, [...]; None: likewise.
    """

    potential: ValleyPotential
    attack: Path
    line: Path | None
    path: Path | None
    saddle: Tensor | None


@dataclass(frozen=True)
class BarrierSurvey:
    """Barriers of many samples.

    Attributes:
        table: a row for each sample: ``sample, label, success`` (of the attack), ``distinct`` (whether both ends relax
            to minima that differ), ``found`` (a refined saddle of first order connects them, no higher than the
            straight line), ``forward`` and ``backward`` height of the barrier, ``line`` and ``attack`` (the highest
            along the straight line and along the attack, above the clean side's minimum), ``loss_line, loss_attack,
            loss_path`` (the climb of the cross-entropy), ``gradient_norm`` and ``negative`` eigenvalues at the saddle,
            ``gradients``; NaN where there is no barrier.
        attacks: paths of the attack on the samples, in batches, in order, float64 [nodes, batch, ...].
        barriers: of the same batches.
        model: the classifier, in float64.
        stiffness: k of the potential.
    """

    table: pd.DataFrame
    attacks: tuple[Path, ...]
    barriers: tuple[Barriers, ...]
    model: nn.Module
    stiffness: float

    def pair(self, sample: int) -> Pair:
        """Returns what there is to draw of a sample, without another search.

        Args:
            sample: its number in the table.

        Raises:
            InputError: no such sample.
        """
        if not 0 <= sample < len(self.table):
            raise InputError(f"sample {sample}: there are {len(self.table)}, numbered from 0")
        row, batch = sample, 0
        while row >= len(self.barriers[batch].distinct):
            row, batch = row - len(self.barriers[batch].distinct), batch + 1
        attack, found = self.attacks[batch].select([row]), self.barriers[batch]
        potential = ValleyPotential(self.model, attack.start, attack.end, stiffness=self.stiffness)
        line = path = saddle = None
        if found.distinct[row]:
            line = Path.straight(found.start.points[row : row + 1], found.end.points[row : row + 1])
        if found.connected[row]:
            path, saddle = found.path.select([row]), found.saddles.points[row]
        return Pair(potential, attack, line, path, saddle)


def barrier_survey(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: str = "pgd_l2",
    *,
    stiffness: float = 1.0,
    method: str = "band",
    wanted: int | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> BarrierSurvey:
    """Attacks samples in float64, and finds the barriers to their twins.

    A pair whose ends relax to the same minimum has no barrier: the next sample takes its place.

    Args:
        model: classifier, smooth; it is copied.
        images: clean, [n, ...].
        labels: int64 [n].
        attack: its name.
        stiffness: k of the potential V(x) = −log Σ p² + (k/2) ‖x − x_mid‖².
        method: of the first attempt: ``band`` or ``string``.
        wanted: pairs with distinct minima, after which the survey ends; None: all samples.
        seed: of the attack on the first batch; the others follow.
        on_progress: called with the number of samples done, or of pairs if some are wanted, and their total.
        **options: of the attack.

    Returns:
        The barriers, of the samples that were looked at.

    Raises:
        InputError: no image, a stiffness that is not positive, or what the attack or the barrier refuses.
    """
    if not len(images):
        raise InputError("no image; give at least one")
    if stiffness <= 0:
        raise InputError(f"stiffness: {stiffness:g} is not positive")
    classifier = LossPotential(model, dtype=torch.float64).model
    assert isinstance(classifier, nn.Module)
    found: list[Barriers] = []
    attacks: list[Path] = []
    tables: list[pd.DataFrame] = []
    done = pairs = 0
    while done < len(images) and (wanted is None or pairs < wanted):
        rows = torch.arange(done, min(len(images), done + _BATCH), device=images.device)
        rows = rows if wanted is None else rows[: wanted - pairs]
        part = attacked(classifier, images[rows].double(), labels[rows], attack, seed=seed + len(found), **options)
        valley = ValleyPotential(classifier, part.start, part.end, stiffness=stiffness)
        loss = LossPotential(classifier, labels[rows], dtype=torch.float64)
        found.append(barrier(valley, part.start, part.end, attack=part, loss=loss, method=method))
        attacks.append(part)
        tables.append(_table(found[-1], rows, labels[rows], part.success))
        done, pairs = done + len(rows), pairs + int(found[-1].distinct.sum())
        if on_progress is not None:
            on_progress(*((done, len(images)) if wanted is None else (pairs, wanted)))
    return BarrierSurvey(pd.concat(tables, ignore_index=True), tuple(attacks), tuple(found), classifier, stiffness)


def _table(found: Barriers, samples: Tensor, labels: Tensor, success: Tensor | None) -> pd.DataFrame:
    climbs, loss_climbs, saddles = found.climbs, found.loss_climbs, found.saddles
    assert loss_climbs is not None
    assert success is not None
    columns = {
        "sample": samples,
        "label": labels,
        "success": success,
        "distinct": found.distinct,
        "found": found.found,
        "forward": found.forward,
        "backward": found.backward,
        "line": climbs.line,
        "attack": climbs.attack,
        "loss_line": loss_climbs.line,
        "loss_attack": loss_climbs.attack,
        "loss_path": loss_climbs.path,
        "gradient_norm": saddles.gradient_norms,
        "negative": torch.where(saddles.gradient_norms.isfinite(), saddles.negative.double(), torch.nan),
        "gradients": found.gradients,
    }
    return pd.DataFrame({name: column.detach().cpu().numpy() for name, column in columns.items()})
