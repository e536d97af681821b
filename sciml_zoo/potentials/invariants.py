"""Rotation invariants of equivariant atomic densities, up to body order five.

====================  ======================================================================================
equation              variable
====================  ======================================================================================
A_lm                  ``density`` [N, (l_max + 1)², C]; A_00 has body order 2
A_l · A'_l            products of the density with a mixture of itself, for every l; body order 3
B_L = (A_l1 ⊗ A_l2)_L  Clebsch–Gordan products for l1, l2 ≤ 2, of even parity
B_L · A'_L            body order 4
B_L · B_L             body order 5
====================  ======================================================================================

Drautz, Phys. Rev. B 99, 014104 (2019) orders the terms; Clebsch–Gordan coefficients from e3nn.
"""

from collections.abc import Sequence

import torch
from e3nn import o3
from torch import Tensor, nn

__all__ = ["EquivariantLinear", "InvariantProducts", "coupling_matrix", "degree_of_component"]

# Symmetric products of a density with itself, (l1, l2, L) with l1 + l2 + L even; (l, l, 0) is order two already.
_PATHS = ((1, 1, 2), (1, 2, 1), (1, 2, 3), (2, 2, 2))
_VECTOR_PATH = (1, 2, 1)


def degree_of_component(l_max: int) -> Tensor:
    """Returns the degree l of every component lm, [(l_max + 1)²]."""
    return torch.repeat_interleave(torch.arange(l_max + 1), 2 * torch.arange(l_max + 1) + 1)


def coupling_matrix(left: Sequence[int], right: Sequence[int], paths: Sequence[tuple[int, int, int]]) -> Tensor:
    """Stacks the Clebsch–Gordan coefficients of several paths.

    Args:
        left: degrees that the left factor holds.
        right: degrees that the right factor holds.
        paths: triples (l1, l2, L).

    Returns:
        [Σ_paths (2L + 1), Σ_left (2l + 1) · Σ_right (2l + 1)], float64, to be applied to the flattened outer product.
    """
    start_left = {degree: sum(2 * d + 1 for d in left[:position]) for position, degree in enumerate(left)}
    start_right = {degree: sum(2 * d + 1 for d in right[:position]) for position, degree in enumerate(right)}
    shape = (sum(2 * d + 1 for d in left), sum(2 * d + 1 for d in right))
    blocks = []
    for l1, l2, l3 in paths:
        rows = slice(start_left[l1], start_left[l1] + 2 * l1 + 1)
        columns = slice(start_right[l2], start_right[l2] + 2 * l2 + 1)
        block = torch.zeros(2 * l3 + 1, *shape, dtype=torch.float64)
        block[:, rows, columns] = o3.wigner_3j(l1, l2, l3, dtype=torch.float64).permute(2, 0, 1)
        blocks.append((2 * l3 + 1) ** 0.5 * block.flatten(1))
    return torch.cat(blocks)


class EquivariantLinear(nn.Module):
    """Mixes channels, with one matrix for each degree l.

    Args:
        l_max: highest degree.
        n_in: channels in.
        n_out: channels out.
    """

    degrees: Tensor

    def __init__(self, l_max: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.register_buffer("degrees", degree_of_component(l_max), persistent=False)
        self.weight = nn.Parameter(torch.randn(l_max + 1, n_in, n_out) / n_in**0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Mixes the channels of every component.

        Args:
            features: [N, (l_max + 1)², n_in].

        Returns:
            [N, (l_max + 1)², n_out].
        """
        return torch.bmm(features.transpose(0, 1), self.weight[self.degrees]).transpose(0, 1)


class InvariantProducts(nn.Module):
    """Invariants of body orders 2 to 5 of a density, and its vector-valued product for messages.

    Args:
        l_max: highest degree of the density, at least 2; the path (1, 2, 3) needs 3.
        n_channels: C.
    """

    degree_sums: Tensor
    coupling: Tensor
    path_sums: Tensor
    partner: Tensor

    def __init__(self, l_max: int, n_channels: int) -> None:
        super().__init__()
        paths = [path for path in _PATHS if max(path) <= l_max]
        path_of = torch.repeat_interleave(torch.arange(len(paths)), torch.tensor([2 * l3 + 1 for _, _, l3 in paths]))
        self.mix = EquivariantLinear(l_max, n_channels, n_channels)
        self.register_buffer("degree_sums", _means(degree_of_component(l_max)), persistent=False)
        self.register_buffer("path_sums", _means(path_of), persistent=False)
        self.register_buffer("coupling", coupling_matrix((0, 1, 2), (0, 1, 2), paths), persistent=False)
        partner = torch.cat([torch.arange(l3**2, (l3 + 1) ** 2) for _, _, l3 in paths])
        self.register_buffer("partner", partner, persistent=False)
        start = sum(2 * l3 + 1 for _, _, l3 in paths[: paths.index(_VECTOR_PATH)])
        self.vector = slice(start, start + 3)
        self.count = 1 + (l_max + 1) + 2 * len(paths)

    def forward(self, density: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluates the products.

        Args:
            density: A [N, (l_max + 1)², C].

        Returns:
            Invariants [N, ``count``, C] and the vector (A_1 ⊗ A_2)_1 [N, 3, C].
        """
        mixed = self.mix(density)
        low = density[:, :9]
        degree_sums, path_sums = self.degree_sums.to(density.dtype), self.path_sums.to(density.dtype)
        coupled = self.coupling.to(density.dtype) @ (low[:, :, None, :] * low[:, None, :, :]).flatten(1, 2)
        invariants = [
            density[:, :1],
            degree_sums @ (density * mixed),
            path_sums @ (coupled * mixed[:, self.partner]),
            path_sums @ (coupled * coupled),
        ]
        return torch.cat(invariants, dim=1), coupled[:, self.vector]


def _means(group: Tensor) -> Tensor:
    """Returns the matrix that averages components over their group, [groups, components]."""
    member = (group == torch.arange(int(group.max()) + 1)[:, None]).double()
    return member / member.sum(dim=1, keepdim=True)
