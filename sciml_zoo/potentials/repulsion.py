"""Screened repulsion of nuclei: what two atoms feel where no training data can tell.

====================  ======================================================================================
equation              variable
====================  ======================================================================================
V = Q φ(ρ/a) S / ρ    energy of a pair, eV
Q = Z_i Z_j e²/4πε₀   ``charges`` [S, S], eV Å
a                     0.46850 / (Z_i^0.23 + Z_j^0.23) Å; ``screening`` [S, S] is 1/a
φ(x) = Σ c exp(−dx)   universal screening function, φ(0) = 1
ρ² = r² + δ²          δ = 1e-4 Å keeps energy and forces finite, and smooth, where two atoms coincide
S                     1 for r ≤ r_o/2, 0 for r ≥ r_o; between them 1/(1 + exp(1/(1 − t) − 1/t)) with
                      t = (r² − r_o²/4) / (3 r_o²/4): C∞, since all derivatives vanish at both ends
r_o                   ``outer`` [S, S], sum of the covalent radii, or the cutoff where that is smaller, Å
====================  ======================================================================================

Ziegler, Biersack & Littmark, "The Stopping and Range of Ions in Solids", Pergamon (1985); the constants are those of
LAMMPS' ``pair_style zbl``. The covalent radii are Cordero et al., Dalton Trans. 2832 (2008), as ASE has them.
"""

from collections.abc import Sequence

import torch
from ase import units
from ase.data import chemical_symbols, covalent_radii
from torch import Tensor, nn

from sciml_zoo.errors import InputError

__all__ = ["ZBLRepulsion"]

_BOHR_SCREENING = 0.46850
_CHARGE_POWER = 0.23
_AMPLITUDES = (0.02817, 0.28022, 0.50986, 0.18175)
_DECAYS = (0.20162, 0.40290, 0.94229, 3.19980)
# Å². It lowers the energy by less than one part in 10⁶ down to 0.1 Å.
_SOFTENING = 1e-8
# Part of the outer distance up to which nothing is switched off.
_INNER = 0.5
# At t = 0.005 and 0.995 the switch differs from 1 and 0 by exp(−199): nothing in float32, 1e-87 in float64.
_SWITCH_MARGIN = 0.005
# ASE's covalent radii end with curium, and later ones are a placeholder.
_LAST_RADIUS = 96


class ZBLRepulsion(nn.Module):
    """Ziegler–Biersack–Littmark repulsion of every pair of nuclei, switched off before they could be bonded.

    It is exact up to half of the sum of the covalent radii, and nothing beyond that sum, where a network learns from
    data. It has no parameters. Constants are kept in float64 and used in the precision of the distances.

    Args:
        elements: atomic numbers, in the order in which species count them.
        cutoff: of the neighbour list, Å; nothing repels beyond it.

    Raises:
        InputError: an element without a known covalent radius, or a cutoff that is not positive.
    """

    charges: Tensor
    screening: Tensor
    outer: Tensor

    def __init__(self, elements: Sequence[int], cutoff: float) -> None:
        super().__init__()
        for number in elements:
            if not 0 < number <= _LAST_RADIUS:
                name = chemical_symbols[number] if 0 < number < len(chemical_symbols) else f"element {number}"
                last = chemical_symbols[_LAST_RADIUS]
                raise InputError(f"{name} has no known covalent radius; the ZBL repulsion reaches from H to {last}")
        if not cutoff > 0:
            raise InputError(f"cutoff must be positive (Å), got {cutoff}")
        charge = torch.tensor(elements, dtype=torch.float64)
        radius = torch.from_numpy(covalent_radii[list(elements)])
        power = charge**_CHARGE_POWER
        coulomb = units.Hartree * units.Bohr
        self.register_buffer("charges", coulomb * charge[:, None] * charge, persistent=False)
        self.register_buffer("screening", (power[:, None] + power) / _BOHR_SCREENING, persistent=False)
        self.register_buffer("outer", (radius[:, None] + radius).clamp(max=cutoff), persistent=False)

    def forward(self, species: Tensor, squared_distance: Tensor, edge_index: Tensor) -> Tensor:
        """Computes the repulsion of every atom: half of the energy of each of its pairs.

        Args:
            species: position in ``elements`` of every atom [N].
            squared_distance: r² of every edge [E], Å².
            edge_index: neighbour (row 0) and central atom (row 1) [2, E]; every pair in both directions.

        Returns:
            [N], eV, in the precision of the distances.
        """
        neighbour, centre = species[edge_index[0]], species[edge_index[1]]
        energy = 0.5 * self._pairs(squared_distance, centre, neighbour)
        return energy.new_zeros(len(species)).index_add(0, edge_index[1], energy)

    def _pairs(self, squared_distance: Tensor, first: Tensor, second: Tensor) -> Tensor:
        dtype = squared_distance.dtype
        charges, screening, outer = (
            constant.to(dtype)[first, second] for constant in (self.charges, self.screening, self.outer)
        )
        distance = (squared_distance + _SOFTENING).sqrt()
        scaled = distance * screening
        screened = sum(c * torch.exp(-d * scaled) for c, d in zip(_AMPLITUDES, _DECAYS, strict=True))
        return charges * screened / distance * _switch(squared_distance / outer.square())


def _switch(squared_ratio: Tensor) -> Tensor:
    """Returns S of r²/r_o²."""
    t = (squared_ratio - _INNER**2) / (1.0 - _INNER**2)
    between = (t > _SWITCH_MARGIN) & (t < 1.0 - _SWITCH_MARGIN)
    safe = torch.where(between, t, torch.full_like(t, 0.5))
    return torch.where(between, torch.sigmoid(1.0 / safe - 1.0 / (1.0 - safe)), (t < 0.5).to(t.dtype))
