"""The loss's gradient by a central difference of energies against differentiating twice; what has no label."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import collate, model_inputs, to_graph
from sciml_zoo.potentials.metrics import EnergyForceErrors
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


def _labelled(atoms: Atoms, cutoff: float):
    """A structure with random labels."""
    generator = torch.Generator().manual_seed(len(atoms))
    graph = to_graph(atoms, cutoff)
    graph.energy = torch.randn(1, generator=generator, dtype=torch.float64)
    graph.forces = torch.randn(len(atoms), 3, generator=generator, dtype=torch.float64)
    stress = 0.1 * torch.randn(1, 3, 3, generator=generator, dtype=torch.float64)
    graph.stress = stress + stress.mT if atoms.pbc.all() else torch.full_like(stress, torch.nan)
    return graph


def _crystal(*repeat: int) -> Atoms:
    atoms = bulk("C", "diamond", a=3.57) * repeat
    atoms.rattle(0.1, seed=0)
    return atoms


def _molecule() -> Atoms:
    return Atoms("C3", positions=[[0, 0, 0], [1.3, 0.2, 0], [2.1, 1.2, 0.4]])


def _model(batch, architecture: str = "gto_potential"):
    torch.manual_seed(0)
    model = sz.create_model(architecture, elements=[6], cutoff=3.5, n_radial=6, n_channels=16, n_hidden=16)
    model.calibrate(**model_inputs(batch))
    return model


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
    batch = _batch(3.5)
    model = _model(batch, architecture)
    options = {"kind": kind, "stress_weight": stress_weight}
    value, exact = _gradient(model.double(), batch, gradient="double", **options)
    for dtype, tolerance in ((torch.float64, 1e-2), (torch.float32, 3e-2)):  # labels of 1 eV/Å, far away
        other, central = _gradient(model.to(dtype), batch, gradient="central", **options)
        assert other == pytest.approx(value, rel=1e-5)
        assert (central - exact).norm() <= tolerance * exact.norm()


@pytest.mark.parametrize("stress_weight", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["huber", "squared"])
def test_structures_of_any_size_have_a_step_of_their_own(kind, stress_weight):
    graphs = [_labelled(atoms, 3.5) for atoms in (_crystal(1, 1, 1), _crystal(6, 6, 3))]
    small, both = collate(graphs[:1]), collate(graphs)
    model = _model(both, "radial_potential")
    options = {"kind": kind, "energy_weight": 0.0, "stress_weight": stress_weight}
    exact_of_small = _gradient(model.double(), small, gradient="double", **options)[1]
    exact = _gradient(model, both, gradient="double", **options)[1]
    of_small = _gradient(model.float(), small, **options)[1]
    central = _gradient(model, both, **options)[1]
    assert (central - exact).norm() <= 3e-3 * exact.norm()
    # What the large one adds, a tenth or less, is measured with a step as large as if it were alone.
    of_large = 2 * exact - exact_of_small
    assert (2 * central - of_small - of_large).norm() <= 0.1 * of_large.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_structure_without_labels_neither_trains_nor_hinders_another(dtype):
    graphs = [_labelled(_crystal(1, 1, 1), 3.5), _labelled(_crystal(2, 1, 1), 3.5)]
    for name in ("energy", "forces", "stress"):
        graphs[1][name].fill_(torch.nan)
    model = _model(collate(graphs)).to(dtype)
    options = {"kind": "squared", "stress_weight": 1.0}
    value, alone = _gradient(model, collate(graphs[:1]), **options)
    both, together = _gradient(model, collate(graphs), **options)
    assert both == pytest.approx(value / 2, rel=1e-5)
    torch.testing.assert_close(2 * together, alone, rtol=1e-3, atol=1e-3 * float(alone.abs().max()))


@pytest.mark.parametrize("gradient", ["central", "double"])
@pytest.mark.parametrize("kind", ["huber", "squared"])
def test_molecules_beside_crystals_do_not_spoil_a_loss_with_stresses(kind, gradient):
    graphs = [_labelled(atoms, 3.5) for atoms in (_crystal(1, 1, 1), _molecule())]
    model = _model(collate(graphs)).double()
    options = {"kind": kind, "stress_weight": 2.0, "gradient": gradient}
    each = [_gradient(model, collate([graph]), **options) for graph in graphs]
    value, together = _gradient(model, collate(graphs), **options)
    assert value == pytest.approx((each[0][0] + each[1][0]) / 2, rel=1e-9)
    mean = (each[0][1] + each[1][1]) / 2
    assert (together - mean).norm() <= 1e-6 * mean.norm()


@pytest.mark.parametrize("gradient", ["central", "double"])
def test_a_model_that_predicts_nan_has_no_loss_of_zero(gradient):
    batch = collate([_labelled(_crystal(1, 1, 1), 3.5)])
    model = _model(batch)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    assert np.isnan(_gradient(model, batch, gradient=gradient)[0])


def test_stresses_are_scored_beside_molecules():
    graphs = [_labelled(atoms, 3.5) for atoms in (_crystal(1, 1, 1), _molecule(), _crystal(2, 1, 1))]
    model = _model(collate(graphs)).eval()
    task = PotentialTask(model)
    task.generator = torch.Generator()
    together, alone = (task.evaluate([collate(chosen)]) for chosen in (graphs, graphs[::2]))
    assert together["stress_mae_gpa"] == pytest.approx(alone["stress_mae_gpa"], rel=1e-5)
    assert together["stress_rmse_gpa"] == pytest.approx(alone["stress_rmse_gpa"], rel=1e-5)
    assert all(np.isfinite(value) for value in together.values())


def test_errors_count_a_nan_prediction_where_there_is_a_label_and_only_there():
    stress = torch.ones(2, 3, 3)
    stress[1] = torch.nan
    for reference, expected in ((stress, 0.0), (torch.ones(2, 3, 3), np.nan)):
        errors = EnergyForceErrors(torch.device("cpu"))
        predicted = {"energy": torch.zeros(2), "forces": torch.zeros(2, 3), "stress": stress}
        errors.update(predicted, torch.zeros(2), torch.zeros(2, 3), stress=reference)
        assert errors.compute()["stress_mae_gpa"] == pytest.approx(expected, nan_ok=True)


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
