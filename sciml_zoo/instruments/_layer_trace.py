"""One forward pass and some backward passes of a network, seen at the output h of every layer with weights.

=====================================  ======================================================
q^l = ⟨h²⟩ over units and examples     ``LayerTrace.variances``
⟨cos(h, h′)⟩ over pairs of examples    ``LayerTrace.correlations``
δ^l = ∂(v · outputs)/∂h^l              v standard normal, drawn anew for each backward pass
‖δ^l‖² summed over units, examples     ``LayerTrace.squared_gradients``
=====================================  ======================================================

The model runs on detached views of its parameters and on copies of its buffers, so that nothing in it changes.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._activation import Activation
from sciml_zoo.instruments.initialisation import Elementwise, fan_in

__all__ = ["LayerTrace", "trace"]

_ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh),
    *(nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Softsign, nn.Tanhshrink, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid),
    Elementwise,
)
# Activations that are called as functions leave these nodes in the graph of autograd.
_NODES: dict[str, Activation] = {
    "ReluBackward0": "relu",
    "TanhBackward0": "tanh",
    "ErfBackward0": "erf",
    "GeluBackward0": "gelu",
    "SiluBackward0": "silu",
    "SigmoidBackward0": torch.sigmoid,
}


@dataclass(frozen=True)
class LayerTrace:
    """What was seen, layers in the order in which they were called.

    Attributes:
        names: of the layers [L]; a layer that is called again has ``#2`` behind its name.
        modules: the layers [L].
        units: h of one example has so many entries [L].
        variances: q^l [L].
        correlations: mean cosine of different examples, the first dimension of h [L]; nan for a single one.
        squared_gradients: ‖δ^l‖² [draws, L]; 0 where no gradient arrives.
        examples: the length of the first dimension of h [L].
        activations: different ones between the first and the last layer.
        obstacles: why the network is no plain chain of layers; empty for one that is.
    """

    names: tuple[str, ...]
    modules: tuple[nn.Module, ...]
    units: tuple[int, ...]
    variances: NDArray[np.float64]
    correlations: NDArray[np.float64]
    squared_gradients: NDArray[np.float64]
    examples: tuple[int, ...]
    activations: tuple[Activation, ...]
    obstacles: tuple[str, ...]


def trace(model: nn.Module, inputs: Any, *, draws: int, seed: int) -> LayerTrace:
    """Runs a model forward once and backward ``draws`` times.

    Args:
        model: any network; its mode (train or eval) is kept.
        inputs: a tensor, or a tuple or dictionary of the model's arguments.
        draws: the number of random cotangents v.
        seed: of the cotangents, and of dropout in train mode.

    Returns:
        What was seen.

    Raises:
        InputError: no layer with weights was called, or the outputs do not depend on one differentiably.
    """
    calls: list[tuple[str, nn.Module, Tensor]] = []
    activations: dict[str, Activation] = {}
    pending: dict[str, Activation] = {}

    def at_layer(name: str) -> Any:
        def hook(module: nn.Module, _: Any, output: Any) -> Any:
            h = next(_tensors(output), None)
            if h is None or not h.requires_grad:
                return None
            activations.update(pending)
            pending.clear()
            calls.append((name, module, h))
            # What follows may work in place.
            return h.clone() if output is h else None

        return hook

    def at_activation(module: nn.Module, _: Any, __: Any) -> None:
        if calls:
            kind: Activation = module.activation if isinstance(module, Elementwise) else module
            pending[re.sub(r"(, )?inplace=True", "", repr(kind))] = kind

    handles = []
    for name, module in model.named_modules():
        if isinstance(module, _ACTIVATIONS):
            handles.append(module.register_forward_hook(at_activation))
        elif _has_weights(module):
            handles.append(module.register_forward_hook(at_layer(name or type(module).__name__)))
    state: dict[str, Tensor] = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for name, parameter in model.named_parameters():
        state[name] = parameter.detach().requires_grad_(parameter.is_floating_point())
    args, kwargs = (), {}
    if isinstance(inputs, Mapping):
        kwargs = dict(inputs)
    else:
        args = tuple(inputs) if isinstance(inputs, tuple) else (inputs,)
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(seed)
            outputs = torch.func.functional_call(model, state, args, kwargs)
    finally:
        for handle in handles:
            handle.remove()
    ends = [output for output in _tensors(outputs) if output.requires_grad]
    if not calls:
        raise InputError(
            f"{type(model).__name__} called no layer with weights; expected linear, convolutional or others"
        )
    if not ends:
        raise InputError(f"{type(model).__name__} returned no tensor that depends on its layers differentiably")

    hs = [h for _, _, h in calls]
    generator = torch.Generator().manual_seed(seed)
    squared = []
    for _ in range(draws):
        cotangents = [torch.randn(end.shape, generator=generator).to(end) for end in ends]
        gradients = torch.autograd.grad(ends, hs, cotangents, retain_graph=True, allow_unused=True)
        squared.append([0.0 if g is None else float(g.double().square().sum()) for g in gradients])
    chain, nodes = _graph([end.grad_fn for end in ends], [h.grad_fn for h in hs])
    if not activations:
        activations = {str(kind): kind for node, kind in _NODES.items() if node in nodes}
    names = [name for name, _, _ in calls]
    return LayerTrace(
        names=tuple(f"{n}#{names[: i + 1].count(n)}" if n in names[:i] else n for i, n in enumerate(names)),
        modules=tuple(module for _, module, _ in calls),
        units=tuple(h.numel() // max(1, _rows(h)) for h in hs),
        variances=np.array([float(h.detach().double().square().mean()) for h in hs]),
        correlations=np.array([_correlation(h.detach()) for h in hs]),
        squared_gradients=np.array(squared),
        examples=tuple(_rows(h) for h in hs),
        activations=tuple(activations.values()),
        obstacles=tuple(_obstacles(calls, chain, nodes)),
    )


def _has_weights(module: nn.Module) -> bool:
    """Returns whether a module is linear, or holds a matrix itself and its children no parameters."""
    if fan_in(module) is not None:
        return True
    if isinstance(module, nn.LayerNorm | nn.RMSNorm | ParametrizationList):
        return False
    own = any(parameter.ndim >= 2 for parameter in module.parameters(recurse=False))
    below = any(True for child in module.children() for _ in child.parameters())
    return own and (not below or isinstance(module, nn.MultiheadAttention))


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yields the floating-point tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from _tensors(each)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from _tensors(getattr(value, name))


def _rows(h: Tensor) -> int:
    return h.shape[0] if h.ndim > 1 else 1


def _correlation(h: Tensor) -> float:
    """Returns the mean cosine of different rows."""
    n = _rows(h)
    if n < 2:
        return math.nan
    unit = nn.functional.normalize(h.reshape(n, -1).double(), dim=1)
    return float((unit.sum(0).square().sum() - unit.square().sum()) / (n * (n - 1)))


def _graph(ends: list[Any], layers: list[Any]) -> tuple[list[bool], set[str]]:
    """Returns which layers all paths from the outputs to the first layer run through, and the nodes on these paths."""
    # Depth first: whether the first layer can be reached from a node.
    reaches: dict[Any, bool] = {}
    stack = [(end, False) for end in ends]
    while stack:
        node, done = stack.pop()
        below = [child for child, _ in node.next_functions if child is not None]
        if done:
            reaches[node] = node is layers[0] or any(reaches[child] for child in below)
        elif node not in reaches:
            reaches[node] = False
            stack.append((node, True))
            stack += [(child, False) for child in below if child not in reaches]
    waiting = {node: 0 for node, reached in reaches.items() if reached}
    for node in waiting:
        for child, _ in node.next_functions:
            if child in waiting:
                waiting[child] += 1
    # From the outputs down, in topological order: a layer is passed by all paths if nothing else is open beside it.
    opened = {end for end in ends if end in waiting}
    ready = [node for node in opened if waiting[node] == 0]
    alone = set()
    while ready:
        node = ready.pop()
        if len(opened) == 1:
            alone.add(node)
        opened.discard(node)
        for child, _ in node.next_functions if node is not layers[0] else ():
            if child in waiting:
                opened.add(child)
                waiting[child] -= 1
                if waiting[child] == 0:
                    ready.append(child)
    return [layer in alone for layer in layers], {node.name() for node in waiting}


def _obstacles(calls: list[tuple[str, nn.Module, Tensor]], chain: list[bool], nodes: set[str]) -> Iterator[str]:
    """Yields what distinguishes a network from a plain chain of layers."""
    names = [name for name, _, _ in calls]
    attentive = any(isinstance(module, nn.MultiheadAttention) for _, module, _ in calls)
    if any("Norm" in node or "Rsqrt" in node for node in nodes):
        yield "the network normalises its signals"
    if attentive or any("Softmax" in node or "Attention" in node for node in nodes):
        yield "the network has attention"
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        yield f"layer {repeated!r} is used more than once"
    elif not all(chain):
        beside = names[chain.index(False)]
        yield f"paths run around layer {beside!r} (residual, skip or parallel connections)"
