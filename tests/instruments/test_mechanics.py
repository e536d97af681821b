"""Mechanics: the books of the energy close, the path is that of SGD with momentum, and a model stays as it was."""

import copy
import json
import math
from collections.abc import Callable

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments import mechanics


class Oscillator(nn.Module):
    """One parameter in a parabola."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.ones(1, dtype=dtype))


def parabola(model: nn.Module) -> Tensor:
    return model.place.square().sum() / 2


def network() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 1))
    x = torch.randn(20, 2)
    return model, lambda each: (each(x) - x.prod(1, keepdim=True)).square().mean()


def test_the_demonstration_balances() -> None:
    result = mechanics.measure()
    assert result.gradients == 2001
    assert result.energy[-1] < 0.01 * result.energy[0]
    assert result.relative_imbalance < 5e-5
    assert result.measured_friction == pytest.approx(result.friction, rel=1e-3)
    assert abs(result.measured_friction - result.friction) < 3 * result.friction_error
    torch.testing.assert_close(result.power, result.friction_power, rtol=0, atol=0.01 * float(result.power.abs().max()))


def test_the_imbalance_is_of_second_order() -> None:
    # η → η/4 halves h, and β → √β halves γh.
    coarse = mechanics.measure(learning_rate=4e-4, momentum=0.99**2, steps=300)
    fine = mechanics.measure(learning_rate=1e-4, momentum=0.99, steps=600)
    ratio = (coarse.imbalance.abs().max() / fine.imbalance.abs().max()).item()
    assert math.log2(ratio) / math.log2(coarse.time_step / fine.time_step) == pytest.approx(2.0, abs=0.05)


def test_without_friction_nothing_is_dissipated_and_energy_stays() -> None:
    result = mechanics.measure(Oscillator(), parabola, learning_rate=0.01, momentum=1.0, steps=2000)
    assert result.friction == 0.0
    assert not result.dissipated.any()
    # Known of the leapfrog: E sinks by at most h²λ²x²/8, where the spring is slack.
    assert result.energy.min().item() == pytest.approx(0.5 * (1 - 0.01 / 4), rel=1e-5)
    assert result.energy.max().item() == pytest.approx(0.5, rel=1e-12)
    assert abs(result.measured_friction) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_damped_oscillator_follows_its_closed_form(dtype: torch.dtype) -> None:
    result = mechanics.measure(Oscillator(dtype), parabola, learning_rate=1e-4, momentum=0.995, steps=400)
    h, friction = result.time_step, result.friction
    assert (h, friction) == pytest.approx((0.01, 0.5), rel=2e-3)
    rate = torch.tensor([[0.0, 1.0], [-1.0, -friction]], dtype=torch.float64)
    exact = torch.stack([torch.linalg.matrix_exp(t * rate)[:, 0] for t in result.time])
    torch.testing.assert_close(result.potential, exact[:, 0].square() / 2, rtol=0, atol=2e-5)
    torch.testing.assert_close(result.kinetic, exact[:, 1].square() / 2, rtol=0, atol=2e-5)
    torch.testing.assert_close(result.dissipated, 0.5 - exact.square().sum(1) / 2, rtol=0, atol=2e-5)


def test_the_losses_are_those_of_sgd_with_momentum() -> None:
    model = network()[0]
    model.double().eval()
    wide = copy.deepcopy(model)
    x = torch.randn(20, 2, dtype=torch.float64)

    def loss(each: nn.Module) -> Tensor:
        return (each(x) - x.prod(1, keepdim=True)).square().mean()

    result = mechanics.measure(model, loss, learning_rate=0.05, momentum=0.9, steps=30)
    sgd = torch.optim.SGD(wide.parameters(), lr=0.05, momentum=0.9)
    loss(wide).backward()
    for parameter in wide.parameters():
        sgd.state[parameter]["momentum_buffer"] = -parameter.grad / 1.8  # so that the first step is half as long
    losses = []
    for _ in range(31):
        sgd.zero_grad()
        value = loss(wide)
        value.backward()
        losses.append(value.item())
        sgd.step()
    assert result.potential.tolist() == pytest.approx(losses, rel=1e-9)


def test_the_model_and_the_random_state_stay_as_they_were() -> None:
    model, loss = network()
    model.eval()
    model[3].train()
    model[0].bias.requires_grad_(False)
    loss(model).backward()
    before = copy.deepcopy(model)
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    state = torch.get_rng_state()

    def noisy(each: nn.Module) -> Tensor:
        return loss(each) + 0 * torch.rand(1).sum()

    result = mechanics.measure(model, noisy, steps=16)
    assert result.potential[-1] < result.potential[0]
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert (parameter.grad is None) if gradient is None else torch.equal(parameter.grad, gradient)


def test_it_draws_and_is_written() -> None:
    result = mechanics.measure(Oscillator(), parabola, steps=20)
    figure = result.plot()
    assert isinstance(figure, Figure)
    figure.savefig("/dev/null", format="png")
    assert [axes.get_xlabel() for axes in figure.axes] == ["time h · step"] * 3
    written = json.loads(json.dumps(result.to_dict()))
    assert len(written["potential"]) == 21
    assert written["friction"] == result.friction


def no_gradient(_model: nn.Module) -> Tensor:
    return torch.ones(())


ELSEWHERE = Oscillator()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": Oscillator()}, "a model and its loss, or neither"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0"),
        ({"momentum": 0.0}, r"momentum is 0\.0"),
        ({"momentum": 1.1}, r"momentum is 1\.1"),
        ({"steps": 3}, "steps is 3"),
        ({"model": Oscillator().requires_grad_(False), "loss": parabola}, "no parameter of the model"),
        ({"model": Oscillator(), "loss": lambda model: model.place.expand(2)}, r"the loss has shape \[2\]"),
        ({"model": Oscillator(), "loss": lambda model: model.place.sum() / 0}, "the loss is inf before training"),
        ({"model": Oscillator(), "loss": no_gradient}, "does not depend on the model"),
        ({"model": Oscillator(), "loss": lambda _: parabola(ELSEWHERE)}, "does not depend on the model"),
        ({"model": Oscillator(), "loss": parabola, "learning_rate": 1e9, "steps": 100}, "the loss diverged at step"),
    ],
)
def test_bad_input_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mechanics.measure(**arguments)
    assert ELSEWHERE.place.grad is None


def test_a_loss_with_dropout_is_refused() -> None:
    model, loss = network()
    with pytest.raises(InputError, match=r"model\.eval\(\)"):
        mechanics.measure(model, loss)
