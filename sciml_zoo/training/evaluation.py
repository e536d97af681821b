"""Scoring a model without leaving a trace in its training."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from sciml_zoo.training.backend import Backend
from sciml_zoo.training.state import random_states, set_random_states
from sciml_zoo.training.task import Task

__all__ = ["evaluate", "evaluation_mode"]


def evaluate(
    task: Task, model: nn.Module, samples: Sequence[Any], backend: Backend, batch_size: int
) -> dict[str, float]:
    """Scores a model in evaluation mode, with gradients enabled.

    Args:
        task: computes the metrics.
        model: takes the place of the task's model meanwhile.
        samples: dealt to the ranks.
        backend: this rank.
        batch_size: samples in a batch of one rank.

    Returns:
        The metrics over all samples.
    """
    mine = range(backend.rank, len(samples), backend.world_size)

    def batches() -> Iterator[Any]:
        for start in range(0, len(mine), batch_size):
            chunk = [samples[index] for index in mine[start : start + batch_size]]
            yield backend.to_device(task.collate(chunk))

    trained = task.model
    with evaluation_mode(task, model), torch.enable_grad(), backend.forward_context():
        task.model = model
        try:
            metrics = task.evaluate(batches())
        finally:
            task.model = trained
    return backend.broadcast({name: float(value) for name, value in metrics.items()})


@contextlib.contextmanager
def evaluation_mode(task: Task, model: nn.Module) -> Iterator[None]:
    """Puts a model in evaluation mode; afterwards each module's mode and all randomness are as before.

    Args:
        task: whose generator is kept.
        model: to be evaluated or saved.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    states = random_states(task.generator)
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        set_random_states(states, task.generator)
