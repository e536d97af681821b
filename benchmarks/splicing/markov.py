"""A first-order Markov model of the bases around splice sites: what the nearest neighbours alone tell.

Log-odds Σ_i log P_site(x_i | x_{i−1}, i) − log P_elsewhere(x_i | x_{i−1}) over a window around GT and AG; fitted to the
contigs that the networks are trained on, with one pseudo-count.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml_zoo.datasets import referenced_file
from sciml_zoo.splicing.data import independent_contigs, split_genome
from sciml_zoo.splicing.junctions import read_junctions
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.recipe import RNNRecipe, labelled_genome
from sciml_zoo.splicing.task import candidates

# Bases before and after the site: the exon's end and the intron's start, and the other way round.
_WINDOWS = ((3, 9), (25, 4))


class MarkovFloor(SpliceModel):
    """The model as a :class:`SpliceModel`, so that the same code scores it.

    Args:
        log_odds: for donor and acceptor, [bases of the window, 4 before, 4].
    """

    halo = 64

    def __init__(self, log_odds: list[Tensor]) -> None:
        super().__init__()
        self.tables = torch.nn.ParameterList([torch.nn.Parameter(table, requires_grad=False) for table in log_odds])

    @classmethod
    def fitted(cls, recipe: RNNRecipe) -> "MarkovFloor":
        """Returns the model fitted to the junction records of a recipe."""
        genome = labelled_genome(recipe.data.fasta, recipe.data.gff)
        split = split_genome(genome, held_out=recipe.data.held_out, validation_fraction=recipe.data.validation_fraction)
        assert recipe.data.junctions is not None
        records = read_junctions(referenced_file(recipe.data.junctions))
        contigs = independent_contigs(records, genome, split, recipe.data.held_out_genes)
        background = np.ones((4, 4))
        for contig in contigs:
            _count(background[None], contig.codes[None, :-1], contig.codes[None, 1:])
        elsewhere = np.log(background / background.sum(1, keepdims=True))
        tables = []
        for kind, (before, after) in enumerate(_WINDOWS):
            counts = np.ones((before + after, 4, 4))
            for contig in contigs:
                for place, which, _ in contig.sites.astype(int):
                    piece = contig.codes[max(place - before - 1, 0) : place + after]
                    if which == kind and len(piece) == before + after + 1:
                        _count(counts, piece[:-1, None], piece[1:, None])
            odds = np.log(counts / counts.sum(2, keepdims=True)) - elsewhere
            tables.append(torch.from_numpy(odds).float())
        return cls(tables)

    def from_one_hot(self, bases: Tensor, methylation: Tensor | None = None) -> Tensor:
        """Returns log-odds of GT and AG, [B, L, 2, 2], and −100 elsewhere."""
        both = torch.cat([bases, bases.flip(1, 2)])
        pairs = torch.einsum("blx,bly->blxy", both[:, :-1], both[:, 1:])
        columns = []
        for table, (before, after) in zip(self.tables, _WINDOWS, strict=True):
            padded = torch.nn.functional.pad(pairs, (0, 0, 0, 0, before + 1, after))
            length = both.shape[1]
            columns.append(sum((padded[:, i : i + length] * table[i]).sum((2, 3)) for i in range(before + after)))
        forward, backward = torch.stack(columns, -1).chunk(2)
        logits = torch.stack([forward, backward.flip(1)], 2)
        codes = torch.where(bases.sum(-1) > 0, bases.argmax(-1), 4)
        return torch.where(candidates(codes), logits, -100.0)


def _count(counts: NDArray[np.float64], before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
    """Adds pairs of known bases, one row of them for each table."""
    for table, x, y in zip(counts, before, after, strict=True):
        known = (x < 4) & (y < 4)
        np.add.at(table, (x[known], y[known]), 1)
