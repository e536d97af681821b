"""The compiled loops of :mod:`sciml_zoo.splicing.recurrence`: over sequences and directions, time, and channels.

| symbol | here | shape |
|---|---|---|
| z, c | gates and candidates | [B, L, 2E]; of one sequence and direction [L, E] |
| h | states | likewise |
| ∂L/∂h, ∂L/∂z, ∂L/∂c | ``gradient``, ``dz``, ``dc`` | likewise |
"""

import numba

__all__ = ["run", "run_back", "run_back_threaded", "run_one", "run_threaded"]

_compiled = numba.njit(fastmath={"contract", "nsz"}, cache=True, error_model="numpy")


def _run(z, c, initial, h):
    n, _, width = z.shape
    half = width // 2
    for job in numba.prange(2 * n):
        i = job // 2
        if job % 2 == 0:
            run_one(z[i, :, :half], c[i, :, :half], initial[i, :half], h[i, :, :half])
        else:
            run_one(z[i, ::-1, half:], c[i, ::-1, half:], initial[i, half:], h[i, ::-1, half:])


def _run_back(gradient, z, c, initial, h, dz, dc, d_initial):
    n, _, width = z.shape
    half = width // 2
    for job in numba.prange(2 * n):
        i = job // 2
        if job % 2 == 0:
            given = gradient[i, :, :half], z[i, :, :half], c[i, :, :half], initial[i, :half], h[i, :, :half]
            _run_back_one(*given, dz[i, :, :half], dc[i, :, :half], d_initial[i, :half])
        else:
            given = (
                gradient[i, ::-1, half:], z[i, ::-1, half:], c[i, ::-1, half:], initial[i, half:], h[i, ::-1, half:]
            )  # fmt: skip
            _run_back_one(*given, dz[i, ::-1, half:], dc[i, ::-1, half:], d_initial[i, half:])


# Indices count from zero and the state has no array of its own: else the inner loops are not vectorised.
@_compiled
def run_one(z, c, initial, h):
    for k in range(z.shape[1]):
        h[0, k] = initial[k] + z[0, k] * (c[0, k] - initial[k])
    for t in range(1, z.shape[0]):
        for k in range(z.shape[1]):
            h[t, k] = h[t - 1, k] + z[t, k] * (c[t, k] - h[t - 1, k])


@_compiled
def _run_back_one(gradient, z, c, initial, h, dz, dc, d_initial):
    last = z.shape[0] - 1
    for k in range(z.shape[1]):
        dz[last, k] = gradient[last, k]
    for t in range(last, 0, -1):  # row t of dz holds ḡ until row t − 1 is known
        for k in range(z.shape[1]):
            dc[t, k] = dz[t, k] * z[t, k]
        for k in range(z.shape[1]):
            dz[t - 1, k] = gradient[t - 1, k] + dz[t, k] - dc[t, k]
        for k in range(z.shape[1]):
            dz[t, k] *= c[t, k] - h[t - 1, k]
    for k in range(z.shape[1]):
        dc[0, k] = dz[0, k] * z[0, k]
        d_initial[k] = dz[0, k] - dc[0, k]
        dz[0, k] *= c[0, k] - initial[k]


# One thread does without numba's threading layer, which would raise OpenMP's number of threads for torch as well.
run, run_back = (numba.njit(cache=True, error_model="numpy")(loop) for loop in (_run, _run_back))
run_threaded, run_back_threaded = (
    numba.njit(parallel=True, cache=True, error_model="numpy")(loop) for loop in (_run, _run_back)
)
