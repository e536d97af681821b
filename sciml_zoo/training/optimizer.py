"""The optimizer, the learning rate at each step, and the bound on the gradient.

===============  =====================================================================================
η(s)             η₀ · min(1, (s + 1) / w) during and after a warm-up of w steps
cosine           times ½ (1 + cos π (s − w) / (S − w)) for s ≥ w, zero from step S = ``max_steps`` on
clip_norm        g ← g · min(1, c / ‖g‖)
clip_factor      c = f · mean of the norms so far, 0.99 old + 0.01 min(‖g‖, c), without bias at the start
===============  =====================================================================================
"""

import math
from typing import Any

from torch import nn, optim

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.training.recipe import OPTIMIZERS, OptimizerConfig

__all__ = ["GradientClip", "build_optimizer", "learning_rate_factor"]


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> optim.Optimizer:
    """Makes the optimizer of a model's trainable parameters.

    Args:
        model: whose parameters with ``requires_grad`` are optimized.
        config: which optimizer.

    Returns:
        The optimizer at its peak learning rate.

    Raises:
        InputError: the model has no trainable parameter.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise InputError(f"{type(model).__name__} has no trainable parameter")
    rate, decay = config.learning_rate, config.weight_decay
    if config.name == "adam":
        return optim.Adam(parameters, lr=rate, betas=config.betas, weight_decay=decay)
    if config.name == "adamw":
        return optim.AdamW(parameters, lr=rate, betas=config.betas, weight_decay=decay)
    if config.name == "sgd":
        return optim.SGD(parameters, lr=rate, momentum=config.momentum, weight_decay=decay)
    if config.name == "muon":
        from sciml_zoo.optim import Muon

        return Muon.from_model(model, lr=rate, momentum=config.momentum, betas=config.betas, weight_decay=decay)
    raise InputError(f"optimizer {config.name!r} is unknown; {nearest(config.name, OPTIMIZERS)}")


def learning_rate_factor(step: int, config: OptimizerConfig, max_steps: int) -> float:
    """The schedule: what the peak learning rate is multiplied by.

    Args:
        step: steps already taken.
        config: its ``schedule`` and ``warmup_steps``.
        max_steps: the length of the run.

    Returns:
        A factor in [0, 1].
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    progress = (step - config.warmup_steps) / max(1, max_steps - config.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


class GradientClip:
    """The largest norm that a gradient may have."""

    _DECAY = 0.99

    def __init__(self, norm: float | None, factor: float | None) -> None:
        """Bounds by a fixed norm, or by a multiple of the running mean.

        Args:
            norm: the fixed bound.
            factor: the multiple; without both, nothing is bounded.
        """
        self._norm = norm
        self._factor = factor
        self._sum = 0.0
        self._weight = 0.0

    def scale(self, gradient_norm: float) -> float:
        """Takes the norm of the next gradient into account.

        Args:
            gradient_norm: finite.

        Returns:
            What to multiply the gradient by, at most 1.
        """
        limit = math.inf if self._norm is None else self._norm
        if self._factor is not None:
            if self._weight > 0.0:
                limit = self._factor * self._sum / self._weight
            self._sum = self._DECAY * self._sum + (1.0 - self._DECAY) * min(gradient_norm, limit)
            self._weight = self._DECAY * self._weight + (1.0 - self._DECAY)
        return limit / gradient_norm if gradient_norm > limit else 1.0

    def state_dict(self) -> dict[str, Any]:
        """Returns the running mean."""
        return {"sum": self._sum, "weight": self._weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` returned.

        Args:
            state: the saved mean.
        """
        self._sum = state["sum"]
        self._weight = state["weight"]
