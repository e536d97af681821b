"""The second-order linear residual network, whose layers are the time steps of the 1-D wave equation.

==========================================  ====================================================================
equation                                    variable
==========================================  ====================================================================
h_{l+1} = 2h_l − h_{l−1} + c²Δh_l           :meth:`WaveNetwork.step`; h ``current`` and ``previous`` [..., units]
(Δh)_i = h_{i−1} − 2h_i + h_{i+1}           ``laplacian``; beyond the ends: 0 (fixed), the other end (periodic), or the
                                            end itself (free)
k_j = πj/(n+1), 2π⌊(j+1)/2⌋/n, πj/n         :meth:`WaveNetwork.wavenumbers`, radians per unit: fixed (j = 1 … n),
                                            periodic, free (both j = 0 … n − 1)
sin(ω/2) = c sin(k/2)                       ``frequency``, radians per layer
dω/dk = c cos(k/2)/√(1 − c² sin²(k/2))      ``group_velocity``, units per layer
σ = 2 arcosh(c sin(k/2))                    :meth:`WaveNetwork.growth_rate`, per layer, where c sin(k/2) > 1
==========================================  ====================================================================

The recurrence is the leapfrog scheme of Courant, Friedrichs and Lewy (Math. Ann. 100, 32, 1928), stable for |c| ≤ 1. Δ
is symmetric, so that the backward pass is the same recurrence from the last layer to the first: G_l = ∂L/∂h_l obeys
G_{l−1} = 2G_l − G_{l+1} + c²ΔG_l + (what the loss takes from h_{l−1} directly).
"""

import math

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError

__all__ = ["ENDS", "WaveNetwork", "frequency", "group_velocity", "laplacian"]

ENDS = ("fixed", "periodic", "free")


def laplacian(states: Tensor, ends: str) -> Tensor:
    """Returns Δ of states [..., units] along the last dimension.

    Args:
        states: h.
        ends: "fixed", "periodic" or "free".
    """
    first, last = states[..., :1], states[..., -1:]
    if ends == "periodic":
        first, last = last, first
    elif ends == "fixed":
        first, last = torch.zeros_like(first), torch.zeros_like(last)
    padded = torch.cat([first, states, last], dim=-1)
    return padded[..., :-2] - 2 * states + padded[..., 2:]


def frequency(wavenumbers: Tensor, speed: float) -> Tensor:
    """Returns ω of waves of these k, radians per layer; |c| ≤ 1.

    Args:
        wavenumbers: k, radians per unit.
        speed: c, units per layer.
    """
    return 2 * torch.asin((speed * torch.sin(wavenumbers / 2)).clamp(-1, 1))


def group_velocity(wavenumbers: Tensor, speed: float) -> Tensor:
    """Returns dω/dk of waves of these k, units per layer; |c| ≤ 1.

    Args:
        wavenumbers: k, radians per unit, not π where |c| is 1.
        speed: c, units per layer.
    """
    return speed * torch.cos(wavenumbers / 2) / torch.sqrt(1 - (speed * torch.sin(wavenumbers / 2)) ** 2)


class WaveNetwork(nn.Module):
    """A residual network of second order whose forward and backward passes are the wave equation.

    Args:
        units: n, 3 or more.
        layers: how often :meth:`step` is applied.
        speed: c, units per layer; above 1 in absolute value signals and gradients grow without bound.
        ends: "fixed" (h = 0 one unit beyond either end), "periodic", or "free".

    Attributes:
        speed: c, a parameter, float64.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> network = WaveNetwork(units=8, layers=4, speed=0.5, ends="periodic")
        >>> network(torch.ones(8), torch.ones(8)).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, units: int = 256, layers: int = 160, speed: float = 0.8, ends: str = "fixed") -> None:
        super().__init__()
        if units < 3 or layers < 1:
            raise InputError(f"{units} units and {layers} layers: expected at least 3 units and 1 layer")
        if not (math.isfinite(speed) and speed != 0):
            raise InputError(f"speed is {speed}; expected a finite number of units per layer that is not zero")
        if ends not in ENDS:
            raise InputError(f"ends is {ends!r}; expected one of {', '.join(ENDS)}")
        self.units, self.layers, self.ends = units, layers, ends
        self.speed = nn.Parameter(torch.tensor(speed, dtype=torch.float64))

    def step(self, current: Tensor, previous: Tensor) -> Tensor:
        """Returns h_{l+1} of h_l and h_{l−1}, all [..., units]."""
        # A parameter without dimensions would be squared in its own precision, not in that of the states.
        return 2 * current - previous + self.speed.to(current).square() * laplacian(current, self.ends)

    def forward(self, current: Tensor, previous: Tensor) -> Tensor:
        """Returns h of the last layer, [..., units].

        Args:
            current: h_1 [..., units].
            previous: h_0 [..., units].
        """
        for _ in range(self.layers):
            current, previous = self.step(current, previous), current
        return current

    def states(self, current: Tensor, previous: Tensor) -> Tensor:
        """Returns h_0, h_1 and h of all layers, [layers + 2, ..., units].

        Args:
            current: h_1 [..., units].
            previous: h_0 [..., units].
        """
        states = [previous, current]
        for _ in range(self.layers):
            states.append(self.step(states[-1], states[-2]))
        return torch.stack(states)

    def wavenumbers(self) -> Tensor:
        """Returns k of all standing waves, radians per unit, float64 [units]."""
        j = torch.arange(self.units, dtype=torch.float64)
        if self.ends == "fixed":
            return math.pi * (j + 1) / (self.units + 1)
        return math.pi * j / self.units if self.ends == "free" else 2 * math.pi * ((j + 1) // 2) / self.units

    def modes(self) -> Tensor:
        """Returns the standing waves that belong to :meth:`wavenumbers`, normalised, float64 [units (of k), units]."""
        k, i = self.wavenumbers()[:, None], torch.arange(self.units, dtype=torch.float64)
        if self.ends == "fixed":
            shapes = torch.sin(k * (i + 1))
        elif self.ends == "free":
            shapes = torch.cos(k * (i + 0.5))
        else:
            # Pairs of the same k: cosine (odd j and j = 0) and sine.
            shapes = torch.cos(k * i)
            shapes[2::2] = torch.sin(k[2::2] * i)
        return shapes / torch.linalg.vector_norm(shapes, dim=1, keepdim=True)

    def growth_rate(self) -> float:
        """Returns by what log|h| of the fastest growing wave rises in a layer; 0 for |c| ≤ 1."""
        excess = abs(self.speed.item()) * torch.sin(self.wavenumbers() / 2).max().item()
        return 2 * math.acosh(excess) if excess > 1 else 0.0

    def stable_speed(self) -> float:
        """Returns |c|.

        Raises:
            InputError: the network is not stable.
        """
        speed = abs(self.speed.item())
        if not 0 < speed <= 1:
            raise InputError(
                f"speed is {self.speed.item():g} units per layer; the wave equation on layers is stable for 0 < |c| ≤ 1"
            )
        return speed
