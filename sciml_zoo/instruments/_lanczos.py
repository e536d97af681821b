"""Lanczos iteration with full reorthogonalisation: extreme eigenvalues, and the density of all of them.

==========================================  ==========================================================================
equation                                    variable
==========================================  ==========================================================================
A V = V T + w eᵀ,  VᵀV = 1                    ``_Krylov.basis`` (rows are V's columns), ``projected``, ‖w‖ is ``beta``
T s = θ s,  ‖A V s − θ V s‖ = ‖w‖ |s_last|      ``values``, ``shapes``, ``residuals``: bounds of |θ − an eigenvalue|
V ← V S, T ← diag θ, coupling ‖w‖ s_last       ``_Krylov.restart``: thick restart (Wu & Simon 2000)
n φ(λ) = Σ_known N(λ; λ_k, σ²)                 ``density``: known eigenvectors are taken out of random starts; Gauss
  + (n − k) Σ_i s_{1i}² N(λ; θ_i, σ²)          quadrature of what is left, mean over starts
==========================================  ==========================================================================

Density: Ghorbani, Krishnan & Xiao, "An investigation into neural net optimization via Hessian eigenvalue density", ICML
2019. Restart: Wu & Simon, SIAM J. Matrix Anal. Appl. 22, 602 (2000). Vectors are kept in the precision of the matrix,
sums over their entries are float64. Memory is ``subspace_size`` vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Density", "Extremes", "SymmetricMap", "blurred", "density", "extremes", "largest", "subspace_size"]

# The basis takes at most so many bytes, and at most so many vectors.
_MEMORY, _LARGEST_SUBSPACE = 8e8, 100
# Entries of a vector that are converted to float64 at a time.
_CHUNK = 1 << 17
# Width of the Gaussians over the range of the spectrum, and points of the grid.
_BLUR, _POINTS = 0.01, 401
# Products between two looks at the convergence.
_LOOK = 5


class SymmetricMap(Protocol):
    """What is needed of a matrix: v [size] → Av [size]."""

    @property
    def size(self) -> int:
        """Number of rows."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the vectors."""

    @property
    def device(self) -> torch.device | str:
        """Of the vectors."""

    def __call__(self, vector: Tensor, /) -> Tensor:
        """Returns Av [size]."""


@dataclass(frozen=True)
class Extremes:
    """Eigenvalues from both ends of a spectrum.

    Attributes:
        top: the largest, largest first [k].
        top_errors: norms of their residuals, bounds of their errors [k].
        bottom: the smallest, smallest first [l].
        bottom_errors: likewise [l].
        vectors: their eigenvectors, of ``top`` then ``bottom`` [k + l, n].
    """

    top: NDArray[np.float64]
    top_errors: NDArray[np.float64]
    bottom: NDArray[np.float64]
    bottom_errors: NDArray[np.float64]
    vectors: Tensor


@dataclass(frozen=True)
class Density:
    """The density of eigenvalues, blurred, and their mean.

    Attributes:
        grid: λ [g].
        values: φ(λ), of integral one [g].
        errors: standard errors over the probes [g].
        width: σ of the Gaussian at every eigenvalue.
        mean: of the eigenvalues, trace/n.
        mean_error: its standard error over the probes.
    """

    grid: NDArray[np.float64]
    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    width: float
    mean: float
    mean_error: float


def subspace_size(matrix: SymmetricMap, wanted: int = 1) -> int:
    """Returns how many basis vectors fit into 0.8 GB: at most 100 and n, at least ``wanted`` and a few."""
    fitting = int(_MEMORY / (matrix.size * matrix.dtype.itemsize))
    return min(matrix.size, max(wanted + 8, min(fitting, _LARGEST_SUBSPACE)))


