"""Samplers of tempered posteriors: many chains side by side, in coordinates in which the posterior is nearly round.

==========================================  ==================================================
equation                                    variable
==========================================  ==================================================
H(θ) = β L(θ) + ‖θ‖²/2s²                      β ``beta``; L, ∇L ``evaluate``; s ``prior_scale``
θ = F z,  F Fᵀ ≈ Cov(θ)                      F ``factor`` [d, d], or its diagonal [d]
v ← v − ½ h ∂H/∂z                            B, a kick
z ← z + ½ h v                                A, a drift
v ← e^{−γh} v + √(1 − e^{−2γh}) ξ             O, friction and noise; γ ``_FRICTION``
accept with min(1, e^{−Δ(H + v²/2)})          Metropolis, ``"hamiltonian"`` only
==========================================  ==================================================

``"langevin"`` is BAOAB (Leimkuhler & Matthews, Appl. Math. Res. Express 2013, 34): its positions have the exact
covariance wherever H is quadratic, whatever h, and an error of order h² elsewhere. ``"hamiltonian"`` draws v anew, goes
some leapfrog steps and accepts or rejects (Duane et al., Phys. Lett. B 195, 216, 1987; Neal 2011): no error in h.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.errors import InputError

__all__ = ["SAMPLERS", "Draws", "sample"]

#: BAOAB Langevin dynamics, and Hamiltonian Monte Carlo.
SAMPLERS = ("hamiltonian", "langevin")
# Gradients between two draws; friction and time step of Langevin dynamics, in units of the round coordinates.
_LEAPS = 4
_FRICTION = 1.0
_LANGEVIN_STEP = 0.5
# Four steps of this are a quarter of a period of a round Gaussian, after which a draw is independent of the one before.
_LONGEST_STEP = 0.4
_ACCEPTANCE = 0.8

Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Draws:
    """What chains visited at one temperature.

    Attributes:
        positions: θ of every chain at the end [chains, d].
        losses: L [draws, chains].
        means: of θ, over each chain's own draws [chains, d].
        squares: of (θ − centre)², over each chain's own draws [chains, d].
        centre: about which ``squares`` are taken [d].
        factor: F of the covariance of all draws, for the next temperature.
        acceptance: fraction of moves accepted; 1 of Langevin dynamics.
        gradients: evaluations of ∇L, one a chain.
    """

    positions: Tensor
    losses: Tensor
    means: Tensor
    squares: Tensor
    centre: Tensor
    factor: Tensor
    acceptance: float
    gradients: int


def transform(factor: Tensor, vectors: Tensor) -> Tensor:
    """Returns F z of vectors z [n, d]."""
    return vectors @ factor.T if factor.ndim == 2 else vectors * factor


def pull(factor: Tensor, gradients: Tensor) -> Tensor:
    """Returns ∂H/∂z = Fᵀ ∂H/∂θ of gradients [n, d]."""
    return gradients @ factor if factor.ndim == 2 else gradients * factor


class _Target:
    """H and its gradient at one temperature, and what they cost."""

    def __init__(self, evaluate: Evaluate, beta: float, prior_scale: float) -> None:
        self._evaluate, self._beta, self._precision = evaluate, beta, prior_scale**-2
        self.gradients = 0

    def __call__(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns H [n], ∂H/∂θ [n, d] and L [n] at θ [n, d]."""
        losses, gradients = self._evaluate(positions)
        self.gradients += len(positions)
        energies = self._beta * losses + self._precision / 2 * positions.square().sum(1)
        return energies, self._beta * gradients + self._precision * positions, losses


def sample(
    evaluate: Evaluate,
    beta: float,
    prior_scale: float,
    start: Tensor,
    factor: Tensor,
    *,
    sampler: str,
    draws: int,
    warmup: int,
    generator: torch.Generator,
) -> Draws:
    """Runs chains at one temperature.

    Args:
        evaluate: θ [n, d] → L [n] and ∇L [n, d].
        beta: inverse temperature β.
        prior_scale: standard deviation s of the prior.
        start: of the chains [chains, d].
        factor: F, a rough one.
        sampler: one of :data:`SAMPLERS`.
        draws: kept of every chain.
        warmup: draws before those, not kept; the leapfrog step settles meanwhile at an acceptance of 0.8.
        generator: of the random numbers.

    Returns:
        The draws.

    Raises:
        InputError: L or its gradient is not finite where a Langevin chain went.
    """
    target = _Target(evaluate, beta, prior_scale)
    chains = (
        _Langevin(target, start, factor, generator)
        if sampler == "langevin"
        else _Hamiltonian(target, start, factor, generator)
    )
    for index in range(warmup):
        chains.advance()
        chains.adapt(index)
    centre = chains.positions.mean(0)
    first, second = torch.zeros_like(start), torch.zeros_like(start)
    size = start.shape[1]
    full = factor.ndim == 2
    products = torch.zeros((size, size) if full else size, dtype=start.dtype, device=start.device)
    losses, accepted = [], 0.0
    for _ in range(draws):
        accepted += chains.advance()
        if not bool(chains.losses.isfinite().all()):
            raise InputError(
                f"the loss is not finite where a chain went at temperature {1 / beta:g}: take sampler='hamiltonian', "
                "which rejects such moves, or a smaller prior_scale"
            )
        shifted = chains.positions - centre
        first += shifted
        second += shifted.square()
        products += shifted.T @ shifted if full else shifted.square().sum(0)
        losses.append(chains.losses)
    shift = first.mean(0) / draws
    covariance = products / (draws * len(start)) - (torch.outer(shift, shift) if full else shift.square())
    return Draws(
        positions=chains.positions,
        losses=torch.stack(losses),
        means=centre + first / draws,
        squares=second / draws,
        centre=centre,
        factor=_factor(covariance),
        acceptance=accepted / draws,
        gradients=target.gradients,
    )


