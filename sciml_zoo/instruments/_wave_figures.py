"""The figures of gradient waves."""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sciml_zoo.instruments._reflection import Reflection
    from sciml_zoo.instruments._standing_waves import StandingWaves
    from sciml_zoo.instruments.waves import WavesResult

__all__ = ["draw_modes", "draw_reflection", "draw_waves", "panels"]

_POINTS = 24


def panels(n: int) -> "tuple[Figure, list[Axes]]":
    """Returns a figure of n panels, two in a row.

    Args:
        n: 1, 2 or 4.
    """
    from matplotlib.figure import Figure

    rows, columns = -(-n // 2), min(n, 2)
    figure = Figure(figsize=(5 * columns, 3.7 * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(n)]


def draw_waves(result: "WavesResult") -> "Figure":
    """Returns the gradient field and the way of its pulses; of a wave network also the modes and the reflection.

    Args:
        result: what was measured.
    """
    figure, axes = panels(2 if result.standing is None else 4)
    _draw_field(figure, axes[0], result)
    _draw_distances(axes[1], result)
    if result.standing is not None and result.reflection is not None:
        draw_modes(axes[2], result.standing)
        draw_reflection(axes[3], result.reflection)
    return figure


def _draw_field(figure: "Figure", axes: "Axes", result: "WavesResult") -> None:
    units, layers = result.field_units.numpy(), result.field_layers.numpy()
    mesh = axes.pcolormesh(units, layers, result.field.numpy(), cmap="RdBu_r", vmin=-1, vmax=1, shading="nearest")
    figure.colorbar(mesh, ax=axes, label="∂L/∂h over its maximum")
    speed = result.speed if result.expected_speed is None else result.expected_speed
    name = "measured" if result.expected_speed is None else "theory"
    for sign in (-1, 1):
        axes.plot(
            result.start + sign * speed * layers,
            layers,
            "k--",
            linewidth=1,
            label=f"{name}: ±{speed:.4g} units/layer" if sign > 0 else None,
        )
    axes.set_xlim(units[0], units[-1])
    axes.set_xlabel("unit")
    axes.set_ylabel("layers before the last")
    axes.set_title("gradient field of one pulse")
    axes.legend(loc="upper center", fontsize=8)


def _draw_distances(axes: "Axes", result: "WavesResult") -> None:
    followed = torch.nonzero(result.distances.isfinite())[:, 0]
    drawn = followed[:: max(1, len(followed) // _POINTS)]
    passed = result.layers_passed[drawn].numpy()
    distances, errors = result.distances[drawn].numpy(), result.distance_errors[drawn].numpy()
    to = float((followed if len(followed) else result.layers_passed)[-1])
    speed, theory = result.speed, "measured speed × (layers + 1)"
    if result.expected_speed is not None:
        speed = result.expected_speed
        theory = f"theory: c = {speed:.5g}\n(this pulse on this lattice: {result.dispersive_speed:.5f})"
    axes.plot([0.0, to], [speed, speed * (to + 1)], color="0.5", label=theory)
    shown = f"measured: {result.speed:.5f} ± {result.standard_error:.1g} units/layer\n"
    shown += f"distance ∝ (layers + 1)^p, p = {result.exponent:.4f} ± {result.exponent_error:.1g}"
    axes.errorbar(passed, distances, errors, fmt="o", markersize=4, capsize=2, label=shown)
    axes.set_xlabel("layers before the last")
    axes.set_ylabel("distance of the gradient pulse, units")
    axes.set_title("speed of gradients")
    axes.set_ylim(0, 1.4 * speed * (to + 1))
    axes.legend(loc="upper left", fontsize=8)


def draw_modes(axes: "Axes", standing: "StandingWaves") -> None:
    """Draws ω over k.

    Args:
        axes: where.
        standing: the modes.
    """
    k, expected = standing.wavenumbers, standing.expected
    order = k.argsort()
    drawn = order[:: -(-len(order) // _POINTS)]
    speed = (torch.sin(expected / 2) / torch.sin(k / 2))[order[-1]].item()  # c of the dispersion relation
    axes.plot(k[order], expected[order], color="0.5", label="theory: sin(ω/2) = c sin(k/2)")
    axes.plot(k[order], speed * k[order], "--", color="0.7", label=f"wave equation: ω = {speed:.4g} k")
    axes.plot(k[drawn], standing.frequencies[drawn], "o", markersize=4, label="measured (every mode from rest)")
    axes.set_xlabel("wavenumber k, radians/unit")
    axes.set_ylabel("frequency ω, radians/layer")
    axes.set_title(f"standing waves, largest deviation {(standing.frequencies - expected).abs().max().item():.1e}")
    axes.legend(fontsize=8)


def draw_reflection(axes: "Axes", found: "Reflection") -> None:
    """Draws the pulse before and after.

    Args:
        axes: where.
        found: the reflection.
    """
    image = found.expected * found.image
    drawn = slice(0, None, -(-len(image) // (4 * _POINTS)))
    units = torch.arange(len(image))
    axes.plot(units, found.incoming, color="C1", label="before")
    axes.plot(units, image, color="0.5", label=f"theory: r × mirror image, r = {found.expected:+.0f}")
    axes.plot(units[drawn], found.outgoing[drawn], "o", color="C0", markersize=3, label="after, measured")
    axes.set_ylim(-1.15, 1.75)
    axes.set_xlabel("unit")
    axes.set_ylabel("h")
    axes.set_title(f"{found.ends} ends: r = {found.coefficient:+.6f} ± {found.standard_error:.1e}")
    axes.legend(loc="upper left", fontsize=8)
