"""Interatomic potentials: the GTO network, and the distances-only network as the simplest invariant baseline."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.gto import GTOActivation, contraction
from sciml_zoo.potentials.kernels import native
from sciml_zoo.potentials.kernels.evaluation import Evaluation, can_evaluate
from sciml_zoo.potentials.kernels.tables import CHANNELS, EdgeList
from sciml_zoo.potentials.messages import Message
from sciml_zoo.potentials.pairs import PairTable
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.potentials.products import L_MAX, ChannelProduct, EquivariantLinear, degree_of_component, even_paths
from sciml_zoo.potentials.scales import UnitRms
from sciml_zoo.zoo.registry import register_model

__all__ = ["GTOConfig", "GTOPotential", "RadialConfig", "RadialPotential"]

_Config = TypeVar("_Config", "RadialConfig", "GTOConfig")
_DEFAULT_ELEMENTS = (1, 6, 7, 8)
_DEFAULT_CUTOFF = 5.0
# Relative, and eV or eV/Å: the example molecules are far from any training data, where forces of 100 eV/Å amplify
# float32 rounding (0.003 eV/Å between two formulations of the same function); wrong weights differ by far more.
_GOLDEN_TOLERANCE = (1e-6, 2e-2)
_COMPONENTS = (L_MAX + 1) ** 2
# Size of what is not linear in a linear readout, at the start of training.
_CORRECTION = 0.3


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
        n_radial: GTO primitives per ordered element pair; up to 16 have a fast CPU kernel.
        n_channels: contracted functions per angular momentum; multiples of 16 up to 64 have a fast CPU kernel.
        n_hidden: width of the readout networks.
        n_rounds: rounds of message passing, the first included; 2 or more make a neighbour's orbitals depend on its
            own environment.
        l_message: highest degree of what neighbours show each other, 0 to 3.
        linear_readout: make energies linear in the invariants of each round but for a small correction: it extrapolates
            better, and fits a little worse.
        zbl: add the Ziegler–Biersack–Littmark repulsion of nuclei at short range, fixed, before fitting.
        radial: ``"gto"``, or ``"bessel"`` for comparison.
        cutoff_function: ``"smooth"``, C∞, or ``"cosine"`` for comparison.
        learn_exponents: whether the exponents of the primitives are trained.
    """

    elements: tuple[int, ...] | None = None
    cutoff: float | None = None
    n_radial: int = 10
    n_channels: int = 32
    n_hidden: int = 64
    n_rounds: int = 2
    l_message: int = 2
    linear_readout: bool = False
    zbl: bool = False
    radial: Literal["gto", "bessel"] = "gto"
    cutoff_function: Literal["smooth", "cosine"] = "smooth"
    learn_exponents: bool = True


def _completed(config: _Config) -> _Config:
    elements = _DEFAULT_ELEMENTS if config.elements is None else tuple(config.elements)
    cutoff = _DEFAULT_CUTOFF if config.cutoff is None else float(config.cutoff)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        least = 0 if field.name == "l_message" else 1
        if field.type is int and value < least:
            raise InputError(f"{field.name} must be at least {least}, got {value}")
    return dataclasses.replace(config, elements=elements, cutoff=cutoff)


class _Readout(nn.Module):
    """Invariants of an atom → hidden features and a per-element energy."""

    def __init__(self, n_species: int, n_in: int, n_hidden: int, *, linear: bool = False) -> None:
        super().__init__()
        self.linear = linear
        self.correction = _CORRECTION if linear else 1.0
        self.first = nn.Linear(n_in, n_hidden)
        self.second = nn.Linear(n_hidden, n_hidden)
        self.species_bias = nn.Parameter(torch.zeros(n_species, n_hidden))
        self.energy = nn.Parameter(0.1 * torch.randn(n_species, n_hidden) / math.sqrt(n_hidden))

    def forward(self, invariants: Tensor, species: Tensor) -> tuple[Tensor, Tensor]:
        """Returns energies [N] and hidden features [N, n_hidden] of invariants [N, n_in]."""
        hidden = self.first(invariants) + self.species_bias[species]
        if not self.linear:
            hidden = F.silu(hidden)
        hidden = hidden + self.correction * F.silu(self.second(hidden))
        return (hidden * self.energy[species]).sum(-1), hidden


