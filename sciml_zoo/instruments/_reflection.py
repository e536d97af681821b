"""Reflection of a pulse at the end of a wave network, by the method of images.

==========================================  ====================================================================
equation                                    variable
==========================================  ====================================================================
ĥ_1(k) = ĥ_0(k) exp(−iω(k))                 :func:`travelling`: a Gaussian that runs to the right alone
h(i) = r h_free(i′)                         ``coefficient`` r; i′ = 2n − i (fixed) or 2n − 1 − i, the mirror image of
                                            unit i, and ``image`` h_free in a network of twice the units
==========================================  ====================================================================
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._pulse import CLEAR
from sciml_zoo.instruments._wave_network import WaveNetwork, frequency
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Reflection", "reflection", "travelling"]

_REFLECTED = {"fixed": -1.0, "periodic": 0.0, "free": 1.0}


@dataclass(frozen=True)
class Reflection(Result):
    """A pulse that went to the right end and came back.

    Attributes:
        ends: of the network.
        coefficient: r, by regression of what came back on the mirror image.
        standard_error: of r, from what the regression leaves.
        expected: −1 (fixed), 1 (free) or 0 (periodic: there is no end).
        incoming: the pulse before, [units].
        outgoing: after, [units].
        image: what went beyond the end where there is none, mirrored, [units].
    """

    ends: str
    coefficient: float
    standard_error: float
    expected: float
    incoming: Tensor
    outgoing: Tensor
    image: Tensor

    def plot(self) -> "Figure":
        """Returns the pulse before and after, over r times its mirror image."""
        from sciml_zoo.instruments._wave_figures import draw_reflection, panels

        figure, (axes,) = panels(1)
        draw_reflection(axes, self)
        return figure


def reflection(network: WaveNetwork, *, pulse_width: float = 6.0) -> Reflection:
    """Measures sign and amplitude of a pulse that comes back from the right end.

    The mirror image is that of the same pulse in a periodic network of twice the units.

    Args:
        network: |c| ≤ 1.
        pulse_width: standard deviation of the Gaussian, units.

    Returns:
        The coefficient beside its expected value.

    Raises:
        InputError: |c| > 1, or a pulse too wide for the network.
    """
    speed, units = network.stable_speed(), network.units
    if units < 4 * CLEAR * pulse_width:
        raise InputError(f"a pulse of width {pulse_width:g} in {units} units; expected {4 * CLEAR:g} widths or more")
    wide = WaveNetwork(2 * units, 1, speed, "periodic").to(network.speed)
    free = travelling(wide, units / 2, pulse_width)
    bound = (free[0][:units], free[1][:units])
    incoming = bound[1]
    with torch.no_grad():
        for _ in range(round(0.75 * units / speed)):
            bound = (bound[1], network.step(bound[1], bound[0]))
            free = (free[1], wide.step(free[1], free[0]))
    # The wall stands at unit n (fixed) or half a unit before it.
    mirror = (2 * units if network.ends == "fixed" else 2 * units - 1) - torch.arange(units)
    image, outgoing = free[1][mirror % (2 * units)], bound[1]
    coefficient = (image @ outgoing / (image @ image)).item()
    left = (outgoing - coefficient * image).square().sum() / (image @ image) / (units - 1)
    return Reflection(
        network.ends,
        coefficient,
        math.sqrt(left.item()),
        _REFLECTED[network.ends],
        incoming.cpu(),
        outgoing.cpu(),
        image.cpu(),
    )


def travelling(network: WaveNetwork, start: float, width: float) -> tuple[Tensor, Tensor]:
    """Returns h_0 and h_1 [units] of a Gaussian that runs to the right alone, by the dispersion relation."""
    apart = torch.arange(network.units, dtype=torch.float64) - start
    first = torch.exp(-0.5 * (apart / width).square())
    k = 2 * math.pi * torch.fft.rfftfreq(network.units, dtype=torch.float64)
    turned = torch.fft.rfft(first) * torch.exp(-1j * frequency(k, abs(network.speed.item())))
    return first.to(network.speed), torch.fft.irfft(turned, n=network.units).to(network.speed)
