"""The Gaussian nearest to a tempered posterior, by the variational principle of Gibbs and Bogoliubov.

===============================================  ===========================================================
equation                                         variable
===============================================  ===========================================================
F ≤ F_q = ⟨L⟩_q + T KL(q ‖ prior)                 ``Gaussian.free_energy``, for every q; equal for the posterior
q = N(μ, Σ),  Σ = F₀ M Mᵀ F₀ᵀ                      μ ``mean``, F₀ M ``factor``; or all diagonal [d]
θ = μ₀ + F₀ (m + M ε)                             μ₀ mode, F₀ F₀ᵀ = [β ∇²L(μ₀) + 1/s²]⁻¹ (Laplace's method)
KL = ½ [(tr Σ + ‖μ‖²)/s² − d − log det Σ/s²]       ``Gaussian.information``
===============================================  ===========================================================

m and M descend by Adam on ε drawn anew at every step, in antithetic pairs and whitened: their mean is 0 and, with no
more parameters than pairs, their covariance 1 to rounding. Averages of a quadratic L are then exact. Only gradients of
L are needed after the mode (Opper & Archambeau, Neural Computation 21, 786, 2009; Kucukelbir et al., JMLR 18, 2017).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from scipy.optimize import minimize
from torch import Tensor

from sciml_zoo.instruments._sampling import Evaluate, pull, transform

__all__ = ["COVARIANCES", "Gaussian", "fit"]

#: Of all parameters, or of each by itself (mean field).
COVARIANCES = ("full", "diagonal")
_STEPS = 200
_RATE = 0.03
_PAIRS, _MOST_PAIRS = 32, 512
_STILL = 1e-9
# Averages at the end are over so many sets of draws, whose scatter is the error.
_BATCHES = 8
_ROWS = 64


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian over parameters, and its part in F_q = ⟨L⟩ + T KL.

    Attributes:
        mean: μ [d].
        factor: of the covariance, lower triangular [d, d], or standard deviations [d].
        energy: ⟨L⟩ in nats.
        energy_error: standard error of ``energy`` from the finite number of draws; 0 for a quadratic L.
        information: KL(q ‖ prior) in nats.
        temperature: T at which it was fitted.
        gradients: evaluations of ∇L it took; a row of the Hessian counts as two.
    """

    mean: Tensor
    factor: Tensor
    energy: float
    energy_error: float
    information: float
    temperature: float
    gradients: int

    @property
    def free_energy(self) -> float:
        """F_q = ⟨L⟩ + T KL."""
        return self.energy + self.temperature * self.information


def fit(
    evaluate: Evaluate,
    temperature: float,
    prior_scale: float,
    start: Tensor,
    *,
    covariance: str,
    generator: torch.Generator,
) -> Gaussian:
    """Finds the Gaussian of least F_q.

    Args:
        evaluate: θ [n, d] → L [n] and ∇L [n, d], differentiable by torch.
        temperature: T.
        prior_scale: standard deviation s of the prior.
        start: where the search for the mode begins [d].
        covariance: one of :data:`COVARIANCES`.
        generator: of the random numbers.

    Returns:
        The Gaussian.
    """
    beta, precision, size = 1 / temperature, prior_scale**-2, len(start)
    mode, gradients = _mode(evaluate, beta, precision, start)
    base = _curvature_factor(evaluate, beta, precision, mode, covariance)
    gradients += 2 * size
    shift = torch.zeros_like(mode)
    log_widths = torch.zeros_like(mode)
    mixing = torch.zeros_like(base)  # M below its diagonal; unused in mean field
    free = [shift, log_widths, mixing] if covariance == "full" else [shift, log_widths]
    optimizer = torch.optim.Adam(free, lr=_RATE, betas=(0.9, 0.99))
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 + math.cos(math.pi * step / _STEPS)) / 2
        noise = _whitened(mode, generator)
        shape = _shape(log_widths, mixing)
        positions = mode + transform(base, shift + transform(shape, noise))
        _, slopes = evaluate(positions)
        gradients += len(positions)
        force = pull(base, beta * slopes + precision * positions)
        shift.grad = force.mean(0)
        if covariance == "full":
            outer = force.T @ noise / len(noise)
            mixing.grad = outer.tril(-1)
            own = outer.diagonal()
        else:
            own = (force * noise).mean(0)
        log_widths.grad = own * log_widths.exp() - 1
        if max(float(part.grad.abs().max()) for part in free if part.grad is not None) < _STILL:
            break
        optimizer.step()
    shape = _shape(log_widths, mixing)
    mean = mode + transform(base, shift[None])[0]
    factor = base @ shape if covariance == "full" else base * shape
    averages = []
    for _ in range(_BATCHES):
        losses, _ = evaluate(mean + transform(factor, _whitened(mode, generator)))
        gradients += len(losses)
        averages.append(losses.mean())
    energies = torch.stack(averages)
    log_det = 2 * (factor.diagonal() if covariance == "full" else factor).log().sum()
    trace = factor.square().sum() + mean.square().sum()
    information = (trace * precision - size - log_det + 2 * size * math.log(prior_scale)) / 2
    error = float(energies.std()) / math.sqrt(_BATCHES)
    return Gaussian(mean, factor, float(energies.mean()), error, float(information), temperature, gradients)


