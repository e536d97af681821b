"""The GTO activation against its formula, and its derivatives where formulas usually break."""

import math

import pytest
import torch
from e3nn import o3
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.potentials.gto import GTOActivation, SolidHarmonics, smooth_cutoff

L_MAX = 4


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_solid_harmonics_are_those_of_e3nn():
    vectors = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    expected = o3.spherical_harmonics(list(range(L_MAX + 1)), vectors, normalize=False, normalization="component")
    torch.testing.assert_close(SolidHarmonics(L_MAX)(vectors), expected, rtol=1e-12, atol=1e-12)


@given(scale=st.floats(1e-6, 1e3), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_solid_harmonics_have_norm_r_to_the_l(scale, seed):
    vectors = scale * torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    values = SolidHarmonics(3)(vectors)
    for degree in range(4):
        norm = values[:, degree**2 : (degree + 1) ** 2].square().sum(1)
        torch.testing.assert_close(norm, (2 * degree + 1) * vectors.norm(dim=1) ** (2 * degree), rtol=1e-10, atol=0)


def _one_pair(distance: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(distance), dtype=torch.long)


def test_primitives_equal_their_formula():
    gto = GTOActivation(n_elements=1, l_max=3, n_radial=6, cutoff=5.0)
    r = torch.linspace(0.01, 4.9, 200)
    value = gto.primitives(r.square(), _one_pair(r))
    n = 2 * gto.powers
    alpha = gto.log_exponents.exp()[0]
    normalisation = (2 * math.e * alpha / n) ** (n / 2)  # 1 / max of r^n exp(−α r²)
    r = r[:, None]
    torch.testing.assert_close(value, normalisation * r**n * torch.exp(-alpha * r.square()), rtol=1e-10, atol=1e-200)


def test_primitives_peak_at_one_where_the_design_says():
    gto = GTOActivation(n_elements=1, l_max=2, n_radial=5, cutoff=5.0, r_min=0.7)
    peaks = torch.linspace(0.7, 0.92 * 5.0, 5)
    for p, peak in enumerate(peaks):
        r = peak * torch.tensor([0.999, 1.0, 1.001])
        value = gto.primitives(r.square(), _one_pair(r))[:, p].detach()
        assert value[1] == pytest.approx(1.0, abs=1e-12)
        assert value[0] < value[1] > value[2]
    torch.testing.assert_close(gto.per_degree, peaks ** -torch.arange(3.0)[:, None], rtol=1e-12, atol=0)


def test_every_pair_has_its_own_exponents_and_the_cutoff_is_in_the_result():
    gto = GTOActivation(n_elements=2, l_max=2, n_radial=5, cutoff=5.0)
    torch.nn.init.normal_(gto.exponents.tables, std=0.3)
    vectors, pair = torch.randn(8, 3), torch.arange(8) % 4
    g, harmonics = gto(vectors, pair)
    squared = vectors.square().sum(1)
    for e in range(8):
        expected = gto.primitives(squared[e : e + 1], pair[e : e + 1])[0] * smooth_cutoff(squared[e], 5.0)
        torch.testing.assert_close(g[e], expected, rtol=1e-10, atol=1e-12)
    assert harmonics.shape == (8, 9)


def test_bessel_functions_and_cosine_cutoff_are_those_of_the_literature():
    gto = GTOActivation(n_elements=1, l_max=1, n_radial=4, cutoff=5.0, radial="bessel", cutoff_function="cosine")
    r = torch.linspace(0.5, 6.0, 40)
    g, harmonics = gto(r[:, None] * torch.tensor([0.0, 0.6, 0.8]), _one_pair(r))
    n = torch.arange(1, 5)
    expected = (2 / 5) ** 0.5 * torch.sin(n * math.pi * r[:, None] / 5) / r[:, None]
    expected = expected * (0.5 * (1 + torch.cos(math.pi * r / 5)) * (r < 5))[:, None]
    torch.testing.assert_close(g, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(harmonics[:, 1:].norm(dim=1), torch.full((40,), 3**0.5), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_alpha", [-12.0, -3.0, 0.0, 3.0, 9.0])
@pytest.mark.parametrize("distance", [0.0, 1e-20, 1e-8, 1e-3, 1.0, 4.99, 4.9999999, 5.0, 5.0000001, 50.0])
def test_first_and_second_derivatives_are_finite_at_the_extremes(dtype, log_alpha, distance):
    gto = GTOActivation(n_elements=1, l_max=3, n_radial=10, cutoff=5.0).to(dtype)
    gto.initial.fill_(log_alpha)
    vector = torch.tensor([[0.6, 0.0, 0.8]], dtype=dtype) * distance
    vector.requires_grad_()
    g, harmonics = gto(vector, torch.zeros(1, dtype=torch.long))
    value = (g.sum() * harmonics).sum()
    (first,) = torch.autograd.grad(value, vector, create_graph=True)
    second = torch.autograd.grad(first.sum(), [vector, gto.exponents.tables], allow_unused=True)
    assert value.isfinite()
    assert first.isfinite().all()
    assert all(s is None or s.isfinite().all() for s in second)


def _derivatives(function, x: float, order: int) -> list[float]:
    x = torch.tensor(x, requires_grad=True)
    values = [function(x)]
    for _ in range(order):
        values.append(torch.autograd.grad(values[-1], x, create_graph=True)[0])
    return [value.item() for value in values]


def test_all_derivatives_of_the_cutoff_vanish_at_the_cutoff():
    function = lambda x: smooth_cutoff(x**2, 5.0)  # noqa: E731
    assert _derivatives(function, 0.0, 1) == [1.0, 0.0]
    for distance in (4.999, 4.99, 5.0, 5.001):
        assert max(map(abs, _derivatives(function, distance, 4))) < 1e-12
    # A cosine cutoff would have a second derivative of order one here.
    assert abs(_derivatives(function, 3.0, 2)[2]) > 1e-3
