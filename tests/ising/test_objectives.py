"""Laws of the objectives: what each one's gradient is, and where it vanishes, on distributions known exactly."""

import pytest
import torch

from sciml_zoo.errors import InputError
from sciml_zoo.ising.model import BoltzmannMachine, BoltzmannMachineConfig
from sciml_zoo.ising.objectives import (
    ObjectiveConfig,
    contrastive_divergence,
    exact_likelihood,
    minimum_probability_flow,
    penalty,
    pseudo_likelihood,
    with_hidden,
)
from tests.ising.machines import CASES, every_state, machine, randomised, visible_distribution

DETERMINISTIC = {
    "exact": exact_likelihood,
    "pseudo": pseudo_likelihood,
    "flow": minimum_probability_flow,
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def gradients(loss, m):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [m.couplings, m.fields])])


@every_case
@pytest.mark.parametrize("objective", DETERMINISTIC.values(), ids=DETERMINISTIC)
def test_the_true_machine_is_stationary_and_others_are_not(case, objective):
    m = machine(*case)
    visible, chance = visible_distribution(m)
    at_truth = gradients(objective(m, visible, chance), m)
    assert at_truth.abs().max() < 1e-12
    assert gradients(objective(randomised(m, seed=9), visible, chance), m).abs().max() > 1e-2


@every_case
@pytest.mark.parametrize("objective", DETERMINISTIC.values(), ids=DETERMINISTIC)
def test_gradients_are_numeric_derivatives(case, objective):
    m = machine(*case)
    generator = torch.Generator().manual_seed(2)
    visible = every_state(m, 4)[torch.randint(16, (5,), generator=generator)]
    weights = torch.softmax(torch.randn(5, generator=generator, dtype=torch.float64), 0)

    def loss(couplings, fields):
        return torch.func.functional_call(
            _Loss(m, objective),
            {"m.couplings": couplings, "m.fields": fields},
            (
                visible,
                weights,
            ),
        )

    inputs = tuple(p.detach().clone().requires_grad_() for p in (m.couplings, m.fields))
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-6, atol=1e-7)


class _Loss(torch.nn.Module):
    def __init__(self, m, objective):
        super().__init__()
        self.m, self.objective = m, objective

    def forward(self, visible, weights):
        return self.objective(self.m, visible, weights)


@every_case
def test_exact_likelihood_is_the_cross_entropy(case):
    m = machine(*case)
    visible, chance = visible_distribution(m)
    other = torch.softmax(torch.arange(16, dtype=torch.float64) / 5, 0)
    assert exact_likelihood(m, visible, other).item() == pytest.approx(-(other @ chance.log()).item(), abs=1e-12)


@every_case
def test_contrastive_divergence_with_exact_negatives_has_the_gradient_of_the_likelihood(case):
    m = machine(*case)
    visible, chance = visible_distribution(m)
    data = torch.softmax(torch.arange(16, dtype=torch.float64) / 5, 0)
    hidden = m.random_units(16, torch.Generator().manual_seed(0))[:, 4:]
    units = torch.cat([visible, hidden], 1)  # which hidden states they are must not matter: they are summed out
    estimate = gradients(contrastive_divergence(m, units, data, units, chance), m)
    torch.testing.assert_close(estimate, gradients(exact_likelihood(m, visible, data), m), rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", [CASES["restricted-3-binary"], CASES["full-3-spin"]], ids=["restricted", "full"])
def test_long_contrastive_divergence_is_unbiased(case):
    m = machine(*case, scale=0.3)
    visible, _ = visible_distribution(m)
    weights = torch.full((16,), 1 / 16, dtype=torch.float64)
    generator = torch.Generator().manual_seed(5)
    n = 400
    estimates = []
    for _ in range(n):
        positive = with_hidden(m, visible, generator)
        negative = m.sample(16, 25, generator, start=positive)
        estimates.append(gradients(contrastive_divergence(m, positive, weights, negative, weights), m))
    found = torch.stack(estimates)
    exact = gradients(exact_likelihood(m, visible, weights), m)
    sigma = found.std(0) / n**0.5
    assert ((found.mean(0) - exact).abs() < 4.5 * sigma + 1e-12).all()


@every_case
def test_hidden_units_are_drawn_from_their_conditional(case):
    m = machine(*case)
    visible = every_state(m, 4)[5].expand(20_000, 4)
    units = with_hidden(m, visible, torch.Generator().manual_seed(6))
    assert torch.equal(units[:, :4], visible)
    states = torch.cat([visible[: 2**m.n_hidden], every_state(m, m.n_hidden)], 1)
    mean = torch.softmax(-m.energy(states), 0).detach() @ states
    torch.testing.assert_close(units.mean(0), mean, rtol=0, atol=5 * m.gap / 2 / 20_000**0.5)


@pytest.mark.parametrize("objective", [pseudo_likelihood, minimum_probability_flow], ids=["pseudo", "flow"])
@pytest.mark.parametrize("units", ["spin", "binary"])
def test_known_couplings_are_recovered_from_samples(objective, units):
    """The error of estimates from n samples falls as 1/√n: here four standard errors of the likelihood's own."""
    true = machine("full", 0, units)
    visible, chance = visible_distribution(true)
    n = 200_000
    draws = torch.multinomial(chance, n, replacement=True, generator=torch.Generator().manual_seed(8))
    weights = torch.bincount(draws, minlength=16).double() / n
    fitted = BoltzmannMachine(BoltzmannMachineConfig(4, 0, "full", units))
    optimizer = torch.optim.LBFGS(
        fitted.parameters(), max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = objective(fitted, visible, weights)
        loss.backward()
        return loss

    optimizer.step(closure)
    features = torch.cat([visible[:, true.edges[0]] * visible[:, true.edges[1]], visible], 1)
    centred = features - chance @ features
    fisher = centred.T @ (chance[:, None] * centred)
    sigma = torch.linalg.inv(fisher).diagonal().div(n).sqrt()
    difference = torch.cat([fitted.couplings - true.couplings, fitted.fields - true.fields]).detach()
    assert (difference.abs() < 4 * sigma).all()
    assert (difference.abs() / sigma).max() > 0.1  # not the trivial agreement of copied parameters


def test_penalty_is_its_definition():
    m = machine("restricted", 3, "binary")
    config = ObjectiveConfig(l1=0.3, l2=0.7)
    w = m.couplings.detach()
    assert penalty(m, config).item() == pytest.approx(0.3 * w.abs().sum().item() + 0.7 * (w**2).sum().item())


@pytest.mark.parametrize("wrong", [{"k": 0}, {"chains": 0}, {"l1": -1.0}, {"l2": float("nan")}, {"limit": 0}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ObjectiveConfig(**wrong)
