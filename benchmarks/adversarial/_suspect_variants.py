"""Variants of the suspects, as someone else might write them: how much of a defect is found, and what is left in peace.

Sizes of clipping are parts of the largest number in the gradient at the test digits. Of 17, 33 and 257 levels the
digits are on some already. Networks that are not trained, and logits scaled down, have tiny gradients; saturated ones
have a loss near 0.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.adversarial._suspects import (
    Altered,
    Attention,
    Before,
    Residual,
    Suspect,
    backward,
    clipped,
    convolutions,
    layers,
    noisy,
    quantised,
    straight_through,
    trained,
    wrong_label,
)
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.potential import LossPotential, cross_entropy

__all__ = ["BROKEN_VARIANTS", "HONEST_VARIANTS"]

Build = Callable[[], Suspect]

gelu = partial(trained, partial(convolutions, nn.GELU))
relu = partial(trained, partial(convolutions, nn.ReLU))


class Scaled(nn.Module):
    """A network with its logits multiplied.

    Args:
        model: the network.
        factor: of the logits.
    """

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits."""
        return self.factor * self.model(images)


def _largest(model: nn.Module) -> float:
    digits = load_images("sklearn:digits/test")
    gradient = LossPotential(model, digits.labels, dtype=torch.float64).value_and_gradient(digits.images)[1]
    return float(gradient.abs().max())


def _clipped(part: float) -> Suspect:
    model = relu()
    return Suspect(Before(partial(clipped, bound=part * _largest(model)), model))


