"""How far back credit flows: the gradient of a site's logit with respect to the bases before and after it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.model import SpliceModel, one_hot

__all__ = ["gradient_profile"]


def gradient_profile(
    model: SpliceModel,
    codes: NDArray[np.uint8],
    positions: Sequence[int],
    *,
    strand: str = "+",
    kind: str = "donor",
    reach: int = 400,
) -> NDArray[np.float64]:
    """Computes the mean over sites of ‖∂ logit_t / ∂ x_{t−k}‖, the profile of backpropagation through time.

    Args:
        model: the network.
        codes: bases, [L].
        positions: t of the sites, at least ``reach`` bases from the ends.
        strand: whose logits, ``+`` or ``-``; k counts against its direction of transcription.
        kind: ``donor`` or ``acceptor``.
        reach: the largest |k|.

    Returns:
        For k = −reach … reach, positive k being bases upstream, [2 reach + 1].

    Raises:
        InputError: no position, one too near to an end, or an unknown strand or kind.
    """
    if strand not in ("+", "-") or kind not in ("donor", "acceptor"):
        raise InputError(f"strand {strand!r}, kind {kind!r}: expected + or -, donor or acceptor")
    if not len(positions):
        raise InputError("positions: give at least one")
    wrong = [t for t in positions if not reach <= t < len(codes) - reach]
    if wrong:
        raise InputError(f"positions: {wrong[0]} is less than {reach} bases from an end of the {len(codes)} bases")
    device = next(model.parameters()).device
    total = np.zeros(2 * reach + 1)
    for t in positions:
        # What lies beyond cannot be seen in the profile, but changes the states: keep some of it.
        start, end = max(t - 2 * reach, 0), min(t + 2 * reach + 1, len(codes))
        bases = one_hot(torch.from_numpy(codes[None, start:end].copy()).to(device), model.dtype).requires_grad_()
        logit = model.from_one_hot(bases)[0, t - start, "+-".index(strand), ("donor", "acceptor").index(kind)]
        (gradient,) = torch.autograd.grad(logit, bases)
        norms = gradient[0].norm(dim=-1).double().cpu().numpy()
        total += norms[t - start - reach : t - start + reach + 1]
    profile = total / len(positions)
    return profile[::-1].copy() if strand == "+" else profile