def _shape(log_widths: Tensor, mixing: Tensor) -> Tensor:
    """Returns M."""
    return mixing + torch.diag(log_widths.exp()) if mixing.ndim == 2 else log_widths.exp()


def _whitened(like: Tensor, generator: torch.Generator) -> Tensor:
    """Returns draws ε [2 pairs, d] of mean 0 and, as far as there are enough, covariance 1."""
    size = len(like)
    pairs = max(_PAIRS, min(size, _MOST_PAIRS))
    noise = torch.randn(pairs, size, generator=generator, dtype=like.dtype, device=like.device)
    if size <= pairs:
        # Cov^{−1/2} is applied from the left singular vectors: it is exact also where d equals the number of pairs.
        left, _, right = torch.linalg.svd(noise, full_matrices=False)
        noise = math.sqrt(pairs) * left @ right
    else:
        noise = noise / noise.square().mean(0).sqrt()
    return torch.cat([noise, -noise])


def _mode(evaluate: Evaluate, beta: float, precision: float, start: Tensor) -> tuple[Tensor, int]:
    """Returns the mode of the tempered posterior and how many gradients it took (L-BFGS)."""

    def potential(flat: object) -> tuple[float, object]:
        position = torch.as_tensor(flat).to(start)
        losses, slopes = evaluate(position[None])
        value = beta * losses[0] + precision / 2 * position.square().sum()
        return float(value), (beta * slopes[0] + precision * position).cpu().numpy()

    options = {"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-8}
    found = minimize(potential, start.cpu().numpy(), jac=True, method="L-BFGS-B", options=options)
    return torch.as_tensor(found.x).to(start), int(found.nfev)


def _curvature_factor(evaluate: Evaluate, beta: float, precision: float, mode: Tensor, covariance: str) -> Tensor:
    """Returns F₀ from the Hessian at the mode, row by row; curvatures below a tenth of the prior's count as that."""
    size = len(mode)
    pullback: Any = torch.func.vjp(lambda theta: evaluate(theta[None])[1][0], mode)[1]
    unit = torch.eye(size, dtype=mode.dtype, device=mode.device)
    rows = [torch.func.vmap(lambda row: pullback(row)[0])(part) for part in unit.split(_ROWS)]
    floor = precision / 10
    if covariance == "diagonal":
        own = torch.cat([row[:, i * _ROWS :].diagonal() for i, row in enumerate(rows)])
        return (beta * own + precision).abs().clamp(min=floor).rsqrt()
    hessian = torch.cat(rows)
    values, vectors = torch.linalg.eigh(beta * (hessian + hessian.T) / 2 + precision * unit)
    widths = values.abs().clamp(min=floor).rsqrt()
    # Lower triangular, like M, so that their product is.
    _, upper = torch.linalg.qr((vectors * widths).T)
    return upper.T * upper.diagonal().sign()
