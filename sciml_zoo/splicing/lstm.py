"""The classical recurrent network, for comparison: a bidirectional LSTM that reads each strand in turn."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.model import KINDS, PRIOR, SpliceModel, one_hot
from sciml_zoo.zoo.registry import register_model

__all__ = ["SpliceLSTM", "SpliceLSTMConfig"]

_HALO = 4096


@dataclass(frozen=True)
class SpliceLSTMConfig:
    """Shape of a :class:`SpliceLSTM`.

    Attributes:
        states: units in each direction.
    """

    states: int = 64

    def __post_init__(self) -> None:
        if self.states < 1:
            raise InputError(f"states: {self.states} is not at least 1")


@register_model("splice_lstm", config=SpliceLSTMConfig, domain="splicing", golden_tolerance=(1e-4, 1e-4))
class SpliceLSTM(SpliceModel):
    """The classical network: one bidirectional LSTM (Hochreiter & Schmidhuber 1997), which reads each strand in turn.

    Args:
        config: the shape.
    """

    def __init__(self, config: SpliceLSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.lstm = nn.LSTM(4, config.states, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * config.states, KINDS)
        with torch.no_grad():
            self.head.bias.fill_(math.log(PRIOR))
            for name, bias in self.lstm.named_parameters():
                if name.startswith("bias_hh"):
                    bias[config.states : 2 * config.states] = 1.0  # of the forget gate: remember at first

    @property
    def halo(self) -> int:
        """Bases on either side; what an LSTM remembers is not bounded, so this is measured, not guaranteed."""
        return _HALO

    def from_one_hot(self, bases: Tensor, methylation: Tensor | None = None) -> Tensor:
        """Reads sequences given as vectors.

        Args:
            bases: [B, L, 4].
            methylation: not an input of this model.

        Returns:
            Logits [B, L, 2, 2].

        Raises:
            InputError: methylation is given.
        """
        if methylation is not None:
            raise InputError("splice_lstm does not read methylation")
        return self._piece(bases, None)[0]

    def segments(
        self, codes: Tensor, segment: int, methylation: Tensor | None = None
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Reads sequences piece by piece; see :meth:`SpliceModel.segments`.

        Args:
            codes: [B, L].
            segment: bases of a piece, but for the last.
            methylation: not an input of this model.

        Yields:
            The first base of a piece, its logits [B, ≤ segment, 2, 2], and those of the structure of genes
            [B, ≤ segment, 2, 3], if the model predicts that.

        Raises:
            InputError: methylation is given.
        """
        if methylation is not None:
            raise InputError("splice_lstm does not read methylation")
        bases = one_hot(codes, self.dtype)
        batch, length = codes.shape
        nothing = bases.new_zeros(2, 2 * batch, self.config.states)
        starts = range(0, length, segment)
        # What comes from the right of each piece does not depend on what comes from the left.
        entering = {starts[-1]: (nothing, nothing)}
        with torch.no_grad():
            for start in reversed(starts[1:]):
                final = self._piece(bases[:, start : start + segment], entering[start])[1]
                entering[start - segment] = self._joined((nothing, nothing), final)
        for start in starts:
            logits, final = self._piece(bases[:, start : start + segment], entering[start])
            yield start, logits, None
            if start + segment < length:
                carried = (final[0].detach(), final[1].detach())
                entering[start + segment] = self._joined(carried, entering[start + segment])

    def _piece(self, bases: Tensor, initial: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        both = torch.cat([bases, bases.flip(1, 2)])  # the other strand, in its own direction
        hidden, final = self.lstm(both, initial)
        forward, backward = self.head(hidden).chunk(2)
        return torch.stack([forward, backward.flip(1)], 2), final

    @staticmethod
    def _joined(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns states of which those that run from left to right are of the first, the others of the second.

        States are [direction, strand × batch, units]; on the other strand the first direction runs from right to left.
        """
        joined = []
        for a, b in zip(left, right, strict=True):
            a, b = (x.unflatten(1, (2, -1)) for x in (a, b))
            rows = [torch.stack([a[0, 0], b[0, 1]]), torch.stack([b[1, 0], a[1, 1]])]
            joined.append(torch.stack(rows).flatten(1, 2))
        return joined[0], joined[1]
