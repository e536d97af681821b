"""How far a potential's forces and energies may be trusted, from the one forward pass that computes them.

A potential's energy is linear in what its last layer sees, E = Σ_i w_Z(i) · f_i, where the last of the F + 1 features
is 1, and its coefficient the element's own energy. With the features held fixed, the posterior of w after training is
that of linear regression, and an atom is as uncertain as its features are far from those of the training atoms, in the
metric of their Gram matrix (last-layer Laplace approximation: Bigi, Chong, Ceriotti & Grasselli, Mach. Learn.: Sci.
Technol. 5, 045018 (2024); of single atoms: Chong, Grasselli, Ben Mahmoud, Morrow, Deringer & Ceriotti, JCTC 19, 8020
(2023)). The force on an atom is the slope of its own energy and of its neighbours', and so it is as uncertain as both
are. One scale per element and one exponent, fitted on validation forces, turn this pure number into the error to be
expected.

===================================  ================================================================================
equation                             variable
===================================  ================================================================================
G_Z = Σ_(i of Z) f_i f_iᵀ + ς_Z² I   over the training atoms of one element; C_Z C_Zᵀ = G_Z⁻¹ is ``factor[Z]``
u_i = ‖C_Zᵀ f_i‖                     length of :meth:`AtomicUncertainty.whitened` [N, F + 1]
ū_i = Σ_j κ(r_ij) u_j / Σ_j κ(r_ij)  mean of the neighbours, κ = exp(−r²/2w²), w = 1.2 Å; κ_ii = 0.05
d_i = √(u_i ū_i)                     :meth:`AtomicUncertainty.distances` [N]
σ_i = a_Z d_i^β                      ``forward`` [N], eV/Å, with ``scales`` a [S] and ``exponent`` β;
τ (σ_i/τ)^(1/β) where σ_i > τ        beyond the largest of validation, ``limit`` τ, it grows as d_i, which is theory's
H = Σ_g s_g s_gᵀ + ς² I              over the training structures, s_g = Σ_(i in g) f_i
D_g = √(s_gᵀ H⁻¹ s_g) / D*           length of the product with ``structure_factor``; D* is the largest of validation
σ_E = b D_g min(D_g, 1)^(β − 1)      :meth:`AtomicUncertainty.energy` [G], eV, with ``energy_scale`` b
===================================  ================================================================================
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sciml_zoo.errors import InputError

__all__ = ["AtomicUncertainty", "sums_of_structures", "with_constant"]

# Å: of the size of a bond, so that bonded neighbours count most.
_NEIGHBOUR_WIDTH = 1.2
# An atom without neighbours is its own.
_OWN_WEIGHT = 0.05


class AtomicUncertainty(nn.Module):
    """Expected errors of forces and energies, from the features that a potential returns with ``features=True``.

    It knows nothing until :func:`sciml_zoo.potentials.calibrate_uncertainty` has fitted it.

    Args:
        n_features: F, of each atom, without the constant one.
        n_species: S, the number of elements.
    """

    factor: Tensor
    scales: Tensor
    exponent: Tensor
    structure_factor: Tensor
    energy_scale: Tensor
    limit: Tensor

    def __init__(self, n_features: int, n_species: int) -> None:
        super().__init__()
        self.register_buffer("factor", torch.zeros(n_species, n_features + 1, n_features + 1))
        self.register_buffer("scales", torch.zeros(n_species))
        self.register_buffer("exponent", torch.zeros(()))
        self.register_buffer("structure_factor", torch.zeros(n_features + 1, n_features + 1))
        self.register_buffer("energy_scale", torch.zeros(()))
        self.register_buffer("limit", torch.zeros(()))

    @property
    def calibrated(self) -> bool:
        """Whether it has been fitted."""
        return float(self.exponent) > 0

    @property
    def threshold(self) -> float:
        """The largest uncertainty of any validation atom, eV/Å; an atom beyond it is extrapolated.

        Of structures drawn like the n of the validation, one in n + 1 exceeds it.
        """
        return float(self.limit)

    def forward(self, features: Tensor, species: Tensor, pos: Tensor, edge_index: Tensor, edge_shift: Tensor) -> Tensor:
        """Returns the expected root-mean-square error of each atom's force components.

        Args:
            features: of every atom [N, F].
            species: position in the model's ``elements`` of every atom [N].
            pos: as for the potential, like all that follows [N, 3], Å.
            edge_index: [2, E]; pairs beyond the cutoff do not matter.
            edge_shift: [E, 3], Å.

        Returns:
            [N], eV/Å.
        """
        distances = self.distances(features, species, pos, edge_index, edge_shift)
        exponent = float(self.exponent)
        sigma = self.scales[species] * distances.pow(exponent)
        return sigma * (sigma / self.limit).clamp_(min=1).pow_(1 / exponent - 1)

    def distances(
        self, features: Tensor, species: Tensor, pos: Tensor, edge_index: Tensor, edge_shift: Tensor
    ) -> Tensor:
        """Returns how far each atom and its neighbours are from the training atoms of their elements.

        Args:
            features: as for :meth:`forward`, like all arguments.
            species: [N].
            pos: [N, 3], Å.
            edge_index: [2, E].
            edge_shift: [E, 3], Å.

        Returns:
            √(u_i ū_i) [N], a pure number.
        """
        own = self.whitened(features, species).norm(dim=1)
        neighbour, centre = edge_index
        ends = pos[edge_index]
        vectors = (ends[0] - ends[1] + edge_shift).to(own.dtype)
        weight = torch.exp(torch.linalg.vecdot(vectors, vectors) / (-2 * _NEIGHBOUR_WIDTH**2))
        sums = (_OWN_WEIGHT * own).index_add_(0, centre, weight * own[neighbour])
        weights = torch.full_like(own, _OWN_WEIGHT).index_add_(0, centre, weight)
        return (own * sums / weights).sqrt()

    def whitened(self, features: Tensor, species: Tensor) -> Tensor:
        """Returns features in the metric of the training data; the length of each row is u.

        Args:
            features: of every atom [N, F].
            species: position in the model's ``elements`` of every atom [N].

        Returns:
            [N, F + 1], each multiplied by the factor of its element.

        Raises:
            InputError: the uncertainty has not been calibrated.
        """
        self.require_calibrated()
        # Atoms in the order of their elements: one product for each element, however many there are.
        order = species.argsort(stable=True)
        counts = species.bincount(minlength=len(self.factor)).tolist()
        parts = with_constant(features).to(self.factor.dtype)[order].split(counts)
        rows = torch.cat([part @ factor for part, factor in zip(parts, self.factor, strict=True)])
        return torch.empty_like(rows).index_copy(0, order, rows)

    def energy(self, features: Tensor, batch: Tensor, n_structures: int) -> Tensor:
        """Returns the expected error of each structure's energy.

        Args:
            features: of every atom [N, F].
            batch: structure of every atom [N].
            n_structures: G.

        Returns:
            [G], eV.

        Raises:
            InputError: the uncertainty has not been calibrated.
        """
        self.require_calibrated()
        sums = sums_of_structures(with_constant(features).to(self.structure_factor.dtype), batch, n_structures)
        distances = (sums @ self.structure_factor).norm(dim=1)
        return self.energy_scale * distances * distances.clamp(max=1).pow(self.exponent - 1)

    def require_calibrated(self) -> None:
        """Refuses to go on with an uncertainty that nothing is known of.

        Raises:
            InputError: it has not been calibrated.
        """
        if not self.calibrated:
            raise InputError(
                "the model's uncertainty has not been calibrated: run `sciml-zoo potentials calibrate` on its training "
                "and validation structures"
            )


def with_constant(features: Tensor) -> Tensor:
    """Returns features [N, F + 1] with a last one that is 1, of features [N, F]."""
    return functional.pad(features, (0, 1), value=1.0)


def sums_of_structures(features: Tensor, batch: Tensor, n_structures: int) -> Tensor:
    """Returns sums [G, F] of features [N, F] over the atoms of each structure, given in ``batch`` [N]."""
    return features.new_zeros(n_structures, features.shape[1]).index_add(0, batch, features)
