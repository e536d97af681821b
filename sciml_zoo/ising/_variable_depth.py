"""Compiled variable-depth local search (Kernighan & Lin 1970; for binary quadratic programs Merz & Katayama 2004).

A move flips one spin, then again and again the spin that gains most (or loses least) among those not yet flipped,
and keeps the best state on the way. Where strong bonds tie spins into domains this flips whole domains, which one
flip cannot.

| symbol | here | shape |
|---|---|---|
| J | ``couplings``, float64, dense | [n, n] |
| s | ``spins``, float64 ±1 | [n] |
| −ΔE/2 of a flip, −s_i (Σ_j J_ij s_j + h_i) | ``gains`` | [n] |
"""

import numba
import numpy as np

from sciml_zoo.ising._xorshift import uniform

__all__ = ["kick", "local_minimum"]

_jit = numba.njit(cache=True, nogil=True)
_fast = numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "nnan", "ninf", "reassoc"})


@_fast
def _flip(couplings, spins, gains, i):
    """Returns the gain of spin i after flipping it and updating all gains."""
    gain = gains[i]
    row = couplings[i]
    factor = 2.0 * spins[i]
    for j in range(spins.shape[0]):
        gains[j] += factor * row[j] * spins[j]
    spins[i] = -spins[i]
    gains[i] = -gain
    return gain


@_fast
def _best_free(gains, blocked):
    """Returns the largest of gains − blocked, whose entries are infinite where a spin must not flip again."""
    largest = -np.inf
    for j in range(gains.shape[0]):
        largest = max(largest, gains[j] - blocked[j])
    for j in range(gains.shape[0]):
        if gains[j] - blocked[j] == largest:
            return j
    return 0


@_jit
def _descend(couplings, spins, gains, tolerance):
    """Flips the best spin until no flip gains."""
    free = np.zeros(spins.shape[0])
    for _ in range(1000 * spins.shape[0]):
        i = _best_free(gains, free)
        if gains[i] <= tolerance:
            break
        _flip(couplings, spins, gains, i)


@_jit
def _chain(couplings, spins, gains, start, depth, tolerance, path, blocked):
    """Returns half of the energy won by one variable-depth move from a spin, 0 if the state is as before."""
    blocked[:] = 0.0
    total, best, kept = 0.0, tolerance, 0
    i = start
    for step in range(depth):
        total += _flip(couplings, spins, gains, i)
        blocked[i] = 1e300
        path[step] = i
        if total > best:
            best, kept = total, step + 1
        elif kept and step > kept + 20:
            depth = step + 1
            break
        i = _best_free(gains, blocked)
    for step in range(depth - 1, kept - 1, -1):
        _flip(couplings, spins, gains, path[step])
    return best if kept else 0.0


@_jit
def local_minimum(couplings, fields, spins, random, depth, tolerance):
    """Makes variable-depth moves from all spins, in random order, until none gains.

    Args:
        couplings: J float64 [n, n].
        fields: h float64 [n].
        spins: float64 ±1 [n], changed in place.
        random: xorshift state uint64 [1], changed in place.
        depth: most flips of a move, at most n.
        tolerance: gains below it are rounding.
    """
    n = spins.shape[0]
    path, blocked, gains = np.empty(n, np.int64), np.empty(n), np.empty(n)
    for i in range(n):
        local = fields[i]
        for j in range(n):
            local += couplings[i, j] * spins[j]
        gains[i] = -spins[i] * local
    _descend(couplings, spins, gains, tolerance)
    order = np.arange(n)
    without = 0
    while without < n:
        for k in range(n - 1, 0, -1):
            other = int(uniform(random) * (k + 1))
            order[k], order[other] = order[other], order[k]
        for k in range(n):
            gain = _chain(couplings, spins, gains, order[k], depth, tolerance, path, blocked)
            without = 0 if gain > 0 else without + 1
            if without >= n:
                break


@_jit
def kick(couplings, spins, random):
    """Turns some spins, up to an eighth: half of the time any, half of the time a bunch tied by strong bonds."""
    n = spins.shape[0]
    count = 2 + int(uniform(random) * max(1, n // 8))
    tied = uniform(random) < 0.5
    i = int(uniform(random) * n)
    for _ in range(count):
        spins[i] = -spins[i]
        if not tied:
            i = int(uniform(random) * n)
            continue
        strongest, following = -1.0, i
        for j in range(n):
            strength = abs(couplings[i, j]) * uniform(random)
            if strength > strongest:
                strongest, following = strength, j
        i = following
