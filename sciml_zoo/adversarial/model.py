"""A small convolutional classifier of square grey images, smooth or piecewise linear by its activation.

======================================  =====================================================
h = a(conv₃ₓ₃(x))                       features of the image, [channels, s, s]
h ← a(conv₃ₓ₃(h)), stride 2, twice      [2 channels, s/4, s/4]
logits = W₂ a(W₁ h + b₁) + b₂           [n_classes]
======================================  =====================================================

Strides take the place of max pooling, and no layer normalises over a batch: with ``gelu``, ``silu`` or ``tanh`` the
loss has all derivatives by the image, with ``relu`` it has kinks where units switch and nowhere else, and the images of
a batch do not act on each other.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.zoo.registry import register_model

__all__ = ["ACTIVATIONS", "DigitsCNN", "DigitsCNNConfig"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}
# Two strides of 2 leave s/4 pixels a side.
_REDUCTION = 4


@dataclass(frozen=True)
class DigitsCNNConfig:
    """Shape of a :class:`DigitsCNN`.

    Attributes:
        activation: ``gelu``, ``relu``, ``silu`` or ``tanh``.
        channels: of the first convolution; the later ones have twice as many.
        hidden: units of the layer before the logits.
        n_classes: classes.
        size: pixels on a side of the image, a multiple of 4.
    """

    activation: str = "gelu"
    channels: int = 16
    hidden: int = 64
    n_classes: int = 10
    size: int = 8

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise InputError(f"activation: {self.activation!r} is unknown; {nearest(self.activation, ACTIVATIONS)}")
        for key in ("channels", "hidden"):
            if getattr(self, key) < 1:
                raise InputError(f"{key}: {getattr(self, key)} is not at least 1")
        if self.n_classes < 2:
            raise InputError(f"n_classes: {self.n_classes} is not at least 2")
        if self.size < _REDUCTION or self.size % _REDUCTION:
            raise InputError(f"size: {self.size} is not a positive multiple of {_REDUCTION}")


@register_model("digits_cnn", config=DigitsCNNConfig, domain="adversarial")
class DigitsCNN(nn.Module):
    """Classifies square grey images.

    Args:
        config: its shape.
    """

    def __init__(self, config: DigitsCNNConfig) -> None:
        super().__init__()
        self.config = config
        activation, wide = ACTIVATIONS[config.activation], 2 * config.channels
        self.layers = nn.Sequential(
            nn.Conv2d(1, config.channels, 3, padding=1),
            activation(),
            nn.Conv2d(config.channels, wide, 3, stride=2, padding=1),
            activation(),
            nn.Conv2d(wide, wide, 3, stride=2, padding=1),
            activation(),
            nn.Flatten(),
            nn.Linear(wide * (config.size // _REDUCTION) ** 2, config.hidden),
            activation(),
            nn.Linear(config.hidden, config.n_classes),
        )

    def example_inputs(self) -> dict[str, Tensor]:
        """Returns four images of smooth waves, [4, 1, size, size]."""
        size = self.config.size
        grid = torch.linspace(0, 3, size).to(next(self.parameters()))
        waves = [0.5 + 0.5 * torch.sin(k * grid[:, None] + grid[None] ** 2) for k in range(4)]
        return {"images": torch.stack(waves)[:, None]}

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits, [n, n_classes].

        Args:
            images: grey values, 0 … 1, [n, 1, size, size].

        Raises:
            InputError: another shape.
        """
        size = self.config.size
        if images.dim() != 4 or images.shape[1:] != (1, size, size):
            raise InputError(f"images of shape {list(images.shape)}; this classifier reads [n, 1, {size}, {size}]")
        return self.layers(images)
