"""Curvature as mass: the eigenvalues of a loss's Hessian, and what they let a learning rate do.

========================================  ============================================================================
equation                                  variable
========================================  ============================================================================
H u_k = λ_k u_k,  H = ∂²L/∂θ²               ``top``, ``bottom``; their errors ‖H u − λ u‖ bound |λ − an eigenvalue|
m_k = 1/λ_k                                ``masses`` of ``top`` and ``bottom``, like the effective mass of a band
κ = λ_max/λ_min                            ``condition``, infinite unless all curvatures are positive beyond their error
φ(λ) = (1/n) Σ_k N(λ; λ_k, σ²)             ``density``, by stochastic Lanczos quadrature; ``trace`` is n ∫ λ φ
λ_max ≤ 2/η                               ``sharpness_limit``: gradient descent of learning rate η is stable below
========================================  ============================================================================

The walk of gradient descent in the canyon, ``canyon``, is that of :mod:`sciml_zoo.instruments._canyon`.
Edge of stability: Cohen et al., "Gradient descent on neural networks typically occurs at the edge of stability", ICLR
2021. Density: Ghorbani, Krishnan & Xiao, ICML 2019. Cost is counted in gradient evaluations, a product Hv as two.

Example:
    >>> from sciml_zoo.instruments import curvature
    >>> import torch
    >>> x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> model = torch.nn.Linear(3, 1, bias=False)
    >>> result = curvature.measure(model, lambda m: m(x).square().mean() / 2, top=2, bottom=1, learning_rate=0.1)
    >>> result.verdict.split(":")[0]
    'stable'
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._canyon import Canyon, require_walk, walk
from sciml_zoo.instruments._curvature_figures import curvature_figure
from sciml_zoo.instruments._hessian_products import HessianProducts, LinearMap, MatrixProducts
from sciml_zoo.instruments._lanczos import Density, SymmetricMap, extremes, largest
from sciml_zoo.instruments._lanczos import density as spectral_density
from sciml_zoo.instruments.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Canyon", "CurvatureResult", "LinearMap", "Sharpness", "measure", "sharpness", "walk"]

_DENSITY_STEPS = 40
# "At the edge": so near to 2/η; Cohen et al. see it hover a few per cent above.
_EDGE = 0.1


class Sharpness(NamedTuple):
    """The largest eigenvalue, quickly.

    Attributes:
        value: λ_max, a lower bound.
        error: the residual.
        vector: its unit eigenvector [n].
        method: how the products were made.
        gradients: what it cost, in gradient evaluations.
    """

    value: float
    error: float
    vector: Tensor
    method: str
    gradients: int


@dataclass(frozen=True)
class CurvatureResult(Result):
    """The curvature of a loss at one point.

    Attributes:
        parameters: n.
        loss: L; None of a matrix.
        gradient_norm: ‖∇L‖; None of a matrix.
        top: the largest eigenvalues, largest first [k].
        top_errors: bounds of their errors [k].
        bottom: the smallest, smallest first [l].
        bottom_errors: likewise [l].
        converged: whether all residuals came below the tolerance.
        masses: 1/λ of ``top`` and ``bottom`` [k + l].
        mass_errors: to first order [k + l].
        condition: κ.
        condition_error: to first order.
        sharpness_limit: 2/η, or None.
        verdict: in words.
        trace: of H, or None.
        trace_error: standard error over the probes, or None.
        density_grid: λ [g], or None.
        density: φ(λ) [g], or None.
        density_errors: standard errors over the probes [g], or None.
        density_width: σ, or None.
        exact: all eigenvalues of the dense Hessian, smallest first [n], if asked for.
        canyon: a walk from here, if asked for.
        method: how the products were made.
        gradients: what it cost, in gradient evaluations.
    """

    parameters: int
    loss: float | None
    gradient_norm: float | None
    top: NDArray[np.float64]
    top_errors: NDArray[np.float64]
    bottom: NDArray[np.float64]
    bottom_errors: NDArray[np.float64]
    converged: bool
    masses: NDArray[np.float64]
    mass_errors: NDArray[np.float64]
    condition: float
    condition_error: float
    sharpness_limit: float | None
    verdict: str
    trace: float | None
    trace_error: float | None
    density_grid: NDArray[np.float64] | None
    density: NDArray[np.float64] | None
    density_errors: NDArray[np.float64] | None
    density_width: float | None
    exact: NDArray[np.float64] | None
    canyon: Canyon | None
    method: str
    gradients: int

    def plot(self) -> "Figure":
        """Returns the extreme eigenvalues against 2/η, their density, and the walk, drawn."""
        return curvature_figure(self)


def measure(
    model: Any = None,
    loss: Callable[[nn.Module], Tensor] | None = None,
    *,
    top: int = 5,
    bottom: int = 3,
    density: bool = True,
    learning_rate: float | None = None,
    trajectory: int = 0,
    exact: bool = False,
    probes: int = 8,
    tolerance: float = 1e-7,
    max_products: int = 300,
    seed: int = 0,
) -> CurvatureResult:
    """Measures the curvature of a loss at a model's parameters; without arguments, of a small network at the edge.

    Args:
        model: a module; or, without ``loss``, a symmetric matrix: :class:`LinearMap`, or what has a shape [n, n] and
            multiplies by ``@``, such as linear operators of curvlinops and scipy.
        loss: the model → its scalar loss.
        top: number of the largest eigenvalues, 1 or more.
        bottom: number of the smallest.
        density: whether to estimate the spectral density, for ``probes`` · 40 products at most.
        learning_rate: η of gradient descent.
        trajectory: walk so many steps of gradient descent from here, with ``learning_rate``.
        exact: whether to build the dense Hessian, of n² numbers, for comparison.
        probes: random starts of the density, 2 or more.
        tolerance: residual over the largest |λ| at which an eigenvalue is found.
        max_products: at most so many products for the extremes.
        seed: of the random starts.

    Returns:
        What was measured. The model is left as it was.

    Raises:
        InputError: settings that make no sense, or a loss that cannot be differentiated.
    """
    if model is None and loss is None:
        return _demonstration(seed)
    _require(top, bottom, probes, tolerance, max_products, learning_rate, trajectory)
    value, slope, canyon = None, None, None
    matrix: HessianProducts | MatrixProducts
    if loss is None:
        if isinstance(model, nn.Module) or trajectory:
            raise InputError("loss is missing: expected a function of the model that returns its scalar loss")
        matrix = MatrixProducts(model)
    else:
        matrix = HessianProducts(model, loss)
        value, gradient = matrix.value_and_gradient()
        slope = float(gradient.double().norm())
        if learning_rate is not None and trajectory:
            canyon = walk(model, loss, learning_rate=learning_rate, steps=trajectory, seed=seed)
    n = matrix.size
    top = min(top, n)
    bottom = min(bottom, n - top)
    found = extremes(matrix, top, bottom, tolerance=tolerance, max_products=max(max_products, top + bottom), seed=seed)
    values, errors = np.append(found.top, found.bottom), np.append(found.top_errors, found.bottom_errors)
    scale = float(np.abs(values).max())
    curve = None
    if density:
        curve = spectral_density(matrix, found, probes=probes, steps=_DENSITY_STEPS, seed=seed + 1)
    spectrum = _dense_eigenvalues(matrix) if exact else None
    limit = None if learning_rate is None else 2 / learning_rate
    condition, condition_error = _condition(found.top, found.top_errors, found.bottom, found.bottom_errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        masses, mass_errors = 1 / values, errors / values**2
    return CurvatureResult(
        parameters=n,
        loss=value,
        gradient_norm=slope,
        top=found.top,
        top_errors=found.top_errors,
        bottom=found.bottom,
        bottom_errors=found.bottom_errors,
        converged=bool(errors.max() <= max(tolerance, 1e2 * torch.finfo(matrix.dtype).eps) * scale),
        masses=masses,
        mass_errors=mass_errors,
        condition=condition,
        condition_error=condition_error,
        sharpness_limit=limit,
        verdict=_verdict(float(found.top[0]), limit),
        **_density_fields(curve, n),
        exact=spectrum,
        canyon=canyon,
        method=matrix.method,
        gradients=matrix.gradients + (canyon.gradients if canyon else 0),
    )


def sharpness(
    model: nn.Module,
    loss: Callable[[nn.Module], Tensor],
    *,
    iterations: int = 10,
    previous: Sharpness | None = None,
    seed: int = 0,
) -> Sharpness:
    """Finds the largest eigenvalue of the Hessian by a few steps of Lanczos.

    Args:
        model: a module.
        loss: the model → its scalar loss.
        iterations: Hessian-vector products, 1 or more.
        previous: what was found a few steps of training ago: the search starts there, and the products are made alike.
        seed: of the random start where there is none.

    Returns:
        The eigenvalue, its error and eigenvector, and the cost. The model is left as it was.

    Raises:
        InputError: no iteration, an eigenvector of another size, or a loss that cannot be differentiated.
    """
    if iterations < 1:
        raise InputError(f"iterations is {iterations}: expected 1 or more")
    matrix = HessianProducts(model, loss, method=previous.method if previous else None)
    if previous is not None and previous.vector.shape != (matrix.size,):
        raise InputError(
            f"previous has a vector of {len(previous.vector)}, the model {matrix.size} parameters: expected its own"
        )
    start = previous.vector if previous else None
    return Sharpness(*largest(matrix, start, iterations, seed), matrix.method, matrix.gradients)


def _demonstration(seed: int) -> CurvatureResult:
    """Returns the curvature of a network trained on Chebyshev's polynomial T₄ up to the edge of stability."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (1, 16, 16, 1)
    model = nn.Sequential()
    for k, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.normal_(0, fan_in**-0.5, generator=generator)
            layer.bias.normal_(0, 0.3, generator=generator)
        model.append(layer)
        if k < len(sizes) - 2:
            model.append(nn.Tanh())
    x = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]
    target = 8 * x**4 - 8 * x**2 + 1

    def loss(network: nn.Module) -> Tensor:
        return (network(x) - target).square().mean() / 2

    learning_rate, steps = 0.2, 1500
    canyon = walk(model, loss, learning_rate=learning_rate, steps=steps, seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    result = measure(model, loss, learning_rate=learning_rate, exact=True, seed=seed)
    return dataclasses.replace(result, canyon=canyon, gradients=result.gradients + canyon.gradients + steps)


def _require(
    top: int,
    bottom: int,
    probes: int,
    tolerance: float,
    max_products: int,
    learning_rate: float | None,
    trajectory: int,
) -> None:
    if top < 1 or bottom < 0:
        raise InputError(f"top is {top}, bottom {bottom}: expected 1 or more of the top, 0 or more of the bottom")
    if probes < 2:
        raise InputError(f"probes is {probes}: expected 2 or more, for a standard error; density=False takes none")
    if not 0 < tolerance < 1 or max_products < 1:
        raise InputError(
            f"tolerance is {tolerance}, max_products {max_products}: expected one between 0 and 1, and 1 or more"
        )
    if learning_rate is not None:
        require_walk(learning_rate, trajectory or 1)
    elif trajectory:
        raise InputError("a trajectory needs a learning_rate")


def _condition(
    top: NDArray[np.float64],
    top_errors: NDArray[np.float64],
    bottom: NDArray[np.float64],
    bottom_errors: NDArray[np.float64],
) -> tuple[float, float]:
    """Returns κ and its error to first order; infinite where the smallest eigenvalue may be zero or less."""
    if not len(bottom) or bottom[0] <= bottom_errors[0]:
        return math.inf, math.inf
    condition = float(top[0] / bottom[0])
    return condition, condition * math.hypot(float(top_errors[0] / top[0]), float(bottom_errors[0] / bottom[0]))


def _verdict(largest_eigenvalue: float, limit: float | None) -> str:
    if limit is None:
        return "no learning rate given"
    ratio = largest_eigenvalue / limit
    words = f"sharpness {largest_eigenvalue:.4g} is {ratio:.3g} × 2/η"
    if ratio < 1 - _EDGE:
        return f"stable: {words}"
    return f"edge of stability: {words}" if ratio <= 1 + _EDGE else f"unstable: {words}"


def _density_fields(curve: Density | None, n: int) -> dict[str, Any]:
    names = ("trace", "trace_error", "density_grid", "density", "density_errors", "density_width")
    if curve is None:
        return dict.fromkeys(names)
    values = (n * curve.mean, n * curve.mean_error, curve.grid, curve.values, curve.errors, curve.width)
    return dict(zip(names, values, strict=True))


def _dense_eigenvalues(matrix: SymmetricMap) -> NDArray[np.float64]:
    """Returns all eigenvalues, smallest first, from n products."""
    columns = torch.empty(matrix.size, matrix.size, dtype=torch.float64)
    unit = torch.zeros(matrix.size, dtype=matrix.dtype, device=matrix.device)
    for i in range(matrix.size):
        unit[i] = 1.0
        columns[i] = matrix(unit)
        unit[i] = 0.0
    return torch.linalg.eigvalsh((columns + columns.T) / 2).numpy()
