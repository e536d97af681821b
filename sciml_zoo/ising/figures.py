"""Figures of the field, as matplotlib figures, and the law that the histograms of energy at two temperatures obey.

With g(E) states of energy E, P_β(E) = g(E) exp(−βE)/Z(β): whatever g is, log P_β₂(E)/P_β₁(E) is a straight line in E of
slope −(β₂ − β₁) (Ferrenberg & Swendsen, PRL 61, 2635, 1988).

| symbol | here |
|---|---|
| β₁, β₂ | ``betas`` |
| E in units of the couplings, drawn at β₁ and β₂ | ``energies``, two arrays [kept, n_replicas] |
| slope of log P_β₂/P_β₁ | ``EnergyRatio.slope`` |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from sciml_zoo.errors import InputError
from sciml_zoo.ising.onsager import CRITICAL_TEMPERATURE, yang_magnetisation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sciml_zoo.ising.draws import Estimate, Ladder

__all__ = ["EnergyRatio", "energy_histogram", "energy_ratio", "exchange_rates", "lattice", "magnetisation_curve"]

_BINS = 40
# Replicas are left out one after the other in at most so many groups.
_GROUPS = 16
_NEWTON_STEPS = 50


@dataclass(frozen=True)
class EnergyRatio:
    """The straight line through log P_β₂(E)/P_β₁(E).

    Attributes:
        slope: maximum likelihood over all draws, without bins.
        standard_error: of ``slope``, by leaving out groups of replicas (jackknife).
        intercept: at E = 0; Z(β₁)/Z(β₂) = exp(intercept).
        expected: −(β₂ − β₁), what the slope of draws from the Boltzmann distribution is.
    """

    slope: float
    standard_error: float
    intercept: float
    expected: float


def energy_ratio(betas: tuple[float, float], energies: tuple[ArrayLike, ArrayLike], *, group: int = 1) -> EnergyRatio:
    """Fits the ratio of the distributions of energy at two temperatures.

    The fit is the logistic regression of which temperature a draw came from, whose slope is that of the log ratio; no
    bins are needed, and draws that only one temperature visits do no harm.

    Args:
        betas: β₁ and β₂.
        energies: drawn at each, [kept, n_replicas]; a replica may be correlated with itself, also between temperatures.
        group: so many neighbouring replicas are not independent of each other (2 where they exchanged clusters).

    Returns:
        The line.

    Raises:
        InputError: equal temperatures, other shapes than two of [kept, n_replicas ≥ 2 groups], or energies that do not
            overlap.
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in energies)
    if betas[0] == betas[1]:
        raise InputError(f"betas {betas}: expected two different ones")
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or first.shape[1] < 2 * group:
        raise InputError(
            f"energies of shapes {list(first.shape)} and {list(second.shape)}: expected [kept, n_replicas] of the same "
            f"replicas, at least {2 * group}"
        )
    if max(first.min(), second.min()) >= min(first.max(), second.max()):
        raise InputError(f"energies at betas {betas} do not overlap: take temperatures closer to each other")
    n_groups = min(_GROUPS, first.shape[1] // group)
    member = np.arange(first.shape[1]) // group * n_groups // (-(-first.shape[1] // group))
    levels, place = np.unique(np.concatenate([first.ravel(), second.ravel()]), return_inverse=True)
    centre, scale = levels.mean(), levels.std()
    counts = np.zeros((2, n_groups, len(levels)))
    for k, (values, where) in enumerate(zip((first, second), np.split(place.ravel(), [first.size]), strict=True)):
        np.add.at(counts[k], (np.broadcast_to(member, values.shape).ravel(), where), 1.0)
    x = (levels - centre) / scale
    total = counts.sum(1)
    start = _logistic_fit(x, total, np.zeros(2))
    without = np.array([_logistic_fit(x, total - counts[:, g], start)[1] for g in range(n_groups)]) / scale
    error = np.sqrt((n_groups - 1) / n_groups * np.sum((without - without.mean()) ** 2))
    slope = start[1] / scale
    # The odds of the draws carry their numbers: those are no part of the ratio of probabilities.
    intercept = start[0] - slope * centre - np.log(second.size / first.size)
    return EnergyRatio(float(slope), float(error), float(intercept), betas[0] - betas[1])


def _logistic_fit(x: NDArray[np.float64], counts: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray:
    """Returns constant and slope of log odds [2] that x was drawn as the second of counts [2, levels]."""
    found, both = start.copy(), counts.sum(0)
    for _ in range(_NEWTON_STEPS):
        chance = expit(found[0] + found[1] * x)
        wrong, width = counts[1] - both * chance, both * chance * (1 - chance)
        hessian = np.array([[width.sum(), width @ x], [width @ x, width @ x**2]])
        step = np.linalg.solve(hessian, [wrong.sum(), wrong @ x])
        found += step
        if np.abs(step).max() < 1e-10:
            break
    return found


def lattice(spins: ArrayLike, shape: tuple[int, int], *, title: str = "") -> Figure:
    """Draws a state of a two-dimensional lattice.

    Args:
        spins: ±1 [rows · columns], row by row; or several states [m, rows · columns], side by side.
        shape: rows and columns.
        title: of the figure.

    Returns:
        The figure; spins up are dark.

    Raises:
        InputError: another number of spins.
    """
    states = np.atleast_2d(np.asarray(spins))
    if states.shape[-1] != shape[0] * shape[1]:
        raise InputError(
            f"spins of shape {list(np.shape(spins))} are no lattice of {shape[0]} rows, {shape[1]} columns"
        )
    figure, panels = _axes(len(states), width=3.2, height=3.4)
    for axes, state in zip(panels, states, strict=True):
        axes.imshow(state.reshape(shape), cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
    figure.suptitle(title)
    return figure


def magnetisation_curve(temperatures: Sequence[float], estimates: "Sequence[Estimate]", *, label: str = "") -> Figure:
    """Draws ⟨|m|⟩ of square lattices over Yang's curve of the infinite one, J = k_B = 1.

    Args:
        temperatures: T [k].
        estimates: of the absolute magnetisation per spin [k].
        label: of the points.

    Returns:
        The figure.
    """
    figure, (axes,) = _axes(1)
    low, high = min(temperatures), max(temperatures)
    # The curve falls to zero as (T_c − T)^{1/8}: points must crowd there.
    below = CRITICAL_TEMPERATURE * (1 - np.geomspace(1e-12, max(1e-3, 1 - low / CRITICAL_TEMPERATURE), 300))[::-1]
    curve = np.concatenate([below, [CRITICAL_TEMPERATURE, max(high, CRITICAL_TEMPERATURE)]])
    axes.plot(curve, [yang_magnetisation(float(t)) for t in curve], color="0.6", label="Yang 1952, infinite lattice")
    means, errors = zip(*estimates, strict=True)
    axes.errorbar(temperatures, means, errors, fmt="o", markersize=4, capsize=2, label=label or "Monte Carlo")
    axes.set_xlabel("temperature, J/k_B")
    axes.set_ylabel("|magnetisation| per spin")
    axes.legend()
    return figure


def energy_histogram(betas: Sequence[float], energies: Sequence[ArrayLike], *, group: int = 1) -> Figure:
    """Draws histograms of energy; of two temperatures also their log ratio and the line of slope −Δβ that it must be.

    Args:
        betas: inverse temperatures, one or two.
        energies: drawn at each [kept, n_replicas].
        group: as for :func:`energy_ratio`.

    Returns:
        The figure.

    Raises:
        InputError: not one or two temperatures, or as of :func:`energy_ratio`.
    """
    arrays = [np.asarray(values, dtype=np.float64) for values in energies]
    if len(arrays) != len(betas) or len(arrays) not in {1, 2}:
        raise InputError(f"{len(betas)} betas and {len(arrays)} arrays of energies: expected one or two of each")
    edges = _edges(np.unique(np.concatenate([values.ravel() for values in arrays])))
    counts = np.array([np.histogram(values, edges)[0] for values in arrays], dtype=np.float64)
    figure, panels = _axes(len(arrays))
    for beta, values, found in zip(betas, arrays, counts, strict=True):
        panels[0].stairs(found / values.size, edges, fill=True, alpha=0.5, label=f"β = {beta:.4g}")
    panels[0].set_xlabel("energy")
    panels[0].set_ylabel("share of the draws")
    panels[0].legend()
    if len(arrays) == 2:
        fit = energy_ratio((betas[0], betas[1]), (arrays[0], arrays[1]), group=group)
        _draw_ratio(panels[1], fit, edges, counts, arrays)
    return figure


def _draw_ratio(
    axes: "Axes", fit: EnergyRatio, edges: NDArray, counts: NDArray, arrays: Sequence[NDArray[np.float64]]
) -> None:
    both = (counts > 0).all(0)
    pooled = np.concatenate([values.ravel() for values in arrays])
    sums = np.histogram(pooled, edges, weights=pooled)[0]
    centres = sums[both] / counts.sum(0)[both]
    ratio = np.log(counts[1, both] / arrays[1].size) - np.log(counts[0, both] / arrays[0].size)
    axes.errorbar(centres, ratio, np.sqrt((1 / counts[:, both]).sum(0)), fmt="o", markersize=3, capsize=2)
    ends = np.array([centres.min(), centres.max()])
    shown = f"fitted slope {fit.slope:.5f} ± {fit.standard_error:.5f}\n−Δβ = {fit.expected:.5f}"
    axes.plot(ends, fit.intercept + fit.slope * ends, color="0.4", label=shown)
    axes.set_xlabel("energy")
    axes.set_ylabel("log ratio of the histograms")
    axes.legend()


def _edges(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the edges of bins of equal width, each over as many of the levels as the others where these are even."""
    if len(levels) == 1:
        return levels[0] + np.array([-0.5, 0.5])
    gap, extent = np.diff(levels).min(), levels[-1] - levels[0]
    steps = (levels - levels[0]) / gap
    if np.abs(steps - np.rint(steps)).max() > 1e-6:
        return np.linspace(levels[0], levels[-1], _BINS + 1)
    width = gap * np.ceil((round(extent / gap) + 1) / _BINS)
    n = int(np.ceil((extent + gap / 2) / width))
    return levels[0] - gap / 2 + width * np.arange(n + 1)


def exchange_rates(ladder: "Ladder") -> Figure:
    """Draws how often neighbouring temperatures of a tempering run exchanged their states.

    Args:
        ladder: the temperatures.

    Returns:
        The figure.
    """
    figure, (axes,) = _axes(1)
    axes.plot(0.5 * (ladder.betas[1:] + ladder.betas[:-1]), ladder.exchange_rates, "o-")
    axes.set_ylim(0, 1)
    axes.set_xlabel("β between two neighbours")
    axes.set_ylabel("exchange rate")
    trips = int(ladder.round_trips.sum())
    axes.set_title(f"{len(ladder.betas)} temperatures, barrier {ladder.barrier:.2f}, {trips} round trips")
    return figure


def _axes(n: int, *, width: float = 5, height: float = 3.6) -> "tuple[Figure, list[Axes]]":
    figure = Figure(figsize=(width * n, height), layout="constrained")
    return figure, [figure.add_subplot(1, n, i + 1) for i in range(n)]
