"""Finite-size scaling of the critical regularisation: networks of growing width that fit noise.

==================================================  =============================================================
equation                                            variable
==================================================  =============================================================
E = ½‖Σ − W₂W₁‖² + (λ/2) Σ‖W‖²,  Σ = G/√N            G standard normal [N, N], no signal; N ``sizes``
λ_c(N) = λ + m/χ,  χ = −Δm/Δλ                        m the largest singular value of W₂W₁ once trained
λ_c(N) = λ_∞ + a N^{−2/3}                            ``limit``, ``slope``: a weighted straight line
λ_∞ = 2,  a = −2^{−2/3} · 1.2065                      theory
==================================================  =============================================================

In the limit the singular values of Σ end at 2, and any λ > 2 forgets all of the noise. At finite N the last mode is
lost at the largest singular value of Σ, whose mean lies lower by the mean of the Tracy–Widom distribution (Tracy &
Widom, Commun. Math. Phys. 177, 727, 1996; Johnstone, Ann. Statist. 29, 295, 2001): the transition is smeared over a
width N^{−2/3}.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._linear_network import LinearNetwork
from sciml_zoo.instruments._objective import Objective
from sciml_zoo.instruments.result import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FiniteSize", "finite_size"]

# Mean of the Tracy–Widom distribution of real matrices.
_TRACY_WIDOM_MEAN = -1.2065335745820
_MEASURED, _FITTED = "#1f77b4", "#d95f02"
_STRENGTHS = (1.0, 1.2)


@dataclass(frozen=True)
class FiniteSize(Panel):
    """Critical λ of networks that fit noise, over their width.

    Attributes:
        sizes: widths N.
        critical: mean λ_c(N) over instances [sizes].
        critical_error: standard error [sizes].
        limit: λ_∞, where the line over N^{−2/3} ends.
        limit_error: standard error of ``limit``.
        slope: a of the line.
        slope_error: standard error of ``slope``.
        theory_limit: 2.
        theory_slope: −2^{−2/3} · 1.2065.
        gradients: gradients of L.
    """

    sizes: tuple[int, ...]
    critical: Tensor
    critical_error: Tensor
    limit: float
    limit_error: float
    slope: float
    slope_error: float
    theory_limit: float
    theory_slope: float
    gradients: int

    def draw(self, axes: "Axes") -> None:
        """Draws λ_c over N^{−2/3} with the fit and the theory.

        Args:
            axes: to draw on.
        """
        x = torch.tensor(self.sizes, dtype=torch.float64) ** (-2 / 3)
        span = torch.linspace(0, 1.1 * float(x.max()), 50)
        label = "Tracy–Widom: 2 − 0.760 N$^{-2/3}$"
        axes.plot(span, self.theory_limit + self.theory_slope * span, color="k", linewidth=1, label=label)
        label = f"fit: λ∞ = {self.limit:.3f} ± {self.limit_error:.3f}"
        axes.plot(span, self.limit + self.slope * span, "--", color=_FITTED, linewidth=1, label=label)
        axes.errorbar(x, self.critical, self.critical_error, fmt="o", color=_MEASURED, capsize=2, label="trained")
        axes.set(xlabel="N$^{-2/3}$, N the width", ylabel="critical strength λ_c(N)", title="Networks that fit noise")
        axes.legend(fontsize=8)


def finite_size(sizes: Sequence[int] = (8, 16, 32), *, instances: int = 10, seed: int = 0) -> FiniteSize:
    """Finds the critical λ of an infinitely wide network that fits noise, from networks of finite width.

    Each network is trained at λ = 1 and 1.2; its top singular value m falls with the susceptibility χ = −Δm/Δλ, and
    λ_c = λ + m/χ is where it vanishes.

    Args:
        sizes: widths N, at least two different ones.
        instances: networks of each width, two or more.
        seed: of noise and starts.

    Returns:
        λ_c(N) with standard errors and the extrapolation to N = ∞.

    Raises:
        InputError: too few sizes or instances.
    """
    if len(set(sizes)) < 2 or min(sizes) < 4 or instances < 2:
        raise InputError(f"sizes {list(sizes)}, instances {instances}: expected two widths of 4 or more, and 2 or more")
    generator = torch.Generator().manual_seed(seed)
    gradients = 0
    means, errors = [], []
    for size in sizes:
        found = []
        for _ in range(instances):
            critical, cost = _critical_of_noise(size, generator)
            found.append(critical)
            gradients += cost
        means.append(float(np.mean(found)))
        errors.append(float(np.std(found, ddof=1) / math.sqrt(instances)))
    x = np.asarray(sizes, dtype=float) ** (-2 / 3)
    design = np.stack([np.ones_like(x), x], 1) / np.asarray(errors)[:, None]
    covariance = np.linalg.inv(design.T @ design)
    limit, slope = covariance @ design.T @ (np.asarray(means) / np.asarray(errors))
    limit_error, slope_error = np.sqrt(np.diag(covariance))
    return FiniteSize(
        sizes=tuple(sizes),
        critical=torch.tensor(means, dtype=torch.float64),
        critical_error=torch.tensor(errors, dtype=torch.float64),
        limit=float(limit),
        limit_error=float(limit_error),
        slope=float(slope),
        slope_error=float(slope_error),
        theory_limit=2.0,
        theory_slope=2 ** (-2 / 3) * _TRACY_WIDOM_MEAN,
        gradients=gradients,
    )


def _critical_of_noise(size: int, generator: torch.Generator) -> tuple[float, int]:
    """Returns λ_c of one network and the gradients it took."""
    target = torch.randn(size, size, generator=generator, dtype=torch.float64) / math.sqrt(size)
    network = LinearNetwork(2, size, 1.0, generator)
    objective = Objective(network, lambda model: (target - model()).square().sum() / 2)
    slope = torch.func.grad_and_value(objective)
    theta, gradients, tops = objective.start.numpy(), 0, []
    for strength in _STRENGTHS:

        def energy(at: NDArray[np.float64], strength: float = strength) -> tuple[float, NDArray[np.float64]]:
            gradient, value = slope(torch.from_numpy(at))
            return float(value) + strength / 2 * float(at @ at), gradient.numpy() + strength * at

        options = {"maxiter": 3000, "gtol": 1e-6, "ftol": 1e-13}
        found = minimize(energy, theta, jac=True, method="L-BFGS-B", options=options)
        theta = found.x
        gradients += int(found.nfev)
        second, first = torch.from_numpy(theta).view(2, size, size).flip(0)
        tops.append(float(torch.linalg.matrix_norm(second @ first, 2)))
    susceptibility = (tops[0] - tops[1]) / (_STRENGTHS[1] - _STRENGTHS[0])
    return _STRENGTHS[1] + tops[1] / susceptibility, gradients
