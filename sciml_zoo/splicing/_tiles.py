"""The same network without gradient, a tile of bases at a time: what is between layers stays in the processor's cache.

Whole are only the features of all bases and, of one block, its states and the gates and candidates of the backward
direction: about 4 (2C + 4E) bytes a base. The forward direction is read from left to right, together with what both
directions need; the backward one from right to left, together with what comes after the states.
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
# The product that torch's own compiler uses on a CPU: twice as fast as MKL's for these shapes on some processors.
_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


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
    back_update, back_candidate = inputs.new_empty(2, length, units)
    for block in model.layers():
        scale = torch.cat([block.scale, block.scale])
        # Of each strand first the gates, then the candidates: both gates into one product, and both candidates.
        own_gate, own_candidate, other_gate, other_candidate = block.inward.assembled(block.inward.weight).split(units)
        gate, candidate = torch.cat([own_gate, other_gate]), torch.cat([own_candidate, other_candidate])
        gate_bias, candidate_bias = (torch.cat([bias, bias]) for bias in block.inward.bias.split(units))
        state = inputs.new_zeros(units)
        for tile in tiles:
            normed = F.rms_norm(features[tile], features.shape[-1:], scale)
            update = _linear(normed, gate, gate_bias).sigmoid_().mul_(1 - block.least).add_(block.least)
            proposed = F.silu(_linear(normed, candidate, candidate_bias), inplace=True)
            recurrence_into(update[:, :units], proposed[:, :units], state, states[tile, :units], backwards=False)
            back_update[tile], back_candidate[tile] = update[:, units:], proposed[:, units:]
        weight, bias = block.outward.assembled(block.outward.weight), block.outward.doubled(block.outward.bias)
        state = inputs.new_zeros(units)
        for tile in reversed(tiles):
            recurrence_into(back_update[tile], back_candidate[tile], state, states[tile, units:], backwards=True)
            features[tile] += _linear(states[tile], weight, bias)
    scale = torch.cat([model.scale, model.scale])
    weight, bias = model.head.assembled(model.head.weight), model.head.doubled(model.head.bias)
    return torch.cat([F.linear(F.rms_norm(features[tile], features.shape[-1:], scale), weight, bias) for tile in tiles])


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if _HAS_ONEDNN and x.dtype == torch.float32:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return product
    return F.linear(x, weight, bias)