class _Density(nn.Module):
    """Contracted densities of the first round."""

    def __init__(self, n_species: int, n_radial: int, n_channels: int, per_degree: Tensor) -> None:
        super().__init__()
        degrees = len(per_degree)
        self.register_buffer("per_degree", per_degree, persistent=False)
        self.contraction = PairTable(n_species, lambda n: contraction(n, degrees, n_radial, n_channels))
        self.scale = UnitRms(degree_of_component(degrees - 1))

    per_degree: Tensor

    def scaled(self, dtype: torch.dtype) -> Tensor:
        """Returns the contractions of all pairs with their factors and scales, [pairs, degrees, P, C]."""
        return self.contraction() * (self.per_degree / self.scale.rms[:, None]).to(dtype)[:, :, None]

    def forward(self, g: Tensor, harmonics: Tensor, edges: EdgeList, *, fast: bool) -> Tensor:
        """Returns densities [N, lm, C] of primitives [E, P] and harmonics [E, lm]."""
        weights = self.scaled(g.dtype)
        if fast:
            density = native.density(g, harmonics, weights if self.training else weights.detach(), edges)
        else:
            radial = (g[:, None, None, :] @ weights[edges.pair]).squeeze(2)
            orbitals = radial[:, self.scale.block] * harmonics[:, :, None]
            density = orbitals.new_zeros(edges.n_atoms, *orbitals.shape[1:]).index_add(0, edges.centre, orbitals)
        return self.scale.measure(density)