def _factor(covariance: Tensor) -> Tensor:
    """Returns F of a covariance [d, d] or of variances [d]; a direction without scatter gets a small width."""
    if covariance.ndim == 1:
        return covariance.clamp(min=1e-12 * float(covariance.max())).sqrt()
    floor = 1e-10 * covariance.diagonal().mean()
    return torch.linalg.cholesky(covariance + floor * torch.eye(len(covariance)).to(covariance))


class _Langevin:
    """BAOAB without Metropolis; momenta go on from draw to draw."""

    def __init__(self, target: _Target, start: Tensor, factor: Tensor, generator: torch.Generator) -> None:
        self._target, self._factor, self._generator = target, factor, generator
        self.positions = start
        _, gradients, self.losses = target(start)
        self._kick = pull(factor, gradients)
        self._velocities = _normal(start, generator)

    def adapt(self, index: int) -> None:
        """Keeps the step: its covariances are exact where H is quadratic."""

    def advance(self) -> float:
        """Returns 1, all is accepted, having gone on to the next draw."""
        h = _LANGEVIN_STEP
        decay = math.exp(-_FRICTION * h)
        for _ in range(_LEAPS):
            v = self._velocities - h / 2 * self._kick
            half = self.positions + transform(self._factor, h / 2 * v)
            v = decay * v + math.sqrt(1 - decay**2) * _normal(v, self._generator)
            self.positions = half + transform(self._factor, h / 2 * v)
            _, gradients, self.losses = self._target(self.positions)
            self._kick = pull(self._factor, gradients)
            self._velocities = v - h / 2 * self._kick
        return 1.0


class _Hamiltonian:
    """Leapfrog with fresh momenta and Metropolis."""

    def __init__(self, target: _Target, start: Tensor, factor: Tensor, generator: torch.Generator) -> None:
        self._target, self._factor, self._generator = target, factor, generator
        self.positions = start
        self._energies, gradients, self.losses = target(start)
        self._kick = pull(factor, gradients)
        self._step = _LONGEST_STEP * min(1.0, (10 / start.shape[1]) ** 0.25)
        self._accepted = 0.0

    def adapt(self, index: int) -> None:
        """Moves the step towards the wanted acceptance, ever less (Robbins & Monro 1951)."""
        change = math.exp((self._accepted - _ACCEPTANCE) / math.sqrt(1 + index))
        self._step = min(self._step * change, _LONGEST_STEP)

    def advance(self) -> float:
        """Returns which fraction of the chains moved on to the next draw."""
        h = self._step * (0.8 + 0.4 * torch.rand((), generator=self._generator, device=self._generator.device).item())
        v = _normal(self.positions, self._generator)
        before = self._energies + v.square().sum(1) / 2
        positions, kick = self.positions, self._kick
        for _ in range(_LEAPS):
            v = v - h / 2 * kick
            positions = positions + transform(self._factor, h * v)
            energies, gradients, losses = self._target(positions)
            kick = pull(self._factor, gradients)
            v = v - h / 2 * kick
        chance = (before - energies - v.square().sum(1) / 2).nan_to_num(nan=-torch.inf).exp()
        uniform = torch.rand(len(v), generator=self._generator, device=v.device, dtype=v.dtype)
        moved = uniform < chance
        self.positions = torch.where(moved[:, None], positions, self.positions)
        self._kick = torch.where(moved[:, None], kick, self._kick)
        self._energies = torch.where(moved, energies, self._energies)
        self.losses = torch.where(moved, losses, self.losses)
        self._accepted = float(moved.double().mean())
        return self._accepted


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
