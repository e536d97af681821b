"""Random numbers of compiled loops that need one at a time."""

import numba
import numpy as np

__all__ = ["uniform"]


@numba.njit(cache=True, nogil=True)
def uniform(state):
    """Returns a number in [0, 1) from a xorshift64* state [1] (Vigna 2016)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.float64((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(11)) / 9007199254740992.0
