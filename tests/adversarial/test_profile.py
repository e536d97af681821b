"""Force along the way: exact in a bowl, Pythagoras everywhere, and its integral is the work."""

import pytest
import torch

from sciml_zoo.adversarial.line_integral import random_paths, work
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.profile import energy_profile, force_profile
from sciml_zoo.errors import InputError

from .networks import images, network
from .surfaces import double_well, of_energy, tensor


def bowl() -> LossPotential:
    """V = (x² + 4 y²) / 2."""
    return of_energy(lambda x: (x.square() * tensor([1.0, 4.0])).sum(1) / 2)


@pytest.fixture
def walk() -> tuple[LossPotential, Path]:
    start, labels = images()
    path = random_paths(start, 1 - start, nodes=3, generator=torch.Generator().manual_seed(0))
    return LossPotential(network(), labels, dtype=torch.float64), path


def test_a_quadratic_bowl_exactly():
    # Up the steep axis, then across it at y = 2: against the force, then with the steep force sideways.
    path = Path(tensor([[0.0, 0.0], [0.0, 2.0], [3.0, 2.0]])[:, None])
    found = force_profile(bowl(), path, samples=2)
    expected = {
        "arc_length": [0.5, 1.5, 2.75, 4.25],
        "width": [1.0, 1.0, 1.5, 1.5],
        "potential": [0.5, 4.5, 8 + 0.75**2 / 2, 8 + 2.25**2 / 2],
        "tangential": [-2.0, -6.0, -0.75, -2.25],
        "normal": [0.0, 0.0, 8.0, 8.0],
    }
    for name, values in expected.items():
        torch.testing.assert_close(getattr(found, name)[:, 0], tensor(values), rtol=0, atol=1e-14)
    along = energy_profile(bowl(), path, samples=1)
    torch.testing.assert_close(along.arc_length[:, 0], tensor([0.0, 2.0, 5.0]), rtol=0, atol=1e-14)
    torch.testing.assert_close(along.potential[:, 0], tensor([0.0, 8.0, 12.5]), rtol=0, atol=1e-14)


def test_both_forces_make_up_the_gradient_at_every_point(walk):
    potential, path = walk
    found = force_profile(potential, path, samples=3)
    assert potential.gradients == found.potential.numel() == 4 * 3 * 5
    place = (torch.arange(3).double() + 0.5).view(3, 1, 1, 1, 1) / 3
    for segment, (start, step) in enumerate(zip(path.points[:-1], path.steps, strict=True)):
        points = (start + place * step).flatten(0, 1)
        value, gradient = potential.value_and_gradient(points, torch.arange(5).repeat(3))
        rows = slice(3 * segment, 3 * segment + 3)
        squares = found.tangential[rows].square() + found.normal[rows].square()
        torch.testing.assert_close(squares.flatten(), gradient.flatten(1).square().sum(1), rtol=1e-12, atol=0)
        torch.testing.assert_close(found.potential[rows].flatten(), value, rtol=1e-12, atol=0)


def test_the_integral_of_the_tangential_force_is_minus_the_work_and_that_of_its_size_the_effort(walk):
    potential, path = walk
    exact = work(potential, path)
    errors = []
    for samples in (50, 100):
        found = force_profile(potential, path, samples=samples)
        errors.append((-(found.tangential * found.width).sum(0) - exact.work).abs().max())
        torch.testing.assert_close(found.width.sum(0), path.length(), rtol=1e-13, atol=0)
    assert errors[1] < 1e-3 * exact.work.abs().max()
    # Of midpoints, the error falls fourfold with twice as many.
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    size = (found.tangential.square() + found.normal.square()).sqrt()
    effort = exact.dissipation + exact.delta_loss.abs()
    torch.testing.assert_close((size * found.width).sum(0), effort, rtol=1e-3, atol=0)


def test_where_a_path_stands_still_all_force_is_normal(walk):
    potential, path = walk
    last = torch.tensor([4, 2, 0, 1, 4])
    standing = Path(torch.stack([path.points[last.clamp(max=node), torch.arange(5)] for node in range(5)]))
    found = force_profile(potential, standing, samples=2)
    for values in (found.arc_length, found.potential, found.tangential, found.normal):
        assert torch.isfinite(values).all()
    still = found.width == 0
    assert still.sum(0).tolist() == [0, 4, 8, 6, 0]
    assert (found.tangential[still] == 0).all()
    size = torch.linalg.vector_norm(potential.value_and_gradient(standing.end)[1].flatten(1), dim=1)
    torch.testing.assert_close(found.normal[-1, 1:4], size[1:4], rtol=1e-13, atol=0)


def test_on_a_minimum_energy_path_there_is_no_normal_force_and_the_profile_ends_at_both_minima():
    path = Path.straight(tensor([[-1.0, 0.0]]), tensor([[1.0, 0.0]]))
    forces = force_profile(of_energy(double_well), path, samples=16)
    assert forces.normal.max() < 1e-15
    assert ((forces.tangential[:, 0] < 0) == (forces.arc_length[:, 0] < 1)).all()
    found = energy_profile(of_energy(double_well), path, samples=16)
    x = found.arc_length - 1
    torch.testing.assert_close(found.potential, (x**2 - 1) ** 2, rtol=0, atol=1e-15)
    assert found.arc_length[[0, -1], 0].tolist() == [0, 2]


@pytest.mark.parametrize("profile", [force_profile, energy_profile])
def test_no_sample_is_refused(profile, walk):
    with pytest.raises(InputError, match="at least 1"):
        profile(*walk, samples=0)
