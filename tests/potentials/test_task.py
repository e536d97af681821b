"""The loss's gradient by a central difference of energies against differentiating twice."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import collate, model_inputs, to_graph
from sciml_zoo.potentials.task import LossConfig, PotentialTask


def _batch(cutoff: float):
    """Four distorted crystals, one without forces and one without stress."""
    graphs = []
    generator = torch.Generator().manual_seed(0)
    for seed in range(4):
        atoms: Atoms = bulk("C", "diamond", a=3.57)
        atoms.rattle(0.1, seed=seed)
        graph = to_graph(atoms, cutoff)
        graph.energy = torch.randn(1, generator=generator, dtype=torch.float64)
        graph.forces = torch.randn(2, 3, generator=generator, dtype=torch.float64)
        stress = 0.1 * torch.randn(1, 3, 3, generator=generator, dtype=torch.float64)
        graph.stress = stress + stress.mT
        graphs.append(graph)
    graphs[1].forces.fill_(torch.nan)
    graphs[2].stress.fill_(torch.nan)
    return collate(graphs)


def _gradient(model, batch, **loss) -> tuple[float, torch.Tensor]:
    model.train()
    model.zero_grad()
    (output,) = PotentialTask(model, LossConfig(**loss)).steps(batch)
    output.loss.backward()
    return output.loss.item(), torch.cat([p.grad.double().flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("stress_weight", [0.0, 2.0])
@pytest.mark.parametrize("kind", ["huber", "squared"])
@pytest.mark.parametrize("architecture", ["gto_potential", "radial_potential"])
def test_both_gradients_are_the_same(architecture, kind, stress_weight):
    torch.manual_seed(0)
    model = sz.create_model(architecture, elements=[6], cutoff=3.5, n_radial=6, n_channels=16, n_hidden=16)
    batch = _batch(3.5)
    model.calibrate(**model_inputs(batch))
    options = {"kind": kind, "stress_weight": stress_weight}
    value, exact = _gradient(model.double(), batch, gradient="double", **options)
    for dtype, tolerance in ((torch.float64, 1e-2), (torch.float32, 3e-2)):  # labels of 1 eV/Å, far away
        other, central = _gradient(model.to(dtype), batch, gradient="central", **options)
        assert other == pytest.approx(value, rel=1e-5)
        assert (central - exact).norm() <= tolerance * exact.norm()


def test_missing_labels_do_not_train():
    model = sz.create_model("radial_potential", elements=[6], cutoff=3.5, n_hidden=8)
    batch = _batch(3.5)
    batch.forces.fill_(np.nan)
    value, gradient = _gradient(model, batch, energy_weight=0.0)
    assert value == 0.0
    assert gradient.abs().max() < 1e-20


def test_weights_of_the_loss_are_checked():
    with pytest.raises(InputError, match="must be ≥ 0, and not all 0"):
        LossConfig(energy_weight=0.0, force_weight=0.0)
    with pytest.raises(InputError, match="stress_delta must be positive"):
        LossConfig(stress_delta=0.0)
