"""The SpliceAI-80nt and -400nt architectures, for comparison: Jaganathan et al., Cell 176, 535 (2019), figure S1.

Residual blocks of (batch normalisation, ReLU, dilated convolution) twice, 32 channels, with a skip connection after
every four: four blocks of width 11 and dilation 1, and for -400nt four more of dilation 4. The output is a softmax over
(neither, acceptor, donor); it is given here as the log-odds of each kind, so that the common loss sees the same
probabilities. The network reads one strand; as a :class:`SpliceModel` it reads the other in a second pass.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.zoo.registry import register_model

_CHANNELS, _WIDTH, _GROUP = 32, 11, 4
_DILATIONS = {80: (1,), 400: (1, 4)}


@dataclass(frozen=True)
class SpliceAIConfig:
    """Shape of a :class:`SpliceAI`.

    Attributes:
        context: bases that the output depends on, 80 or 400.
    """

    context: int = 400

    def __post_init__(self) -> None:
        if self.context not in _DILATIONS:
            raise InputError(f"context: {self.context} is not one of {', '.join(map(str, _DILATIONS))}")


class _Residual(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            convolution = nn.Conv1d(_CHANNELS, _CHANNELS, _WIDTH, dilation=dilation, padding="same")
            layers += [nn.BatchNorm1d(_CHANNELS), nn.ReLU(), convolution]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


@register_model("spliceai", config=SpliceAIConfig, domain="splicing")
class SpliceAI(SpliceModel):
    """The dilated residual network.

    Args:
        config: its context.
    """

    def __init__(self, config: SpliceAIConfig) -> None:
        super().__init__()
        self.config = config
        dilations = _DILATIONS[config.context]
        self.first = nn.Conv1d(4, _CHANNELS, 1)
        self.groups = nn.ModuleList(nn.Sequential(*(_Residual(d) for _ in range(_GROUP))) for d in dilations)
        self.skips = nn.ModuleList(nn.Conv1d(_CHANNELS, _CHANNELS, 1) for _ in range(len(dilations) + 1))
        self.last = nn.Conv1d(_CHANNELS, 3, 1)

    @property
    def halo(self) -> int:
        """Bases on either side that an output depends on."""
        return self.config.context // 2

    def one_strand(self, bases: Tensor) -> Tensor:
        """Reads one strand.

        Args:
            bases: [B, L, 4].

        Returns:
            Log-odds of donor and acceptor, [B, L, 2].
        """
        x = self.first(bases.mT)
        total = self.skips[0](x)
        for group, skip in zip(self.groups, self.skips[1:], strict=True):
            x = group(x)
            total = total + skip(x)
        neither, donor, acceptor = self.last(total).unbind(1)
        odds = [donor - torch.logaddexp(neither, acceptor), acceptor - torch.logaddexp(neither, donor)]
        return torch.stack(odds, -1)

    def from_one_hot(self, bases: Tensor, methylation: Tensor | None = None) -> Tensor:
        """Reads both strands, one after the other.

        Args:
            bases: [B, L, 4].
            methylation: not an input of this model.

        Returns:
            Logits [B, L, 2, 2].

        Raises:
            InputError: methylation is given.
        """
        if methylation is not None:
            raise InputError("spliceai does not read methylation")
        forward, backward = self.one_strand(torch.cat([bases, bases.flip(1, 2)])).chunk(2)
        return torch.stack([forward, backward.flip(1)], 2)
