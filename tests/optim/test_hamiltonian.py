"""DampedHamiltonian: the laws of mechanics, the exact oscillator, the exact bath, and runs that go on bit for bit."""

import copy
import io
import math
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.optim import DampedHamiltonian, Plasticity

Energy = Callable[[Tensor], Tensor]


def double(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def spring(theta: Tensor) -> Tensor:
    return theta.square().sum() / 2


def pendula(theta: Tensor) -> Tensor:
    """A chain of pendula: nonlinear, and bounded below."""
    return (1 - theta.cos()).sum() + 0.5 * theta.diff().square().sum()


def closure_of(energy: Energy, *parameters: nn.Parameter, counter: list[int] | None = None) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        for parameter in parameters:
            parameter.grad = None
        loss = sum((energy(parameter) for parameter in parameters), torch.zeros((), dtype=parameters[0].dtype))
        loss.backward()
        if counter is not None:
            counter.append(1)
        return loss

    return closure


def reverse(optimizer: DampedHamiltonian) -> None:
    for state in optimizer.state.values():
        state["momentum"].neg_()


# Mechanics without friction.


@pytest.mark.parametrize(("h", "mass"), [(0.1, 1.0), (0.7, 0.5), (1.9, 4.0)])
def test_the_oscillator_is_that_of_the_leapfrog(h: float, mass: float) -> None:
    theta = double(1.0)
    optimizer, angle = DampedHamiltonian([theta], h, mass), math.acos(1 - h**2 / (2 * mass))
    for n in range(1, 200):
        optimizer.step(closure_of(spring, theta))
        assert theta.item() == pytest.approx(math.cos(n * angle), abs=1e-12)
    speed = -math.sin(angle * 199) * math.sin(angle) / h
    assert optimizer.kinetic_energy() == pytest.approx(mass * speed**2 / 2, rel=1e-10)
    assert optimizer.dissipated_energy() == 0.0


def test_time_runs_backward_when_momenta_are_reversed() -> None:
    theta = double(1.0, -2.0, 0.3)
    start, optimizer = theta.detach().clone(), DampedHamiltonian([theta], 0.1)
    for _ in range(2):
        for _ in range(300):
            optimizer.step(closure_of(pendula, theta))
        reverse(optimizer)
    torch.testing.assert_close(theta.detach(), start, rtol=0, atol=1e-11)


def test_a_step_is_symplectic() -> None:
    def advance(point: Tensor) -> Tensor:
        theta = nn.Parameter(point[:2].clone())
        optimizer = DampedHamiltonian([theta], 0.4, mass=0.7)
        optimizer.state[theta]["momentum"] = point[2:].clone()
        for _ in range(3):
            optimizer.step(closure_of(pendula, theta))
        return torch.cat([theta.detach(), optimizer.state[theta]["momentum"]])

    point, nudge = torch.tensor([1.0, -0.4, 0.3, 0.9], dtype=torch.float64), 1e-4 * torch.eye(4, dtype=torch.float64)

    def slope(scale: int) -> Tensor:
        return torch.stack([(advance(point + scale * n) - advance(point - scale * n)) / (2e-4 * scale) for n in nudge])

    jacobian = ((4 * slope(1) - slope(2)) / 3).T
    form = torch.zeros(4, 4, dtype=torch.float64)
    form[:2, 2:], form[2:, :2] = torch.eye(2), -torch.eye(2)
    torch.testing.assert_close(jacobian.T @ form @ jacobian, form, rtol=0, atol=1e-10)


def energy_error(h: float, time: float) -> Tensor:
    theta = double(1.0, -1.2, 0.3, 0.8)
    optimizer, closure = DampedHamiltonian([theta], h), closure_of(pendula, theta)
    start = closure().item()
    return torch.tensor(
        [optimizer.step(closure).item() + optimizer.kinetic_energy() - start for _ in range(round(time / h))],
        dtype=torch.float64,
    )


def test_the_energy_error_is_bounded_without_trend() -> None:
    error = energy_error(0.2, 800.0)
    first, last = error[:2000], error[2000:]
    assert last.abs().max() < 1.1 * first.abs().max()
    assert abs(last.mean() - first.mean()) < 0.02 * error.abs().max()


def test_the_energy_error_is_of_second_order() -> None:
    largest = torch.stack([energy_error(h, 20.0).abs().max() for h in (0.1, 0.05, 0.025)])
    orders = (largest[:-1] / largest[1:]).log2()
    torch.testing.assert_close(orders, torch.full_like(orders, 2.0), rtol=0, atol=0.05)


# Friction.


def test_friction_takes_what_the_energy_loses() -> None:
    theta = double(1.0, -1.2, 0.3)
    optimizer, closure = DampedHamiltonian([theta], 1e-3, friction=0.8), closure_of(pendula, theta)
    start, work = closure().item(), 0.0
    for _ in range(4000):
        before = optimizer.kinetic_energy()
        loss = optimizer.step(closure).item()
        work += 0.8e-3 * (before + optimizer.kinetic_energy())  # ∫ γ‖θ̇‖² dt by the trapezoidal rule, m = 1
    lost = start - loss - optimizer.kinetic_energy()
    assert lost > 0.9 * start
    assert optimizer.dissipated_energy() == pytest.approx(lost, rel=1e-6)
    assert work == pytest.approx(lost, rel=1e-6)


@pytest.mark.parametrize("friction", [0.3, 2.0, 5.0])
def test_a_damped_oscillator_follows_its_closed_form(friction: float) -> None:
    theta = double(1.0)
    optimizer = DampedHamiltonian([theta], 4e-3, friction=friction)
    rate = torch.tensor([[0.0, 1.0], [-1.0, -friction]], dtype=torch.float64)
    for _ in range(750):
        optimizer.step(closure_of(spring, theta))
    place, speed = torch.linalg.matrix_exp(3 * rate)[:, 0].tolist()
    assert theta.item() == pytest.approx(place, abs=2e-5)
    assert optimizer.kinetic_energy() == pytest.approx(speed**2 / 2, abs=2e-5)


def test_a_free_particle_loses_its_momentum_exactly() -> None:
    theta = double(0.0)
    optimizer = DampedHamiltonian([theta], 0.5, mass=2.0, friction=3.0)
    optimizer.state[theta]["momentum"] = torch.ones(1, dtype=torch.float64)
    assert optimizer.kinetic_energy() == 0.25
    for _ in range(4):
        optimizer.step(closure_of(lambda x: 0 * x.sum(), theta))
    assert optimizer.state[theta]["momentum"].item() == pytest.approx(math.exp(-3 * 2 / 2), rel=1e-14)
    assert optimizer.dissipated_energy() == pytest.approx(0.25 - optimizer.kinetic_energy(), rel=1e-14)


@pytest.mark.parametrize("momentum", [0.9, 0.5])
def test_it_is_the_heavy_ball(momentum: float) -> None:
    h, mass = 0.3, 2.0
    ball, theta = double(1.0, -1.0, 0.4), double(1.0, -1.0, 0.4)
    optimizer = DampedHamiltonian([theta], h, mass, friction=-mass * math.log(momentum) / h)
    rate = h**2 * (1 + momentum) / (2 * mass)
    sgd = torch.optim.SGD([ball], lr=rate, momentum=momentum)
    pendula(ball).backward()
    sgd.state[ball]["momentum_buffer"] = -ball.grad / (2 * momentum)  # so that the first step is half as long
    for _ in range(50):
        sgd.zero_grad()
        pendula(ball).backward()
        sgd.step()
        optimizer.step(closure_of(pendula, theta))
        torch.testing.assert_close(theta.detach(), ball.detach(), rtol=0, atol=1e-12)


# Temperature.


def test_langevin_variances_are_exact_at_any_stable_step() -> None:
    stiffness, copies, temperature, h = torch.tensor([0.2, 1.0, 3.0]).double()[:, None], 4000, 0.7, 0.8
    theta = nn.Parameter(torch.zeros(3, copies, dtype=torch.float64))
    optimizer = DampedHamiltonian([theta], h, friction=1.0, temperature=temperature, seed=3)
    for _ in range(60):
        optimizer.step(closure_of(lambda x: (stiffness * x.square()).sum() / 2, theta))
    place = theta.detach().square().mean(1) * stiffness[:, 0] / temperature
    # Known of this order of splitting: places are exact, and momenta cold by h²λ/4m.
    motion = optimizer.state[theta]["momentum"].square().mean(1) / temperature
    expected = 1 - h**2 * stiffness[:, 0] / 4
    sigma = math.sqrt(2 / copies)
    assert (place - 1).abs().max() < 3 * sigma
    assert ((motion / expected) - 1).abs().max() < 3 * sigma


def test_heat_from_the_bath_is_what_the_energy_gains() -> None:
    theta = nn.Parameter(torch.zeros(1000, dtype=torch.float64))
    optimizer = DampedHamiltonian([theta], 0.01, friction=1.0, temperature=0.5)
    closure = closure_of(spring, theta)
    for _ in range(500):
        loss = optimizer.step(closure).item()
    gained = loss + optimizer.kinetic_energy()
    assert gained == pytest.approx(1000 * 0.5, rel=0.2)
    assert -optimizer.dissipated_energy() == pytest.approx(gained, rel=1e-4)


def test_the_seed_makes_the_noise_and_the_global_generator_does_not() -> None:
    def end(seed: int) -> Tensor:
        theta = nn.Parameter(torch.zeros(5))
        optimizer = DampedHamiltonian([theta], 0.1, friction=1.0, temperature=1.0, seed=seed)
        for _ in range(3):
            optimizer.step(closure_of(spring, theta))
        return theta.detach()

    before = torch.get_rng_state()
    one = end(0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(9)
    assert torch.equal(one, end(0))
    assert not torch.equal(one, end(1))


# Gradients.


def test_n_steps_cost_n_plus_one_gradients() -> None:
    theta, counter = double(1.0, 2.0), []
    optimizer = DampedHamiltonian([theta], 0.1)
    for _ in range(10):
        optimizer.step(closure_of(spring, theta, counter=counter))
    assert len(counter) == 11


SETTINGS = [{}, {"friction": 0.6}, {"friction": 0.6, "temperature": 0.3}]


@pytest.mark.parametrize("settings", SETTINGS)
def test_with_and_without_a_closure_the_path_is_the_same(settings: dict) -> None:
    one, other = double(1.0, -2.0, 0.5), double(1.0, -2.0, 0.5)
    with_closure = DampedHamiltonian([one], 0.1, mass=1.5, **settings)
    without = DampedHamiltonian([other], 0.1, mass=1.5, **settings)
    closure = closure_of(pendula, one)
    energies = [(closure().item(), 0.0, 0.0)]
    for step in range(30):
        for optimizer in (with_closure, without):
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        loss = closure_of(pendula, other)().item()
        without.step()
        assert (loss, without.kinetic_energy(), without.dissipated_energy()) == energies[-1]
        loss = with_closure.step(closure).item()
        energies.append((loss, with_closure.kinetic_energy(), with_closure.dissipated_energy()))
        assert torch.equal(one, other)


def test_a_closure_ends_what_steps_without_one_began() -> None:
    one, other = double(1.0, -2.0), double(1.0, -2.0)
    first, second = DampedHamiltonian([one], 0.1, friction=0.2), DampedHamiltonian([other], 0.1, friction=0.2)
    for step in range(12):
        first.step(closure_of(pendula, one))
        if step % 3:
            second.step(closure_of(pendula, other))
        else:
            closure_of(pendula, other)()
            second.step()
        assert torch.equal(one, other)
    assert first.kinetic_energy() == second.kinetic_energy()
    assert first.dissipated_energy() == second.dissipated_energy()


@pytest.mark.parametrize("through_data", [True, False])
def test_moved_parameters_get_a_new_gradient(through_data: bool) -> None:
    theta, counter = double(1.0, 2.0), []
    optimizer, closure = DampedHamiltonian([theta], 0.1), closure_of(pendula, theta, counter=counter)
    for _ in range(3):
        optimizer.step(closure)
    place, momentum = torch.tensor([-0.5, 0.4], dtype=torch.float64), optimizer.state[theta]["momentum"].clone()
    if through_data:
        theta.data.copy_(place)
    else:
        with torch.no_grad():
            theta.copy_(place)
    counter.clear()
    optimizer.step(closure)
    assert len(counter) == 2

    fresh = nn.Parameter(place.clone())
    expected = DampedHamiltonian([fresh], 0.1)
    expected.state[fresh]["momentum"] = momentum
    expected.step(closure_of(pendula, fresh))
    assert torch.equal(theta, fresh)


def test_what_others_do_to_gradients_between_steps_does_not_matter() -> None:
    one, other = double(1.0, -2.0), double(1.0, -2.0)
    first, second = DampedHamiltonian([one], 0.1), DampedHamiltonian([other], 0.1)
    for step in range(6):
        first.step(closure_of(pendula, one))
        second.step(closure_of(pendula, other))
        if step % 2:
            other.grad.zero_()
        else:
            second.zero_grad()
    assert torch.equal(one, other)


def test_a_parameter_without_a_gradient_rests_or_coasts() -> None:
    moving, never = double(1.0), double(1.0)
    optimizer = DampedHamiltonian([moving, never], 0.1, friction=1.0, temperature=0.5)
    optimizer.step(closure_of(spring, moving))
    assert never.item() == 1.0
    assert moving.item() != 1.0

    optimizer = DampedHamiltonian([moving, never], 0.1)
    counter: list[int] = []
    optimizer.step(closure_of(spring, moving, counter=counter))
    place, momentum = moving.item(), optimizer.state[moving]["momentum"].item()
    optimizer.step(closure_of(spring, moving, counter=counter))
    assert len(counter) == 3
    moving.grad = None
    optimizer = DampedHamiltonian([moving], 0.1)
    optimizer.state[moving]["momentum"] = torch.tensor([momentum], dtype=torch.float64)
    place = moving.item()
    optimizer.step()
    assert moving.item() == pytest.approx(place + 0.1 * momentum, abs=1e-15)
    moving.requires_grad_(False)
    place = moving.item()
    optimizer.step()
    assert moving.item() == place


@pytest.mark.parametrize("use_closure", [True, False])
def test_sparse_gradients_are_those_of_a_dense_table(use_closure: bool) -> None:
    tables = [nn.Embedding(5, 3, sparse=sparse, dtype=torch.float64) for sparse in (True, False)]
    tables[1].load_state_dict(tables[0].state_dict())
    for table in tables:
        optimizer = DampedHamiltonian(table.parameters(), 0.2, friction=0.1)

        def closure(table: nn.Embedding = table, optimizer: DampedHamiltonian = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = table(torch.tensor([0, 2, 2])).square().sum()
            loss.backward()
            return loss

        for _ in range(5):
            if not use_closure:
                closure()
            optimizer.step(closure if use_closure else None)
    torch.testing.assert_close(tables[0].weight, tables[1].weight)


def test_groups_have_their_own_constants() -> None:
    settings = [
        {"mass": 1.0, "friction": 0.0},
        {"mass": 4.0, "friction": 0.5},
        {"mass": 1.0, "friction": 0.2, "lr": 0.05},
    ]
    together, apart = [double(1.0, -0.5) for _ in settings], [double(1.0, -0.5) for _ in settings]
    groups = [{"params": [p], **each} for p, each in zip(together, settings, strict=True)]
    joint = DampedHamiltonian(groups[:2], 0.1)
    joint.add_param_group(groups[2])
    alone = [DampedHamiltonian([{"params": [p], **each}], 0.1) for p, each in zip(apart, settings, strict=True)]
    for _ in range(20):
        joint.step(closure_of(pendula, *together))
        for optimizer, parameter in zip(alone, apart, strict=True):
            optimizer.step(closure_of(pendula, parameter))
    assert all(torch.equal(a, b) for a, b in zip(together, apart, strict=True))
    assert joint.kinetic_energy() == pytest.approx(sum(each.kinetic_energy() for each in alone), rel=1e-14)
    assert joint.dissipated_energy() == pytest.approx(sum(each.dissipated_energy() for each in alone), rel=1e-14)


def test_a_group_may_be_empty() -> None:
    theta = double(1.0)
    optimizer = DampedHamiltonian([{"params": []}, {"params": [theta]}], 0.1)
    optimizer.step(closure_of(spring, theta))
    assert theta.item() == pytest.approx(1 - 0.1**2 / 2, rel=1e-14)


# States.


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range, use_closure: bool) -> None:
    """Takes steps on batches that depend on the number of the step alone."""
    for step in steps:
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))

        def closure(x: Tensor = x) -> Tensor:
            optimizer.zero_grad()
            loss = (model(x) - x.sum(1, keepdim=True).sin()).square().mean()
            loss.backward()
            return loss

        if use_closure:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()


