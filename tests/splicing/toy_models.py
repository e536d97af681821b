"""Networks whose answer is known exactly."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sciml_zoo.splicing.model import SpliceModel

__all__ = ["CERTAIN", "Dinucleotides", "Linear"]

#: What :class:`Dinucleotides` says of a site, to four decimals, against 0 elsewhere.
CERTAIN = 1.0


class Dinucleotides(SpliceModel):
    """Logits of 20 at the G of GT (donors) and of AG (acceptors) of either strand, and of −20 elsewhere."""

    halo = 1

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(40.0))

    def from_one_hot(self, bases: Tensor, methylation: Tensor | None = None) -> Tensor:
        around = F.pad(bases, (0, 0, 1, 1))
        c, g = bases[..., 1], bases[..., 2]
        a_before, t_after = around[:, :-2, 0], around[:, 2:, 3]
        found = torch.stack([g * t_after, a_before * g, a_before * c, c * t_after], -1)
        return (found.unflatten(-1, (2, 2)) - 0.5) * self.scale


class Linear(SpliceModel):
    """Logits linear in the bases up to ``halo`` away, equivariant under the reverse complement.

    Attributes:
        weight: [kind, base, distance].
        read: the shape of every batch so far.
    """

    halo = 7

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        shape = (2, 4, 2 * self.halo + 1)
        self.weight = torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        self.read: list[tuple[int, int]] = []

    def from_one_hot(self, bases: Tensor, methylation: Tensor | None = None) -> Tensor:
        self.read.append((bases.shape[0], bases.shape[1]))
        around = F.pad(bases, (0, 0, self.halo, self.halo)).unfold(1, 2 * self.halo + 1, 1)
        return torch.einsum("blcj,skcj->blsk", around, torch.stack([self.weight, self.weight.flip(1, 2)]))
