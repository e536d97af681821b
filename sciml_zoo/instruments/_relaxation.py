"""Minima of a regularised loss that move with the strength of the regularisation.

==========================================  =============================================================
equation                                    variable
==========================================  =============================================================
E(θ; λ) = L(θ) + (λ/2) Σ_W θ²                W the weight matrices, ``decayed`` [d] is 1 on them
min E near θ                                ``relax``, by Newton steps within a trust radius (Steihaug 1983)
dθ/dλ = −H⁻¹ (θ on W),  H = ∇²E              ``response`` of the minimum, by MINRES
==========================================  =============================================================

Radii are bounded, so that a relaxation stays in the valley where it begins; a direction of negative curvature is
followed down. H is never built: its products with vectors are backward passes through the gradient.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, minres
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._bound import Bound
from sciml_zoo.instruments._objective import Objective

__all__ = ["Regularised"]

_FIRST_RADIUS, _LARGEST_RADIUS = 0.1, 1.0
_MOST_STEPS = 500
# Largest norm of the gradient of a relaxed state, by precision of the model.
_TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-5}


class Regularised:
    """E(θ; λ), its minima and their response to λ.

    Args:
        model: whose parameters of two or more dimensions decay; biases and gains do not.
        loss: the model → L.
        order: the model → an order parameter, a scalar or a vector [modes]; None for the norm of what decays.

    Attributes:
        start: the parameters as they are [d], float64.
        decayed: 1 where a parameter decays, else 0 [d].
        gradients: so far; a product with H counts as two.

    Raises:
        InputError: no weight matrix to train, or an order parameter of more than one dimension.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[nn.Module], Tensor],
        order: Callable[[nn.Module], Tensor] | None = None,
    ) -> None:
        self._loss = Objective(model, loss)
        self._dtype = self._loss.start.dtype
        self.start = self._loss.start.double()
        shapes = self._loss.shapes.values()
        self.decayed = torch.cat([torch.full((s.numel(),), float(len(s) > 1)) for s in shapes]).to(self.start)
        if not bool(self.decayed.any()):
            raise InputError(f"{type(model).__name__} has no trainable parameter of two dimensions to regularise")
        self._order = order
        self._model = model
        self.gradients = 0
        modes = self._modes(self.start)
        if modes.ndim != 1 or not bool(modes.isfinite().all()):
            raise InputError(
                f"order(model) has shape {list(modes.shape)[1:]}; expected a finite scalar or vector [modes]"
            )

    def energy(self, theta: Tensor, strength: float) -> Tensor:
        """Returns E.

        Args:
            theta: θ [d].
            strength: λ.
        """
        loss = self._loss(theta.to(self._dtype)).double()
        return loss + strength / 2 * (self.decayed * theta.square()).sum()

    def order(self, theta: Tensor) -> Tensor:
        """Returns the order parameter [modes], not differentiable.

        Args:
            theta: θ [d].
        """
        return self._modes(theta).detach().cpu()

    def relax(self, theta: Tensor, strength: float) -> Tensor:
        """Returns the minimum of E into which θ falls.

        Args:
            theta: θ [d].
            strength: λ.
        """
        local = _Local(self, strength)
        found = minimize(
            local.value,
            theta.cpu().numpy(),
            jac=local.gradient,
            hessp=local.product,
            method="trust-ncg",
            options={
                "initial_trust_radius": _FIRST_RADIUS,
                "max_trust_radius": _LARGEST_RADIUS,
                "gtol": _TOLERANCES.get(self._dtype, _TOLERANCES[torch.float32]),
                "maxiter": _MOST_STEPS,
            },
        )
        return torch.from_numpy(found.x).to(theta)

    def response(self, theta: Tensor, strength: float) -> Tensor:
        """Returns the susceptibility −dm/dλ of the order parameter [modes] at a minimum.

        Args:
            theta: θ [d], relaxed.
            strength: λ.
        """
        local = _Local(self, strength)
        at = theta.cpu().numpy()
        operator = LinearOperator((len(at), len(at)), matvec=lambda v: local.product(at, v), dtype=np.float64)
        pulled, _ = minres(operator, (self.decayed * theta).cpu().numpy(), rtol=1e-8)
        slopes = torch.func.jacrev(self._modes)(theta)
        self.gradients += len(slopes)
        return (slopes @ torch.from_numpy(pulled).to(theta)).detach().cpu()

    def _modes(self, theta: Tensor) -> Tensor:
        if self._order is None:
            return (self.decayed * theta).norm()[None]
        named = {f"model.{name}": part for name, part in self._loss.named(theta.to(self._dtype)).items()}
        return torch.atleast_1d(torch.func.functional_call(Bound(self._model, self._order), named, ())).double()


class _Local:
    """E at one strength for scipy, which asks for the value, the gradient and many products at the same point."""

    def __init__(self, energy: Regularised, strength: float) -> None:
        self._energy, self._strength = energy, strength
        self._at: NDArray[np.float64] | None = None

    def value(self, at: NDArray[np.float64]) -> float:
        """Returns E."""
        self._visit(at)
        return self._value

    def gradient(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns ∇E [d]."""
        self._visit(at)
        return self._slope.detach().cpu().numpy()

    def product(self, at: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns H v [d]."""
        self._visit(at)
        self._energy.gradients += 2
        direction = torch.from_numpy(vector).to(self._point)
        (product,) = torch.autograd.grad(self._slope, self._point, direction, retain_graph=True)
        return product.cpu().numpy()

    def _visit(self, at: NDArray[np.float64]) -> None:
        if self._at is not None and np.array_equal(at, self._at):
            return
        self._at = at.copy()
        self._point = torch.from_numpy(self._at).to(self._energy.start).requires_grad_()
        with torch.enable_grad():
            energy = self._energy.energy(self._point, self._strength)
            (self._slope,) = torch.autograd.grad(energy, self._point, create_graph=True)
        self._value = float(energy.detach())
        self._energy.gradients += 1
