"""Which units of a Boltzmann machine may be drawn at the same time: a greedy colouring of its graph."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["UpdateGroup", "update_groups"]


@dataclass(frozen=True)
class UpdateGroup:
    """Units of one colour, none coupled with another of the group, and the pairs that reach them.

    Attributes:
        index: the units [k].
        target: place in ``index`` of each directed pair's end [m].
        source: unit at its other end [m].
        edge: number of the pair [m].
    """

    index: Tensor
    target: Tensor
    source: Tensor
    edge: Tensor


def update_groups(
    rows: NDArray[np.int64], columns: NDArray[np.int64], n_visible: int, n: int, device: torch.device
) -> list[UpdateGroup]:
    """Colours the graph greedily, units of high degree first, hidden and visible units in groups of their own.

    Args:
        rows: i of each pair [m].
        columns: j of each pair [m].
        n_visible: units below it are visible.
        n: number of units.
        device: where the groups are used.

    Returns:
        The groups, hidden ones first.
    """
    source, target = np.concatenate([columns, rows]), np.concatenate([rows, columns])
    edge = np.tile(np.arange(len(rows)), 2)
    order = np.argsort(target, kind="stable")
    source, target, edge = source[order], target[order], edge[order]
    starts = np.searchsorted(target, np.arange(n + 1))
    colours = np.full(n, -1)
    by_degree = np.argsort(-np.diff(starts), kind="stable")
    for unit in by_degree:
        taken = set(colours[source[starts[unit] : starts[unit + 1]]].tolist())
        colours[unit] = next(colour for colour in range(n) if colour not in taken)
    groups = []
    place = np.zeros(n, dtype=np.int64)
    is_visible = np.arange(n) < n_visible
    for layer in (~is_visible, is_visible):
        for colour in range(colours.max(initial=-1) + 1):
            index = np.flatnonzero(layer & (colours == colour))
            if len(index):
                place[index] = np.arange(len(index))
                mine = np.isin(target, index)
                parts = (index, place[target[mine]], source[mine], edge[mine])
                groups.append(UpdateGroup(*(torch.from_numpy(part).to(device) for part in parts)))
    return groups
