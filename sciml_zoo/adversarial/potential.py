"""The loss of a network as a potential over its inputs, and its gradient as a force field.

===========================  ==========================================================
V(x) = loss(model(x), y)     potential of one sample at input x, its label y fixed
F(x) = −∇V(x)                force; an attack that raises the loss climbs against it
===========================  ==========================================================
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciml_zoo.errors import InputError

__all__ = ["LossPotential", "cross_entropy"]

Loss = Callable[[Tensor, Tensor | None], Tensor]
# From here on log(1 + exp(x)) is x, also in float64.
_LARGE = 40.0


def cross_entropy(outputs: Tensor, labels: Tensor | None) -> Tensor:
    """Returns the cross-entropy of each sample, [n].

    Value and gradient keep their relative accuracy where the network is sure: log(1 + Σ_{c≠y} exp(z_c − z_y)) has no
    difference of nearly equal numbers in it, as the textbook's logsumexp(z) − z_y and its gradient p_y − 1 have.

    Args:
        outputs: logits, [n, classes].
        labels: classes, int64 [n].

    Raises:
        InputError: no labels, or one beyond the classes.
    """
    if labels is None:
        raise InputError("the cross-entropy needs labels; give them, or another loss")
    if outputs.dim() != 2 or labels.dim() != 1 or outputs.shape[1] < 2:
        return F.cross_entropy(outputs, labels, reduction="none")
    try:
        own = outputs.gather(1, labels[:, None])
    except RuntimeError as error:
        raise InputError(
            f"labels {labels.dtype}, {list(labels.shape)}, for {outputs.shape[1]} classes: {error}"
        ) from error
    ahead = (outputs - own).scatter(1, labels[:, None], -torch.inf)
    return F.softplus(ahead.logsumexp(1), threshold=_LARGE)


class LossPotential:
    """Any torch model and loss over a batch of samples, each of which moves on its own.

    A module, or a method of one, is used in evaluation mode, in which samples do not act on each other, and without
    gradients of its parameters: a copy, so that the caller's module stays as it is. Other callables are used as they
    are.

    Args:
        model: maps inputs [n, ...] to outputs: a classifier's logits [n, classes], the logits of a splice-site network
            (its method ``from_one_hot``, of relaxed bases), or energies [n].
        labels: what the loss compares the outputs with, a row for each sample, [batch, ...]; None: nothing.
        loss: outputs and labels to a value for each sample, [n]; None: the outputs are the potential, such as energies
            over the positions of atoms (``sciml_zoo.potentials.ConfigurationEnergy``).
        dtype: of the model and the inputs; None: the model's.
        keep_mode: leave a module in training mode if it is in it, as an audit must.

    Attributes:
        gradients: how many gradients of single samples have been computed.
        evaluations: how many values of single samples have been computed without one.

    Example:
        >>> potential = LossPotential(classifier, labels, dtype=torch.float64)  # doctest: +SKIP
        >>> value, gradient = potential.value_and_gradient(images)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        labels: Tensor | None = None,
        *,
        loss: Loss | None = cross_entropy,
        dtype: torch.dtype | None = None,
        keep_mode: bool = False,
    ) -> None:
        owner = getattr(model, "__self__", model)
        if isinstance(owner, nn.Module):
            owner = copy.deepcopy(owner)
            if not keep_mode:
                owner.eval()
            owner.requires_grad_(False)
            if dtype is not None:
                owner.to(dtype)
            model = owner if isinstance(model, nn.Module) else getattr(owner, model.__name__)
        own = [p.dtype for p in owner.parameters()] if isinstance(owner, nn.Module) else []
        self._parameters_dtype = own[0] if len(set(own)) == 1 else None
        self.model = model
        self.labels = labels
        self.loss = loss
        self.dtype = dtype
        self.gradients = 0
        self.evaluations = 0

    def outputs(self, inputs: Tensor) -> Tensor:
        """Returns what the model makes of inputs.

        Args:
            inputs: [n, ...].

        Raises:
            InputError: inputs of another precision than the model's.
        """
        if self.dtype is not None:
            return self.model(inputs.to(self.dtype))
        if self._parameters_dtype not in (None, inputs.dtype):
            raise InputError(
                f"inputs of {inputs.dtype} for a model of {self._parameters_dtype}: convert one of them "
                "(model.double(), inputs.float()), or give LossPotential a dtype"
            )
        return self.model(inputs)

    def value(self, inputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """Returns the potential, without a gradient, [n].

        Args:
            inputs: [n, ...].
            rows: to which sample of the batch each belongs, int64 [n]; None: one for each sample, in order.
        """
        with torch.no_grad():
            found = self._value(inputs, rows)
        self.evaluations += len(inputs)
        return found

    def value_and_gradient(self, inputs: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the potential [n] and its gradient by the inputs [n, ...], both detached.

        Args:
            inputs: [n, ...].
            rows: as for :meth:`value`.
        """
        inputs = inputs.detach().to(self.dtype or inputs.dtype).requires_grad_()
        with torch.enable_grad():
            value = self._value(inputs, rows)
            if value.requires_grad:
                (gradient,) = torch.autograd.grad(value.sum(), inputs, allow_unused=True)
            else:
                gradient = None
        self.gradients += len(inputs)
        return value.detach(), torch.zeros_like(inputs) if gradient is None else gradient

    def force(self, inputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """Returns the force −∇V, [n, ...].

        Args:
            inputs: [n, ...].
            rows: as for :meth:`value`.
        """
        return -self.value_and_gradient(inputs, rows)[1]

    def _value(self, inputs: Tensor, rows: Tensor | None) -> Tensor:
        if self.labels is not None and rows is None and len(self.labels) != len(inputs):
            raise InputError(f"{len(inputs)} inputs, but the potential has {len(self.labels)} labels: give one each")
        outputs = self.outputs(inputs)
        labels = self.labels if self.labels is None or rows is None else self.labels[rows]
        if not isinstance(outputs, Tensor):
            raise InputError(
                f"the model returns a {type(outputs).__name__}, not a tensor: give one that returns logits"
            )
        value = outputs if self.loss is None else self.loss(outputs, labels)
        if value.shape != (len(inputs),):
            raise InputError(
                f"a potential of shape {list(value.shape)} for {len(inputs)} samples: the loss must give one value "
                "each (reduction='none')"
            )
        return value
