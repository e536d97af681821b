"""Which minimum a start reaches, over a plane of initial weights.

==================================  =============================================================
θ₀ = centre + u d₁ + v d₂           ``centre``, ``directions``; u, v in ± ``extent``
θ_T = F(F(… θ₀))                    all starts of the plane at once
point of rest of a start            ``labels`` [v, u]; −1: no rest within T steps
share of starts on a boundary       ``boundary``: a neighbour, right or above, ends elsewhere
==================================  =============================================================

Under gradient flow boundaries are smooth; under steps of finite size they may be fractal, and of starts that are known
to ε a share ε^α is uncertain with α < 1 (McDonald, Grebogi, Ott & Yorke, Physica D 17, 125, 1985).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import vmap

from sciml_zoo.errors import InputError
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BasinResult", "basins", "draw_basins"]


@dataclass(frozen=True)
class BasinResult(Result):
    """Where a plane of starts comes to rest.

    Attributes:
        axis: u, and v, of the starts [resolution].
        labels: of the point of rest that each start reaches [v, u], by falling share; −1 where the orbit did not rest.
        rests: where orbits come to rest [m, n]: minima, and the saddles that starts of exact symmetry reach.
        shares: of the starts, for each of them [m].
        unsettled: share of starts that came to no rest, or left the finite numbers.
        boundary: share of starts with a neighbour, right or above, that ends elsewhere.
        gradients: applications of the map; for training maps, gradients of the loss.
    """

    axis: Tensor
    labels: Tensor
    rests: Tensor
    shares: Tensor
    unsettled: float
    boundary: float
    gradients: int

    def plot(self) -> "Figure":
        """Returns a figure of the plane, one colour for each point of rest."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 4), layout="constrained")
        draw_basins(figure.add_subplot(), self)
        return figure


def draw_basins(axes: "Axes", result: BasinResult) -> None:
    """Draws the plane, one colour for each point of rest, on axes that exist.

    Args:
        axes: to draw on.
        result: to draw.
    """
    extent = float(result.axis[-1])
    shown = result.labels.double().where(result.labels >= 0, torch.nan)
    axes.set_facecolor("0.2")
    axes.imshow(
        shown.cpu().numpy(),
        extent=(-extent, extent, -extent, extent),
        origin="lower",
        cmap="viridis",
        vmin=0,
        vmax=max(1, len(result.rests) - 1),
        interpolation="nearest",
    )
    axes.set_xlabel("start along direction 1, u")
    axes.set_ylabel("start along direction 2, v")
    axes.set_title(
        f"{len(result.rests)} points of rest; dark: none ({result.unsettled:.1%})\n{result.boundary:.1%} on a boundary"
    )


@torch.no_grad()
def basins(
    step_map: Callable[[Tensor], Tensor],
    centre: Tensor,
    directions: Tensor,
    steps: int,
    *,
    extent: float = 1.0,
    resolution: int = 101,
    tolerance: float = 1e-3,
) -> BasinResult:
    """Iterates a map from every point of a plane of starts, and tells apart where it comes to rest.

    Minima that differ by a permutation of hidden units are different points, and are counted as such.

    Args:
        step_map: F, of a flat tensor; it is applied to all starts at once, by ``torch.func.vmap``.
        centre: of the plane [n].
        directions: d₁ and d₂ [2, n].
        steps: T.
        extent: largest |u| and |v|.
        resolution: starts along each direction.
        tolerance: a start is at rest if its last step changed no weight by more; ends closer than ten of these are one.

    Returns:
        The map of basins.

    Raises:
        InputError: shapes that do not fit, or settings that are not positive.
    """
    if centre.ndim != 1 or directions.shape != (2, len(centre)):
        raise InputError(
            f"centre {list(centre.shape)}, directions {list(directions.shape)}: expected a flat tensor [n] and [2, n]"
        )
    if steps < 1 or resolution < 2 or not extent > 0 or not tolerance > 0:
        raise InputError(
            f"steps {steps}, resolution {resolution}, extent {extent}, tolerance {tolerance}: expected positive "
            "numbers, and a resolution of at least 2"
        )
    axis = torch.linspace(-extent, extent, resolution, dtype=centre.dtype, device=centre.device)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    state = centre + u.reshape(-1, 1) * directions[0] + v.reshape(-1, 1) * directions[1]
    step = vmap(step_map)
    for _ in range(steps - 1):
        state = step(state)
    last, state = state, step(state)
    # A point of a cycle, or of chaos, or one that is not finite, moves.
    resting = (state - last).abs().amax(1) <= tolerance
    labels, rests = _clusters(state, resting, 10 * tolerance)
    counts = torch.stack([(labels == m).sum() for m in range(len(rests))]) if len(rests) else labels.new_zeros(0)
    grid = labels.view(resolution, resolution)
    apart = torch.zeros_like(grid, dtype=torch.bool)
    apart[:, :-1] |= grid[:, 1:] != grid[:, :-1]
    apart[:-1] |= grid[1:] != grid[:-1]
    return BasinResult(
        axis=axis,
        labels=grid,
        rests=rests,
        shares=counts.double() / len(labels),
        unsettled=float((labels < 0).double().mean()),
        boundary=float(apart.double().mean()),
        gradients=steps * len(labels),
    )


def _clusters(ends: Tensor, resting: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Returns the cluster of every end that rests, else −1, and an end of each [m, n]; the largest first."""
    labels = torch.full((len(ends),), -1, device=ends.device)
    rests: list[Tensor] = []
    left = resting.clone()
    while bool(left.any()):
        first = ends[left.nonzero()[0, 0]]
        near = left & ((ends - first).abs().amax(1) <= tolerance)
        labels[near] = len(rests)
        rests.append(first)
        left &= ~near
    if not rests:
        return labels, ends.new_zeros(0, ends.shape[1])
    counts = torch.bincount(labels[resting], minlength=len(rests))
    order = counts.argsort(descending=True, stable=True)
    place = order.argsort()
    return torch.where(resting, place[labels.clamp_min(0)], labels), torch.stack(rests)[order]
