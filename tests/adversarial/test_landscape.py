"""Slices: the frame is orthonormal, the three points lie in it, and values are those of the potential."""

import pytest
import torch

from sciml_zoo.adversarial.landscape import Plane, farthest_node, slice_potential
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.errors import InputError

from .networks import images, network
from .surfaces import double_well, of_energy, rotation, tensor


@pytest.mark.parametrize("seed", range(3))
def test_three_points_lie_in_their_plane_and_distances_in_it_are_those_in_space(seed):
    points = images(6, seed=seed)[0]
    plane = Plane.through(*points[:3])
    frame = torch.stack([plane.first.flatten(), plane.second.flatten()])
    torch.testing.assert_close(frame @ frame.T, torch.eye(2).double(), rtol=0, atol=1e-14)
    flat = plane.coordinates(points)
    torch.testing.assert_close(torch.pdist(flat[:3]), torch.pdist(points[:3].flatten(1)), rtol=1e-13, atol=0)
    torch.testing.assert_close(plane.points(flat[:3]), points[:3], rtol=0, atol=1e-14)
    assert plane.distance(points[:3]).max() < 1e-14
    # The clean input is the origin, the twin on the first axis, and the third on the upper side.
    torch.testing.assert_close(flat[0], tensor([0.0, 0.0]), rtol=0, atol=1e-14)
    assert flat[1, 0] > 0
    assert flat[1, 1].abs() < 1e-14
    assert flat[2, 1] > 0
    # Of the others, the projection and the distance make up the offset, and the projection is the nearest point.
    offset = (points - points[0]).flatten(1).square().sum(1)
    torch.testing.assert_close(flat.square().sum(1) + plane.distance(points).square(), offset, rtol=1e-12, atol=1e-14)
    assert (plane.distance(points[3:]) > 0.1).all()


def test_a_slice_holds_the_values_of_one_sample_of_the_batch():
    inputs, labels = images(4)
    potential = LossPotential(network(), labels, dtype=torch.float64)
    plane = Plane.through(inputs[2], *images(2, seed=5)[0])
    found = slice_potential(potential, plane, inputs[2:4], sample=2, resolution=5)
    u, v = float(found.first[3]), float(found.second[1])
    at = plane.points(tensor([[u, v]]))
    torch.testing.assert_close(at[0], plane.origin + u * plane.first + v * plane.second, rtol=0, atol=1e-15)
    expected = LossPotential(network(), labels[2:3], dtype=torch.float64).value(at)
    torch.testing.assert_close(found.values[1, 3:4], expected, rtol=1e-12, atol=0)
    assert found.values.shape == (5, 5)
    for axis, shown in zip((found.first, found.second), plane.coordinates(inputs[2:4]).T, strict=True):
        assert axis[0] < shown.min()
        assert axis[-1] > shown.max()


def test_a_surface_of_two_dimensions_is_its_own_slice_however_it_is_turned():
    turn = rotation(2)
    corners = tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.5]]) @ turn
    plane = Plane.through(*corners)
    found = slice_potential(of_energy(lambda x: double_well(x @ turn.T)), plane, corners, margin=0.1, resolution=21)
    x, y = found.first[None] - 1, found.second[:, None]
    torch.testing.assert_close(found.values, (x**2 - 1) ** 2 + y**2 / 2, rtol=0, atol=1e-12)


def test_points_on_a_line_get_the_same_second_direction_every_time():
    start = tensor([0.1, 0.2, 0.3])
    step = tensor([1.0, 0.5, 0.0])
    for end, third in ((start + step, start + step / 3), (start + step, start), (start, start + step)):
        plane = Plane.through(start, end, third)
        torch.testing.assert_close(plane.first, step / step.norm(), rtol=0, atol=1e-15)
        torch.testing.assert_close(plane.second, tensor([0.0, 0.0, 1.0]), rtol=0, atol=1e-15)
    point = Plane.through(start, start, start)
    assert float((point.first * point.second).sum()) == 0
    assert slice_potential(of_energy(double_well), point, start[None], resolution=3).values.isfinite().all()


def test_of_a_path_the_plane_holds_the_saddle_or_the_node_farthest_from_the_line():
    nodes = tensor([[0.0, 0, 0], [3.0, 0.2, 0], [0.5, 0, 2], [1.0, 0, 0]])
    assert farthest_node(nodes).tolist() == [0.5, 0, 2]
    other = tensor([[0.0, 0, 0], [1.0, 1, 0], [1.0, 1, 0], [1.0, 1, 0]])
    path = Path(torch.stack([other, nodes], 1))
    plane = Plane.of_path(path, 1)
    assert plane.distance(nodes)[[0, 2, 3]].max() < 1e-15
    assert plane.distance(nodes)[1] == pytest.approx(0.2)
    saddle = tensor([0.5, 1, 1])
    assert Plane.of_path(path, 1, saddle).distance(saddle[None]) < 1e-15
    assert Plane.of_path(path).second.isfinite().all()


def test_what_spans_no_plane_is_named():
    one = tensor([0.5])
    with pytest.raises(InputError, match="two numbers or more"):
        Plane.through(one, one, one)
    two = tensor([0.5, 1.0])
    with pytest.raises(InputError, match="not finite"):
        Plane.through(two, two + 1, two * torch.nan)
    plane = Plane.through(two, two + 1, two)
    for shown, resolution in ((two[None][:0], 9), (two[None], 1)):
        with pytest.raises(InputError, match="at least"):
            slice_potential(of_energy(double_well), plane, shown, resolution=resolution)
