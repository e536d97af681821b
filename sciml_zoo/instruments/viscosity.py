"""Viscosity: how fast a network, seen as a medium, damps what is added to its signal.

==========================================  ====================================================================
equation                                    variable
==========================================  ====================================================================
‖δ(z)‖ ∝ exp(−νz)                           ``viscosity`` ν, minus the slope of the least-squares line of log‖δ‖ over z
ν̄ = −(1/nZ) ∫ tr J dz                       ``isotropic`` (Liouville: −log of the volume of a cloud of perturbations);
ν̄ = −(1/nZ) Σ log|det J_l|                  the same for layers
⟨log‖δ(Z)‖/‖δ(0)‖⟩ ≥ −ν̄Z                    equal where all directions are damped alike: stretching hides damping
dx/dz = tanh((W − Wᵀ − νI) x)               :class:`AntisymmetricMedium`: ν = ν̄ for small signals
==========================================  ====================================================================

The tangents are exact, from the variational equation, so that no size of perturbation has to be chosen. The medium is
that of Haber and Ruthotto, Inverse Problems 34, 014004 (2018).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._evaluation import evaluating
from sciml_zoo.instruments._medium import Tangents, through_flow, through_layers
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AntisymmetricMedium", "ViscosityResult", "measure"]

Field = Callable[[Tensor, Tensor], Tensor]
Layers = Iterable[Callable[[Tensor], Tensor]]

# The signal of the demonstration: small enough for tanh to be a line.
_SAMPLES, _AMPLITUDE = 8, 0.01


class AntisymmetricMedium(nn.Module):
    """A continuous-depth network that turns its signal and damps all of it alike.

    Args:
        viscosity: ν, per unit of depth; negative is a medium that amplifies.
        width: units n.
        seed: of W, normal with variance 1/n.

    Raises:
        InputError: a viscosity that is not finite, or fewer than two units.

    Example:
        >>> medium = AntisymmetricMedium(viscosity=2.0)
        >>> round(measure(medium).viscosity, 2)
        2.0
    """

    def __init__(self, viscosity: float = 0.5, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        if not math.isfinite(viscosity) or width < 2:
            raise InputError(f"viscosity {viscosity}, width {width}: expected a finite number and 2 units or more")
        self.viscosity = viscosity
        drawn = torch.randn(width, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.weight = nn.Parameter(drawn / math.sqrt(width))

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        """Returns dx/dz [..., width].

        Args:
            z: depth, on which the medium does not depend.
            x: signal [..., width].
        """
        return torch.tanh(x @ (self.weight - self.weight.T).T - self.viscosity * x)


@dataclass(frozen=True)
class ViscosityResult(Result):
    """The damping of small perturbations.

    Attributes:
        viscosity: ν, per unit of depth (of layers: per layer).
        standard_error: over the inputs, or over the perturbations where there is one input.
        expected: the ν of an :class:`AntisymmetricMedium`, else None.
        isotropic: ν̄, what ν is at most but for the scatter; not a number for layers of more than 256 units.
        isotropic_error: its standard error, over the inputs, or over the probes where there is one input.
        residual: root of the mean squared distance of mean log‖δ‖ from its line; small where the decay is exponential.
        depths: z [points].
        log_norms: mean log‖δ(z)‖/‖δ(0)‖ [points].
        log_norm_errors: standard errors [points].
        local: −d log‖δ‖/dz between neighbouring points [points − 1].
        local_errors: standard errors [points − 1].
        gradients: Jacobian-vector products of the field or of all layers, each over all inputs.
    """

    viscosity: float
    standard_error: float
    expected: float | None
    isotropic: float
    isotropic_error: float
    residual: float
    depths: Tensor
    log_norms: Tensor
    log_norm_errors: Tensor
    local: Tensor
    local_errors: Tensor
    gradients: int

    def plot(self) -> "Figure":
        """Returns log‖δ‖ over depth and the local viscosity, both with theory."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 3.7), layout="constrained")
        decay, local = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
        z = self.depths
        middles = (z[1:] + z[:-1]) / 2
        fitted = f"fit: ν = {self.viscosity:.5g} ± {self.standard_error:.1g}"
        intercept = (self.log_norms.mean() + self.viscosity * z.mean()).item()
        decay.errorbar(
            z,
            self.log_norms,
            self.log_norm_errors,
            fmt="o",
            markersize=3,
            capsize=2,
            label="measured, mean ± standard error",
        )
        decay.plot(z, intercept - self.viscosity * z, color="C1", label=fitted)
        local.errorbar(
            middles,
            self.local,
            self.local_errors,
            fmt="o",
            markersize=3,
            capsize=2,
            label="between two depths",
        )
        local.axhline(self.viscosity, color="C1", label=fitted)
        for value, name, line in (
            (self.expected, "set, for small signals:", "--"),
            (self.isotropic, "Liouville: −⟨tr J⟩/n =", ":"),
        ):
            if value is not None and math.isfinite(value):
                decay.plot(z, -value * z, line, color="0.3", label=f"theory, {name} {value:.5g}")
                local.axhline(value, linestyle=line, color="0.3")
        decay.set_xlabel("depth z")
        decay.set_ylabel("log ‖δ(z)‖/‖δ(0)‖")
        decay.legend(fontsize=8)
        local.set_xlabel("depth z")
        local.set_ylabel("local viscosity −d log‖δ‖/dz, 1/depth")
        # A scale that shows the scatter, and not the rounding of numbers that are equal.
        low, high = (self.local - self.local_errors).min().item(), (self.local + self.local_errors).max().item()
        margin = max(0.1 * (high - low), 0.02 * max(abs(low), abs(high)), 1e-3)
        local.set_ylim(low - margin, high + margin)
        local.legend(fontsize=8)
        return figure