def _clipped_norm(part: float) -> Suspect:
    model = gelu()
    bound = part * _largest(model)

    def shorter(inputs: Tensor, upstream: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(upstream.flatten(1), dim=1).view(-1, 1, 1, 1)
        return upstream * (bound / norm.clamp(min=bound))

    return Suspect(Before(backward(torch.clone, shorter), model))


def _upstream(change: Callable[[Tensor], Tensor], model: nn.Module) -> Suspect:
    return Suspect(Before(backward(torch.clone, lambda inputs, upstream: change(upstream)), model))


def _late(function: Callable[[Tensor], Tensor], build: Callable[[], nn.Module] = nn.ReLU) -> Suspect:
    """Returns a network whose last hidden activation is altered."""
    altered = partial(Altered, build(), function)
    return Suspect(
        trained(lambda: nn.Sequential(*layers(nn.GELU, 2)[:-1], nn.Linear(64, 64), altered(), nn.Linear(64, 10)))
    )


def _residual(activation: Callable[[], nn.Module], depth: int) -> Suspect:
    """Returns a deep residual network whose last branch is detached."""

    def build() -> nn.Module:
        last = nn.Sequential(Altered(nn.Identity(), torch.detach), nn.Linear(64, 64), activation())
        return nn.Sequential(*layers(activation, depth)[:-1], Residual(last), nn.Linear(64, 10))

    return Suspect(trained(build))


def _dropping(rate: float, layer: Callable[[float], nn.Module] = nn.Dropout) -> Suspect:
    return Suspect(trained(lambda: convolutions(nn.ReLU, None, lambda: layer(rate))).train())


def _other_label(outputs: Tensor, labels: Tensor | None) -> Tensor:
    assert labels is not None
    smooth = F.cross_entropy(outputs, labels, reduction="none", label_smoothing=0.05)
    return cross_entropy(outputs, labels).detach() + smooth - smooth.detach()


def _untrained(build: Callable[[], nn.Module]) -> nn.Module:
    return trained(build, epochs=0)


def _sure(inputs: Tensor) -> Tensor:
    """Returns logits whose gradient vanishes where the network is sure of its class."""
    return backward(torch.clone, lambda x, up: up * (x.softmax(1).amax(1, keepdim=True) < 0.9))(inputs)


BROKEN_VARIANTS: dict[str, Build] = {
    **{f"clipped at {part:g} of the largest": partial(_clipped, part) for part in (0.3, 0.1, 0.01, 0.001)},
    **{f"norm clipped at {part:g}": partial(_clipped_norm, part) for part in (0.3, 0.01)},
    **{f"noise {size:g}": lambda size=size: Suspect(Before(partial(noisy, size=size), relu())) for size in (1e-3, 0.1)},
    "noise in the gradient alone": lambda: _upstream(noisy, relu()),
    "noise on the logits": lambda: Suspect(nn.Sequential(relu(), Altered(noisy, noisy))),
    "dropout 0.1": partial(_dropping, 0.1),
    "dropout 0.5": partial(_dropping, 0.5),
    "dropout of channels": partial(_dropping, 0.2, nn.Dropout2d),
    **{
        f"{count} levels, {to.__name__}": lambda count=count, to=to: Suspect(
            Before(partial(quantised, levels=count, to=to), relu())
        )
        for count, to in ((4, torch.floor), (5, torch.round), (17, torch.floor), (17, torch.round), (33, torch.round))
    },
    **{
        f"{count} levels, straight through": lambda count=count: Suspect(
            Before(straight_through(partial(quantised, levels=count)), relu())
        )
        for count in (4, 17, 33, 257)
    },
    "sign, straight through": lambda: _late(straight_through(torch.sign), nn.Tanh),
    "rounded layer, straight through": lambda: _late(straight_through(torch.round)),
    "detached late, depth 4": lambda: _residual(nn.GELU, 4),
    "detached late, depth 12": lambda: _residual(nn.GELU, 12),
    "detached late, ReLU, depth 16": lambda: _residual(nn.ReLU, 16),
    "detached temperature": lambda: Suspect(Before(lambda x: x / x.detach().std((1, 2, 3), keepdim=True), relu())),
    "masked ReLU": lambda: _late(backward(torch.relu, lambda x, up: up * ((x > 0) & (x < 2)))),
    "guided ReLU": lambda: _late(backward(torch.relu, lambda x, up: up.clamp(min=0) * (x > 0))),
    "leaky gradient of a ReLU": lambda: _late(backward(torch.relu, lambda x, up: torch.where(x > 0, up, 0.1 * up))),
    "surrogate of a step": lambda: _late(backward(lambda x: (x > 0).to(x), lambda x, up: up / (1 + x**2)), nn.Sigmoid),
    "no gradient where sure": lambda: Suspect(nn.Sequential(gelu(), Altered(_sure, _sure))),
    "logits' gradient rolled": lambda: Suspect(
        nn.Sequential(relu(), Altered(torch.clone, torch.clone)),
        lambda outputs, labels: cross_entropy(backward(torch.clone, lambda x, up: up.roll(1, 1))(outputs), labels),
    ),
    "label 5 on": lambda: Suspect(relu(), partial(wrong_label, shift=5)),
    "smoothed label": lambda: Suspect(gelu(), _other_label),
    "gradient × 1.01": lambda: _upstream(lambda gradient: 1.01 * gradient, gelu()),
    "gradient × 1.05, ReLU": lambda: _upstream(lambda gradient: 1.05 * gradient, relu()),
    "gradient × -1": lambda: _upstream(torch.neg, relu()),
    "sign of the gradient": lambda: _upstream(torch.sign, gelu()),
    "untrained, straight-through": lambda: Suspect(
        Before(straight_through(quantised), Scaled(_untrained(lambda: layers(nn.Tanh, 6)), 1e-4))
    ),
    "tiny logits, clipped": lambda: _upstream(lambda up: up.clamp(-1e-10, 1e-10), Scaled(gelu(), 1e-7)),
    "saturated, straight-through": lambda: Suspect(Before(straight_through(quantised), Scaled(relu(), 20.0))),
    "wide 4096, straight-through": lambda: Suspect(
        Before(straight_through(quantised), trained(lambda: layers(nn.ReLU, 1, 4096)))
    ),
    "no gradient": lambda: Suspect(Before(torch.detach, relu())),
    "own loss, no label, clipped": lambda: Suspect(
        Before(clipped, gelu()), lambda outputs, labels: -outputs.logsumexp(1), False
    ),
}

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "leaky ReLU": nn.LeakyReLU,
    "ReLU6": nn.ReLU6,
    "hardtanh": nn.Hardtanh,
    "ELU": nn.ELU,
    "ELU, α = 2": lambda: nn.ELU(2.0),
    "SELU": nn.SELU,
    "hard swish": nn.Hardswish,
    "PReLU": nn.PReLU,
    "soft shrinkage": lambda: nn.Softshrink(0.05),
    "SiLU": nn.SiLU,
}


