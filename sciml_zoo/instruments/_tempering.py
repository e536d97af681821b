"""Chains that come down from the prior at T = ∞, by steps of the inverse temperature that keep neighbours overlapping.

================================================  =======================================================
equation                                          variable
================================================  =======================================================
(Σ w)²/(N Σ w²) = ½,  w = exp(−(β′ − β) L)          how far the next β′ of the ladder lies from β
================================================  =======================================================

Zhou, Johansen & Aston, J. Comput. Graph. Stat. 25, 701 (2016). Nothing is resampled: chains stay independent of each
other, so that their scatter is the error of whatever is averaged over them.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._sampling import Draws, Evaluate, sample

__all__ = ["descend", "variances"]

# Of draws at a step of the ladder, which part stays effective at the next.
_OVERLAP = 0.5
_WARMUP = 20


def descend(
    evaluate: Evaluate,
    goals: Sequence[float],
    prior_scale: float,
    like: Tensor,
    *,
    sampler: str,
    chains: int,
    draws: int,
    generator: torch.Generator,
) -> tuple[list[float], list[Draws]]:
    """Runs the chains.

    Args:
        evaluate: θ [n, d] → L [n] and ∇L [n, d].
        goals: inverse temperatures to pass, ascending.
        prior_scale: standard deviation s of the prior.
        like: a θ [d], for its size, dtype and device.
        sampler: which one moves the chains.
        chains: how many.
        draws: kept of every chain at every step.
        generator: of the random numbers.

    Returns:
        The ladder of β from 0 through all goals, and what the chains visited at each.

    Raises:
        InputError: a loss that is not finite.
    """
    steps = [_prior_draws(evaluate, prior_scale, like, chains, draws, generator)]
    betas = [0.0]
    for goal in goals:
        while betas[-1] < goal:
            beta = _next_beta(steps[-1].losses, betas[-1], goal)
            steps.append(
                sample(
                    evaluate,
                    beta,
                    prior_scale,
                    steps[-1].positions,
                    steps[-1].factor,
                    sampler=sampler,
                    draws=draws,
                    warmup=_WARMUP,
                    generator=generator,
                )
            )
            betas.append(beta)
    return betas, steps


def _prior_draws(
    evaluate: Evaluate, prior_scale: float, like: Tensor, chains: int, draws: int, generator: torch.Generator
) -> Draws:
    """Returns independent draws of the prior, T = ∞."""
    size = len(like)
    losses = []
    for _ in range(draws):
        noise = torch.randn(chains, size, generator=generator, dtype=like.dtype, device=like.device)
        positions = prior_scale * noise
        losses.append(evaluate(positions)[0])
    found = torch.stack(losses)
    if not bool(found.isfinite().all()):
        raise InputError(f"the loss is not finite under the prior N(0, {prior_scale:g}²); take a smaller prior_scale")
    # A full factor only where there are chains enough to renew it at the next temperature.
    whole = torch.full((size,), prior_scale, dtype=like.dtype, device=like.device)
    factor = torch.diag(whole) if size <= chains else whole
    centre = torch.zeros_like(like)
    return Draws(positions, found, positions, positions.square(), centre, factor, 1.0, draws * chains)


def _next_beta(losses: Tensor, beta: float, goal: float) -> float:
    """Returns the largest inverse temperature up to the goal at which enough draws stay effective."""
    excess = (losses - losses.min()).flatten()

    def effective(step: float) -> float:
        weights = (-step * excess).exp()
        return float(weights.sum() ** 2 / weights.square().sum() / len(weights))

    low, high = 0.0, goal - beta
    if effective(high) >= _OVERLAP:
        return goal
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if effective(middle) >= _OVERLAP else (low, middle)
    return beta + high


def variances(draws: Draws) -> tuple[Tensor, Tensor]:
    """Returns the variance of every parameter and its standard error [d], from the scatter between chains.

    Args:
        draws: at one temperature.
    """
    shift = draws.means.mean(0) - draws.centre
    own = draws.squares - 2 * shift * (draws.means - draws.centre) + shift.square()
    return own.mean(0), own.std(0) / math.sqrt(len(own))
