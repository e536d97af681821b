"""Lyapunov exponents of maps that are solved, descent against flow, and basins."""

import json
import math

import pytest
import torch
from torch import nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments import chaos


def quadratic(curvatures):
    generator = torch.Generator().manual_seed(0)
    n = len(curvatures)
    axes = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    hessian = axes @ curvatures.diag() @ axes.T
    return lambda theta: theta @ hessian @ theta / 2


def logistic(theta):
    """Descent at learning rate 1 is 4θ(1 − θ)."""
    return (4 * theta**3 / 3 - 3 * theta**2 / 2).sum()


def double_well(theta):
    return (theta**2 - 1).square().sum() / 4


def factorised(theta):
    return (theta[0] * theta[1] - 1).square() / 2 + 0.05 * theta.square().sum()


def small_network(dtype=torch.float64):
    """Returns a network of 13 weights at a minimum with weight decay, and its loss."""
    generator = torch.Generator().manual_seed(0)
    x = torch.linspace(-1, 1, 32, dtype=torch.float64)[:, None]
    y = torch.sin(3 * x) + 0.1 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    model = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))

    def loss(network):
        decay = sum(p.square().sum() for p in network.parameters())
        weight = next(network.parameters())
        return (network(x.to(weight)) - y.to(weight)).square().mean() + 0.005 * decay

    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=3000, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = loss(model)
        value.backward()
        return value

    optimizer.step(closure)
    optimizer.zero_grad()
    return model.to(dtype), loss


@pytest.fixture(scope="module")
def trained():
    return small_network()


@pytest.mark.parametrize("curvatures", [[0.3], [0.1, 0.5, 0.5, 0.51, 1.3, 1.9]])
def test_quadratic_gives_ln_of_the_multipliers(curvatures):
    curvatures = torch.tensor(curvatures, dtype=torch.float64)
    start = torch.ones(len(curvatures), dtype=torch.float64)
    step = chaos.gradient_descent_map(quadratic(curvatures), 1.0)
    found = chaos.measure(step, start, 200)
    known = (1 - curvatures).abs().log().sort(descending=True).values
    torch.testing.assert_close(found.spectrum, known, atol=1e-10, rtol=0)
    assert found.standard_errors.max() < 1e-10


def test_a_few_exponents_of_many_by_products_alone():
    curvatures = torch.linspace(0.5, 1.0, 40, dtype=torch.float64)
    curvatures[:3] = torch.tensor([2.2, 2.3, 0.05], dtype=torch.float64)
    step = chaos.gradient_descent_map(quadratic(curvatures), 1.0)
    start = torch.zeros(40, dtype=torch.float64)
    found = chaos.measure(step, start, 20, exponents=3, transient=60)
    known = torch.tensor([1.3, 1.2, 0.95], dtype=torch.float64).log()
    torch.testing.assert_close(found.spectrum, known, atol=1e-10, rtol=0)


def test_a_shear_has_the_exponents_of_its_triangle():
    matrix = torch.tensor([[1.5, 4.0], [0.0, 0.2]], dtype=torch.float64)
    found = chaos.measure(lambda x: matrix @ x, torch.zeros(2, dtype=torch.float64), 500)
    known = torch.tensor([1.5, 0.2], dtype=torch.float64).log()
    torch.testing.assert_close(found.spectrum, known, atol=1e-8, rtol=0)


def test_henon_map_contracts_areas_at_its_known_rate():
    def henon(state):
        return torch.stack([1 - 1.4 * state[0] ** 2 + state[1], 0.3 * state[0]])

    found = chaos.measure(henon, torch.tensor([0.1, 0.1], dtype=torch.float64), 3000)
    # Published: 0.4192 (e.g. Sprott, Chaos and Time-Series Analysis, 2003); the sum is ln 0.3 at every step.
    assert found.spectrum[0].item() == pytest.approx(0.4192, abs=max(4 * found.standard_errors[0].item(), 0.01))
    assert found.spectrum.sum().item() == pytest.approx(math.log(0.3), abs=1e-12)


@pytest.mark.parametrize(
    ("loss", "learning_rate", "known"), [(logistic, 1.0, math.log(2)), (double_well, 2.0, math.log(3))]
)
def test_chaotic_descent_that_is_solved(loss, learning_rate, known):
    start = torch.tensor([0.3], dtype=torch.float64)
    found = chaos.measure(chaos.gradient_descent_map(loss, learning_rate), start, 2000)
    assert found.spectrum.item() == pytest.approx(known, rel=0.01)
    assert abs(found.spectrum.item() - known) < 4 * found.standard_errors.item()
    assert found.running[-1].item() == pytest.approx(found.spectrum.item(), rel=1e-12)


