"""The loss of a model as a function of one vector: what maps of training are made of.

=====================  ==================================================
θ = (θ₁, θ₂, …)         all parameters that are trained, end to end [n]
L(θ)                   ``Objective.__call__``
=====================  ==================================================

The model's own tensors are neither read again nor changed: a call takes its parameters from θ and copies the buffers.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sciml_zoo.errors import InputError
from sciml_zoo.instruments._bound import Bound

__all__ = ["Objective"]

# In training mode these change buffers or draw random numbers, so that a step is no function of the parameters alone.
_NOT_A_FUNCTION = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


class Objective:
    """The loss as a function of a flat vector of parameters, differentiable any number of times.

    Args:
        model: some of whose parameters require a gradient; the others stay as they are.
        loss: of a model, a scalar, on data of the caller's.

    Attributes:
        start: the parameters as they are now [n].
        shapes: of every parameter, by name.

    Raises:
        InputError: nothing to train, parameters of several dtypes or devices, a loss that is not one finite number, or
            a model in training mode with batch normalisation or dropout.
    """

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> None:
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        kinds = {(p.dtype, p.device) for p in trained.values()}
        if len(kinds) != 1:
            found = "no parameter that requires a gradient" if not kinds else "parameters of several dtypes or devices"
            raise InputError(f"{type(model).__name__} has {found}; expected trainable parameters of one kind")
        for name, module in model.named_modules():
            if module.training and isinstance(module, _NOT_A_FUNCTION):
                raise InputError(
                    f"{name or 'the model'} is a {type(module).__name__} in training mode, so that a step of training "
                    "is no function of the parameters alone; call model.eval() first"
                )
        self.shapes = {name: p.shape for name, p in trained.items()}
        self.start = torch.cat([p.detach().reshape(-1) for p in trained.values()])
        self._scored = Bound(model, loss)
        with torch.no_grad():
            value = self(self.start)
        if not isinstance(value, Tensor) or value.ndim != 0 or not bool(value.isfinite()):
            raise InputError(f"the loss is {value!r}; expected a scalar tensor that is finite")

    def __call__(self, parameters: Tensor) -> Tensor:
        """Returns the loss.

        Args:
            parameters: θ [n].
        """
        named = {f"model.{name}": value for name, value in self.named(parameters).items()}
        copies = {name: buffer.clone() for name, buffer in self._scored.named_buffers()}
        return functional_call(self._scored, named | copies, ())

    def named(self, parameters: Tensor) -> dict[str, Tensor]:
        """Returns the parameters by name, as views.

        Args:
            parameters: θ [n].
        """
        parts = parameters.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def flat(self, named: dict[str, Tensor]) -> Tensor:
        """Returns θ [n].

        Args:
            named: the parameters by name.
        """
        return torch.cat([named[name].reshape(-1) for name in self.shapes])
