"""Muon: momentum whose update of every weight matrix is orthogonalised.

====================  ==========================================================
equation              variable
====================  ==========================================================
M ← μ M + G           ``momentum_buffer``
O = NS₅(M + …) ≈ UVᵀ   five Newton–Schulz steps on the Nesterov momentum
W ← W − η s O         s = 0.2 √max(rows, columns): the rms of an Adam update
====================  ==========================================================

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); update scale of Liu et al.,
"Muon is scalable for LLM training", arXiv:2502.16982. ``torch.optim.Muon`` takes two-dimensional parameters only,
works in bfloat16, and leaves the rest to a second optimizer; this one takes stacks of matrices and is one optimizer.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonalise"]

# Quintic coefficients of Jordan et al.: they maximise the slope at zero.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, steps: int = 5, eps: float = 1e-7) -> Tensor:
    """Replaces the singular values of every matrix by values near 1 (Newton–Schulz iteration).

    Args:
        matrices: [..., rows, columns].
        steps: iterations.
        eps: guards the division by the norm of a zero matrix.

    Returns:
        Approximately U Vᵀ of every matrix, [..., rows, columns]; singular values lie in about 0.7 to 1.2.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).reshape(-1, min(matrices.shape[-2:]), max(matrices.shape[-2:]))
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + eps)
    # X ← (aI + bG + cG²) X with G = XXᵀ, where G ← PGP follows without X: only small square matrices are multiplied.
    gram, product = x @ x.mT, None
    for step in range(steps):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor if product is None else factor @ product
        if step + 1 < steps:
            gram = factor @ gram @ factor
    x = x if product is None else product @ x
    return (x.mT if tall else x).reshape(matrices.shape)


class Muon(torch.optim.Optimizer):
    """Muon on matrices and Adam on everything else, in one optimizer.

    Parameter groups with ``"orthogonal": True`` hold parameters [..., rows, columns], updated as stacks of
    matrices; all others follow Adam with decoupled weight decay.

    Args:
        params: parameters or parameter groups.
        lr: learning rate η of both parts.
        momentum: μ of the matrix part (Nesterov).
        betas: Adam's decay rates.
        eps: Adam's ε.
        weight_decay: decoupled weight decay of both parts.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 4e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "orthogonal": False,
        }
        super().__init__(params, defaults)

    @classmethod
    def from_model(cls, model: nn.Module, **options: Any) -> "Muon":
        """Sorts a model's parameters: stacks of matrices to Muon, vectors, scalars and embeddings to Adam.

        Args:
            model: the model; parameters with ``requires_grad=False`` are left out.
            **options: arguments of :class:`Muon`.

        Returns:
            The optimizer, with two parameter groups.
        """
        embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        trained = [p for p in model.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim >= 2 and min(p.shape[-2:]) > 1 and id(p) not in embeddings]
        chosen = {id(p) for p in matrices}
        groups: list[dict[str, Any]] = [
            {"params": matrices, "orthogonal": True},
            {"params": [p for p in trained if id(p) not in chosen]},
        ]
        return cls([group for group in groups if group["params"]], **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Performs one update.

        Args:
            closure: re-evaluates the model and returns the loss.

        Returns:
            The closure's loss, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if group["orthogonal"]:
                self._update_matrices(parameters, group)
            else:
                self._update_adam(parameters, group)
        return loss

    def _update_matrices(self, parameters: list[Any], group: dict[str, Any]) -> None:
        by_shape: dict[tuple[int, ...], list[Any]] = {}
        for parameter in parameters:
            by_shape.setdefault(tuple(parameter.shape[-2:]), []).append(parameter)
        for shape, members in by_shape.items():
            gradients = [parameter.grad for parameter in members]
            for parameter in members:
                if not self.state[parameter]:
                    self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
            buffers = [self.state[parameter]["momentum_buffer"] for parameter in members]
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, gradients)
            nesterov = torch._foreach_add(gradients, buffers, alpha=group["momentum"])
            updates = [update.reshape(-1, *shape) for update in nesterov]
            directions = orthogonalise(torch.cat(updates)).split([len(update) for update in updates])
            if group["weight_decay"]:
                torch._foreach_mul_(members, 1 - group["lr"] * group["weight_decay"])
            scale = group["lr"] * 0.2 * math.sqrt(max(shape))
            shaped = [direction.reshape(p.shape) for p, direction in zip(members, directions, strict=True)]
            torch._foreach_add_(members, shaped, alpha=-scale)

    def _update_adam(self, parameters: list[Any], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = 0
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            state["step"] += 1
            state["exp_avg"].lerp_(parameter.grad, 1 - beta1)
            state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
            step_size = group["lr"] / (1 - beta1 ** state["step"])
            denominator = (state["exp_avg_sq"] / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.addcdiv_(state["exp_avg"], denominator, value=-step_size)
