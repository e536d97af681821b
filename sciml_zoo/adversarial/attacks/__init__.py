"""Attacks as trajectories: each returns the :class:`~sciml_zoo.adversarial.path.Path` of all its iterates.

==================  ==========================================  ==========================================
name                what                                        how far, at most
==================  ==========================================  ==========================================
``fgsm``            one step by the signs of the gradient       ``epsilon``, L∞
``pgd_linf``        projected gradient, restarts                ``epsilon``, L∞
``pgd_l2``          projected gradient, restarts                ``epsilon``, L2
``momentum``        accumulated gradient (MI-FGSM), restarts    ``epsilon``, L∞
``deepfool``        onto linearised boundaries                  as far as it takes, ``budget``
``minnorm_l2``      smallest perturbation                       as far as it takes, ``budget``
``minnorm_linf``    smallest perturbation                       as far as it takes, ``budget``
``cw_l2``           distance and penalty                        as far as it takes, ``budget``
``flow``            steepest ascent as a differential equation  as far as it takes, ``budget``
==================  ==========================================  ==========================================

All are called ``attack(model, inputs, labels, *, targets=None, bounds=(0.0, 1.0), …)``. Those named in ``RANDOM`` also
take a ``generator``, whose draws depend on the size of the batch. A batch moves at once; no sample depends on what its
neighbours are. Gradients are counted for the sample that takes most, values of the model without one are free.

Example:
    >>> import torch
    >>> from sciml_zoo.adversarial.attacks import ATTACKS
    >>> model, inputs = torch.nn.Linear(4, 3), torch.full((2, 4), 0.5)
    >>> path = ATTACKS["minnorm_l2"](model, inputs, model(inputs).argmax(1), bounds=None)
    >>> bool(path.success.all())
    True
"""

import inspect
from collections.abc import Callable

from sciml_zoo.adversarial.attacks.carlini_wagner import cw_l2
from sciml_zoo.adversarial.attacks.deepfool import deepfool
from sciml_zoo.adversarial.attacks.gradient_flow import flow
from sciml_zoo.adversarial.attacks.gradient_sign import fgsm, momentum, pgd_l2, pgd_linf
from sciml_zoo.adversarial.attacks.minimum_norm import minnorm_l2, minnorm_linf
from sciml_zoo.adversarial.path import Path

__all__ = [
    "ATTACKS",
    "RANDOM",
    "cw_l2",
    "deepfool",
    "fgsm",
    "flow",
    "minnorm_l2",
    "minnorm_linf",
    "momentum",
    "options_of",
    "pgd_l2",
    "pgd_linf",
]

#: Attacks by the name that the command line gives them.
ATTACKS: dict[str, Callable[..., Path]] = {
    "pgd_l2": pgd_l2,
    "pgd_linf": pgd_linf,
    "fgsm": fgsm,
    "momentum": momentum,
    "deepfool": deepfool,
    "minnorm_l2": minnorm_l2,
    "minnorm_linf": minnorm_linf,
    "cw_l2": cw_l2,
    "flow": flow,
}

#: Those that draw random numbers, from the ``generator`` that they take.
RANDOM = frozenset({"pgd_l2", "pgd_linf", "momentum", "minnorm_l2", "minnorm_linf"})


def options_of(attack: str) -> tuple[str, ...]:
    """Returns the names of the options that an attack takes.

    Args:
        attack: its name.
    """
    parameters = inspect.signature(ATTACKS[attack]).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
