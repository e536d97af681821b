"""The potential with two valleys: its values, its force, and the condition under which it has two."""

import pytest
import torch

from sciml_zoo.adversarial.minima import relax, share_minimum
from sciml_zoo.adversarial.valley import ValleyPotential
from sciml_zoo.errors import InputError
from tests.adversarial.surfaces import pairs, tensor


def test_its_values_are_those_of_the_formula():
    model, clean, _, twin, _ = pairs()
    inputs = 0.7 * clean + 0.3 * twin
    probabilities = model(inputs).softmax(1)
    spring = (inputs - (clean + twin) / 2).flatten(1).square().sum(1)
    expected = -probabilities.square().sum(1).log() + 2.5 / 2 * spring
    torch.testing.assert_close(ValleyPotential(model, clean, twin, stiffness=2.5).value(inputs), expected)


def test_its_gradient_is_the_finite_difference():
    model, clean, _, twin, _ = pairs()
    valley = ValleyPotential(model, clean, twin, stiffness=0.5)
    inputs = (clean + twin) / 2 + 0.1
    along = torch.randn(inputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _, gradient = valley.value_and_gradient(inputs)
    difference = (valley.value(inputs + 1e-5 * along) - valley.value(inputs - 1e-5 * along)) / 2e-5
    torch.testing.assert_close((gradient * along).flatten(1).sum(1), difference, rtol=1e-6, atol=1e-8)


def test_rows_choose_the_pair_whose_spring_pulls():
    model, clean, _, twin, _ = pairs()
    valley = ValleyPotential(model, clean, twin)
    rows = tensor([2, 0, 2]).long()
    alone = ValleyPotential(model, clean[rows], twin[rows])
    torch.testing.assert_close(valley.value(clean[rows], rows), alone.value(clean[rows]))


@pytest.mark.parametrize(("stiffness", "shared"), [(7.9, False), (8.1, True)])
def test_two_classes_have_two_valleys_below_half_the_squared_slope(stiffness, shared):
    slope = 4.0
    start, end = tensor([[-1.0]]), tensor([[1.0]])
    valley = ValleyPotential(lambda x: torch.cat([slope * x, 0 * x], 1), start, end, stiffness=stiffness)
    first, second = relax(valley, start), relax(valley, end)
    assert share_minimum(first, second, 1e-3).item() is shared


def test_it_says_what_is_wrong():
    model, clean, _, twin, _ = pairs()
    with pytest.raises(InputError, match="stiffness"):
        ValleyPotential(model, clean, twin, stiffness=0.0)
    with pytest.raises(InputError, match="pairs"):
        ValleyPotential(model, clean, twin[:2])
