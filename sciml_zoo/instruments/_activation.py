"""Elementwise activations, and Gaussian expectations of them.

Expectations E[f(z)], z standard normal, are half-range Gauss–Hermite sums: one for z < 0 and one for z > 0. They are
exact for functions that are polynomials on either side of zero, so that the kink of ReLU costs no accuracy.
"""

import copy
import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor, nn

from sciml_zoo.errors import InputError, nearest

__all__ = [
    "ACTIVATIONS",
    "NODES",
    "Activation",
    "activation_function",
    "activation_name",
    "evaluate",
    "half_range_hermite",
]

Activation = str | Callable[[Tensor], Tensor]

#: Named activations; ``gto`` is the scalar Gaussian-type orbital of p type, x exp(−x²/2).
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
    "silu": nn.functional.silu,
    "gto": lambda x: x * torch.exp(-(x**2) / 2),
}

#: Nodes of either half of the Gauss–Hermite sum.
NODES = 96


def activation_name(activation: Activation) -> str:
    """Returns what to call an activation in a result."""
    if isinstance(activation, nn.Module):
        return repr(activation)
    return activation if isinstance(activation, str) else getattr(activation, "__name__", type(activation).__name__)


def activation_function(activation: Activation) -> Callable[[Tensor], Tensor]:
    """Returns the function of a name, or the function itself.

    Raises:
        InputError: an unknown name, or something that is no function.
    """
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise InputError(f"activation {activation!r} is unknown: {nearest(activation, ACTIVATIONS)}")
        return ACTIVATIONS[activation]
    if not callable(activation):
        raise InputError(f"activation is {activation!r}; expected a name or a function of a tensor")
    return activation


def evaluate(activation: Activation, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns φ and φ′ in float64."""
    function = activation_function(activation)
    if isinstance(function, nn.Module):
        function = copy.deepcopy(function).to("cpu", torch.float64)
    with torch.enable_grad():
        at = torch.from_numpy(np.ascontiguousarray(x)).requires_grad_()
        value = function(at.clone())  # an activation may work in place
        if not isinstance(value, Tensor) or value.shape != at.shape:
            raise InputError(
                f"activation {activation_name(activation)} is not elementwise: it changed a tensor's shape"
            )
        # A constant has no graph.
        slope = torch.autograd.grad(value.sum(), at)[0] if value.requires_grad else torch.zeros_like(at)
    return value.detach().numpy(), slope.numpy()


@functools.cache
def half_range_hermite() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns nodes and weights [2 · NODES] of E[f(z)], z standard normal, split at zero.

    The recurrence of the polynomials orthogonal on z > 0 is found by the Lanczos iteration on a fine Gauss–Legendre sum
    (Gautschi's discretised Stieltjes procedure), the nodes by Golub and Welsch.
    """
    node, share = np.polynomial.legendre.leggauss(500)
    length = 2 * math.sqrt(2 * NODES) + 10
    z = length * (node + 1) / 2
    weight = length / 2 * share * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    basis = [np.sqrt(weight / weight.sum())]
    diagonal, beside = [], []
    for _ in range(NODES):
        vector = z * basis[-1]
        diagonal.append(float(basis[-1] @ vector))
        for _ in range(2):
            vector = vector - np.array(basis).T @ (np.array(basis) @ vector)
        beside.append(float(np.linalg.norm(vector)))
        basis.append(vector / beside[-1])
    nodes, vectors = linalg.eigh_tridiagonal(diagonal, beside[:-1], lapack_driver="stev")
    weights = vectors[0] ** 2 / 2
    return np.concatenate([-nodes[::-1], nodes]), np.concatenate([weights[::-1], weights])
