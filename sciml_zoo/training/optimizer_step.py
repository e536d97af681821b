"""One optimizer step: losses of micro-batches and ranks joined into the gradient of one global batch.

With the mean loss Lᵢ over wᵢ samples of each micro-batch i on any rank, the gradient is Σ wᵢ ∇Lᵢ / Σ wᵢ.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_zoo.errors import FailureError
from sciml_zoo.training.backend import Backend
from sciml_zoo.training.optimizer import learning_rate_factor
from sciml_zoo.training.recipe import OptimizerConfig
from sciml_zoo.training.state import TrainState
from sciml_zoo.training.task import StepOutput

__all__ = ["NonFiniteError", "OptimizerStep", "StepResult"]


class NonFiniteError(FailureError):
    """The loss or the gradient is infinite or not a number.

    Attributes:
        step: steps taken before.
        samples: indices of the global batch's samples.
    """

    def __init__(self, message: str, step: int, samples: Sequence[int]) -> None:
        super().__init__(message)
        self.step = step
        self.samples = tuple(samples)


@dataclass(frozen=True)
class StepResult:
    """What a step was.

    Attributes:
        loss: of the global batch, before the step.
        gradient_norm: before it was bounded.
        learning_rate: of the first parameter group.
    """

    loss: float
    gradient_norm: float
    learning_rate: float


class OptimizerStep:
    """Takes optimizer steps for a run."""

    def __init__(self, state: TrainState, backend: Backend, config: OptimizerConfig, max_steps: int) -> None:
        """Prepares the steps of a run.

        Args:
            state: changed by each step.
            backend: joins the ranks.
            config: the learning rate's schedule.
            max_steps: the schedule's length.

        The optimizer is as built: its learning rates are the peaks that the schedule scales.
        """
        self._state = state
        self._backend = backend
        self._config = config
        self._max_steps = max_steps
        self._peaks = [group["lr"] for group in state.optimizer.param_groups]
        self._parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
        self._buffers = list(state.model.buffers())
        self._versions = [buffer._version for buffer in self._buffers]

    def take(self, parts: Sequence[Iterator[StepOutput]], samples: Sequence[int]) -> StepResult | None:
        """Takes the next step of a batch.

        Args:
            parts: this rank's micro-batches.
            samples: indices of the global batch, for errors.

        Returns:
            What the step was; None if no micro-batch on any rank has a further step.

        Raises:
            NonFiniteError: the loss or gradient is not finite; the weights are as before the step.
        """
        state, backend = self._state, self._backend
        single = backend.world_size == 1 and len(parts) == 1
        loss, weight = self._backward(parts, weighted=not single)
        if backend.world_size > 1:
            if loss is None:
                state.optimizer.zero_grad(set_to_none=True)
            loss, weight = self._join_ranks(loss, weight)
        if loss is None:
            return None
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        backend.unscale(state.optimizer)
        if not single:
            loss = loss / weight
            if gradients:
                torch._foreach_div_(gradients, weight)
        norm_tensor = torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros_like(loss)
        loss_value, norm = torch.stack((loss, norm_tensor)).tolist()  # the one wait for the device
        overflow = not math.isfinite(norm) and math.isfinite(loss_value) and backend.tolerates_overflow
        if not overflow:
            self._check_finite(loss_value, norm, samples)
            scale = state.clip.scale(norm)
            if scale < 1.0:
                torch._foreach_mul_(gradients, scale)
        factor = learning_rate_factor(state.step, self._config, self._max_steps)
        groups = state.optimizer.param_groups
        for group, peak in zip(groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        backend.step(state.optimizer)
        if state.ema is not None:
            state.ema.update_parameters(state.model)
        state.step += 1
        state.averages.add("loss", loss_value, weight if backend.is_main else 0.0)
        return StepResult(loss_value, norm, groups[0]["lr"])

    def _backward(self, parts: Sequence[Iterator[StepOutput]], *, weighted: bool) -> tuple[Tensor | None, float]:
        """Returns Σ w L (or L, if not weighted) and Σ w of this rank, whose gradients are accumulated."""
        total, weight = None, 0.0
        for part in parts:
            with self._backend.forward_context():
                output = next(part, None)
            if output is None:
                continue
            if total is None:
                self._state.optimizer.zero_grad(set_to_none=True)
            loss = output.loss * output.weight if weighted else output.loss
            self._backend.backward(loss)
            total = loss.detach() if total is None else total + loss.detach()
            weight += output.weight
            for name, value in output.metrics.items():
                self._state.averages.add(name, value, output.weight)
        return total, weight

    def _join_ranks(self, loss: Tensor | None, weight: float) -> tuple[Tensor | None, float]:
        """Returns Σ w L and Σ w over the ranks, sums the gradients, and shares buffers that any rank changed."""
        used = [parameter.grad is not None for parameter in self._parameters]
        changed = [buffer._version for buffer in self._buffers] != self._versions
        facts = torch.tensor([weight, 0.0, changed, *used], dtype=torch.float64).to(self._backend.device)
        if loss is not None:
            facts[1] = loss
        self._backend.sum([facts])
        weight, _, changed_anywhere, *used_anywhere = facts.tolist()
        if weight == 0.0:
            return None, 0.0
        if changed_anywhere:  # all of them: batch normalisation changes its statistics without a trace in _version
            self._backend.copy_from_main(self._buffers)
        self._versions = [buffer._version for buffer in self._buffers]
        trained = [p for p, flag in zip(self._parameters, used_anywhere, strict=True) if flag]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._backend.sum([parameter.grad for parameter in trained if parameter.grad is not None])
        return facts[1], weight

    def _check_finite(self, loss: float, norm: float, samples: Sequence[int]) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
        shown = ", ".join(map(str, samples[:32])) + (f", … ({len(samples)} in all)" if len(samples) > 32 else "")
        raise NonFiniteError(
            f"{what} at step {self._state.step + 1} (epoch {self._state.epoch}), in the batch of samples [{shown}]",
            self._state.step,
            samples,
        )
