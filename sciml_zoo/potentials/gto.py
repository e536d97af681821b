"""The GTO activation: contracted Gaussian-type orbitals as the radial and angular response of an atom to a neighbour.

====================  =====================================================================================
equation              variable
====================  =====================================================================================
r = |r⃗|               ``vectors`` [E, 3], Å, from the central atom to its neighbour
n = l + 2k            ``power``; ``k`` ≥ 0 is an integer, so that r^(2k) is a polynomial and smooth at r = 0
α > 0                 exp(``log_exponents``) [pairs, l, p], Å⁻², learned
r₀² = n / 2α          the primitive's maximum, at r₀ = √((l + 2k) / 2α)
S_lm(r⃗) = r^l Y_lm    solid harmonics, homogeneous polynomials: nothing is singular at r → 0
N                     (2αe/n)^(n/2), which makes the largest value of N r^n exp(−α r²) equal to 1
c                     ``coefficients`` [pairs, l, p, channel], the contraction, learned
f(r)                  C∞ cutoff exp(1 − 1/(1 − x²)), x = r / ``cutoff``; every derivative vanishes at x = 1
====================  =====================================================================================

φ_lm,c(r⃗) = f(r) Σ_p c_l,p,c N r^(2k) exp(−α r²) S_lm(r⃗)

Gaussian-type orbitals: Boys, Proc. R. Soc. A 200, 542 (1950). As a descriptor of atoms: Zhang, Hu & Jiang,
J. Phys. Chem. Lett. 10, 4962 (2019).
"""

import math

import torch
from e3nn import o3
from torch import Tensor, nn

__all__ = ["GTOActivation", "SolidHarmonics", "smooth_cutoff"]

# Below this 1 − x² the cutoff is less than exp(−199): zero in float32, and 1e-87 in float64.
_CUTOFF_MARGIN = 0.005
# Å². r^(2k) is flat closer than 1e-6 Å, where the logarithm would lose its derivatives.
_SAME_POINT = 1e-12


def smooth_cutoff(squared_distance: Tensor, cutoff: float) -> Tensor:
    """Evaluates the C∞ bump exp(1 − 1/(1 − x²)) with x² = r² / r_c².

    Args:
        squared_distance: r² [...], Å².
        cutoff: r_c, Å.

    Returns:
        Values [...] from 1 at r = 0 to 0 at and beyond r_c, where all derivatives vanish too.
    """
    gap = 1.0 - squared_distance / cutoff**2
    inside = gap > _CUTOFF_MARGIN
    safe = torch.where(inside, gap, torch.ones_like(gap))
    return torch.where(inside, torch.exp(1.0 - 1.0 / safe), torch.zeros_like(gap))


class SolidHarmonics(nn.Module):
    """Real solid harmonics r^l Y_lm in e3nn's order and "component" normalisation, as polynomials.

    Built by S_l+1 ∝ (S_l ⊗ S_1)_l+1 with Clebsch–Gordan coefficients: no division by r anywhere, a few
    matrix products for any l, and derivatives of every order. The coefficients are kept in float64, so that a model
    made in float32 and converted is as symmetric as float64 allows.

    Args:
        l_max: highest degree.
    """

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        probe = torch.tensor([[0.3, -0.5, 0.8]], dtype=torch.float64)
        current = math.sqrt(3) * probe
        for degree in range(2, l_max + 1):
            coupling = o3.wigner_3j(degree - 1, 1, degree, dtype=torch.float64).flatten(0, 1)
            raised = (current[:, :, None] * probe[:, None, :]).flatten(1) @ coupling
            scale = math.sqrt(2 * degree + 1) * probe.norm() ** degree / raised.norm()
            scale = scale * torch.sign((raised * o3.spherical_harmonics(degree, probe, normalize=False)).sum())
            self.register_buffer(f"raise_{degree}", scale * coupling, persistent=False)
            current = scale * raised

    def forward(self, vectors: Tensor) -> Tensor:
        """Evaluates all S_lm up to l_max.

        Args:
            vectors: [E, 3].

        Returns:
            [E, (l_max + 1)²], where Σ_m S_lm² = (2l + 1) r^(2l).
        """
        blocks = [torch.ones_like(vectors[:, :1])]
        if self.l_max > 0:
            blocks.append(math.sqrt(3) * vectors)
        for degree in range(2, self.l_max + 1):
            product = (blocks[-1][:, :, None] * vectors[:, None, :]).flatten(1)
            blocks.append(product @ self.get_buffer(f"raise_{degree}").to(product.dtype))
        return torch.cat(blocks, dim=1)


