"""Figures of attacks and barriers, as matplotlib figures: landscapes, forces along the way, work, and energy paths."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from sciml_zoo.adversarial.barrier_surveys import Pair
from sciml_zoo.adversarial.landscape import Landscape, Plane, slice_potential
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.profile import EnergyProfile, ForceProfile, energy_profile, force_profile
from sciml_zoo.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

__all__ = [
    "barrier_figure",
    "energy_path_figure",
    "force_figure",
    "landscape_figure",
    "work_figure",
    "work_histogram",
]

_LEVELS, _COLOURS = 24, "Blues_r"
_ATTACK, _LINE, _PATH, _MARK, _BOUNDARY = "#d55e00", "0.15", "#009e73", "#f0e442", "#e000e0"
_FOOLED, _WITHSTOOD = "#d55e00", "#0072b2"
_BINS = 20
# Points of a curve, and of each segment, at least.
_POINTS, _FINEST = 400, 16
# Paths closer to the plane than this part of the slice's width lie in it.
_IN_PLANE = 1e-3
# Names that matplotlib would take for mathematics are shown as they are.
_PLAIN = {"parse_math": False}


def landscape_figure(
    landscape: Landscape,
    attack: Path,
    *,
    line: Path | None = None,
    path: Path | None = None,
    saddle: Tensor | None = None,
    boundary: Landscape | None = None,
    unit: str = "loss, nats",
    title: str = "",
) -> Figure:
    """Draws a slice of a potential, with paths projected into it.

    Args:
        landscape: the slice.
        attack: path of the attack, of one sample, [nodes, 1, ...]; its ends are the clean input and its twin.
        line: a straight line, likewise.
        path: a minimum-energy path, likewise.
        saddle: [...].
        boundary: a margin on the same grid, whose zero is the decision boundary.
        unit: what the potential is.
        title: of the figure.

    Returns:
        The figure. The legend says how far each path lies outside the slice, if it does.
    """
    figure = Figure(figsize=(7.2, 5.6), layout="constrained")
    _draw_landscape(figure, landscape, attack, line, path, saddle, boundary, unit)
    figure.suptitle(title, **_PLAIN)
    return figure


def force_figure(profile: ForceProfile, *, sample: int = 0, unit: str = "nats", title: str = "") -> Figure:
    """Draws the potential along a path, and below it the tangential and the normal force.

    Args:
        profile: of the paths.
        sample: which of them.
        unit: of the potential.
        title: of the figure.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    _draw_forces(figure, profile, sample, unit)
    figure.suptitle(title, **_PLAIN)
    return figure


def work_histogram(table: pd.DataFrame, *, title: str = "") -> Figure:
    """Draws how the work and the dissipation of attacks are distributed over samples.

    Args:
        table: ``work, dissipation, success``, a row for each sample, from :func:`~sciml_zoo.adversarial.survey`.
        title: of the figure.

    Returns:
        The figure; samples that were fooled and those that were not are told apart.

    Raises:
        InputError: a column is missing, or there is no row.
    """
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    _draw_work(figure, table)
    figure.suptitle(title, **_PLAIN)
    return figure


