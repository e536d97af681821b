"""What ``sciml-zoo instruments`` does: one instrument, on its demonstration or on a model of the shelf."""

import argparse
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sciml_zoo.cli.output import choose_device, plain_console, save_figure, write_json
from sciml_zoo.errors import InputError
from sciml_zoo.instruments import chaos, curvature, mechanics, signal, symmetry
from sciml_zoo.instruments.result import Result
from sciml_zoo.zoo.resolve import load_model

__all__ = ["run_instrument"]

Loss = Callable[[nn.Module], Tensor]
_STEPS, _EXPONENTS = 50, 4
# Of a list, numbers that are printed.
_SHOWN = 6


def run_instrument(args: argparse.Namespace) -> int:
    """Runs an instrument.

    Args:
        args: of the verb.

    Returns:
        The exit status.

    Raises:
        InputError: naming what is wrong with the weights, or an instrument that has nothing to measure on them.
    """
    if args.model is None:
        if args.seed is not None:
            raise InputError("--seed: the demonstration has its own; give --model WEIGHTS too")
        result: Result = importlib.import_module(f"sciml_zoo.instruments.{args.name}").measure()
    else:
        result = _measured(args.name, args.model, choose_device(args.device), args.seed or 0)
    if args.plot is not None:
        save_figure(args.plot, result.plot())
    found = result.to_dict()
    write_json(args.json, {"instrument": args.name, "model": args.model, **found})
    _show(args.name, found)
    return 0


def _measured(name: str, weights: str, device: str, seed: int) -> Result:
    if name not in _MEASURES:
        raise InputError(
            f"--model: {name} has nothing to measure on trained weights; {', '.join(_MEASURES)} have. From Python, "
            f"sciml_zoo.instruments.{name}.measure takes what its docstring says"
        )
    model = load_model(weights, device=device)
    if not _outputs(model, _example_inputs(model)).requires_grad:
        model.train()  # potentials keep the graph in training mode alone
    return _MEASURES[name](model, seed)


def _example_inputs(model: nn.Module) -> dict[str, Tensor]:
    device = next(model.parameters()).device
    inputs = model.example_inputs()  # type: ignore[operator]
    return {name: each.to(device) for name, each in inputs.items()}


def _outputs(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """Returns all numbers that a model gives, [n]."""
    found = model(**inputs)
    given = found.values() if isinstance(found, Mapping) else found if isinstance(found, tuple) else (found,)
    numbers = [each.flatten() for each in given if isinstance(each, Tensor) and each.is_floating_point()]
    return torch.cat([each.to(numbers[0].dtype) for each in numbers])


def _imitation(model: nn.Module) -> Loss:
    """Returns the loss of giving other outputs than the trained weights: ½ mean (o − o₀)², over the examples' numbers.

    At the trained weights it is 0, and its Hessian is JᵀJ / n, with J the derivatives of the outputs: what the network
    has learned is stiff, what does not matter is soft.
    """
    inputs = _example_inputs(model)
    wanted = _outputs(model, inputs).detach()

    def loss(other: nn.Module) -> Tensor:
        return 0.5 * (_outputs(other, inputs) - wanted).square().mean()

    return loss


def _signal(model: nn.Module, seed: int) -> Result:
    return signal.measure(model, _example_inputs(model), seed=seed)


def _curvature(model: nn.Module, seed: int) -> Result:
    return curvature.measure(model, _imitation(model), seed=seed)


def _step_size(model: nn.Module, loss: Loss, seed: int) -> float:
    """Returns half the learning rate at which gradient descent becomes unstable, 1 / λ_max."""
    return 1 / curvature.sharpness(model, loss, iterations=20, seed=seed).value


def _fresh(model: nn.Module, seed: int) -> nn.Module:
    """Returns a model of the same shape that has learned nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return type(model)(model.config).to(next(model.parameters()).device).train(model.training)


def _mechanics(model: nn.Module, seed: int) -> Result:
    loss = _imitation(model)
    rate = 0.01 * _step_size(model, loss, seed)
    return mechanics.measure(_fresh(model, seed), loss, learning_rate=rate, momentum=0.99, steps=4 * _STEPS, seed=seed)


def _chaos(model: nn.Module, seed: int) -> Result:
    loss = _imitation(model)
    step_map, start = chaos.training_map(model, loss, _step_size(model, loss, seed))
    return chaos.measure(step_map, start, _STEPS, exponents=_EXPONENTS, seed=seed)


def _symmetry(model: nn.Module, seed: int) -> Result:
    loss = _imitation(model)
    rate = _step_size(model, loss, seed)
    return symmetry.measure(_fresh(model, seed), loss, learning_rate=rate, steps=_STEPS, seed=seed)


_MEASURES: dict[str, Callable[[nn.Module, int], Result]] = {
    "signal": _signal,
    "curvature": _curvature,
    "mechanics": _mechanics,
    "chaos": _chaos,
    "symmetry": _symmetry,
}


def _show(name: str, found: Mapping[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=name, title_justify="left", box=None, pad_edge=False, show_header=False)
    for words, value in _lines("", found):
        table.add_row(words, value)
    plain_console().print(table)


def _lines(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yields the numbers and words of a result, also of results in it; long lists are left to the JSON."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _lines(f"{name} {key}".strip().replace("_", " "), each)
    elif isinstance(value, float):
        yield name, f"{value:.6g}"
    elif isinstance(value, (bool, int, str)):
        yield name, str(value)
    elif isinstance(value, list) and value and len(value) <= _SHOWN:
        if all(isinstance(each, (float, int)) for each in value):
            yield name, ", ".join(f"{each:.6g}" for each in value)
        elif all(isinstance(each, Mapping) for each in value):
            for i, each in enumerate(value):
                yield from _lines(f"{name} {i + 1}", each)