class GTOActivation(nn.Module):
    """Contracted GTO primitives per ordered element pair, batched over edges.

    Args:
        n_pairs: number of ordered element pairs.
        l_max: highest angular momentum.
        n_radial: primitives for each l.
        n_channels: contracted functions for each l.
        cutoff: r_c, Å.
        width: radial standard deviation of a primitive at initialisation, Å.
        r_min: innermost maximum at initialisation, Å; the outermost lies at 0.92 r_c.
    """

    powers: Tensor
    degrees: Tensor

    def __init__(
        self,
        n_pairs: int,
        l_max: int,
        n_radial: int,
        n_channels: int,
        cutoff: float,
        width: float = 0.4,
        r_min: float = 0.7,
    ) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.solid_harmonics = SolidHarmonics(l_max)
        peaks = torch.linspace(r_min, 0.92 * cutoff, n_radial, dtype=torch.float64)
        degree = torch.arange(l_max + 1, dtype=torch.float64)[:, None]
        # Near its maximum, r^n exp(−α r²) is a Gaussian in r of variance r₀² / 2n.
        wanted = (peaks**2 / (2 * width**2)).clamp(min=1.0)
        powers = ((wanted - degree) / 2).round().clamp(min=0)
        powers[0].clamp_(min=1)
        exponents = (degree + 2 * powers) / (2 * peaks**2)
        self.register_buffer("powers", powers.to(torch.get_default_dtype()))
        self.register_buffer("degrees", degree.expand_as(powers).to(torch.get_default_dtype()).clone())
        self.log_exponents = nn.Parameter(exponents.log().to(torch.get_default_dtype()).repeat(n_pairs, 1, 1))
        self.coefficients = nn.Parameter(torch.randn(n_pairs, l_max + 1, n_radial, n_channels) / math.sqrt(n_radial))

    def primitives(self, squared_distance: Tensor, pair: Tensor) -> Tensor:
        """Evaluates N r^(2k) exp(−α r²) r₀^l, the primitive without its solid harmonic of the scaled vector r⃗ / r₀.

        One exponential of k log r² + log N − α r²: the value is at most r^(−l), so that neither a large exponent nor a
        large power overflows.

        Args:
            squared_distance: r² [E], Å².
            pair: index of the ordered element pair [E].

        Returns:
            [E, l, p]; to be multiplied by S_lm(r⃗) · r₀^(−l).
        """
        half_power = self.powers + self.degrees / 2
        log_norm = half_power * (1.0 + self.log_exponents - half_power.log())
        log_r2 = squared_distance.clamp(min=_SAME_POINT).log()
        decay = squared_distance[:, None, None] * self.log_exponents.exp()[pair]
        return torch.exp(self.powers * log_r2[:, None, None] + log_norm[pair] - decay)

    def forward(self, vectors: Tensor, pair: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluates the contracted radial functions and the solid harmonics of every edge.

        Args:
            vectors: r⃗ [E, 3], Å, from the central atom to its neighbour.
            pair: index of the ordered element pair [E].

        Returns:
            Radial factors [E, l, channel] (cutoff included) and solid harmonics [E, (l_max + 1)²]; their product,
            l matched to lm, is φ_lm,c.
        """
        squared_distance = (vectors * vectors).sum(-1)
        radial = self.primitives(squared_distance, pair) * smooth_cutoff(squared_distance, self.cutoff)[:, None, None]
        contracted = (radial[:, :, None, :] @ self.coefficients[pair]).squeeze(2)
        return contracted, self.solid_harmonics(vectors)
