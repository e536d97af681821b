"""Curvature: exact against dense Hessians, whatever the loss is made of; and what it says of gradient descent."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments import curvature
from sciml_zoo.instruments._hessian_products import METHODS, HessianProducts

ACTIVATIONS = (nn.Tanh, nn.GELU, nn.SiLU, nn.ReLU, nn.Softplus)


def network(seed: int, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, curvature.LinearMap]:
    """A network of at most 2000 parameters with its loss, other sizes and activations with every seed."""
    generator = torch.Generator().manual_seed(seed)
    inputs, width, outputs = 2 + seed % 4, 4 + 2 * (seed % 5), 1 + seed % 3
    activation = ACTIVATIONS[seed % 5]
    model = nn.Sequential(
        nn.Linear(inputs, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, outputs)
    ).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator))
    x = torch.randn(30, inputs, generator=generator).to(dtype)
    if seed % 2:
        y = torch.randn(30, outputs, generator=generator).to(dtype)
        return model, lambda m: (m(x) - y).square().mean()
    labels = torch.randint(outputs, (30,), generator=generator)
    return (
        model,
        lambda m: nn.functional.cross_entropy(m(x), labels) + 1e-2 * sum(p.square().sum() for p in m.parameters()),
    )


def dense_eigenvalues(model: nn.Module, loss) -> np.ndarray:
    """All eigenvalues by torch.func.hessian, smallest first."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    class Scored(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Tensor:
            return loss(self.model)

    scored = Scored()

    def of_flat(vector: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in shapes.values()])
        named = {f"model.{n}": part.reshape(s) for (n, s), part in zip(shapes.items(), parts, strict=True)}
        return torch.func.functional_call(scored, named, ())

    return torch.linalg.eigvalsh(torch.func.hessian(of_flat)(flat)).numpy()


