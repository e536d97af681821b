"""Standing waves: what frequency every mode of a wave network has.

=========================================================  ============================================================
equation                                                   variable
=========================================================  ============================================================
a_l = ⟨φ_k, h_l⟩                                           ``amplitudes``: h set out as φ_k at rest, h_0 = h_1 = φ_k
4 sin²(ω/2) = −Σ a_l(a_{l+1} − 2a_l + a_{l−1})/Σ a_l²      ``frequencies``, least squares over the layers
sin(ω/2) = c sin(k/2)                                      ``expected``
=========================================================  ============================================================
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sciml_zoo.instruments._wave_network import WaveNetwork, frequency
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["StandingWaves", "standing_waves"]


@dataclass(frozen=True)
class StandingWaves(Result):
    """The modes of a wave network, each set going alone from rest.

    Attributes:
        wavenumbers: k, radians per unit [units].
        frequencies: ω of the amplitude over the layers, radians per layer [units].
        expected: 2 arcsin(c sin(k/2)), radians per layer [units].
        leak: the largest part of any mode that left its shape, over its largest amplitude.
    """

    wavenumbers: Tensor
    frequencies: Tensor
    expected: Tensor
    leak: float

    def plot(self) -> "Figure":
        """Returns ω over k, with the theory of the network and of the wave equation without a lattice."""
        from sciml_zoo.instruments._wave_figures import draw_modes, panels

        figure, (axes,) = panels(1)
        draw_modes(axes, self)
        return figure


def standing_waves(network: WaveNetwork) -> StandingWaves:
    """Measures the frequency of every mode, starting from its shape at rest.

    Args:
        network: |c| ≤ 1.

    Returns:
        Frequencies beside 2 arcsin(c sin(k/2)).

    Raises:
        InputError: |c| > 1.
    """
    speed = network.stable_speed()
    shapes = network.modes().to(network.speed)
    current = previous = shapes
    amplitudes = [torch.ones_like(shapes[:, 0])] * 2
    leak = torch.zeros_like(shapes[:, 0])
    with torch.no_grad():
        for _ in range(network.layers):
            current, previous = network.step(current, previous), current
            amplitudes.append((current * shapes).sum(1))
            strayed = torch.linalg.vector_norm(current - amplitudes[-1][:, None] * shapes, dim=1)
            leak = torch.maximum(leak, strayed)
    a = torch.stack(amplitudes)
    second = a[2:] - 2 * a[1:-1] + a[:-2]
    squared = -(a[1:-1] * second).sum(0) / a[1:-1].square().sum(0) / 4
    frequencies = 2 * torch.asin(squared.clamp(0, 1).sqrt())
    wavenumbers = network.wavenumbers()
    largest = (leak / a.abs().amax(0)).max().item()
    return StandingWaves(wavenumbers, frequencies.cpu(), frequency(wavenumbers, speed), largest)
