"""Integrated gradients: complete, exact on linear models, and no worse than one rule for all."""

import numpy as np
import pytest
import torch
from torch import nn

from sciml_zoo.adversarial.completeness import integrated_gradients
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.errors import InputError

from .networks import images, network


def test_a_linear_model_is_attributed_exactly():
    inputs, _ = images()
    slope = torch.randn(36).double()
    potential = LossPotential(lambda x: x.flatten(1) @ slope, loss=None)
    found = integrated_gradients(potential, inputs, torch.zeros_like(inputs), gradients=3)
    torch.testing.assert_close(found.values.flatten(1), inputs.flatten(1) * slope)


@pytest.mark.parametrize(("activation", "bound"), [(nn.GELU, 1e-11), (nn.ReLU, 3e-3)])
def test_attributions_add_up(activation, bound):
    inputs, labels = images(8)
    potential = LossPotential(network(activation), labels, dtype=torch.float64)
    found = integrated_gradients(potential, inputs, torch.zeros_like(inputs), gradients=50)
    assert potential.gradients == 50 * 8
    assert found.completeness_error.median() < bound
    place, weight = np.polynomial.legendre.leggauss(50)
    single = sum(
        share / 2 * potential.value_and_gradient(inputs * (1 + at) / 2)[1]
        for at, share in zip(place, weight, strict=True)
    )
    error = ((single * inputs).flatten(1).sum(1) - found.delta).abs()
    assert found.completeness_error.median() <= error.median() + 1e-12


def test_no_gradient_is_no_attribution():
    inputs, labels = images()
    with pytest.raises(InputError, match="gradients: 0"):
        integrated_gradients(LossPotential(network(), labels), inputs, inputs, gradients=0)
