"""Couplings, fields and constant of ±1 units from those of 0/1 units, and back: u = (1 + s)/2, s = 2u − 1.

    W = 4J,   b_i = 2h_i − 2 Σ_j J_ij,   c_binary = c_spin − Σ_{i<j} J_ij + Σ_i h_i

| symbol | here | shape |
|---|---|---|
| i < j | ``rows``, ``columns`` | [m] |
| J_ij, W_ij | ``couplings`` | [m] |
| h, b | ``fields`` | [n] |
| c | ``offset`` | scalar |
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["binary_from_spin", "spin_from_binary"]

_Index = NDArray[np.int64]
_Values = NDArray[np.float64]


def binary_from_spin(
    rows: _Index, columns: _Index, couplings: _Values, fields: _Values, offset: float
) -> tuple[_Values, _Values, float]:
    """Returns couplings, fields and constant of the 0/1 units, from those of ±1 units."""
    sums = _sums(rows, columns, couplings, len(fields))
    return 4 * couplings, 2 * fields - 2 * sums, float(offset - couplings.sum() + fields.sum())


def spin_from_binary(
    rows: _Index, columns: _Index, couplings: _Values, fields: _Values, offset: float
) -> tuple[_Values, _Values, float]:
    """Returns couplings, fields and constant of the ±1 units, from those of 0/1 units."""
    sums = _sums(rows, columns, couplings, len(fields))
    return couplings / 4, fields / 2 + sums / 4, float(offset - couplings.sum() / 4 - fields.sum() / 2)


def _sums(rows: _Index, columns: _Index, couplings: _Values, n: int) -> _Values:
    """Returns Σ_j of each unit's couplings [n]."""
    return np.bincount(rows, couplings, n).astype(np.float64) + np.bincount(columns, couplings, n)
