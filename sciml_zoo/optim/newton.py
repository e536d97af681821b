"""Newton's method as motion with a mass tensor: every direction is as heavy as it is curved.

=============================================  =====================================================================
equation                                       variable
=============================================  =====================================================================
M = H + δ,  H = ∂²L/∂θ²                         ``damping`` δ
min_p g·p + ½ p·M p,  ‖p‖ ≤ Δ                  conjugate gradients of Steihaug; Δ is ``radius`` in the state
‖M p + g‖ ≤ τ ‖g‖                               ``tolerance`` τ, unless p meets Δ or negative curvature first
θ ← θ + η p                                    ``lr`` η: on a quadratic loss all modes shrink by 1 − η, whatever κ is
ρ = (L − L′)/(−η g·p − ½ η² p·H p)             the step is taken if ρ > 10⁻⁴; Δ is quartered below ¼, doubled above ¾
=============================================  =====================================================================

Steihaug, SIAM J. Numer. Anal. 20, 626 (1983); Nocedal & Wright, "Numerical Optimization" (2006), algorithms 4.1, 7.2;
Martens, "Deep learning via Hessian-free optimization", ICML 2010. The Hessian is never formed: Hv is a double backward
through the closure's graph, for about two gradients.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sciml_zoo.errors import InputError

__all__ = ["MassTensorNewton"]

_ACCEPTED, _POOR, _GOOD = 1e-4, 0.25, 0.75
# Below so much of |L|, times the precision, a change of the loss is rounding and says nothing about the step.
_ROUNDING = 8.0


class MassTensorNewton(torch.optim.Optimizer):
    """Newton's method without a Hessian: truncated conjugate gradients in a trust region, with damping.

    All parameters form one system, so that there is one parameter group. The loss never rises: a step that would raise
    it is not taken, and the radius shrinks. Models whose custom :class:`torch.autograd.Function` cannot be
    differentiated twice have no Hessian-vector products.

    Args:
        params: parameters, in one group.
        lr: η, the part of the Newton step to take, above 0, at most 1.
        damping: δ, added to all curvatures, 0 or more.
        radius: Δ of the first step, in units of the parameters.
        tolerance: τ of the conjugate gradients, between 0 and 1.
        max_iterations: of the conjugate gradients, Hessian-vector products a step.

    Raises:
        InputError: a setting out of its range, or several groups.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
        >>> optimizer = MassTensorNewton([weight], radius=10.0)
        >>> loss = optimizer.step(lambda: 0.5 * (torch.tensor([1.0, 1e4]) * weight**2).sum())
        >>> bool(weight.norm() < 1e-9)
        True
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        *,
        damping: float = 0.0,
        radius: float = 1.0,
        tolerance: float = 1e-6,
        max_iterations: int = 100,
    ) -> None:
        if not 0 < lr <= 1:
            raise InputError(f"lr is {lr}: expected the part of the Newton step to take, above 0, at most 1")
        if not 0 <= damping < math.inf or not 0 < radius < math.inf:
            raise InputError(f"damping is {damping}, radius {radius}: expected finite numbers, 0 or more and above 0")
        if not 0 < tolerance < 1 or max_iterations < 1:
            raise InputError(
                f"tolerance is {tolerance}, max_iterations {max_iterations}: expected between 0 and 1, and 1 or more"
            )
        defaults = {
            "lr": lr,
            "damping": damping,
            "radius": radius,
            "tolerance": tolerance,
            "max_iterations": max_iterations,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise InputError(
                f"{len(self.param_groups)} parameter groups: expected one, because H couples all parameters"
            )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Performs one update, for one gradient, at most ``max_iterations`` products Hv and one more loss.

        Args:
            closure: returns the loss with its graph, **without** ``backward()``; the same parameters must give the same
                loss. ``grad`` of the parameters is neither read nor written.

        Returns:
            The loss before the step, detached.

        Raises:
            InputError: no closure, or a loss that is no finite scalar with a graph.
        """
        if closure is None:
            raise InputError("MassTensorNewton.step needs a closure that returns the loss, without backward()")
        group = self.param_groups[0]
        parameters = [p for p in group["params"] if p.requires_grad]
        state = self.state[group["params"][0]]
        state.setdefault("radius", float(group["radius"]))
        with torch.enable_grad():
            loss = closure()
            gradients = _gradients(loss, parameters)
        quadratic = _Quadratic(parameters, gradients)
        step, residual, at_boundary = _steihaug(quadratic, group, state["radius"])
        length = float(step.norm())
        if length == 0.0:
            return loss.detach()
        eta, slope = group["lr"], _dot(quadratic.gradient, step)
        curvature = _dot(step, residual) - slope - group["damping"] * length**2  # p · H p
        predicted = -eta * slope - 0.5 * eta**2 * curvature
        del gradients, quadratic  # the graph is large
        before = [p.detach().clone() for p in parameters]
        _move(parameters, step, eta)
        with torch.enable_grad():
            actual = float(loss.detach()) - float(closure().detach())
        rounding = _ROUNDING * torch.finfo(loss.dtype).eps * abs(float(loss.detach()))
        if abs(actual) <= rounding and abs(predicted) <= rounding:
            return loss.detach()
        ratio = actual / predicted if predicted > 0 and math.isfinite(actual) else -math.inf
        if ratio < _POOR:
            state["radius"] = 0.25 * min(length, state["radius"])
        elif ratio > _GOOD and at_boundary:
            state["radius"] *= 2.0
        if ratio <= _ACCEPTED:
            with torch.no_grad():
                for parameter, value in zip(parameters, before, strict=True):
                    parameter.copy_(value)
        return loss.detach()


class _Quadratic:
    """The loss near the parameters to second order: gradient and products of the Hessian, flat."""

    def __init__(self, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        self.parameters, self.gradients = parameters, gradients
        self.gradient = _flat(gradients)

    def product(self, vector: Tensor) -> Tensor:
        """Returns Hv [n]."""
        parts = _split(vector, self.parameters)
        curved = [(g, v) for g, v in zip(self.gradients, parts, strict=True) if g.requires_grad]
        if not curved:
            return torch.zeros_like(vector)
        outputs, directions = zip(*curved, strict=True)
        products = torch.autograd.grad(
            outputs, self.parameters, directions, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return _flat(products)


def _gradients(loss: Any, parameters: list[Tensor]) -> list[Tensor]:
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise InputError("the closure must return the loss, a scalar tensor with its graph")
    if not bool(torch.isfinite(loss.detach()).all()):
        raise InputError(f"the loss is {loss.item()}: expected a finite number; look at the model and its data")
    try:
        return list(torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True, materialize_grads=True))
    except RuntimeError as error:
        if "second time" in str(error):
            raise InputError("the closure called backward(): return the loss without it") from error
        raise


def _steihaug(quadratic: _Quadratic, group: dict[str, Any], radius: float) -> tuple[Tensor, Tensor, bool]:
    """Returns the step p [n] within the radius, the residual M p + g [n], and whether p ends at the radius."""
    step = torch.zeros_like(quadratic.gradient)
    residual = quadratic.gradient.clone()
    direction = -residual
    square = _dot(residual, residual)
    goal = group["tolerance"] ** 2 * square
    for _ in range(group["max_iterations"]):
        if square <= goal:
            break
        product = quadratic.product(direction).add_(direction, alpha=group["damping"])
        curvature = _dot(direction, product)
        reach = _to_boundary(step, direction, radius)
        at_boundary = curvature * reach <= square  # also where the curvature is negative
        alpha = reach if at_boundary else square / curvature
        step.add_(direction, alpha=alpha)
        residual.add_(product, alpha=alpha)
        if at_boundary:
            return step, residual, True
        previous, square = square, _dot(residual, residual)
        direction.mul_(square / previous).sub_(residual)
    return step, residual, False


def _to_boundary(step: Tensor, direction: Tensor, radius: float) -> float:
    """Returns the τ ≥ 0 of ‖step + τ direction‖ = radius."""
    a, b, c = _dot(direction, direction), _dot(step, direction), _dot(step, step) - radius**2
    root = math.sqrt(max(b * b - a * c, 0.0))
    return -c / (b + root) if b > 0 else (root - b) / a


def _move(parameters: list[Tensor], step: Tensor, scale: float) -> None:
    with torch.no_grad():
        for parameter, part in zip(parameters, _split(step, parameters), strict=True):
            parameter.add_(part, alpha=scale)


def _split(vector: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    parts = vector.split([p.numel() for p in parameters])
    return [part.reshape(p.shape).to(p) for part, p in zip(parts, parameters, strict=True)]


def _flat(tensors: Any) -> Tensor:
    """Returns one float64 vector: conjugate gradients lose their orthogonality to rounding."""
    return torch.cat([t.detach().double().reshape(-1) for t in tensors])


def _dot(a: Tensor, b: Tensor) -> float:
    return float(a @ b)
