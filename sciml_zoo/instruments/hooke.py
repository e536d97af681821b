"""Hooke's neuron: a linear neuron is a spring.

A linear neuron ŷ = w·x on n examples has the loss L = ⟨(w·x − y)²⟩/2, a parabola. Along every principal direction v of
the inputs it is a spring, and gradient descent shortens it by the same factor at every step:

=======================================  ==========================================================
equation                                 variable
=======================================  ==========================================================
h = λ(⟨x xᵀ⟩)                             ``stiffness``, largest first: the eigenvalues of the Hessian
x = v·(w − w*)                            displacement from the best weights w* (``optimum``)
F = −v·∂L/∂w = −hx                        ``forces`` at ``displacements``; their fit ``measured_stiffness``
L − L* = ½ Σ h x²                         ``energies``
x ← (1 − ηh) x                            ``trajectory``; its fit ``measured_contraction``
=======================================  ==========================================================

Below ηh = 1 the error shrinks monotonically, at 1 one step is enough, up to 2 it changes sign at every step, and beyond
it grows: the limit h < 2/η of every training by gradient descent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HookeResult", "measure"]

# So many displacements of each spring, between −1 and 1.
_DISPLACEMENTS = 10
_DRAWN = 4


@dataclass(frozen=True)
class HookeResult(Result):
    """The springs of a linear neuron on data, k of them, stiffest first.

    Directions that the inputs do not span have no spring and are left out.

    Attributes:
        learning_rate: η.
        optimum: w* [d], the best weights (of least norm where there are several).
        stiffness: h, from the inputs [k].
        displacements: x, that the springs were held at [m].
        forces: F, by differentiation of the loss [k, m].
        energies: L − L* [k, m].
        measured_stiffness: the fit of F = −hx [k].
        stiffness_error: its standard error [k].
        trajectory: x over the steps of ``torch.optim.SGD`` [steps + 1, k].
        contraction: 1 − ηh [k].
        measured_contraction: the fit of x after a step to x before it [k]; NaN for a spring that was at rest.
        contraction_error: its standard error [k].
        deviation: the largest |x after a step − (1 − ηh) x before it| of all steps, over the largest |x|.
        gradients: evaluations of the gradient of the loss on all examples.
    """

    learning_rate: float
    optimum: Tensor
    stiffness: Tensor
    displacements: Tensor
    forces: Tensor
    energies: Tensor
    measured_stiffness: Tensor
    stiffness_error: Tensor
    trajectory: Tensor
    contraction: Tensor
    measured_contraction: Tensor
    contraction_error: Tensor
    deviation: float
    gradients: int

    def plot(self) -> Figure:
        """Draws force and energy over displacement, and displacement over steps, of the stiffest springs.

        Returns:
            The figure: what was measured as points, the law as lines.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(13.5, 3.9), layout="constrained")
        force, energy, decay = figure.subplots(1, 3)
        x = self.displacements.cpu()
        line = torch.linspace(float(x.min()), float(x.max()), 101, dtype=x.dtype)
        steps = torch.arange(len(self.trajectory))
        for i, h in enumerate(self.stiffness[:_DRAWN].tolist()):
            colour, path = f"C{i}", self.trajectory[:, i].abs().cpu()
            measured = float(self.measured_stiffness[i])
            force.plot(x, self.forces[i].cpu(), "o", color=colour, label=f"fitted h = {measured:.6g}, exact {h:.6g}")
            force.plot(line, -h * line, color=colour)
            energy.plot(x, self.energies[i].cpu(), "o", color=colour)
            energy.plot(line, 0.5 * h * line.square(), color=colour)
            factor = float(self.contraction[i])
            decay.semilogy(steps, path, "o", markersize=3, color=colour)
            decay.semilogy(steps, path[0] * abs(factor) ** steps, color=colour, label=f"1 − ηh = {factor:.5g}")
        largest = float(self.trajectory.abs().max())
        decay.set_ylim(bottom=max(1e-17 * largest, 0.5 * float(self.trajectory[self.trajectory != 0].abs().min())))
        force.set(xlabel="displacement x (weight)", ylabel="force F (loss / weight)", title="F = −hx")
        energy.set(xlabel="displacement x (weight)", ylabel="energy L − L* (loss)", title="L − L* = ½hx²")
        decay.set(
            xlabel="step of gradient descent", ylabel="|x| (weight)", title=f"x ← (1 − ηh)x, η = {self.learning_rate:g}"
        )
        for axes in (force, energy):
            axes.locator_params(axis="x", nbins=5)
        for axes in (force, decay):
            axes.legend(loc="lower left", fontsize="small")
        return figure


