"""Products of equivariant densities, channel by channel, with Clebsch–Gordan coefficients.

====================  ======================================================================================
equation              variable
====================  ======================================================================================
A_lm                  ``density`` [N, 16, C], l ≤ 3, components in e3nn's order; A_00 has body order 2
Q_L = Σ w (A_l1 ⊗ A_l2)_L      every path (l1, l2, L) of even parity, a weight for each channel; body order 3
(A_l ⊗ A_l)_0         invariants of body order 3, one for each l
T_L = Σ w (Q_l1 ⊗ A_l2)_L      what neighbours are shown; body order 4
(Q_l ⊗ A_l)_0         invariants of body order 4
(Q_l ⊗ Q_l)_0         invariants of body order 5
====================  ======================================================================================

The order of the terms is that of Drautz, Phys. Rev. B 99, 014104 (2019); one recursion of products instead of all
independent couplings as in MACE (Batatia et al., NeurIPS 2022). Clebsch–Gordan coefficients come from e3nn.
"""

import functools
from collections.abc import Sequence

import torch
from e3nn import o3
from torch import Tensor, nn

from sciml_zoo.potentials.kernels import native
from sciml_zoo.potentials.kernels.tables import ProductTables
from sciml_zoo.potentials.scales import UnitRms

__all__ = ["L_MAX", "ChannelProduct", "EquivariantLinear", "Path", "coupling", "degree_of_component", "even_paths"]

#: Highest degree of densities and harmonics.
L_MAX = 3
#: Degrees (l1, l2, L) of a product.
Path = tuple[int, int, int]
_SMALL = 1e-9


def degree_of_component(l_max: int) -> Tensor:
    """Returns the degree l of every component lm, [(l_max + 1)²]."""
    return torch.repeat_interleave(torch.arange(l_max + 1), 2 * torch.arange(l_max + 1) + 1)


def even_paths(left: int, right: int, out: Sequence[int], *, ordered: bool = True) -> list[Path]:
    """Lists products of even parity.

    Args:
        left: highest degree of the left factor.
        right: highest degree of the right factor.
        out: degrees of the product.
        ordered: also give (l2, l1, L) beside (l1, l2, L).

    Returns:
        The paths, by the degree of their product.
    """
    return [
        (l1, l2, l3)
        for l3 in out
        for l1 in range(left + 1)
        for l2 in range(0 if ordered else l1, right + 1)
        if (l1 + l2 + l3) % 2 == 0 and abs(l1 - l2) <= l3 <= l1 + l2
    ]


@functools.cache
def coupling(path: Path) -> Tensor:
    """Returns the real Clebsch–Gordan coefficients of a path, which keep the variance: [2L + 1, 2 l1 + 1, 2 l2 + 1]."""
    l1, l2, l3 = path
    return o3.wigner_3j(l1, l2, l3, dtype=torch.float64).permute(2, 0, 1) * (2 * l3 + 1) ** 0.5


class EquivariantLinear(nn.Module):
    """Mixes channels, with one matrix for each degree.

    Args:
        sizes: number of components of each degree.
        n_in: channels in.
        n_out: channels out.
    """

    def __init__(self, sizes: Sequence[int], n_in: int, n_out: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(n_in, n_out) / n_in**0.5) for _ in sizes)

    def forward(self, features: Tensor) -> Tensor:
        """Mixes the channels of every component.

        Args:
            features: [N, Σ sizes, n_in].

        Returns:
            [N, Σ sizes, n_out].
        """
        blocks = features.split(self.sizes, dim=1)
        return torch.cat([block @ weight for block, weight in zip(blocks, self.weights, strict=True)], dim=1)


class ChannelProduct(nn.Module):
    """Products of two sets of components, channel by channel, summed over paths with a weight for each channel.

    Args:
        paths: degrees of every product.
        targets: first component of the result that each path adds to; paths with one target share their scale.
        n_channels: C.
        same: both factors are one and the same.
    """

    dense: Tensor
    path: Tensor
    component: Tensor
    block_of_path: Tensor

    def __init__(self, paths: Sequence[Path], targets: Sequence[int], n_channels: int, *, same: bool = False) -> None:
        super().__init__()
        self.same = same
        self.n_out = max(target + 2 * path[2] + 1 for path, target in zip(paths, targets, strict=True))
        block_of = {target: block for block, target in enumerate(dict.fromkeys(targets))}
        rows = [
            (index, targets[index] + component)
            for index, path in enumerate(paths)
            for component in range(2 * path[2] + 1)
        ]
        self.register_buffer("path", torch.tensor([row[0] for row in rows]), persistent=False)
        self.register_buffer("component", torch.tensor([row[1] for row in rows]), persistent=False)
        self.register_buffer("dense", torch.cat([_dense(path) for path in paths]), persistent=False)
        shares = torch.tensor([targets.count(target) for target in targets], dtype=torch.get_default_dtype())
        self.weights = nn.Parameter(torch.randn(len(paths), n_channels) / shares.sqrt()[:, None])
        block = torch.empty(self.n_out, dtype=torch.long)
        block[self.component] = torch.tensor([block_of[targets[index]] for index, _ in rows])
        self.scale = UnitRms(block)
        self.register_buffer("block_of_path", torch.tensor([block_of[t] for t in targets]), persistent=False)
        self.tables = ProductTables.of(self.dense, self.path, self.component, same=same)

    def forward(self, left: Tensor, right: Tensor, *, fast: bool = False) -> Tensor:
        """Multiplies.

        Args:
            left: [N, ≥ (l1 + 1)², C]; components beyond those of the paths are not looked at.
            right: [N, ≥ (l2 + 1)², C].
            fast: use the C++ kernel, which can be differentiated once.

        Returns:
            [N, n_out, C].
        """
        weights = self.weights / self.scale.rms[self.block_of_path][:, None]
        if fast:
            product = native.product(
                left, right, weights if self.training else weights.detach(), self.tables, self.n_out
            )
        else:
            size = (L_MAX + 1) ** 2
            a, b = left[:, :size], right[:, :size]
            coefficients = self.dense.to(a.dtype)[:, : a.shape[1], : b.shape[1]].flatten(1)
            terms = coefficients @ (a[:, :, None, :] * b[:, None, :, :]).flatten(1, 2)
            product = a.new_zeros(len(a), self.n_out, a.shape[2]).index_add(
                1, self.component, terms * weights[self.path]
            )
        return self.scale.measure(product)


def _dense(path: Path) -> Tensor:
    """Returns a path's coefficients among all components up to ``L_MAX``, [2L + 1, 16, 16]."""
    l1, l2, l3 = path
    size = (L_MAX + 1) ** 2
    dense = torch.zeros(2 * l3 + 1, size, size, dtype=torch.float64)
    dense[:, l1**2 : (l1 + 1) ** 2, l2**2 : (l2 + 1) ** 2] = coupling(path)
    return torch.where(dense.abs() < _SMALL, torch.zeros_like(dense), dense)
