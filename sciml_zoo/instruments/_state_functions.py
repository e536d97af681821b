"""State functions of a tempered posterior: their exact values for a linear model, and their estimates from draws.

===========================================================  ===============================================
equation                                                     variable
===========================================================  ===============================================
p_T(θ) = N(θ; 0, s²) exp(−L(θ)/T)/Z(T)                       L = −log p(D | θ) in nats; s ``prior_scale``
U = ⟨L⟩_T                                                     ``energy``
F = −T log Z                                                 ``free_energy``; at T = 1, −log p(D)
S = (U − F)/T = −KL(p_T ‖ prior) ≤ 0                          ``entropy``
C = dU/dT = Var_T(L)/T²                                      ``heat_capacity``
Σ_β 1/(1 + e^{w − f}) = Σ_β' 1/(1 + e^{f − w})               w = (β' − β) L, f = log Z(β)/Z(β')
===========================================================  ===============================================

The last line is Bennett's acceptance ratio (J. Comput. Phys. 22, 245, 1976): the sums run over draws at β and at β'. It
replaces the integral d log Z = −U dβ of thermodynamic integration by a sum of finite steps without an error of the
step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import expit
from torch import Tensor

from sciml_zoo.instruments._variational import Gaussian
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["StateFunctions", "from_draws", "from_gaussians", "linear_regression"]

# Chains are left out one group after the other.
_GROUPS = 16

LABELS = {
    "energy": "energy U = ⟨L⟩ (nats)",
    "entropy": "entropy S = −KL(posterior ‖ prior) (nats)",
    "free_energy": "free energy F = U − TS (nats)",
    "heat_capacity": "heat capacity C = dU/dT",
}


@dataclass(frozen=True)
class StateFunctions(Result):
    """U, S, F and C over temperature; the errors are standard errors, zero where a value is exact.

    Attributes:
        temperatures: T [k], ascending.
        energy: U in nats [k].
        energy_error: of ``energy`` [k].
        entropy: S in nats [k].
        entropy_error: of ``entropy`` [k].
        free_energy: F in nats [k].
        free_energy_error: of ``free_energy`` [k].
        heat_capacity: C [k].
        heat_capacity_error: of ``heat_capacity`` [k].
    """

    temperatures: Tensor
    energy: Tensor
    energy_error: Tensor
    entropy: Tensor
    entropy_error: Tensor
    free_energy: Tensor
    free_energy_error: Tensor
    heat_capacity: Tensor
    heat_capacity_error: Tensor

    def plot(self) -> "Figure":
        """Returns a figure of the four over temperature."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.4, 6.4), layout="constrained")
        for axes, (name, label) in zip(figure.subplots(2, 2).flat, LABELS.items(), strict=True):
            axes.errorbar(self.temperatures, getattr(self, name), getattr(self, f"{name}_error"), fmt="o-", capsize=2)
            axes.set(xscale="log", xlabel="temperature T", ylabel=label)
        return figure


def linear_regression(
    features: Tensor, targets: Tensor, *, noise: float, prior_scale: float, temperatures: Sequence[float]
) -> StateFunctions:
    """Returns the exact state functions of y = Φw + noise with L = ‖y − Φw‖²/2σ² + (n/2) log 2πσ².

    With H = ΦᵀΦ/σ² and Σ = (1/s² + H/T)⁻¹, the posterior is N(m, Σ), m = ΣΦᵀy/σ²T; U = L(m) + ½ tr HΣ, KL as for any
    two Gaussians, and C T² = ∇L(m)ᵀ Σ ∇L(m) + ½ tr (HΣ)².

    Args:
        features: Φ [n, d].
        targets: y [n].
        noise: standard deviation σ.
        prior_scale: standard deviation s of the weights.
        temperatures: T [k].
    """
    phi, y = features.double(), targets.double()
    n, d = phi.shape
    hessian = phi.T @ phi / noise**2
    rows = []
    for temperature in temperatures:
        precision = hessian / temperature + torch.eye(d).to(hessian) / prior_scale**2
        covariance = torch.linalg.inv(precision)
        mean = covariance @ (phi.T @ y) / (noise**2 * temperature)
        residual = y - phi @ mean
        loss = residual.square().sum() / (2 * noise**2) + n / 2 * math.log(2 * math.pi * noise**2)
        spread = hessian @ covariance
        energy = loss + spread.trace() / 2
        trace = (covariance.trace() + mean.square().sum()) / prior_scale**2
        information = (trace - d + precision.logdet() + 2 * d * math.log(prior_scale)) / 2
        slope = -phi.T @ residual / noise**2
        variance = slope @ covariance @ slope + (spread @ spread).trace() / 2
        rows.append([energy, -information, energy + temperature * information, variance / temperature**2])
    energy, entropy, free_energy, capacity = torch.tensor(rows, dtype=torch.float64).T
    t = torch.tensor(temperatures, dtype=torch.float64)
    none = torch.zeros_like(t)
    return StateFunctions(t, energy, none, entropy, none, free_energy, none, capacity, none)