def measure(
    inputs: Tensor | None = None,
    targets: Tensor | None = None,
    *,
    learning_rate: float = 0.1,
    steps: int = 60,
    start: Tensor | None = None,
    seed: int = 0,
) -> HookeResult:
    """Holds a linear neuron at displacements from its best weights, then lets gradient descent bring it back.

    Every force is a gradient by autograd, every step one of ``torch.optim.SGD``; the law comes from the singular values
    of the inputs in float64. A neuron with a bias is one with an input that is always 1.

    Args:
        inputs: x of the examples [n, d] or [n]; without them, two made-up inputs of different variance.
        targets: y of the examples [n].
        learning_rate: η.
        steps: of gradient descent.
        start: the weights to start from [d]; without them, one unit beyond the best along every direction.
        seed: of the made-up examples.

    Returns:
        The springs, measured and exact, on the device of the inputs.

    Raises:
        InputError: inputs without targets, of other shapes, not finite or all zero, or a value out of range; or the
            weights overflowed, because ηh is far beyond 2.
    """
    if inputs is None and targets is None:
        inputs, targets = _examples(seed)
    x, y = _check(inputs, targets)
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"learning_rate is {learning_rate}; expected a finite number, more than zero")
    if steps < 1:
        raise InputError(f"steps is {steps}; expected 1 or more")
    if start is not None and start.shape != (x.shape[1],):
        raise InputError(f"start has shape {list(start.shape)}; expected [{x.shape[1]}], one weight for every input")

    left, singular, directions = torch.linalg.svd(x.double(), full_matrices=False)
    spanned = singular > singular[0] * max(x.shape) * torch.finfo(torch.float64).eps
    left, singular, directions = left[:, spanned], singular[spanned], directions[spanned]
    stiffness = singular.square() / len(x)
    optimum = (left.T @ y.double() / singular) @ directions

    neuron = nn.utils.skip_init(nn.Linear, x.shape[1], 1, bias=False, dtype=x.dtype, device=x.device)
    optimizer = torch.optim.SGD(neuron.parameters(), lr=learning_rate)
    lowest = _pull(neuron, x, y, optimum)
    held = torch.linspace(-1.0, 1.0, _DISPLACEMENTS, dtype=torch.float64, device=x.device)
    forces, energies = torch.zeros(2, len(stiffness), len(held), dtype=torch.float64, device=x.device)
    for i, direction in enumerate(directions):
        for j, displacement in enumerate(held):
            energies[i, j] = _pull(neuron, x, y, optimum + displacement * direction) - lowest
            forces[i, j] = -(neuron.weight.grad[0].double() @ direction)

    path = [optimum + directions.sum(0) if start is None else start.to(optimum)]
    for step in range(steps):
        _pull(neuron, x, y, path[0] if step == 0 else None)
        optimizer.step()
        path.append(neuron.weight.detach()[0].to(torch.float64, copy=True))
    path[0] = path[0].to(x.dtype).double()  # where the neuron really was
    trajectory = (torch.stack(path) - optimum) @ directions.T
    if not trajectory.isfinite().all():
        raise InputError(
            f"the weights overflowed within {steps} steps: take learning_rate below 2/h = {2 / float(stiffness[0]):g}"
        )
    contraction = 1 - learning_rate * stiffness
    measured_stiffness, stiffness_error = _fit(held.expand_as(forces), -forces)
    measured_contraction, contraction_error = _fit(trajectory[:-1].T, trajectory[1:].T)
    deviation = (trajectory[1:] - contraction * trajectory[:-1]).abs().max() / trajectory.abs().max()
    return HookeResult(
        learning_rate=learning_rate,
        optimum=optimum,
        stiffness=stiffness,
        displacements=held,
        forces=forces,
        energies=energies,
        measured_stiffness=measured_stiffness,
        stiffness_error=stiffness_error,
        trajectory=trajectory,
        contraction=contraction,
        measured_contraction=measured_contraction,
        contraction_error=contraction_error,
        deviation=float(deviation),
        gradients=1 + forces.numel() + steps,
    )


def _pull(neuron: nn.Linear, x: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
    """Returns the loss in float64, and leaves its gradient; at given weights [d], or where the neuron is."""
    if weights is not None:
        with torch.no_grad():
            neuron.weight.copy_(weights[None])
    neuron.zero_grad()
    loss = (neuron(x)[:, 0] - y).square().mean() / 2
    loss.backward()
    return loss.detach().double()


def _fit(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Returns slopes of lines through the origin and their standard errors [k], of points [k, n]."""
    square = x.square().sum(1)
    slope = (x * y).sum(1) / square
    scatter = (y - slope[:, None] * x).square().sum(1) / max(1, x.shape[1] - 1)
    return slope, (scatter / square).sqrt()


def _examples(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(200, 2, dtype=torch.float64, generator=generator) * torch.tensor([2.0, 1.0])
    noise = torch.randn(200, dtype=torch.float64, generator=generator)
    return x, x @ torch.tensor([0.7, -0.4], dtype=torch.float64) + 0.3 * noise


def _check(inputs: Tensor | None, targets: Tensor | None) -> tuple[Tensor, Tensor]:
    if inputs is None or targets is None:
        raise InputError("expected inputs and targets, or neither")
    x = inputs.detach()[:, None] if inputs.ndim == 1 else inputs.detach()
    if x.ndim != 2 or targets.shape != x.shape[:1] or x.numel() == 0:
        raise InputError(
            f"inputs of shape {list(inputs.shape)} and targets of shape {list(targets.shape)}: expected [n, d] and [n]"
        )
    if not x.is_floating_point():
        raise InputError(f"inputs are {x.dtype}; expected floating-point numbers")
    y = targets.detach().to(x)
    for name, values in (("inputs", x), ("targets", y)):
        wrong = (~values.isfinite()).nonzero()
        if len(wrong):
            raise InputError(f"{name}: example {int(wrong[0, 0])} is not finite; leave it out")
    if not x.any():
        raise InputError("inputs are all zero: no force acts on any weight")
    return x, y
