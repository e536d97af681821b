"""A function of a model as a module without arguments, which ``functional_call`` needs."""

from collections.abc import Callable

from torch import Tensor, nn

__all__ = ["Bound"]


class Bound(nn.Module):
    """A model whose output is what a function makes of it; its parameters are called ``model.…``.

    Registering the model leaves it as it is, also its mode.

    Args:
        model: to bind.
        function: of the model.
    """

    def __init__(self, model: nn.Module, function: Callable[[nn.Module], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self) -> Tensor:
        """Returns what the function makes of the model."""
        return self.function(self.model)
