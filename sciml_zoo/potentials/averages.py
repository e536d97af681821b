"""Averages over a simulation, with error bars, and the drift of its energy."""

from collections.abc import Sequence

import numpy as np
from ase import units

from sciml_zoo.potentials.dynamics import Sample

__all__ = ["averages", "energy_drift"]

_AVERAGED = ("temperature_k", "potential_ev", "pressure_gpa", "volume_a3")
_BLOCKS = 5
_GRAMS_PER_CM3 = 1e24 / units.kg * 1e3


def averages(samples: Sequence[Sample], mass: float) -> dict[str, tuple[float, float | None]]:
    """Averages the second half of a simulation.

    Args:
        samples: of the whole simulation, in order.
        mass: of the structure, u.

    Returns:
        Mean and standard error, from five blocks (None if there are fewer than ten samples), of the quantities that
        the samples have: ``temperature_k``, ``potential_ev``, ``pressure_gpa``, ``volume_a3`` and
        ``density_g_per_cm3``.
    """
    half = samples[len(samples) // 2 :]
    names = [name for name in _AVERAGED if getattr(half[0], name) is not None]
    series = {name: np.array([getattr(sample, name) for sample in half], dtype=float) for name in names}
    if "volume_a3" in series:
        series["density_g_per_cm3"] = _GRAMS_PER_CM3 * mass / series["volume_a3"]
    return {name: _mean(values) for name, values in series.items()}


def _mean(values: np.ndarray) -> tuple[float, float | None]:
    if len(values) < 2 * _BLOCKS:
        return float(values.mean()), None
    blocks = [block.mean() for block in np.array_split(values, _BLOCKS)]
    return float(values.mean()), float(np.std(blocks, ddof=1) / np.sqrt(_BLOCKS))


def energy_drift(samples: Sequence[Sample], n_atoms: int) -> tuple[float, float]:
    """Fits a straight line to the total energy.

    Args:
        samples: of the whole simulation, two or more.
        n_atoms: of the structure.

    Returns:
        Its slope, meV/atom/ps, and the standard deviation from it, meV/atom.
    """
    time = np.array([s.time_ps for s in samples])
    energy = 1000 * np.array([s.total_ev for s in samples]) / n_atoms
    energy -= energy.mean()  # thousands of eV: the fit would lose the digits that matter
    slope, offset = np.polyfit(time - time.mean(), energy, 1)
    return float(slope), float(np.std(energy - slope * (time - time.mean()) - offset))
