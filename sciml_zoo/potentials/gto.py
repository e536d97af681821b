"""The GTO activation: Gaussian-type orbitals as the radial and angular response of an atom to a neighbour.

====================  =====================================================================================
equation              variable
====================  =====================================================================================
r = |r⃗|               ``vectors`` [E, 3], Å, from the central atom to its neighbour
k ≥ 1                 ``powers`` [P], integers, so that r^(2k) is a polynomial and smooth at r = 0
α > 0                 exp(``log_exponents``) [pairs, P], Å⁻², learned for each ordered pair of elements
r₀² = k / α           the primitive's maximum, at r₀ = √(k / α)
N                     (αe/k)^k, which makes the largest value of N r^(2k) exp(−α r²) equal to 1
f(r)                  C∞ cutoff exp(1 − 1/(1 − x²)), x = r / ``cutoff``; every derivative vanishes at x = 1
g_p = f N r^(2k) exp(−α r²)      ``forward``'s first result [E, P]
S_lm(r⃗) = r^l Y_lm    solid harmonics, homogeneous polynomials: nothing is singular at r → 0
c                     contraction, learned for each ordered pair of elements and each l [pairs, l, P, channel]
====================  =====================================================================================

φ_lm,c(r⃗) = Σ_p c_l,p,c r₀,p^(−l) g_p(r) S_lm(r⃗), and the density is A_lm,c = Σ_j φ_lm,c(r⃗_ij): the sum over neighbours
of one element comes first, since c is the same for all of them.

Gaussian-type orbitals: Boys, Proc. R. Soc. A 200, 542 (1950). As a descriptor of atoms: Zhang, Hu & Jiang,
J. Phys. Chem. Lett. 10, 4962 (2019).
"""

import math
from typing import Literal

import torch
from e3nn import o3
from torch import Tensor, nn

from sciml_zoo.potentials.kernels import native
from sciml_zoo.potentials.kernels.tables import LANES
from sciml_zoo.potentials.pairs import PairTable

__all__ = ["GTOActivation", "SolidHarmonics", "contraction", "cosine_cutoff", "smooth_cutoff"]

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


def cosine_cutoff(squared_distance: Tensor, cutoff: float) -> Tensor:
    """Evaluates (1 + cos(π r / r_c)) / 2, whose second derivative jumps at r_c: for comparison only.

    Args:
        squared_distance: r² [...], Å².
        cutoff: r_c, Å.

    Returns:
        Values [...].
    """
    distance = squared_distance.clamp(min=_SAME_POINT).sqrt()
    return torch.where(distance < cutoff, 0.5 * (1.0 + torch.cos(torch.pi * distance / cutoff)), 0.0)