def test_the_largest_exponent_changes_sign_at_the_edge_of_stability(trained):
    model, loss = trained
    step, start = chaos.training_map(model, loss, 1.0)
    gradient = start - step(start)
    assert gradient.norm() <= 1e-8
    hessian = torch.autograd.functional.jacobian(lambda theta: theta - step(theta), start)
    eigenvalues = torch.linalg.eigvalsh(hessian)
    assert eigenvalues[0] > 0
    for offset, steps in ((-0.03, 100), (0.03, 100), (-0.003, 300), (0.003, 300)):
        learning_rate = 2 / eigenvalues[-1].item() * (1 + offset)
        found = chaos.measure(*chaos.training_map(model, loss, learning_rate), steps)
        known = (1 - learning_rate * eigenvalues).abs().log().sort(descending=True).values
        assert (found.spectrum[0] > 0) == (offset > 0)
        torch.testing.assert_close(found.spectrum, known, atol=1e-4, rtol=1e-3)


def test_the_model_stays_as_it_was_and_float32_agrees(trained):
    model, loss = trained
    model.train()
    before = [p.clone() for p in model.parameters()]
    state = torch.get_rng_state()
    double = chaos.measure(*chaos.training_map(model, loss, 0.1), 30)
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    single, loss32 = small_network(torch.float32)
    found = chaos.measure(*chaos.training_map(single, loss32, 0.1), 30)
    assert found.end.dtype == torch.float32
    torch.testing.assert_close(found.spectrum, double.spectrum, atol=1e-4, rtol=1e-3)


def test_batch_normalisation_in_training_mode_is_refused_and_in_evaluation_mode_not():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    x = torch.ones(4, 2)

    def loss(network):
        return network(x).square().mean()

    with pytest.raises(InputError, match=r"1 is a BatchNorm1d in training mode.*eval\(\)"):
        chaos.training_map(model, loss, 0.1)
    step, start = chaos.training_map(model.eval(), loss, 0.1)
    assert step(start).shape == start.shape


def test_descent_approaches_the_flow_to_first_and_the_modified_flow_to_second_order():
    start = torch.tensor([1.6, 0.4], dtype=torch.float64)
    rates = (0.02, 0.01)
    plain, modified = [], []
    for rate in rates:
        found = chaos.flow_against_descent(factorised, start, rate, round(1.0 / rate))
        plain.append(found.distance[-1].item())
        modified.append(found.distance_modified[-1].item())
        assert (found.flow.diff() < 0).all()
    assert math.log2(plain[0] / plain[1]) == pytest.approx(1, abs=0.1)
    assert math.log2(modified[0] / modified[1]) == pytest.approx(2, abs=0.15)


def test_flow_on_a_quadratic_is_exponential():
    curvature = 0.7
    found = chaos.flow_against_descent(
        lambda x: curvature * x.square().sum() / 2, torch.ones(1, dtype=torch.float64), 0.1, 20
    )
    torch.testing.assert_close(found.flow, curvature / 2 * torch.exp(-2 * curvature * found.times), atol=1e-8, rtol=0)
    exact = (1 - 0.1 * curvature) ** (2 * torch.arange(21, dtype=torch.float64)) * curvature / 2
    torch.testing.assert_close(found.descent, exact, atol=1e-14, rtol=0)


def test_small_steps_keep_the_sign_of_the_sum():
    found = chaos.basins(
        chaos.gradient_descent_map(factorised, 0.05),
        torch.zeros(2, dtype=torch.float64),
        torch.eye(2, dtype=torch.float64),
        2500,
        extent=1.5,
        resolution=12,
    )
    v, u = torch.meshgrid(found.axis, found.axis, indexing="ij")
    ends = found.rests[found.labels]
    off = (u + v).abs() > 1e-9
    assert torch.equal(ends[..., 0][off].sign(), (u + v)[off].sign())
    both = found.rests[:2].sort(dim=0).values
    torch.testing.assert_close(
        both, torch.full((2, 2), math.sqrt(0.9)).double() * torch.tensor([[-1], [1]]), atol=1e-6, rtol=0
    )
    assert found.unsettled == 0
    assert found.shares.sum().item() == pytest.approx(1)


def test_starts_that_leave_are_unsettled():
    found = chaos.basins(
        chaos.gradient_descent_map(lambda x: x.square().sum() / 2, 2.5),
        torch.ones(2, dtype=torch.float64),
        torch.eye(2, dtype=torch.float64),
        20,
        extent=0.5,
        resolution=4,
    )
    assert found.unsettled == 1
    assert len(found.rests) == 0
    assert json.loads(json.dumps(found.to_dict()))["shares"] == []


def test_demonstration():
    found = chaos.measure()
    assert found.spectrum.item() == pytest.approx(math.log(3), rel=0.01)
    attracts = found.sweep.learning_rates < 0.95
    finite = attracts & found.sweep.exponents.isfinite()
    torch.testing.assert_close(found.sweep.exponents[finite], found.sweep.theory()[finite], atol=2e-3, rtol=0)
    assert found.basins.boundary > 0
    record = json.loads(json.dumps(found.to_dict()))
    assert record["gradients"] == found.gradients > 0
    assert len(found.plot().axes) == 4
    for part in (found.sweep, found.flow, found.basins):
        assert part.plot().axes[0].get_xlabel()


