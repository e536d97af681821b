"""Graphs in batches of limited size."""

from collections.abc import Iterable, Iterator

import torch
from torch_geometric.data import Batch, Data

from sciml_zoo.potentials.data import collate

__all__ = ["batches"]


def batches(graphs: Iterable[Data], device: str | torch.device, *, max_atoms: int = 512) -> Iterator[Batch]:
    """Joins graphs that follow each other into batches, in their order.

    Args:
        graphs: of structures.
        device: where the batches are to be.
        max_atoms: of a batch; a larger structure is alone.

    Yields:
        The batches.
    """
    chunk: list[Data] = []
    n_atoms = 0
    for graph in graphs:
        if chunk and n_atoms + graph.num_nodes > max_atoms:
            yield collate(chunk).to(device)
            chunk, n_atoms = [], 0
        chunk.append(graph)
        n_atoms += graph.num_nodes
    if chunk:
        yield collate(chunk).to(device)
