"""Learning rates of single connections, for any optimizer.

=========================  =====================================================================
θ′ = step(θ, ∂L/∂θ)         the wrapped optimizer, with its moments and its weight decay
θ ← θ + α ⊙ (θ′ − θ)        α ``rates``: 0 is frozen, 1 is the wrapped optimizer bit for bit
=========================  =====================================================================

The change is scaled and not the gradient, because Adam divides by the size of the gradient: a constant factor there
would cancel. Moments are those of the gradient as it is.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sciml_zoo.errors import InputError

__all__ = ["Plasticity"]


class Plasticity(torch.optim.Optimizer):
    """Scales what another optimizer changes, entry by entry.

    Parameter groups and state are the wrapped optimizer's own, so that learning-rate schedules work on either. A state
    is loaded into this one, not into the wrapped one.

    Args:
        optimizer: the optimizer to wrap.

    Attributes:
        optimizer: the wrapped optimizer.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> optimizer = Plasticity(torch.optim.SGD([weight], lr=1.0))
        >>> optimizer.set_rates({weight: torch.tensor([1.0, 0.25])})
        >>> (-weight).sum().backward()
        >>> optimizer.step()
        >>> weight.tolist()
        [1.0, 0.25]
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self.optimizer = optimizer
        self._rates: dict[Tensor, Tensor | float] = {}
        self._share()

    def _share(self) -> None:
        self.param_groups = self.optimizer.param_groups
        self.state = self.optimizer.state

    def set_rates(self, rates: Mapping[Any, Tensor | float]) -> None:
        """Sets α of some parameters, until it is set again; all others have 1.

        Args:
            rates: of a parameter, a tensor of its shape or one number; finite, zero or more.

        Raises:
            InputError: a rate of another shape, negative or not finite, or of a parameter that is not optimized. The
                message names the parameter, and the rates stay as they were.
        """
        names = self._names()
        checked: dict[Tensor, Tensor | float] = {}
        for parameter, rate in rates.items():
            if parameter not in names:
                raise InputError(f"a parameter of shape {list(parameter.shape)} is not one of this optimizer")
            name = names[parameter]
            if isinstance(rate, Tensor):
                if rate.shape != parameter.shape:
                    raise InputError(f"{name}: the rate is {list(rate.shape)}, the parameter {list(parameter.shape)}")
                wrong = rate[~(rate.isfinite() & (rate >= 0))]
                if len(wrong):
                    raise InputError(f"{name}: rate {wrong[0].item()} is not finite and zero or more")
                checked[parameter] = rate.detach().to(parameter, copy=True)
            else:
                if not (math.isfinite(rate) and rate >= 0):
                    raise InputError(f"{name}: rate {rate} is not finite and zero or more")
                checked[parameter] = float(rate)
        self._rates = checked

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Performs one update.

        Args:
            closure: re-evaluates the model and returns the loss.

        Returns:
            What the wrapped optimizer returns: the closure's loss, or None.
        """
        before = {parameter: parameter.detach().clone() for parameter in self._rates}
        loss = self.optimizer.step(closure)
        for parameter, rate in self._rates.items():
            # lerp is exact at both ends, θ + α (θ′ − θ) is not.
            parameter.copy_(torch.lerp(before[parameter], parameter, rate))
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Returns the wrapped optimizer's state and, by index of the parameter, the rates."""
        rates = {i: self._rates[p] for i, p in enumerate(self._names()) if p in self._rates}
        return {**self.optimizer.state_dict(), "rates": rates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` returned, or the state of the wrapped optimizer alone.

        Args:
            state_dict: the state; without ``rates``, all are 1.
        """
        self.optimizer.load_state_dict(state_dict)
        self._share()
        parameters = dict(enumerate(self._names()))
        self.set_rates({parameters[i]: rate for i, rate in state_dict.get("rates", {}).items()})

    def _names(self) -> dict[Tensor, str]:
        """Returns what to call the parameters, in the order in which a state numbers them."""
        names: dict[Tensor, str] = {}
        for index, group in enumerate(self.param_groups):
            given = group.get("param_names")
            for i, parameter in enumerate(group["params"]):
                names[parameter] = given[i] if given else f"parameter {i} of group {index}"
        return names

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "optimizer": self.optimizer, "_rates": self._rates}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share()
