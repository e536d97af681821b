"""Nudged elastic bands against known paths."""

import pytest
import torch

from sciml_zoo.adversarial.elastic_band import elastic_band, improved_tangents
from sciml_zoo.errors import InputError
from tests.adversarial.surfaces import (
    ARC_END,
    MINIMA,
    SADDLE_ENERGIES,
    SADDLES,
    arc,
    double_well,
    muller_brown,
    of_energy,
    on_arc,
    rotation,
    tensor,
)

BETWEEN = (tensor([MINIMA[0], MINIMA[2]]), tensor([MINIMA[2], MINIMA[1]]))


def test_the_path_of_a_double_well_is_its_axis_and_the_climbing_image_its_saddle():
    turn = rotation(4)
    start, end = tensor([[-1.0, 0, 0, 0]]) @ turn, tensor([[1.0, 0, 0, 0]]) @ turn
    bend = torch.linspace(0, torch.pi, 12, dtype=torch.float64).sin()[:, None, None] * 0.3
    weight = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None, None]
    initial = (1 - weight) * start + weight * end + bend * (tensor([[0, 1.0, -1, 0.5]]) @ turn)
    potential = of_energy(lambda x: double_well(x @ turn.T))
    band = elastic_band(potential, start, end, initial=initial, tolerance=1e-8, steps=5000)
    assert band.converged.all()
    straight = band.images @ turn.T
    assert straight[..., 1:].abs().max() < 1e-6
    assert abs(band.values.max().item() - 1) < 1e-6
    assert band.at_highest(straight).abs().max() < 1e-6


def test_climbing_images_are_the_saddles_of_muller_and_brown():
    band = elastic_band(of_energy(muller_brown), *BETWEEN, images=15, tolerance=1e-7, steps=5000)
    assert band.converged.all()
    torch.testing.assert_close(band.at_highest(band.images), tensor(SADDLES), rtol=0, atol=1e-5)
    torch.testing.assert_close(band.values.amax(0), tensor(SADDLE_ENERGIES), rtol=0, atol=1e-3)


def test_without_climbing_images_are_evenly_spaced_and_their_distance_from_the_path_is_of_first_order():
    errors = []
    for images in (16, 31):
        ends = on_arc(-ARC_END), on_arc(ARC_END)
        band = elastic_band(of_energy(arc), *ends, images=images, climb=False, tolerance=1e-6, steps=5000)
        assert band.converged.all()
        lengths = torch.linalg.vector_norm(band.images.diff(dim=0), dim=2)
        assert (lengths.amax() / lengths.amin() - 1).item() < 1e-3
        errors.append((torch.linalg.vector_norm(band.images, dim=2) - 1).abs().max().item())
    assert errors[1] < 0.01
    assert 1.7 < errors[0] / errors[1] < 2.5


def test_a_batch_gives_the_same_as_each_alone():
    potential = of_energy(muller_brown)
    together = elastic_band(potential, *BETWEEN, tolerance=1e-6, steps=5000)
    for row in range(2):
        start, end = (side[row : row + 1] for side in BETWEEN)
        alone = elastic_band(potential, start, end, tolerance=1e-6, steps=5000)
        torch.testing.assert_close(alone.images[:, 0], together.images[:, row], rtol=0, atol=1e-6)


def test_the_tangent_points_to_the_higher_neighbour():
    images = tensor([[0.0, 0], [1, 0], [1, 1], [2, 1]])[:, None]
    rising = improved_tangents(images, tensor([0.0, 1, 2, 3])[:, None])
    torch.testing.assert_close(rising[1, 0], tensor([0.0, 1]))
    falling = improved_tangents(images, tensor([3.0, 2, 1, 0])[:, None])
    torch.testing.assert_close(falling[1, 0], tensor([1.0, 0]))
    # At a maximum with drops of 2 and 1, the higher neighbour weighs 2 (eq. 10 of Henkelman & Jónsson).
    peak = improved_tangents(images, tensor([0.0, 2, 1, 0])[:, None])
    torch.testing.assert_close(peak[1, 0], tensor([1.0, 2]) / 5**0.5)


def test_a_band_needs_an_image_between_its_ends():
    with pytest.raises(InputError, match="three"):
        elastic_band(of_energy(arc), tensor([[-1.0, 0]]), tensor([[1.0, 0]]), images=2)
