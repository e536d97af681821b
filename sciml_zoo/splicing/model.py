"""Networks that read DNA base by base and give the logits of being a donor or an acceptor, on either strand.

====================================================  ==================================================
s = stem(x)                                           both strands' features of a window, [L, 2C]
z, c = split(W_in · norm(s)),  z ← z₀ + (1 − z₀) σ(z)   gates and candidates, z₀ = 1/``memory``
h = gated_recurrence(z, silu(c))                      forwards for one half of the channels, backwards for the other
s ← s + W_out · h                                     after ``blocks`` of these:
logits = W_head · norm(s)                             [L, strand, kind]
====================================================  ==================================================

:class:`SpliceRNN` is equivariant under the reverse complement: the backward half of every layer is the forward half
applied to the other strand. One pass therefore reads both strands with one set of weights (tied as in Zhou et al.,
"Towards a better understanding of reverse-complement equivariance for deep learning models in genomics", 2022).
Because z ≥ z₀, nothing is remembered for much longer than ``memory`` bases, so that a window with a ``halo`` on either
side gives what the whole chromosome would give.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._tiles import read_in_tiles
from sciml_zoo.splicing.calibration import Calibration
from sciml_zoo.splicing.plasticity import connection
from sciml_zoo.splicing.recurrence import gated_recurrence
from sciml_zoo.zoo.registry import register_model

__all__ = ["KINDS", "PRIOR", "SpliceModel", "SpliceRNN", "SpliceRNNConfig", "States", "one_hot"]

#: The states of every block at both ends of a piece of sequence: [blocks] of [B, 2E].
States = list[Tensor]

#: Kinds of sites, and how often a candidate is one, about: where logits start.
KINDS, PRIOR = 2, 0.01
_STRUCTURES = 3
# z₀ = 1/memory forgets to exp(−16) ~ 1e-7 in this many memories; blocks pass on what the one before has left.
_HALO_MEMORIES = 12


def one_hot(codes: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Returns bases as vectors; an unknown base is zero.

    Args:
        codes: A, C, G, T as 0 … 3, anything else unknown, [B, L].
        dtype: of the result.

    Returns:
        [B, L, 4].
    """
    return (codes.unsqueeze(-1) == torch.arange(4, device=codes.device)).to(dtype)


class SpliceModel(nn.Module, ABC):
    """What all splice-site networks share: sites as [..., strand, kind], and calibrated probabilities.

    Attributes:
        calibration: from logits to probabilities.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calibration = Calibration()

    @property
    @abstractmethod
    def halo(self) -> int:
        """Bases on either side beyond which a sequence changes the logits of a base by less than about 1e-5."""

    @abstractmethod
    def from_one_hot(self, bases: Tensor, methylation: Tensor | None = None) -> Tensor:
        """Reads sequences given as vectors, which may be relaxed.

        Args:
            bases: [B, L, 4].
            methylation: of the two strands, [B, L, 2], for models that read it.

        Returns:
            Logits [B, L, 2, 2]: strand (+, −), kind (donor, acceptor).
        """

    def forward(self, codes: Tensor, methylation: Tensor | None = None) -> Tensor:
        """Reads sequences.

        Args:
            codes: A, C, G, T as 0 … 3, anything else unknown, [B, L].
            methylation: fraction methylated on the two strands, [B, L, 2]; for models with that input.

        Returns:
            Logits [B, L, 2, 2]: strand (+, −), kind (donor, acceptor). A donor is the first base of an intron, an
            acceptor the last, in the direction of transcription.
        """
        return self.from_one_hot(one_hot(codes, self.dtype), methylation)

    def segments(
        self, codes: Tensor, segment: int, methylation: Tensor | None = None
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Reads sequences piece by piece, for truncated backpropagation through time.

        The states that enter a piece are detached: those from the left as the piece before has left them, those from
        the right as a pass without gradient over the whole sequence gave them.

        Args:
            codes: [B, L].
            segment: bases of a piece, but for the last; with L or more there is one piece, and no truncation.
            methylation: as for :meth:`forward`.

        Yields:
            The first base of a piece, its logits [B, ≤ segment, 2, 2], and those of the structure of genes
            [B, ≤ segment, 2, 3], if the model predicts that.

        Raises:
            InputError: this architecture has no states to carry.
        """
        if segment < codes.shape[1]:
            raise InputError(f"segment: {type(self).__name__} has no states to carry; leave segment out")
        yield 0, self(codes, methylation), None

    def calibrated(self, logits: Tensor) -> Tensor:
        """Turns logits into probabilities of being a site.

        Args:
            logits: [..., 2, 2].

        Returns:
            Probabilities, float64 of the same shape; their order is that of the logits of a kind.
        """
        return self.calibration(logits)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return next(self.parameters()).dtype

    def example_inputs(self) -> dict[str, Tensor]:
        """Returns two random sequences with some unknown bases."""
        generator = torch.Generator().manual_seed(0)
        codes = torch.randint(0, 4, (2, 400), generator=generator)
        codes[0, 100:110] = 4
        return {"codes": codes}