class _Maxout(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.unflatten(1, (-1, 2)).amax(2)


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.read = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.read(self.inner(images.squeeze(1))[0][:, -1])


class _Single(nn.Module):
    """Computes in float32, whatever it is given."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.models = [model.float()]

    def forward(self, images: Tensor) -> Tensor:
        return self.models[0](images.float()).to(images.dtype)


class _Enlarged(nn.Module):
    """Three colours of 32 × 32, made of the digit."""

    def __init__(self) -> None:
        super().__init__()
        self.grow = nn.ConvTranspose2d(1, 3, 4, stride=4)
        self.inner = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(1024, 10),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(self.grow(images))


HONEST_VARIANTS: dict[str, Build] = {
    **{name: lambda layer=layer: Suspect(trained(lambda: convolutions(layer))) for name, layer in _ACTIVATIONS.items()},
    **{f"ReLU, depth {n}": lambda n=n: Suspect(trained(lambda: layers(nn.ReLU, n), epochs=12)) for n in (4, 8, 12, 20)},
    "sigmoid": lambda: Suspect(trained(lambda: layers(nn.Sigmoid, 1), epochs=12)),
    "tanh, depth 20": lambda: Suspect(trained(lambda: layers(nn.Tanh, 20))),
    "wide 4096, two layers, GELU": lambda: Suspect(trained(lambda: layers(nn.GELU, 1, 4096))),
    "maxout": lambda: Suspect(
        trained(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 128), _Maxout(), nn.Linear(64, 10)))
    ),
    "average pools": lambda: Suspect(trained(lambda: convolutions(nn.ReLU, lambda: nn.AvgPool2d(2)))),
    "adaptive max pools": lambda: Suspect(trained(lambda: convolutions(nn.GELU, lambda: nn.AdaptiveMaxPool2d(4)))),
    "BatchNorm, training, GELU": lambda: Suspect(
        trained(lambda: convolutions(nn.GELU, None, nn.LazyBatchNorm2d)).train()
    ),
    "BatchNorm, training, ReLU": lambda: Suspect(
        trained(lambda: convolutions(nn.ReLU, None, nn.LazyBatchNorm2d)).train()
    ),
    "dropout off": lambda: Suspect(trained(lambda: convolutions(nn.ReLU, None, lambda: nn.Dropout(0.5)))),
    "attention, ReLU, 3 layers": lambda: Suspect(trained(lambda: Attention("relu", 3))),
    "recurrent": lambda: Suspect(trained(_Recurrent, epochs=12)),
    "images of 3 × 32 × 32": lambda: Suspect(trained(_Enlarged, epochs=1)),
    "float32 inside, GELU": lambda: Suspect(_Single(gelu())),
    "float32 inside, ReLU": lambda: Suspect(_Single(relu())),
    "double": lambda: Suspect(relu().double(), dtype=torch.float64),
    "untrained": lambda: Suspect(_untrained(lambda: layers(nn.ReLU, 6))),
    "tiny logits": lambda: Suspect(Scaled(relu(), 1e-7)),
    "saturated, GELU": lambda: Suspect(Scaled(gelu(), 20.0)),
    "saturated, ReLU": lambda: Suspect(Scaled(relu(), 20.0)),
    "far saturated, ReLU": lambda: Suspect(Scaled(relu(), 1000.0)),
    "mean over the batch": lambda: Suspect(relu(), nn.CrossEntropyLoss()),
    "own loss, no label": lambda: Suspect(relu(), lambda outputs, labels: -outputs.logsumexp(1), False),
    "energy": lambda: Suspect(lambda images: (images.flatten(1) ** 4).sum(1), None, False),
}