def test_a_spectrum_is_drawn_beside_its_theory():
    curvatures = torch.tensor([0.5, 1.5, 1.0], dtype=torch.float64)
    step = chaos.gradient_descent_map(lambda x: (curvatures * x.square()).sum() / 2, 1.0)
    found = chaos.measure(step, torch.ones(3, dtype=torch.float64), 20, theory=[-0.7, -0.7, -1.0])
    assert found.spectrum[2] == -math.inf
    assert found.to_dict()["spectrum"][2] is None
    assert next(line.get_label() for line in found.plot().axes[1].lines) == "theory"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": None}, "start is None"),
        ({"start": torch.ones(2, 2)}, r"shape \[2, 2\]"),
        ({"start": torch.ones(2, dtype=torch.long)}, "int64"),
        ({"exponents": 3}, "3 exponents of a map of 2"),
        ({"exponents": 0}, "0 exponents"),
        ({"steps": 1}, "at least two steps"),
        ({"blocks": 1}, "at least two steps"),
        ({"transient": -1}, "transient -1"),
        ({"theory": [0.0]}, "theory names 1"),
        ({"step_map": lambda x: x.sum()}, "expected the same shape"),
        ({"step_map": lambda x: 1e30 * x}, "left the finite numbers.*smaller learning rate"),
    ],
)
def test_bad_input(arguments, message):
    settings = {"step_map": lambda x: x / 2, "start": torch.ones(2), "steps": 100} | arguments
    with pytest.raises(InputError, match=message):
        chaos.measure(**settings)


def test_bad_models_planes_and_rates():
    model = nn.Linear(2, 1)
    with pytest.raises(InputError, match="expected a scalar"):
        chaos.training_map(model, lambda network: network(torch.ones(3, 2)), 0.1)
    with pytest.raises(InputError, match="no parameter that requires"):
        chaos.training_map(nn.Tanh(), lambda network: network(torch.ones(())), 0.1)
    with pytest.raises(InputError, match=r"expected a flat tensor \[n\] and \[2, n\]"):
        chaos.basins(lambda x: x, torch.zeros(3), torch.eye(3), 10)
    with pytest.raises(InputError, match="resolution 1"):
        chaos.basins(lambda x: x, torch.zeros(2), torch.eye(2), 10, resolution=1)
    with pytest.raises(InputError, match="learning_rate -1"):
        chaos.flow_against_descent(double_well, torch.ones(1), -1, 10)
    with pytest.raises(InputError, match="flat tensor"):
        chaos.flow_against_descent(double_well, torch.ones(1, 1), 0.1, 10)
    with pytest.raises(InputError, match="take a smaller one"):
        chaos.flow_against_descent(double_well, torch.full((1,), 9.0), 1.0, 20)
    swept = chaos.sweep(double_well, torch.tensor([0.3], dtype=torch.float64), [0.1], 20)
    with pytest.raises(InputError, match="no curvatures"):
        swept.theory()


@pytest.mark.parametrize("units", [2, 12])
def test_losses_that_forward_differentiation_refuses(units):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, units), nn.Tanh(), nn.Linear(units, 1)).double()
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, 1, dtype=torch.float64)
    spectra = [
        chaos.measure(*chaos.training_map(model, loss, 0.05), 20, exponents=2, transient=10).spectrum
        for loss in (lambda m: nn.functional.mse_loss(m(x), y), lambda m: (m(x) - y).square().mean())
    ]
    torch.testing.assert_close(*spectra, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("start", [0.3, [0.3], torch.tensor(0.3, dtype=torch.float64)])
def test_numbers_and_lists_are_starts(start):
    found = chaos.measure(lambda x: 4 * x * (1 - x), start, 4000)
    assert found.spectrum.tolist() == pytest.approx([math.log(2)], abs=0.02)


def test_a_map_with_branches_and_one_with_parameters():
    def tent(x):
        return 1.9999 * x if x[0] < 0.5 else 1.9999 * (1 - x)

    found = chaos.measure(tent, torch.tensor([0.3], dtype=torch.float64), 200)
    assert float(found.spectrum) == pytest.approx(math.log(1.9999), abs=1e-10)
    torch.manual_seed(0)
    layer = chaos.measure(nn.Sequential(nn.Linear(5, 5), nn.Tanh()), torch.randn(5), 100)
    assert not layer.spectrum.requires_grad
    assert layer.plot().axes


def test_a_map_with_gradients_of_its_own_is_differenced():
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, gradient):
            return 2 * gradient

    torch.manual_seed(0)
    model = nn.Linear(3, 1, bias=False).double()
    x = torch.randn(10, 3, dtype=torch.float64)
    rate = 0.05
    spectrum = chaos.measure(
        *chaos.training_map(model, lambda m: Doubled.apply(m(x)).square().mean(), rate), 20
    ).spectrum
    curvatures = torch.linalg.eigvalsh(8 * x.T @ x / 10)
    torch.testing.assert_close(
        spectrum, (1 - rate * curvatures).abs().log().sort(descending=True).values, rtol=1e-6, atol=1e-8
    )
