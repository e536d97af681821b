"""Everything that is needed to go on bit for bit, and its form on disk: JSON beside safetensors, never a pickle.

A state is taken between batches: a task with several optimizer steps a batch (truncated BPTT) is never cut inside one.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from sciml_zoo.errors import InputError
from sciml_zoo.training.backend import Backend
from sciml_zoo.training.optimizer import GradientClip
from sciml_zoo.training.order import DataOrder
from sciml_zoo.training.task import Task

__all__ = ["VERSION", "Averages", "TrainState", "derived_seed", "pack", "random_states", "set_random_states", "unpack"]

VERSION = 1


def derived_seed(seed: int, purpose: str, rank: int = 0) -> int:
    """Returns a seed of its own for each purpose and rank."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{rank}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def random_states(generator: torch.Generator) -> dict[str, Tensor]:
    """Returns the states of a generator and of torch's default generators."""
    states = {"task": generator.get_state(), "cpu": torch.get_rng_state()}
    if generator.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(generator.device)
    return states


def set_random_states(states: Mapping[str, Tensor], generator: torch.Generator) -> None:
    """Takes back what :func:`random_states` returned.

    Args:
        states: of this rank.
        generator: the task's.
    """
    generator.set_state(states["task"])
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], generator.device)


class Averages:
    """Weighted means of what was yielded since the last line of the log, kept on the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._weights: dict[str, float] = {}

    def add(self, name: str, value: Tensor | float, weight: float) -> None:
        """Adds a mean over ``weight`` samples.

        Args:
            name: of the metric.
            value: the mean.
            weight: of how many samples.
        """
        if isinstance(value, Tensor):
            value = value.detach()
        self._sums[name] = self._sums.get(name, 0.0) + value * weight
        self._weights[name] = self._weights.get(name, 0.0) + weight

    def drain(self, backend: Backend) -> dict[str, float]:
        """Returns the means over all ranks and starts anew.

        Args:
            backend: joins the ranks.

        Returns:
            The mean of each metric that any rank has seen.
        """
        mine = {name: (float(total), self._weights[name]) for name, total in self._sums.items()}
        self.__init__()  # type: ignore[misc]
        totals: dict[str, tuple[float, float]] = {}
        for theirs in backend.gather(mine):
            for name, (total, weight) in theirs.items():
                old = totals.get(name, (0.0, 0.0))
                totals[name] = (old[0] + total, old[1] + weight)
        return {name: total / weight for name, (total, weight) in totals.items()}

    def state_dict(self) -> dict[str, Any]:
        """Returns the sums and weights."""
        return {"sums": dict(self._sums), "weights": dict(self._weights)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Takes back what :meth:`state_dict` returned.

        Args:
            state: the saved sums.
            device: where tensors go.
        """
        self._sums = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in state["sums"].items()}
        self._weights = dict(state["weights"])


