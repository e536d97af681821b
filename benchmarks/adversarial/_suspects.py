"""Classifiers of digits whose gradient is that of their loss, and others whose gradient is not: what the audit judges.

All are trained with their true gradient first, which takes seconds; a broken one is then altered, as a defence would
alter it. :data:`BROKEN` and :data:`HONEST` are the eight and eight of ``detector.py``.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.potential import Loss, cross_entropy

__all__ = [
    "BROKEN",
    "HONEST",
    "Altered",
    "Attention",
    "Before",
    "Suspect",
    "backward",
    "clipped",
    "convolutions",
    "layers",
    "masked",
    "noisy",
    "quantised",
    "straight_through",
    "trained",
    "wrong_label",
]

Change = Callable[[Tensor], Tensor]
EPOCHS, BATCH, RATE = 4, 60, 2e-3


class Suspect(NamedTuple):
    """What the audit is handed.

    Attributes:
        model: a classifier of images [n, 1, 8, 8].
        loss: outputs and labels to values, or None: the outputs are the values.
        labelled: whether the audit is told the labels.
        dtype: of the images that the model reads.
    """

    model: Callable[[Tensor], Tensor]
    loss: Loss | None = cross_entropy
    labelled: bool = True
    dtype: torch.dtype = torch.float32


class Before(nn.Module):
    """A network with something done to its input.

    Args:
        change: what is done.
        model: the network.
    """

    def __init__(self, change: Change, model: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change, self.model = change, model

    def forward(self, images: Tensor) -> Tensor:
        """Returns the model's outputs."""
        return self.model(self.change(images))


class Altered(nn.Module):
    """A layer that is honest while it learns; :meth:`alter` puts another in its place.

    Args:
        honest: the layer.
        broken: the other, without parameters.
    """

    def __init__(self, honest: Change, broken: Change) -> None:
        super().__init__()
        self.honest, self.broken, self.altered = honest, broken, False

    def alter(self) -> None:
        """Puts the other layer in its place."""
        self.altered = True

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns the layer's outputs."""
        return (self.broken if self.altered else self.honest)(inputs)


class Residual(nn.Module):
    """x + f(x).

    Args:
        branch: f.
    """

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns the sum."""
        return inputs + self.branch(inputs)


class Attention(nn.Module):
    """A transformer over the eight rows of an image.

    Args:
        activation: ``gelu`` or ``relu``.
        depth: layers.
    """

    def __init__(self, activation: str = "gelu", depth: int = 1) -> None:
        super().__init__()
        self.embed, self.read = nn.Linear(8, 32), nn.Linear(32, 10)
        self.place = nn.Parameter(0.1 * torch.randn(8, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, activation=activation, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits."""
        return self.read(self.layers(self.embed(images.squeeze(1)) + self.place).mean(1))


