"""Phase transitions: every mode of a linear network goes where its Landau energy says."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments import phase


@pytest.fixture(scope="module")
def second_order() -> phase.Sweep:
    return phase.linear_network((2.0, 1.0), 2, width=4, strengths=np.linspace(0.05, 2.4, 12))


@pytest.fixture(scope="module")
def first_order() -> phase.Sweep:
    return phase.linear_network((2.0,), 3, width=4, strengths=np.linspace(0.05, 1.35, 14))


def test_two_layers_lose_every_mode_continuously_at_its_singular_value(second_order):
    for branch in (second_order.rising, second_order.falling):
        assert branch.kinds == ("continuous", "continuous")
        torch.testing.assert_close(branch.critical, torch.tensor([2.0, 1.0]).double(), rtol=0.01, atol=0)
        exact = (torch.tensor([2.0, 1.0]).double() - branch.strengths[:, None]).clamp(min=0)
        torch.testing.assert_close(branch.order, exact, atol=1e-6, rtol=0)
    assert (second_order.hysteresis < 1e-6).all()
    assert math.isnan(second_order.coexistence)


def test_three_layers_jump_and_do_not_return(first_order):
    limit = 0.75 * 4 ** (-1 / 3) * 2.0 ** (4 / 3)
    assert first_order.rising.kinds == ("jump",)
    assert first_order.rising.critical.item() == pytest.approx(limit, rel=0.02)
    # The mode has s/4 left at the limit, and a little more just before.
    assert 0.5 <= first_order.rising.jump.item() < 0.6
    assert first_order.falling.kinds == ("none",)
    assert (first_order.falling.order.abs() < 1e-6).all()
    assert first_order.hysteresis.item() > 1.0
    assert first_order.coexistence == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("layers", [2, 3])
def test_the_susceptibility_is_that_of_the_theory(layers, second_order, first_order):
    swept = {2: second_order, 3: first_order}[layers]
    singular = {2: (2.0, 1.0), 3: (2.0,)}[layers]
    for k, strength in enumerate(swept.rising.strengths.tolist()):
        for mode, s in enumerate(singular):
            _, expected = phase.mode_theory(s, strength, layers)
            assert swept.rising.susceptibility[k, mode].item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("singular_value", [0.5, 1.0, 3.0])
def test_the_theory_is_that_of_landaus_energy(singular_value):
    s = singular_value
    w = np.linspace(0, s ** (1 / 3), 200_001)
    assert phase.critical_strength(s, 3) == pytest.approx((s * w - w**4).max(), rel=1e-9)
    at = phase.coexistence_strength(s)
    ordered = 0.5 * (s - w**3) ** 2 + 1.5 * at * w**2
    assert ordered[len(w) // 2 :].min() == pytest.approx(0.5 * s**2, rel=1e-8)
    m, susceptibility = phase.mode_theory(s, 0.5 * at, 3)
    step = 1e-6
    around = [phase.mode_theory(s, 0.5 * at + sign * step, 3)[0] for sign in (-1, 1)]
    assert susceptibility == pytest.approx((around[0] - around[1]) / (2 * step), rel=1e-5)
    assert s / 4 < m < s


def test_noise_is_forgotten_at_tracy_widoms_strength():
    found = phase.finite_size((6, 12, 24), instances=8)
    x = torch.tensor(found.sizes).double() ** (-2 / 3)
    expected = found.theory_limit + found.theory_slope * x
    assert ((found.critical - expected).abs() < 3.5 * found.critical_error + 0.02).all()
    assert abs(found.limit - 2) < 3 * found.limit_error
    assert found.limit_error < 0.12
    assert found.slope < 0


def users(dtype: torch.dtype) -> tuple[nn.Module, object, float]:
    """Two layers on whitened inputs, which are a matrix factorisation of XᵀY; and its largest singular value."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.linalg.qr(torch.randn(20, 4, generator=generator, dtype=torch.float64))[0]
    targets = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    singular = torch.linalg.svdvals(inputs.T @ targets)[0].item()
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Linear(5, 3, bias=False)).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    inputs, targets = inputs.to(dtype), targets.to(dtype)
    return model, lambda m: (targets - m(inputs)).square().sum() / 2, singular


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_users_network_collapses_at_the_last_singular_value(dtype):
    model, loss, singular = users(dtype)
    before = [p.detach().clone() for p in model.parameters()]
    random = torch.get_rng_state()
    found = phase.measure(model, loss, strengths=np.linspace(0.1, 1.5 * singular, 8))
    (swept,) = found.sweeps
    assert swept.rising.critical.item() == pytest.approx(singular, rel=0.01)
    assert swept.falling.critical.item() == pytest.approx(singular, rel=0.01)
    assert swept.rising.kinds == ("continuous",)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_an_order_parameter_of_the_users_is_followed():
    model, loss, singular = users(torch.float64)
    found = phase.measure(
        model, loss, strengths=(0.1, 0.2, 0.4), order=lambda m: torch.linalg.matrix_norm(m[1].weight @ m[0].weight, 2)
    )
    expected = singular - found.sweeps[0].rising.strengths
    torch.testing.assert_close(found.sweeps[0].rising.order[:, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.sweeps[0].rising.susceptibility[:, 0], torch.ones(3).double(), atol=1e-5, rtol=0)


def product(model):
    return model[2].weight @ model[1].weight @ model[0].weight


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_mode_that_is_gone_at_every_strength_has_no_transition(dtype):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(3))).to(dtype)
    target = torch.tensor([2.0, 1.0], dtype=dtype).diag()

    def sweep(strengths, order):
        (swept,) = phase.measure(
            model, lambda m: (target - product(m)).square().sum() / 2, strengths=strengths, order=order
        ).sweeps
        return swept

    # Only the larger singular value is found from this start.
    both = sweep(np.linspace(0.1, 1.8, 41), lambda m: torch.linalg.svdvals(product(m)))
    assert both.rising.kinds == ("jump", "none")
    assert both.rising.critical[0].item() == pytest.approx(phase.critical_strength(2.0, 3), rel=0.02)
    assert both.rising.critical[1].isnan()
    assert both.rising.order[0, 1] < 1e-6
    assert both.falling.kinds == ("none", "none")
    # Above every transition the start is all that is not noise.
    gone = sweep(np.linspace(2, 4, 9), lambda m: torch.linalg.svdvals(product(m)))
    assert gone.rising.kinds == gone.falling.kinds == ("none", "none")


