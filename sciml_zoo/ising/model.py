"""Boltzmann machines: networks of stochastic two-valued units whose probabilities are those of an Ising model.

    p(u) = exp(−E(u)) / Z,    E(u) = −Σ_{i<j} W_ij u_i u_j − Σ_i b_i u_i + c,    u = (v, h)

| symbol | here | shape |
|---|---|---|
| u, v, h | ``units``, ``visible``, hidden: the last ``n_hidden`` of the units; ±1 or 0/1 | [..., n], [..., n_visible] |
| W | ``couplings``: a matrix between visible and hidden if restricted, otherwise one number a pair of ``edges`` | |
| b | ``fields`` | [n] |
| c | ``offset`` | scalar |
| θ_i | ``local_fields``: Σ_j W_ij u_j + b_i | [..., n] |
| F(v) | ``free_energy``: −log Σ_h exp(−E(v, h)) | [...] |

An :class:`IsingModel` H at inverse temperature β is the machine with E(u(s)) = β H(s): s = u for ±1 units, s = 2u − 1
for 0/1 units (Ackley, Hinton & Sejnowski, Cognitive Science 9, 147 (1985)).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml_zoo.errors import InputError
from sciml_zoo.ising._colouring import UpdateGroup, update_groups
from sciml_zoo.ising._mapping import binary_from_spin, spin_from_binary
from sciml_zoo.ising._units import TwoValuedUnits
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.shape import BoltzmannMachineConfig, RBMConfig, Units, checked_edges
from sciml_zoo.zoo.registry import register_model

__all__ = ["BoltzmannMachine", "BoltzmannMachineConfig", "RBMConfig", "RestrictedBoltzmannMachine"]

# Coupled hidden units are summed over one by one state: 2¹⁶ of them at most.
_MOST_COUPLED_HIDDEN = 16
_EXAMPLES = 4


@register_model("boltzmann_machine", config=BoltzmannMachineConfig, domain="ising")
class BoltzmannMachine(TwoValuedUnits):
    """Two-valued stochastic units on any graph, visible and hidden: the Ising model as a network that learns.

    Parameters are float64 at first; a recipe's ``precision`` decides in what they are trained. ``forward`` takes
    visible units [..., n_visible] and gives their free energy and the log-odds of each one given the others.

    Args:
        config: the shape.
        edges: [2, m], pairs i < j without repetition, for connectivity ``given``; None: the first pairs in order.
    """

    config: BoltzmannMachineConfig | RBMConfig
    edges: Tensor
    offset: Tensor

    def __init__(self, config: BoltzmannMachineConfig, edges: Tensor | None = None) -> None:
        super().__init__(config)
        self.config = config
        self.restricted = config.connectivity == "restricted"
        if self.restricted:
            i, j = torch.arange(self.n_visible), torch.arange(self.n_visible, self.n_units)
            pairs = torch.cartesian_prod(i, j).T.contiguous()
            shape: tuple[int, ...] = (self.n_visible, self.n_hidden)
        else:
            if edges is not None:
                pairs = checked_edges(edges, config)
            else:
                pairs = torch.triu_indices(self.n_units, self.n_units, offset=1)[:, : config.n_edges].contiguous()
            shape = (pairs.shape[1],)
        self.register_buffer("edges", pairs, persistent=config.connectivity == "given")
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))
        self.couplings = nn.Parameter(0.01 * torch.randn(shape, dtype=torch.float64))
        self.fields = nn.Parameter(torch.zeros(self.n_units, dtype=torch.float64))
        self._groups: dict[torch.device, list[UpdateGroup]] = {}
        self.register_load_state_dict_post_hook(lambda module, _: module._groups.clear())

    @classmethod
    def from_ising(
        cls, model: IsingModel, beta: float = 1.0, *, n_hidden: int = 0, units: Units = "spin"
    ) -> BoltzmannMachine:
        """Builds the machine with E(u(s)) = β H(s) for every state, in float64.

        Args:
            model: the Ising model H.
            beta: inverse temperature β > 0, in the unit of 1/H.
            n_hidden: how many of its last spins are hidden.
            units: of the machine.

        Returns:
            A machine of connectivity ``full`` for a dense model, ``given`` for a sparse one.

        Raises:
            InputError: β is not a positive number, or there are not so many spins.
        """
        _require_beta(beta)
        if not 0 <= n_hidden < model.n:
            raise InputError(f"n_hidden: {n_hidden} of {model.n} spins cannot be hidden; at least one must be visible")
        dense = model.is_dense
        i, j, w = model.edges
        config = BoltzmannMachineConfig(
            model.n - n_hidden, n_hidden, "full" if dense else "given", units, None if dense else len(w)
        )
        machine = BoltzmannMachine(config, None if dense else torch.from_numpy(np.stack([i, j])))
        fields, offset = model.fields, model.offset
        if dense:
            w = model.dense()[np.triu_indices(model.n, 1)]
            i, j = np.triu_indices(model.n, 1)
        if units == "binary":
            w, fields, offset = binary_from_spin(i, j, w, fields, offset)
        with torch.no_grad():
            machine.couplings.copy_(torch.from_numpy(beta * w))
            machine.fields.copy_(torch.from_numpy(beta * fields))
            machine.offset.fill_(beta * offset)
        return machine

    def to_ising(self, beta: float = 1.0) -> IsingModel:
        """Returns the Ising model H with β H(s) = E(u(s)) for every state; hidden units are its last spins.

        Args:
            beta: the inverse temperature β > 0 at which H is to be the machine.

        Returns:
            A dense model for connectivity ``full``, a sparse one otherwise.

        Raises:
            InputError: β is not a positive number.
        """
        _require_beta(beta)
        i, j = self.edges.cpu().numpy()
        w = self.couplings.detach().double().cpu().numpy().ravel()
        fields = self.fields.detach().double().cpu().numpy()
        offset = float(self.offset)
        if self.units == "binary":
            w, fields, offset = spin_from_binary(i, j, w, fields, offset)
        if isinstance(self.config, BoltzmannMachineConfig) and self.config.connectivity == "full":
            matrix = np.zeros((self.n_units, self.n_units))
            matrix[i, j] = matrix[j, i] = w / beta
            return IsingModel(matrix, fields / beta, offset / beta)
        return IsingModel.from_coo(i, j, w / beta, self.n_units, fields=fields / beta, offset=offset / beta)

    @property
    def hidden_are_independent(self) -> bool:
        """Whether no two hidden units are coupled, so that sums over them factorise."""
        return self.restricted or bool((self.edges[0] < self.n_visible).all())

    @property
    def has_free_energy(self) -> bool:
        """Whether sums over the hidden units can be done exactly."""
        return self.n_hidden <= _MOST_COUPLED_HIDDEN or self.hidden_are_independent

    def coupling_matrix(self) -> Tensor:
        """Returns W [n, n], symmetric with a zero diagonal; differentiable."""
        i, j = self.edges
        matrix = self.couplings.new_zeros(self.n_units, self.n_units)
        matrix = matrix.index_put((i, j), self.couplings.flatten())
        return matrix + matrix.T

    def energy(self, units: Tensor) -> Tensor:
        """Computes E(u) of states of all units.

        Args:
            units: [..., n], ±1 or 0/1.

        Returns:
            [...].
        """
        if self.restricted:
            visible, hidden = units.split([self.n_visible, self.n_hidden], dim=-1)
            pairs = ((visible @ self.couplings) * hidden).sum(-1)
        elif self._is_sparse:
            i, j = self.edges
            pairs = (units[..., i] * units[..., j]) @ self.couplings
        else:
            pairs = 0.5 * ((units @ self.coupling_matrix()) * units).sum(-1)
        return self.offset - pairs - units @ self.fields

    def local_fields(self, units: Tensor) -> Tensor:
        """Computes θ_i = Σ_j W_ij u_j + b_i.

        Args:
            units: [..., n].

        Returns:
            [..., n].
        """
        if self.restricted:
            visible, hidden = units.split([self.n_visible, self.n_hidden], dim=-1)
            return torch.cat([hidden @ self.couplings.T, visible @ self.couplings], dim=-1) + self.fields
        if not self._is_sparse:
            return units @ self.coupling_matrix() + self.fields
        i, j = self.edges
        sums = torch.zeros_like(units).index_add(-1, i, self.couplings * units[..., j])
        return sums.index_add(-1, j, self.couplings * units[..., i]) + self.fields

    def conditional(self, units: Tensor) -> Tensor:
        """Computes P(u_i up | all other units), for each unit.

        Args:
            units: [..., n].

        Returns:
            [..., n], in [0, 1].
        """
        return torch.sigmoid(self.gap * self.local_fields(units))

    def free_energy(self, visible: Tensor) -> Tensor:
        """Computes F(v) = −log Σ_h exp(−E(v, h)): in closed form if no hidden units are coupled, else by enumeration.

        Args:
            visible: [..., n_visible].

        Returns:
            [...], nats; the log-probability is −F(v) − log Z.

        Raises:
            InputError: more than 16 hidden units, some of them coupled with one another.
        """
        units = self._without_hidden(visible)
        energy = self.energy(units)
        if self.n_hidden == 0:
            return energy
        return energy - self._log_hidden_sum(self.local_fields(units)[..., self.n_visible :])

    def flip_differences(self, visible: Tensor) -> Tensor:
        """Computes F(v with unit i flipped) − F(v), for each visible unit.

        Args:
            visible: [..., n_visible].

        Returns:
            [..., n_visible], nats.

        Raises:
            InputError: as for :meth:`free_energy`.
        """
        units = self._without_hidden(visible)
        change = self.down + self.up - 2 * visible
        if not self.hidden_are_independent:
            flipped = visible[..., None, :] + torch.diag_embed(change)
            return self.free_energy(flipped) - self.free_energy(visible)[..., None]
        theta = self.local_fields(units)
        difference = -change * theta[..., : self.n_visible]
        if self.n_hidden:
            hidden = theta[..., None, self.n_visible :]
            moved = hidden + change[..., None] * self._visible_to_hidden()
            difference = difference - (self.log_unit_sum(moved) - self.log_unit_sum(hidden)).sum(-1)
        return difference

    def forward(self, visible: Tensor) -> dict[str, Tensor]:
        """Computes what the machine says of visible states.

        Args:
            visible: [..., n_visible], ±1 or 0/1.

        Returns:
            ``free_energy`` [...], nats, and ``log_odds`` [..., n_visible]: log P(v_i up | other visible units) −
            log P(v_i down | other visible units), nats.

        Raises:
            InputError: as for :meth:`free_energy`.
        """
        difference = self.flip_differences(visible)
        return {
            "free_energy": self.free_energy(visible),
            "log_odds": torch.where(visible == self.up, difference, -difference),
        }

    def example_inputs(self) -> dict[str, Tensor]:
        """Returns four states of the visible units, always the same."""
        generator = torch.Generator().manual_seed(0)
        up = torch.rand(_EXAMPLES, self.n_visible, generator=generator) < 0.5
        return {"visible": self.from_bits(up)}

    def gibbs_step(self, units: Tensor, generator: torch.Generator, *, free: Tensor | None = None) -> Tensor:
        """Draws every unit once from its distribution given the others, a group of uncoupled units at a time.

        Hidden units come first. A restricted machine has two groups (block Gibbs), a full one as many as units, any
        other a greedy colouring of its graph.

        Args:
            units: [..., n]; left as they are.
            generator: of the random numbers, on the units' device.
            free: True where a unit may change, [n] or [..., n]; None: everywhere.

        Returns:
            New states [..., n].
        """
        units = units.clone()
        dense = None if self.restricted or self._is_sparse else self.coupling_matrix().detach()
        for group in self._update_groups(units.device):
            theta = self._fields_of(group, units, dense)
            chance = torch.rand(theta.shape, generator=generator, device=units.device, dtype=units.dtype)
            drawn = torch.where(chance < torch.sigmoid(self.gap * theta), self.up, self.down).to(units.dtype)
            if free is not None:
                drawn = torch.where(free[..., group.index], drawn, units[..., group.index])
            units[..., group.index] = drawn
        return units

    @torch.no_grad()
    def sample(
        self,
        n_samples: int,
        n_sweeps: int,
        generator: torch.Generator,
        *,
        start: Tensor | None = None,
        free: Tensor | None = None,
    ) -> Tensor:
        """Runs independent Gibbs chains and returns their last states.

        Args:
            n_samples: number of chains.
            n_sweeps: updates of every unit; the caller judges whether they are enough.
            generator: of the random numbers, on the machine's device.
            start: [n_samples, n]; None: independent fair coins.
            free: True where a unit may change, [n] or [n_samples, n]: the rest is clamped to ``start``.

        Returns:
            States of all units [n_samples, n].
        """
        units = self.random_units(n_samples, generator) if start is None else start
        for _ in range(n_sweeps):
            units = self.gibbs_step(units, generator, free=free)
        return units

    @property
    def _is_sparse(self) -> bool:
        return isinstance(self.config, BoltzmannMachineConfig) and self.config.connectivity == "given"

    def _without_hidden(self, visible: Tensor) -> Tensor:
        """Returns [..., n] with zeros for hidden units: their terms of the energy vanish, in either unit."""
        return F.pad(visible, (0, self.n_hidden))

    def _visible_to_hidden(self) -> Tensor:
        return self.couplings if self.restricted else self.coupling_matrix()[: self.n_visible, self.n_visible :]

    def _log_hidden_sum(self, theta: Tensor) -> Tensor:
        """Returns log Σ_h exp(Σ θ_j h_j + Σ_{j<k} W_jk h_j h_k) of fields [..., n_hidden]."""
        if self.hidden_are_independent:
            return self.log_unit_sum(theta).sum(-1)
        if self.n_hidden > _MOST_COUPLED_HIDDEN:
            raise InputError(
                f"a free energy sums over all states of coupled hidden units, {self.n_hidden} here: possible up to "
                f"{_MOST_COUPLED_HIDDEN}; use contrastive divergence and annealed importance sampling"
            )
        states = self.states(self.n_hidden)
        hidden = self.coupling_matrix()[self.n_visible :, self.n_visible :]
        return torch.logsumexp(theta @ states.T + 0.5 * ((states @ hidden) * states).sum(-1), dim=-1)

    def _update_groups(self, device: torch.device) -> list[UpdateGroup]:
        if device not in self._groups:
            i, j = self.edges.cpu().numpy()
            self._groups[device] = update_groups(i, j, self.n_visible, self.n_units, device)
        return self._groups[device]

    def _fields_of(self, group: UpdateGroup, units: Tensor, dense: Tensor | None) -> Tensor:
        fields, couplings = self.fields.detach()[group.index], self.couplings.detach()
        if dense is not None:
            return units @ dense[:, group.index] + fields
        if self.restricted:
            hidden = int(group.index[0]) >= self.n_visible if len(group.index) else True
            visible_part, hidden_part = units.split([self.n_visible, self.n_hidden], dim=-1)
            return (visible_part @ couplings if hidden else hidden_part @ couplings.T) + fields
        sums = units.new_zeros(*units.shape[:-1], len(group.index))
        return sums.index_add(-1, group.target, couplings[group.edge] * units[..., group.source]) + fields


@register_model("rbm", config=RBMConfig, domain="ising")
class RestrictedBoltzmannMachine(BoltzmannMachine):
    """Visible and hidden units, coupled only with each other: sums over either layer are exact.

    Args:
        config: the shape.
    """

    def __init__(self, config: RBMConfig) -> None:
        super().__init__(config.shape())
        self.config = config


def _require_beta(beta: float) -> None:
    if not 0 < beta < float("inf"):
        raise InputError(f"beta: {beta} is not a positive number")
