"""Plasticity: exact at its ends, and a factor of the change and not of the gradient."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sciml_zoo.optim import Muon, Plasticity

OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
    "muon": lambda p: Muon([{"params": p[:1], "orthogonal": True}, {"params": p[1:]}], lr=0.1, weight_decay=0.1),
}


@pytest.fixture(params=OPTIMIZERS)
def optimizer(request: pytest.FixtureRequest) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    return OPTIMIZERS[request.param]


def weights() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 4), (3,))]


def run(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, steps: range, scale: float = 1.0) -> None:
    """Takes steps with gradients that depend on the number of the step alone."""
    for step in steps:
        generator = torch.Generator().manual_seed(100 + step)
        optimizer.zero_grad(set_to_none=True)
        for parameter in parameters:
            parameter.grad = scale * torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def assert_same(one: list[nn.Parameter], other: list[nn.Parameter]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("as_tensor", [True, False])
def test_rate_one_is_the_wrapped_optimizer_bit_for_bit(optimizer, as_tensor: bool) -> None:
    plain, wrapped = weights(), weights()
    plastic = Plasticity(optimizer(wrapped))
    assert isinstance(plastic, torch.optim.Optimizer)
    plastic.set_rates({p: torch.ones_like(p) if as_tensor else 1.0 for p in wrapped})
    run(plain, optimizer(plain), range(20))
    run(wrapped, plastic, range(20))
    assert_same(plain, wrapped)


def test_rate_zero_freezes_in_spite_of_weight_decay(optimizer) -> None:
    parameters = weights()
    plastic = Plasticity(optimizer(parameters))
    mask = torch.tensor([[0.0], [1.0], [0.0]]).expand(3, 4)
    plastic.set_rates({parameters[0]: mask, parameters[1]: 0.0})
    run(parameters, plastic, range(10))
    changed = parameters[0] != weights()[0]
    assert torch.equal(changed, mask > 0)
    assert torch.equal(parameters[1], weights()[1])


def test_a_rate_scales_the_change_of_a_step(optimizer) -> None:
    plain, wrapped = weights(), weights()
    rates = [torch.rand(p.shape, generator=torch.Generator().manual_seed(i)) * 2 for i, p in enumerate(plain)]
    plastic = Plasticity(optimizer(wrapped))
    plastic.set_rates(dict(zip(wrapped, rates, strict=True)))
    run(plain, optimizer(plain), range(1))
    run(wrapped, plastic, range(1))
    for start, one, other, rate in zip(weights(), plain, wrapped, rates, strict=True):
        torch.testing.assert_close((other - start).detach(), (rate * (one - start)).detach())


def test_adam_cancels_a_factor_of_the_gradient_but_not_one_of_the_change() -> None:
    plain, of_gradient, of_change = weights(), weights(), weights()
    options = {"lr": 0.01, "eps": 1e-12}
    plastic = Plasticity(torch.optim.Adam(of_change, **options))
    plastic.set_rates(dict.fromkeys(of_change, 0.25))
    run(plain, torch.optim.Adam(plain, **options), range(20))
    run(of_gradient, torch.optim.Adam(of_gradient, **options), range(20), scale=0.25)
    run(of_change, plastic, range(20))
    for start, one, two, three in zip(weights(), plain, of_gradient, of_change, strict=True):
        torch.testing.assert_close(two, one)
        torch.testing.assert_close((three - start).detach(), 0.25 * (one - start).detach(), rtol=1e-4, atol=1e-6)


def test_a_state_goes_on_bit_for_bit(optimizer) -> None:
    first, second = weights(), weights()
    one, other = Plasticity(optimizer(first)), Plasticity(optimizer(second))
    one.set_rates({first[0]: torch.rand(3, 4), first[1]: 0.5})
    one.param_groups[0]["lr"] = 0.03
    run(first, one, range(5))
    with torch.no_grad():
        for a, b in zip(first, second, strict=True):
            b.copy_(a)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert other.param_groups is other.optimizer.param_groups
    assert other.param_groups[0]["lr"] == 0.03
    run(first, one, range(5, 10))
    run(second, other, range(5, 10))
    assert_same(first, second)


def test_the_state_of_the_wrapped_optimizer_alone_has_no_rates(optimizer) -> None:
    plain, wrapped = weights(), weights()
    one, other = optimizer(plain), Plasticity(optimizer(wrapped))
    run(plain, one, range(3))
    run(wrapped, other, range(3))
    other.set_rates(dict.fromkeys(wrapped, 0.5))
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    run(plain, one, range(3, 6))
    run(wrapped, other, range(3, 6))
    assert_same(plain, wrapped)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copy_with_its_parameters_goes_on_bit_for_bit(optimizer, duplicate: Callable) -> None:
    first = weights()
    one = Plasticity(optimizer(first))
    one.set_rates({first[0]: torch.rand(3, 4), first[1]: 0.5})
    run(first, one, range(3))
    second, other = duplicate((first, one))
    run(first, one, range(3, 6))
    run(second, other, range(3, 6))
    assert_same(first, second)


@pytest.mark.parametrize("of_the_wrapped", [True, False])
def test_schedules_work_on_either(optimizer, of_the_wrapped: bool) -> None:
    plain, wrapped = weights(), weights()
    one = optimizer(plain)
    other = Plasticity(optimizer(wrapped))
    schedules = [
        torch.optim.lr_scheduler.StepLR(o, step_size=2, gamma=0.5)
        for o in (one, other.optimizer if of_the_wrapped else other)
    ]
    for step in range(6):
        run(plain, one, range(step, step + 1))
        run(wrapped, other, range(step, step + 1))
        for schedule in schedules:
            schedule.step()
    assert other.param_groups[0]["lr"] == one.param_groups[0]["lr"] == pytest.approx(0.1 / 8)
    assert_same(plain, wrapped)


def test_groups_can_be_added() -> None:
    first, second = weights()
    plastic = Plasticity(torch.optim.SGD([first], lr=0.1))
    plastic.add_param_group({"params": [second], "lr": 1.0})
    plastic.set_rates({second: 0.5})
    run([first, second], plastic, range(1))
    expected = weights()
    run(expected, torch.optim.SGD([{"params": expected[:1]}, {"params": expected[1:], "lr": 0.5}], lr=0.1), range(1))
    torch.testing.assert_close([first, second], expected)


def test_closures_are_for_the_wrapped_optimizer() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    plastic = Plasticity(torch.optim.LBFGS([weight], lr=1.0, max_iter=20))
    plastic.set_rates({weight: 0.5})

    def closure() -> Tensor:
        plastic.zero_grad()
        loss = (weight - 3).square().sum()
        loss.backward()
        return loss

    assert plastic.step(closure).item() == 4 + 25
    torch.testing.assert_close(weight.detach(), torch.tensor([2.0, 0.5]))  # half of the way to the minimum


def test_rates_are_copied_and_replaced() -> None:
    first, second = weights()
    plastic = Plasticity(torch.optim.SGD([first, second], lr=0.1))
    rate = torch.zeros(3, 4)
    plastic.set_rates({first: rate, second: 0.0})
    rate.fill_(1.0)
    run([first, second], plastic, range(1))
    assert_same([first, second], weights())
    plastic.set_rates({first: 0.0})
    run([first, second], plastic, range(1))
    assert torch.equal(first, weights()[0])
    assert not torch.equal(second, weights()[1])


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (-0.5, "rate -0.5 is not finite"),
        (float("nan"), "rate nan is not finite"),
        (torch.tensor([1.0, float("inf"), 1.0]), "rate inf is not finite"),
        (torch.tensor([1.0, -0.25, 1.0]), "rate -0.25 is not finite"),
        (torch.ones(4), r"the rate is \[4\], the parameter \[3\]"),
        (torch.ones(1), r"the rate is \[1\], the parameter \[3\]"),
    ],
)
def test_a_bad_rate_names_its_parameter_and_changes_nothing(rate: Tensor | float, message: str) -> None:
    first, second = weights()
    plastic = Plasticity(torch.optim.SGD([first, second], lr=0.1))
    plastic.set_rates({second: 0.0})
    with pytest.raises(ValueError, match=f"parameter 1 of group 0: {message}"):
        plastic.set_rates({first: 0.5, second: rate})
    run([first, second], plastic, range(1))
    assert torch.equal(second, weights()[1])
    named = Plasticity(torch.optim.SGD([("blocks.0.weight", first), ("blocks.0.bias", second)], lr=0.1))
    with pytest.raises(ValueError, match=f"blocks.0.bias: {message}"):
        named.set_rates({second: rate})


def test_a_foreign_parameter_is_an_error() -> None:
    first, second = weights()
    with pytest.raises(ValueError, match=r"shape \[3\] is not one of this optimizer"):
        Plasticity(torch.optim.SGD([first], lr=0.1)).set_rates({second: 1.0})
