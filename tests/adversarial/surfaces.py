"""Surfaces whose minima, paths and saddles are known."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from sciml_zoo.adversarial.potential import LossPotential


def of_energy(energy, labels=None) -> LossPotential:
    """A potential from a function of points [n, d]."""
    return LossPotential(energy, labels, loss=None, dtype=torch.float64)


def double_well(points: Tensor) -> Tensor:
    """Minima of 0 at x = ±1, a saddle of 1 at the origin; the path is the x axis."""
    x, rest = points[:, 0], points[:, 1:]
    return (x**2 - 1) ** 2 + (rest.square() * torch.arange(1, rest.shape[1] + 1)).sum(1) / 2


ARC_END = 1.2


def arc(points: Tensor) -> Tensor:
    """Minima of 0 on the unit circle, 1.2 rad to either side of (0, 1); there a saddle of 1; the path is the circle."""
    x, y = points.T
    radius, angle = (x**2 + y**2).sqrt(), torch.atan2(x, y)
    return (1 - (angle / ARC_END) ** 2) ** 2 + 5 * (radius - 1) ** 2


def on_arc(angle: float) -> Tensor:
    """The point of the unit circle at an angle from (0, 1), [1, 2]."""
    return tensor([[math.sin(angle), math.cos(angle)]])


# Müller & Brown, Theor. Chim. Acta 53, 75 (1979).
_A = torch.tensor([-200.0, -100.0, -170.0, 15.0], dtype=torch.float64)
_XX = torch.tensor([-1.0, -1.0, -6.5, 0.7], dtype=torch.float64)
_XY = torch.tensor([0.0, 0.0, 11.0, 0.6], dtype=torch.float64)
_YY = torch.tensor([-10.0, -10.0, -6.5, 0.7], dtype=torch.float64)
_X0 = torch.tensor([1.0, 0.0, -0.5, -1.0], dtype=torch.float64)
_Y0 = torch.tensor([0.0, 0.5, 1.5, 1.0], dtype=torch.float64)
MINIMA = ((-0.558224, 1.441726), (0.623499, 0.028038), (-0.050011, 0.466694))
MINIMUM_ENERGIES = (-146.700, -108.167, -80.768)
SADDLES = ((-0.822002, 0.624313), (0.212487, 0.292988))
SADDLE_ENERGIES = (-40.665, -72.249)


def muller_brown(points: Tensor) -> Tensor:
    x, y = points[:, :1] - _X0, points[:, 1:] - _Y0
    return (_A * torch.exp(_XX * x**2 + _XY * x * y + _YY * y**2)).sum(1)


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rotation(size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator))[0]


@cache
def pairs(count: int = 6) -> tuple[nn.Module, Tensor, Tensor, Tensor, Tensor]:
    """A small smooth network trained for seconds, images, labels, twins, and the way of the attack [nodes, n, ...]."""
    digits = load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    labels = torch.tensor(digits.target, dtype=torch.int64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, stride=2),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(128, 32),
            nn.GELU(),
            nn.Linear(32, 10),
        )
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        for _ in range(8):
            for batch in torch.randperm(1400).split(64):
                optimizer.zero_grad()
                F.cross_entropy(model(images[batch]), labels[batch]).backward()
                optimizer.step()
    model = model.double().eval().requires_grad_(False)
    clean, label = images[1400:1440].double(), labels[1400:1440]
    way = [clean]
    for _ in range(30):
        twin = way[-1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(twin), label, reduction="sum"), twin)
        way.append(way[-1] + 0.05 * F.normalize(gradient.flatten(1)).view_as(gradient))
    path = torch.stack(way)
    fooled = (model(clean).argmax(1) == label) & (model(path[-1]).argmax(1) != label)
    rows = fooled.nonzero()[:count, 0]
    assert len(rows) == count
    return model, clean[rows], label[rows], path[-1][rows], path[:, rows]
