"""Compiled descent by single flips in float64, for states that float32 kernels or warm lanes leave above a minimum."""

import numba

__all__ = ["descend"]

# A gain below this part of the spin's couplings is rounding.
_ROUNDING = 1e-13


@numba.njit(cache=True, nogil=True)
def descend(starts, neighbours, values, fields, spins):
    """Flips spins in order while that lowers the energy: CSR rows, values and fields float64, spins int8 [n]."""
    falling = True
    while falling:
        falling = False
        for i in range(spins.shape[0]):
            local, size = fields[i], abs(fields[i])
            for k in range(starts[i], starts[i + 1]):
                local += values[k] * spins[neighbours[k]]
                size += abs(values[k])
            if local * spins[i] < -_ROUNDING * size:
                spins[i] = -spins[i]
                falling = True
