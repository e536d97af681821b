"""Initialisations of linear and convolutional layers, by the variances that mean-field theory speaks of.

============  ======================================  ==============  =====================================
scheme        weights                                 biases          paper
============  ======================================  ==============  =====================================
he            N(0, 2/fan_in)                          0               He et al., ICCV 2015
xavier        N(0, 2/(fan_in + fan_out))              0               Glorot & Bengio, AISTATS 2010
orthogonal    all singular values √σ_w²               N(0, σ_b²)      Saxe et al., ICLR 2014
critical      N(0, σ_w²/fan_in) with χ(q*) = 1        N(0, σ_b²)      Schoenholz et al., ICLR 2017
(σ_w², σ_b²)  N(0, σ_w²/fan_in)                       N(0, σ_b²)      Poole et al., NeurIPS 2016
============  ======================================  ==============  =====================================

``orthogonal`` takes the critical variances of the activation too, which without biases for tanh are σ_w² = 1.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.instruments._activation import Activation, activation_function
from sciml_zoo.instruments.mean_field import critical_point

__all__ = ["SCHEMES", "Elementwise", "fan_in", "initialise_", "plain_network"]

SCHEMES = ("he", "xavier", "orthogonal", "critical")

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Elementwise(nn.Module):
    """A named activation, or any elementwise function, as a layer.

    Args:
        activation: a name of :data:`~sciml_zoo.instruments.mean_field.ACTIVATIONS`, or a function of a tensor.
    """

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.function = activation_function(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Returns φ(x), of the shape of x."""
        return self.function(x)


def plain_network(width: int, depth: int, activation: Activation) -> nn.Sequential:
    """Returns a fully connected network with as many inputs and outputs as units in a layer.

    Args:
        width: N.
        depth: the number of linear layers; the activation stands between them.
        activation: a name or an elementwise function.

    Raises:
        InputError: a width below 1, a depth below 2, or an unknown activation.
    """
    if width < 1 or depth < 2:
        raise InputError(f"width {width} and depth {depth}: expected a width from 1 and a depth from 2")
    layers: list[nn.Module] = []
    for layer in range(depth):
        # The values are drawn by initialise_, and not here from the global generator.
        linear = torch.nn.utils.skip_init(nn.Linear, width, width)
        layers += [linear, Elementwise(activation)] if layer < depth - 1 else [linear]
    return nn.Sequential(*layers)


def fan_in(module: nn.Module) -> int | None:
    """Returns how many inputs a unit of a linear or convolutional layer sums; None for other modules."""
    if not isinstance(module, _LAYERS):
        return None
    return math.prod(module.weight.shape[1:])


@torch.no_grad()
def initialise_(
    model: nn.Module,
    scheme: str | tuple[float, float],
    *,
    activation: Activation | None = None,
    seed: int = 0,
) -> nn.Module:
    """Draws the weights and biases of all linear and convolutional layers anew, in place.

    Args:
        model: the network; other parameters stay as they are.
        scheme: ``he``, ``xavier``, ``orthogonal``, ``critical``, or (σ_w², σ_b²) for Gaussian ones.
        activation: between the layers; ``orthogonal`` and ``critical`` need it.
        seed: of the draws, which leave torch's global generator alone.

    Returns:
        The model.

    Raises:
        InputError: an unknown scheme, a missing activation, variances out of range, a parametrised layer, or a model
            without such layers.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, _LAYERS)}
    if not layers:
        raise InputError(f"{type(model).__name__} has no linear or convolutional layer to initialise")
    for name, module in layers.items():
        if is_parametrized(module):
            raise InputError(f"layer {name!r} is parametrised: initialise it before, its weights cannot be set")
    if isinstance(scheme, str):
        if scheme not in SCHEMES:
            raise InputError(f"scheme {scheme!r} is unknown: {nearest(scheme, SCHEMES)}")
        weight_variance, bias_variance = 2.0 if scheme == "he" else 1.0, 0.0
        if scheme in ("orthogonal", "critical"):
            if activation is None:
                raise InputError(f"scheme {scheme!r} needs the activation between the layers, as activation='tanh'")
            weight_variance, bias_variance = critical_point(activation)
    else:
        weight_variance, bias_variance = scheme
        if not (0 < weight_variance < math.inf and 0 <= bias_variance < math.inf):
            raise InputError(f"scheme {scheme}: expected σ_w² > 0 and σ_b² ≥ 0")
    # Drawn on the CPU: the same seed means the same weights on every device.
    generator = torch.Generator().manual_seed(seed)
    for module in layers.values():
        weight, inputs = module.weight, math.prod(module.weight.shape[1:])
        if scheme == "orthogonal":
            # A wide layer keeps σ_w² as the mean square of a row, as a Gaussian one does.
            gain = math.sqrt(weight_variance * max(1.0, weight.shape[0] / inputs))
            drawn = nn.init.orthogonal_(torch.empty(weight.shape), gain, generator)
        else:
            outputs = inputs // weight.shape[1] * weight.shape[0]
            variance = 2 / (inputs + outputs) if scheme == "xavier" else weight_variance / inputs
            drawn = torch.randn(weight.shape, generator=generator) * math.sqrt(variance)
        weight.copy_(drawn)
        if module.bias is not None:
            # Drawn also for σ_b² = 0, so that the weights of a seed do not depend on it.
            module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * math.sqrt(bias_variance))
    return model
