"""Where a piecewise linear network bends along a straight line: between two such places its outputs are linear.

==========================  ==================================================================================
z_u(t)                      what unit u switches on: the input of a ReLU, the difference of a maximum
kink                        z_u(t) = 0; all z are linear up to the first kink of the units before them
t* = t_l + z_l/(z_l − z_r)  the first predicted kink of a bracket, exact if no other lies before it
==========================  ==================================================================================

A bracket whose ends differ in some sign is split just beyond its first predicted kink, until the left part holds no
other. Needs values of the network alone, no gradient. A unit that switches twice between two places looked at is not
seen: whoever integrates notices the error and looks again, more closely.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Switches", "locate_kinks", "recorded_switches"]

#: Gives z of lines at places: (line, int64 [n]; t, float64 [n]) → [n, units].
Switches = Callable[[Tensor, Tensor], Tensor]

_aten = torch.ops.aten
_AT_ZERO = {
    overload
    for name in ("relu", "relu_", "leaky_relu", "leaky_relu_", "prelu", "_prelu_kernel", "abs", "abs_")
    if hasattr(_aten, name)
    for overload in [getattr(_aten, name).default]
}
_BETWEEN = {_aten.hardtanh.default, _aten.hardtanh_.default, _aten.clamp.default, _aten.clamp_.default}
_AT_ONE_LEVEL = {_aten.clamp_min.default, _aten.clamp_max.default, _aten.threshold.default, _aten.threshold_.default}
_OF_TWO = {_aten.maximum.default, _aten.minimum.default}

_OF_POOLS = {_aten.max_pool2d_with_indices.default, _aten.max_pool2d.default}
# Instead of minus infinity, which has no differences.
_FAR = 1e30

# Places that differ by less are one; a bracket this much wider than a kink is known to hold nothing else.
_CLOSE = 1e-12
# A bracket whose first kink is predicted within this part of it is halved.
_CREEPING = 1e-3
_MOST_SPLITS = 400


class _Recorded(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args else None
        if isinstance(first, Tensor) and first.is_floating_point() and first.dim() > 1:
            if func in _AT_ZERO:
                self.found.append(first.flatten(1).clone())
            elif func in _BETWEEN:
                limits = [*args[1:], *(kwargs[name] for name in ("min", "max", "min_val", "max_val") if name in kwargs)]
                levels = (
                    limits if limits or func not in (_aten.hardtanh.default, _aten.hardtanh_.default) else [-1.0, 1.0]
                )
                self.found += [(first - level).flatten(1) for level in levels if level is not None]
            elif func in _AT_ONE_LEVEL or (
                func in _OF_TWO and isinstance(args[1], Tensor) and args[1].shape == first.shape
            ):
                self.found.append((first - args[1]).flatten(1))
            elif func in _OF_POOLS:
                self.found.append(_within_pools(first, *args[1:4]))
        return func(*args, **kwargs)


def _within_pools(images: Tensor, size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """Returns the differences of all pairs inside each pool, [n, pools · pairs]."""
    height, width = (*size, *size)[:2]
    across = (*padding, *padding)[:2] if isinstance(padding, (list, tuple)) else (padding, padding)
    padded = F.pad(images, (across[1], across[1], across[0], across[0]), value=-_FAR)
    windows = F.unfold(padded, (height, width), stride=(*stride, *stride)[:2] if stride else (height, width))
    windows = windows.view(len(images), images.shape[1], height * width, -1)
    first, second = torch.triu_indices(height * width, height * width, 1, device=images.device)
    return (windows[:, :, first] - windows[:, :, second]).flatten(1)


@contextmanager
def recorded_switches() -> Iterator[list[Tensor]]:
    """Notes what the units of a network switch on while it is computed.

    ReLU and its leaky and clamped kin, absolute values, maxima of two tensors, and of flat pools are known.

    Yields:
        A list that fills with [n, units of a layer].
    """
    with _Recorded() as mode:
        yield mode.found


def locate_kinks(switches: Switches, lines: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the kinks of lines inside intervals.

    Args:
        switches: of the network.
        lines: of each interval, int64 [n].
        low: where the intervals begin, float64 [n].
        high: where they end.

    Returns:
        The line of each kink, int64 [kinks], and its place, float64 [kinks]; in order.
    """
    left, right = switches(lines, low), switches(lines, high)
    at: list[Tensor] = []
    of: list[Tensor] = []
    for _ in range(_MOST_SPLITS):
        # A unit that is zero on a stretch, as the difference of two rectified ones, bends where those do.
        flips = (left > 0) & (right < 0) | (left < 0) & (right > 0)
        open_ = flips.any(1) & (high - low > _CLOSE)
        if not open_.any():
            break
        lines, low, high, left, right, flips = (each[open_] for each in (lines, low, high, left, right, flips))
        row, unit = flips.nonzero(as_tuple=True)
        before, after = left[row, unit], right[row, unit]
        predicted = low[row] + before / (before - after) * (high - low)[row]
        first = high.scatter_reduce(0, row, predicted, "amin")
        last = low.scatter_reduce(0, row, predicted, "amax")
        done = (last - first <= _CLOSE) & (high - first <= 2 * _CLOSE)
        of.append(lines[done])
        at.append(first[done])
        lines, low, high, left, right, first = (each[~done] for each in (lines, low, high, left, right, first))
        if not len(lines):
            break
        # Just beyond the first kink; the left part then ends there, and is done if it holds no other.
        # Where that is next to the bracket's beginning, units that bend in turn may make every prediction fall short.
        middle = torch.where(first - low < _CREEPING * (high - low), (low + high) / 2, first + _CLOSE)
        between = switches(lines, middle)
        lines, low, high = torch.cat([lines, lines]), torch.cat([low, middle]), torch.cat([middle, high])
        left, right = torch.cat([left, between]), torch.cat([between, right])
    of_all, at_all = torch.cat(of) if of else lines[:0], torch.cat(at) if at else low[:0]
    order = torch.argsort(at_all, stable=True)
    order = order[torch.argsort(of_all[order], stable=True)]
    of_all, at_all = of_all[order], at_all[order]
    fresh = torch.ones(len(at_all), dtype=torch.bool, device=at_all.device)
    fresh[1:] = (of_all.diff() != 0) | (at_all.diff() > 2 * _CLOSE)
    return of_all[fresh], at_all[fresh]
