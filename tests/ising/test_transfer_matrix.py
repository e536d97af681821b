"""The transfer matrix: against enumeration for any couplings and fields, Kaufman's formula, and closed forms."""

import itertools
import math

import numpy as np
import pytest

from sciml_zoo.errors import InputError
from sciml_zoo.ising.exact import enumerate_states
from sciml_zoo.ising.generators import edwards_anderson, square_lattice
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.onsager import CRITICAL_TEMPERATURE, kaufman_energy, kaufman_log_z
from sciml_zoo.ising.transfer_matrix import transfer_matrix

SHAPES = [(4, 4), (3, 5), (5, 3), (2, 5), (5, 2), (1, 6), (6, 1), (2, 2), (3, 3), (1, 1)]


@pytest.mark.parametrize(("shape", "periodic"), list(itertools.product(SHAPES, [True, False])))
def test_any_strip_equals_enumeration(shape, periodic):
    glass = edwards_anderson(shape, periodic=periodic, seed=3)
    model = IsingModel(glass.couplings, np.random.default_rng(4).normal(size=glass.n), 1.3)
    for beta in (0.0, 0.7, 5.0):
        exact, strip = enumerate_states(model, beta), transfer_matrix(model, shape, beta)
        assert strip.log_z == pytest.approx(exact.log_z, rel=1e-12)
        assert strip.energy_mean == pytest.approx(exact.energy_mean, rel=1e-11)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_cylinder_equals_enumeration(axis):
    shape = (4, 5)
    i, j, w = edwards_anderson(shape, seed=1).edges
    difference = np.array(np.unravel_index(j, shape))[axis] - np.array(np.unravel_index(i, shape))[axis]
    kept = np.abs(difference) < 2
    assert 0 < (~kept).sum() < len(kept)
    model = IsingModel.from_coo(i[kept], j[kept], w[kept], 20)
    assert transfer_matrix(model, shape, 0.9).log_z == pytest.approx(enumerate_states(model, 0.9).log_z, rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 2.0, CRITICAL_TEMPERATURE, 3.0, 5.0])
@pytest.mark.parametrize("shape", [(6, 6), (5, 30), (8, 9)])
def test_a_torus_equals_kaufmans_formula(shape, temperature):
    strip = transfer_matrix(square_lattice(*shape), shape, 1 / temperature)
    assert strip.log_z == pytest.approx(kaufman_log_z(*shape, 1 / temperature), rel=1e-12)
    assert strip.energy_mean / math.prod(shape) == pytest.approx(kaufman_energy(*shape, 1 / temperature), rel=1e-11)


def test_a_long_chain_in_a_field_has_its_closed_form():
    n, coupling, field, beta = 3000, 0.8, 0.3, 1.2
    model = IsingModel.from_edges([(k, k + 1, coupling) for k in range(n - 1)] + [(0, n - 1, coupling)])
    model = IsingModel(model.couplings, np.full(n, field))
    k, h = beta * coupling, beta * field
    largest = math.exp(k) * math.cosh(h) + math.sqrt(math.exp(2 * k) * math.sinh(h) ** 2 + math.exp(-2 * k))
    assert transfer_matrix(model, (n, 1), beta).log_z == pytest.approx(n * math.log(largest), rel=1e-12)


def test_a_wide_open_strip_does_not_depend_on_how_it_is_laid():
    model = edwards_anderson((12, 40), periodic=False, seed=2)
    turned = np.arange(480).reshape(12, 40).T.ravel()
    other = IsingModel(model.csr()[turned][:, turned])
    first, second = transfer_matrix(model, (12, 40), 2.0), transfer_matrix(other, (40, 12), 2.0)
    assert first.log_z == pytest.approx(second.log_z, rel=1e-12)
    step = 1e-4
    minus, plus = (transfer_matrix(model, (12, 40), 2.0 + d).log_z for d in (-step, step))
    assert first.energy_mean == pytest.approx(-(plus - minus) / (2 * step), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transfer_matrix(square_lattice(4), (4, 5), 1.0), "20 spins, but the model has 16"),
        (
            lambda: transfer_matrix(IsingModel.from_edges([(0, 5, 1.0)], 9), (3, 3), 1.0),
            "spins 0 and 5 .* no neighbours",
        ),
        (lambda: transfer_matrix(square_lattice(13), (13, 13), 1.0), "around a torus may be 12 spins wide, not 13"),
        (lambda: transfer_matrix(square_lattice(21, periodic=False), (21, 21), 1.0), "may be 20 spins wide"),
        (lambda: transfer_matrix(square_lattice(4), (4, 4), -1.0), "beta is -1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