def measure(
    model: Field | Layers | None = None,
    inputs: Tensor | None = None,
    *,
    depth: float = 4.0,
    points: int = 33,
    perturbations: int = 16,
    tolerance: float | None = None,
    seed: int = 0,
) -> ViscosityResult:
    """Measures the viscosity of a network.

    Args:
        model: a vector field f(z, x), module or function, as torchdiffeq takes it (None: an
            :class:`AntisymmetricMedium` of ν = 0.5); or the layers of a residual network, a list or a
            ``torch.nn.Sequential`` of modules that keep the shape. Each sample must be treated by itself. Modules run
            in evaluation mode, and are left as they were.
        inputs: the signal at z = 0, [samples, ...]; may be left out for an :class:`AntisymmetricMedium`.
        depth: Z of a vector field; layers have one unit of depth each.
        points: of a vector field, depths at which log‖δ‖ is read, 3 or more.
        perturbations: random directions of every sample, 2 or more.
        tolerance: of the integrator; None: the root of the precision of the inputs.
        seed: of the directions.

    Returns:
        ν beside the theory.

    Raises:
        InputError: inputs or settings out of range, or a model that changes the shape of the signal.
        FailureError: the integrator cannot reach the tolerance.
    """
    if model is None:
        model = AntisymmetricMedium()
    generator = torch.Generator().manual_seed(seed)
    if inputs is None and isinstance(model, AntisymmetricMedium):
        drawn = torch.randn(_SAMPLES, len(model.weight), generator=generator, dtype=torch.float64)
        inputs = (_AMPLITUDE * drawn).to(model.weight)
    if inputs is None or inputs.ndim < 2 or not inputs.is_floating_point() or not inputs.isfinite().all():
        given = "no inputs" if inputs is None else f"inputs {inputs.dtype} {list(inputs.shape)}"
        raise InputError(f"{given}: expected finite signals at z = 0, [samples, ...], in floating point")
    if not (math.isfinite(depth) and depth > 0 and points >= 3 and perturbations >= 2):
        raise InputError(
            f"depth {depth}, {points} points, {perturbations} perturbations: expected a positive depth, 3 points or "
            "more, and 2 perturbations or more"
        )
    layers = list(model) if isinstance(model, (list, tuple, nn.ModuleList, nn.Sequential)) else None
    with evaluating([model] if layers is None else layers), torch.no_grad():
        if layers is not None:
            if len(layers) < 2:
                raise InputError(f"{len(layers)} layers: expected 2 or more, each a step in depth")
            found = through_layers(layers, inputs.detach(), perturbations, generator)
        elif callable(model):
            tolerance = math.sqrt(torch.finfo(inputs.dtype).eps) if tolerance is None else tolerance
            depths = torch.linspace(0, depth, points, dtype=inputs.dtype, device=inputs.device)
            found = through_flow(model, inputs.detach(), depths, perturbations, generator, tolerance)
        else:
            raise InputError(f"a model of type {type(model).__name__}; expected f(z, x) or a list of layers")
    return _fit(found, model.viscosity if isinstance(model, AntisymmetricMedium) else None)


def _fit(tangents: Tangents, expected: float | None) -> ViscosityResult:
    z, logs = tangents.depths.double().cpu(), _independent(tangents.logs.double().cpu())
    mean, errors = _mean(logs)
    centred = z - z.mean()
    viscosity, standard_error = _mean(-(centred @ logs) / (centred @ centred))
    local, local_errors = _mean(-logs.diff(dim=0) / z.diff()[:, None])
    isotropic = isotropic_error = torch.tensor(math.nan)
    if len(tangents.traces):
        isotropic, isotropic_error = _mean(-_independent(tangents.traces.double().cpu()[None])[0] / (z[-1] - z[0]))
    residual = mean - mean.mean() + viscosity * centred
    return ViscosityResult(
        viscosity.item(),
        standard_error.item(),
        expected,
        isotropic.item(),
        isotropic_error.item(),
        residual.square().mean().sqrt().item(),
        z,
        mean,
        errors,
        local,
        local_errors,
        tangents.products,
    )


def _independent(values: Tensor) -> Tensor:
    """Returns what is independent of [points, perturbations, samples]: means over perturbations, if samples are many.

    Perturbations of one sample meet the same signal.
    """
    return values[:, :, 0] if values.shape[2] == 1 else values.mean(1)


def _mean(values: Tensor) -> tuple[Tensor, Tensor]:
    """Returns means over the last dimension and their standard errors; one value alone has none (0)."""
    n = values.shape[-1]
    errors = values.std(-1) / math.sqrt(n) if n > 1 else torch.zeros_like(values[..., 0])
    return values.mean(-1), errors