class _Krylov:
    """An orthonormal basis that grows by products with a matrix, orthogonal to eigenvectors that are known."""

    def __init__(
        self,
        matrix: SymmetricMap,
        size: int,
        start: Tensor,
        generator: torch.Generator,
        known: Tensor | None = None,
    ) -> None:
        self.matrix, self.generator, self.known = matrix, generator, known
        self.basis = torch.empty(size, matrix.size, dtype=matrix.dtype, device=matrix.device)
        self.projected = np.zeros((size, size))
        self.beta = 0.0
        self.kept = 0  # basis vectors whose products are in ``projected``
        first = start.double()
        self._orthogonalise(first, 0)
        self.basis[0] = first / first.norm()
        self._residual: Tensor | None = None

    @property
    def full(self) -> bool:
        return self.kept == len(self.basis)

    def expand(self) -> None:
        """Multiplies the newest vector and orthogonalises the product: the next vector."""
        j = self.kept
        rest = self.matrix(self.basis[j]).detach().double()
        size = float(rest.norm())
        weights = self._orthogonalise(rest, j + 1)
        self.projected[j, : j + 1] = self.projected[: j + 1, j] = weights
        self.beta = float(rest.norm())
        self.kept = j + 1
        dimensions = self.matrix.size - (0 if self.known is None else len(self.known))
        if self.kept == dimensions or self.beta <= 4 * torch.finfo(self.matrix.dtype).eps * size:
            self.beta = 0.0  # the subspace is invariant: what is left is rounding
        if not self.full:
            self._append(rest)
        else:
            self._residual = rest

    def _append(self, rest: Tensor) -> None:
        if self.beta == 0.0:
            self.append_random()
            return
        self.basis[self.kept] = rest / self.beta

    def append_random(self) -> None:
        """Makes the next vector a random one, orthogonal to the others."""
        rest = _random(self.matrix, self.generator).double()
        self._orthogonalise(rest, self.kept)
        self.basis[self.kept] = rest / rest.norm()

    def _orthogonalise(self, vector: Tensor, count: int) -> NDArray[np.float64]:
        """Returns the weights of the first basis vectors in a float64 vector, and takes them out of it, twice."""
        total = np.zeros(count)
        for _ in range(2):
            if self.known is not None:
                _take_out(self.known, vector)
            total += _take_out(self.basis[:count], vector).cpu().numpy()
        return total

    def ritz(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Returns Ritz values, smallest first, their residuals, and their vectors in the basis (columns)."""
        values, shapes = np.linalg.eigh(self.projected[: self.kept, : self.kept])
        return values, self.beta * np.abs(shapes[-1]), shapes

    def vectors(self, shapes: NDArray[np.float64]) -> Tensor:
        """Returns the vectors with these weights, as rows; they may overwrite the basis."""
        mixing = torch.from_numpy(shapes.T.copy()).to(self.basis.device)
        target = self.basis[: len(mixing)]
        for k in range(0, self.matrix.size, _CHUNK):
            target[:, k : k + _CHUNK] = mixing @ self.basis[: self.kept, k : k + _CHUNK].double()
        return target

    def restart(self, values: NDArray[np.float64], shapes: NDArray[np.float64], *, fresh: bool) -> None:
        """Keeps some Ritz vectors; goes on with the residual, or with a fresh random vector."""
        coupling = self.beta * shapes[-1]
        rest, beta = self._residual, self.beta
        self.vectors(shapes)
        self.kept = len(values)
        self.projected[:] = 0.0
        self.projected[range(self.kept), range(self.kept)] = values
        if fresh or rest is None or beta == 0.0:
            self.append_random()
            return
        self.basis[self.kept] = rest / beta
        self._residual = None
        self.projected[self.kept, : self.kept] = self.projected[: self.kept, self.kept] = coupling


def _take_out(rows: Tensor, vector: Tensor) -> Tensor:
    """Returns the weights of orthonormal rows [k, n] in a float64 vector [n], and subtracts them from it."""
    weights = torch.zeros(len(rows), dtype=torch.float64, device=vector.device)
    for k in range(0, len(vector), _CHUNK):
        weights += rows[:, k : k + _CHUNK].double() @ vector[k : k + _CHUNK]
    for k in range(0, len(vector), _CHUNK):
        vector[k : k + _CHUNK] -= weights @ rows[:, k : k + _CHUNK].double()
    return weights


def _random(matrix: SymmetricMap, generator: torch.Generator) -> Tensor:
    return torch.randn(matrix.size, generator=generator, dtype=matrix.dtype).to(matrix.device)


def extremes(
    matrix: SymmetricMap, top: int, bottom: int, *, tolerance: float, max_products: int, seed: int
) -> Extremes:
    """Finds the largest and the smallest eigenvalues by thick-restart Lanczos.

    Once found, several eigenvalues at one end are sought again from a fresh start that is orthogonal to their vectors,
    because a start vector sees only one copy of a multiple eigenvalue.

    Args:
        matrix: A.
        top: number of the largest, 1 or more.
        bottom: number of the smallest; with ``top`` at most n.
        tolerance: residual over the largest |θ| at which an eigenvalue is found.
        max_products: the search ends here at the latest; the errors say how far it came.
        seed: of the start vectors.

    Returns:
        The eigenvalues; their errors are the residuals of the vectors, multiplied out.
    """
    generator = torch.Generator().manual_seed(seed)
    wanted = top + bottom
    krylov = _Krylov(matrix, subspace_size(matrix, 2 * wanted), _random(matrix, generator), generator)
    complete = len(krylov.basis) == matrix.size  # no restart is needed, and all copies come with the last vector
    confirm = max(top, bottom) > 1
    before: NDArray[np.float64] | None = None
    for product in range(1, max_products + 1):
        krylov.expand()
        if krylov.full and complete:
            break
        if krylov.kept < wanted or (product % _LOOK and not krylov.full):
            continue
        values, residuals, shapes = krylov.ritz()
        ends = _ends(len(values), top, bottom)
        allowed = tolerance * float(np.abs(values).max())
        found = residuals[ends].max() <= allowed
        if found and not confirm:
            break
        if found and not complete and (before is None or krylov.full):
            if before is not None and np.abs(values[ends] - before).max() <= allowed:
                break
            before = values[ends]
            krylov.restart(values[ends], shapes[:, ends], fresh=True)
        elif krylov.full:
            # Some beside the wanted ones: what is half found is not lost.
            kept = _ends(len(values), *_shares(max(wanted, len(krylov.basis) // 3), top, bottom))
            krylov.restart(values[kept], shapes[:, kept], fresh=False)
    values, _, shapes = krylov.ritz()
    ends = _ends(len(values), top, bottom)
    vectors = krylov.vectors(shapes[:, ends])
    return _checked(matrix, values[ends], vectors, top)


def _ends(count: int, top: int, bottom: int) -> NDArray[np.int64]:
    """Returns the places of the largest, largest first, and of the smallest, smallest first."""
    return np.concatenate([np.arange(count - 1, count - 1 - top, -1), np.arange(bottom)])


def _shares(count: int, top: int, bottom: int) -> tuple[int, int]:
    """Returns how many vectors to keep at the two ends, at least those that are wanted."""
    if bottom == 0:
        return count, 0
    below = max(bottom, count * bottom // (top + bottom))
    return max(top, count - below), below


def _checked(matrix: SymmetricMap, values: NDArray[np.float64], vectors: Tensor, top: int) -> Extremes:
    """Returns Rayleigh quotients and residuals of Ritz vectors, multiplied out, with all rounding in them."""
    quotients, errors = np.empty(len(values)), np.empty(len(values))
    for i, vector in enumerate(vectors):
        unit = vector.double()
        unit /= unit.norm()
        product = matrix(unit.to(matrix.dtype)).detach().double()
        quotients[i] = float(unit @ product)
        errors[i] = float(product.sub_(unit, alpha=quotients[i]).norm())
    return Extremes(quotients[:top], errors[:top], quotients[top:], errors[top:], vectors.clone())


def largest(matrix: SymmetricMap, start: Tensor | None, iterations: int, seed: int) -> tuple[float, float, Tensor]:
    """Finds the largest eigenvalue in a few products.

    Args:
        matrix: A.
        start: where to begin [n]; None is a random vector.
        iterations: products, 1 or more.
        seed: of the random start.

    Returns:
        The eigenvalue (a lower bound), its residual (a bound of its distance to an eigenvalue), the vector [n].
    """
    generator = torch.Generator().manual_seed(seed)
    begin = _random(matrix, generator) if start is None else start.to(matrix.device, matrix.dtype)
    krylov = _Krylov(matrix, min(iterations, matrix.size), begin, generator)
    while not krylov.full:
        krylov.expand()
    values, residuals, shapes = krylov.ritz()
    return float(values[-1]), float(residuals[-1]), krylov.vectors(shapes[:, -1:])[0].clone()


def density(matrix: SymmetricMap, known: Extremes, *, probes: int, steps: int, seed: int) -> Density:
    """Estimates the density of eigenvalues by stochastic Lanczos quadrature.

    Args:
        matrix: A.
        known: its extremes, which span the grid and need no estimate.
        probes: random starts, 2 or more.
        steps: products of each; cut to what fits into memory.
        seed: of the starts.

    Returns:
        The density.
    """
    generator = torch.Generator().manual_seed(seed)
    exact = np.append(known.top, known.bottom)
    low, high = exact.min(), exact.max()
    width = _BLUR * float((high - low) or abs(high) or 1.0)
    grid = np.linspace(low - 4 * width, high + 4 * width, _POINTS)
    left = matrix.size - len(exact)
    size = min(steps, subspace_size(matrix), left)
    curves, means = np.zeros((probes, _POINTS)), np.zeros(probes)
    for probe in range(probes if left else 0):
        krylov = _Krylov(matrix, size, _random(matrix, generator), generator, known.vectors)
        while not krylov.full:
            krylov.expand()
        values, _, shapes = krylov.ritz()
        curves[probe] = blurred(grid, values, width) @ shapes[0] ** 2
        means[probe] = values @ shapes[0] ** 2
    curves = (blurred(grid, exact, width).sum(1) + left * curves) / matrix.size
    means = (exact.sum() + left * means) / matrix.size
    errors, mean_error = (x.std(0, ddof=1) / np.sqrt(probes) for x in (curves, means))
    return Density(grid, curves.mean(0), errors, width, float(means.mean()), float(mean_error))


def blurred(grid: NDArray[np.float64], eigenvalues: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Returns a Gaussian at every eigenvalue [g, n]."""
    return np.exp(-0.5 * ((grid[:, None] - eigenvalues) / width) ** 2) / (width * np.sqrt(2 * np.pi))
