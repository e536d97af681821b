"""Random numbers of attacks: the same from a generator for inputs of any floating type."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["normal", "uniform"]


def normal(shape: Sequence[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Returns standard normal numbers.

    Args:
        shape: of the result.
        like: what has its type and device.
        generator: on any device; None: torch's own on the device of ``like``.
    """
    device = like.device if generator is None else generator.device
    return torch.randn(tuple(shape), generator=generator, device=device, dtype=torch.float32).to(like)


def uniform(shape: Sequence[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Returns numbers that are uniform in [0, 1).

    Args:
        shape: of the result.
        like: what has its type and device.
        generator: on any device; None: torch's own on the device of ``like``.
    """
    device = like.device if generator is None else generator.device
    return torch.rand(tuple(shape), generator=generator, device=device, dtype=torch.float32).to(like)
