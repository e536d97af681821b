"""A potential with a valley on either side of a decision boundary, in which barriers can be sought.

The cross-entropy of the true label rises all the way to an adversarial twin: it has no second valley. This one is low
wherever the network is sure of some class, and high where it wavers between two:

==========================================  ===========================================================
V(x) = −log Σ_c p_c(x)² + (k/2)‖x − x_m‖²   :class:`ValleyPotential`
p_c(x)                                      probability of class c, the softmax of the outputs
x_m = (x_clean + x_twin) / 2                ``centres``
k                                           ``stiffness``, per squared unit of the input
==========================================  ===========================================================

−log Σ p² is Rényi's entropy of second order: 0 for a sure network, log 2 on the boundary of two classes. The spring
ties the valleys, which would otherwise be flat far out, to the pair. Where two classes meet and the difference of
their outputs grows by a for a unit of length, the curvature across the boundary is k − a²/2: there are two valleys for
k < a²/2. A twin barely across the boundary, as a minimum-norm attack leaves it, rolls back into the valley of its clean
input, towards which the spring pulls; twins of an attack that goes on, such as PGD in a ball, have their own.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.errors import InputError

__all__ = ["ValleyPotential"]


class ValleyPotential(LossPotential):
    """The potential V above, of pairs of clean inputs and their adversarial twins.

    Args:
        model: classifier: inputs [n, ...] to logits [n, classes].
        clean: inputs, [batch, ...].
        twin: what an attack made of them, [batch, ...].
        stiffness: the spring's k.

    Attributes:
        stiffness: as given.

    Raises:
        InputError: a stiffness that is not positive, or clean inputs and twins of different shapes.

    Example:
        >>> valley = ValleyPotential(classifier, images, attacked, stiffness=1.0)  # doctest: +SKIP
        >>> result = barrier(valley, images, attacked)  # doctest: +SKIP
    """

    def __init__(
        self, model: Callable[[Tensor], Tensor], clean: Tensor, twin: Tensor, *, stiffness: float = 1.0
    ) -> None:
        if not stiffness > 0:
            raise InputError(f"a stiffness of {stiffness}: without a positive spring the valleys have no bottom")
        if clean.shape != twin.shape:
            raise InputError(f"clean inputs {list(clean.shape)}, twins {list(twin.shape)}: give pairs")
        centres = (clean.detach().to(torch.float64) + twin.detach().to(torch.float64)) / 2
        super().__init__(model, centres, loss=_collision_entropy, dtype=torch.float64)
        self.stiffness = stiffness

    def _value(self, inputs: Tensor, rows: Tensor | None) -> Tensor:
        centres = self.labels if rows is None else self.labels[rows]  # type: ignore[index]
        spring = (inputs - centres).flatten(1).square().sum(1)  # type: ignore[operator]
        return super()._value(inputs, rows) + self.stiffness / 2 * spring


def _collision_entropy(outputs: Tensor, _: Tensor | None) -> Tensor:
    return -torch.logsumexp(2 * torch.log_softmax(outputs, dim=1), dim=1)
