"""How far the draws of several Markov chains can be trusted: autocorrelation time, effective sample size, split R-hat.

| symbol | here |
|---|---|
| x_tm, draw t of chain m | ``draws`` [N, M] |
| W, mean variance within a chain; B/N, variance of the chains' means | ``within``, ``between`` |
| V = (N−1)/N·W + B/N | ``pooled`` |
| ρ_t = 1 − (W − mean autocovariance at lag t)/V | ``autocorrelation`` [N] |
| τ = 1 + 2 Σ_{t≥1} ρ_t | draws that are worth one independent draw (twice Sokal's τ_int) |
| N·M/τ | effective sample size |

ρ_t and R-hat are those of Vehtari, Gelman, Simpson, Carpenter & Bürkner, Bayesian Analysis 16, 667 (2021): chains that
disagree make ρ_t stay above zero, so that τ is long where a single chain would look fine. The sum is cut by Sokal's
automatic window (Sokal 1997: the first lag of at least five τ, and of five) or where Geyer's sums of pairs turn
negative (Geyer 1992, initial monotone sequence).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from sciml_zoo.errors import InputError

__all__ = [
    "Diagnostic",
    "autocorrelation",
    "autocorrelation_time",
    "diagnose",
    "effective_sample_size",
    "split_rhat",
    "standard_error",
]

Window = Literal["sokal", "geyer"]
_SOKAL_WIDTH = 5.0  # lags a τ: a window this wide loses e⁻¹⁰ of an exponential decay
_FEWEST_DRAWS = 4


@dataclass(frozen=True)
class Diagnostic:
    """What is known about one quantity.

    Attributes:
        mean: over all draws.
        standard_error: of ``mean``, from τ.
        autocorrelation_time: τ, in draws.
        effective_samples: N·M/τ.
        rhat: split R-hat; 1 is converged.
    """

    mean: float
    standard_error: float
    autocorrelation_time: float
    effective_samples: float
    rhat: float


def autocorrelation(draws: ArrayLike) -> NDArray[np.float64]:
    """Returns ρ_t of all chains together.

    Args:
        draws: [N] or [N, M], at least four draws.

    Returns:
        ρ_0 … ρ_{N−1} [N]; of a quantity that never changes, 1, 0, 0, …

    Raises:
        InputError: fewer than four draws, or one that is not finite.
    """
    x = _checked(draws)
    n, n_chains = x.shape
    means = x.mean(0)
    size = 1 << (2 * n - 1).bit_length()
    covariance = np.zeros(n)
    for m in range(n_chains):
        transform = np.fft.rfft(x[:, m] - means[m], size)
        covariance += np.fft.irfft(transform.real**2 + transform.imag**2, size)[:n]
    covariance /= n * n_chains
    within = covariance[0] * n / (n - 1)
    between = means.var(ddof=1) if n_chains > 1 else 0.0
    pooled = covariance[0] + between
    # FFTs of a constant leave rounding behind.
    if pooled <= 1e-24 * max(1.0, float(np.abs(x).max()) ** 2):
        return np.eye(1, n)[0]
    result = 1.0 - (within - covariance * n / (n - 1)) / pooled
    result[0] = 1.0
    return result


def autocorrelation_time(draws: ArrayLike, *, window: Window = "sokal") -> float:
    """Returns τ: how many draws are worth one independent draw.

    Args:
        draws: [N] or [N, M].
        window: where to stop summing.

    Returns:
        τ in draws, between 1/(3 log10(N·M)) (antithetic chains) and N·M.

    Raises:
        InputError: an unknown window.
    """
    rho = autocorrelation(draws)
    n, n_draws = len(rho), np.asarray(draws).size
    if window == "sokal":
        sums = 2.0 * np.cumsum(rho) - 1.0
        inside = np.arange(n) >= _SOKAL_WIDTH * np.maximum(sums, 1.0)
        inside[0] = False
        tau = float(sums[np.argmax(inside)] if inside.any() else sums[-1])
        if not inside.any():
            # The window never closes: the chains are shorter than a few τ, and the last sum is no estimate.
            tau = max(tau, float(sums.max()))
    elif window == "geyer":
        pairs = rho[0 : n - n % 2 : 2] + rho[1:n:2][: n // 2]
        positive = np.argmax(pairs <= 0) if (pairs <= 0).any() else len(pairs)
        tau = float(2.0 * np.minimum.accumulate(pairs[:positive]).sum() - 1.0)
    else:
        raise InputError(f"window {window!r}: expected 'sokal' or 'geyer'")
    return float(np.clip(tau, 1.0 / (3.0 * np.log10(n_draws)), n_draws))


def effective_sample_size(draws: ArrayLike, *, window: Window = "sokal") -> float:
    """Returns N·M/τ, the number of independent draws with the same error of the mean."""
    return np.asarray(draws).size / autocorrelation_time(draws, window=window)


def standard_error(draws: ArrayLike, *, window: Window = "sokal") -> float:
    """Returns the standard error of the mean of all draws, √(V τ / N M)."""
    x = _checked(draws)
    pooled = x.var(0).mean() + (x.mean(0).var(ddof=1) if x.shape[1] > 1 else 0.0)
    return float(np.sqrt(pooled * autocorrelation_time(x, window=window) / x.size))


def split_rhat(draws: ArrayLike, *, rank_normalised: bool = False) -> float:
    """Returns R-hat of the half-chains, √(V/W).

    Args:
        draws: [N] or [N, M].
        rank_normalised: replace values by the normal scores of their ranks first, and report the larger of that and
            of the same for the distance from the median (Vehtari et al. 2021), which sees chains that differ in width.

    Returns:
        R-hat; 1.0 for a quantity that never changes, infinite where no chain moves but they differ.
    """
    x = _checked(draws)
    half = len(x) // 2
    halves = np.concatenate([x[:half], x[-half:]], axis=1)
    if not rank_normalised:
        return _rhat(halves)
    folded = np.abs(halves - np.median(halves))
    return max(_rhat(_normal_scores(halves)), _rhat(_normal_scores(folded)))


def diagnose(draws: ArrayLike, *, window: Window = "sokal") -> Diagnostic:
    """Returns mean, error, τ, effective sample size and split R-hat of one quantity.

    Args:
        draws: [N] or [N, M]; of fewer than four draws a chain, all but the mean is NaN.
        window: where to stop summing the autocorrelation.

    Returns:
        The figures.
    """
    x = np.asarray(draws, dtype=np.float64)
    if len(x) < _FEWEST_DRAWS:
        return Diagnostic(float(x.mean()) if x.size else np.nan, np.nan, np.nan, np.nan, np.nan)
    tau = autocorrelation_time(x, window=window)
    return Diagnostic(float(x.mean()), standard_error(x, window=window), tau, x.size / tau, split_rhat(x))


def _rhat(chains: NDArray[np.float64]) -> float:
    n = len(chains)
    within = float(chains.var(0, ddof=1).mean())
    between = float(chains.mean(0).var(ddof=1))
    floor = 1e-24 * max(1.0, float(np.abs(chains).max()) ** 2)
    if within <= floor:
        return 1.0 if between <= floor else float("inf")
    return float(np.sqrt((n - 1) / n + between / within))


def _normal_scores(x: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks = rankdata(x, axis=None).reshape(x.shape)
    return ndtri((ranks - 0.375) / (x.size + 0.25))


def _checked(draws: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(draws, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or len(x) < _FEWEST_DRAWS:
        raise InputError(f"draws have shape {list(x.shape)}; expected [N, chains] with N of at least {_FEWEST_DRAWS}")
    if not np.isfinite(x).all():
        place = tuple(int(k) for k in np.argwhere(~np.isfinite(x))[0])
        raise InputError(f"draws: entry {list(place)} is not a finite number")
    return x