def test_results_can_be_drawn_and_written(second_order, first_order):
    scaling = phase.finite_size((4, 8), instances=2)
    whole = phase.PhaseResult((second_order, first_order), scaling, 1)
    written = json.loads(json.dumps(whole.to_dict()))
    assert written["sweeps"][0]["coexistence"] is None
    assert written["sweeps"][1]["rising"]["kinds"] == ["jump"]
    assert len(whole.plot().axes) == 5
    assert len(first_order.plot().axes) == 2
    assert len(first_order.rising.plot().axes) == 1
    assert len(scaling.plot().axes) == 1


def test_bad_settings_say_what_is_right():
    model, loss, _ = users(torch.float64)
    for settings, message in (
        ({"strengths": (0.1, 0.3, 0.2)}, "ascending"),
        ({"strengths": (0.1, 0.2)}, "three or more"),
        ({"strengths": (0.0, 0.1, 0.2)}, "positive"),
        ({"strengths": (0.1, 0.2, 0.3), "order": lambda m: m[0].weight}, "scalar or vector"),
    ):
        with pytest.raises(InputError, match=message):
            phase.measure(model, loss, **settings)
    with pytest.raises(InputError, match="both model and loss"):
        phase.measure(model)
    with pytest.raises(InputError, match="linear_network"):
        phase.measure(strengths=(0.1, 0.2, 0.3))
    with pytest.raises(InputError, match="two dimensions"):
        phase.measure(nn.LayerNorm(3), lambda m: m(torch.ones(2, 3)).sum())
    with pytest.raises(InputError, match="layers"):
        phase.linear_network((1.0,), 4)
    with pytest.raises(InputError, match="singular_values"):
        phase.linear_network((1.0, -1.0), 2)
    with pytest.raises(InputError, match="instances"):
        phase.finite_size((8,), instances=2)
