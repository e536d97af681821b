"""Figures of :mod:`sciml_zoo.instruments.curvature`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciml_zoo.instruments._lanczos import blurred

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sciml_zoo.instruments._canyon import Canyon
    from sciml_zoo.instruments.curvature import CurvatureResult

__all__ = ["canyon_figure", "curvature_figure"]


def curvature_figure(result: CurvatureResult) -> Figure:
    """Draws the extreme eigenvalues, the density where there is one, and the walk where there is one.

    Args:
        result: what was measured.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    columns = 1 + (result.density is not None)
    rows = 1 + (result.canyon is not None)
    figure = Figure(figsize=(max(5.2 * columns, 7.0), 3.8 * rows), layout="constrained")
    upper = [figure.add_subplot(rows, columns, i + 1) for i in range(columns)]
    _draw_extremes(upper[0], result)
    if result.density is not None:
        _draw_density(upper[1], result)
    if result.canyon is not None:
        _draw_sharpness(figure.add_subplot(2, 2, 3), result.canyon)
        _draw_cosines(figure.add_subplot(2, 2, 4), result.canyon)
    return figure


def canyon_figure(canyon: Canyon) -> Figure:
    """Draws a walk.

    Args:
        canyon: what was seen.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 3.8), layout="constrained")
    _draw_sharpness(figure.add_subplot(1, 2, 1), canyon)
    _draw_cosines(figure.add_subplot(1, 2, 2), canyon)
    return figure


def _draw_extremes(axes: Axes, result: CurvatureResult) -> None:
    values = np.concatenate([result.top, result.bottom[::-1]])
    errors = np.concatenate([result.top_errors, result.bottom_errors[::-1]])
    place = np.arange(len(values))
    axes.errorbar(place, values, errors, fmt="o", markersize=5, capsize=3, label="Lanczos, ± residual")
    if result.exact is not None:
        expected = np.concatenate([result.exact[::-1][: len(result.top)], result.exact[: len(result.bottom)][::-1]])
        axes.plot(place, expected, "k_", markersize=14, label="dense Hessian")
    if result.sharpness_limit is not None:
        axes.axhline(result.sharpness_limit, color="C3", linestyle="--", label="2/η")
    axes.axhline(0.0, color="0.8", linewidth=0.8, zorder=0)
    ranks = [str(k + 1) for k in range(len(result.top))]
    ranks += [f"n − {k}" if k else "n" for k in range(len(result.bottom))][::-1]
    axes.set_xticks(place, ranks)
    axes.set_xlabel(f"rank k of n = {result.parameters}")
    axes.set_ylabel("eigenvalue λ_k of the Hessian = 1/mass")
    axes.set_title(f"{result.verdict}\n{_condition_words(result)}", fontsize=9)
    axes.legend(fontsize=8)


def _condition_words(result: CurvatureResult) -> str:
    if np.isfinite(result.condition):
        return f"κ = {result.condition:.4g} ± {result.condition_error:.1g}"
    if len(result.bottom) and result.bottom[0] < -result.bottom_errors[0]:
        return f"λ_min = {result.bottom[0]:.3g} < 0: a saddle's curvature, κ is infinite"
    return "κ is infinite" if len(result.bottom) else ""


def _draw_density(axes: Axes, result: CurvatureResult) -> None:
    grid, density, errors = result.density_grid, result.density, result.density_errors
    assert grid is not None
    assert density is not None
    assert errors is not None
    assert result.density_width is not None
    floor = 0.1 / (result.parameters * result.density_width)  # a tenth of one eigenvalue's height
    axes.fill_between(grid, np.maximum(density - errors, floor), np.maximum(density + errors, floor), alpha=0.35)
    axes.plot(grid, np.maximum(density, floor), linewidth=1.2, label="Lanczos quadrature, ± standard error")
    if result.exact is not None:
        expected = blurred(grid, result.exact, result.density_width).mean(1)
        axes.plot(grid, np.maximum(expected, floor), "k--", linewidth=1, label="dense Hessian, same blur")
    axes.set_yscale("log")
    axes.set_ylim(bottom=floor)
    axes.set_xlabel("eigenvalue λ")
    axes.set_ylabel("spectral density φ(λ)")
    axes.set_title(f"trace {result.trace:.4g} ± {result.trace_error:.2g}", fontsize=9)
    axes.legend(fontsize=8)


def _draw_sharpness(axes: Axes, canyon: Canyon) -> None:
    axes.errorbar(
        canyon.steps,
        canyon.sharpness,
        canyon.sharpness_errors,
        fmt="o",
        markersize=3,
        capsize=2,
        label="λ_max, ± residual",
    )
    axes.axhline(2 / canyon.learning_rate, color="C3", linestyle="--", label="2/η")
    axes.set_xlabel("step of gradient descent")
    axes.set_ylabel("sharpness λ_max")
    axes.set_title(f"η = {canyon.learning_rate:g}; u · g changes sign at {canyon.zigzag:.0%} of the points", fontsize=9)
    right = axes.twinx()
    right.plot(np.arange(len(canyon.losses)), canyon.losses, color="0.6", linewidth=0.8, zorder=0)
    right.set_yscale("log")
    right.set_ylabel("loss (grey)")
    axes.set_zorder(right.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.legend(fontsize=8)


def _draw_cosines(axes: Axes, canyon: Canyon) -> None:
    axes.plot(canyon.steps, canyon.cosines[canyon.steps], "o", markersize=4, label="measured")
    axes.plot(canyon.steps, canyon.predicted_cosines, color="0.3", linewidth=1, label="quadratic loss: cos(g, g − ηHg)")
    axes.set_ylim(-1.1, 1.1)
    axes.set_xlabel("step of gradient descent")
    axes.set_ylabel("cosine of successive gradients")
    axes.legend(fontsize=8)
