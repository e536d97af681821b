"""MassTensorNewton: exact on quadratics, bounded by its trust region, and never uphill."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.optim.newton import MassTensorNewton


def quadratic(condition: float, n: int = 12, seed: int = 0) -> tuple[nn.Parameter, Tensor]:
    """A start at distance 1 from the minimum, and a Hessian of eigenvalues 1 … 1/κ."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator))
    curvatures = torch.logspace(0, -torch.tensor(condition).log10().item(), n, dtype=torch.float64)
    start = torch.randn(n, dtype=torch.float64, generator=generator)
    return nn.Parameter(start / start.norm()), (basis * curvatures) @ basis.T


def half(hessian: Tensor, theta: Tensor) -> Tensor:
    return 0.5 * theta @ hessian @ theta


def rosenbrock(theta: Tensor) -> Tensor:
    return (1 - theta[0]) ** 2 + 100 * (theta[1] - theta[0] ** 2) ** 2


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e6])
def test_one_step_solves_a_quadratic_whatever_its_condition(condition):
    theta, hessian = quadratic(condition)
    optimizer = MassTensorNewton([theta], radius=10.0, tolerance=1e-13, max_iterations=200)
    loss = optimizer.step(lambda: half(hessian, theta))
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert loss > 0
    assert not loss.requires_grad
    assert theta.norm() < 1e-6


@pytest.mark.parametrize("lr", [0.1, 0.5])
def test_all_modes_shrink_alike(lr):
    theta, hessian = quadratic(1e4)
    start = theta.detach().clone()
    optimizer = MassTensorNewton([theta], lr=lr, radius=10.0, tolerance=1e-13, max_iterations=200)
    for _ in range(3):
        optimizer.step(lambda: half(hessian, theta))
    torch.testing.assert_close(theta.detach(), (1 - lr) ** 3 * start, rtol=1e-6, atol=1e-8)


