"""Gradient waves: backpropagation against an independent leapfrog, speed, modes, reflection, stability."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments import waves
from sciml_zoo.instruments.waves import ENDS, WaveNetwork, WavesResult


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense_laplacian(units: int, ends: str) -> np.ndarray:
    matrix = np.diag(np.full(units, -2.0)) + np.eye(units, k=1) + np.eye(units, k=-1)
    if ends == "periodic":
        matrix[0, -1] = matrix[-1, 0] = 1.0
    if ends == "free":
        matrix[0, 0] = matrix[-1, -1] = -1.0
    return matrix


@pytest.fixture(scope="module")
def demonstration() -> WavesResult:
    return waves.measure()


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("speed", [0.3, 1.0])
def test_gradients_of_a_loss_on_all_layers_are_the_wave_equation_run_backwards(ends: str, speed: float) -> None:
    network, targets = WaveNetwork(40, 120, speed, ends), normal(122, 40, seed=1)
    first, second = normal(2, 40).unbind()
    states = [first.requires_grad_(), second.requires_grad_()]
    for _ in range(network.layers):
        states.append(network.step(states[-1], states[-2]))
    for state in states[2:]:
        state.retain_grad()
    (torch.stack(states) - targets).cosh().log().sum().backward()
    field = torch.stack([state.grad for state in states]).numpy()

    sources = np.tanh((torch.stack(states) - targets).detach().numpy())
    wave = 2 * np.eye(40) + speed**2 * dense_laplacian(40, ends)
    expected = np.zeros((123, 40))
    for layer in range(121, 0, -1):
        later = expected[layer + 2] if layer < 121 else 0.0
        expected[layer] = sources[layer] + wave @ expected[layer + 1] * (layer < 121) - later
    expected[0] = sources[0] - expected[2]  # h_0 is seen by h_2 alone
    assert np.abs(field - expected[:122]).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize("ends", ENDS)
def test_the_field_of_a_pulse_is_the_wave_equation(ends: str) -> None:
    network = WaveNetwork(160, 100, 0.9, ends)
    assert waves.measure(network, pulse_width=4.0).backward_error <= 1e-12


@pytest.mark.parametrize("speed", [0.25, 0.8, -0.8, 1.0])
def test_pulses_run_at_c_and_exactly_as_the_dispersion_relation_says(speed: float) -> None:
    result = waves.measure(WaveNetwork(256, round(110 / abs(speed)), speed))
    assert result.expected_speed == abs(speed)
    assert result.speed == pytest.approx(abs(speed), rel=0.005)
    assert result.forward_speed == pytest.approx(abs(speed), rel=0.005)
    assert result.speed == pytest.approx(result.dispersive_speed, rel=1e-7)
    assert result.exponent == pytest.approx(1.0, abs=1e-6)


def test_short_waves_are_slower_as_the_dispersion_relation_says() -> None:
    result = waves.measure(WaveNetwork(300, 400, 0.5), pulse_width=2.0)
    assert result.speed < 0.5 * 0.99
    assert result.speed == pytest.approx(result.dispersive_speed, rel=1e-3)


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("units", [15, 16])
def test_standing_waves_have_the_frequencies_of_theory(ends: str, units: int) -> None:
    network = WaveNetwork(units, 60, 0.7, ends)
    result = waves.standing_waves(network)
    torch.testing.assert_close(result.frequencies, result.expected, atol=1e-10, rtol=0)
    assert result.leak < 1e-11
    # Against the dense matrix: eigenvectors of Δ, complete and orthonormal.
    modes = network.modes().numpy()
    np.testing.assert_allclose(modes @ modes.T, np.eye(units), atol=1e-12)
    eigenvalues = -4 * np.sin(network.wavenumbers().numpy() / 2) ** 2
    np.testing.assert_allclose(modes @ dense_laplacian(units, ends), eigenvalues[:, None] * modes, atol=1e-12)
    np.testing.assert_allclose(2 * np.sin(result.expected.numpy() / 2), 0.7 * np.sqrt(-eigenvalues), atol=1e-12)


@pytest.mark.parametrize(("ends", "expected"), [("fixed", -1.0), ("free", 1.0), ("periodic", 0.0)])
def test_a_pulse_comes_back_upside_down_from_a_fixed_end_and_upright_from_a_free_one(ends, expected) -> None:
    result = waves.reflection(WaveNetwork(128, 10, 0.6, ends), pulse_width=5.0)
    assert result.coefficient == pytest.approx(expected, abs=1e-9)
    assert result.expected == expected
    if expected:
        torch.testing.assert_close(result.outgoing, expected * result.image, atol=1e-9, rtol=0)


@pytest.mark.parametrize("ends", ENDS)
def test_beyond_c_of_one_signals_grow_at_the_rate_of_theory_and_below_they_do_not(ends: str) -> None:
    start = normal(48)
    for speed in (0.999, 1.02):
        network = WaveNetwork(48, 800, speed, ends)
        with torch.no_grad():
            lengths = network.states(start, start).norm(dim=1)
        rate = math.log(lengths[-1] / lengths[-201]) / 200
        assert rate == pytest.approx(network.growth_rate(), abs=5e-3)
        assert (rate > 0.1) == (speed > 1)
    assert WaveNetwork(48, 1, 0.999, ends).growth_rate() == 0


def test_energy_is_conserved() -> None:
    network = WaveNetwork(50, 500, 0.9, "fixed")
    with torch.no_grad():
        h = network.states(normal(50), normal(50, seed=1)).numpy()
    motion, spring = np.diff(h, axis=0), -0.81 * dense_laplacian(50, "fixed")
    energy = 0.5 * (motion**2).sum(1) + 0.5 * np.einsum("li,ij,lj->l", h[1:], spring, h[:-1])
    assert np.ptp(energy) < 1e-11 * energy[0]


class Block(nn.Module):
    """A nonlinear layer of second order, with a speed of its own."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self.speed = nn.Parameter(torch.tensor(speed))
        self.dropout = nn.Dropout(0.5)

    def forward(self, current: Tensor, previous: Tensor) -> Tensor:
        padded = nn.functional.pad(current, (1, 1))
        strain = torch.tanh(padded[..., 1:] - padded[..., :-1])
        return self.dropout(2 * current - previous + self.speed**2 * (strain[..., 1:] - strain[..., :-1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pulses_of_a_network_of_ones_own_have_the_speed_of_its_blocks_and_stays_as_it_was(dtype: torch.dtype) -> None:
    speeds = torch.linspace(0.7, 0.9, 140)
    blocks = nn.ModuleList(Block(speed) for speed in speeds.tolist()).to(dtype)
    blocks[3].eval()
    sum(p for p in blocks.parameters()).backward()
    before = [(p.clone(), p.grad.clone()) for p in blocks.parameters()]
    modes = [m.training for m in blocks.modules()]
    rest = torch.zeros(2, 3, 256, dtype=dtype)
    state = torch.get_rng_state()
    result = waves.measure(blocks, (rest, rest))
    assert torch.equal(torch.get_rng_state(), state)
    # Slowly varying with depth: x̄ is the integral of the speed from the last layer back.
    followed = torch.nonzero(result.distances.isfinite())[:, 0]
    way = speeds.flip(0).double().cumsum(0)
    torch.testing.assert_close(result.distances[followed], way[followed], rtol=0.005, atol=0)
    assert 0.7 < result.speed < 0.9
    assert result.gradients == 2 * 5
    assert result.expected_speed is None
    assert result.standing is None
    assert all(
        torch.equal(p, a) and torch.equal(p.grad, g) for p, (a, g) in zip(blocks.parameters(), before, strict=True)
    )
    assert [m.training for m in blocks.modules()] == modes
    json.dumps(result.to_dict())
    assert len(result.plot().axes) == 3  # field, its scale, distances


def test_speed_where_it_depends_on_the_place_scatters_over_the_pulses() -> None:
    squared = torch.linspace(0.5, 0.9, 256, dtype=torch.float64) ** 2

    def block(current: Tensor, previous: Tensor) -> Tensor:
        return 2 * current - previous + squared * waves.laplacian(current, "fixed")

    rest = torch.zeros(1, 256, dtype=torch.float64)
    result = waves.measure(block, (rest, rest), layers=150)
    assert result.standard_error > 0.005
    assert (result.speeds[:, 1] > result.speeds[:, 0]).all()  # to the right it is faster
    followed = result.distances.isfinite()
    assert (result.distances[followed].diff() > 0).all()  # pulses that leave first do not pull the mean down


def test_speeds_without_a_layer_in_common_are_drawn_too(tmp_path) -> None:
    squared = torch.cat([torch.full((256,), 0.1), torch.full((256,), 1.0)]).double() ** 2

    def block(current: Tensor, previous: Tensor) -> Tensor:
        return 2 * current - previous + squared * waves.laplacian(current, "fixed")

    rest = torch.zeros(1, 512, dtype=torch.float64)
    result = waves.measure(block, (rest, rest), layers=300, pulses=4)
    assert not result.distances.isfinite().any()
    result.plot().savefig(tmp_path / "waves.png")
    assert result.speeds[0, 0] < 0.15


def test_diffusion_has_exponent_one_half() -> None:
    def block(current: Tensor, previous: Tensor) -> Tensor:
        return current + 0.25 * waves.laplacian(current, "free")

    rest = torch.zeros(1, 300, dtype=torch.float64)
    result = waves.measure(block, (rest, rest), layers=1500, pulse_width=2.0)
    assert result.exponent == pytest.approx(0.5, abs=0.02)


def test_the_demonstration(demonstration: WavesResult, tmp_path) -> None:
    assert demonstration.speed == pytest.approx(0.8, rel=0.005)
    assert demonstration.backward_error <= 1e-12
    assert demonstration.reflection.coefficient == pytest.approx(-1, abs=1e-9)
    figure = demonstration.plot()
    figure.savefig(tmp_path / "waves.png")
    assert len(figure.axes) == 5
    written = json.loads(json.dumps(demonstration.to_dict()))
    assert written["standing"]["leak"] == demonstration.standing.leak
    assert len(demonstration.standing.plot().axes) == len(demonstration.reflection.plot().axes) == 1


def test_a_float32_network_is_measured_too() -> None:
    result = waves.measure(WaveNetwork(256, 140, 0.8).float())
    assert result.speed == pytest.approx(0.8, rel=0.005)
    assert result.backward_error < 1e-3


REST = torch.zeros(1, 256)


@pytest.mark.parametrize(
    ("model", "inputs", "options", "message"),
    [
        (lambda h, g: h, None, {"layers": 3}, "no inputs"),
        (lambda h, g: h, (REST, REST), {}, "expected one block and the number of its layers"),
        ([], (REST, REST), {}, "expected one block and the number of its layers"),
        (lambda h, g: h[:, 1:], (REST, REST), {"layers": 3}, r"block 0: \[5, 255\] out of \[5, 256\]"),
        (lambda h, g: h, (REST, REST), {"layers": 3}, "gradient pulses get .* units away in 3 layers"),
        (lambda h, g: h, (REST, REST[:, :9]), {"layers": 3}, "expected two of the same"),
        (WaveNetwork(), None, {"pulses": 1}, "1 pulses"),
        (WaveNetwork(units=100), None, {}, "more than 22 widths"),
        (WaveNetwork(speed=1.01), None, {}, r"speed is 1.01 .* stable for 0 < \|c\| ≤ 1"),
    ],
)
def test_bad_input_says_what_is_wrong(model, inputs, options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        waves.measure(model, inputs, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"units": 2}, "2 units"), ({"speed": math.inf}, "speed is inf"), ({"ends": "open"}, "expected one of fixed")],
)
def test_bad_networks_are_refused(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WaveNetwork(**options)


def test_a_narrow_network_cannot_show_a_wide_reflection() -> None:
    with pytest.raises(InputError, match="16 widths or more"):
        waves.reflection(WaveNetwork(units=50))
