"""Messages: densities in which every neighbour's orbitals carry what that neighbour knows of its own environment.

====================  ======================================================================================
equation              variable
====================  ======================================================================================
h_j,lm                ``shown`` [N, (l_message + 1)², C], equivariant features of the neighbour
R_path,c(r) = Σ_p V g_p(r)      contraction for each ordered element pair and path, [pairs, paths, P, C]
m_LM = Σ_j R (h_j,l1 ⊗ Y_l2(r⃗_ij))_L    for each path (l1, l2, L) of even parity
A'_L = mix(A_L, m_L of all paths)      the density of the next round
====================  ======================================================================================

Equivariant message passing: Batzner et al., Nat. Commun. 13, 2453 (2022).
"""

import torch
from torch import Tensor, nn

from sciml_zoo.potentials.gto import contraction
from sciml_zoo.potentials.kernels import native
from sciml_zoo.potentials.kernels.tables import EdgeList, MessageTables
from sciml_zoo.potentials.pairs import PairTable
from sciml_zoo.potentials.products import L_MAX, coupling, even_paths
from sciml_zoo.potentials.scales import UnitRms

__all__ = ["Message"]

_SMALL = 1e-9


class Message(nn.Module):
    """Densities of the next round.

    Args:
        l_message: highest degree of what neighbours show.
        n_elements: S.
        n_radial: P.
        n_channels: C.
        per_degree: factors of the primitives for each degree [4, P], see :class:`GTOActivation`.
    """

    dense: Tensor
    path: Tensor
    factors: Tensor

    def __init__(self, l_message: int, n_elements: int, n_radial: int, n_channels: int, per_degree: Tensor) -> None:
        super().__init__()
        paths = even_paths(l_message, L_MAX, range(L_MAX + 1))
        self.sizes = [2 * path[2] + 1 for path in paths]
        self.degrees = [path[2] for path in paths]
        blocks = []
        for path in paths:
            l1, l2, l3 = path
            block = torch.zeros(2 * l3 + 1, (l_message + 1) ** 2, (L_MAX + 1) ** 2, dtype=torch.float64)
            block[:, l1**2 : (l1 + 1) ** 2, l2**2 : (l2 + 1) ** 2] = coupling(path)
            blocks.append(torch.where(block.abs() < _SMALL, torch.zeros_like(block), block))
        index = torch.arange(len(paths)).repeat_interleave(torch.tensor(self.sizes))
        self.register_buffer("dense", torch.cat(blocks), persistent=False)
        self.register_buffer("path", index, persistent=False)
        self.register_buffer("factors", per_degree[[path[1] for path in paths]], persistent=False)
        self.radial = PairTable(n_elements, lambda n: contraction(n, len(paths), n_radial, n_channels))
        self.scale = UnitRms(index)
        counts = [1 + self.degrees.count(degree) for degree in range(L_MAX + 1)]
        self.mix = nn.ParameterList(
            nn.Parameter(torch.randn(n * n_channels, n_channels) / (n * n_channels) ** 0.5) for n in counts
        )
        self.tables = MessageTables.of(self.dense, self.path)

    def scaled_radial(self, dtype: torch.dtype) -> Tensor:
        """Returns the contractions of all pairs with their factors and scales, [pairs, paths, P, C].

        Args:
            dtype: of the factors.
        """
        return self.radial() * (self.factors / self.scale.rms[:, None]).to(dtype)[:, :, None]

    def forward(
        self,
        g: Tensor,
        harmonics: Tensor,
        shown: Tensor,
        density: Tensor,
        edges: EdgeList,
        *,
        fast: bool = False,
    ) -> Tensor:
        """Sums over neighbours, and mixes with the density of the round before.

        Args:
            g: primitives of every edge [E, P or LANES].
            harmonics: [E, 16].
            shown: h [N, (l_message + 1)², C].
            density: A [N, 16, C].
            edges: the edges.
            fast: use the C++ kernel, which can be differentiated once.

        Returns:
            A' [N, 16, C].
        """
        weights = self.scaled_radial(g.dtype)
        if fast:
            weights = weights if self.training else weights.detach()
            message = native.message(g, harmonics, shown, weights, edges, self.tables)
        else:
            radial = (g[:, None, None, :] @ weights[edges.pair]).squeeze(2)
            links = torch.tensordot(harmonics, self.dense.to(g.dtype), dims=([1], [2]))
            terms = (links @ shown[edges.neighbour]) * radial[:, self.path]
            message = shown.new_zeros(len(shown), *terms.shape[1:]).index_add(0, edges.centre, terms)
        message = self.scale.measure(message)
        by_degree = [[block] for block in density.split([2 * degree + 1 for degree in range(L_MAX + 1)], dim=1)]
        for degree, block in zip(self.degrees, message.split(self.sizes, dim=1), strict=True):
            by_degree[degree].append(block)
        mixed = [torch.cat(blocks, dim=2) @ matrix for blocks, matrix in zip(by_degree, self.mix, strict=True)]
        return torch.cat(mixed, dim=1)
