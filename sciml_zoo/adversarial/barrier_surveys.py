"""Barriers between many samples and their adversarial twins: a row for each sample."""

import pandas as pd
import torch
from torch import Tensor, nn

from sciml_zoo.adversarial.barriers import barrier
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.surveys import attacked
from sciml_zoo.adversarial.valley import ValleyPotential
from sciml_zoo.errors import InputError

__all__ = ["barrier_survey"]


def barrier_survey(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: str = "pgd_l2",
    *,
    stiffness: float = 1.0,
    method: str = "band",
    seed: int = 0,
) -> pd.DataFrame:
    """Attacks samples in float64, and finds the barriers to their twins.

    Args:
        model: classifier, smooth; it is copied.
        images: clean, [n, ...].
        labels: int64 [n].
        attack: its name.
        stiffness: k of the potential V(x) = −log Σ p² + (k/2) ‖x − x_mid‖².
        method: of the first attempt: ``band`` or ``string``.
        seed: of the attack.

    Returns:
        For each sample: ``sample, label, success`` (of the attack), ``distinct`` (whether both ends relax to minima
        that differ), ``found`` (a refined saddle of first order connects them, no higher than the straight line),
        ``forward`` and ``backward`` height of the barrier, ``line`` and ``attack`` (the highest along the straight line
        and along the attack, above the clean side's minimum), ``loss_line, loss_attack, loss_path`` (the climb of the
        cross-entropy), ``gradient_norm`` and ``negative`` eigenvalues at the saddle, ``gradients``; NaN where there is
        no barrier.

    Raises:
        InputError: a stiffness that is not positive, or what the attack or the barrier refuses.
    """
    if stiffness <= 0:
        raise InputError(f"stiffness: {stiffness:g} is not positive")
    loss = LossPotential(model, labels, dtype=torch.float64)
    assert isinstance(loss.model, nn.Module)
    path = attacked(loss.model, images.double(), labels, attack, seed=seed)
    valley = ValleyPotential(loss.model, path.start, path.end, stiffness=stiffness)
    found = barrier(valley, path.start, path.end, attack=path, loss=loss, method=method)
    climbs, loss_climbs, saddles = found.climbs, found.loss_climbs, found.saddles
    assert loss_climbs is not None
    assert path.success is not None
    columns = {
        "sample": torch.arange(len(images)),
        "label": labels,
        "success": path.success,
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
        "negative": saddles.negative,
        "gradients": found.gradients,
    }
    return pd.DataFrame({name: column.detach().cpu().numpy() for name, column in columns.items()})
