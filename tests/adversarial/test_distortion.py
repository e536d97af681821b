"""Distorted images: shifts, turns and scalings are what they are called."""

import pytest
import torch

from sciml_zoo.adversarial.distortion import Distortion, distorted
from sciml_zoo.errors import InputError

# Of a blob far from the borders; bilinear reading keeps its centre of mass but for the scale's Jacobian.
GRID = torch.arange(32, dtype=torch.float64) - 15.5


def blob(n: int, x: float = 5.0, y: float = 0.0) -> torch.Tensor:
    bell = torch.exp(-((GRID[None] - x) ** 2 + (GRID[:, None] - y) ** 2) / 8)
    return bell.expand(n, 1, 32, 32)


def centres(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mass = images.sum((1, 2, 3))
    return (images * GRID).sum((1, 2, 3)) / mass, (images * GRID[:, None]).sum((1, 2, 3)) / mass


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shifts_are_of_so_many_pixels_either_way():
    x, y = centres(distorted(blob(500), Distortion(shift=3.0), generator()))
    for moved in (x - 5, y):
        assert 2.9 < moved.max() < 3.01
        assert -3.01 < moved.min() < -2.9


def test_rotations_keep_the_distance_from_the_centre():
    x, y = centres(distorted(blob(500), Distortion(rotation=20.0), generator()))
    torch.testing.assert_close(torch.hypot(x, y), torch.full_like(x, 5.0), rtol=0, atol=0.01)
    angle = torch.rad2deg(torch.atan2(y, x))
    assert 19 < angle.max() < 20.1
    assert -20.1 < angle.min() < -19


def test_scalings_keep_the_direction():
    x, y = centres(distorted(blob(500), Distortion(scale=0.3), generator()))
    torch.testing.assert_close(y, torch.zeros_like(y), rtol=0, atol=1e-6)
    assert 0.28 < (x / 5).log().max() < 0.31
    assert -0.31 < (x / 5).log().min() < -0.28


def test_grey_values_stay_in_their_range_and_no_distortion_is_none():
    images = torch.rand(50, 1, 8, 8, generator=generator(1))
    found = distorted(images, Distortion(30, 0.3, 2), generator())
    assert 0 <= found.min() <= found.max() <= 1 + 1e-6
    assert distorted(images, Distortion(), generator()) is images
    again = distorted(images, Distortion(30, 0.3, 2), generator())
    assert torch.equal(found, again)


@pytest.mark.parametrize("key", ["rotation", "scale", "shift"])
def test_negative_distortions_are_refused(key):
    with pytest.raises(InputError, match=f"{key}: -1"):
        Distortion(**{key: -1})
