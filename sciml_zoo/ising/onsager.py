"""The square lattice without a field, solved: Kaufman's torus, Onsager's limit, Yang's magnetisation.

For J = k_B = 1 and K = β (Kaufman, Phys. Rev. 76, 1232, 1949; Onsager, Phys. Rev. 65, 117, 1944; Yang, Phys. Rev. 85,
808, 1952), on a torus of m rows and n columns:

    Z = ½ (2 sinh 2K)^{mn/2} (Y₁ + Y₂ + Y₃ + Y₄)
    Y₁ = Π 2 cosh(m γ_{2r+1}/2)    Y₂ = Π 2 sinh(m γ_{2r+1}/2)    Y₃ = Π 2 cosh(m γ_{2r}/2)    Y₄ = Π 2 sinh(m γ_{2r}/2)
    cosh γ_l = cosh 2K coth 2K − cos(π l/n),    γ_0 = 2K + ln tanh K

| symbol | here |
|---|---|
| K | ``beta`` |
| m, n | ``rows``, ``columns`` |
| γ_l, dγ_l/dK | ``gamma``, ``slope`` |
| sinh 2K | ``s`` |

Each product runs over r = 0 … n − 1. γ_0 changes sign at T_c, where Y₄ = 0; all others are positive.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, special

from sciml_zoo.errors import InputError

__all__ = [
    "CRITICAL_TEMPERATURE",
    "kaufman_energy",
    "kaufman_log_z",
    "onsager_energy",
    "onsager_free_energy",
    "yang_magnetisation",
]

#: T_c = 2/ln(1 + √2), in units of J/k_B.
CRITICAL_TEMPERATURE = 2.0 / math.log1p(math.sqrt(2.0))
# Beyond these, sinh² 2K or its inverse is no float64; K = 20 is zero temperature to the last digit already.
_SMALLEST, _LARGEST = 1e-100, 170.0


def kaufman_log_z(rows: int, columns: int, beta: float) -> float:
    """Returns log Z of the ferromagnet (J = 1) on a torus; an axis of length 2 has two bonds between neighbours.

    Args:
        rows: m, 1 or more.
        columns: n, 1 or more.
        beta: K = J/k_B T, positive.

    Raises:
        InputError: β is outside 1e-100 … 170, or a length is not a positive whole number.
    """
    return _kaufman(rows, columns, beta)[0]


def kaufman_energy(rows: int, columns: int, beta: float) -> float:
    """Returns the mean energy per spin −∂ log Z/∂K/(m n) of the ferromagnet (J = 1) on a torus.

    Args:
        rows: m, 1 or more.
        columns: n, 1 or more.
        beta: K = J/k_B T, positive.

    Raises:
        InputError: β is outside 1e-100 … 170, or a length is not a positive whole number.
    """
    return -_kaufman(rows, columns, beta)[1] / (rows * columns)


def _kaufman(rows: int, columns: int, beta: float) -> tuple[float, float]:
    """Returns log Z and its derivative with respect to K."""
    for name, length in (("rows", rows), ("columns", columns)):
        if not isinstance(length, (int, np.integer)) or length < 1:
            raise InputError(f"{name} is {length!r}; expected a whole number, 1 or more")
    _require_coupling("beta", beta, beta)
    m, n, s = int(rows), int(columns), math.sinh(2 * beta)
    coth = 1.0 / math.tanh(2 * beta)
    angle = np.pi * np.arange(1, 2 * n) / n
    # cosh γ − 1, without the cancellation that cosh 2K coth 2K − cos would have near T_c.
    excess = (s - 1) ** 2 / s + 2 * np.sin(angle / 2) ** 2
    sinh_gamma = np.sqrt(excess * (excess + 2))
    gamma = np.log1p(excess + sinh_gamma)
    slope = 2 * math.cosh(2 * beta) * (1 - 1 / s**2) / sinh_gamma
    gamma_0, slope_0 = 2 * beta + math.log(math.tanh(beta)), 2 + 2 / s

    odd, even = slice(0, None, 2), slice(1, None, 2)  # γ_1 stands first
    log_y1, slope_y1 = _log_product(m, gamma[odd], slope[odd], 1)
    log_y2, slope_y2 = _log_product(m, gamma[odd], slope[odd], -1)
    log_y3, slope_y3 = _log_product(m, gamma[even], slope[even], 1)
    log_y4, slope_y4 = _log_product(m, gamma[even], slope[even], -1)
    # The factors of γ_0, over e^{m|γ_0|/2}, stay outside the logarithm: that of Y₄ may be zero or negative.
    half, decay = m * abs(gamma_0) / 2, math.exp(-m * abs(gamma_0))
    cosh_0, sinh_0 = 1 + decay, math.copysign(1 - decay, gamma_0)
    logs = np.array([log_y1, log_y2, log_y3 + half, log_y4 + half])
    factors = np.array([1.0, 1.0, cosh_0, sinh_0])
    change = m / 2 * slope_0
    slopes = np.array([slope_y1, slope_y2, slope_y3 * cosh_0 + change * sinh_0, slope_y4 * sinh_0 + change * cosh_0])
    highest = logs.max()
    shares = np.exp(logs - highest)
    total = float(shares @ factors)
    log_two_sinh = 2 * beta + math.log1p(-math.exp(-4 * beta))
    log_z = -math.log(2) + m * n / 2 * log_two_sinh + highest + math.log(total)
    return float(log_z), float(m * n * coth + (shares @ slopes) / total)


def _log_product(m: int, gamma: NDArray[np.float64], slope: NDArray[np.float64], sign: int) -> tuple[float, float]:
    """Returns log Π (e^{mγ/2} ± e^{−mγ/2}) and its derivative; γ > 0."""
    decay = np.exp(-m * gamma)
    ratio = (1 - decay) / (1 + decay) if sign > 0 else (1 + decay) / -np.expm1(-m * gamma)
    return float(np.sum(m * gamma / 2 + np.log1p(sign * decay))), float(np.sum(m / 2 * slope * ratio))


def onsager_energy(temperature: float) -> float:
    """Returns the mean energy per spin of the infinite square lattice, J = k_B = 1.

    u = −coth 2K [1 + (2/π)(2 tanh² 2K − 1) 𝒦(k)], k = 2 sinh 2K/cosh² 2K.

    Args:
        temperature: T, positive.

    Raises:
        InputError: 1/T is outside 1e-100 … 170.
    """
    _require_coupling("temperature", temperature, 1 / temperature if temperature else math.inf)
    s = math.sinh(2 / temperature)
    coth = math.sqrt(1 + 1 / s**2)
    complement = ((1 - s**2) / (1 + s**2)) ** 2  # 1 − k²
    if complement == 0.0:
        return -coth  # 𝒦 diverges slower than its factor vanishes
    return -coth * (1 + 2 / math.pi * ((s**2 - 1) / (1 + s**2)) * float(special.ellipkm1(complement)))


def onsager_free_energy(temperature: float) -> float:
    """Returns the free energy per spin f = −T lim log Z/N of the infinite square lattice, J = k_B = 1.

    log Z/N = ln(2 cosh 2K) + (1/π) ∫_0^{π/2} ln ½(1 + √(1 − k² sin² θ)) dθ.

    Args:
        temperature: T, positive.

    Raises:
        InputError: 1/T is outside 1e-100 … 170.
    """
    _require_coupling("temperature", temperature, 1 / temperature if temperature else math.inf)
    s = math.sinh(2 / temperature)
    k_squared = (2 * s / (1 + s**2)) ** 2
    complement = ((1 - s**2) / (1 + s**2)) ** 2
    # θ is measured from π/2, where the integrand bends near T_c.
    integral, _ = integrate.quad(
        lambda angle: math.log((1 + math.sqrt(complement + k_squared * math.sin(angle) ** 2)) / 2),
        0.0,
        math.pi / 2,
        epsabs=1e-14,
        epsrel=1e-13,
        limit=200,
    )
    log_two_cosh = 2 / temperature + math.log1p(math.exp(-4 / temperature))
    return -temperature * (log_two_cosh + integral / math.pi)


def yang_magnetisation(temperature: float) -> float:
    """Returns the spontaneous magnetisation per spin of the infinite square lattice: (1 − sinh⁻⁴ 2K)^{1/8} below T_c.

    Args:
        temperature: T, positive.

    Raises:
        InputError: 1/T is outside 1e-100 … 170.
    """
    _require_coupling("temperature", temperature, 1 / temperature if temperature else math.inf)
    if temperature >= CRITICAL_TEMPERATURE:
        return 0.0
    return float(-math.expm1(-4 * math.log(math.sinh(2 / temperature)))) ** 0.125


def _require_coupling(name: str, value: float, coupling: float) -> None:
    if not _SMALLEST <= coupling <= _LARGEST:
        raise InputError(f"{name} is {value}; expected J/k_B T between {_SMALLEST:g} and {_LARGEST:g}")
