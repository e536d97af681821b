"""The simplified string method against known paths, and its spline against polynomials."""

import pytest
import torch

from sciml_zoo.adversarial.saddle import refine_saddles
from sciml_zoo.adversarial.string_method import spline_images, string_method
from sciml_zoo.errors import InputError
from tests.adversarial.surfaces import (
    ARC_END,
    MINIMA,
    SADDLE_ENERGIES,
    arc,
    double_well,
    muller_brown,
    of_energy,
    on_arc,
    tensor,
)


def test_a_cubic_through_the_knots_is_the_spline():
    # Chords of the curve are the knots' spacing only for a straight line, so it is one, run through unevenly.
    place = tensor([0.0, 0.05, 0.2, 0.5, 0.6, 1.0])
    images = torch.stack([3 * place, 4 * place], 1)[:, None]
    found, tangents = spline_images(images, 9)
    even = torch.linspace(0, 1, 9, dtype=torch.float64)
    torch.testing.assert_close(found[:, 0], torch.stack([3 * even, 4 * even], 1))
    torch.testing.assert_close(tangents[:, 0], tensor([0.6, 0.8]).expand(9, 2))


def test_the_spline_of_a_circle_is_of_fourth_order():
    errors = []
    for count in (9, 17, 33):
        angle = torch.linspace(0, 2, count, dtype=torch.float64)
        found, _ = spline_images(torch.stack([angle.cos(), angle.sin()], 1)[:, None], 101)
        errors.append((torch.linalg.vector_norm(found, dim=2) - 1).abs().max().item())
    assert errors[0] / errors[1] > 10
    assert errors[1] / errors[2] > 12


def test_the_string_between_the_ends_of_an_arc_is_the_circle():
    ends = on_arc(-ARC_END), on_arc(ARC_END)
    string = string_method(of_energy(arc), *ends, images=61, tolerance=1e-8, steps=5000)
    assert string.converged.all()
    assert (torch.linalg.vector_norm(string.images, dim=2) - 1).abs().max() < 1e-6
    assert abs(string.values.max().item() - 1) < 1e-6


def test_the_string_of_a_double_well_is_its_axis():
    start, end = tensor([[-1.0, 0]]), tensor([[1.0, 0]])
    bend = torch.linspace(0, torch.pi, 15, dtype=torch.float64).sin()[:, None, None] * tensor([0.0, 0.3])
    initial = start + torch.linspace(0, 1, 15, dtype=torch.float64)[:, None, None] * (end - start) + bend
    string = string_method(of_energy(double_well), start, end, initial=initial, tolerance=1e-8, steps=20000)
    assert string.converged.all()
    assert string.images[..., 1].abs().max() < 1e-6
    assert abs(string.values.max().item() - 1) < 1e-6


def test_strings_lead_over_the_saddles_of_muller_and_brown():
    potential = of_energy(muller_brown)
    start, end = tensor([MINIMA[0], MINIMA[2]]), tensor([MINIMA[2], MINIMA[1]])
    string = string_method(potential, start, end, images=41, tolerance=1e-4, steps=5000)
    assert string.converged.all()
    # The highest of the images lies near the saddle; the spline's images lie on the path.
    torch.testing.assert_close(string.values.amax(0), tensor(SADDLE_ENERGIES), rtol=0, atol=0.5)
    saddles = refine_saddles(potential, string.at_highest(string.images), string.at_highest(string.tangents))
    torch.testing.assert_close(saddles.values, tensor(SADDLE_ENERGIES), rtol=0, atol=1e-3)
    alone = string_method(potential, start[1:], end[1:], images=41, tolerance=1e-4, steps=5000)
    torch.testing.assert_close(alone.images[:, 0], string.images[:, 1], rtol=0, atol=1e-6)


def test_a_string_needs_five_images():
    with pytest.raises(InputError, match="5"):
        string_method(of_energy(arc), tensor([[-1.0, 0]]), tensor([[1.0, 0]]), images=4)
