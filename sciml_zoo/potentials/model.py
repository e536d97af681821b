"""Interatomic potentials: the GTO network, and the distances-only network as the simplest invariant baseline."""

import dataclasses
import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.gto import GTOActivation
from sciml_zoo.potentials.invariants import EquivariantLinear, InvariantProducts, coupling_matrix, degree_of_component
from sciml_zoo.potentials.potential import Potential, UnitRms
from sciml_zoo.zoo.registry import register_model

__all__ = ["GTOConfig", "GTOPotential", "RadialConfig", "RadialPotential"]

_Config = TypeVar("_Config", "RadialConfig", "GTOConfig")
_DEFAULT_ELEMENTS = (1, 6, 7, 8)
_DEFAULT_CUTOFF = 5.0
# Relative, and eV or eV/Å: the example molecules are far from any training data, where forces of 100 eV/Å amplify
# float32 rounding (0.003 eV/Å between two formulations of the same function); wrong weights differ by far more.
_GOLDEN_TOLERANCE = (1e-6, 2e-2)
# What a message carries of (density ⊗ neighbour's vector)_L: (l1, 1, L), even parity.
_MESSAGE_PATHS = ((0, 1, 1), (1, 1, 0), (1, 1, 2), (2, 1, 1), (2, 1, 3))


@dataclass(frozen=True)
class RadialConfig:
    """Shape of a :class:`RadialPotential`.

    Attributes:
        elements: atomic numbers in rising order; None: H, C, N, O, or in a recipe those of the training data.
        cutoff: Å; None: 5, or in a recipe chosen from the training data.
        n_radial: GTO primitives per ordered element pair.
        n_channels: contracted functions.
        n_hidden: width of the readout network.
    """

    elements: tuple[int, ...] | None = None
    cutoff: float | None = None
    n_radial: int = 16
    n_channels: int = 64
    n_hidden: int = 64


@dataclass(frozen=True)
class GTOConfig:
    """Shape of a :class:`GTOPotential`.

    Attributes:
        elements: atomic numbers in rising order; None: H, C, N, O, or in a recipe those of the training data.
        cutoff: Å; None: 5, or in a recipe chosen from the training data.
        l_max: highest angular momentum of the densities, at least 2.
        n_radial: GTO primitives per angular momentum and ordered element pair.
        n_channels: contracted functions per angular momentum.
        n_hidden: width of the readout networks.
        n_rounds: rounds of message passing, the first included; 2 or more make a neighbour's coefficients depend
            on its own environment.
    """

    elements: tuple[int, ...] | None = None
    cutoff: float | None = None
    l_max: int = 3
    n_radial: int = 10
    n_channels: int = 32
    n_hidden: int = 64
    n_rounds: int = 2


def _completed(config: _Config) -> _Config:
    elements = _DEFAULT_ELEMENTS if config.elements is None else tuple(config.elements)
    cutoff = _DEFAULT_CUTOFF if config.cutoff is None else float(config.cutoff)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.type is int and value < 1:
            raise InputError(f"{field.name} must be at least 1, got {value}")
    return dataclasses.replace(config, elements=elements, cutoff=cutoff)


class _Readout(nn.Module):
    """Invariants of an atom → hidden features and a per-element energy."""

    def __init__(self, n_species: int, n_in: int, n_hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_in, n_hidden)
        self.second = nn.Linear(n_hidden, n_hidden)
        self.species_bias = nn.Parameter(torch.zeros(n_species, n_hidden))
        self.energy = nn.Parameter(0.1 * torch.randn(n_species, n_hidden) / math.sqrt(n_hidden))

    def forward(self, invariants: Tensor, species: Tensor) -> tuple[Tensor, Tensor]:
        """Returns energies [N] and hidden features [N, n_hidden] of invariants [N, n_in]."""
        hidden = F.silu(self.first(invariants) + self.species_bias[species])
        hidden = hidden + F.silu(self.second(hidden))
        return (hidden * self.energy[species]).sum(-1), hidden


