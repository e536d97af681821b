"""Deep linear networks under weight decay: matrices to train, and the exact transitions of their modes.

For L = ½‖Σ − W_n…W₁‖² + (λ/2) Σ‖W‖² each mode of Σ (singular value s) parts from the others: at a minimum the layers
are aligned and balanced (Saxe, McClelland & Ganguli, ICLR 2014), the mode is m = wⁿ with

==================================================  ============================================================
equation                                            here
==================================================  ============================================================
E(w) = ½ (s − wⁿ)² + (n λ/2) w²                      Landau's free energy; w the weight of a mode in every layer
n = 2:  E = ½s² − (s − λ) w² + ½ w⁴                  second order: m = s − λ below λ = s, none above
n = 3:  E = ½s² + (3λ/2) w² − s w³ + ½ w⁶            first order: λ = s w − w⁴, m = w³
dE/dw = d²E/dw² = 0                                  w³ = s/4, λ = ¾ 4^{−1/3} s^{4/3}: there the mode is lost
E(w) = E(0)                                          w³ = s/2, λ = (s/2)^{4/3}: coexistence
−dm/dλ = 1,  and 3w²/(4w³ − s)                       susceptibility of n = 2, and of n = 3
==================================================  ============================================================

With n = 3 the zero state has curvature 3λ > 0 and stays stable for every λ > 0.
"""

import math

import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from sciml_zoo.errors import InputError

__all__ = ["LinearNetwork", "coexistence_strength", "critical_strength", "mode_theory"]


class LinearNetwork(nn.Module):
    """W_n…W₁ with square matrices, in float64.

    Args:
        layers: n.
        width: rows of every matrix.
        scale: of the random start, the deviation of an entry times √width.
        generator: of the random start.
    """

    def __init__(self, layers: int, width: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        start = torch.randn(layers, width, width, generator=generator, dtype=torch.float64)
        self.weights = nn.ParameterList((scale / math.sqrt(width) * start).unbind())

    def forward(self) -> Tensor:
        """Returns the product of all matrices [width, width]."""
        product = self.weights[0]
        for weight in list(self.weights)[1:]:
            product = weight @ product
        return product


def critical_strength(singular_value: float, layers: int) -> float:
    """Returns the λ at which a mode is lost as λ rises.

    Args:
        singular_value: s of the mode.
        layers: 2 or 3.

    Raises:
        InputError: another number of layers.
    """
    _check_layers(layers)
    return singular_value if layers == 2 else 0.75 * 4 ** (-1 / 3) * singular_value ** (4 / 3)


def coexistence_strength(singular_value: float) -> float:
    """Returns the λ at which the mode of three layers and the zero state have the same loss.

    Args:
        singular_value: s of the mode.
    """
    return (singular_value / 2) ** (4 / 3)


def mode_theory(singular_value: float, strength: float, layers: int) -> tuple[float, float]:
    """Returns m and −dm/dλ on the branch of rising λ.

    Args:
        singular_value: s of the mode.
        strength: λ.
        layers: 2 or 3.
    """
    s = singular_value
    if strength >= critical_strength(s, layers):
        return 0.0, 0.0
    if layers == 2:
        return s - strength, 1.0
    w = brentq(lambda w: s * w - w**4 - strength, (s / 4) ** (1 / 3), s ** (1 / 3), xtol=1e-14)
    return w**3, 3 * w**2 / (4 * w**3 - s)


def _check_layers(layers: int) -> None:
    if layers not in (2, 3):
        raise InputError(f"layers is {layers!r}; the transitions of 2 and 3 layers are known exactly")
