"""Viscosity: set values come back, exact decays, Liouville's bound, and models left as they were."""

import json
import math

import pytest
import torch
from torch import Tensor, nn

from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.instruments import viscosity
from sciml_zoo.instruments.viscosity import AntisymmetricMedium


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("nu", [0.0, 0.1, 0.5, 1.0, 2.0])
def test_a_set_viscosity_is_recovered(nu: float) -> None:
    result = viscosity.measure(AntisymmetricMedium(nu, seed=1), points=9, perturbations=4)
    assert abs(result.viscosity - nu) <= max(1e-3 * nu, 1e-3)
    assert result.isotropic == pytest.approx(nu, abs=max(1e-3 * nu, 1e-3))
    assert result.expected == nu


def test_a_turning_medium_is_measured_beyond_underflow() -> None:
    turn = normal(6, 6).float()
    turn = 0.3 * (turn - turn.T)

    def field(z: Tensor, x: Tensor) -> Tensor:
        return torch.cos(z) * x @ turn.T - 30.0 * x

    result = viscosity.measure(field, normal(3, 6).float(), depth=4.0, points=3, perturbations=2)
    assert result.viscosity == pytest.approx(30.0, rel=1e-4)  # ‖δ‖ falls to exp(−120), which is no float32
    assert result.isotropic == pytest.approx(30.0, rel=1e-4)
    assert result.residual < 0.01


def test_an_anisotropic_medium_is_as_the_closed_form_says() -> None:
    rates = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    result = viscosity.measure(lambda z, x: -rates * x, normal(1, 3), depth=30.0, perturbations=8, tolerance=1e-9)
    # Late, the slowest direction is left; early, all count; the volume counts them all throughout.
    assert result.local[-1].item() == pytest.approx(0.2, abs=1e-6)
    assert result.isotropic == pytest.approx(rates.mean().item(), abs=1e-8)
    assert result.isotropic > result.viscosity
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(8, 1, 3, generator=generator, dtype=torch.float64)[:, 0]
    start = drawn / torch.linalg.vector_norm(drawn, dim=1, keepdim=True)
    exact = (start[:, None] * torch.exp(-rates * result.depths[:, None])).norm(dim=2).log()
    torch.testing.assert_close(result.log_norms, exact.mean(0), atol=1e-6, rtol=0)
    torch.testing.assert_close(result.log_norm_errors, exact.std(0) / math.sqrt(8), atol=1e-6, rtol=0)


def test_tangents_are_what_small_differences_become() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 5)).double()
    inputs = normal(1, 5)
    result = viscosity.measure(lambda z, x: net(x) * (1 + z), inputs, depth=1.5, perturbations=3, tolerance=1e-9)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(3, 1, 5, generator=generator, dtype=torch.float64)[:, 0]
    pair = torch.cat([inputs, inputs + 1e-6 * drawn / drawn.norm(dim=1, keepdim=True)])
    steps = 600
    for step in range(steps):  # midpoint rule
        h, z = 1.5 / steps, 1.5 * step / steps
        middle = pair + h / 2 * net(pair) * (1 + z)
        pair = pair + h * net(middle) * (1 + z + h / 2)
    lengths = (pair[1:] - pair[0]).norm(dim=1) / 1e-6
    assert result.log_norms[-1].item() == pytest.approx(lengths.log().mean().item(), abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_stretching_hides_damping_but_never_the_other_way(seed: int) -> None:
    torch.manual_seed(seed)
    width = 6
    net = nn.Sequential(nn.Linear(width, 16), nn.Tanh(), nn.Linear(16, width)).double()
    flow = viscosity.measure(lambda z, x: 3 * net(x), normal(6, width), points=5, depth=2.0, perturbations=64)
    blocks = [nn.Sequential(nn.Linear(width, width), nn.Tanh()).double() for _ in range(4)]
    layers = viscosity.measure(blocks, normal(6, width), perturbations=64)
    for result in (flow, layers):
        end_to_end = -(result.log_norms[-1] / result.depths[-1]).item()
        assert end_to_end < result.isotropic


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_that_turn_and_shrink_have_one_viscosity(dtype: torch.dtype) -> None:
    layers = nn.Sequential(*(nn.Linear(7, 7, dtype=dtype) for _ in range(10)))
    with torch.no_grad():
        for number, layer in enumerate(layers):
            layer.weight.copy_(math.exp(-0.3) * torch.linalg.qr(normal(7, 7, seed=number))[0])
    result = viscosity.measure(layers, normal(4, 7).to(dtype))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert result.viscosity == pytest.approx(0.3, abs=tolerance)
    assert result.isotropic == pytest.approx(0.3, abs=tolerance)
    assert result.gradients == 16 + 7
    assert len(result.local) == 10


def test_signals_may_have_channels_and_be_float32() -> None:
    convolution = nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular", bias=False)
    with torch.no_grad():  # translation by one unit of either channel minus the opposite one is antisymmetric
        convolution.weight.zero_()
        convolution.weight[[0, 1], [0, 1], 0], convolution.weight[[0, 1], [0, 1], 2] = 1.0, -1.0
    result = viscosity.measure(lambda z, x: convolution(x) - 0.5 * x, normal(3, 2, 9).float(), points=5)
    assert result.viscosity == pytest.approx(0.5, abs=2e-3)


def test_the_model_and_the_random_state_stay_as_they_were() -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)) for _ in range(3)))
    model[1].eval()
    model(torch.randn(5, 4)).sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    grads = [p.grad.clone() for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    inputs = torch.randn(5, 4, requires_grad=True)
    state = torch.get_rng_state()
    first = viscosity.measure(model, inputs)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.to_dict() == viscosity.measure(model, inputs).to_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, grad) for p, grad in zip(model.parameters(), grads, strict=True))
    assert [m.training for m in model.modules()] == modes
    assert inputs.grad is None