class _Round(nn.Module):
    """Densities → products → energy, hidden features, and what neighbours may see."""

    def __init__(self, config: GTOConfig, n_species: int, l_message: int | None) -> None:
        super().__init__()
        c = config.n_channels
        degrees = range(L_MAX + 1)
        self.mix = EquivariantLinear([2 * degree + 1 for degree in degrees], c, c)
        squares = even_paths(L_MAX, L_MAX, degrees, ordered=False)
        norms = [(degree, degree, 0) for degree in degrees]
        self.square = ChannelProduct(
            [*squares, *norms],
            [path[2] ** 2 for path in squares] + [_COMPONENTS + degree for degree in degrees],
            c,
            same=True,
        )
        cubes = [] if l_message is None else even_paths(L_MAX, L_MAX, range(1, l_message + 1))
        # The invariants come first, and what is shown follows them.
        targets = [*degrees] + [L_MAX + path[2] ** 2 for path in cubes]
        self.cube = ChannelProduct([*norms, *cubes], targets, c)
        self.fourth = ChannelProduct(norms, [*degrees], c, same=True)
        self.readout = _Readout(n_species, (1 + 3 * len(norms)) * c, config.n_hidden, linear=config.linear_readout)
        self.l_message = l_message
        if l_message is not None:
            self.scalars = nn.Linear(config.n_hidden, c)
        if l_message:
            self.vectors = EquivariantLinear([2 * degree + 1 for degree in range(1, l_message + 1)], 3 * c, c)

    def forward(self, density: Tensor, species: Tensor, *, fast: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns energies [N], hidden features [N, H] and what is shown [N, (l_message + 1)², C]."""
        density = self.mix(density)
        square = self.square(density, density, fast=fast)
        cube = self.cube(square, density, fast=fast)
        fourth = self.fourth(square, square, fast=fast)
        n = L_MAX + 1
        invariants = torch.cat([density[:, :1], square[:, _COMPONENTS:], cube[:, :n], fourth], dim=1)
        energy, hidden = self.readout(invariants.flatten(1), species)
        if self.l_message is None:
            return energy, hidden, None
        shown = self.scalars(hidden)[:, None]
        if self.l_message:
            size = (self.l_message + 1) ** 2
            tensors = torch.cat([density[:, 1:size], square[:, 1:size], cube[:, n:]], dim=2)
            shown = torch.cat([shown, self.vectors(tensors)], dim=1)
        return energy, hidden, shown


@register_model("gto_potential", config=GTOConfig, domain="potentials", golden_tolerance=_GOLDEN_TOLERANCE)
class GTOPotential(Potential):
    """Equivariant message-passing potential whose activation is a contracted Gaussian-type orbital.

    Densities A_i,lm,c = Σ_j φ_lm,c(r⃗_ij) of the learned GTO contractions (l ≤ 3) are multiplied, channel by channel, to
    equivariants and invariants of body order 2 to 5; invariants give energies, and equivariants become what each atom
    shows to its neighbours in the next round, whose densities have body order 5 and products up to 17. The function is
    C∞ in all positions. (Densities of contracted GTOs and their recursion: Zhang, Xia & Jiang, PRL 127, 156002 (2021);
    products: Drautz, PRB 99, 014104 (2019); messages: Batzner et al., Nat. Commun. 13, 2453 (2022).)

    Args:
        config: the shape.
    """

    config: GTOConfig

    def __init__(self, config: GTOConfig) -> None:
        config = _completed(config)
        super().__init__(
            config.elements or (), config.cutoff or 0.0, n_features=config.n_rounds * config.n_hidden, zbl=config.zbl
        )
        if config.l_message > L_MAX:
            raise InputError(f"l_message must be at most {L_MAX}, got {config.l_message}")
        self.config = config
        self._evaluation: Evaluation | None = None
        n_species = len(self.elements)
        self.gto = GTOActivation(
            n_species,
            L_MAX,
            config.n_radial,
            self.cutoff,
            radial=config.radial,
            cutoff_function=config.cutoff_function,
            learn_exponents=config.learn_exponents,
        )
        per_degree = self.gto.per_degree
        self.density = _Density(n_species, config.n_radial, config.n_channels, per_degree)
        last = config.n_rounds - 1
        self.rounds = nn.ModuleList(
            _Round(config, n_species, config.l_message if index < last else None) for index in range(config.n_rounds)
        )
        self.messages = nn.ModuleList(
            Message(config.l_message, n_species, config.n_radial, config.n_channels, per_degree) for _ in range(last)
        )

    def atomic_energies(
        self, species: Tensor, vectors: Tensor, edge_index: Tensor, *, fast: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Computes the dimensionless energy and features of every atom; see :class:`Potential`.

        Args:
            species: [N].
            vectors: [E, 3], Å.
            edge_index: [2, E].
            fast: use the C++ kernels, which can be differentiated once.

        Returns:
            Energies [N] and features [N, n_rounds · n_hidden].
        """
        edges = EdgeList(edge_index, species, len(self.elements))
        g, harmonics = self.gto(vectors, edges.pair, fast=fast)
        density = self.density(g, harmonics, edges, fast=fast)
        energy, hidden, shown = self.rounds[0](density, species, fast=fast)
        features = [hidden]
        for message, following in zip(self.messages, self.rounds[1:], strict=True):
            density = message(g, harmonics, shown, density, edges, fast=fast)
            more, hidden, shown = following(density, species, fast=fast)
            energy = energy + more
            features.append(hidden)
        return energy, torch.cat(features, dim=1)

    def slopes(self, species: Tensor, vectors: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        """Computes energies and their derivatives in one C++ call; see :class:`Potential`.

        Args:
            species: [N].
            vectors: [E, 3], Å, float32, on the CPU.
            edge_index: [2, E], sorted by central atom.

        Returns:
            Energies [N], features [N, n_rounds · n_hidden] and slopes [E, 3]; None for a width without a kernel.
        """
        if not can_evaluate(self.config.n_hidden):
            return None
        if self._evaluation is None or not self._evaluation.holds():
            self._evaluation = Evaluation(self)
        return self._evaluation(vectors, EdgeList(edge_index, species, len(self.elements)))

    @property
    def has_kernels(self) -> bool:
        """Whether the C++ kernels know this shape."""
        return self.gto.has_kernel and self.config.n_channels in CHANNELS


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
        super().__init__(config.elements or (), config.cutoff or 0.0, n_features=config.n_hidden)
        self.config = config
        n_species = len(self.elements)
        self.gto = GTOActivation(n_species, 0, config.n_radial, self.cutoff)
        self.density = _Density(n_species, config.n_radial, config.n_channels, self.gto.per_degree)
        self.readout = _Readout(n_species, config.n_channels, config.n_hidden)

    def atomic_energies(
        self, species: Tensor, vectors: Tensor, edge_index: Tensor, *, fast: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Computes the dimensionless energy and features of every atom; see :class:`Potential`.

        Args:
            species: [N].
            vectors: [E, 3], Å.
            edge_index: [2, E].
            fast: not used; there is no kernel for this model.

        Returns:
            Energies [N] and features [N, n_hidden].
        """
        edges = EdgeList(edge_index, species, len(self.elements))
        g, harmonics = self.gto(vectors, edges.pair)
        density = self.density(g, harmonics, edges, fast=False)
        return self.readout(density.squeeze(1), species)