def contraction(n_tables: int, n_blocks: int, n_radial: int, n_channels: int) -> Tensor:
    """Draws contraction coefficients to start from.

    Args:
        n_tables: of pairs of elements.
        n_blocks: degrees or paths.
        n_radial: P.
        n_channels: C.

    Returns:
        [tables, blocks, P, C], of unit variance when summed over primitives.
    """
    return torch.randn(n_tables, n_blocks, n_radial, n_channels) / math.sqrt(n_radial)


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
    """Primitives for each ordered pair of elements, times cutoff, and the solid harmonics they are multiplied by.

    Args:
        n_elements: S.
        l_max: highest angular momentum.
        n_radial: primitives P.
        cutoff: r_c, Å.
        radial: ``"gto"``, or ``"bessel"`` (√(2/r_c) sin(nπr/r_c)/r with harmonics of the direction: Gasteiger et al.,
            ICLR 2020), which is singular at r = 0 and here for comparison.
        cutoff_function: ``"smooth"``, C∞, or ``"cosine"``, C¹, for comparison.
        learn_exponents: whether α is trained.
        width: radial standard deviation of a primitive at initialisation, Å.
        r_min: innermost maximum at initialisation, Å; the outermost lies at 0.92 r_c.
    """

    powers: Tensor
    per_degree: Tensor
    initial: Tensor

    def __init__(
        self,
        n_elements: int,
        l_max: int,
        n_radial: int,
        cutoff: float,
        *,
        radial: Literal["gto", "bessel"] = "gto",
        cutoff_function: Literal["smooth", "cosine"] = "smooth",
        learn_exponents: bool = True,
        width: float = 0.4,
        r_min: float = 0.7,
    ) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.radial, self.cutoff_function = radial, cutoff_function
        self.solid_harmonics = SolidHarmonics(l_max)
        dtype = torch.get_default_dtype()
        peaks = torch.linspace(r_min, 0.92 * cutoff, n_radial, dtype=torch.float64)
        # Near its maximum, r^2k exp(−α r²) is a Gaussian in r of variance r₀² / 4k.
        powers = (peaks**2 / (4 * width**2)).round().clamp(min=1)
        degree = torch.arange(l_max + 1, dtype=torch.float64)[:, None]
        self.register_buffer("powers", powers.to(dtype))
        self.register_buffer("initial", (powers / peaks**2).log().to(dtype))
        # r₀^(−l), by which solid harmonics of the scaled vector r⃗ / r₀ are of order one.
        factors = peaks**-degree if radial == "gto" else torch.ones_like(peaks**-degree)
        self.register_buffer("per_degree", factors.to(dtype), persistent=False)
        self.exponents = PairTable(n_elements, lambda n: torch.zeros(n, n_radial))
        self.exponents.requires_grad_(learn_exponents and radial == "gto")

    @property
    def log_exponents(self) -> Tensor:
        """The logarithm of α for every ordered pair of elements, [pairs, P]."""
        return self.initial + self.exponents()

    @property
    def has_kernel(self) -> bool:
        """Whether the C++ kernels know this basis."""
        known = self.radial == "gto" and self.cutoff_function == "smooth" and self.solid_harmonics.l_max == 3
        return known and len(self.powers) <= LANES

    def primitives(self, squared_distance: Tensor, pair: Tensor) -> Tensor:
        """Evaluates N r^(2k) exp(−α r²).

        One exponential of k log r² + log N − α r², so that neither a large exponent nor a large power overflows.

        Args:
            squared_distance: r² [E], Å².
            pair: index of the ordered element pair [E].

        Returns:
            [E, P].
        """
        exponents = self.log_exponents
        log_norm = self.powers * (1.0 + exponents - self.powers.log())
        log_r2 = squared_distance.clamp(min=_SAME_POINT).log()
        decay = squared_distance[:, None] * exponents.exp()[pair]
        return torch.exp(self.powers * log_r2[:, None] + log_norm[pair] - decay)

    def forward(self, vectors: Tensor, pair: Tensor, *, fast: bool = False) -> tuple[Tensor, Tensor]:
        """Evaluates primitives and harmonics of every edge.

        Args:
            vectors: r⃗ [E, 3], Å, from the central atom to its neighbour.
            pair: index of the ordered element pair [E].
            fast: use the C++ kernel, which can be differentiated once.

        Returns:
            g_p(r) [E, P], cutoff included (with ``fast`` padded to 16 columns), and solid harmonics [E, (l_max + 1)²].
        """
        if fast:
            exponents = self.log_exponents if self.training else self.log_exponents.detach()
            return native.basis(vectors, exponents, self.powers, pair, self.cutoff)
        squared_distance = (vectors * vectors).sum(-1)
        fade = smooth_cutoff if self.cutoff_function == "smooth" else cosine_cutoff
        values = fade(squared_distance, self.cutoff)[:, None]
        if self.radial == "gto":
            return self.primitives(squared_distance, pair) * values, self.solid_harmonics(vectors)
        distance = squared_distance.clamp(min=_SAME_POINT).sqrt()[:, None]
        wave = (
            torch.arange(1, len(self.powers) + 1, dtype=vectors.dtype, device=vectors.device) * torch.pi / self.cutoff
        )
        bessel = (2.0 / self.cutoff) ** 0.5 * torch.sin(wave * distance) / distance
        return bessel * values, self.solid_harmonics(vectors / distance)
