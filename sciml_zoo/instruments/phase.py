"""Phase transitions under regularisation: what a network keeps of its function as weight decay rises and falls.

==================================================  =============================================================
equation                                            variable
==================================================  =============================================================
E(θ; λ) = L(θ) + (λ/2) Σ‖W‖²                         λ ``strengths``; W all trained parameters of two or more dimensions
m(λ) at a minimum of E followed from below, above   order parameter: ``rising.order``, ``falling.order``
χ = −dm/dλ = ∇m · H⁻¹ θ_W                            ``rising.susceptibility``, linear response, H = ∇²E
∮ m dλ                                              ``hysteresis``
λ_c(N) = λ_∞ + a N^{−2/3}                            :func:`finite_size`: a network of width N that fits noise
==================================================  =============================================================

``_sweep.py`` says how transitions are found, ``_linear_network.py`` holds the exact theory of linear networks, and
``_finite_size.py`` the scaling.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._finite_size import FiniteSize, finite_size
from sciml_zoo.instruments._linear_network import (
    LinearNetwork,
    coexistence_strength,
    critical_strength,
    mode_theory,
)
from sciml_zoo.instruments._relaxation import Regularised
from sciml_zoo.instruments._sweep import Branch, Sweep, sweep
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Branch",
    "FiniteSize",
    "PhaseResult",
    "Sweep",
    "coexistence_strength",
    "critical_strength",
    "finite_size",
    "linear_network",
    "measure",
    "mode_theory",
]

_STEPS = 30


@dataclass(frozen=True)
class PhaseResult(Result):
    """Transitions of one network, or of the demonstration's.

    Attributes:
        sweeps: of the user's network, or of linear networks of two and three layers.
        scaling: of the demonstration.
        gradients: gradients of L in all; a product with the Hessian counts as two.
    """

    sweeps: tuple[Sweep, ...]
    scaling: FiniteSize | None
    gradients: int

    def plot(self) -> "Figure":
        """Returns a figure of order parameters and susceptibilities over λ, and of finite-size scaling."""
        from matplotlib.figure import Figure

        columns = len(self.sweeps) + (self.scaling is not None)
        figure = Figure(figsize=(4.8 * columns, 7.2), layout="constrained")
        grid = figure.add_gridspec(2, columns)
        for k, each in enumerate(self.sweeps):
            each.draw(figure.add_subplot(grid[0, k]), figure.add_subplot(grid[1, k]))
        if self.scaling is not None:
            self.scaling.draw(figure.add_subplot(grid[:, -1]))
        return figure


def measure(
    model: nn.Module | None = None,
    loss: Callable[[nn.Module], Tensor] | None = None,
    *,
    strengths: Sequence[float] | None = None,
    order: Callable[[nn.Module], Tensor] | None = None,
    seed: int = 0,
) -> PhaseResult:
    """Sweeps weight decay up and down and finds where modes are lost and come back.

    Args:
        model: the network; the rising branch begins at the minimum below its parameters. Without it, linear networks
            of two and three layers with singular values 3, 2, 1, and networks of growing width that fit noise.
        loss: the model → L without weight decay, on all data.
        strengths: λ, ascending and positive [k ≥ 3]; by default 31 from 10⁻⁴ to 10.
        order: the model → order parameters, a scalar or a vector [modes]; by default the norm of all weight matrices.
        seed: of the kicks; torch's global random numbers are not touched.

    Returns:
        Both branches, transitions and the cost.

    Raises:
        InputError: a model without a loss, strengths that do not ascend, or nothing to regularise.
    """
    if (model is None) != (loss is None):
        raise InputError("give both model and loss (the model → L without weight decay), or neither")
    if model is None or loss is None:
        if strengths is not None or order is not None:
            raise InputError("strengths and order belong to a model: give model and loss, or call phase.linear_network")
        sweeps = tuple(linear_network((3.0, 2.0, 1.0), layers, seed=seed) for layers in (2, 3))
        scaling = finite_size(seed=seed)
        return PhaseResult(sweeps, scaling, sum(each.gradients for each in sweeps) + scaling.gradients)
    chosen = np.geomspace(1e-4, 10, 31).tolist() if strengths is None else list(strengths)
    found = sweep(type(model).__name__, Regularised(model, loss, order), chosen, seed)
    return PhaseResult((found,), None, found.gradients)


def linear_network(
    singular_values: Sequence[float],
    layers: int,
    *,
    strengths: Sequence[float] | None = None,
    width: int = 6,
    seed: int = 0,
) -> Sweep:
    """Sweeps a linear network with full matrices, of which every mode has a known transition.

    Args:
        singular_values: of Σ, positive; the others are zero.
        layers: 2 or 3.
        strengths: λ, ascending and positive [k ≥ 3]; by default 30 up to 1.15 times the last transition.
        width: rows of all matrices, at least the number of singular values.
        seed: of the start, of the singular vectors and of the kicks.

    Returns:
        Both branches with the theory.

    Raises:
        InputError: settings out of range.
    """
    values = list(singular_values)
    if not values or min(values) <= 0 or len(values) > width:
        raise InputError(f"singular_values {values}: expected 1 to {width} positive ones (width = {width})")
    last = max(critical_strength(s, layers) for s in values)
    chosen = np.linspace(0.02, 1.15, _STEPS) * last if strengths is None else np.asarray(strengths, dtype=float)
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))[0][:, : len(values)]
        for _ in range(2)
    )
    target = left * torch.tensor(values, dtype=torch.float64) @ right.T
    network = LinearNetwork(layers, width, 1.0, generator)
    energy = Regularised(
        network,
        lambda model: (target - model()).square().sum() / 2,
        lambda model: (left * (model() @ right)).sum(0),
    )
    found = sweep(
        f"{layers} linear layers, {'second' if layers == 2 else 'first'} order", energy, chosen.tolist(), seed
    )
    dense = torch.linspace(0, float(chosen[-1]), 400, dtype=torch.float64)
    theory = torch.tensor([[mode_theory(s, float(x), layers) for s in values] for x in dense])
    lost = dense[:, None] >= torch.tensor([critical_strength(s, layers) for s in values])
    below = theory[..., 0] if layers == 2 else torch.zeros_like(theory[..., 0])
    return Sweep(
        **{
            **vars(found),
            "theory": theory[..., 0],
            "theory_susceptibility": theory[..., 1].masked_fill(lost, 0.0),
            "theory_falling": below,
            "theory_strengths": dense,
            "theory_critical": torch.tensor([critical_strength(s, layers) for s in values], dtype=torch.float64),
        }
    )
