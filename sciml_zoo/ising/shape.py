"""The shape of a Boltzmann machine: how many units, of which values, and which of them are coupled."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sciml_zoo.errors import InputError

__all__ = ["BoltzmannMachineConfig", "Connectivity", "RBMConfig", "Units", "checked_edges"]

Units = Literal["spin", "binary"]
Connectivity = Literal["full", "restricted", "given"]


@dataclass(frozen=True)
class BoltzmannMachineConfig:
    """Shape of a :class:`BoltzmannMachine`.

    Attributes:
        n_visible: units that data are compared with.
        n_hidden: units that are summed over.
        connectivity: which pairs are coupled: ``full`` all of them, ``restricted`` each visible with each hidden unit,
            ``given`` the ``n_edges`` pairs of the buffer ``edges``.
        units: ``spin`` for ±1, ``binary`` for 0/1.
        n_edges: number of pairs, for ``given`` only.
    """

    n_visible: int = 8
    n_hidden: int = 0
    connectivity: Connectivity = "full"
    units: Units = "spin"
    n_edges: int | None = None

    def __post_init__(self) -> None:
        if self.n_visible < 1:
            raise InputError(f"n_visible must be at least 1, got {self.n_visible}")
        if self.n_hidden < 0 or (self.connectivity == "restricted" and self.n_hidden < 1):
            raise InputError(f"n_hidden must be at least {int(self.n_hidden >= 0)}, got {self.n_hidden}")
        if self.connectivity not in ("full", "restricted", "given"):
            raise InputError(f"connectivity: {self.connectivity!r} is not full, restricted or given")
        if self.units not in ("spin", "binary"):
            raise InputError(f"units: {self.units!r} is not spin or binary")
        pairs = self.n_units * (self.n_units - 1) // 2
        if (self.n_edges is None) == (self.connectivity == "given"):
            raise InputError(f"n_edges: {self.n_edges}, but connectivity is {self.connectivity!r}: it belongs to given")
        if self.n_edges is not None and not 0 <= self.n_edges <= pairs:
            raise InputError(f"n_edges must be between 0 and {pairs} for {self.n_units} units, got {self.n_edges}")

    @property
    def n_units(self) -> int:
        """Visible and hidden units."""
        return self.n_visible + self.n_hidden


@dataclass(frozen=True)
class RBMConfig:
    """Shape of a :class:`RestrictedBoltzmannMachine`.

    Attributes:
        n_visible: units that data are compared with.
        n_hidden: units that are summed over.
        units: ``spin`` for ±1, ``binary`` for 0/1.
    """

    n_visible: int = 64
    n_hidden: int = 64
    units: Units = "binary"

    def __post_init__(self) -> None:
        self.shape()

    def shape(self) -> BoltzmannMachineConfig:
        """Returns the same shape as a Boltzmann machine's."""
        return BoltzmannMachineConfig(self.n_visible, self.n_hidden, "restricted", self.units)


def checked_edges(edges: Tensor, config: BoltzmannMachineConfig) -> Tensor:
    """Checks the pairs of a machine of given connectivity.

    Args:
        edges: [2, m], integers.
        config: the shape.

    Returns:
        The pairs, int64.

    Raises:
        InputError: another number of pairs than the shape says, a pair that is not i < j, or one given twice.
    """
    pairs = edges.to(torch.long)
    if pairs.shape != (2, config.n_edges):
        raise InputError(f"edges have shape {list(edges.shape)}; the config asks for [2, {config.n_edges}]")
    wrong = (pairs[0] < 0) | (pairs[0] >= pairs[1]) | (pairs[1] >= config.n_units)
    if wrong.any():
        k = int(wrong.nonzero()[0])
        raise InputError(f"edge {k}: {pairs[:, k].tolist()} is not a pair 0 ≤ i < j < {config.n_units}")
    if torch.unique(pairs, dim=1).size(1) < pairs.size(1):
        raise InputError("edges: a pair is given twice; add up its couplings")
    return pairs