@dataclass(frozen=True)
class SpliceRNNConfig:
    """Shape of a :class:`SpliceRNN`.

    Attributes:
        channels: features of a base on each strand.
        states: units of each recurrence in each direction.
        blocks: recurrences on top of each other.
        stem: bases that the first layer sees at once; odd.
        memory: the longest time constant of a state, in bases.
        dropout: chance that a block's contribution to a feature is left out in training.
        methylation: whether the methylation of both strands is an input.
    """

    channels: int = 48
    states: int = 60
    blocks: int = 3
    stem: int = 21
    memory: int = 256
    dropout: float = 0.0
    methylation: bool = False

    def __post_init__(self) -> None:
        for name in ("channels", "states", "blocks", "stem"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not at least 1")
        if self.stem % 2 == 0:
            raise InputError(f"stem: {self.stem} is not odd")
        if self.memory < 2:
            raise InputError(f"memory: {self.memory} is not at least 2")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout: {self.dropout} is not in [0, 1)")


class _Strands(nn.Module):
    """A linear map between features of both strands that commutes with exchanging the strands.

    With the halves of the input (own, other), each half of the output is ``own``·own half + ``other``·other half: the
    full matrix is [[own, other], [other, own]].
    """

    def __init__(self, n_in: int, n_out: int, *, bias: Tensor | None = None, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, 2 * n_in) * scale / math.sqrt(2 * n_in))
        self.bias = nn.Parameter(torch.zeros(n_out) if bias is None else bias)

    @staticmethod
    def assembled(weight: Tensor) -> Tensor:
        """Returns the full matrix [2 n_out, 2 n_in] of the weights [n_out, 2 n_in]."""
        own, other = weight.chunk(2, 1)
        return torch.cat([weight, torch.cat([other, own], 1)])

    @staticmethod
    def doubled(bias: Tensor) -> Tensor:
        """Returns the full bias."""
        return torch.cat([bias, bias])

    def forward(self, x: Tensor) -> Tensor:
        """Returns the image [..., 2 n_out] of [..., 2 n_in]."""
        return connection(
            x,
            self.assembled(self.weight),
            self.doubled(self.bias),
            owner=self.weight,
            assemble=self.assembled,
            bias_owner=self.bias,
            assemble_bias=self.doubled,
        )


class _Block(nn.Module):
    def __init__(self, config: SpliceRNNConfig) -> None:
        super().__init__()
        self.least = 1 / config.memory
        self.dropout = config.dropout
        self.scale = nn.Parameter(torch.ones(config.channels))
        # Time constants spread evenly on a logarithmic scale.
        rates = torch.exp(-torch.rand(config.states) * math.log(config.memory / 2)) / 2
        rates = ((rates - self.least) / (1 - self.least)).clamp(1e-3, 1 - 1e-3)
        self.inward = _Strands(config.channels, 2 * config.states, bias=torch.cat([rates.logit(), 0 * rates]))
        self.outward = _Strands(config.states, config.channels, scale=0.5)

    def forward(self, features: Tensor, initial: Tensor | None) -> tuple[Tensor, Tensor]:
        normed = F.rms_norm(features, features.shape[-1:]) * torch.cat([self.scale, self.scale])
        gates = self.inward(normed)
        # [z, c] of one strand, then of the other → [z of both], [c of both]
        gates = gates.unflatten(-1, (2, 2, -1))
        update = self.least + (1 - self.least) * gates[..., 0, :].flatten(-2).sigmoid()
        candidate = F.silu(gates[..., 1, :].flatten(-2))
        if initial is None:
            initial = update.new_zeros(update.shape[0], update.shape[2])
        states = gated_recurrence(update, candidate, initial)
        return features + F.dropout(self.outward(states), self.dropout, self.training), states


