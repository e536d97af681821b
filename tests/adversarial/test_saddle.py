"""Saddles against known ones, with whole Hessians and without."""

import pytest
import torch

from sciml_zoo.adversarial._flat_potential import FlatPotential
from sciml_zoo.adversarial.saddle import refine_saddles
from sciml_zoo.adversarial.valley import ValleyPotential
from tests.adversarial.surfaces import (
    SADDLE_ENERGIES,
    SADDLES,
    double_well,
    muller_brown,
    of_energy,
    pairs,
    rotation,
    tensor,
)


def test_the_saddles_of_muller_and_brown_are_the_published_ones():
    found = refine_saddles(of_energy(muller_brown), tensor(SADDLES) + 0.05, tensor([[0.7, -0.7], [0.7, -0.7]]))
    assert found.converged.all()
    assert found.negative.tolist() == [1, 1]
    torch.testing.assert_close(found.points, tensor(SADDLES), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.values, tensor(SADDLE_ENERGIES), rtol=0, atol=1e-3)


@pytest.mark.parametrize("full", [True, False])
def test_the_saddle_of_a_turned_double_well_has_its_eigenvalues(full):
    turn = rotation(12)
    energy = of_energy(lambda x: double_well(x @ turn.T))
    beside = torch.full((1, 12), 0.1, dtype=torch.float64) @ turn
    along = tensor([[1.0] + [0.3] * 11]) @ turn
    found = refine_saddles(energy, beside, along, full=full)
    assert found.converged.all()
    assert found.points.abs().max() < 1e-8
    assert abs(found.values.item()) - 1 < 1e-12
    torch.testing.assert_close(found.eigenvalues[0, 0], tensor(-4.0))
    torch.testing.assert_close(found.eigenvalues[0], tensor([-4.0, *range(1, 12)]))
    torch.testing.assert_close(found.unstable, turn[:1], rtol=0, atol=1e-7)


def test_a_bowl_has_no_saddle_and_says_so():
    found = refine_saddles(of_energy(lambda x: x.square().sum(1) / 2), tensor([[0.3, 0.2]]), tensor([[1.0, 0]]))
    assert not found.converged.any()


def test_without_the_whole_hessian_the_saddles_of_a_network_are_the_same():
    model, clean, _, twin, path = pairs()
    valley = ValleyPotential(model, clean, twin, stiffness=2.0)
    values = torch.stack([valley.value(node) for node in path])
    rows = torch.arange(len(clean))
    near, along = path[values.argmax(0), rows], twin - clean
    whole = refine_saddles(valley, near, along)
    without = refine_saddles(valley, near, along, full=False, krylov=30)
    assert whole.converged.all()
    assert without.converged.all()
    torch.testing.assert_close(without.values, whole.values, rtol=0, atol=1e-9)
    torch.testing.assert_close(without.points, whole.points, rtol=0, atol=1e-6)
    torch.testing.assert_close(without.eigenvalues[:, 0], whole.eigenvalues[:, 0], rtol=1e-6, atol=0)
    for row in range(2):
        alone = refine_saddles(valley, near[row : row + 1], along[row : row + 1], rows=rows[row : row + 1])
        torch.testing.assert_close(alone.points[0], whole.points[row], rtol=0, atol=1e-7)


def test_hessians_are_finite_differences_of_gradients():
    model, clean, _, twin, _ = pairs()
    valley = ValleyPotential(model, clean, twin)
    flat = FlatPotential(valley, clean)
    x, at = flat.flat((clean + twin) / 2), torch.arange(len(clean))
    along = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    hessian = flat.hessian(x, at)
    step = 1e-5 * along
    ahead, behind = (flat.value_and_gradient(there, at)[1] for there in (x + step, x - step))
    difference = (ahead - behind) / 2e-5
    torch.testing.assert_close((hessian @ along[..., None])[..., 0], difference, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(flat.hessian_product(x, at)(along), difference, rtol=1e-5, atol=1e-5)
