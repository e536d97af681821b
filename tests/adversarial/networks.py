"""Small untrained networks in float64, smooth and piecewise linear."""

import torch
from torch import Tensor, nn


def network(activation: type[nn.Module] = nn.GELU, *, pool: bool = False, seed: int = 0) -> nn.Sequential:
    """Two convolutions and two linear layers, on images [n, 1, 6, 6]."""
    torch.manual_seed(seed)
    shrink = [nn.MaxPool2d(2)] if pool else [nn.Conv2d(6, 6, 2, stride=2)]
    found = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        activation(),
        *shrink,
        nn.Flatten(),
        nn.Linear(54, 16),
        activation(),
        nn.Linear(16, 4),
    ).double()
    with torch.no_grad():
        for weights in found.parameters():
            weights.mul_(2)
    return found.eval()


def images(n: int = 5, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Images [n, 1, 6, 6] in float64, and labels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, 6, 6, generator=generator, dtype=torch.float64), torch.arange(n) % 4