def through_file(state: dict) -> dict:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("use_closure", [True, False])
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("through", [through_file, lambda state: state])
def test_a_state_goes_on_bit_for_bit(settings: dict, use_closure: bool, through: Callable) -> None:
    first, second = network(0), network(1)
    one = DampedHamiltonian(first.parameters(), 0.1, **settings, seed=5)
    train(first, one, range(7), use_closure)
    second.load_state_dict(first.state_dict())
    other = DampedHamiltonian(second.parameters(), 0.3)
    other.load_state_dict(through(one.state_dict()))
    train(first, one, range(7, 14), use_closure)
    train(second, other, range(7, 14), use_closure)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert one.kinetic_energy() == other.kinetic_energy()
    assert one.dissipated_energy() == other.dissipated_energy()


@pytest.mark.parametrize("use_closure", [True, False])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copy_with_its_model_goes_on_bit_for_bit(duplicate: Callable, use_closure: bool) -> None:
    first = network(0)
    one = DampedHamiltonian(first.parameters(), 0.1, friction=1.0, temperature=0.1)
    train(first, one, range(3), use_closure)
    second, other = duplicate((first, one))
    train(first, one, range(3, 6), use_closure)
    train(second, other, range(3, 6), use_closure)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert one.dissipated_energy() == other.dissipated_energy()


