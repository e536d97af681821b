"""Parameters that depend on an ordered pair of elements, without a table for every pair of many elements."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["PairTable"]

# Up to this many ordered pairs (four elements) each has its own table; beyond, all are mixtures of as many.
_MOST_TABLES = 16


class PairTable(nn.Module):
    """A tensor for every ordered pair of elements (central atom, neighbour).

    With more than four elements the tensors are mixtures W_ZZ' = Σ_k a_Zk b_Z'k W_k / √K of K = 16 shared ones, with
    embeddings a, b of the elements: the parameters grow with the number of elements, not of pairs.

    Args:
        n_elements: S.
        initial: returns a number of tensors to start from, S² or K.
    """

    def __init__(self, n_elements: int, initial: Callable[[int], Tensor]) -> None:
        super().__init__()
        self.n_pairs = n_elements**2
        self.shared = self.n_pairs > _MOST_TABLES
        self.tables = nn.Parameter(initial(min(self.n_pairs, _MOST_TABLES)))
        if self.shared:
            self.centre = nn.Parameter(torch.randn(n_elements, _MOST_TABLES))
            self.neighbour = nn.Parameter(torch.randn(n_elements, _MOST_TABLES))

    def forward(self) -> Tensor:
        """Returns the tensors of all pairs, [S², …]; pair (Z, Z') at Z · S + Z'."""
        if not self.shared:
            return self.tables
        mixture = self.centre[:, None, :] * self.neighbour[None, :, :] / _MOST_TABLES**0.5
        return torch.tensordot(mixture.flatten(0, 1), self.tables, dims=1)
