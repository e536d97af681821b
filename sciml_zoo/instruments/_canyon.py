"""Gradient descent in a canyon: how it zig-zags along the sharpest direction of the loss.

==========================================  ==========================================================================
equation                                    variable
==========================================  ==========================================================================
θ′ = θ − ηg,  g′ = g − ηHg + O(η²)            one step of :func:`walk`
cos(g, g′) ≈ cos(g, g − ηHg)                 ``Canyon.cosines`` against ``Canyon.predicted_cosines``
u · g′ ≈ (1 − ηλ_max) u · g                    ``Canyon.ratios``: negative where the walk crosses the canyon
==========================================  ==========================================================================
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._curvature_figures import canyon_figure
from sciml_zoo.instruments._hessian_products import HessianProducts
from sciml_zoo.instruments._lanczos import largest
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Canyon", "require_walk", "walk"]

# The curvature is taken at about so many points of a walk, by so many products each.
_RECORDS, _ITERATIONS = 60, 8


@dataclass(frozen=True)
class Canyon(Result):
    """A walk of gradient descent, and how it zig-zags along the sharpest direction.

    Attributes:
        learning_rate: η.
        losses: before every step and after the last [t + 1].
        cosines: between successive gradients [t].
        steps: where the following were taken [r].
        sharpness: λ_max [r].
        sharpness_errors: residuals [r].
        predicted_cosines: cos(g, g − ηHg), those of ``cosines`` at ``steps`` on a quadratic loss [r].
        ratios: u · g′/u · g of this step and the next along the sharpest direction [r]; 1 − ηλ_max on a quadratic loss.
        zigzag: share of ``steps`` at which that direction changed its sign.
        gradients: what it cost, in gradient evaluations.
    """

    learning_rate: float
    losses: NDArray[np.float64]
    cosines: NDArray[np.float64]
    steps: NDArray[np.int64]
    sharpness: NDArray[np.float64]
    sharpness_errors: NDArray[np.float64]
    predicted_cosines: NDArray[np.float64]
    ratios: NDArray[np.float64]
    zigzag: float
    gradients: int

    def plot(self) -> "Figure":
        """Returns loss, sharpness against 2/η, and cosines against their prediction, drawn."""
        return canyon_figure(self)


def walk(
    model: nn.Module, loss: Callable[[nn.Module], Tensor], *, learning_rate: float, steps: int, seed: int = 0
) -> Canyon:
    """Walks by gradient descent and watches the curvature on the way, at about 60 points.

    Args:
        model: a module; it is put back where it was.
        loss: the model → its scalar loss.
        learning_rate: η.
        steps: number of steps, 1 or more; the walk ends early where the loss is no longer finite.
        seed: of the first search for the sharpest direction.

    Returns:
        What was seen.

    Raises:
        InputError: no step, or a loss that cannot be differentiated.
    """
    require_walk(learning_rate, steps)
    matrix = HessianProducts(model, loss)
    every = max(1, steps // _RECORDS)
    losses, cosines, records = [], [], []
    with matrix.restored():
        value, gradient = matrix.value_and_gradient()
        losses.append(value)
        direction = None
        for step in range(steps):
            record = None
            if step % every == 0:
                sharp, error, direction = largest(matrix, direction, _ITERATIONS, seed)
                predicted = gradient - learning_rate * matrix(gradient)
                record = step, sharp, error, _cosine(gradient, predicted)
            matrix.add_(gradient, -learning_rate)
            before = gradient
            value, gradient = matrix.value_and_gradient()
            losses.append(value)
            if not (math.isfinite(value) and bool(gradient.isfinite().all())):
                break
            cosines.append(_cosine(before, gradient))
            if record is not None and direction is not None:
                records.append((*record, _dot(direction, gradient) / (_dot(direction, before) or math.nan)))
    table = np.array(records, dtype=np.float64).reshape(-1, 5)
    return Canyon(
        learning_rate=learning_rate,
        losses=np.array(losses),
        cosines=np.array(cosines),
        steps=table[:, 0].astype(np.int64),
        sharpness=table[:, 1],
        sharpness_errors=table[:, 2],
        predicted_cosines=table[:, 3],
        ratios=table[:, 4],
        zigzag=float(np.mean(table[:, 4] < 0)) if len(table) else math.nan,
        gradients=matrix.gradients,
    )


def require_walk(learning_rate: float, steps: int) -> None:
    """Checks the settings of a walk.

    Args:
        learning_rate: η.
        steps: of it.

    Raises:
        InputError: η is not positive, or there is no step.
    """
    if not 0 < learning_rate < math.inf:
        raise InputError(f"learning_rate is {learning_rate}: expected a positive number")
    if steps < 1:
        raise InputError(f"{steps} steps of gradient descent: expected 1 or more")


def _dot(a: Tensor, b: Tensor) -> float:
    return float(a.double() @ b.double())


def _cosine(a: Tensor, b: Tensor) -> float:
    return _dot(a, b) / (math.sqrt(_dot(a, a) * _dot(b, b)) or math.nan)
