"""Histories as regular series: gaps filled, the last report of every company in the last column."""

import numpy as np
import pandas as pd

from sciml_zoo.emissions.panel import Panel
from sciml_zoo.errors import InputError

__all__ = ["aligned_history", "filled_gaps", "shifted"]


def aligned_history(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Returns histories without gaps that all end in the last column, and how old their last reports are.

    Args:
        panel: the histories.

    Returns:
        Emissions, float64 [companies, years], gaps between reports filled linearly, NaN before the first report; and
        int64 [companies], the years from the last report to the panel's last.

    Raises:
        InputError: no company, or one without a single report.
    """
    if not panel.companies:
        raise InputError("the panel has no company; give at least one with emissions")
    filled = filled_gaps(panel.values)
    known = ~np.isnan(filled)
    empty = np.flatnonzero(~known.any(axis=1))
    if len(empty):
        raise InputError(
            f"company {panel.companies[empty[0]]!r} ({len(empty)} such): no emissions up to {panel.years[-1]}; "
            f"leave it out, as Panel.until does"
        )
    age = np.argmax(known[:, ::-1], axis=1)
    return shifted(filled, age), age


def filled_gaps(values: np.ndarray) -> np.ndarray:
    """Returns histories, float64 [companies, years], in which gaps between two reports are filled linearly."""
    return pd.DataFrame(values.T).interpolate(limit_area="inside").to_numpy(dtype=np.float64).T


def shifted(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Returns rows moved to later columns (to earlier ones where negative); what is left empty is NaN.

    Args:
        values: float64 [rows, columns].
        by: columns, [rows].
    """
    columns = values.shape[1]
    source = np.arange(columns) - by[:, None]
    moved = np.take_along_axis(values, np.clip(source, 0, columns - 1), axis=1)
    return np.where((source >= 0) & (source < columns), moved, np.nan)
