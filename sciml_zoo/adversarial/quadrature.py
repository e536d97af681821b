"""Nested Gauss–Patterson rules: 3, 7 and 15 nodes, each of which contains the one before.

====================================  ==============================================================
Q₃, Q₇, Q₁₅                           exact for polynomials of degree 5, 11 and 23
s = ∫ |f − Q/(b − a)|                 how much there is to integrate beyond the mean
error = s · min(1, (200 |Q − Q'|/s)^{3/2})  Q' the next smaller rule; QUADPACK's estimate
====================================  ==============================================================

No node is an end of the interval, where a piecewise linear network may have a kink. T. N. L. Patterson, "The optimum
addition of points to quadrature formulae", Math. Comp. 22 (1968); R. Piessens et al., "QUADPACK" (1983).
"""

import torch
from torch import Tensor

__all__ = ["SIZES", "nodes", "rule_error", "weights"]

#: The rules' numbers of nodes.
SIZES = (3, 7, 15)

# Nodes of [−1, 1] from 0 on, and their weights in the three rules; the others are their mirror images.
_NODES = {
    0.0: (0.88888888888888888889, 0.45091653865847414235, 0.22551049979820668739),
    0.77459666924148337704: (0.55555555555555555556, 0.26848808986833344073, 0.13441525524378422036),
    0.434243749346802558: (0.0, 0.40139741477596222291, 0.20062852937698902103),
    0.96049126870802028342: (0.0, 0.10465622602646726519, 0.051603282997079739697),
    0.22338668642896688163: (0.0, 0.0, 0.2191568584015874964),
    0.62110294673722640294: (0.0, 0.0, 0.17151190913639138079),
    0.88845923287225699889: (0.0, 0.0, 0.092927195315124537686),
    0.99383196321275502221: (0.0, 0.0, 0.017001719629940260339),
}


def _mirrored(values: list[float], sign: float) -> list[float]:
    """Returns a value for the node 0, and two for each other node."""
    return [values[0], *(each for value in values[1:] for each in (sign * value, value))]


def nodes(size: int, *, device: torch.device | str = "cpu") -> Tensor:
    """Returns the nodes of a rule on [0, 1]: those of the smaller rules come first, float64 [size].

    Args:
        size: one of :data:`SIZES`.
        device: of the result.
    """
    ordered = torch.tensor(_mirrored(list(_NODES), -1.0), dtype=torch.float64, device=device)
    return (1 + ordered[:size]) / 2


def weights(size: int, *, device: torch.device | str = "cpu") -> Tensor:
    """Returns the weights of a rule on [0, 1], in the order of :func:`nodes`, float64 [size].

    Args:
        size: one of :data:`SIZES`.
        device: of the result.
    """
    column = SIZES.index(size)
    ordered = torch.tensor(_mirrored([w[column] for w in _NODES.values()], 1.0), dtype=torch.float64, device=device)
    return ordered[:size] / 2


def rule_error(values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Returns the integral over [0, 1] by a rule, and an estimate of its error, both [n].

    Args:
        values: of the integrand at the rule's nodes, float64 [n, size].
        size: 7 or 15.
    """
    smaller = SIZES[SIZES.index(size) - 1]
    weight = weights(size, device=values.device)
    integral = values @ weight
    difference = (integral - values[:, :smaller] @ weights(smaller, device=values.device)).abs()
    spread = (values - integral[:, None]).abs() @ weight
    scaled = spread * (200 * difference / spread.clamp(min=torch.finfo(torch.float64).tiny)).clamp(max=1) ** 1.5
    return integral, torch.where(spread > 0, scaled, difference)
