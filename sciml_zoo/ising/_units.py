"""The values that the units of a Boltzmann machine take: −1 and 1, or 0 and 1."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml_zoo.ising.shape import BoltzmannMachineConfig, Units

__all__ = ["TwoValuedUnits"]


class TwoValuedUnits(nn.Module):
    """Visible and hidden units, before anything couples them.

    Args:
        shape: their numbers and values.
    """

    fields: Tensor

    def __init__(self, shape: BoltzmannMachineConfig) -> None:
        super().__init__()
        self.n_visible, self.n_hidden, self.n_units = shape.n_visible, shape.n_hidden, shape.n_units
        self.units: Units = shape.units

    @property
    def up(self) -> float:
        """The larger value of a unit: 1."""
        return 1.0

    @property
    def down(self) -> float:
        """The smaller value of a unit: −1 or 0."""
        return -1.0 if self.units == "spin" else 0.0

    @property
    def gap(self) -> float:
        """The difference of a unit's two values."""
        return self.up - self.down

    def from_bits(self, bits: Tensor) -> Tensor:
        """Returns states in this machine's units and dtype, of booleans or of 0/1 [...]."""
        return torch.where(bits.bool(), self.up, self.down).to(self.fields.dtype)

    def states(self, n: int) -> Tensor:
        """Returns all states of n units [2ⁿ, n]."""
        numbers = torch.arange(2**n, device=self.fields.device)
        return self.from_bits((numbers[:, None] >> torch.arange(n, device=numbers.device)) & 1)

    def random_units(self, n_samples: int, generator: torch.Generator) -> Tensor:
        """Returns states [n_samples, n] of fair coins."""
        coins = torch.rand(n_samples, self.n_units, generator=generator, device=self.fields.device)
        return self.from_bits(coins < 0.5)

    def log_unit_sum(self, theta: Tensor) -> Tensor:
        """Returns log Σ_u exp(u θ) of single units with fields θ [...]."""
        # torch takes softplus to be linear above its threshold; at 40 that is exact in float64.
        log_sum = F.softplus(self.gap * theta, threshold=40.0)
        return log_sum - theta if self.units == "spin" else log_sum