def from_gaussians(gaussians: Sequence[Gaussian]) -> StateFunctions:
    """Returns the state functions of variational Gaussians, with the errors of averages over draws.

    C = T dS/dT is the slope of a cubic spline of S over log T, which is straight where equipartition holds; dU = T dS
    as F is stationary. The scatter of the descent is not part of the errors.

    Args:
        gaussians: at ascending temperatures; C is nan with only one.
    """
    t = torch.tensor([g.temperature for g in gaussians], dtype=torch.float64)
    energy = torch.tensor([g.energy for g in gaussians], dtype=torch.float64)
    error = torch.tensor([g.energy_error for g in gaussians], dtype=torch.float64)
    entropy = -torch.tensor([g.information for g in gaussians], dtype=torch.float64)
    capacity = torch.full_like(t, math.nan)
    if len(t) > 1:
        logs = t.log().numpy()
        capacity = torch.from_numpy(CubicSpline(logs, entropy.numpy())(logs, 1))
    exact = torch.zeros_like(t)
    return StateFunctions(t, energy, error, entropy, exact, energy - t * entropy, error, capacity, exact)


def from_draws(betas: Sequence[float], losses: Sequence[Tensor], wanted: Sequence[int]) -> StateFunctions:
    """Returns the state functions from draws on a ladder of inverse temperatures, with errors by the jackknife.

    Chains must be independent of each other; a chain may be correlated with itself, also between temperatures.

    Args:
        betas: β of the ladder, ascending from 0.
        losses: L at each, [draws, chains].
        wanted: which steps of the ladder are reported, ascending.
    """
    ladder = [values.cpu().numpy() for values in losses]
    member = np.arange(ladder[0].shape[1]) % min(_GROUPS, ladder[0].shape[1])
    whole = _estimate(betas, ladder, wanted)
    parts = np.stack([_estimate(betas, [v[:, member != g] for v in ladder], wanted) for g in range(member.max() + 1)])
    errors = np.sqrt((len(parts) - 1) * parts.var(0))
    columns = [torch.from_numpy(column.copy()).flip(0) for pair in zip(whole, errors, strict=True) for column in pair]
    temperatures = torch.tensor([1 / betas[k] for k in wanted], dtype=torch.float64).flip(0)
    return StateFunctions(temperatures, *columns)


def _estimate(betas: Sequence[float], ladder: Sequence[NDArray], wanted: Sequence[int]) -> NDArray[np.float64]:
    """Returns U, S, F and C at the wanted steps [4, k]."""
    log_z = np.zeros(len(betas))
    for k in range(1, len(betas)):
        step = betas[k] - betas[k - 1]
        log_z[k] = log_z[k - 1] - _bennett(step * ladder[k - 1].ravel(), step * ladder[k].ravel())
    rows = []
    for k in wanted:
        energy, free_energy = ladder[k].mean(), -log_z[k] / betas[k]
        rows.append([energy, (energy - free_energy) * betas[k], free_energy, ladder[k].var() * betas[k] ** 2])
    return np.array(rows).T


def _bennett(forward: NDArray, backward: NDArray) -> float:
    """Returns f = log Z(β)/Z(β') from as many w of draws at β as of draws at β'."""
    low, high = min(forward.min(), backward.min()), max(forward.max(), backward.max())
    if low == high:
        return float(low)
    return float(brentq(lambda f: expit(f - forward).sum() - expit(backward - f).sum(), low, high, xtol=1e-12))
