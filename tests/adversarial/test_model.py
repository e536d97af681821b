"""The classifier: its laws as a function of the image, and what is refused."""

import pytest
import torch
from torch import nn

import sciml_zoo as sz
from sciml_zoo.adversarial.model import ACTIVATIONS, DigitsCNN, DigitsCNNConfig
from sciml_zoo.errors import InputError

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def model(activation: str = "gelu", **values: int) -> DigitsCNN:
    torch.manual_seed(0)
    return DigitsCNN(DigitsCNNConfig(activation, **values)).double().eval()


def image(n: int = 1, size: int = 8) -> torch.Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@every_activation
def test_gradients_by_the_image_are_those_of_the_logits(activation):
    assert torch.autograd.gradcheck(model(activation, channels=3, hidden=5), image(2).requires_grad_())


@pytest.mark.parametrize("activation", ["gelu", "silu", "tanh"])
def test_a_smooth_network_has_second_derivatives(activation):
    small = model(activation, channels=2, hidden=3)
    assert torch.autograd.gradgradcheck(small, image().requires_grad_())


def test_relu_is_linear_between_kinks_and_gelu_is_not():
    """On a short line without a switching unit the second difference of piecewise linear logits vanishes."""
    for activation, linear in (("relu", True), ("gelu", False)):
        network, start = model(activation), image()
        steps = torch.linspace(-1, 1, 3, dtype=torch.float64).view(3, 1, 1, 1) * 1e-5
        below, at, above = network(start + steps * torch.ones_like(start))
        curvature = (above - 2 * at + below).abs().max().item()
        assert curvature < 1e-15 if linear else curvature > 1e-13


@every_activation
@pytest.mark.parametrize("mode", [True, False])
def test_images_of_a_batch_do_not_act_on_each_other(activation, mode):
    network, images = model(activation).train(mode), image(5)
    alone = torch.cat([network(one[None]) for one in images])
    torch.testing.assert_close(network(images), alone, rtol=0, atol=1e-14)


def test_nothing_in_it_pools_by_maxima_or_normalises_over_a_batch():
    kinds = (nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.modules.batchnorm._BatchNorm, nn.Dropout)
    assert not [layer for layer in model().modules() if isinstance(layer, kinds)]


def test_the_shelf_makes_and_saves_it(tmp_path):
    made = sz.create_model("digits_cnn", activation="tanh", size=12, n_classes=3)
    sz.save_model(made.eval(), tmp_path / "saved")
    again = sz.load_model(f"local-dir:{tmp_path / 'saved'}")
    images = image(3, 12).float()
    assert torch.equal(again(images), made(images))
    assert again(images).shape == (3, 3)
    assert torch.equal(again.example_inputs()["images"], made.example_inputs()["images"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"activation": "rule"}, "did you mean 'relu'"),
        ({"channels": 0}, "channels: 0"),
        ({"hidden": 0}, "hidden: 0"),
        ({"n_classes": 1}, "n_classes: 1"),
        ({"size": 10}, "size: 10 is not a positive multiple of 4"),
        ({"size": 0}, "size: 0"),
    ],
)
def test_impossible_shapes_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        DigitsCNNConfig(**values)


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 64), (2, 1, 8, 9), (2, 3, 8, 8)])
def test_other_images_are_refused(shape):
    with pytest.raises(InputError, match=r"reads \[n, 1, 8, 8\]"):
        model()(torch.zeros(shape, dtype=torch.float64))
