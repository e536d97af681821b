"""Figures of simulations: samples over time, vibrations, and phonons."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sciml_zoo.potentials.dynamics import Sample
from sciml_zoo.potentials.phonons import Phonons
from sciml_zoo.potentials.vibrations import Vibrations

__all__ = ["dynamics_figure", "phonon_figure", "vibration_figure"]

_BLUE, _ORANGE, _GREEN = "#0072b2", "#d55e00", "#009e73"


def dynamics_figure(samples: Sequence[Sample], *, temperature: float | None = None, title: str = "") -> Figure:
    """Draws temperature and energies over time, and pressure and volume where there are any.

    Args:
        samples: of the simulation.
        temperature: of the ensemble, K; None: not drawn.
        title: of the figure.

    Returns:
        The figure.
    """
    time = [s.time_ps for s in samples]
    periodic = samples[0].volume_a3 is not None
    figure = Figure(figsize=(10 if periodic else 7, 5.2), layout="constrained")
    axes = figure.subplots(2, 2 if periodic else 1, sharex=True, squeeze=False)
    figure.suptitle(title, parse_math=False)
    heat, energy = axes[0, 0], axes[1, 0]
    heat.plot(time, [s.temperature_k for s in samples], color=_ORANGE, linewidth=0.8)
    if temperature is not None:
        heat.axhline(temperature, color="0.5", linewidth=0.8, linestyle="--")
    heat.set_ylabel("temperature, K")
    for name, values, color in (
        ("potential", [s.potential_ev for s in samples], _BLUE),
        ("total", [s.total_ev for s in samples], _ORANGE),
    ):
        energy.plot(time, np.array(values) - values[0], color=color, linewidth=0.8, label=name)
    energy.set_ylabel("change of energy, eV")
    energy.legend()
    if periodic:
        axes[0, 1].plot(time, [s.pressure_gpa for s in samples], color=_GREEN, linewidth=0.8)
        axes[0, 1].set_ylabel("pressure, GPa")
        axes[1, 1].plot(time, [s.volume_a3 for s in samples], color=_GREEN, linewidth=0.8)
        axes[1, 1].set_ylabel("volume, Å³")
        axes[1, 1].ticklabel_format(useOffset=False)
    for lowest in axes[-1]:
        lowest.set_xlabel("time, ps")
    return figure


def vibration_figure(found: Vibrations, *, title: str = "") -> Figure:
    """Draws the frequencies of a molecule as lines; imaginary ones are negative and in another colour.

    Args:
        found: its vibrations.
        title: of the figure.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.add_subplot()
    colors = [_ORANGE if frequency < 0 else _BLUE for frequency in found.frequencies]
    axes.vlines(found.frequencies, 0, 1, colors=colors, linewidth=1.2)
    axes.set_yticks([])
    axes.set_ylim(0, 1.1)
    axes.set_xlabel("frequency, cm⁻¹")
    axes.set_title(title, parse_math=False)
    return figure


def phonon_figure(found: Phonons, *, title: str = "") -> Figure:
    """Draws the band structure along the special path, and the density of states beside it.

    Args:
        found: the phonons.
        title: of the figure.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    bands, states = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    figure.suptitle(title, parse_math=False)
    breaks = np.flatnonzero(np.diff(found.distances) == 0) + 1
    for part in np.split(np.arange(len(found.distances)), breaks):
        bands.plot(found.distances[part], found.frequencies[part], color=_BLUE, linewidth=0.9)
    _special_points(bands, found)
    bands.set_ylabel("frequency, THz")
    states.plot(found.dos, found.dos_frequencies, color=_BLUE, linewidth=0.9)
    states.set_xlabel("states per THz")
    states.set_xlim(left=0)
    for axes in (bands, states):
        axes.axhline(0, color="0.6", linewidth=0.6)
    return figure


def _special_points(axes: Axes, found: Phonons) -> None:
    names: dict[float, str] = {}
    for place, label in zip(found.ticks.tolist(), found.labels, strict=True):
        name = label.replace("G", "Γ")
        names[place] = f"{names[place]}|{name}" if place in names else name
    axes.set_xticks(list(names), list(names.values()))
    for place in names:
        axes.axvline(place, color="0.8", linewidth=0.6)
    axes.set_xlim(found.distances[0], found.distances[-1])
