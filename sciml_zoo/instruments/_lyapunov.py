"""Growth of tangents along the orbit of a map, by propagation with QR.

=============================  ==============================================================
θ_{t+1} = F(θ_t)               the orbit
Q_{t+1} R_{t+1} = J(θ_t) Q_t   ``tangents`` Qᵀ [k, n], by Jacobian-vector products
ln |R_ii|                     ``logs`` [steps, k]; their mean over time is the exponent λ_i
=============================  ==============================================================

Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15, 9 (1980). Two choices beside it: the tangents are aligned before
anything is counted, and half-way to it turned onto the right singular vectors of J Q. Where J is one symmetric matrix,
as for descent on a quadratic, these are its eigenvectors, and every step counts ln |1 − ηh_i| to rounding.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._tangents import Tangents

__all__ = ["SMALL", "tangent_growth"]

#: Up to so many dimensions, Jacobians of many points of the orbit are computed at once, which is faster.
SMALL = 32
_TANGENTS_AT_ONCE = 256


def tangent_growth(
    step_map: Callable[[Tensor], Tensor], start: Tensor, steps: int, transient: int, exponents: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Follows tangents along an orbit.

    Args:
        step_map: F, of a flat tensor.
        start: θ₀ [n].
        steps: that count.
        transient: steps before them, that align the tangents and do not count.
        exponents: the number of tangents k.
        seed: of the first tangents.

    Returns:
        ln |R_ii| of every step that counts [steps, k], float64, and the end of the orbit [n].

    Raises:
        InputError: the orbit left the finite numbers.
    """
    n = len(start)
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(n, exponents, generator=generator, dtype=torch.float64).to(start)
    tangents = torch.linalg.qr(first).Q.mT
    state = start.detach()
    pushed = Tangents(step_map, state)
    logs: list[Tensor] = []
    piece = max(1, _TANGENTS_AT_ONCE // n) if n <= SMALL else 1
    at = -transient
    while at < steps:
        size = min(piece, steps - at if at >= 0 else -at)
        if n <= SMALL:
            matrices, state = _jacobians(step_map, pushed, state, size)
        else:
            state, products = pushed.push(state, tangents)
        if not bool(state.isfinite().all()):
            raise InputError(
                f"the orbit left the finite numbers within {at + transient + size} steps: take a smaller learning "
                "rate, a start closer to the attractor, or fewer steps"
            )
        for i in range(size):
            grown = tangents @ matrices[i] if n <= SMALL else products
            if at == -(transient // 2):
                turn = torch.linalg.svd(grown.mT, full_matrices=False).Vh
                tangents, grown = turn @ tangents, turn @ grown
            q, r = torch.linalg.qr(grown.mT)
            tangents = q.mT
            if at >= 0:
                logs.append(r.diagonal().abs().double().log())
            at += 1
    return torch.stack(logs), state


def _jacobians(
    step_map: Callable[[Tensor], Tensor], pushed: Tangents, state: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Returns transposed Jacobians of the next steps [size, n, n], and the state after them [n]."""
    points = []
    for _ in range(size):
        points.append(state)
        state = step_map(state).detach()
    basis = torch.eye(len(state), dtype=state.dtype, device=state.device)
    if pushed.at_once:
        return vmap(lambda point: pushed.push(point, basis)[1])(torch.stack(points)).detach(), state
    return torch.stack([pushed.push(point, basis)[1] for point in points]), state