@pytest.mark.parametrize("seed", range(20))
def test_extremes_are_those_of_the_dense_hessian(seed):
    model, loss = network(seed)
    expected = dense_eigenvalues(model, loss)
    assert len(expected) <= 2000
    found = curvature.measure(model, loss, top=4, bottom=3, density=False, seed=seed)
    scale = np.abs(expected).max()
    assert found.converged
    np.testing.assert_allclose(found.top, expected[::-1][:4], rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(found.bottom, expected[:3], rtol=0, atol=1e-6 * scale)
    errors = np.abs(np.append(found.top - expected[::-1][:4], found.bottom - expected[:3]))
    assert (errors <= np.append(found.top_errors, found.bottom_errors) + 1e-13 * scale).all()


def test_float32_is_as_good_as_its_rounding():
    model, loss = network(1)
    single, single_loss = network(1, torch.float32)
    expected = dense_eigenvalues(model, loss)
    found = curvature.measure(single, single_loss, top=2, bottom=1, density=False)
    np.testing.assert_allclose(found.top, expected[::-1][:2], rtol=0, atol=3e-6 * expected[-1])
    assert found.converged


def test_every_copy_of_a_multiple_eigenvalue_is_found():
    # Outputs of a linear layer do not meet: every eigenvalue of XᵀX/30 comes four times.
    x = torch.randn(30, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer = nn.Linear(60, 4, bias=False).double()
    found = curvature.measure(layer, lambda m: m(x).square().sum() / 60, top=9, bottom=3, density=False)
    single = torch.linalg.eigvalsh(x.T @ x / 30).flip(0)
    np.testing.assert_allclose(found.top, single[:3].repeat_interleave(4)[:9].numpy(), rtol=1e-9)
    np.testing.assert_allclose(found.bottom, 0.0, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_smallest_matrices_have_all_their_eigenvalues(n):
    diagonal = torch.arange(1.0, n + 1, dtype=torch.float64)
    found = curvature.measure(torch.diag(diagonal), top=3, bottom=3)
    values = np.concatenate([found.top, found.bottom[::-1]])
    np.testing.assert_allclose(values, diagonal.flip(0).numpy(), rtol=1e-12)
    assert found.trace == pytest.approx(n * (n + 1) / 2)


def test_density_and_trace_agree_with_all_eigenvalues():
    model, loss = network(3)
    found = curvature.measure(model, loss, exact=True, probes=16)
    np.testing.assert_allclose(found.exact, dense_eigenvalues(model, loss), atol=1e-12)
    assert abs(found.trace - found.exact.sum()) < 3 * found.trace_error
    grid = found.density_grid
    assert np.trapezoid(found.density, grid) == pytest.approx(1.0, abs=1e-3)
    exact = np.exp(-0.5 * ((grid[:, None] - found.exact) / found.density_width) ** 2).mean(1)
    exact /= found.density_width * math.sqrt(2 * math.pi)
    # Beside the statistical error, 40 steps resolve the bulk to about a fortieth of its extent.
    distance = np.abs(np.cumsum(found.density - exact)).max() * (grid[1] - grid[0])
    assert distance < 0.03


def test_masses_condition_and_stability_of_a_spring():
    stiffness = torch.tensor([0.5, 2.0, 8.0], dtype=torch.float64)
    model = nn.Linear(3, 1, bias=False).double()

    def loss(m: nn.Module) -> Tensor:
        return 0.5 * (stiffness * m.weight.square()).sum()

    found = curvature.measure(model, loss, top=2, bottom=1, learning_rate=0.1)
    np.testing.assert_allclose(found.masses, [1 / 8, 1 / 2, 2.0])
    assert found.condition == pytest.approx(16.0)
    assert found.sharpness_limit == pytest.approx(20.0)
    verdicts = {0.1: "stable", 0.25: "edge of stability", 0.3: "unstable"}
    for learning_rate, verdict in verdicts.items():
        words = curvature.measure(model, loss, density=False, learning_rate=learning_rate).verdict
        assert words.startswith(f"{verdict}:")


def test_a_walk_on_a_quadratic_is_as_predicted():
    stiffness = torch.tensor([1.0, 4.0], dtype=torch.float64)
    model = nn.Linear(2, 1, bias=False).double()
    seen = curvature.walk(model, lambda m: 0.5 * (stiffness * m.weight.square()).sum(), learning_rate=0.45, steps=20)
    np.testing.assert_allclose(seen.sharpness, 4.0)
    np.testing.assert_allclose(seen.ratios, 1 - 0.45 * 4, rtol=1e-9)  # −0.8: it crosses in every step
    np.testing.assert_allclose(seen.cosines[seen.steps], seen.predicted_cosines, atol=1e-12)
    assert seen.zigzag == 1.0
    assert seen.losses[-1] < seen.losses[0]
    slow = curvature.walk(model, lambda m: 0.5 * (stiffness * m.weight.square()).sum(), learning_rate=0.2, steps=20)
    assert slow.zigzag == 0.0


def test_a_walk_that_diverges_ends():
    model = nn.Linear(1, 1, bias=False)
    seen = curvature.walk(model, lambda m: m.weight.pow(4).sum() * 1e3, learning_rate=10.0, steps=50)
    assert len(seen.losses) < 50
    assert not math.isfinite(seen.losses[-1])
    assert model.weight.isfinite().all()
    json.dumps(seen.to_dict(), allow_nan=False)


class Cubed(torch.autograd.Function):
    """x³ whose backward pass is hidden from autograd, like that of compiled kernels."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * gradient * x.detach() ** 2


class Difficult(nn.Module):
    """Dropout, batch normalisation in training mode, tied weights, a frozen parameter, and one that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.3)
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.drop(self.norm(self.first(x)).tanh())) * self.frozen


def test_all_methods_agree_and_the_model_is_left_alone():
    torch.manual_seed(0)
    model = Difficult().double()
    x = torch.randn(20, 4, dtype=torch.float64)
    (model(x).sum()).backward()
    before = copy.deepcopy(model.state_dict()), model.first.weight.grad.clone(), torch.get_rng_state()

    def loss(m: nn.Module) -> Tensor:
        return m(x).square().mean()

    vector = torch.randn(4 * 4 + 4 + 4 + 8 + 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    products = [HessianProducts(model, loss, method=method)(vector) for method in METHODS]
    torch.testing.assert_close(products[0], products[1])
    torch.testing.assert_close(products[0], products[2], rtol=1e-5, atol=1e-7)
    found = curvature.measure(model, loss, learning_rate=0.1, trajectory=3)
    assert found.parameters == len(vector)
    after = model.state_dict()
    assert all(torch.equal(before[0][name], after[name]) for name in after)
    assert torch.equal(model.first.weight.grad, before[1])
    assert torch.equal(torch.get_rng_state(), before[2])
    assert model.training


def test_a_backward_pass_hidden_from_autograd_is_noticed():
    model = nn.Linear(3, 1, bias=False).double()
    found = curvature.measure(model, lambda m: Cubed.apply(m.weight).sum(), density=False, top=3, bottom=0)
    assert found.method == "gradient differences"
    expected = (6 * model.weight.detach().flatten()).sort(descending=True).values  # double backward would say 0
    np.testing.assert_allclose(found.top, expected.numpy(), rtol=1e-6, atol=1e-8)


def test_matrices_come_in_every_guise():
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(40, 40, dtype=torch.float64, generator=generator)
    matrix = matrix + matrix.T
    expected = torch.linalg.eigvalsh(matrix)[-1].item()
    operator = LinearOperator((40, 40), matvec=lambda v: matrix.numpy() @ v, dtype=np.float64)
    for guise in (matrix, matrix.numpy(), operator, curvature.LinearMap(lambda v: matrix @ v, 40)):
        found = curvature.measure(guise, top=1, density=False)
        assert found.top[0] == pytest.approx(expected, rel=1e-10)
        assert found.loss is None


def test_sharpness_goes_on_from_where_it_was():
    model, loss = network(7)
    expected = dense_eigenvalues(model, loss)[-1]
    first = curvature.sharpness(model, loss, iterations=25)
    assert first.value == pytest.approx(expected, rel=1e-6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.001)
    moved = dense_eigenvalues(model, loss)[-1]
    cold = curvature.sharpness(model, loss, iterations=4)
    warm = curvature.sharpness(model, loss, iterations=4, previous=first)
    assert abs(warm.value - moved) < 1e-4 * moved
    assert abs(warm.value - moved) < abs(cold.value - moved)
    assert warm.gradients == 8


def test_the_demonstration_reaches_the_edge_of_stability():
    found = curvature.measure()
    assert found.verdict.startswith("edge of stability")
    np.testing.assert_allclose(found.top, found.exact[::-1][: len(found.top)], rtol=1e-9)
    late = found.canyon.sharpness[found.canyon.steps > 1000]
    assert np.abs(late / found.sharpness_limit - 1).mean() < 0.1
    assert found.canyon.sharpness[0] < 0.5 * found.sharpness_limit
    distance = np.abs(found.canyon.cosines[found.canyon.steps] - found.canyon.predicted_cosines)
    assert np.median(distance) < 0.01
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written["parameters"] == 321
    assert written["condition"] is None  # negative curvature
    assert len(found.plot().axes) == 5
    assert len(found.canyon.plot().axes) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top": 0}, "top is 0"),
        ({"probes": 1}, "probes is 1"),
        ({"tolerance": 0.0}, "tolerance is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1"),
        ({"trajectory": 5}, "needs a learning_rate"),
        ({"learning_rate": 0.1, "trajectory": -5}, "-5 steps"),
    ],
)
def test_bad_settings_are_named(settings, message):
    model, loss = network(0)
    with pytest.raises(InputError, match=message):
        curvature.measure(model, loss, **settings)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda m: m(torch.ones(5, 3)), r"returned \[5, 2\]: expected a scalar"),
        (lambda m: m(torch.ones(5, 3)).sum() * math.nan, "is nan: expected a finite number"),
        (lambda m: m(torch.ones(5, 3)).sum().detach(), "does not depend on"),
        (lambda m: 1.0, "returned float"),
    ],
)
def test_a_bad_loss_is_named(loss, message):
    with pytest.raises(InputError, match=message):
        curvature.measure(nn.Linear(3, 2), loss)


def test_what_is_no_model_is_named():
    with pytest.raises(InputError, match="loss is missing"):
        curvature.measure(nn.Linear(3, 2))
    with pytest.raises(InputError, match=r"a list of shape \[\]"):
        curvature.measure([1.0])
    with pytest.raises(InputError, match="model is a list"):
        curvature.measure([1.0], lambda m: m)
    with pytest.raises(InputError, match="no parameter with requires_grad"):
        curvature.measure(nn.Tanh(), lambda m: torch.ones(()))
    model, loss = network(0)
    with pytest.raises(InputError, match="iterations is 0"):
        curvature.sharpness(model, loss, iterations=0)
    with pytest.raises(InputError, match="expected its own"):
        curvature.sharpness(*network(1), previous=curvature.sharpness(model, loss))
