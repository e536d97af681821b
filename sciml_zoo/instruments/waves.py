"""Gradient waves: backpropagation through a second-order residual network is the wave equation run backwards.

==========================================  ====================================================================
equation                                    variable
==========================================  ====================================================================
h_{l+1} = 2h_l − h_{l−1} + c²Δh_l           :class:`WaveNetwork`, whose module has Δ, k, ω and dω/dk
G_l = ∂L/∂h_l, all paths counted            :func:`gradient_field`, [layers + 2, ...]
G_{l−1} = 2G_l − G_{l+1} + c²ΔG_l           ``backward_error`` is how far autograd is from this, over max|G|
x̄_m = Σ_i |i − x| G²_i / Σ_i G²_i           ``distances``: of either half of a pulse that set out at unit x, m layers
                                            before the last
x̄_m = v (m + 1)                             ``speed``, the slope; for the wave equation v = ⟨dω/dk⟩ over the spectrum
                                            of the pulse (``dispersive_speed``), near c where waves are long
x̄_m ∝ (m + 1)^p                             ``exponent``: p = 1 is a wave, p = ½ diffusion
==========================================  ====================================================================

Residual networks of second order as wave equations: Ruthotto and Haber, J. Math. Imaging Vis. 62, 352 (2020).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._evaluation import evaluating
from sciml_zoo.instruments._pulse import CLEAR, LEAST_LAYERS, follow, line
from sciml_zoo.instruments._reflection import Reflection, reflection, travelling
from sciml_zoo.instruments._standing_waves import StandingWaves, standing_waves
from sciml_zoo.instruments._wave_network import ENDS, WaveNetwork, frequency, group_velocity, laplacian
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "ENDS",
    "Block",
    "Reflection",
    "StandingWaves",
    "WaveNetwork",
    "WavesResult",
    "frequency",
    "gradient_field",
    "group_velocity",
    "laplacian",
    "measure",
    "reflection",
    "standing_waves",
]

#: One layer: from (h_l, h_{l−1}) to h_{l+1}.
Block = Callable[[Tensor, Tensor], Tensor]

# Of the integral over the spectrum of a pulse, which is smooth and periodic in k.
_WAVENUMBERS = 1024
# So many rows and columns of a gradient field are kept for the figure.
_DRAWN = 128


@dataclass(frozen=True)
class WavesResult(Result):
    """How gradient pulses run through a network, and, of a :class:`WaveNetwork`, all that the wave equation says.

    Attributes:
        speed: of gradient pulses, units per layer.
        standard_error: over the pulses, with that of the fits.
        speeds: of every pulse to the left and to the right [pulses, 2]; not a number where it could not be followed.
        exponent: p of distance ∝ (m + 1)^p.
        exponent_error: its standard error.
        expected_speed: c of a wave network, else None.
        dispersive_speed: what the dispersion relation says for this pulse, else None.
        forward_speed: of a pulse through the forward pass, for which the same relation holds, else None.
        forward_error: its standard error, else None.
        backward_error: the largest difference between autograd and the wave equation, over the largest gradient.
        standing: the modes, else None.
        reflection: at the right end, else None.
        layers_passed: m, layers before the last [m].
        distances: mean over the pulses, units [m]; not a number where one is not followed.
        distance_errors: standard errors [m].
        start: the unit at which the pulse of ``field`` set out.
        field: G of one pulse, over its largest value, [drawn layers, drawn units].
        field_layers: layers passed at its rows.
        field_units: units of its columns.
        gradients: backward passes through all layers, one for every sample and pulse.
    """

    speed: float
    standard_error: float
    speeds: Tensor
    exponent: float
    exponent_error: float
    expected_speed: float | None
    dispersive_speed: float | None
    forward_speed: float | None
    forward_error: float | None
    backward_error: float | None
    standing: StandingWaves | None
    reflection: Reflection | None
    layers_passed: Tensor
    distances: Tensor
    distance_errors: Tensor
    start: float
    field: Tensor
    field_layers: Tensor
    field_units: Tensor
    gradients: int

    def plot(self) -> "Figure":
        """Returns the gradient field, the way of its pulses, and the modes and the reflection where there are any."""
        from sciml_zoo.instruments._wave_figures import draw_waves

        return draw_waves(self)


def measure(
    model: WaveNetwork | Block | Iterable[Block] | None = None,
    inputs: tuple[Tensor, Tensor] | None = None,
    *,
    layers: int | None = None,
    pulse_width: float = 6.0,
    pulses: int = 5,
) -> WavesResult:
    """Measures how fast gradients travel from unit to unit on their way back through the layers.

    The loss of each pulse is a projection of the last layer on the derivative of a Gaussian, of which the wave equation
    makes two Gaussians that part. Pulses set out from places in the middle quarter of the units.

    Args:
        model: a :class:`WaveNetwork` (None: one of 256 units, 160 layers, c = 0.8 and fixed ends); or one's own network
            of second order: one block, applied ``layers`` times, or a list of blocks, each of which maps (h_l, h_{l−1})
            to h_{l+1}, all [samples, ..., units] and each sample by itself. Units are neighbours along the last
            dimension. Modules run in evaluation mode, and are left as they were.
        inputs: (h_1, h_0) at which the network is linearised; may be left out for a wave network, which is linear.
        layers: of a single block.
        pulse_width: standard deviation σ of the Gaussian, units.
        pulses: starting points for every sample.

    Returns:
        Speed, exponent, and of a wave network the standing waves and the reflection.

    Raises:
        InputError: shapes or settings that do not fit each other, |c| > 1, or pulses that do not get far enough.

    Example:
        >>> result = measure(WaveNetwork(units=200, layers=120, speed=1.0))
        >>> round(result.speed, 6)
        1.0
    """
    if model is None:
        model = WaveNetwork()
    network = model if isinstance(model, WaveNetwork) else None
    if network is not None:
        speed = network.stable_speed()
        if inputs is None:
            rest = torch.zeros(1, network.units, dtype=network.speed.dtype, device=network.speed.device)
            inputs = (rest, rest)
    if inputs is None:
        raise InputError("no inputs: give (h_1, h_0), both [samples, ..., units], at which to linearise the network")
    units = inputs[0].shape[-1] if inputs[0].ndim > 1 else 0
    if inputs[0].shape != inputs[1].shape or pulses < 2 or not 0 < 16 * CLEAR * pulse_width / 3 < units:
        raise InputError(
            f"inputs of {list(inputs[0].shape)} and {list(inputs[1].shape)}, {pulses} pulses of width {pulse_width:g}: "
            "expected two of the same [samples, ..., units], 2 pulses or more, and more than 22 widths of units"
        )
    samples, inner = len(inputs[0]), inputs[0].ndim - 2
    starts = torch.linspace(0.375, 0.625, pulses, dtype=torch.float64).mul(units - 1).round().repeat(samples)
    seeds = _derivative_of_gaussian(units, starts, pulse_width).to(inputs[0])
    seeds = seeds.reshape(-1, *[1] * inner, units).expand(-1, *inputs[0].shape[1:])
    current, previous = (state.repeat_interleave(pulses, 0) for state in inputs)
    whole = gradient_field(model, (current, previous), seeds, layers=layers).flip(0)  # the last layer stands first
    field = whole[:-1]  # h_0 is seen by one layer alone

    energies = field.double().square().flatten(2, -2).sum(2) if inner else field.double().square()
    ways = follow(energies.cpu(), starts, pulse_width)
    shown = pulses // 2
    picture = field[:, shown].double().flatten(1, -2).mean(1) if inner else field[:, shown].double()
    rows, columns = (torch.arange(0, size, -(-size // _DRAWN)) for size in picture.shape)
    forward: tuple[float | None, float | None] = (None, None)
    if network is not None:
        forward = _forward_speed(network, pulse_width)
    return WavesResult(
        *ways.slope(),
        ways.speeds,
        *ways.exponent(),
        expected_speed=None if network is None else speed,
        dispersive_speed=None if network is None else _dispersive_speed(seeds[shown].double().cpu(), speed),
        forward_speed=forward[0],
        forward_error=forward[1],
        backward_error=None if network is None else _backward_error(network, whole),
        standing=None if network is None else standing_waves(network),
        reflection=None if network is None else reflection(network, pulse_width=pulse_width),
        layers_passed=torch.arange(len(field)),
        distances=ways.mean,
        distance_errors=ways.error,
        start=starts[shown].item(),
        field=(picture / picture.abs().max()).cpu()[rows][:, columns],
        field_layers=rows,
        field_units=columns,
        gradients=samples * pulses,
    )


def gradient_field(
    model: WaveNetwork | Block | Iterable[Block],
    inputs: tuple[Tensor, Tensor],
    seeds: Tensor,
    *,
    layers: int | None = None,
) -> Tensor:
    """Returns ∂⟨seeds, h⟩/∂h_l for the last h, at h_0, h_1 and all layers, [layers + 2, samples, ..., units].

    Args:
        model: as for :func:`measure`.
        inputs: (h_1, h_0), both [samples, ..., units].
        seeds: the gradient of the loss with respect to the last layer, shaped as it.
        layers: of a single block.

    Raises:
        InputError: a single block without a number of layers, no blocks, or a block that changes the shape.
    """
    blocks = _blocks(model, layers)
    with evaluating([model, *blocks]), torch.enable_grad():
        current, previous = (state.detach().clone().requires_grad_() for state in inputs)
        states = [previous, current]
        for number, block in enumerate(blocks):
            states.append(block(states[-1], states[-2]))
            if states[-1].shape != current.shape:
                raise InputError(
                    f"block {number}: {list(states[-1].shape)} out of {list(current.shape)}; all states of a network "
                    "of second order have one shape"
                )
        found = torch.autograd.grad(states[-1], states, seeds, allow_unused=True)
    return torch.stack([torch.zeros_like(seeds) if each is None else each for each in found])


def _blocks(model: WaveNetwork | Block | Iterable[Block], layers: int | None) -> list[Block]:
    if isinstance(model, WaveNetwork):
        return [model.step] * model.layers
    listed = isinstance(model, (list, tuple, nn.ModuleList, nn.Sequential))
    blocks = list(model) if listed else []  # type: ignore[arg-type]
    if listed and blocks and layers is None:
        return blocks
    if not listed and callable(model) and layers is not None and layers > 0:
        return [model] * layers
    raise InputError(
        f"{type(model).__name__} with layers={layers}: expected one block and the number of its layers, or a list of "
        "blocks without one"
    )


def _derivative_of_gaussian(units: int, starts: Tensor, width: float) -> Tensor:
    """Returns central differences of Gaussians at ``starts`` [pulses], [pulses, units]."""
    apart = torch.arange(-1, units + 1, dtype=torch.float64) - starts[:, None]
    gaussians = torch.exp(-0.5 * (apart / width).square())
    return gaussians[:, 2:] - gaussians[:, :-2]


def _dispersive_speed(seed: Tensor, speed: float) -> float:
    """Returns the speed ⟨dω/dk⟩ of the two pulses that a gradient of the last layer [..., units] becomes."""
    seed = seed.reshape(-1, seed.shape[-1])[0]
    k = math.pi * (torch.arange(_WAVENUMBERS, dtype=torch.float64) + 0.5) / _WAVENUMBERS
    spectrum = torch.exp(-1j * k[:, None] * torch.arange(len(seed), dtype=torch.float64)) @ seed.to(torch.complex128)
    # With G = seed in the last layer and 0 beyond it, every wave has the amplitude ĝ/sin ω.
    weights = (spectrum / torch.sin(frequency(k, speed))).abs().square()
    return ((weights * group_velocity(k, speed)).sum() / weights.sum()).item()


def _forward_speed(network: WaveNetwork, width: float) -> tuple[float, float]:
    """Returns the speed of a pulse through the forward pass, and its standard error."""
    start, units = 0.25 * network.units, network.units
    previous, current = travelling(network, start, width)
    with torch.no_grad():
        energies = network.states(current, previous).double().square().cpu()
    places = (energies * torch.arange(units, dtype=torch.float64)).sum(1) / energies.sum(1)
    gone = torch.nonzero(places > units - 1 - (CLEAR + 2) * width)
    places = places[: int(gone[0].item())] if len(gone) else places
    if len(places) < LEAST_LAYERS:
        raise InputError(f"{units} units are too few to follow a pulse of width {width:g}: take a smaller pulse_width")
    return line(torch.arange(len(places), dtype=torch.float64), places)


def _backward_error(network: WaveNetwork, field: Tensor) -> float:
    """Returns the largest difference between a field, last layer first, and the wave equation, over its maximum."""
    with torch.no_grad():
        states = network.states(field[0], torch.zeros_like(field[0]))[1:]
    # h_0 reaches the loss through h_2 alone, of which it is subtracted.
    worst = max((states - field[:-1]).abs().max().item(), (field[-1] + field[-3]).abs().max().item())
    return worst / field.abs().max().item()