class _Backward(torch.autograd.Function):
    """A function with the gradient that it is told."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, function: Change, gradient: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.gradient = gradient
        return function(inputs)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        (inputs,) = ctx.saved_tensors
        return ctx.gradient(inputs, upstream[0]), None, None


def backward(function: Change, gradient: Callable[[Tensor, Tensor], Tensor]) -> Change:
    """Returns a function with another gradient.

    Args:
        function: of inputs.
        gradient: of inputs, and of the loss by the outputs, to that by the inputs.
    """
    return lambda inputs: _Backward.apply(inputs, function, gradient)


def masked(inputs: Tensor, upstream: Tensor) -> Tensor:
    """Returns the gradient of a sigmoid, but none where its input is beyond ±1."""
    value = torch.sigmoid(inputs)
    return upstream * value * (1 - value) * (inputs.abs() < 1)


def quantised(inputs: Tensor, levels: int = 8, to: Change = torch.round) -> Tensor:
    """Returns numbers of [0, 1] at equal levels, with the gradient that torch gives them, which is zero."""
    return to(inputs * (levels - 1)) / (levels - 1)


def straight_through(function: Change) -> Change:
    """Returns a function with the gradient of the identity."""
    return backward(function, lambda inputs, upstream: upstream)


def noisy(inputs: Tensor, size: float = 0.02) -> Tensor:
    """Returns inputs with noise drawn anew."""
    return inputs + size * torch.randn_like(inputs)


def clipped(inputs: Tensor, bound: float = 1e-2) -> Tensor:
    """Returns the inputs, whose gradient is clipped, number by number."""
    return backward(lambda x: x.clone(), lambda x, upstream: upstream.clamp(-bound, bound))(inputs)


def wrong_label(outputs: Tensor, labels: Tensor | None, shift: int = 1) -> Tensor:
    """Returns the cross-entropy, with the gradient of that of another label."""
    assert labels is not None
    right, wrong = cross_entropy(outputs, labels), cross_entropy(outputs, (labels + shift) % 10)
    return right.detach() + wrong - wrong.detach()


def layers(activation: Callable[[], nn.Module], depth: int = 2, width: int = 64, classes: int = 10) -> nn.Sequential:
    """Returns a network of linear layers, with residual branches where it is deep."""
    inner = [nn.Sequential(nn.Linear(width, width), activation()) for _ in range(depth - 1)]
    blocks = [Residual(block) for block in inner] if depth > 8 else inner
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(width), activation(), *blocks, nn.Linear(width, classes))


def convolutions(
    activation: Callable[[], nn.Module], shrink: Callable[[], nn.Module] | None = None, *more: Callable[[], nn.Module]
) -> nn.Sequential:
    """Returns a small convolutional network.

    Args:
        activation: after each convolution.
        shrink: makes images half as large; None: a stride.
        *more: layers before each activation.
    """
    first = [nn.Conv2d(1, 12, 3, padding=1), *(layer() for layer in more), activation()]
    small = [shrink()] if shrink else [nn.Conv2d(12, 12, 2, stride=2)]
    second = [nn.Conv2d(12, 16, 3, padding=1), *(layer() for layer in more), activation()]
    return nn.Sequential(*first, *small, *second, nn.Flatten(), nn.LazyLinear(10))


def trained(build: Callable[[], nn.Module], *, epochs: int = EPOCHS, rate: float = RATE, seed: int = 0) -> nn.Module:
    """Returns a classifier of digits, in evaluation mode; layers that are to be altered have been.

    Args:
        build: makes the network.
        epochs: over the 1200 training digits.
        rate: of learning.
        seed: of weights and order.
    """
    digits = load_images("sklearn:digits/train")
    assert digits.labels is not None
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build()
        model(digits.images[:2])
        optimizer = torch.optim.Adam(model.parameters(), rate)
        for _ in range(epochs):
            for rows in torch.randperm(len(digits.images)).split(BATCH):
                optimizer.zero_grad()
                F.cross_entropy(model(digits.images[rows]), digits.labels[rows]).backward()
                optimizer.step()
    for layer in model.modules():
        if isinstance(layer, Altered):
            layer.alter()
    return model.eval()


def _detached(activation: Callable[[], nn.Module]) -> nn.Module:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.way = Altered(nn.Identity(), lambda x: x.detach())
            self.inner = nn.Sequential(nn.Linear(64, 64), activation(), nn.Linear(64, 64))

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs + self.inner(self.way(inputs))

    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), activation(), Branch(), activation(), nn.Linear(64, 10))


def _dropped() -> Suspect:
    model = trained(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 10))
    )
    return Suspect(model.train())


def _masked() -> nn.Module:
    return Altered(torch.sigmoid, backward(torch.sigmoid, masked))


gelu = partial(trained, partial(convolutions, nn.GELU))

#: By name, what makes each suspect.
BROKEN: dict[str, Callable[[], Suspect]] = {
    "masked sigmoid": lambda: Suspect(trained(lambda: layers(_masked, 1), epochs=12)),
    "8-level quantisation": lambda: Suspect(Before(quantised, gelu())),
    "straight-through": lambda: Suspect(Before(straight_through(quantised), gelu())),
    "dropout on": _dropped,
    "additive noise": lambda: Suspect(Before(noisy, gelu())),
    "detached branch": lambda: Suspect(trained(lambda: _detached(nn.GELU))),
    "clipped gradient": lambda: Suspect(Before(clipped, gelu())),
    "wrong label": lambda: Suspect(gelu(), wrong_label),
}
HONEST: dict[str, Callable[[], Suspect]] = {
    "depth": lambda: Suspect(trained(lambda: layers(nn.ReLU, 16))),
    "width": lambda: Suspect(trained(lambda: layers(nn.ReLU, 1, 4096))),
    "BatchNorm": lambda: Suspect(trained(lambda: convolutions(nn.ReLU, None, lambda: nn.LazyBatchNorm2d()))),
    "attention": lambda: Suspect(trained(Attention, epochs=8)),
    "GELU": lambda: Suspect(gelu()),
    "ReLU": lambda: Suspect(trained(lambda: convolutions(nn.ReLU, partial(nn.MaxPool2d, 2)))),
    "tanh": lambda: Suspect(trained(lambda: layers(nn.Tanh))),
    "softplus": lambda: Suspect(trained(lambda: layers(nn.Softplus))),
}
