"""log Z of strips by transfer matrix: any couplings and fields on a lattice of small width, open or periodic.

Rows are added spin by spin (the sparse transfer matrix), so that a row of w spins costs w · 2^w operations instead of
4^w; around a torus the first row has to be remembered, which costs another 2^w. The energy is propagated with the
weights, as their derivative:

    v'(…, s, …) = e^{β x(s)} Σ_{s̃} e^{β J s s̃} v(…, s̃, …),    −∂ log Z/∂β = ⟨E⟩

| symbol | here |
|---|---|
| v, dv/dβ | ``weights``, ``slopes`` [2^w] |
| J, coupling to the row before | ``down`` [rows, w] (that of the last row: to the first) |
| coupling to the next spin of the row | ``right`` [rows, w] (that of the last spin: to the first) |
| h | ``fields`` [rows, w] |
| x | what the new spin's field and its bonds in the row add to −E |
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.ising.hamiltonian import IsingModel

__all__ = ["StripResult", "transfer_matrix"]

Floats = NDArray[np.float64]

# 2^w weights for a strip with open ends; around a torus 4^w.
_MAX_WIDTH_OPEN, _MAX_WIDTH_TORUS = 20, 12


@dataclass(frozen=True)
class StripResult:
    """Equilibrium of a strip, exact to rounding.

    Args:
        beta: inverse temperature.
        log_z: log of the partition function, the model's constant included.
        energy_mean: ⟨E⟩.
    """

    beta: float
    log_z: float
    energy_mean: float


def transfer_matrix(model: IsingModel, shape: tuple[int, int], beta: float) -> StripResult:
    """Returns log Z and the mean energy of a model on a square lattice of small width.

    Args:
        model: couplings between neighbours of the lattice only, each axis open or closed into a ring; spins row by
            row. Any couplings and fields.
        shape: rows and columns; the shorter axis is the width: up to 12 if the longer one is a ring, else up to 20.
        beta: inverse temperature, 0 or more.

    Raises:
        InputError: the shape is not that of the model, a coupling is not between neighbours, the strip is too wide, or
            β is negative or so large that weights leave the range of float64.
    """
    rows, width = shape
    if rows * width != model.n or rows < 1:
        raise InputError(f"shape {rows} × {width} has {rows * width} spins, but the model has {model.n}")
    if not (np.isfinite(beta) and beta >= 0):
        raise InputError(f"beta is {beta}; expected a finite number, 0 or more")
    right, down = _bonds(model, rows, width)
    fields = model.fields.reshape(rows, width)
    if width > rows:
        right, down, fields, rows, width = down.T, right.T, fields.T, width, rows
    is_ring = bool(down[-1].any())
    limit = _MAX_WIDTH_TORUS if is_ring else _MAX_WIDTH_OPEN
    if width > limit:
        kind = "around a torus" if is_ring else "with open ends"
        raise InputError(f"a strip {kind} may be {limit} spins wide, not {width}")
    right, down, fields = (np.ascontiguousarray(part) for part in (right, down, fields))
    log_z, slope = _propagate(right, down, fields, float(beta), is_ring)
    if not np.isfinite(log_z).any():
        raise InputError(
            f"beta is {beta}: too large for these couplings, all weights underflow; exact_ground_state helps"
        )
    highest = log_z.max()
    share = np.exp(log_z - highest)
    mean = -float((share[share > 0] @ slope[share > 0]) / share.sum())
    return StripResult(float(beta), float(highest + np.log(share.sum())) - beta * model.offset, mean + model.offset)


def _bonds(model: IsingModel, rows: int, width: int) -> tuple[Floats, Floats]:
    """Returns each spin's coupling to the next in its row, and in its column, [rows, width] both."""
    right, down = np.zeros((rows, width)), np.zeros((rows, width))
    i, j, coupling = model.edges
    (row_i, column_i), (row_j, column_j) = np.divmod(i, width), np.divmod(j, width)
    step, across = row_j - row_i, np.abs(column_j - column_i)
    # i < j, so a bond that closes a ring starts at the first spin of its row or column.
    in_row = (step == 0) & ((across == 1) | ((across == width - 1) & (column_i == 0)))
    in_column = (across == 0) & ((step == 1) | ((step == rows - 1) & (row_i == 0)))
    wrong = np.flatnonzero(~(in_row | in_column))
    if len(wrong):
        k = wrong[0]
        raise InputError(f"spins {i[k]} and {j[k]} are coupled, but are no neighbours on a lattice of {rows} × {width}")
    closes_row, closes_column = in_row & (across > 1), in_column & (step > 1)
    right[row_i[in_row], np.where(closes_row, column_j, column_i)[in_row]] = coupling[in_row]
    down[np.where(closes_column, row_j, row_i)[in_column], column_i[in_column]] = coupling[in_column]
    return right, down


