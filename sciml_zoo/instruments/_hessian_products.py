"""Hessian-vector products of any torch model, without a Hessian.

==========================================  ==========================================================================
equation                                    method
==========================================  ==========================================================================
Hv = ∇(∇L · v)                               ``"double backward"``: :func:`torch.autograd.grad` twice
Hv = ∂/∂s ∇L(θ + s v) at s = 0               ``"forward over reverse"``: :func:`torch.func.jvp` of a gradient
Hv ≈ [∇L(θ + sv) − ∇L(θ − sv)]/2s             ``"gradient differences"``: s ‖v‖ = ε^{1/3} (1 + ‖θ‖), error O(ε^{2/3})
==========================================  ==========================================================================

Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6, 147 (1994). The first method that works
is taken. A custom :class:`torch.autograd.Function` may have a backward pass that autograd cannot differentiate, and
lose its part of the Hessian without an error; where the graph holds one, exact products are compared with differences.
Each product counts as two gradients. Double backward is the fastest, on small networks by far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._bound import Bound

__all__ = ["METHODS", "HessianProducts", "LinearMap", "MatrixProducts"]

#: From the fastest to the one that always works.
METHODS = ("double backward", "forward over reverse", "gradient differences")
# How far an exact product may be from the differences: beyond their error, below what a lost term is.
_AGREEMENT = {torch.float64: 1e-3, torch.float32: 5e-2}


@dataclass(frozen=True)
class LinearMap:
    """A symmetric matrix, given by what it does to a vector.

    Attributes:
        function: v [size] → Hv [size], torch tensors.
        size: number of rows.
        dtype: of v and Hv, float32 or float64.
        device: of v and Hv.
    """

    function: Callable[[Tensor], Tensor]
    size: int
    dtype: torch.dtype = torch.float64
    device: torch.device | str = "cpu"


class MatrixProducts:
    """A symmetric matrix in any of its guises, as a function of flat torch vectors that counts.

    Args:
        operator: a :class:`LinearMap`; or what has a ``shape`` [n, n] and multiplies a vector by ``@``: a matrix of
            torch or numpy, a linear operator of scipy or curvlinops.

    Attributes:
        size: number of rows.
        dtype: of the flat vectors.
        device: of the flat vectors.
        method: ``"matrix"``.
        gradients: gradient evaluations so far, if it is a Hessian: two a product.

    Raises:
        InputError: it is not square, or cannot multiply.
    """

    method = "matrix"

    def __init__(self, operator: Any) -> None:
        self._map = operator if isinstance(operator, LinearMap) else _linear_map(operator)
        self.size, self.dtype, self.device = self._map.size, self._map.dtype, self._map.device
        self.gradients = 0

    def __call__(self, vector: Tensor) -> Tensor:
        """Returns Hv [size]."""
        self.gradients += 2
        return self._map.function(vector)


def _linear_map(operator: Any) -> LinearMap:
    shape = tuple(getattr(operator, "shape", ()))
    if len(shape) != 2 or shape[0] != shape[1] or not hasattr(operator, "__matmul__"):
        raise InputError(
            f"operator is a {type(operator).__name__} of shape {list(shape)}: expected a model with its loss, or what "
            "has a shape [n, n] and multiplies by @; wrap a function v → Hv as curvature.LinearMap(function, n)"
        )
    dtype = getattr(operator, "dtype", None)
    if isinstance(dtype, torch.dtype):
        precision = torch.float64 if dtype == torch.float64 else torch.float32
        return LinearMap(lambda v: operator @ v, shape[0], precision, getattr(operator, "device", "cpu"))
    single = dtype is not None and np.dtype(dtype) == np.float32
    return LinearMap(
        lambda v: torch.from_numpy(np.asarray(operator @ v.numpy())).reshape(-1),
        shape[0],
        torch.float32 if single else torch.float64,
    )


class HessianProducts:
    """The Hessian of a loss at the model's present parameters, as products v → Hv of flat vectors.

    The loss is one fixed function: every evaluation sees the same random numbers and buffers. Parameters, their
    ``grad``, buffers and the state of torch's random numbers are left as they were.

    Args:
        model: its parameters with ``requires_grad`` are the variables, in the order of ``named_parameters``.
        loss: the model → its scalar loss.
        method: one of ``METHODS``; None finds out which works.

    Attributes:
        size: number of variables.
        dtype: of the flat vectors, float64 where a parameter is, else float32.
        device: of the flat vectors.
        method: by which the products are made.
        gradients: gradient evaluations so far.

    Raises:
        InputError: nothing to differentiate, or a loss that is no finite scalar.
    """

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module], Tensor], *, method: str | None = None) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"model is a {type(model).__name__}: expected a torch.nn.Module with this loss")
        self._bound = Bound(model, lambda bound: _scalar(loss(bound)))
        trained = [(f"model.{name}", p) for name, p in model.named_parameters() if p.requires_grad]
        if not trained:
            raise InputError(f"{type(model).__name__} has no parameter with requires_grad: there is nothing to vary")
        self._names = [name for name, _ in trained]
        self._parameters = [parameter for _, parameter in trained]
        self.size = sum(p.numel() for p in self._parameters)
        self.device = self._parameters[0].device
        double = any(p.dtype == torch.float64 for p in self._parameters)
        self.dtype = torch.float64 if double else torch.float32
        self.gradients = 0
        devices = {p.device.index or 0 for p in self._parameters if p.device.type == "cuda"}
        self._devices = sorted(devices)
        self._random = torch.get_rng_state(), [torch.cuda.get_rng_state(i) for i in self._devices]
        self.method = method or self._working_method()

    def __call__(self, vector: Tensor) -> Tensor:
        """Returns Hv.

        Args:
            vector: v [size].
        """
        return self._product(vector, self.method)

    def value_and_gradient(self) -> tuple[float, Tensor]:
        """Returns the loss and its gradient [size]."""
        with self._unchanged(), torch.enable_grad():
            value = self._bound()
            gradient = torch.autograd.grad(value, self._parameters, allow_unused=True, materialize_grads=True)
        self.gradients += 1
        return float(value.detach()), self.flat(gradient)

    def flat(self, tensors: Any) -> Tensor:
        """Returns tensors of the parameters' shapes as one vector [size]."""
        return torch.cat([t.detach().to(self.device, self.dtype).reshape(-1) for t in tensors])

    def add_(self, vector: Tensor, scale: float = 1.0) -> None:
        """Moves the parameters by ``scale`` · ``vector`` [size]."""
        with torch.no_grad():
            for parameter, part in zip(self._parameters, self._split(vector), strict=True):
                parameter.add_(part, alpha=scale)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Puts the parameters back at the end, to the bit."""
        before = [p.detach().clone() for p in self._parameters]
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self._parameters, before, strict=True):
                    parameter.copy_(value)

    def _product(self, vector: Tensor, method: str) -> Tensor:
        self.gradients += 2
        if method == METHODS[2]:
            return self._differences(vector)
        with self._unchanged(), torch.enable_grad():
            return self._double_backward(vector) if method == METHODS[0] else self._forward_over_reverse(vector)

    def _forward_over_reverse(self, vector: Tensor) -> Tensor:
        def value(parameters: dict[str, Tensor]) -> Tensor:
            # Buffers that are changed in place must be inputs, as tensors of the innermost transform.
            one = parameters[self._names[0]].reshape(-1)[0].detach()
            buffers = {name: torch.where(one == one, buffer, buffer) for name, buffer in self._bound.named_buffers()}
            return torch.func.functional_call(self._bound, parameters | buffers, ())

        gradient = torch.func.grad(value)
        point = dict(zip(self._names, (p.detach() for p in self._parameters), strict=True))
        direction = dict(zip(self._names, self._split(vector), strict=True))
        product = torch.func.jvp(gradient, (point,), (direction,))[1]
        return self.flat(product[name] for name in self._names)

    def _double_backward(self, vector: Tensor) -> Tensor:
        gradient = torch.autograd.grad(
            self._bound(), self._parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        curved = [(g, v) for g, v in zip(gradient, self._split(vector), strict=True) if g.requires_grad]
        if not curved:  # the loss is linear
            return torch.zeros_like(vector)
        outputs, directions = zip(*curved, strict=True)
        return self.flat(
            torch.autograd.grad(outputs, self._parameters, directions, allow_unused=True, materialize_grads=True)
        )

    def _differences(self, vector: Tensor) -> Tensor:
        norm = float(vector.norm())
        if norm == 0.0:
            return torch.zeros_like(vector)
        extent = 1.0 + float(torch.stack([p.detach().norm() for p in self._parameters]).norm())
        step = torch.finfo(self.dtype).eps ** (1 / 3) * extent / norm
        ends = []
        with self.restored():
            for move in (step, -2 * step):
                self.add_(vector, move)
                with self._unchanged(), torch.enable_grad():
                    ends.append(
                        self.flat(
                            torch.autograd.grad(
                                self._bound(), self._parameters, allow_unused=True, materialize_grads=True
                            )
                        )
                    )
        return (ends[0] - ends[1]) / (2 * step)

    def _working_method(self) -> str:
        with self._unchanged(), torch.enable_grad():
            value = self._value()
            suspicious = _has_custom_function(value)
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn(self.size, generator=generator, dtype=self.dtype).to(self.device)
        for method in METHODS[:2]:
            try:
                product = self._product(probe, method)
            except (RuntimeError, NotImplementedError):
                continue
            if not suspicious:
                return method
            reference = self._product(probe, METHODS[2])
            if float((product - reference).norm()) <= _AGREEMENT[self.dtype] * float(reference.norm()):
                return method
        return METHODS[2]

    def _value(self) -> Tensor:
        value = self._bound()
        if not isinstance(value, Tensor) or value.numel() != 1:
            found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"loss(model) returned {found}: expected a scalar tensor; take the mean over the data")
        if not bool(torch.isfinite(value.detach()).all()):
            raise InputError(f"loss(model) is {value.item()}: expected a finite number; look at the model and its data")
        if not value.requires_grad:
            raise InputError(
                "loss(model) does not depend on the model's parameters: compute it without no_grad or detach"
            )
        return value

    def _split(self, vector: Tensor) -> list[Tensor]:
        parts = vector.split([p.numel() for p in self._parameters])
        return [part.reshape(p.shape).to(p) for part, p in zip(parts, self._parameters, strict=True)]

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Replays the random numbers, and puts them and the buffers back."""
        buffers = [(buffer, buffer.detach().clone()) for buffer in self._bound.buffers()]
        with torch.random.fork_rng(self._devices):
            torch.set_rng_state(self._random[0])
            for index, state in zip(self._devices, self._random[1], strict=True):
                torch.cuda.set_rng_state(state, index)
            try:
                yield
            finally:
                with torch.no_grad():
                    for buffer, value in buffers:
                        buffer.copy_(value)


def _scalar(value: Any) -> Any:
    """Returns a loss of one element without dimensions; anything else as it is, to be refused."""
    return value.reshape(()) if isinstance(value, Tensor) and value.numel() == 1 else value


def _has_custom_function(value: Tensor) -> bool:
    """Returns whether a step of the graph is a :class:`torch.autograd.Function` written in Python."""
    seen: set[Any] = set()
    waiting = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        seen.add(node)
        waiting.extend(before for before, _ in node.next_functions)
    return False
