"""Ground states by backpropagation: spins relaxed to real numbers, and entropy annealed away.

    F(m) = −½ Σ_ij J_ij m_i m_j − Σ_i h_i m_i − T Σ_i S(m_i),    m_i = tanh θ_i

F is the mean-field free energy of independent spins of means m (Bilbro et al., NIPS 1, 91, 1988; gradient descent on
neural parameters: Schuetz, Brubaker & Katzgraber, Nat. Mach. Intell. 4, 367, 2022). Adam descends on it while T falls
to zero, where its minima are states ±1; the signs then descend by single flips.

| symbol | here | shape |
|---|---|---|
| θ | ``parameters``, replicas innermost | [n, R] |
| m | ``means`` | [n, R] |
| J, h, over the root mean square of a local field | ``couplings``, ``fields`` | [n, n], [n, 1] |
| T, in the same unit | ``temperature`` | [R] |
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sciml_zoo.errors import InputError
from sciml_zoo.ising._sampling_kernels import colour_spins
from sciml_zoo.ising.annealing import field_scale
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.torch_sampling import available_device

__all__ = ["relax"]

# In units of the root mean square field: the mean field of a random graph freezes below 2, that of a lattice lower.
# Started above, all replicas fall into one minimum; started far below, each into the next: both are spread widely.
_HOTTEST = (0.1, 2.0)
_SPREAD = 1.0
_DENSE_ABOVE = 0.1  # share of couplings that are not zero
# A gain below this part of the spin's couplings is rounding, and would let a descent circle.
_ROUNDING = 1e-12


def relax(
    model: IsingModel,
    *,
    n_steps: int = 500,
    n_replicas: int = 64,
    seed: int = 0,
    learning_rate: float = 0.1,
    device: str = "cpu",
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Searches low states by gradient descent from random starts; each is a minimum under single flips.

    Args:
        model: any model.
        n_steps: of Adam, while the temperature, another for each replica, falls linearly to zero.
        n_replicas: number of independent starts.
        seed: of the starts; the same on every device.
        learning_rate: Adam's, for θ.
        device: a torch device.

    Returns:
        Spins ±1 [n_replicas, n] and their energies [n_replicas], in no order.

    Raises:
        InputError: a count below one, a negative seed, a learning rate that is not positive, or a missing device.
    """
    for name, value in (("n_steps", n_steps), ("n_replicas", n_replicas)):
        if value < 1:
            raise InputError(f"{name}: {value} is not one or more")
    if seed < 0:
        raise InputError(f"seed: {seed} is not zero or more")
    if not 0 < learning_rate < np.inf:
        raise InputError(f"learning_rate: {learning_rate} is not a positive number")
    place = available_device(device)
    scale = field_scale(model)
    couplings = _matrix(model.csr() / scale, place)
    fields = torch.tensor(model.fields / scale, dtype=torch.float32, device=place)[:, None]
    generator = torch.Generator().manual_seed(seed % 2**63)
    start = _SPREAD * torch.randn((model.n, n_replicas), generator=generator)
    parameters = start.to(place).requires_grad_()
    optimizer = torch.optim.Adam([parameters], lr=learning_rate)
    hottest = torch.linspace(*_HOTTEST, n_replicas, device=place)
    for step in range(n_steps):
        temperature = hottest * (1.0 - (step + 1) / n_steps)
        optimizer.zero_grad(set_to_none=True)
        free_energy(couplings, fields, parameters, temperature).backward()
        optimizer.step()
    signs = np.where(parameters.detach().cpu().numpy() < 0, -1, 1)
    spins = _descended(model, signs.astype(np.float64))
    return spins, model.energy(spins)


def free_energy(couplings: Tensor, fields: Tensor, parameters: Tensor, temperature: Tensor) -> Tensor:
    """Returns Σ F over replicas; differentiated through, at the cost of one product of couplings and means.

    Args:
        couplings: J [n, n], symmetric, sparse or dense.
        fields: h [n, 1].
        parameters: θ [n, R].
        temperature: T [R].
    """
    means = torch.tanh(parameters)
    # J is symmetric, so that the gradient of ½ m'Jm is Jm: half of it with the product as a constant, twice.
    with torch.no_grad():
        product = couplings @ means
    quadratic = product * (means - 0.5 * means.detach())
    # S = log(2 cosh θ) − mθ, and log(2 cosh θ) = softplus(2θ) − θ.
    entropy = torch.nn.functional.softplus(2 * parameters) - parameters - means * parameters
    return -(quadratic + fields * means + temperature * entropy).sum()


def _descended(model: IsingModel, spins: NDArray[np.float64]) -> NDArray[np.int8]:
    """Returns the minima under single flips below ``spins`` [n, R]: spins of one colour, uncoupled, turn together."""
    matrix = model.csr()
    free = np.arange(model.n, dtype=np.int32)
    colours = colour_spins(matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), free)
    groups = [np.flatnonzero(colours == colour) for colour in range(colours.max(initial=-1) + 1)]
    rows = [model.couplings[group] for group in groups]
    weight = np.asarray(abs(matrix).sum(axis=1)).ravel() + np.abs(model.fields)
    falling = True
    while falling:
        falling = False
        for group, row in zip(groups, rows, strict=True):
            gain = -spins[group] * (row @ spins + model.fields[group, None])
            turned = gain > _ROUNDING * weight[group, None]
            if turned.any():
                falling = True
                spins[group] = np.where(turned, -spins[group], spins[group])
    return np.ascontiguousarray(spins.T.astype(np.int8))


def _matrix(matrix: sparse.csr_array, device: torch.device) -> Tensor:
    if matrix.nnz > _DENSE_ABOVE * matrix.shape[0] * matrix.shape[1]:
        return torch.tensor(matrix.toarray(), dtype=torch.float32, device=device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse")  # CSR is in beta
        return torch.sparse_csr_tensor(
            torch.tensor(matrix.indptr, dtype=torch.int64),
            torch.tensor(matrix.indices, dtype=torch.int64),
            torch.tensor(matrix.data, dtype=torch.float32),
            size=matrix.shape,
        ).to(device)
