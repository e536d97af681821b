"""Golden predictions: what a model gave on its own example inputs when it was saved, and the same prediction now.

They are stored in ``golden.safetensors`` as ``input.<name>`` and ``output.<name>``; a single output without a name is
``output.output``.
"""

import contextlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError

__all__ = ["Deviation", "compare", "golden_predictions", "model_device", "predict", "preserved_rng"]


@dataclass(frozen=True)
class Deviation:
    """How far one output is from its golden prediction.

    Attributes:
        name: the output.
        size: the number of its values.
        max_abs_error: the largest |a − g|, in the output's unit; infinite where NaN stands against a number.
        max_rel_error: the largest |a − g| / |g|, where g ≠ 0.
        max_excess: the largest |a − g| / (atol + rtol·|g|): above 1 it does not agree.
    """

    name: str
    size: int
    max_abs_error: float
    max_rel_error: float
    max_excess: float


def model_device(model: nn.Module) -> torch.device:
    """Returns the device of a model's first parameter or buffer; the CPU for a model without any."""
    tensors: Iterator[Tensor] = itertools.chain(model.parameters(), model.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


@contextlib.contextmanager
def preserved_rng(device: torch.device) -> Iterator[None]:
    """Leaves torch's random generators as they were, so that saving a checkpoint does not change a training run.

    Args:
        device: the device whose generator is preserved beside the CPU's.

    Yields:
        Nothing.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def predict(model: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Runs a model in eval mode and puts each module's own mode back.

    Args:
        model: the model; its forward may use autograd.
        inputs: name → tensor on any device.

    Returns:
        Name → detached output on the CPU.

    Raises:
        InputError: the model gives something else than a tensor or a dictionary of tensors.
    """
    device = model_device(model)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.enable_grad():
            outputs = model(**{name: tensor.to(device, copy=True) for name, tensor in inputs.items()})
    finally:
        for module, mode in modes.items():
            module.training = mode
    if isinstance(outputs, Tensor):
        outputs = {"output": outputs}
    if not isinstance(outputs, dict) or not all(isinstance(value, Tensor) for value in outputs.values()) or not outputs:
        raise InputError(f"{type(model).__name__}.forward must return a tensor or a dictionary of tensors")
    return {name: value.detach().cpu() for name, value in outputs.items()}


def golden_predictions(model: nn.Module) -> dict[str, Tensor]:
    """Predicts on the model's example inputs.

    Args:
        model: a zoo model.

    Returns:
        ``input.<name>`` and ``output.<name>`` → tensor on the CPU.

    Raises:
        InputError: an output is NaN, so that no later prediction could be compared with it.
    """
    with preserved_rng(model_device(model)):
        inputs = {name: tensor.detach().cpu() for name, tensor in model.example_inputs().items()}  # type: ignore[operator]
        outputs = predict(model, inputs)
    for name, value in outputs.items():
        if value.isnan().any():
            raise InputError(f"{type(model).__name__}: the output {name!r} on its own example inputs is NaN")
    return {f"input.{k}": v for k, v in inputs.items()} | {f"output.{k}": v for k, v in outputs.items()}


def compare(name: str, found: Tensor, golden: Tensor, rtol: float, atol: float) -> Deviation:
    """Measures how far a prediction is from the golden one; both have the same shape.

    Args:
        name: what the output is called.
        found: the prediction now.
        golden: the stored one.
        rtol: relative tolerance.
        atol: absolute tolerance, in the output's unit.

    Returns:
        The largest deviations, over all values.
    """
    kind = torch.complex128 if golden.is_complex() or found.is_complex() else torch.float64
    a, g = found.to(kind).flatten(), golden.to(kind).flatten()
    error = torch.where(a == g, 0.0, (a - g).abs())  # equal infinities differ by nothing
    error = torch.where(error.isnan(), math.inf, error)
    size = g.abs()
    relative = torch.where(size > 0, error / size, 0.0)
    excess = torch.where(error > 0, error / (atol + rtol * size), 0.0)
    return Deviation(name, g.numel(), _largest(error), _largest(relative), _largest(excess))


def _largest(values: Tensor) -> float:
    if not values.numel():
        return 0.0
    return math.inf if values.isnan().any() else float(values.max())  # ∞/∞: a number stands against infinity
