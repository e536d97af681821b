"""Structures and potentials that the law tests share."""

import numpy as np
import torch
from ase import Atoms

import sciml_zoo as sz
from sciml_zoo.potentials.data import collate, model_inputs, to_graph
from sciml_zoo.potentials.potential import Potential

ARCHITECTURES = sz.list_models(pretrained=False, domain="potentials")
ELEMENTS = (1, 6, 8)


def random_molecule(rng: np.random.Generator, n_atoms: int | None = None) -> Atoms:
    """Atoms at random in a ball, at least 0.8 Å apart."""
    n_atoms = n_atoms or int(rng.integers(3, 9))
    positions = np.empty((0, 3))
    while len(positions) < n_atoms:
        candidate = rng.normal(scale=1.6, size=3)
        if len(positions) == 0 or np.linalg.norm(positions - candidate, axis=1).min() > 0.8:
            positions = np.vstack([positions, candidate])
    return Atoms(numbers=rng.choice(ELEMENTS, size=n_atoms), positions=positions)


def random_potential(architecture: str, dtype: torch.dtype, cutoff: float = 4.0, seed: int = 0) -> Potential:
    """A potential with random weights, calibrated so that energies and forces are of order one."""
    torch.manual_seed(seed)
    small = {"n_radial": 6, "n_channels": 8, "n_hidden": 16}
    model = sz.create_model(architecture, elements=ELEMENTS, cutoff=cutoff, **small).eval()
    rng = np.random.default_rng(7)
    model.calibrate(**inputs([random_molecule(rng) for _ in range(16)], cutoff))
    model.shifts.copy_(torch.tensor([-13.6, -1030.0, -2040.0]))
    return model.to(dtype)


def inputs(structures: list[Atoms], cutoff: float) -> dict[str, torch.Tensor]:
    """The batch of some structures."""
    return model_inputs(collate([to_graph(atoms, cutoff) for atoms in structures]))


def predict(model: Potential, structures: list[Atoms], **options: bool) -> dict[str, torch.Tensor]:
    """Energies, forces (and stress) of some structures."""
    return model(**inputs(structures, model.cutoff), **options)