@register_model("splice_rnn", config=SpliceRNNConfig, domain="splicing", golden_tolerance=(1e-4, 1e-4))
class SpliceRNN(SpliceModel):
    """Bidirectional gated linear recurrences on both strands at once, equivariant under the reverse complement.

    Args:
        config: the shape.
    """

    def __init__(self, config: SpliceRNNConfig) -> None:
        super().__init__()
        self.config = config
        n_inputs = 4 + 2 * config.methylation
        self.stem = nn.Parameter(torch.randn(config.channels, n_inputs, config.stem) / math.sqrt(config.stem))
        self.stem_bias = nn.Parameter(torch.zeros(config.channels))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
        self.scale = nn.Parameter(torch.ones(config.channels))
        self.head = _Strands(config.channels, KINDS, bias=torch.full((KINDS,), math.log(PRIOR)), scale=0.1)
        self.structure_head = _Strands(config.channels, _STRUCTURES, scale=0.1)

    def layers(self) -> list["_Block"]:
        """Returns the recurrences, from below."""
        return [block for block in self.blocks if isinstance(block, _Block)]

    @property
    def halo(self) -> int:
        """Bases on either side beyond which a sequence changes the logits of a base by less than about 1e-5."""
        return self.config.stem // 2 + self.config.memory * (_HALO_MEMORIES + 2 * self.config.blocks)

    def from_one_hot(self, bases: Tensor, methylation: Tensor | None = None) -> Tensor:
        """Reads sequences given as vectors.

        Args:
            bases: [B, L, 4].
            methylation: of the two strands, [B, L, 2], if the model reads it.

        Returns:
            Logits [B, L, 2, 2].

        Raises:
            InputError: methylation is missing, or not an input of this model.
        """
        half = self.config.stem // 2
        padded = F.pad(self._inputs(bases, methylation), (0, 0, half, half))
        if torch.is_grad_enabled() or padded.device.type != "cpu":
            return self._sites(self.piece(padded, None)[0])
        return torch.stack([read_in_tiles(self, sequence) for sequence in padded]).unflatten(-1, (2, KINDS))

    def structure(self, codes: Tensor, methylation: Tensor | None = None) -> Tensor:
        """Predicts what a base is part of; learned beside the sites, which are what the model is for.

        Args:
            codes: [B, L].
            methylation: as for :meth:`forward`.

        Returns:
            Logits [B, L, 2, 3]: strand (+, −); outside of genes, exon, intron.
        """
        half = self.config.stem // 2
        padded = F.pad(self._inputs(one_hot(codes, self.dtype), methylation), (0, 0, half, half))
        return self._structure(self.piece(padded, None)[0])

    def piece(self, inputs: Tensor, initial: States | None) -> tuple[Tensor, States]:
        """Reads a piece of a longer sequence.

        Args:
            inputs: vectors of the piece with stem // 2 more bases on either side, [B, L + stem − 1, 4 (+ 2)].
            initial: for each block [B, 2E], the state that comes from the left (first half of the units) and from the
                right (second half); None: zero, as at the ends of a sequence.

        Returns:
            Features [B, L, 2C] for the heads, and the states of each block, [B, L, 2E].
        """
        features = self._stem(inputs)
        states = []
        for index, block in enumerate(self.blocks):
            features, state = block(features, None if initial is None else initial[index])
            states.append(state)
        return F.rms_norm(features, features.shape[-1:]) * torch.cat([self.scale, self.scale]), states

    def _sites(self, features: Tensor) -> Tensor:
        return self.head(features).unflatten(-1, (2, KINDS))

    def _structure(self, features: Tensor) -> Tensor:
        return self.structure_head(features).unflatten(-1, (2, _STRUCTURES))

    def segments(
        self, codes: Tensor, segment: int, methylation: Tensor | None = None
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Reads sequences piece by piece; see :meth:`SpliceModel.segments`.

        Args:
            codes: [B, L].
            segment: bases of a piece, but for the last.
            methylation: [B, L, 2], if the model reads it.

        Yields:
            The first base of a piece, its logits [B, ≤ segment, 2, 2], and those of the structure of genes
            [B, ≤ segment, 2, 3], if the model predicts that.
        """
        length, half, units = codes.shape[1], self.config.stem // 2, self.config.states
        inputs = F.pad(self._inputs(one_hot(codes, self.dtype), methylation), (0, 0, half, half))
        if segment >= length:
            features, _ = self.piece(inputs, None)
            yield 0, self._sites(features), self._structure(features)
            return
        with torch.no_grad():
            whole = self.piece(inputs, None)[1]
        ends = range(segment, length, segment)
        nothing = torch.zeros_like(whole[0][:, 0, units:])
        from_right = {end: [states[:, end, units:].clone() for states in whole] for end in ends}
        del whole
        from_left = [nothing] * len(self.blocks)
        for start in range(0, length, segment):
            end = min(start + segment, length)
            right = from_right.get(end, [nothing] * len(self.blocks))
            initial = [torch.cat(pair, 1) for pair in zip(from_left, right, strict=True)]
            features, states = self.piece(inputs[:, start : end + 2 * half], initial)
            from_left = [state[:, -1, :units].detach() for state in states]
            yield start, self._sites(features), self._structure(features)

    def example_inputs(self) -> dict[str, Tensor]:
        """Returns two random sequences with some unknown bases, and methylation if the model reads it."""
        inputs = super().example_inputs()
        if self.config.methylation:
            generator = torch.Generator().manual_seed(1)
            inputs["methylation"] = torch.rand(*inputs["codes"].shape, 2, generator=generator)
        return inputs

    def _inputs(self, bases: Tensor, methylation: Tensor | None) -> Tensor:
        if (methylation is not None) != self.config.methylation:
            wanted = "needs methylation" if self.config.methylation else "does not read methylation"
            raise InputError(f"this model {wanted} (its config says methylation: {self.config.methylation})")
        return bases if methylation is None else torch.cat([bases, methylation.to(bases)], -1)

    def _stem(self, inputs: Tensor) -> Tensor:
        """Returns both strands' features: the reverse complement of the filters reads the other."""
        other = self.stem.flip(2)
        other = torch.cat([other[:, :4].flip(1), other[:, 4:].flip(1)], 1)
        weight, bias = torch.cat([self.stem, other]), torch.cat([self.stem_bias, self.stem_bias])
        return F.conv1d(inputs.mT, weight, bias).mT.contiguous()