@dataclass
class TrainState:
    """A run between two batches.

    Attributes:
        task: holds the model and this rank's generator.
        model: the model being trained.
        optimizer: of its parameters.
        order: which samples come next.
        clip: the bound on the gradient.
        ema: the averaged model, if there is one.
        settings: the values that must not change when the run is resumed.
        averages: of the metrics since the last line of the log.
        step: optimizer steps taken.
        seconds: of training so far, over all stages.
        best: the best value of the monitored metric.
        bad_validations: validations since then.
        validated_at: the step of the last validation.
        metrics: of the last validation.
    """

    task: Task
    model: nn.Module
    optimizer: Optimizer
    order: DataOrder
    clip: GradientClip
    ema: AveragedModel | None
    settings: dict[str, Any]
    averages: Averages = field(default_factory=Averages)
    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    bad_validations: int = 0
    validated_at: int = 0
    metrics: dict[str, float] = field(default_factory=dict)

    _PLAIN = ("step", "seconds", "best", "bad_validations", "validated_at", "metrics")

    @property
    def epoch(self) -> int:
        """Completed passes over the training samples."""
        return self.order.epoch

    @property
    def evaluation_model(self) -> nn.Module:
        """The model to validate and to save: the average of the weights if there is one."""
        return self.model if self.ema is None else self.ema.module

    def is_finite(self) -> bool:
        """Returns whether all weights and buffers, and their averages, are finite."""
        models = [self.model] if self.ema is None else [self.model, self.ema]
        tensors = [t for m in models for t in m.state_dict().values() if t.is_floating_point() or t.is_complex()]
        return all(bool(t.isfinite().all()) for t in tensors)

    def to_bytes(self, backend: Backend) -> tuple[bytes, bytes]:
        """Serialises the state; all ranks call it together.

        Args:
            backend: joins the ranks.

        Returns:
            The contents of ``state.json`` and ``state.safetensors``.
        """
        own = {
            "random": random_states(self.task.generator),
            "task": self.task.state_dict(),
            "averages": self.averages.state_dict(),
        }
        ranks = [unpack(*packed) for packed in backend.gather(pack(own))]
        return pack(
            {
                "version": VERSION,
                "settings": self.settings,
                **{name: getattr(self, name) for name in self._PLAIN},
                "order": self.order.state_dict(),
                "clip": self.clip.state_dict(),
                "scaler": backend.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "model": self.model.state_dict(),
                "ema": None if self.ema is None else self.ema.state_dict(),
                "ranks": ranks,
            }
        )

    def load(self, saved: dict[str, Any], backend: Backend) -> bool:
        """Goes back to a saved state.

        Args:
            saved: from :func:`unpack`; its ``settings`` were compared with the present ones already.
            backend: this rank.

        Returns:
            Whether the continuation is exact: the number of ranks is the same as before.

        Raises:
            InputError: the state does not fit the model, the optimizer or the data.
        """
        try:
            for name in self._PLAIN:
                setattr(self, name, saved[name])
            self.order.load_state_dict(saved["order"])
            self.clip.load_state_dict(saved["clip"])
            backend.load_state_dict(saved["scaler"])
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            if self.ema is not None:
                self.ema.load_state_dict(saved["ema"])
            exact = len(saved["ranks"]) == backend.world_size
            if exact:
                own = saved["ranks"][backend.rank]
                set_random_states(own["random"], self.task.generator)
                self.task.load_state_dict(own["task"])
                self.averages.load_state_dict(own["averages"], backend.device)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"the saved state does not fit this model and optimizer: {error}") from error
        return exact


def pack(nested: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Flattens a nested mapping into JSON and safetensors.

    Args:
        nested: dicts, lists and tuples of tensors, numbers, strings, booleans and None.

    Returns:
        The JSON, in which tensors are named, and the safetensors with these names.

    Raises:
        TypeError: something else is in it; the message says where.
    """
    tensors: dict[str, Tensor] = {}

    def plain(value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            tensors[path] = value.detach().to("cpu", copy=True).contiguous()
            return {"tensor": path}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Mapping):
            return {"items": [[plain(k, path), plain(v, f"{path}/{k}")] for k, v in value.items()]}
        if isinstance(value, tuple | list):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {kind: [plain(item, f"{path}/{i}") for i, item in enumerate(value)]}
        raise TypeError(f"{path or 'the state'}: a {type(value).__name__} cannot be saved, only tensors and scalars")

    text = json.dumps(plain(nested, ""))
    return text.encode(), safetensors.torch.save(tensors)


def unpack(text: bytes, tensor_file: bytes) -> dict[str, Any]:
    """Takes back what :func:`pack` was given.

    Args:
        text: the JSON.
        tensor_file: the safetensors.

    Returns:
        The nested dict, tensors on the CPU.

    Raises:
        InputError: the contents are damaged or do not belong together.
    """

    def nested(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        (kind, content), *_ = value.items()
        if kind == "tensor":
            return tensors[content]
        if kind == "items":
            return {nested(k): nested(v) for k, v in content}
        return (tuple if kind == "tuple" else list)(nested(item) for item in content)

    try:
        tensors = safetensors.torch.load(tensor_file)
        state = nested(json.loads(text))
        if not isinstance(state, dict):
            raise TypeError("not a mapping")
        return state
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the saved state is damaged: {error!r}") from error