def test_damping_is_added_to_every_curvature():
    theta, hessian = quadratic(1e2)
    start = theta.detach().clone()
    optimizer = MassTensorNewton([theta], damping=0.3, radius=10.0, tolerance=1e-13, max_iterations=200)
    optimizer.step(lambda: half(hessian, theta))
    step = torch.linalg.solve(hessian + 0.3 * torch.eye(12, dtype=torch.float64), hessian @ start)
    torch.testing.assert_close(theta.detach(), start - step, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_no_step_is_longer_than_the_radius(sign):
    theta, hessian = quadratic(1e2)
    start = theta.detach().clone()
    optimizer = MassTensorNewton([theta], radius=0.1)
    losses = [optimizer.step(lambda: sign * half(hessian, theta)).item()]
    assert (theta - start).norm().item() == pytest.approx(0.1)
    assert sign * half(hessian, theta).item() < losses[0]
    assert optimizer.state[theta]["radius"] == pytest.approx(0.2)  # the quadratic was right, and the region too small


def test_the_first_step_beyond_the_radius_is_along_the_gradient():
    theta, hessian = quadratic(1e2)
    start, gradient = theta.detach().clone(), hessian @ theta.detach()
    MassTensorNewton([theta], radius=1e-3).step(lambda: half(hessian, theta))
    torch.testing.assert_close(theta.detach(), start - 1e-3 * gradient / gradient.norm())


def test_the_loss_never_rises_in_a_curved_valley():
    theta = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
    optimizer = MassTensorNewton([theta])
    losses = [optimizer.step(lambda: rosenbrock(theta)).item() for _ in range(40)]
    assert all(after <= before for before, after in itertools.pairwise(losses))
    torch.testing.assert_close(theta.detach(), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-8)


def test_it_leaves_a_saddle():
    theta = nn.Parameter(torch.tensor([0.5, 1e-3], dtype=torch.float64))
    optimizer = MassTensorNewton([theta])
    for _ in range(15):
        optimizer.step(lambda: 0.5 * theta[0] ** 2 - 0.5 * theta[1] ** 2 + 0.25 * theta[1] ** 4)
    torch.testing.assert_close(theta.detach().abs(), torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-8)


def test_a_step_uphill_is_not_taken_and_the_radius_shrinks():
    theta = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    optimizer = MassTensorNewton([theta], radius=100.0)
    optimizer.step(lambda: theta.square().add(1).log().sum())  # beyond 1 it is concave: the step goes to the radius
    assert theta.item() == 3.0
    assert optimizer.state[theta]["radius"] == pytest.approx(25.0)
    for _ in range(20):
        optimizer.step(lambda: theta.square().add(1).log().sum())
    assert abs(theta.item()) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_trains_a_network_and_reads_no_gradients(dtype):
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    model[2].bias.requires_grad_(False)
    x = torch.linspace(-1, 1, 30, dtype=dtype)[:, None]
    optimizer = MassTensorNewton(model.parameters(), damping=1e-6)
    losses = [optimizer.step(lambda: (model(x) - (3 * x).sin()).square().mean()).item() for _ in range(40)]
    assert losses[-1] < 1e-3 * losses[0]
    assert all(p.grad is None for p in model.parameters())


def test_a_linear_loss_is_followed_to_the_radius():
    theta = nn.Parameter(torch.zeros(2))
    optimizer = MassTensorNewton([theta], radius=0.5)
    optimizer.step(lambda: theta @ torch.tensor([3.0, 4.0]))
    torch.testing.assert_close(theta.detach(), torch.tensor([-0.3, -0.4]))


def test_at_a_minimum_it_stays():
    theta, hessian = quadratic(10.0)
    with torch.no_grad():
        theta.zero_()
    MassTensorNewton([theta]).step(lambda: half(hessian, theta))
    assert torch.equal(theta.detach(), torch.zeros(12, dtype=torch.float64))


def test_a_state_goes_on_bit_for_bit():
    thetas = [nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64)) for _ in range(2)]
    first, second = (MassTensorNewton([theta], radius=0.1) for theta in thetas)
    for _ in range(7):
        first.step(lambda: rosenbrock(thetas[0]))
    with torch.no_grad():
        thetas[1].copy_(thetas[0])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(5):
        first.step(lambda: rosenbrock(thetas[0]))
        second.step(lambda: rosenbrock(thetas[1]))
    assert torch.equal(thetas[0], thetas[1])
    assert first.state_dict()["state"] == second.state_dict()["state"]


def test_schedules_set_the_part_of_the_step():
    theta, hessian = quadratic(10.0)
    optimizer = MassTensorNewton([theta], lr=0.5, radius=10.0, tolerance=1e-12)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    for expected in (0.5, 0.5 * 0.75):
        optimizer.step(lambda: half(hessian, theta))
        schedule.step()
        assert theta.norm().item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, "lr is 0"),
        ({"lr": 1.5}, "lr is 1.5"),
        ({"damping": -1.0}, "damping is -1"),
        ({"radius": 0.0}, "radius 0"),
        ({"radius": float("inf")}, "radius inf"),
        ({"tolerance": 1.0}, "tolerance is 1"),
        ({"max_iterations": 0}, "max_iterations 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        MassTensorNewton([nn.Parameter(torch.ones(1))], **settings)


def test_bad_closures_are_named():
    theta = nn.Parameter(torch.ones(2))
    optimizer = MassTensorNewton([theta])

    def with_backward() -> Tensor:
        loss = theta.square().exp().sum()
        loss.backward()
        return loss

    for closure, message in (
        (None, "needs a closure"),
        (lambda: theta.square(), "a scalar tensor"),
        (lambda: theta.detach().sum(), "with its graph"),
        (lambda: (theta * torch.nan).sum(), "the loss is nan"),
        (with_backward, r"called backward\(\)"),
    ):
        with pytest.raises(InputError, match=message):
            optimizer.step(closure)
    assert torch.equal(theta.detach(), torch.ones(2))
    with pytest.raises(InputError, match="2 parameter groups"):
        MassTensorNewton([{"params": [theta]}, {"params": [nn.Parameter(torch.ones(1))]}])