def energy_path_figure(
    attack: EnergyProfile,
    *,
    line: EnergyProfile | None = None,
    path: EnergyProfile | None = None,
    unit: str = "V, nats",
    title: str = "",
) -> Figure:
    """Draws the potential along three ways over the barrier, each against its arc length as a part of the whole.

    Args:
        attack: along the attack's path, of one sample, [points, 1].
        line: along the straight line between the minima, likewise; None: there are no two.
        path: along the minimum-energy path, likewise, whose highest point is the saddle; None: there is none.
        unit: what the potential is.
        title: of the figure.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    _draw_energies(figure, attack, line, path, unit)
    figure.suptitle(title, **_PLAIN)
    return figure


def work_figure(
    table: pd.DataFrame,
    potential: LossPotential,
    path: Path,
    *,
    margin: LossPotential | None = None,
    title: str = "",
    sample_title: str = "",
) -> Figure:
    """Draws the work of an attack on all samples, and the way of one of them.

    Args:
        table: as for :func:`work_histogram`.
        potential: the loss of one sample.
        path: of the attack on it, [nodes, 1, ...].
        margin: of the same sample, zero on the decision boundary; None: no boundary is drawn.
        title: of the figure.
        sample_title: of the part about the one sample.

    Returns:
        The figure: :func:`work_histogram` above, :func:`force_figure` and :func:`landscape_figure` below.

    Raises:
        InputError: as of :func:`work_histogram`.
    """
    figure = Figure(figsize=(12.5, 9), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=[1, 1.7])
    above, below = (figure.add_subfigure(grid[row]) for row in range(2))
    _draw_work(above, table)
    columns = below.add_gridspec(1, 2, width_ratios=[1, 1.15])
    left, right = (below.add_subfigure(columns[column]) for column in range(2))
    _draw_forces(left, force_profile(potential, path, samples=_samples(path)), 0, "nats")
    plane, shown = Plane.of_path(path), path.points[:, 0]
    landscape = slice_potential(potential, plane, shown)
    boundary = None if margin is None else slice_potential(margin, plane, shown)
    line = Path.straight(path.start, path.end)
    _draw_landscape(right, landscape, path, line, None, None, boundary, "loss, nats")
    figure.suptitle(title, **_PLAIN)
    below.suptitle(sample_title, **_PLAIN)
    return figure


def barrier_figure(pair: Pair, *, margin: LossPotential | None = None, title: str = "") -> Figure:
    """Draws the slice through a pair's saddle, and the energy along the ways over it.

    Args:
        pair: with a saddle or without one.
        margin: of the same sample, zero on the decision boundary; None: no boundary is drawn.
        title: of the figure.

    Returns:
        The figure: :func:`landscape_figure` on the left, :func:`energy_path_figure` on the right.
    """
    figure = Figure(figsize=(13, 5.8), layout="constrained")
    columns = figure.add_gridspec(1, 2, width_ratios=[1.2, 1])
    left, right = (figure.add_subfigure(columns[column]) for column in range(2))
    shown = torch.cat([way.points[:, 0] for way in (pair.attack, pair.line, pair.path) if way is not None])
    plane = Plane.of_path(pair.attack, saddle=pair.saddle)
    landscape = slice_potential(pair.potential, plane, shown)
    boundary = None if margin is None else slice_potential(margin, plane, shown)
    _draw_landscape(left, landscape, pair.attack, pair.line, pair.path, pair.saddle, boundary, "V, nats")
    attack, line, path = (
        None if way is None else energy_profile(pair.potential, way, samples=_samples(way))
        for way in (pair.attack, pair.line, pair.path)
    )
    assert attack is not None
    _draw_energies(right, attack, line, path, "V, nats")
    figure.suptitle(title, **_PLAIN)
    return figure


def _draw_landscape(
    figure: "Figure | SubFigure",
    landscape: Landscape,
    attack: Path,
    line: Path | None,
    path: Path | None,
    saddle: Tensor | None,
    boundary: Landscape | None,
    unit: str,
) -> None:
    axes = figure.add_subplot()
    first, second, values = (_array(each) for each in (landscape.first, landscape.second, landscape.values))
    filled = axes.contourf(first, second, values, _LEVELS, cmap=_COLOURS)
    figure.colorbar(filled, ax=axes, label=unit)
    if boundary is not None:
        margins = _array(boundary.values)
        if margins.min() < 0 < margins.max():
            axes.contour(first, second, margins, [0.0], colors=_BOUNDARY, linewidths=1.8, linestyles="dotted")
            axes.plot([], [], color=_BOUNDARY, linewidth=1.8, linestyle="dotted", label="decision boundary")
    ways = (("straight line", line, _LINE, "--"), ("minimum-energy path", path, _PATH, "-"))
    for name, way, colour, style in (("attack", attack, _ATTACK, "-"), *ways):
        if way is not None:
            u, v = _projected(landscape, way)
            axes.plot(u, v, style, color=colour, linewidth=1.8, label=name + _off_plane(landscape, way))
    u, v = _projected(landscape, attack)
    axes.plot(u, v, ".", color=_ATTACK, markersize=4)
    axes.plot(u[0], v[0], "o", color="w", markeredgecolor="k", markersize=8, label="clean input")
    axes.plot(u[-1], v[-1], "s", color="w", markeredgecolor="k", markersize=8, label="adversarial twin")
    if saddle is not None:
        (u_top, v_top) = _array(landscape.plane.coordinates(saddle[None]))[0]
        axes.plot(u_top, v_top, "*", color=_MARK, markeredgecolor="k", markersize=14, label="saddle")
    third = "saddle" if saddle is not None else "farthest point of the attack"
    axes.set(xlabel="distance from the clean input towards its twin", ylabel=f"across, towards the {third}")
    axes.set_aspect("equal")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")


def _draw_forces(figure: "Figure | SubFigure", profile: ForceProfile, sample: int, unit: str) -> None:
    # Where the path stands still, as attacks do that return their best iterate, there is no way to draw.
    moving = _array(profile.width)[:, sample] > 0
    at, potential, tangential, normal = (
        _array(getattr(profile, name))[moving, sample] for name in ("arc_length", "potential", "tangential", "normal")
    )
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.3])
    top.plot(at, potential, color=_ATTACK)
    top.set_ylabel(f"loss, {unit}")
    bottom.axhline(0, color="0.7", linewidth=1)
    bottom.plot(at, tangential, color=_ATTACK, label="tangential force F · t (below 0: against the climb)")
    bottom.plot(at, normal, color=_PATH, label="normal force, sideways")
    bottom.set(xlabel="arc length s, in the input's unit", ylabel=f"force, {unit} for a unit of length")
    bottom.set_ylim(top=_headroom(bottom, 0.3))
    bottom.legend(fontsize="small", loc="upper left")


def _draw_work(figure: "Figure | SubFigure", table: pd.DataFrame) -> None:
    missing = [name for name in ("work", "dissipation", "success") if name not in table]
    if missing or table.empty:
        raise InputError(
            f"a table of {len(table)} rows without {', '.join(missing) or 'any'}: give what a survey returned"
        )
    success = table["success"].to_numpy(bool)
    words = {"work": "work W, nats", "dissipation": "dissipation, nats"}
    for axes, (name, text) in zip(figure.subplots(1, 2), words.items(), strict=True):
        values = table[name].to_numpy(np.float64)
        parts, colours = [values[success], values[~success]], [_FOOLED, _WITHSTOOD]
        labels = [f"fooled ({success.sum()})", f"not fooled ({(~success).sum()})"]
        axes.hist(parts, bins=_BINS, stacked=True, color=colours, label=labels)
        median = float(np.median(values))
        axes.axvline(median, color="k", linestyle="--", linewidth=1, label=f"median {median:.3g}")
        axes.set(xlabel=text, ylabel="samples")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize="small")


def _draw_energies(
    figure: "Figure | SubFigure",
    attack: EnergyProfile,
    line: EnergyProfile | None,
    path: EnergyProfile | None,
    unit: str,
) -> None:
    axes = figure.add_subplot()
    ways = (
        ("attack, clean input to twin", attack, _ATTACK, "-"),
        ("straight line, minimum to minimum", line, _LINE, "--"),
        ("minimum-energy path", path, _PATH, "-"),
    )
    for name, profile, colour, style in ways:
        if profile is not None:
            axes.plot(*_normalised(profile), style, color=colour, label=name)
    if path is not None:
        at, values = _normalised(path)
        top = int(values.argmax())
        label = f"saddle, {values[top] - values[0]:.4g} above the clean side's minimum"
        axes.plot(at[top], values[top], "*", color=_MARK, markeredgecolor="k", markersize=14, label=label)
    axes.set(xlabel="arc length, as a part of the whole", ylabel=unit)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")


def _samples(path: Path) -> int:
    """Returns how many points of each segment make a smooth curve, also of a long segment among many short ones."""
    return max(_FINEST, -(-_POINTS // len(path.steps)))


def _normalised(profile: EnergyProfile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    at, values = (_array(each)[:, 0] for each in (profile.arc_length, profile.potential))
    return at / (at[-1] or 1.0), values


def _projected(landscape: Landscape, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    coordinates = _array(landscape.plane.coordinates(path.points[:, 0]))
    return coordinates[:, 0], coordinates[:, 1]


def _off_plane(landscape: Landscape, path: Path) -> str:
    """Returns words on how far a path lies outside the slice, if it does."""
    farthest = float(landscape.plane.distance(path.points[:, 0]).amax())
    width = float(landscape.first[-1] - landscape.first[0])
    return f", up to {farthest:.2g} off this plane" if farthest > _IN_PLANE * width else ""


def _headroom(axes: "Axes", share: float) -> float:
    low, high = axes.get_ylim()
    return high + share * (high - low)


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
