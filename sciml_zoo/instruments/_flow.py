"""Gradient descent against the gradient flow that it discretises, at the same total time t = ηk.

==========================================  =====================================================
θ_{k+1} = θ_k − η∇L(θ_k)                    descent
dθ/dt = −∇L(θ)                              ``flow``: descent of infinitely many, infinitely small steps
dθ/dt = −∇(L + (η/4)‖∇L‖²)                  ``modified`` flow: descent to one order of η more
==========================================  =====================================================

Over a fixed time, ‖descent − flow‖ = O(η) and ‖descent − modified‖ = O(η²) (Barrett & Dherin, "Implicit gradient
regularization", ICLR 2021). A flow only falls: it has no chaos and no edge of stability.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import grad, vmap

from sciml_zoo.errors import InputError
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FlowResult", "draw_flow", "flow_against_descent"]


@dataclass(frozen=True)
class FlowResult(Result):
    """Losses and distances of descent, flow and modified flow from one start.

    Attributes:
        learning_rate: η, also the time of one step.
        times: t = ηk [steps + 1].
        descent: loss of gradient descent [steps + 1].
        flow: loss of the gradient flow [steps + 1].
        modified: loss of the modified flow [steps + 1].
        distance: ‖descent − flow‖ [steps + 1].
        distance_modified: ‖descent − modified flow‖ [steps + 1].
        gradients: gradients of the loss; one of the modified loss counts as three.
    """

    learning_rate: float
    times: Tensor
    descent: Tensor
    flow: Tensor
    modified: Tensor
    distance: Tensor
    distance_modified: Tensor
    gradients: int

    def plot(self) -> "Figure":
        """Returns a figure of the losses over time."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 4), layout="constrained")
        draw_flow(figure.add_subplot(), self)
        return figure


def draw_flow(axes: "Axes", result: FlowResult) -> None:
    """Draws the losses over time, on axes that exist.

    Args:
        axes: to draw on.
        result: to draw.
    """
    times = result.times.cpu()
    axes.plot(times, result.descent.cpu(), "o", markersize=3, label=f"descent, η = {result.learning_rate:g}")
    axes.plot(times, result.flow.cpu(), color="0.4", label="gradient flow")
    axes.plot(times, result.modified.cpu(), "--", color="tab:red", label="flow of L + (η/4)‖∇L‖²")
    axes.set_xlabel("time t = ηk")
    axes.set_ylabel("loss")
    axes.legend()


def flow_against_descent(
    loss: Callable[[Tensor], Tensor], start: Tensor, learning_rate: float, steps: int, *, tolerance: float = 1e-9
) -> FlowResult:
    """Descends a loss in steps, and as a flow for the same time.

    Args:
        loss: a scalar function of a flat tensor.
        start: θ₀ [n]; float64 where the tolerance is below 1e-6.
        learning_rate: η.
        steps: of descent; the flows run for the time η · steps.
        tolerance: relative and absolute, of the flows' integration (Dormand–Prince 5(4)).

    Returns:
        Losses and distances at every step.

    Raises:
        InputError: a start that is not flat, settings that are not positive, or descent that left the finite numbers.
    """
    from torchdiffeq import odeint

    if start.ndim != 1:
        raise InputError(f"start has shape {list(start.shape)}; expected a flat tensor [n]")
    if not learning_rate > 0 or steps < 1 or not tolerance > 0:
        raise InputError(f"learning_rate {learning_rate}, steps {steps}, tolerance {tolerance}: expected positive")
    slope = grad(loss)

    def modified_loss(theta: Tensor) -> Tensor:
        return loss(theta) + learning_rate / 4 * slope(theta).square().sum()

    states = [start.detach()]
    for _ in range(steps):
        states.append((states[-1] - learning_rate * slope(states[-1])).detach())
    descent = torch.stack(states)
    if not bool(descent.isfinite().all()):
        raise InputError(f"descent at learning rate {learning_rate} left the finite numbers; take a smaller one")
    times = learning_rate * torch.arange(steps + 1, dtype=start.dtype, device=start.device)
    calls = [0, 0]

    def field(which: int, of: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def velocity(_time: Tensor, theta: Tensor) -> Tensor:
            calls[which] += 1
            return -of(theta)

        return velocity

    with torch.no_grad():
        flow, modified = (
            odeint(field(which, of), start.detach(), times, rtol=tolerance, atol=tolerance, method="dopri5")
            for which, of in enumerate((slope, grad(modified_loss)))
        )
        losses = [vmap(loss, chunk_size=16)(orbit) for orbit in (descent, flow, modified)]
    return FlowResult(
        learning_rate=learning_rate,
        times=times,
        descent=losses[0],
        flow=losses[1],
        modified=losses[2],
        distance=(descent - flow).norm(dim=1),
        distance_modified=(descent - modified).norm(dim=1),
        gradients=steps + calls[0] + 3 * calls[1],
    )
