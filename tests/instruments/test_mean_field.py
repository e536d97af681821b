"""Mean-field theory: closed forms, published critical points, and sums against adaptive quadrature."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments.mean_field import (
    ACTIVATIONS,
    correlation_map,
    critical_initialisation,
    critical_point,
    fluctuation,
    length_map,
    moments,
    theory,
)

VARIANCES = (1e-3, 0.3, 1.0, 4.0, 30.0)


def expectation(function, variance: float) -> float:
    """E[f(√q z)] by adaptive quadrature."""

    def integrand(z: float) -> float:
        h = torch.tensor(math.sqrt(variance) * z, dtype=torch.float64)
        return float(function(h)) * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    ends = (-12.0, -1.0, 0.0, 1.0, 12.0)
    return sum(integrate.quad(integrand, a, b, epsabs=1e-13)[0] for a, b in itertools.pairwise(ends))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_moments_agree_with_adaptive_quadrature(name: str) -> None:
    phi = ACTIVATIONS[name]
    slope = torch.func.grad(phi)
    for variance in (0.3, 3.0):
        here = moments(name, variance)
        assert here.square == pytest.approx(expectation(lambda h: phi(h) ** 2, variance), rel=1e-9)
        assert here.derivative == pytest.approx(expectation(lambda h: slope(h) ** 2, variance), rel=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_derivatives_with_respect_to_the_variance(name: str) -> None:
    q, step = 0.7, 1e-5
    above, below, here = moments(name, q + step), moments(name, q - step), moments(name, q)
    assert here.slope == pytest.approx((above.square - below.square) / (2 * step), rel=1e-7)
    assert here.derivative_slope == pytest.approx(
        (above.derivative - below.derivative) / (2 * step), rel=1e-6, abs=1e-9
    )


@pytest.mark.parametrize("variance", VARIANCES)
def test_closed_forms_of_erf_relu_and_gto(variance: float) -> None:
    q = variance
    # Williams (1997) for erf; ½ for ReLU; ∫x² e^{−x²} for the orbital.
    assert moments("erf", q).square == pytest.approx(2 / math.pi * math.asin(2 * q / (1 + 2 * q)), rel=1e-10)
    assert moments("erf", q).derivative == pytest.approx(4 / math.pi / math.sqrt(1 + 4 * q), rel=1e-10)
    assert moments("relu", q).square == pytest.approx(q / 2, rel=1e-11)
    assert moments("relu", q).derivative == pytest.approx(0.5, rel=1e-11)
    assert moments("gto", q).square == pytest.approx(q / (1 + 2 * q) ** 1.5, rel=1e-9)


def test_correlation_map_of_relu_is_the_arc_cosine_kernel() -> None:
    c = np.array([-1.0, -0.6, 0.0, 0.3, 0.9, 0.999, 1.0])
    found, slope = correlation_map("relu", c, 1.7, 2.0, 0.0)
    np.testing.assert_allclose(found, (np.sqrt(1 - c**2) + c * (np.pi - np.arccos(c))) / np.pi, atol=1e-11)
    np.testing.assert_allclose(slope, 1 - np.arccos(c) / np.pi, atol=1e-11)


def test_correlation_map_of_erf_is_the_arc_sine_kernel() -> None:
    c, q = np.linspace(-1, 1, 9), 2.0
    found, _ = correlation_map("erf", c, q, 3.0, 0.1)
    product = 2 / np.pi * np.arcsin(2 * q * c / (1 + 2 * q))
    expected = (3 * product + 0.1) / (3 * product[-1] + 0.1)
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "weight_variance", "bias_variance"),
    [("relu", 2.0, 0.0), ("tanh", 1.0, 0.0), ("erf", math.pi / 4, 0.0), ("gto", 1.0, 0.0), ("linear", 1.0, 0.0)],
)
def test_critical_weights_without_biases(name: str, weight_variance: float, bias_variance: float) -> None:
    assert critical_initialisation(name, bias_variance) == pytest.approx(weight_variance, rel=1e-10)
    assert theory(name, weight_variance, bias_variance).phase == "critical"


@pytest.mark.parametrize(
    ("name", "weight_variance", "bias_variance", "low", "high"),
    [("gelu", 1.98305, 0.17292, 2.0, 6.0), ("silu", 1.98800, 0.55514, 5.0, 30.0)],
)
def test_half_stable_critical_points_are_the_published_ones(name, weight_variance, bias_variance, low, high) -> None:
    """Roberts, Yaida & Hanin, The Principles of Deep Learning Theory (2022), §5.3.4: V′ = χ = 1."""
    from scipy import optimize

    def excess(q: float) -> float:
        return moments(name, q).slope / moments(name, q).derivative - 1

    q = optimize.brentq(excess, low, high)
    here = moments(name, q)
    assert 1 / here.derivative == pytest.approx(weight_variance, abs=1e-5)
    assert q - here.square / here.derivative == pytest.approx(bias_variance, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "bias_variance"), [("tanh", 0.05), ("erf", 0.3), ("gto", 0.1), ("gelu", 0.2), ("silu", 0.6)]
)
def test_critical_weights_make_chi_one_at_a_fixed_point(name: str, bias_variance: float) -> None:
    weight_variance = critical_initialisation(name, bias_variance)
    found = theory(name, weight_variance, bias_variance)
    assert found.multiplier == pytest.approx(1, abs=1e-10)
    assert length_map(name, [found.variance], weight_variance, bias_variance)[0] == pytest.approx(found.variance)
    assert found.variance_slope < 1
    assert (found.phase, found.correlation) == ("critical", 1.0)
    assert theory(name, 0.9 * weight_variance, bias_variance).phase == "ordered"
    assert theory(name, 1.1 * weight_variance, bias_variance).phase == "chaotic"


def test_iterated_maps_relax_over_the_depth_scales() -> None:
    found = theory("tanh", 2.5, 0.05)
    q, c = [1.2 * found.variance], [found.correlation + 0.01]
    for _ in range(15):
        q.append(length_map("tanh", q[-1:], 2.5, 0.05)[0])
        c.append(correlation_map("tanh", c[-1:], found.variance, 2.5, 0.05)[0][0])
    assert math.log((q[9] - found.variance) / (q[8] - found.variance)) == pytest.approx(
        -1 / found.variance_depth, rel=1e-3
    )
    away = np.array(c) - found.correlation
    assert math.log(away[15] / away[14]) == pytest.approx(-1 / found.correlation_depth, rel=1e-2)
    assert 0 < found.correlation < 1 < found.multiplier


def test_variances_that_vanish_or_diverge() -> None:
    assert theory("relu", 1.5, 0.0).variance == 0.0
    assert theory("relu", 1.5, 0.0).multiplier == pytest.approx(0.75)
    assert theory("relu", 2.5, 0.0).variance == math.inf
    assert theory("relu", 2.5, 0.0).multiplier == pytest.approx(1.25)
    assert theory("relu", 1.5, 0.1).variance == pytest.approx(0.1 / 0.25)
    assert theory("tanh", 0.5, 0.0).variance == 0.0
    assert theory("relu", 2.0, 0.0, start=3.0).variance == 3.0


def test_the_users_own_activation_is_treated_alike() -> None:
    own, module, named = (theory(f, 1.8, 0.1) for f in (lambda x: x * torch.sigmoid(x), nn.SiLU(), "silu"))
    assert own.multiplier == pytest.approx(named.multiplier, rel=1e-12)
    assert module.variance == pytest.approx(named.variance, rel=1e-12)
    leaky = nn.LeakyReLU(0.2)
    assert critical_initialisation(leaky) == pytest.approx(2 / (1 + 0.2**2))
    assert theory(nn.PReLU(), 1.0, 0.0).multiplier == pytest.approx((1 + 0.25**2) / 2)


def test_fluctuation_of_relu_is_that_of_hanin_and_nica() -> None:
    widths = [100, 50, 200, 400]
    found = fluctuation("relu", [1.0] * 4, [2.0] * 4, widths)
    np.testing.assert_allclose(found**2, [5 / 100 + 5 / 50 + 5 / 200, 5 / 50 + 5 / 200, 5 / 200, 0.0], rtol=1e-10)


def test_fluctuation_of_a_linear_network_is_that_of_chi_squared() -> None:
    found = fluctuation("linear", [1.0] * 6, [1.0] * 6, [100] * 6)
    np.testing.assert_allclose(found**2, 2 / 100 * np.arange(5, -1, -1), atol=1e-12)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="did you mean 'tanh'"):
        theory("tan", 1.0, 0.0)
    with pytest.raises(InputError, match="weight_variance is 0"):
        theory("tanh", 0.0, 0.0)
    with pytest.raises(InputError, match="bias_variance is -1"):
        critical_initialisation("tanh", -1.0)
    with pytest.raises(InputError, match="no stable critical point"):
        critical_initialisation("relu", 0.1)
    with pytest.raises(InputError, match="no stable critical point"):
        critical_initialisation("gelu", 0.0)
    with pytest.raises(InputError, match="not elementwise"):
        theory(lambda x: x.sum(), 1.0, 0.0)
    with pytest.raises(InputError, match="expected a name or a function"):
        theory(3.0, 1.0, 0.0)
    with pytest.raises(InputError, match="any bias_variance"):
        critical_point(lambda x: torch.relu(x) + 1)
    with pytest.raises(InputError, match="variance is"):
        moments("tanh", math.nan)
    with pytest.raises(InputError, match="start is"):
        theory("tanh", 1.0, 0.0, start=0.0)


def test_theory_draws_and_becomes_json() -> None:
    found = theory("relu", 2.5, 0.0)
    left, right = found.plot().axes
    assert "length map" in left.get_title()
    assert "χ = 1.25" in right.figure.get_suptitle()
    assert json.loads(json.dumps(found.to_dict()))["variance"] is None
