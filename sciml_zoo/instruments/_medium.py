"""Tangents of continuous-depth and layered networks, as unit vectors and logarithms of their lengths.

==========================================  ====================================================================
equation                                    variable
==========================================  ====================================================================
dx/dz = f(z, x)                             the signal, ``inputs`` at z = 0 [samples, ...]
dδ/dz = J δ, J = ∂f/∂x (variational)        δ = e^s u of every perturbation [perturbations, samples, ...]
du/dz = J u − r u                           u, near 1 in length whatever ν is
ds/dz = r = uᵀJu/uᵀu                        ``logs`` s = log‖δ(z)‖/‖δ(0)‖ [points, perturbations, samples]
dt/dz = gᵀJg/n, gᵢ = ±1                     ``traces`` t, of mean ∫ tr J dz/n (Hutchinson; Liouville's formula)
δ_{l+1} = J_l δ_l, t = Σ log|det J_l|/n     the same for layers x_{l+1} = f_l(x_l), z = l
==========================================  ====================================================================
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jvp
from torchdiffeq import odeint

from sciml_zoo.errors import FailureError, InputError

__all__ = ["Tangents", "through_flow", "through_layers"]

# Up to so many units, the determinant of a layer is taken of its whole Jacobian.
_DENSE = 256


@dataclass(frozen=True)
class Tangents:
    """What became of perturbations.

    Attributes:
        depths: z [points].
        logs: s [points, perturbations, samples], 0 at the first point.
        traces: t at the last point, [probes, samples]; no probes where it is not known.
        products: Jacobian-vector products, each over all samples.
    """

    depths: Tensor
    logs: Tensor
    traces: Tensor
    products: int


def through_flow(
    field: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    depths: Tensor,
    perturbations: int,
    generator: torch.Generator,
    tolerance: float,
) -> Tangents:
    """Returns perturbations along dx/dz = f(z, x), by the variational equation.

    Args:
        field: f(z, x) of a z without dimensions, [samples, ...] to [samples, ...], each sample by itself.
        inputs: x at the first depth.
        depths: z [points], increasing.
        perturbations: random directions of every sample; as many probes are taken for the trace.
        generator: of both.
        tolerance: relative and absolute, of the integrator (Dormand and Prince, order 5).

    Raises:
        InputError: a field that changes the shape of the signal.
        FailureError: the integrator cannot reach the tolerance.
    """
    found = field(depths[0], inputs)
    if found.shape != inputs.shape:
        raise InputError(f"f(z, x) is {list(found.shape)} of x {list(inputs.shape)}; expected one and the same shape")
    directions = _directions(inputs, perturbations, generator)
    probes = torch.randn(perturbations, *inputs.shape, generator=generator, dtype=torch.float64).sign().to(inputs)
    size, products = inputs[0].numel(), 0

    def variational(z: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal products
        x, u = state[:2]
        value, images = _tangents(lambda y: field(z, y), x, torch.cat([u, probes]))
        products += len(images)
        ju, jg = images.split(perturbations)
        rate = _dot(u, ju) / _dot(u, u)
        return value, ju - _like(rate, u) * u, rate, _dot(probes, jg) / size

    zero = inputs.new_zeros(perturbations, len(inputs))
    start = (inputs, directions, zero, zero)
    try:
        _, _, logs, traces = odeint(variational, start, depths, rtol=tolerance, atol=tolerance, method="dopri5")
    except AssertionError as error:
        raise FailureError(
            f"the integrator cannot reach a tolerance of {tolerance:g} ({error}): give a larger tolerance, float64, or "
            "a field without jumps"
        ) from error
    return Tangents(depths, logs, traces[-1], products)


def through_layers(
    layers: Sequence[Callable[[Tensor], Tensor]], inputs: Tensor, perturbations: int, generator: torch.Generator
) -> Tangents:
    """Returns perturbations through x_{l+1} = f_l(x_l).

    Args:
        layers: f_l, [samples, ...] to [samples, ...], each sample by itself.
        inputs: x_0.
        perturbations: random directions of every sample.
        generator: of the directions.

    Raises:
        InputError: a layer that changes the shape of the signal, or that lets no perturbation through.
    """
    size = inputs[0].numel()
    dense = size <= _DENSE
    basis = torch.eye(size, dtype=inputs.dtype, device=inputs.device).reshape(size, 1, *inputs.shape[1:])
    basis = basis.expand(size, *inputs.shape)
    x, u = inputs, _directions(inputs, perturbations, generator)
    logs = [inputs.new_zeros(perturbations, len(inputs))]
    trace = inputs.new_zeros(int(dense), len(inputs))
    for number, layer in enumerate(layers):
        value, images = _tangents(layer, x, torch.cat([u, basis]) if dense else u)
        if value.shape != x.shape:
            raise InputError(
                f"layer {number}: {list(value.shape)} out of {list(x.shape)}; expected layers that keep the shape, as "
                "residual blocks do (the instrument 'signal' takes others)"
            )
        if dense:
            jacobian = images[perturbations:].flatten(2).permute(1, 2, 0)
            trace = trace + torch.linalg.slogdet(jacobian).logabsdet / size
        x, u = value, images[:perturbations]
        lengths = _dot(u, u).sqrt()
        if not (lengths > 0).all():
            raise InputError(f"layer {number}: a perturbation vanishes altogether, so that it has no rate of decay")
        logs.append(logs[-1] + lengths.log())
        u = u / _like(lengths, u)
    products = perturbations + size * int(dense)
    return Tangents(torch.arange(len(logs)).to(inputs), torch.stack(logs), trace, products)


def _directions(inputs: Tensor, perturbations: int, generator: torch.Generator) -> Tensor:
    """Returns unit vectors [perturbations, samples, ...]."""
    drawn = torch.randn(perturbations, *inputs.shape, generator=generator, dtype=torch.float64)
    return (drawn / _like(_dot(drawn, drawn).sqrt(), drawn)).to(inputs)


def _tangents(function: Callable[[Tensor], Tensor], x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the function of x [samples, ...] and J times tangents [n, samples, ...], samples being independent."""
    many = x.repeat(len(tangents), *[1] * (x.ndim - 1))
    found = jvp(function, (many,), (tangents.flatten(0, 1),))
    return found[0][: len(x)], found[1].unflatten(0, (len(tangents), len(x)))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Returns scalar products [n, samples] of [n, samples, ...]."""
    return (a * b).flatten(2).sum(2)


def _like(values: Tensor, states: Tensor) -> Tensor:
    """Returns values [n, samples] with as many dimensions as the states have."""
    return values.reshape(*values.shape, *[1] * (states.ndim - 2))