def test_the_result_is_drawn_and_written(tmp_path) -> None:
    result = viscosity.measure()
    assert abs(result.viscosity - 0.5) < 1e-3
    assert result.standard_error > 0
    figure = result.plot()
    figure.savefig(tmp_path / "viscosity.png")
    assert [axes.get_xlabel() for axes in figure.axes] == ["depth z"] * 2
    written = json.loads(json.dumps(result.to_dict()))
    assert written["viscosity"] == result.viscosity
    assert len(written["log_norms"]) == len(written["depths"]) == 33


def test_the_trace_is_unknown_for_wide_layers() -> None:
    result = viscosity.measure([lambda x: 0.5 * x] * 3, torch.ones(1, 300))
    assert result.viscosity == pytest.approx(math.log(2), rel=1e-5)
    assert math.isnan(result.isotropic)
    assert result.to_dict()["isotropic"] is None
    assert len(result.plot().axes) == 2


@pytest.mark.parametrize(
    ("model", "inputs", "options", "message"),
    [
        (lambda z, x: x, None, {}, "no inputs"),
        (lambda z, x: x, torch.ones(3), {}, r"inputs torch.float32 \[3\]"),
        (lambda z, x: x, torch.tensor([[math.nan]]), {}, "finite signals"),
        (lambda z, x: x[:, :2], torch.ones(1, 3), {}, r"f\(z, x\) is \[1, 2\] of x \[1, 3\]"),
        (lambda z, x: x, torch.ones(1, 3), {"depth": 0.0}, "depth 0.0"),
        (lambda z, x: x, torch.ones(1, 3), {"perturbations": 1}, "1 perturbations"),
        ([nn.Linear(3, 3), nn.Linear(3, 2)], torch.ones(1, 3), {}, "layer 1"),
        ([nn.Identity(), lambda x: 0 * x], torch.ones(1, 3), {}, "layer 1: a perturbation vanishes"),
        ([nn.Identity()], torch.ones(1, 3), {}, "1 layers"),
        (3, torch.ones(1, 3), {}, "a model of type int"),
    ],
)
def test_bad_input_says_what_is_wrong(model, inputs, options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        viscosity.measure(model, inputs, **options)


def test_bad_media_and_blow_up_are_errors() -> None:
    with pytest.raises(InputError, match="viscosity nan"):
        AntisymmetricMedium(math.nan)
    with pytest.raises(FailureError, match="cannot reach a tolerance"):
        viscosity.measure(lambda z, x: x**2, torch.full((1, 2), 1.0), depth=2.0)