def test_a_state_loaded_to_other_parameters_gets_a_new_gradient() -> None:
    here, there = double(1.0, 2.0), double(0.2, -0.7)
    one, other = DampedHamiltonian([here], 0.1), DampedHamiltonian([there], 0.1)
    one.step(closure_of(pendula, here))
    counter: list[int] = []
    other.load_state_dict(one.state_dict())
    other.step(closure_of(pendula, there, counter=counter))
    assert len(counter) == 2


def test_the_dissipated_energy_of_float32_keeps_its_digits() -> None:
    theta = nn.Parameter(torch.tensor([1.0, -1.2, 0.3]))
    optimizer, closure = DampedHamiltonian([theta], 5e-3, friction=0.8), closure_of(pendula, theta)
    start = closure().item()
    for _ in range(1500):
        loss = optimizer.step(closure).item()
    assert theta.dtype == torch.float32
    assert optimizer.dissipated_energy() == pytest.approx(start - loss - optimizer.kinetic_energy(), rel=2e-5)
    other = DampedHamiltonian([nn.Parameter(torch.zeros(3))], 5e-3)
    other.load_state_dict(through_file(optimizer.state_dict()))
    assert other.dissipated_energy() == optimizer.dissipated_energy()


def test_plasticity_wraps_it() -> None:
    theta = double(1.0, 1.0)
    plastic = Plasticity(DampedHamiltonian([theta], 0.1))
    plastic.set_rates({theta: torch.tensor([1.0, 0.0])})
    for _ in range(3):
        plastic.step(closure_of(spring, theta))
    assert theta[1].item() == 1.0
    assert theta[0].item() == pytest.approx(math.cos(3 * math.acos(1 - 0.005)), abs=1e-12)


