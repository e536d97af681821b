"""First-order saddles of a potential, by following an unstable direction uphill.

==================================================  =====================================================
H = Σ λ_i u_i u_iᵀ                                  Hessian, or its projection on a Krylov space
Δ = −Σ_i s_i (u_i·∇V) / (|λ_i| + μ) u_i             step: s = −1 (uphill) along the followed direction, 1 along
                                                    all others; μ ≥ 0 such that ‖Δ‖ is within the trust radius
f                                                   followed: closest to the path's tangent, then to itself
(V(x + Δ) − V(x)) / (∇V·Δ + ½ ΔᵀHΔ)                 trust: near 1 where the quadratic model holds
==================================================  =====================================================

Near the saddle this is Newton's method. In few dimensions H is whole (:func:`FlatPotential.hessian`). In many it is
projected on the Krylov space of the gradient and the followed direction (:func:`_krylov`): it takes tens of products
H u, and no more memory than as many inputs.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sciml_zoo.adversarial._flat_potential import FlatPotential
from sciml_zoo.adversarial.potential import LossPotential

__all__ = ["FULL_HESSIAN", "Saddles", "refine_saddles"]

#: Inputs with more numbers than this are treated without their Hessians.
FULL_HESSIAN = 1024
_ROUNDING = 1e-13


@dataclass(frozen=True)
class Saddles:
    """Stationary points, and how the potential curves there.

    Attributes:
        points: [n, ...], float64.
        values: potential there, [n].
        gradient_norms: ‖∇V‖ there, [n].
        eigenvalues: of the Hessian, ascending: all d of them, or as many of the lowest as were computed, [n, m].
        unstable: unit vectors of the lowest eigenvalue, pointing as the given tangents, [n, ...].
        negative: how many eigenvalues are negative, int64 [n].
        converged: whether ‖∇V‖ is within the tolerance and just one eigenvalue is negative, bool [n].
    """

    points: Tensor
    values: Tensor
    gradient_norms: Tensor
    eigenvalues: Tensor
    unstable: Tensor
    negative: Tensor
    converged: Tensor


def refine_saddles(
    potential: LossPotential,
    inputs: Tensor,
    tangents: Tensor,
    *,
    rows: Tensor | None = None,
    tolerance: float = 1e-8,
    radius: float | Tensor = 0.1,
    steps: int = 100,
    full: bool | None = None,
    krylov: int = 40,
    zero: float = 1e-6,
) -> Saddles:
    """Moves inputs to saddles nearby, such as the highest images of a band.

    Args:
        potential: in float64, twice differentiable by torch.
        inputs: where to begin, [n, ...].
        tangents: direction to climb along, [n, ...].
        rows: to which sample of the potential each belongs, int64 [n]; None: in order.
        tolerance: of ‖∇V‖.
        radius: first and largest trust radius, [n] or one for all, in units of the inputs.
        steps: at most.
        full: compute whole Hessians; None: up to ``FULL_HESSIAN`` numbers of input.
        krylov: dimension of the Krylov space, where Hessians are not whole.
        zero: eigenvalues whose magnitude is below this fraction of the largest count as zero, not as negative.

    Returns:
        The saddles. Where a search did not converge, its last point.
    """
    flat = FlatPotential(potential, inputs, rows)
    x, followed = flat.flat(inputs), _unit(flat.flat(tangents))
    everything = torch.arange(len(x), device=x.device)
    whole = x.shape[1] <= FULL_HESSIAN if full is None else full
    largest = torch.as_tensor(radius, dtype=x.dtype, device=x.device).expand(len(x))
    trust = largest.clone()
    value, gradient = flat.value_and_gradient(x, everything)
    open_ = torch.linalg.vector_norm(gradient, dim=1) > tolerance
    for _ in range(steps):
        at = open_.nonzero()[:, 0]
        if not len(at):
            break
        eigenvalues, vectors = _modes(flat, x[at], at, [gradient[at], followed[at]], whole, krylov)
        overlap = (vectors * followed[at, :, None]).sum(1)
        chosen = overlap.abs().argmax(1)
        here = torch.arange(len(at), device=x.device)
        followed[at] = vectors[here, :, chosen] * torch.where(overlap[here, chosen] < 0, -1.0, 1.0)[:, None]
        parts = (vectors * gradient[at, :, None]).sum(1)
        coefficients = _step(parts, eigenvalues, chosen, trust[at])
        step = (vectors * coefficients[:, None]).sum(2)
        expected = (parts * coefficients + eigenvalues * coefficients.square() / 2).sum(1)
        new_value, new_gradient = flat.value_and_gradient(x[at] + step, at)
        change = new_value - value[at]
        # Where rounding hides the change of V, the gradient must not grow instead.
        hidden = expected.abs() < _ROUNDING * (1 + value[at].abs())
        calmer = new_gradient.square().sum(1) <= gradient[at].square().sum(1)
        error = torch.where(hidden, torch.where(calmer, 0.0, 1.0), (change / expected - 1).abs().nan_to_num(0.0))
        length = coefficients.square().sum(1).sqrt()
        taken = error < 0.8
        shrunk, grown = length * 0.3, torch.maximum(trust[at], 2 * length).minimum(largest[at])
        trust[at] = torch.where(taken, torch.where(error < 0.3, grown, trust[at]), shrunk)
        moved = at[taken]
        x[moved] += step[taken]
        value[moved], gradient[moved] = new_value[taken], new_gradient[taken]
        open_[at] = (torch.linalg.vector_norm(gradient[at], dim=1) > tolerance) & (trust[at] > 1e-12)
    starts = [followed, gradient]
    eigenvalues, vectors = _modes(flat, x, everything, starts, whole, 2 * krylov)
    lowest = vectors[:, :, 0]
    lowest = lowest * torch.where((lowest * _unit(flat.flat(tangents))).sum(1) < 0, -1.0, 1.0)[:, None]
    negative = (eigenvalues < -zero * eigenvalues.abs().amax(1, keepdim=True)).sum(1)
    norms = torch.linalg.vector_norm(gradient, dim=1)
    return Saddles(
        flat.shaped(x),
        value,
        norms,
        eigenvalues,
        flat.shaped(lowest),
        negative,
        (norms <= tolerance) & (negative == 1),
    )


def _modes(
    flat: FlatPotential, points: Tensor, index: Tensor, starts: list[Tensor], whole: bool, krylov: int
) -> tuple[Tensor, Tensor]:
    """Returns eigenvalues, ascending, [n, m], and unit eigenvectors [n, d, m], of the Hessian or its projection."""
    if whole:
        return torch.linalg.eigh(flat.hessian(points, index))
    basis, images = _krylov(flat, points, index, starts, min(krylov, points.shape[1]))
    projected = basis.mT @ images
    eigenvalues, small = torch.linalg.eigh((projected + projected.mT) / 2)
    return eigenvalues, basis @ small


def _krylov(
    flat: FlatPotential, points: Tensor, index: Tensor, starts: list[Tensor], size: int
) -> tuple[Tensor, Tensor]:
    """Returns an orthonormal basis Q [n, d, size] of the block Krylov space of some vectors, and HQ."""
    product = flat.hessian_product(points, index)
    generator = torch.Generator().manual_seed(0)
    columns: list[Tensor] = []
    images: list[Tensor] = []
    for number in range(size):
        source = starts[number] if number < len(starts) else images[number - len(starts)]
        noise = torch.randn(points.shape, dtype=points.dtype, generator=generator).to(points.device)
        vector = _across(_unit(source), columns)
        # What lies in the space already, such as the followed direction of a gradient along it, gives way to chance.
        spent = torch.linalg.vector_norm(vector, dim=1, keepdim=True) < 1e-10
        column = _unit(_across(_unit(torch.where(spent, _across(noise, columns), vector)), columns))
        columns.append(column)
        images.append(product(column))
    return torch.stack(columns, 2), torch.stack(images, 2)


def _across(vectors: Tensor, columns: list[Tensor]) -> Tensor:
    """Returns vectors without their parts along orthonormal columns; twice, against rounding."""
    for _ in range(2):
        for column in columns:
            vectors = vectors - (vectors * column).sum(1, keepdim=True) * column
    return vectors


def _step(parts: Tensor, eigenvalues: Tensor, followed: Tensor, radius: Tensor) -> Tensor:
    """Returns the step's components along the eigenvectors, [n, m], no longer than the trust radius."""
    sign = torch.ones_like(parts)
    sign.scatter_(1, followed[:, None], -1.0)
    floor = 1e-12 * eigenvalues.abs().amax(1, keepdim=True).clamp_min(1e-300)
    stiffness = eigenvalues.abs().clamp_min(floor)

    def length(shift: Tensor) -> Tensor:
        return (parts / (stiffness + shift[:, None])).square().sum(1).sqrt()

    low = torch.zeros_like(radius)
    high = parts.square().sum(1).sqrt() / radius
    for _ in range(60):
        middle = (low + high) / 2
        outside = length(middle) > radius
        low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
    shift = torch.where(length(torch.zeros_like(radius)) > radius, high, 0.0)
    return -sign * parts / (stiffness + shift[:, None])


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors, dim=-1, eps=1e-300)
