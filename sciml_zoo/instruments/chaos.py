"""Training as a map θ ← F(θ): its Lyapunov exponents, and where it leads.

=======================================  =======================================================
λ_i = lim (1/T) Σ_t ln |R_ii(t)|          ``spectrum``, natural logarithm per step, largest first
F(θ) = θ − η∇L(θ)                        :func:`gradient_descent_map`, :func:`training_map`
J v = v − η∇²L v                         Jacobian-vector product; ∇²L is never formed
λ_i = ln |1 − ηh_i|                      at a minimum with ∇²L = diag(h)
λ₁ = 0 at η = 2/h_max                    the edge of stability
=======================================  =======================================================

λ₁ < 0: neighbouring starts come together; λ₁ > 0: they part, and training is chaotic or leaves the minimum.

Two losses of one weight have a descent that is exactly solved. For L = 4θ³/3 − 3θ²/2 and η = 1 it is the logistic map
4θ(1 − θ), λ = ln 2; for the double well L = (θ² − 1)²/4 and η = 2 it is Chebyshev's cubic, with θ = √2 cos φ:
φ ← 3φ + π, λ = ln 3. In floating point such orbits do not last for ever. Some starts fall exactly on
a fixed point (θ = 1/4, 1/2 and 3/4 of the logistic map; 0 and ±1 of the double well); any orbit that passes a critical
point to within √ε may by rounding do so too, or leave the invariant interval and diverge: a matter of some 10⁷ steps in
float64, and of some thousand in float32. Take float64, and a start such as 0.3.

Benettin et al., Meccanica 15, 9 (1980); Cohen et al., "Gradient descent on neural networks typically occurs at the edge
of stability", ICLR 2021.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import grad

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._basins import BasinResult, basins, draw_basins
from sciml_zoo.instruments._flow import FlowResult, draw_flow, flow_against_descent
from sciml_zoo.instruments._lyapunov import SMALL, tangent_growth
from sciml_zoo.instruments._objective import Objective
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BasinResult",
    "ChaosResult",
    "FlowResult",
    "SweepResult",
    "basins",
    "flow_against_descent",
    "gradient_descent_map",
    "measure",
    "sweep",
    "training_map",
]

# At most so many running estimates are kept.
_RUNNING = 200
# Exponents that are measured unless it is said how many.
_FOLLOWED = 100


@dataclass(frozen=True)
class SweepResult(Result):
    """The largest exponent over the learning rate.

    Attributes:
        learning_rates: η [m].
        exponents: λ₁ [m], per step.
        standard_errors: of ``exponents`` [m].
        curvatures: eigenvalues of the Hessian at a minimum [n], or None.
        gradients: gradients of the loss; a Jacobian-vector product counts as two.
    """

    learning_rates: Tensor
    exponents: Tensor
    standard_errors: Tensor
    curvatures: Tensor | None
    gradients: int

    def theory(self) -> Tensor:
        """Returns ln max_i |1 − ηh_i| at the minimum [m], which attracts where this is negative.

        Raises:
            InputError: the sweep was given no curvatures.
        """
        if self.curvatures is None:
            raise InputError("the sweep was given no curvatures; pass the Hessian's eigenvalues to sweep()")
        return _at_minimum(self.learning_rates, self.curvatures)

    def plot(self) -> "Figure":
        """Returns a figure of λ₁ over η."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 4), layout="constrained")
        _draw_sweep(figure.add_subplot(), self)
        return figure


