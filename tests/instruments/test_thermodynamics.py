"""Thermodynamics: the identities of state functions, exact evidence, and a network whose integrals are known."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from sciml_zoo.errors import InputError
from sciml_zoo.instruments import thermodynamics
from sciml_zoo.instruments.thermodynamics import linear_regression, polynomials

TEMPERATURES = (0.3, 1.0, 3.0)
NAMES = ("energy", "entropy", "free_energy", "heat_capacity")
NOISE = 0.3


@pytest.fixture(scope="module")
def demonstration() -> thermodynamics.ThermodynamicsResult:
    return thermodynamics.measure(temperatures=TEMPERATURES, draws=20)


class Bump(nn.Module):
    """a tanh(w x): two parameters, and two modes ±(a, w)."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.8, dtype=dtype))
        self.w = nn.Parameter(torch.tensor(1.2, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * torch.tanh(self.w * x)


def bump_loss(dtype: torch.dtype = torch.float64):
    x = torch.linspace(-2, 2, 9, dtype=dtype)
    y = torch.tanh(1.5 * x) + 0.3 * torch.cos(7 * x)
    return lambda model: (y - model(x)).square().sum() / (2 * 0.5**2)


def quadrature(temperature: float) -> dict[str, float]:
    """State functions of the bump under N(0, 1) by the trapezoidal rule, which converges exponentially here."""
    grid = np.linspace(-7, 7, 701)
    x = np.linspace(-2, 2, 9)
    y = np.tanh(1.5 * x) + 0.3 * np.cos(7 * x)
    a, w = np.meshgrid(grid, grid, indexing="ij")
    loss = sum((t - a * np.tanh(w * u)) ** 2 for u, t in zip(x, y, strict=True)) / (2 * 0.5**2)
    weight = np.exp(-(a**2 + w**2) / 2 - loss / temperature) / (2 * np.pi) * (grid[1] - grid[0]) ** 2
    z = weight.sum()
    energy = (weight * loss).sum() / z
    variance = (weight * loss**2).sum() / z - energy**2
    free = -temperature * math.log(z)
    entropy = (energy - free) / temperature
    return dict(zip(NAMES, (energy, entropy, free, variance / temperature**2), strict=True))


def test_the_exact_free_energy_is_minus_the_log_evidence():
    _, features, targets = polynomials()
    scale = 0.7
    covariance = NOISE**2 * torch.eye(len(targets)).to(targets) + scale**2 * features @ features.T
    evidence = MultivariateNormal(torch.zeros_like(targets), covariance).log_prob(targets)
    exact = linear_regression(features, targets, noise=NOISE, prior_scale=scale, temperatures=[1.0])
    assert exact.free_energy.item() == pytest.approx(-evidence.item(), abs=1e-10)


def test_exact_state_functions_obey_their_identities():
    _, features, targets = polynomials()
    step = 1e-4
    near = [0.8 - step, 0.8, 0.8 + step]
    exact = linear_regression(features[:, :5], targets, noise=NOISE, prior_scale=2.0, temperatures=near)
    torch.testing.assert_close(exact.free_energy, exact.energy - exact.temperatures * exact.entropy)
    slope = (exact.free_energy[2] - exact.free_energy[0]) / (2 * step)
    assert slope.item() == pytest.approx(-exact.entropy[1].item(), rel=1e-6)
    capacity = (exact.energy[2] - exact.energy[0]) / (2 * step)
    assert capacity.item() == pytest.approx(exact.heat_capacity[1].item(), rel=1e-6)
    cold = linear_regression(features[:, :5], targets, noise=NOISE, prior_scale=2.0, temperatures=[1e-4])
    assert cold.heat_capacity.item() == pytest.approx(5 / 2, rel=1e-4)


def test_the_variational_gaussian_is_exact_for_a_linear_model(demonstration):
    found, exact = demonstration.variational, demonstration.exact
    torch.testing.assert_close(found.free_energy, exact.free_energy, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.entropy, exact.entropy, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.heat_capacity, exact.heat_capacity, atol=0.05, rtol=0)


def test_mean_field_misses_exactly_the_correlations():
    candidates, features, targets = polynomials()
    scale = 1.0
    found = thermodynamics.razor({3: candidates[3]}, prior_scale=scale, covariance="diagonal")
    phi = features[:, :4]
    precision = phi.T @ phi / NOISE**2 + torch.eye(4).to(phi) / scale**2
    gap = (precision.diagonal().log().sum() - precision.logdet()) / 2
    exact = linear_regression(phi, targets, noise=NOISE, prior_scale=scale, temperatures=[1.0]).free_energy
    assert gap > 0.02
    torch.testing.assert_close(found.free_energy, exact + gap, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sampler", ["hamiltonian", "langevin"])
def test_chains_agree_with_the_exact_state_functions(sampler, demonstration):
    candidates, features, _ = polynomials()
    model, loss = candidates[3]
    found = thermodynamics.measure(model, loss, temperatures=TEMPERATURES, draws=20, sampler=sampler, seed=1)
    for name in NAMES:
        error = getattr(found.sampled, f"{name}_error")
        deviation = getattr(found.sampled, name) - getattr(demonstration.exact, name)
        assert (deviation.abs() < 3.5 * error).all(), (name, deviation / error)
        assert (error < 0.15).all() or name in {"energy", "free_energy"}
    phi = features[:, :4]
    precision = phi.T @ phi / NOISE**2 + torch.eye(4).to(phi)
    exact = torch.linalg.inv(precision).diagonal()
    at_one = TEMPERATURES.index(1.0)
    assert ((found.variances[at_one] - exact).abs() < 3 * found.variance_errors[at_one]).all()
    assert (found.variance_effective_size > 500).all()
    relative = found.variance_errors[at_one] / exact
    torch.testing.assert_close(relative, (2 / found.variance_effective_size[at_one]).sqrt(), rtol=0.1, atol=0)


def test_a_network_agrees_with_quadrature_and_the_gaussian_bounds_it_from_above():
    found = thermodynamics.measure(Bump(), bump_loss(), temperatures=(0.3, 1.0, 4.0), draws=20)
    for k, temperature in enumerate((0.3, 1.0, 4.0)):
        exact = quadrature(temperature)
        for name in NAMES:
            error = getattr(found.sampled, f"{name}_error")[k]
            assert abs(getattr(found.sampled, name)[k] - exact[name]) < 3.5 * error, (name, temperature)
        bound = found.variational.free_energy[k] + 3 * found.variational.free_energy_error[k]
        assert bound > exact["free_energy"]
        # One Gaussian holds one of the two modes: T log 2 too high, and little more.
        assert bound < exact["free_energy"] + temperature * (math.log(2) + 0.4)


def test_the_razor_cuts_at_the_degree_of_the_truth(demonstration):
    occam = demonstration.razor
    assert occam.best == 3
    torch.testing.assert_close(occam.free_energy, occam.exact, atol=1e-3, rtol=0)
    torch.testing.assert_close(occam.free_energy, occam.energy + occam.information)
    assert (occam.information.diff() > 0).all()


def test_nothing_of_the_users_changes_and_a_seed_repeats():
    model = Bump(torch.float32)
    model.a.grad = torch.tensor(5.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    random = torch.get_rng_state()
    runs = [
        thermodynamics.measure(model, bump_loss(torch.float32), temperatures=(1.0,), chains=16, draws=4, seed=3)
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert model.a.grad.item() == 5.0
    assert model.w.grad is None
    assert runs[0].sampled.energy == runs[1].sampled.energy
    assert runs[0].gradients == runs[1].gradients > 0


def test_results_can_be_drawn_and_written(demonstration):
    written = json.loads(json.dumps(demonstration.to_dict()))
    assert written["parameters"] == 4
    assert len(demonstration.plot().axes) == 5
    assert len(demonstration.razor.plot().axes) == 1
    assert len(demonstration.sampled.plot().axes) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperatures": ()}, "temperatures"),
        ({"temperatures": (1.0, -1.0)}, "positive"),
        ({"temperatures": (1.0, 1.0)}, "different"),
        ({"prior_scale": 0.0}, "prior_scale"),
        ({"sampler": "gibbs"}, "hamiltonian, langevin"),
        ({"covariance": "low rank"}, "full, diagonal"),
        ({"chains": 4}, "chains"),
        ({"model": Bump()}, "both model and loss"),
    ],
)
def test_bad_settings_say_what_is_right(settings, message):
    with pytest.raises(InputError, match=message):
        thermodynamics.measure(**settings)


def test_a_loss_that_is_not_finite_under_the_prior_is_named():
    # A likelihood with bounded support.
    with pytest.raises(InputError, match="prior_scale"):
        thermodynamics.measure(Bump(), lambda model: -torch.log(2 - model.a), temperatures=(1.0,), prior_scale=3.0)
