"""The figure of a mean-field theory: its two maps, each against the diagonal."""

import math
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from sciml_zoo.instruments.mean_field import Theory

__all__ = ["maps_figure"]


def maps_figure(theory: "Theory") -> Figure:
    """Returns the length map and the correlation map.

    Args:
        theory: of a network.
    """
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*theory.lengths, label="V(q)")
    left.plot(theory.lengths[0], theory.lengths[0], "k:", lw=1, label="q")
    if 0 < theory.variance < math.inf:
        left.plot(theory.variance, theory.variance, "ko", label=f"q* = {theory.variance:.4g}")
    left.set(xlabel="variance q of a layer", ylabel="variance of the next layer", title="length map")
    right.plot(*theory.correlations, label="C(c)")
    right.plot([-1, 1], [-1, 1], "k:", lw=1, label="c")
    right.plot(theory.correlation, theory.correlation, "ko", label=f"c* = {theory.correlation:.4g}")
    right.set(xlabel="correlation c of two inputs", ylabel="correlation in the next layer", title="correlation map")
    for axes in (left, right):
        axes.legend()
    figure.suptitle(
        f"{theory.activation}, σ_w² = {theory.weight_variance:.4g}, σ_b² = {theory.bias_variance:.4g}: "
        f"χ = {theory.multiplier:.4g}, {theory.phase}"
    )
    return figure
