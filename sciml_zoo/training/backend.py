"""Devices, processes and precision, through Lightning Fabric: the only file that imports it.

Gradients are joined by :meth:`Backend.sum` over flat buffers, not by DistributedDataParallel: its hooks expect one
backward pass through every parameter on every rank, which gradients of gradients (forces), several losses per batch and
empty parts of a batch do not give.
"""

import atexit
import os
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors
from torch.optim import Optimizer

from sciml_zoo.errors import InputError
from sciml_zoo.training.recipe import TrainerConfig

__all__ = ["Backend"]

T = TypeVar("T")


def _processes(config: TrainerConfig) -> tuple[int | str, int]:
    """Returns devices a node and nodes: what the launcher (torchrun, SLURM) says, unless the recipe says otherwise."""
    if config.devices != "auto":
        return config.devices, config.num_nodes
    if TorchElasticEnvironment.detect():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    return "auto", config.num_nodes


def _leave_group() -> None:
    """Ends the link to the other ranks while the interpreter still runs.

    Gloo's threads hold tensors; one that drops them while the interpreter shuts down aborts the process (SIGABRT) after
    all its work is done. Fabric leaves the group at exit for NCCL only.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


class Backend:
    """This process's device, precision, and its link to the other ranks."""

    def __init__(self, config: TrainerConfig) -> None:
        """Starts the other processes, if there are any to start.

        Args:
            config: its ``accelerator``, ``devices``, ``num_nodes``, ``strategy`` and ``precision`` are used.

        Raises:
            InputError: Fabric refuses the combination.
        """
        devices, num_nodes = _processes(config)
        try:
            self._fabric = Fabric(
                accelerator=config.accelerator,
                strategy=config.strategy,
                devices=devices,
                num_nodes=num_nodes,
                precision=config.precision,  # type: ignore[arg-type]
            )
            self._fabric.launch()
        except (ValueError, TypeError, RuntimeError, ImportError, MisconfigurationException) as error:
            raise InputError(
                f"trainer: accelerator={config.accelerator!r}, devices={config.devices!r}, "
                f"num_nodes={config.num_nodes}, strategy={config.strategy!r}, precision={config.precision!r} "
                f"cannot be used here: {error}"
            ) from error
        self._plugin = self._fabric.strategy.precision
        if self._plugin.precision != config.precision:  # Fabric only warns
            raise InputError(
                f"trainer.precision: {config.precision!r} is not supported on this device, "
                f"{self._plugin.precision!r} is"
            )
        self.device: torch.device = self._fabric.device
        self.rank: int = self._fabric.global_rank
        self.world_size: int = self._fabric.world_size
        if self.world_size > 1:
            atexit.unregister(_leave_group)
            atexit.register(_leave_group)

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes files and shows progress."""
        return self.rank == 0

    def place(self, model: nn.Module) -> None:
        """Moves a model to the device and precision, and gives all ranks the weights of rank 0.

        Args:
            model: changed in place.
        """
        self._plugin.convert_module(model)
        model.to(self.device)
        if self.world_size > 1:
            with torch.no_grad():
                self.copy_from_main([*model.parameters(), *model.buffers()])

    def to_device(self, batch: Any) -> Any:
        """Moves a batch to the device, and to float64 where the model computes in float64.

        Args:
            batch: tensors, collections of them, or objects with ``to`` (and ``apply``, as torch-geometric's).

        Returns:
            The batch there.
        """
        if self.device.type != "cpu":
            batch = self._fabric.to_device(batch)
        if self._plugin.precision == "64-true":
            if hasattr(batch, "apply") and not isinstance(batch, Tensor):
                return batch.apply(self._plugin.convert_input)
            return self._plugin.convert_input(batch)
        return batch

    def forward_context(self) -> AbstractContextManager[Any]:
        """Returns the context in which losses and predictions are computed (autocast in mixed precision)."""
        return self._plugin.forward_context()

    def backward(self, loss: Tensor) -> None:
        """Accumulates the gradient of a loss, scaled if the precision needs it.

        Args:
            loss: scalar.
        """
        self._fabric.strategy.backward(loss, None)

    def unscale(self, optimizer: Optimizer) -> None:
        """Takes the factor of float16 training out of the gradients.

        Args:
            optimizer: whose parameters' gradients are changed in place.
        """
        self._plugin.unscale_gradients(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """Takes an optimizer step; in float16, only if no gradient overflowed.

        Args:
            optimizer: to be stepped.
        """
        self._plugin.optimizer_step(optimizer)

    @property
    def tolerates_overflow(self) -> bool:
        """Whether an infinite gradient only means that float16's loss scale is still to be lowered."""
        scaler = getattr(self._plugin, "scaler", None)
        return scaler is not None and scaler.get_scale() >= 1.0

    def sum(self, tensors: list[Tensor]) -> None:
        """Sums tensors over the ranks in place, one message per dtype.

        ``torch.distributed`` is used on the process group that Fabric made: Fabric's own ``all_reduce`` puts a barrier,
        which stalls a GPU, before each call.

        Args:
            tensors: of the same shapes on all ranks.
        """
        for group in _by_dtype(tensors):
            flat = _flatten_dense_tensors(group)
            dist.all_reduce(flat)
            torch._foreach_copy_(group, list(_unflatten_dense_tensors(flat, group)))

    def copy_from_main(self, tensors: list[Tensor]) -> None:
        """Gives all ranks the values of rank 0, in place.

        Args:
            tensors: of the same shapes on all ranks.
        """
        for group in _by_dtype(tensors):
            flat = _flatten_dense_tensors([tensor.detach() for tensor in group])
            dist.broadcast(flat, src=0)
            for tensor, value in zip(group, _unflatten_dense_tensors(flat, group), strict=True):
                tensor.detach().copy_(value)

    def broadcast(self, value: T) -> T:
        """Returns rank 0's value on all ranks (a small Python object)."""
        return self._fabric.broadcast(value) if self.world_size > 1 else value

    def gather(self, value: T) -> list[T]:
        """Returns the values of all ranks, in their order (small Python objects)."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of float16's loss scale; empty in other precisions."""
        return self._plugin.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` returned.

        Args:
            state: the saved state.
        """
        if state:
            self._plugin.load_state_dict(state)


def _by_dtype(tensors: list[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())
