"""The same network without gradient, a tile of bases at a time: what is between layers stays in the processor's cache.

Only the features of all bases and the states of one block are ever whole, about 4 (2C + 2E) bytes a base.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sciml_zoo.splicing.recurrence import recurrence_into

if TYPE_CHECKING:
    from sciml_zoo.splicing.model import SpliceRNN

__all__ = ["read_in_tiles"]

_TILE = 1024


def read_in_tiles(model: "SpliceRNN", inputs: Tensor) -> Tensor:
    """Gives what ``model.head`` gives after ``model.piece``.

    Args:
        model: float32 or float64, on the CPU.
        inputs: as for ``piece``, [L + stem − 1, 4 (+ 2)].

    Returns:
        Logits [L, 2 strands · 2 kinds].
    """
    length = inputs.shape[0] - model.config.stem + 1
    tiles = [slice(start, min(start + _TILE, length)) for start in range(0, length, _TILE)]
    features = inputs.new_empty(length, 2 * model.config.channels)
    for tile in tiles:
        around = inputs[tile.start : tile.stop + model.config.stem - 1]
        features[tile] = model._stem(around[None])[0]
    units = model.config.states
    states = inputs.new_empty(length, 2 * units)
    for block in model.layers():
        scale = torch.cat([block.scale, block.scale])
        # Of each strand first the gates, then the candidates.
        weights = block.inward.assembled(block.inward.weight).split(units)
        gate_bias, candidate_bias = block.inward.bias.split(units)
        for backwards in (False, True):
            half = slice(units, None) if backwards else slice(None, units)
            gate, candidate = weights[2:] if backwards else weights[:2]
            state = inputs.new_zeros(units)
            for tile in reversed(tiles) if backwards else tiles:
                normed = F.rms_norm(features[tile], features.shape[-1:], scale)
                update = F.linear(normed, gate, gate_bias).sigmoid_().mul_(1 - block.least).add_(block.least)
                proposed = F.silu(F.linear(normed, candidate, candidate_bias), inplace=True)
                recurrence_into(update, proposed, state, states[tile, half], backwards=backwards)
        weight, bias = block.outward.assembled(block.outward.weight), block.outward.doubled(block.outward.bias)
        for tile in tiles:
            features[tile] += F.linear(states[tile], weight, bias)
    scale = torch.cat([model.scale, model.scale])
    weight, bias = model.head.assembled(model.head.weight), model.head.doubled(model.head.bias)
    logits = [F.linear(F.rms_norm(features[tile], features.shape[-1:], scale), weight, bias) for tile in tiles]
    return torch.cat(logits)
