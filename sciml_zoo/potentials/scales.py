"""Unit variance at the start of training, by scales that are measured once and then belong to the weights."""

import torch
from torch import Tensor, nn

__all__ = ["UnitRms"]

# A block this much smaller than the largest says nothing about the size that it will have on other structures.
_NEGLIGIBLE = 0.03


class UnitRms(nn.Module):
    """Root mean squares of the blocks of a result, by which its owner divides the weights that made it.

    Args:
        block: to which block every component of the result belongs [M].
    """

    rms: Tensor
    block: Tensor

    def __init__(self, block: Tensor) -> None:
        super().__init__()
        self.measuring = False
        self.register_buffer("block", block, persistent=False)
        self.register_buffer("rms", torch.ones(int(block.max()) + 1))

    def measure(self, result: Tensor) -> Tensor:
        """Returns a result [N, M, C] as it is; or measures it, and returns it with unit root mean squares.

        It measures only while :meth:`Potential.calibrate` asks for it, and expects a result made with scales of one.
        Scales stay one where all is zero, as for atoms without neighbours.
        """
        if not self.measuring:
            return result
        square = result.detach().square().mean(dim=(0, 2))
        sums = torch.zeros_like(self.rms).index_add(0, self.block, square)
        counts = torch.zeros_like(self.rms).index_add(0, self.block, torch.ones_like(square))
        rms = (sums / counts).sqrt()
        largest = rms.max()
        # A block that vanishes by symmetry, as in a perfect crystal, will not vanish in a distorted one.
        usual = largest.clamp(min=_NEGLIGIBLE) if largest > 0 else torch.ones_like(largest)
        self.rms.copy_(torch.where(rms <= _NEGLIGIBLE * largest, usual, rms))
        return result / self.rms[self.block][:, None]
