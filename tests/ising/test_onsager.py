"""The solved square lattice: Kaufman against her own limit, derivatives, duality, and published numbers."""

import math

import numpy as np
import pytest
from scipy import integrate

from sciml_zoo.errors import InputError
from sciml_zoo.ising.onsager import (
    CRITICAL_TEMPERATURE,
    kaufman_energy,
    kaufman_log_z,
    onsager_energy,
    onsager_free_energy,
    yang_magnetisation,
)

TEMPERATURES = (1.0, 2.0, 2.2, CRITICAL_TEMPERATURE, 2.35, 3.0, 5.0)


def test_published_numbers():
    assert pytest.approx(2.269185314213022, rel=1e-15) == CRITICAL_TEMPERATURE
    assert onsager_energy(2.0) == pytest.approx(-1.745565, abs=5e-7)
    assert onsager_energy(3.0) == pytest.approx(-0.817309, abs=1e-6)
    assert yang_magnetisation(2.0) == pytest.approx(0.911319, abs=5e-7)
    assert onsager_energy(CRITICAL_TEMPERATURE) == pytest.approx(-math.sqrt(2), rel=1e-7)
    catalan = 0.915965594177219015
    critical = -CRITICAL_TEMPERATURE * (math.log(2) / 2 + 2 * catalan / math.pi)
    assert onsager_free_energy(CRITICAL_TEMPERATURE) == pytest.approx(critical, rel=1e-13)


def test_critical_tori_approach_the_limit_as_they_should():
    """Ferdinand and Fisher, Phys. Rev. 185, 832 (1969): u(T_c) = −√2 − 2 θ₂θ₃θ₄/((θ₂ + θ₃ + θ₄) L) + O(1/L³)."""
    theta = [0.0] * 4
    q = math.exp(-math.pi)
    theta[1] = 2 * sum(q ** ((k + 0.5) ** 2) for k in range(6))
    theta[2] = 1 + 2 * sum(q ** (k**2) for k in range(1, 6))
    theta[3] = 1 + 2 * sum((-1) ** k * q ** (k**2) for k in range(1, 6))
    amplitude = theta[1] * theta[2] * theta[3] / (theta[1] + theta[2] + theta[3])
    first = (kaufman_energy(64, 64, 1 / CRITICAL_TEMPERATURE) + math.sqrt(2)) * 64
    second = (kaufman_energy(256, 256, 1 / CRITICAL_TEMPERATURE) + math.sqrt(2)) * 256
    assert first == pytest.approx(-2 * amplitude, rel=2e-4)
    assert second == pytest.approx(-2 * amplitude, rel=2e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", [(4, 4), (3, 8), (64, 64), (1, 6)])
def test_energy_is_the_derivative_of_log_z(shape, temperature):
    beta, step = 1 / temperature, 1e-3
    stencil = [kaufman_log_z(*shape, beta + k * step) for k in (-2, -1, 1, 2)]
    derivative = (stencil[0] - 8 * stencil[1] + 8 * stencil[2] - stencil[3]) / (12 * step)
    # The specific heat's logarithm, rounded off at 64, leaves the stencil this error.
    tolerance = 1e-8 if shape != (64, 64) else 2e-5
    assert kaufman_energy(*shape, beta) == pytest.approx(-derivative / math.prod(shape), abs=tolerance)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_torus_may_be_turned(temperature):
    beta = 1 / temperature
    assert kaufman_log_z(5, 9, beta) == pytest.approx(kaufman_log_z(9, 5, beta), rel=1e-13)
    assert kaufman_energy(40, 64, beta) == pytest.approx(kaufman_energy(64, 40, beta), rel=1e-11)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.0, 5.0])
def test_large_tori_reach_onsagers_limit(temperature):
    size = 512
    assert kaufman_energy(size, size, 1 / temperature) == pytest.approx(onsager_energy(temperature), rel=1e-12)
    free_energy = -temperature * kaufman_log_z(size, size, 1 / temperature) / size**2
    degeneracy = temperature * math.log(2) / size**2 if temperature < CRITICAL_TEMPERATURE else 0.0
    assert free_energy + degeneracy == pytest.approx(onsager_free_energy(temperature), rel=1e-12)


@pytest.mark.parametrize("temperature", [1.5, 2.2, 2.26, 2.28, 2.5, 4.0])
def test_onsager_energy_is_the_derivative_of_his_free_energy(temperature):
    step = 1e-4
    minus, plus = (onsager_free_energy(1 / b) / (1 / b) for b in (1 / temperature - step, 1 / temperature + step))
    assert onsager_energy(temperature) == pytest.approx((plus - minus) / (2 * step), abs=2e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0, CRITICAL_TEMPERATURE, 3.0])
def test_onsager_free_energy_is_his_double_integral(temperature):
    k = 1 / temperature
    c, s = math.cosh(2 * k) ** 2, math.sinh(2 * k)

    def inner(first: float) -> float:
        # The second integral: ∫_0^π ln(a − b cos φ) dφ = π ln((a + √(a² − b²))/2).
        a = c - s * math.cos(first)
        return math.pi * math.log((a + math.sqrt(max(a * a - s * s, 0.0))) / 2)

    integral, _ = integrate.quad(inner, 0, math.pi, epsabs=1e-12)
    expected = -temperature * (math.log(2) + integral / (2 * math.pi**2))
    assert onsager_free_energy(temperature) == pytest.approx(expected, rel=1e-10)


def test_duality_of_kramers_and_wannier():
    for k in (0.1, 0.3, 0.44, 0.6, 1.0):
        dual = -0.5 * math.log(math.tanh(k))
        ours, theirs = (-b * onsager_free_energy(1 / b) for b in (k, dual))
        assert ours - 0.5 * math.log(math.sinh(2 * k)) == pytest.approx(theirs - 0.5 * math.log(math.sinh(2 * dual)))


def test_limits_of_temperature():
    assert kaufman_energy(64, 64, 100.0) == pytest.approx(-2.0)
    assert kaufman_log_z(6, 4, 60.0) == pytest.approx(2 * 24 * 60.0 + math.log(2), rel=1e-15)
    assert kaufman_log_z(6, 4, 1e-6) == pytest.approx(24 * math.log(2), rel=1e-10)
    assert yang_magnetisation(0.1) == 1.0
    assert yang_magnetisation(CRITICAL_TEMPERATURE) == yang_magnetisation(3.0) == 0.0
    just_below = yang_magnetisation(CRITICAL_TEMPERATURE * (1 - 1e-8))
    wider = yang_magnetisation(CRITICAL_TEMPERATURE * (1 - 256e-8))
    assert wider / just_below == pytest.approx(2.0, rel=1e-4)  # exponent 1/8
    assert np.isfinite(onsager_energy(CRITICAL_TEMPERATURE))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kaufman_log_z(0, 4, 1.0), "rows is 0"),
        (lambda: kaufman_energy(4, 2.5, 1.0), "columns is 2.5"),
        (lambda: kaufman_log_z(4, 4, 0.0), "beta is 0"),
        (lambda: kaufman_log_z(4, 4, 500.0), "beta is 500"),
        (lambda: kaufman_log_z(4, 4, math.nan), "beta is nan"),
        (lambda: onsager_energy(0.0), "temperature is 0"),
        (lambda: onsager_free_energy(-1.0), "temperature is -1"),
        (lambda: yang_magnetisation(math.inf), "temperature is inf"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