# Bad input.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -0.1}, "group 0: lr is -0.1"),
        ({"lr": math.nan}, "lr is nan"),
        ({"lr": 0.1, "mass": 0.0}, "mass is 0.0; expected a finite number, more than zero"),
        ({"lr": 0.1, "friction": -1.0}, "friction is -1.0"),
        ({"lr": 0.1, "friction": 1.0, "temperature": math.inf}, "temperature is inf"),
        ({"lr": 0.1, "temperature": 1.0}, "set friction > 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DampedHamiltonian([double(1.0)], **settings)


def test_a_bad_group_is_refused_and_not_added() -> None:
    optimizer = DampedHamiltonian([double(1.0)], 0.1)
    with pytest.raises(InputError, match="group 1: mass is -1"):
        optimizer.add_param_group({"params": [double(1.0)], "mass": -1})
    with pytest.raises(InputError, match=r"parameter 0 is torch\.complex64"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1, dtype=torch.complex64))]})
    assert len(optimizer.param_groups) == 1


def test_a_closure_without_backward_is_refused() -> None:
    theta = double(1.0)
    with pytest.raises(InputError, match="call backward"):
        DampedHamiltonian([theta], 0.1).step(lambda: spring(theta))


def test_the_state_of_another_optimizer_is_refused() -> None:
    theta = double(1.0)
    with pytest.raises(InputError, match="state_dict returned"):
        DampedHamiltonian([theta], 0.1).load_state_dict(torch.optim.SGD([theta], 0.1).state_dict())
