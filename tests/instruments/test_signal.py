"""Signal propagation: random networks against mean-field theory, and what is said of other networks."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sciml_zoo.errors import InputError
from sciml_zoo.instruments import signal
from sciml_zoo.instruments.initialisation import initialise_, plain_network
from sciml_zoo.instruments.mean_field import critical_initialisation, critical_point

CRITICAL = {"tanh": 0.05, "erf": 0.05, "relu": 0.0, "gelu": 0.2, "silu": 0.6, "gto": 0.05}
PHASES = {"ordered": 0.7, "critical": 1.0, "chaotic": 1.5}


def chain(activation: type[nn.Module] = nn.Tanh, depth: int = 12, width: int = 64) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(10, width)]
    for _ in range(depth - 2):
        layers += [activation(), nn.Linear(width, width)]
    return nn.Sequential(*layers, activation(), nn.Linear(width, 3))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(10, 10) for _ in range(4))

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> dict[str, object]:
        for block in self.blocks:
            x = x + scale * torch.relu(block(x))
        return {"all": (x, [x.sum()]), "name": "residual", "count": 3}


class Functional(nn.Module):
    """Layers in modules, activations as functions."""

    def __init__(self, phi, depth: int = 6) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(30, 30) for _ in range(depth))
        self.phi = phi

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = self.phi(layer(x))
        return self.layers[-1](x)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("activation", CRITICAL)
def test_multipliers_and_phases_are_those_of_the_theory(activation: str, phase: str) -> None:
    bias_variance = CRITICAL[activation]
    weight_variance = PHASES[phase] * critical_initialisation(activation, bias_variance)
    where = signal.theory(activation, weight_variance, bias_variance)
    fixed = 0 < where.variance < math.inf
    result = signal.measure(
        activation=activation,
        width=256,
        depth=20,
        draws=2,
        weight_variance=weight_variance,
        bias_variance=bias_variance,
        input_variance=(where.variance - bias_variance) / weight_variance if fixed else 1.0,
        examples=16,
    )
    expected = where.multiplier if fixed else np.exp(np.log(result.theory_multipliers).mean())
    assert result.multiplier == pytest.approx(expected, rel=0.06)
    assert result.phase == phase
    assert result.gradients == 2


def test_variances_and_correlations_follow_the_maps() -> None:
    result = signal.measure(width=1000, depth=8, draws=3, examples=4)
    np.testing.assert_allclose(result.forward_variances, result.theory_variances, rtol=0.08)
    np.testing.assert_allclose(result.correlations, result.theory_correlations, atol=0.06)
    np.testing.assert_allclose(result.multipliers, result.theory_multipliers, rtol=0.1)


@pytest.mark.parametrize(("scheme", "activation"), [("he", "relu"), ("xavier", "linear"), ("critical", "silu")])
def test_gradients_scatter_over_deep_networks_as_predicted(scheme: str, activation: str) -> None:
    network, logs = plain_network(100, 40, activation), []
    for seed in range(16):
        initialise_(network, scheme, activation=activation, seed=seed)
        x = torch.randn(1, 100, generator=torch.Generator().manual_seed(seed))
        result = signal.measure(network, x, activation=activation, draws=1, seed=seed)
        logs.append(result.log_gradients[0])
    predicted = result.fluctuations[0]
    assert 0.55 < np.std(logs, ddof=1) / predicted < 1.5
    # The squared gradient itself keeps its mean, so that its logarithm has about −σ²/2.
    assert abs(np.mean(logs) + predicted**2 / 2) < predicted


@pytest.mark.parametrize("scale", [0.8, 1.25])
def test_gradients_change_at_the_predicted_rate_off_criticality(scale: float) -> None:
    result = signal.measure(
        activation="relu", width=400, depth=40, draws=6, weight_variance=2 * scale, bias_variance=0.0, examples=4
    )
    assert result.log_gradients[0] / 39 == pytest.approx(math.log(scale), rel=0.08)
    assert result.depth_scale == pytest.approx(1 / abs(math.log(scale)), rel=0.08)


def test_the_verdict_on_torchs_default_and_after_the_suggested_initialisation() -> None:
    torch.manual_seed(0)
    net, x = chain(), torch.randn(32, 10)
    before = signal.measure(net, x)
    assert before.phase == "ordered"  # torch draws σ_w² = 1/3
    assert before.multiplier == pytest.approx(1 / 3, rel=0.2)
    np.testing.assert_allclose(before.weight_variances, 1 / 3, rtol=0.1)
    assert "critical for Tanh()" in before.verdict
    assert before.suggestion is not None
    initialise_(net, (before.suggestion.weight_variance, before.suggestion.bias_variance))
    assert signal.measure(net, 0.1 * x).phase == "critical"


@pytest.mark.parametrize(
    ("activation", "weight_variance", "bias_variance"),
    [("tanh", 1.0, 0.0), ("erf", math.pi / 4, 0.0), ("tanh", 1.7603, 0.05), ("relu", 2.0, 0.0)],
)
def test_a_slow_way_to_the_fixed_point_is_no_phase(activation: str, weight_variance: float, bias_variance: float):
    """At σ_w² = 1 the variances of tanh fall as 1/depth and gradients with them: no longer once they are small."""
    result = signal.measure(activation=activation, weight_variance=weight_variance, bias_variance=bias_variance)
    assert result.phase == "critical"
    assert "critical for" not in result.verdict
    assert f"over these 40 layers squared gradients changed by a factor of {result.multiplier:.4g} ±" in result.verdict
    if (activation, bias_variance) == ("tanh", 0.0):
        assert result.multiplier == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(("width", "depth"), [(64, 4), (64, 12), (200, 30)])
@pytest.mark.parametrize("activation", [*CRITICAL, "linear"])
def test_the_critical_initialisation_is_critical(activation: str, width: int, depth: int) -> None:
    for seed in range(2):
        net = initialise_(plain_network(width, depth, activation), "critical", activation=activation, seed=seed)
        x = torch.randn(16, width, generator=torch.Generator().manual_seed(seed))
        result = signal.measure(net, x, activation=activation)
        assert result.phase == "critical", result.verdict
        assert "critical for" not in result.verdict


@pytest.mark.parametrize(("scale", "phase"), [(0.9, "ordered"), (1.1, "chaotic")])
@pytest.mark.parametrize(("activation", "bias_variance"), [("relu", 0.0), ("tanh", 0.05), ("gelu", 0.2)])
def test_ten_percent_off_is_not_critical(activation: str, bias_variance: float, scale: float, phase: str) -> None:
    weight_variance = scale * critical_initialisation(activation, bias_variance)
    net = initialise_(plain_network(300, 20, activation), (weight_variance, bias_variance))
    x = torch.randn(16, 300, generator=torch.Generator().manual_seed(0))
    result = signal.measure(net, x, activation=activation)
    assert result.phase == phase
    assert "critical for" in result.verdict


@pytest.mark.parametrize("scheme", [None, "critical"])
def test_a_network_may_be_too_small_to_tell(scheme: str | None) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    if scheme is not None:
        initialise_(net, scheme, activation="relu")
    result = signal.measure(net, torch.randn(16, 1, 8, 8))
    assert result.phase == "undecided"
    assert "too narrow or too shallow to tell" in result.verdict
    assert ("critical for" in result.verdict) == (scheme is None)


@pytest.mark.parametrize("mode", [True, False])
def test_model_and_random_state_are_left_alone(mode: bool) -> None:
    net = nn.Sequential(nn.Linear(10, 20), nn.BatchNorm1d(20), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(20, 2))
    net.train(mode)
    net[4].weight.requires_grad_(False)
    net[0].weight.grad = torch.ones(20, 10)
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    x = torch.randn(8, 10, generator=torch.Generator().manual_seed(0))
    results = [signal.measure(net, x, seed=1) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(net[0].weight.grad, torch.ones(20, 10))
    assert net[4].weight.grad is None
    assert not net[4].weight.requires_grad
    assert net.training is mode
    assert not any(module._forward_hooks for module in net.modules())
    assert results[0].to_dict() == results[1].to_dict()


def test_gradients_and_variances_are_those_of_autograd() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(inplace=True), nn.Linear(7, 4)).double()
    x = torch.randn(3, 5, dtype=torch.float64)
    result = signal.measure(net, x, draws=1, seed=5)
    h = net[0](x).detach().requires_grad_()
    out = net[2](torch.relu(h))
    v = torch.randn(3, 4, generator=torch.Generator().manual_seed(5)).double()
    (delta,) = torch.autograd.grad(out, h, v)
    assert result.forward_variances[0] == pytest.approx(h.square().mean().item(), rel=1e-12)
    np.testing.assert_allclose(result.backward_variances, [delta.square().mean().item(), v.square().mean().item()])
    assert result.multipliers[0] == pytest.approx((delta.square().sum() / v.square().sum()).item(), rel=1e-12)


@pytest.mark.parametrize(
    ("model", "inputs", "reason"),
    [
        (Residual(), torch.randn(6, 10), "paths run around layer"),
        (Residual(), {"x": torch.randn(6, 10), "scale": 0.5}, "paths run around layer"),
        (Residual(), (torch.randn(6, 10), 0.5), "paths run around layer"),
        (nn.Sequential(nn.Linear(10, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 8)), torch.randn(6, 10), "normal"),
        (Functional(lambda x: x / x.square().mean(-1, keepdim=True).sqrt()), torch.randn(6, 30), None),
        (nn.TransformerEncoderLayer(10, 2, 16, batch_first=True), torch.randn(4, 3, 10), "attention"),
        (nn.Sequential(*[nn.Linear(10, 10)] * 3), torch.randn(6, 10), "used more than once"),
        (nn.Sequential(chain(nn.ReLU), nn.Tanh(), nn.Linear(3, 3)), torch.randn(6, 10), "differ"),
        (nn.Linear(10, 2), torch.randn(6, 10), "single layer"),
        (chain(), torch.full((4, 10), math.inf), "not finite at layer '0'"),
    ],
)  # fmt: skip
def test_other_networks_are_measured_without_the_theory(model, inputs, reason: str | None) -> None:
    result = signal.measure(model, inputs)
    if reason is not None:
        assert result.phase == "not applicable"
        assert reason in result.verdict
        assert result.suggestion is None
    assert result.theory is None
    assert len(result.theory_multipliers) == 0
    json.dumps(result.to_dict(), allow_nan=False)
    assert len(result.plot().axes) == 4


def test_a_chain_that_only_merges_below_is_a_chain() -> None:
    """Two paths between the same layers, as x·sigmoid(x) has, run around no layer."""
    torch.manual_seed(2)
    result = signal.measure(Functional(lambda x: x * torch.sigmoid(x)), torch.randn(16, 30), activation="silu")
    assert result.phase == "ordered"
    assert result.theory is not None


@pytest.mark.parametrize(("phi", "name"), [(torch.relu, "relu"), (functional.gelu, "gelu"), (torch.tanh, "tanh")])
def test_activations_that_are_functions_are_found(phi, name: str) -> None:
    torch.manual_seed(3)
    result = signal.measure(Functional(phi), torch.randn(8, 30))
    assert result.suggestion is not None
    assert (result.suggestion.weight_variance, result.suggestion.bias_variance) == critical_point(name)


def test_an_unknown_activation_has_to_be_named() -> None:
    torch.manual_seed(4)
    model, x = Functional(lambda x: x * torch.exp(-(x**2) / 2)), torch.randn(8, 30)
    assert "activation=" in signal.measure(model, x).verdict
    named = signal.measure(model, x, activation="gto")
    assert named.suggestion.weight_variance == pytest.approx(1.0)
    np.testing.assert_allclose(named.multipliers, named.theory_multipliers, rtol=0.8)


def test_parametrised_layers_are_measured_but_not_set() -> None:
    torch.manual_seed(5)
    net = chain(depth=4)
    nn.utils.parametrizations.weight_norm(net[2])
    plain = signal.measure(net, torch.randn(8, 10))
    assert plain.layers == ("0", "2", "4", "6")
    np.testing.assert_allclose(plain.weight_variances, 1 / 3, rtol=0.15)
    with pytest.raises(InputError, match="layer '2' is parametrised"):
        initialise_(net, "he")


def test_a_signal_of_zero_is_no_error() -> None:
    net = initialise_(chain(depth=4), "critical", activation="tanh")
    result = signal.measure(net, torch.zeros(4, 10))
    assert not result.forward_variances.any()
    np.testing.assert_allclose(result.multipliers, 1.0, atol=0.8)


def test_convolutions_follow_the_theory() -> None:
    net = nn.Sequential(
        *[layer for _ in range(6) for layer in (nn.Conv1d(48, 48, 3, padding=1, padding_mode="circular"), nn.ReLU())]
    )
    net = nn.Sequential(*list(net)[:-1])
    initialise_(net, "he")
    result = signal.measure(net, torch.randn(4, 48, 20, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(result.weight_variances, 2.0, rtol=0.1)
    np.testing.assert_allclose(result.theory_multipliers, 1.0, rtol=0.1)
    assert abs(result.log_gradients[0]) < 3 * result.fluctuations[0]
    assert result.phase == "critical"


def test_initialisations_have_their_variances() -> None:
    net = nn.Sequential(nn.Linear(300, 200), nn.Tanh(), nn.Conv1d(200, 400, 3))
    dense, convolution = net[0], net[2]
    initialise_(net, "he")
    assert dense.weight.var().item() == pytest.approx(2 / 300, rel=0.05)
    assert convolution.weight.var().item() == pytest.approx(2 / 600, rel=0.05)
    assert not dense.bias.any()
    initialise_(net, "xavier")
    assert dense.weight.var().item() == pytest.approx(2 / 500, rel=0.05)
    assert convolution.weight.var().item() == pytest.approx(2 / (600 + 1200), rel=0.05)
    initialise_(net, "critical", activation="gelu")
    weight_variance, bias_variance = critical_point("gelu")
    assert dense.weight.var().item() == pytest.approx(weight_variance / 300, rel=0.05)
    assert dense.bias.square().mean().item() == pytest.approx(bias_variance, rel=0.4)
    initialise_(net, "orthogonal", activation="erf")
    gram = dense.weight @ dense.weight.T
    torch.testing.assert_close(gram, math.pi / 4 * torch.eye(200), atol=1e-5, rtol=0)


def test_orthogonal_linear_networks_keep_gradients_exactly() -> None:
    network = initialise_(plain_network(64, 50, "linear"), "orthogonal", activation="linear")
    result = signal.measure(network, torch.randn(4, 64), activation="linear")
    np.testing.assert_allclose(result.multipliers, 1.0, rtol=1e-5)


def test_initialisation_repeats_itself_and_leaves_the_random_state() -> None:
    state = torch.get_rng_state()
    one, other = (initialise_(plain_network(8, 3, "tanh"), (1.5, 0.1), seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_input_is_named() -> None:
    x = torch.randn(4, 10)
    with pytest.raises(InputError, match="needs inputs"):
        signal.measure(chain())
    with pytest.raises(InputError, match="inputs need a model"):
        signal.measure(inputs=x)
    with pytest.raises(InputError, match="no layer with weights"):
        signal.measure(nn.ReLU(), x)
    with pytest.raises(InputError, match="draws is 0"):
        signal.measure(chain(), x, draws=0)
    with pytest.raises(InputError, match="depth 1"):
        signal.measure(depth=1)
    with pytest.raises(InputError, match="input_variance"):
        signal.measure(input_variance=0.0)
    with pytest.raises(InputError, match="expected σ_w² > 0"):
        signal.measure(weight_variance=-1.0)
    with pytest.raises(InputError, match="did you mean 'xavier'"):
        initialise_(chain(), "xavir")
    with pytest.raises(InputError, match="needs the activation"):
        initialise_(chain(), "critical")
    with pytest.raises(InputError, match="no linear or convolutional layer"):
        initialise_(nn.ReLU(), "he")


def test_the_demonstration_draws_and_becomes_json() -> None:
    result = signal.measure(width=150, depth=20)
    assert result.phase == "chaotic"
    figure = result.plot()
    assert [axes.get_xlabel() for axes in figure.axes] == ["layer l"] * 4
    assert json.loads(json.dumps(result.to_dict()))["theory"]["activation"] == "tanh"