@dataclass(frozen=True)
class ChaosResult(Result):
    """Lyapunov exponents of a map.

    Attributes:
        spectrum: λ [k], largest first, natural logarithm per step; −inf for a direction that is annihilated.
        standard_errors: of ``spectrum`` [k], from the scatter of means over blocks of steps.
        running_steps: steps counted so far [r].
        running: estimates after as many steps [r, k], in the order of ``spectrum``.
        theory: exponents that are known [k], or None.
        end: the last point of the orbit [n].
        gradients: applications of the map, for training maps gradients of the loss; a Jacobian-vector product counts
            as two.
        sweep: the largest exponent over the learning rate; of the demonstration alone.
        flow: descent against flow; of the demonstration alone.
        basins: where a plane of starts comes to rest; of the demonstration alone.
    """

    spectrum: Tensor
    standard_errors: Tensor
    running_steps: Tensor
    running: Tensor
    theory: Tensor | None
    end: Tensor
    gradients: int
    sweep: SweepResult | None = None
    flow: FlowResult | None = None
    basins: BasinResult | None = None

    def plot(self) -> "Figure":
        """Returns a figure of the running estimates, the spectrum, and what the demonstration holds beside them."""
        from matplotlib.figure import Figure

        parts: list[Callable[[Axes], None]] = [lambda axes: _draw_running(axes, self)]
        if len(self.spectrum) > 1:
            parts.append(lambda axes: _draw_spectrum(axes, self))
        if (swept := self.sweep) is not None:
            parts.append(lambda axes: _draw_sweep(axes, swept))
        if (flow := self.flow) is not None:
            parts.append(lambda axes: draw_flow(axes, flow))
        if (plane := self.basins) is not None:
            parts.append(lambda axes: draw_basins(axes, plane))
        rows = 1 if len(parts) < 3 else 2
        columns = -(-len(parts) // rows)
        figure = Figure(figsize=(5 * columns, 4 * rows), layout="constrained")
        for i, draw in enumerate(parts):
            draw(figure.add_subplot(rows, columns, i + 1))
        return figure


def gradient_descent_map(loss: Callable[[Tensor], Tensor], learning_rate: float | Tensor) -> Callable[[Tensor], Tensor]:
    """Returns one step of gradient descent, θ ↦ θ − η∇L(θ).

    Args:
        loss: a scalar function of a flat tensor, made of torch operations.
        learning_rate: η, or one for each weight [n].
    """

    def step(parameters: Tensor) -> Tensor:
        return parameters - learning_rate * grad(loss)(parameters)

    return step


def training_map(
    model: nn.Module, loss: Callable[[nn.Module], Tensor], learning_rate: float
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Takes one step of full-batch gradient descent on a model as a map of its parameters.

    Tangents of this map take Hessian-vector products alone. The model stays as it is.

    Args:
        model: some of whose parameters require a gradient.
        loss: of a model, a scalar, on data of the caller's; without randomness.
        learning_rate: η.

    Returns:
        The map of flat parameters, and the model's parameters as they are [n]: ``measure(*training_map(…), steps)``.
    """
    objective = Objective(model, loss)
    descent = gradient_descent_map(objective, learning_rate)
    try:
        descent(objective.start)
    except (RuntimeError, NotImplementedError):
        return _own_gradient_map(objective, learning_rate), objective.start
    return descent, objective.start


def _own_gradient_map(objective: Objective, learning_rate: float) -> Callable[[Tensor], Tensor]:
    """Returns gradient descent for models that torch.func cannot enter, such as those with compiled gradients."""

    def step(parameters: Tensor) -> Tensor:
        at = parameters.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(objective(at), at)
        return parameters.detach() - learning_rate * gradient

    return step


def measure(
    step_map: Callable[[Tensor], Tensor] | None = None,
    start: Tensor | Sequence[float] | float | None = None,
    steps: int = 1000,
    *,
    exponents: int | None = None,
    transient: int | None = None,
    blocks: int = 10,
    theory: Sequence[float] | Tensor | None = None,
    seed: int = 0,
) -> ChaosResult:
    """Measures Lyapunov exponents along an orbit; without a map, shows them on small losses that are solved.

    The standard errors assume that blocks are longer than the orbit's memory; where the logarithms of an orbit cancel
    from step to step, as for the maps above, they are larger than the true errors.

    Args:
        step_map: F, differentiable, of a flat tensor to one of the same shape.
        start: θ₀ [n]; or one number, for a map of one number. What is no tensor is taken in float64.
        steps: over which growth is averaged.
        exponents: how many, k; all of up to 100 unless given.
        transient: steps before those, in which the orbit settles and the tangents align; a tenth of ``steps`` unless
            given. Fewer than all exponents need about 20/(λ_k − λ_{k+1}) of them.
        blocks: of steps, for the standard errors; no more than there are steps.
        theory: exponents to draw beside, largest first [k].
        seed: of the first tangents.

    Returns:
        The exponents.

    Raises:
        InputError: a map without a start, a start or an image that is not a flat floating tensor of one shape, settings
            out of range, or an orbit that leaves the finite numbers.
    """
    if step_map is None:
        return _demonstration(seed)
    if start is not None and not isinstance(start, Tensor):
        start = torch.as_tensor(start, dtype=torch.float64)
    if start is not None and start.ndim == 0:
        number = step_map
        start, step_map = start.reshape(1), lambda flat: number(flat[0]).reshape(1)
    blocks = min(blocks, steps)
    if start is None or start.ndim != 1 or not start.is_floating_point() or len(start) == 0:
        shown = None if start is None else f"{start.dtype} of shape {list(start.shape)}"
        raise InputError(f"start is {shown}; expected a flat floating tensor [n]")
    count = min(len(start), _FOLLOWED) if exponents is None else exponents
    before = steps // 10 if transient is None else transient
    if not 1 <= count <= len(start):
        raise InputError(f"{count} exponents of a map of {len(start)} weights; expected 1 to {len(start)}")
    if before < 0 or blocks < 2:
        raise InputError(
            f"steps {steps}, transient {before}, blocks {blocks}: expected at least two steps and blocks, and a "
            "transient of zero or more"
        )
    if theory is not None and len(theory) != count:
        raise InputError(f"theory names {len(theory)} exponents, {count} are measured")
    image = step_map(start.detach())
    if image.shape != start.shape:
        raise InputError(f"the map takes {list(start.shape)} to {list(image.shape)}; expected the same shape")
    logs, end = tangent_growth(step_map, start, steps, before, count, seed)
    means = torch.stack([block.mean(0) for block in logs.tensor_split(blocks)])
    order = logs.mean(0).argsort(descending=True)
    kept = torch.logspace(0, math.log10(steps), _RUNNING, device=logs.device).round().long().unique()
    sums = logs.cumsum(0)
    return ChaosResult(
        spectrum=logs.mean(0)[order],
        standard_errors=(means.std(0) / math.sqrt(blocks))[order],
        running_steps=kept,
        running=(sums[kept - 1] / kept[:, None])[:, order],
        theory=None if theory is None else torch.as_tensor(theory, dtype=torch.float64, device=logs.device),
        end=end,
        gradients=1 + (steps + before) * (1 + 2 * (len(start) if len(start) <= SMALL else count)),
    )


def sweep(
    loss: Callable[[Tensor], Tensor],
    start: Tensor,
    learning_rates: Sequence[float] | Tensor,
    steps: int,
    *,
    exponents: int = 1,
    transient: int | None = None,
    curvatures: Tensor | None = None,
) -> SweepResult:
    """Measures the largest exponent of gradient descent at several learning rates.

    Args:
        loss: a scalar function of a flat tensor.
        start: θ₀ of every orbit [n]; a minimum, to see its edge of stability.
        learning_rates: η [m].
        steps: over which growth is averaged.
        exponents: how many tangents are followed; more than one tell apart growth rates that are close.
        transient: steps before those; a tenth of ``steps`` unless given.
        curvatures: eigenvalues of the Hessian at the minimum that the theory is about [n].

    Returns:
        The largest exponents.
    """
    found = [
        measure(gradient_descent_map(loss, float(rate)), start, steps, exponents=exponents, transient=transient)
        for rate in learning_rates
    ]
    return SweepResult(
        learning_rates=torch.as_tensor(learning_rates, dtype=torch.float64).cpu(),
        exponents=torch.stack([each.spectrum[0] for each in found]).cpu(),
        standard_errors=torch.stack([each.standard_errors[0] for each in found]).cpu(),
        curvatures=None if curvatures is None else curvatures.detach().double().cpu(),
        gradients=sum(each.gradients for each in found),
    )


def _double_well(theta: Tensor) -> Tensor:
    return (theta**2 - 1).square().sum() / 4


def _factorised(theta: Tensor) -> Tensor:
    """Returns the loss of y = abx, fitted to y = x with weight decay 0.1: minima at a = b = ±√0.9."""
    return (theta[0] * theta[1] - 1).square() / 2 + 0.05 * theta.square().sum()


def _demonstration(seed: int) -> ChaosResult:
    """Returns what is known: the double well at η = 2, its edge of stability, and two linear weights in series."""
    start = torch.tensor([0.3], dtype=torch.float64)
    chaotic = measure(gradient_descent_map(_double_well, 2.0), start, 3000, theory=[math.log(3)], seed=seed)
    # The minimum has curvature 2; its edge lies at η = 1.
    rates = torch.linspace(0.1, 2.0, 20, dtype=torch.float64)
    swept = sweep(_double_well, start, rates, 250, curvatures=torch.tensor([2.0]))
    flow = flow_against_descent(_factorised, torch.tensor([1.6, 0.4], dtype=torch.float64), 0.2, 20)
    plane = basins(
        gradient_descent_map(_factorised, 0.6),
        torch.zeros(2, dtype=torch.float64),
        torch.eye(2, dtype=torch.float64),
        200,
        extent=3.0,
        resolution=121,
    )
    gradients = chaotic.gradients + swept.gradients + flow.gradients + plane.gradients
    fields = {name: getattr(chaotic, name) for name in chaotic.__dataclass_fields__}
    return ChaosResult(**fields | {"gradients": gradients, "sweep": swept, "flow": flow, "basins": plane})


def _at_minimum(learning_rates: Tensor, curvatures: Tensor) -> Tensor:
    return (1 - learning_rates[:, None] * curvatures).abs().amax(1).log()


def _draw_running(axes: "Axes", result: ChaosResult) -> None:
    steps, running = result.running_steps.cpu(), result.running.cpu()
    shown = min(5, running.shape[1])
    for i in range(shown):
        value, error = float(result.spectrum[i]), float(result.standard_errors[i])
        line = axes.plot(steps, running[:, i], linewidth=1)[0]
        label = f"λ{i + 1} = {value:.4f} ± {error:.4f}"
        axes.errorbar([int(steps[-1])], [value], [error], fmt="o", color=line.get_color(), capsize=3, label=label)
        if result.theory is not None:
            known = float(result.theory[i])
            axes.axhline(known, color="0.4", linestyle="--", label=f"theory {known:.4f}")
    axes.set_xscale("log")
    axes.set_xlabel("steps counted")
    axes.set_ylabel("running estimate of λ, per step")
    if running.shape[1] > shown:
        axes.set_title(f"the largest {shown} of {running.shape[1]}")
    axes.legend()


def _draw_spectrum(axes: "Axes", result: ChaosResult) -> None:
    index = torch.arange(1, len(result.spectrum) + 1)
    if result.theory is not None:
        axes.plot(index, result.theory.cpu(), color="0.4", label="theory")
    axes.errorbar(
        index, result.spectrum.cpu(), result.standard_errors.cpu(), fmt="o", markersize=4, capsize=3, label="measured"
    )
    axes.axhline(0, color="0.8", linewidth=1)
    axes.set_xlabel("index i")
    axes.set_ylabel("λ_i, per step")
    axes.legend()


def _draw_sweep(axes: "Axes", result: SweepResult) -> None:
    rates = result.learning_rates
    if result.curvatures is not None:
        fine = torch.linspace(float(rates.min()), float(rates.max()), 400, dtype=torch.float64)
        axes.plot(fine, _at_minimum(fine, result.curvatures), color="0.4", label="at the minimum, ln max |1 − ηh|")
        edge = 2 / float(result.curvatures.max())
        axes.axvline(edge, color="tab:red", linestyle=":", label=f"2/h_max = {edge:.4g}")
    axes.errorbar(rates, result.exponents, result.standard_errors, fmt="o", markersize=4, capsize=2, label="measured")
    axes.axhline(0, color="0.8", linewidth=1)
    finite = result.exponents[result.exponents.isfinite()]
    if len(finite):
        # The theory falls to −∞ where one step reaches the minimum.
        axes.set_ylim(float(finite.min()) - 0.5, max(0.5, float(finite.max()) + 0.5))
    axes.set_xlabel("learning rate η")
    axes.set_ylabel("largest exponent λ₁, per step")
    axes.legend()