@numba.njit(cache=True, nogil=True)
def _row_exponent(state: int, right: Floats, fields: Floats) -> float:
    """Returns −E of one row by itself."""
    width = len(fields)
    total = 0.0
    for c in range(width):
        s = 1.0 if (state >> c) & 1 else -1.0
        following = (c + 1) % width
        total += fields[c] * s
        if following != c:
            total += right[c] * s * (1.0 if (state >> following) & 1 else -1.0)
    return total


@numba.njit(cache=True, nogil=True)
def _add_row(weights: Floats, slopes: Floats, right: Floats, down: Floats, fields: Floats, beta: float) -> float:
    """Returns the log of the factor taken out of the weights when a row is added to them, spin by spin.

    Args:
        weights: of each state of the row before.
        slopes: their derivatives with respect to β.
        right: couplings in the new row [w].
        down: couplings of the row before to the new one [w].
        fields: of the new row [w].
        beta: inverse temperature.
    """
    width, taken = len(fields), 0.0
    for c in range(width):
        bit = 1 << c
        # Exponents are measured from the largest that they can be, so that no weight overflows.
        bound = abs(down[c]) + abs(fields[c])
        left = right[c - 1] if c > 0 else 0.0
        ring = right[width - 1] if c == width - 1 and width > 1 else 0.0
        bound += abs(left) + abs(ring)
        highest = 0.0
        for k in range(len(weights)):
            if k & bit:
                continue
            x = fields[c]
            if c > 0:
                x += left if (k >> (c - 1)) & 1 else -left
            if width > 1 and c == width - 1:
                x += ring if k & 1 else -ring
            old_minus, old_plus = weights[k], weights[k | bit]
            slope_minus, slope_plus = slopes[k], slopes[k | bit]
            for s in (-1.0, 1.0):
                exponent_plus, exponent_minus = s * (x + down[c]) - bound, s * (x - down[c]) - bound
                factor_plus, factor_minus = np.exp(beta * exponent_plus), np.exp(beta * exponent_minus)
                target = k | bit if s > 0 else k
                weights[target] = factor_plus * old_plus + factor_minus * old_minus
                slopes[target] = factor_plus * (slope_plus + exponent_plus * old_plus) + factor_minus * (
                    slope_minus + exponent_minus * old_minus
                )
                highest = max(highest, weights[target])
        if highest == 0.0:
            return -np.inf
        # The factor e^{β bound} that was left out changes the slopes: d(e^{βb} v) = e^{βb}(dv + b v).
        for k in range(len(weights)):
            weights[k] /= highest
            slopes[k] = slopes[k] / highest + bound * weights[k]
        taken += np.log(highest) + beta * bound
    return taken


@numba.njit(cache=True, nogil=True)
def _propagate(right: Floats, down: Floats, fields: Floats, beta: float, is_ring: bool) -> tuple[Floats, Floats]:
    """Returns log Z and d log Z/dβ, for each state of the first row of a ring, or [1] for open ends."""
    rows, width = fields.shape
    size = 1 << width
    starts = size if is_ring else 1
    log_z, slope = np.empty(starts), np.zeros(starts)
    weights, slopes, exponents = np.empty(size), np.empty(size), np.empty(size)
    for k in range(size):
        exponents[k] = _row_exponent(k, right[0], fields[0])
    for start in range(starts):
        if is_ring:
            weights[:], slopes[:] = 0.0, 0.0
            weights[start], slopes[start] = 1.0, exponents[start]
            total_log = beta * exponents[start]
        else:
            highest = exponents.max()
            for k in range(size):
                weights[k] = np.exp(beta * (exponents[k] - highest))
                slopes[k] = exponents[k] * weights[k]
            total_log = beta * highest
        for row in range(1, rows):
            total_log += _add_row(weights, slopes, right[row], down[row - 1], fields[row], beta)
            if total_log == -np.inf:
                break
        if total_log == -np.inf:
            log_z[start] = -np.inf
            continue
        total, change = 0.0, 0.0
        if is_ring:
            bound = np.abs(down[rows - 1]).sum()
            for k in range(size):
                x = -bound
                for c in range(width):
                    x += down[rows - 1, c] * (1.0 if ((k ^ start) >> c) & 1 == 0 else -1.0)
                factor = np.exp(beta * x)
                total += factor * weights[k]
                change += factor * (slopes[k] + (x + bound) * weights[k])
            total_log += beta * bound
        else:
            total, change = weights.sum(), slopes.sum()
        log_z[start] = total_log + np.log(total)
        slope[start] = change / total if total > 0 else 0.0
    return log_z, slope
