"""Which bases a network's verdict on a site rests on.

With f the logit of one site, x the sequence as vectors (one-hot; an unknown base is zero) and u the same with ¼ of each
letter for every known base, for base l and letter b:

| method | attribution [l, b] | paper |
|---|---|---|
| ``gradient`` | x ∂f/∂x | Shrikumar et al., arXiv:1605.01713 |
| ``integrated`` | (x − u) ∫₀¹ ∂f/∂x (u + α(x − u)) dα, in all f(x) − f(u) | Sundararajan et al., ICML 2017 |
| ``mutagenesis`` | f(x with b at l) − f(x); 0 where b is there | Zhou & Troyanskaya, Nat. Methods 12, 931 (2015) |

The path of integration starts at u, not at zero: a network that normalises its features divides by almost nothing near
zero, so that its logit swings there, far from any sequence.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.model import SpliceModel, one_hot

__all__ = ["KINDS", "METHODS", "STRANDS", "Kind", "Method", "Strand", "attribution"]

Strand = Literal["+", "-"]
Kind = Literal["donor", "acceptor"]
Method = Literal["gradient", "integrated", "mutagenesis"]
STRANDS: tuple[Strand, ...] = ("+", "-")
KINDS: tuple[Kind, ...] = ("donor", "acceptor")
METHODS: tuple[Method, ...] = ("gradient", "integrated", "mutagenesis")

# Bases that are read at a time.
_BATCH = 1 << 14


def attribution(
    model: SpliceModel,
    codes: ArrayLike,
    position: int,
    strand: Strand,
    kind: Kind,
    *,
    method: Method = "gradient",
    steps: int = 64,
) -> NDArray[np.float64]:
    """Says how much each base adds to the logit of a site, as the table above defines.

    Args:
        model: the network, which is left as it is.
        codes: A, C, G, T as 0 … 3, anything else unknown, [L].
        position: of the site in ``codes``, 0-based.
        strand: of the site.
        kind: of the site.
        method: how it is measured. Mutagenesis reads 3 L sequences of L bases.
        steps: points of Gauss–Legendre quadrature, for ``integrated``.

    Returns:
        [L, 4], on the forward strand.

    Raises:
        InputError: a name or number that is none of those.
    """
    sequence = torch.as_tensor(np.array(codes), device=next(model.parameters()).device)
    if sequence.ndim != 1 or not 0 <= position < len(sequence):
        raise InputError(f"position {position} is not in codes of shape {list(sequence.shape)}: expected one in [L]")
    for name, value, valid in (("strand", strand, STRANDS), ("kind", kind, KINDS), ("method", method, METHODS)):
        if value not in valid:
            raise InputError(f"{name}: {value!r} is none of {', '.join(map(repr, valid))}")
    if steps < 1:
        raise InputError(f"steps: {steps} is not at least 1")
    site = (position, STRANDS.index(strand), KINDS.index(kind))
    if method == "mutagenesis":
        return _mutagenesis(model, sequence, site)
    points, weights = np.array([1.0]), np.array([1.0])
    if method == "integrated":
        nodes, widths = np.polynomial.legendre.leggauss(steps)
        points, weights = (nodes + 1) / 2, widths / 2
    bases = one_hot(sequence[None], model.dtype)
    difference = bases - (bases.sum(-1, keepdim=True) / 4 if method == "integrated" else 0)
    mean = torch.zeros_like(bases[0], dtype=torch.float64)
    for scales, shares in _parts(len(sequence), points, weights):
        on_path = (bases - (1 - scales.to(bases)[:, None, None]) * difference).requires_grad_()
        # cuDNN has no gradient of an LSTM in eval mode.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            (gradient,) = torch.autograd.grad(model.from_one_hot(on_path)[:, *site].sum(), on_path)
        mean += torch.einsum("n,nlc->lc", shares.to(mean), gradient.double())
    return (mean * difference[0].double()).cpu().numpy()


def _parts(length: int, *arrays: NDArray[np.float64]) -> list[tuple[Tensor, ...]]:
    """Returns arrays [n] in parts, so many that sequences of this length can be read together."""
    size = max(_BATCH // length, 1)
    return list(zip(*(torch.from_numpy(array).split(size) for array in arrays), strict=True))


@torch.no_grad()
def _mutagenesis(model: SpliceModel, codes: Tensor, site: tuple[int, int, int]) -> NDArray[np.float64]:
    where = (codes[:, None] != torch.arange(4, device=codes.device)).nonzero()
    original = model(codes[None])[0, *site].double()
    found = torch.zeros(len(codes), 4, dtype=torch.float64, device=codes.device)
    for changes in where.split(max(_BATCH // len(codes), 1)):
        place, letter = changes.unbind(1)
        changed = codes.repeat(len(changes), 1)
        changed[torch.arange(len(changes), device=codes.device), place] = letter.to(codes.dtype)
        found[place, letter] = model(changed)[:, *site].double() - original
    return found.cpu().numpy()