class _Round(nn.Module):
    """Densities → invariants → energy, hidden features, and vectors that neighbours may see."""

    def __init__(self, config: GTOConfig, n_species: int) -> None:
        super().__init__()
        self.density_scale = UnitRms(degree_of_component(config.l_max))
        self.mix = EquivariantLinear(config.l_max, config.n_channels, config.n_channels)
        self.products = InvariantProducts(config.l_max, config.n_channels)
        self.invariant_scale = UnitRms(torch.arange(self.products.count))
        self.readout = _Readout(n_species, self.products.count * config.n_channels, config.n_hidden)

    def forward(self, density: Tensor, species: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns energies [N], hidden features [N, H] and vectors [N, 3, 2C] of densities [N, lm, C]."""
        density = self.mix(self.density_scale(density))
        invariants, vector = self.products(density)
        energy, hidden = self.readout(self.invariant_scale(invariants).flatten(1), species)
        return energy, hidden, torch.cat([density[:, 1:4], vector], dim=2)


class _Message(nn.Module):
    """Recursion: densities in which each neighbour's coefficients depend on that neighbour's own environment."""

    coupling: Tensor

    def __init__(self, config: GTOConfig) -> None:
        super().__init__()
        c = config.n_channels
        self.l_max = config.l_max
        self.paths = [path for path in _MESSAGE_PATHS if max(path) <= config.l_max]
        self.scalar = nn.Linear(config.n_hidden, c)
        self.vector = nn.Parameter(torch.randn(2 * c, c) / math.sqrt(2 * c))
        self.register_buffer("coupling", coupling_matrix((0, 1, 2), (1,), self.paths), persistent=False)
        sources = [1 + sum(path[2] == degree for path in self.paths) for degree in range(config.l_max + 1)]
        self.mix = nn.ParameterList(nn.Parameter(torch.randn(n * c, c) / math.sqrt(n * c)) for n in sources)

    def forward(self, phi: Tensor, edge_index: Tensor, hidden: Tensor, vector: Tensor) -> Tensor:
        """Returns densities [N, lm, C]: sums of φ_lm,c h_c and (φ ⊗ v_c)_L, with h and v of the neighbour."""
        neighbour, centre = edge_index
        n_atoms, n_channels = len(hidden), phi.shape[2]
        scalars = self.scalar(hidden)[neighbour]
        density = phi.new_zeros(n_atoms, *phi.shape[1:]).index_add(0, centre, phi * scalars[:, None, :])
        vectors = (vector @ self.vector)[neighbour]
        outer = (phi[:, :9, None, :] * vectors[:, None, :, :]).flatten(1, 2)
        coupled = self.coupling.to(phi.dtype) @ phi.new_zeros(n_atoms, 27, n_channels).index_add(0, centre, outer)
        by_degree = [[block] for block in density.split([2 * degree + 1 for degree in range(self.l_max + 1)], dim=1)]
        for path, block in zip(self.paths, coupled.split([2 * p[2] + 1 for p in self.paths], dim=1), strict=True):
            by_degree[path[2]].append(block)
        mixed = [torch.cat(blocks, dim=2) @ matrix for blocks, matrix in zip(by_degree, self.mix, strict=True)]
        return torch.cat(mixed, dim=1)


@register_model("gto_potential", config=GTOConfig, domain="potentials", golden_tolerance=_GOLDEN_TOLERANCE)
class GTOPotential(Potential):
    """Message-passing potential whose activation is a contracted Gaussian-type orbital.

    Densities A_i,lm,c = Σ_j φ_lm,c(r⃗_ij) of the learned GTO contractions give invariants of body order 2 to 5; they
    give energies and, through the recursion, the coefficients that each atom shows to its neighbours in the next
    round. The function is C∞ in all positions (REANN-like recursion: Zhang, Xia & Jiang, PRL 127, 156002 (2021);
    higher body orders: Drautz, PRB 99, 014104 (2019)).

    Args:
        config: the shape.
    """

    config: GTOConfig
    degrees: Tensor

    def __init__(self, config: GTOConfig) -> None:
        config = _completed(config)
        super().__init__(config.elements or (), config.cutoff or 0.0)
        if config.l_max < 2:
            raise InputError(f"l_max must be at least 2, got {config.l_max}; RadialPotential uses distances only")
        self.config = config
        n_species = len(self.elements)
        self.gto = GTOActivation(n_species**2, config.l_max, config.n_radial, config.n_channels, self.cutoff)
        self.rounds = nn.ModuleList(_Round(config, n_species) for _ in range(config.n_rounds))
        self.messages = nn.ModuleList(_Message(config) for _ in range(config.n_rounds - 1))
        self.register_buffer("degrees", degree_of_component(config.l_max), persistent=False)

    def atomic_energies(self, species: Tensor, vectors: Tensor, edge_index: Tensor) -> Tensor:
        """Computes the dimensionless energy of every atom; see :class:`Potential`.

        Args:
            species: [N].
            vectors: [E, 3], Å.
            edge_index: [2, E].

        Returns:
            [N].
        """
        neighbour, centre = edge_index
        radial, harmonics = self.gto(vectors, species[centre] * len(self.elements) + species[neighbour])
        phi = radial[:, self.degrees] * harmonics[:, :, None]
        density = phi.new_zeros(len(species), *phi.shape[1:]).index_add(0, centre, phi)
        energy, hidden, vector = self.rounds[0](density, species)
        for message, following in zip(self.messages, self.rounds[1:], strict=True):
            density = message(phi, edge_index, hidden, vector)
            more, hidden, vector = following(density, species)
            energy = energy + more
        return energy


@register_model("radial_potential", config=RadialConfig, domain="potentials", golden_tolerance=_GOLDEN_TOLERANCE)
class RadialPotential(Potential):
    """Distances only: E_i = MLP(Σ_j φ_c(r_ij)), the simplest potential with the right symmetries.

    It cannot tell apart environments with the same distances to the central atom (no angles): a floor to measure
    against, not a model to simulate with.

    Args:
        config: the shape.
    """

    config: RadialConfig

    def __init__(self, config: RadialConfig) -> None:
        config = _completed(config)
        super().__init__(config.elements or (), config.cutoff or 0.0)
        self.config = config
        n_species = len(self.elements)
        self.gto = GTOActivation(n_species**2, 0, config.n_radial, config.n_channels, self.cutoff)
        self.density_scale = UnitRms(torch.zeros(1, dtype=torch.long))
        self.readout = _Readout(n_species, config.n_channels, config.n_hidden)

    def atomic_energies(self, species: Tensor, vectors: Tensor, edge_index: Tensor) -> Tensor:
        """Computes the dimensionless energy of every atom; see :class:`Potential`.

        Args:
            species: [N].
            vectors: [E, 3], Å.
            edge_index: [2, E].

        Returns:
            [N].
        """
        neighbour, centre = edge_index
        radial, _ = self.gto(vectors, species[centre] * len(self.elements) + species[neighbour])
        density = radial.new_zeros(len(species), *radial.shape[1:]).index_add(0, centre, radial)
        return self.readout(self.density_scale(density).squeeze(1), species)[0]
