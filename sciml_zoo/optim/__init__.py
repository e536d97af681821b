"""Optimizers from physics and biology: plain :class:`torch.optim.Optimizer` subclasses for any model.

Example:
    >>> import torch
    >>> from sciml_zoo.optim import Muon
    >>> model = torch.nn.Linear(3, 2)
    >>> optimizer = Muon.from_model(model, lr=1e-2)
    >>> model(torch.ones(3)).sum().backward()
    >>> optimizer.step()
"""

from sciml_zoo.optim.hamiltonian import DampedHamiltonian
from sciml_zoo.optim.muon import Muon, orthogonalise
from sciml_zoo.optim.newton import MassTensorNewton
from sciml_zoo.optim.plasticity import Plasticity

__all__ = ["DampedHamiltonian", "MassTensorNewton", "Muon", "Plasticity", "orthogonalise"]
