"""Gradient flow against its solution, basins against known watersheds."""

import torch

from sciml_zoo.adversarial.basins import basin, basin_exit, boundary_crossing, gradient_flow
from sciml_zoo.adversarial.path import Path
from tests.adversarial.surfaces import (
    ARC_END,
    MINIMA,
    SADDLES,
    arc,
    double_well,
    muller_brown,
    of_energy,
    on_arc,
    tensor,
)


def test_the_flow_in_a_quadratic_bowl_is_the_power_law_of_its_curvatures():
    # x = x₀ exp(−t), y = y₀ exp(−3t): y/y₀ = (x/x₀)³.
    bowl = of_energy(lambda x: (x[:, 0] ** 2 + 3 * x[:, 1] ** 2) / 2)
    start = tensor([[1.0, 0.5], [0.7, -0.2]])
    flow = gradient_flow(bowl, start, accuracy=1e-9, nodes=21)
    assert flow.minima.converged.all()
    assert flow.minima.points.abs().max() < 1e-7
    share = flow.points / start
    # Up to where relaxation takes over, a hundredth of the way from the minimum.
    torch.testing.assert_close(share[:-2, :, 1], share[:-2, :, 0] ** 3, rtol=0, atol=1e-6)


def test_the_flow_from_the_saddle_of_an_arc_is_the_circle():
    flow = gradient_flow(of_energy(arc), tensor([[1e-4, 1.0], [-1e-4, 1.0]]), accuracy=1e-9, nodes=33)
    assert (torch.linalg.vector_norm(flow.points, dim=2) - 1).abs().max() < 1e-6
    torch.testing.assert_close(flow.minima.points, torch.cat([on_arc(ARC_END), on_arc(-ARC_END)]), rtol=0, atol=1e-7)
    lengths = torch.linalg.vector_norm(flow.points.diff(dim=0), dim=2)
    assert (lengths.amax() / lengths.amin()).item() < 1.2


def test_basins_lie_on_either_side_of_a_saddle():
    potential = of_energy(muller_brown)
    downhill = tensor([[-0.05, 0.05], [0.05, -0.05]])
    found = basin(potential, tensor(SADDLES)[[0, 0]] - downhill, tensor([[MINIMA[0]] * 2, [MINIMA[2]] * 2]))
    assert sorted(found.tolist()) == [0, 1]
    assert basin(potential, tensor([[0.6, 0.0]]), tensor([[MINIMA[0]]])).item() == -1


def test_a_path_leaves_the_basin_of_a_double_well_at_its_middle():
    potential = of_energy(double_well)
    points = tensor([[-0.8, 0.6], [-0.8, 0.0], [1.2, 0.0]])[:, None]
    found = basin_exit(potential, Path(points), samples=3)
    assert found.crossed.all()
    torch.testing.assert_close(found.points, tensor([[0.0, 0.0]]), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.lengths, tensor([1.4]), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.distances, tensor([1.0]), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.fractions, tensor([1.4 / 2.6]), rtol=0, atol=1e-5)


def test_the_boundary_of_a_linear_classifier_is_crossed_where_its_outputs_are_equal():
    def model(inputs):
        return torch.stack([0.3 - inputs[:, 0], inputs[:, 0] - 0.3], 1)

    points = tensor([[[0.0, 0], [0.0, 0]], [[1.0, 1], [0.0, 5]]])
    found = boundary_crossing(model, Path(points))
    assert found.crossed.tolist() == [True, False]
    torch.testing.assert_close(found.points[0], tensor([0.3, 0.3]))
    torch.testing.assert_close(found.distances[0], tensor(0.3 * 2**0.5))
    assert found.distances[1].isnan()
