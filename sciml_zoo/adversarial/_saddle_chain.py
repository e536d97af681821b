"""Chains of saddles from minimum to minimum, each verified by the gradient flow down both its sides.

A saddle that a band finds between two minima need not connect these two. Where the flow from it ends in others, the
gaps on either side are sought in turn, until the chain is closed or the rounds are spent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from sciml_zoo.adversarial._flat_potential import CountedPotential
from sciml_zoo.adversarial.basins import gradient_flow
from sciml_zoo.adversarial.elastic_band import elastic_band
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.saddle import Saddles, refine_saddles
from sciml_zoo.adversarial.string_method import string_method

__all__ = ["Links", "Search"]

# In units of the distance between two minima: trust radius of the saddle search; the flow's start off the saddle.
_TRUST, _OFF = 0.1, 1e-4
# Of the flow: error of a step in units of the inputs; gradient, as a share of its largest, from which it goes straight.
_ACCURACY, _HANDOVER = 1e-7, 5e-3
# Enough for a band to come near a saddle; the search for it does the rest.
_STEPS = 200
_NODES = 33


@dataclass(frozen=True)
class Links:
    """Saddles with the flow down both sides, each a link in the chain between the minima of a pair.

    Attributes:
        pair: to which each belongs, int64 [m].
        order: where it lies in its chain, ascending, [m].
        saddles: [m].
        ways: from minimum to minimum, [nodes, m, ...].
        gaps: pairs whose chain has gaps, int64.
        pairs: that were sought, int64.
    """

    pair: Tensor
    order: Tensor
    saddles: Saddles
    ways: Tensor
    gaps: Tensor
    pairs: Tensor

    def closed(self, batch: int) -> Tensor:
        """Returns whose chain has no gap, bool [batch]."""
        found = torch.zeros(batch, dtype=torch.bool, device=self.pair.device)
        found[self.pairs] = True
        found[self.gaps] = False
        return found

    def highest(self, batch: int) -> Tensor:
        """Returns the value of the highest saddle of each chain; NaN: none, [batch]."""
        found = self.order.new_full((batch,), -torch.inf)
        found = found.scatter_reduce(0, self.pair, self.saddles.values, "amax")
        return torch.where(found.isinf(), torch.nan, found)

    def top(self, like: Tensor) -> Saddles:
        """Returns the highest saddle of each chain, NaN where there is none; ``like``: inputs, [batch, ...]."""
        top = self.saddles.values == self.highest(len(like))[self.pair]
        rank = torch.full((len(like),), -1, dtype=torch.int64, device=like.device)
        number = torch.arange(len(top), device=like.device)
        rank = rank.scatter_reduce(0, self.pair[top], number[top], "amax")
        known = rank >= 0

        def spread(of_links: Tensor) -> Tensor:
            filler: float = torch.nan if of_links.is_floating_point() else 0
            found = of_links.new_full((len(like), *of_links.shape[1:]), filler)
            found[known] = of_links[rank[known]]
            return found

        return Saddles(*(spread(getattr(self.saddles, field.name)) for field in fields(Saddles)))

    def replaced(self, other: "Links", chosen: Tensor) -> "Links":
        """Returns links of which those of chosen pairs, bool [batch], come from another search."""
        keep, take = ~chosen[self.pair], chosen[other.pair]
        saddles = [self.saddles, other.saddles]
        kept = [keep, take]
        return Links(
            torch.cat([self.pair[keep], other.pair[take]]),
            torch.cat([self.order[keep], other.order[take]]),
            _joined(saddles, kept),
            torch.cat([self.ways[:, keep], other.ways[:, take]], 1),
            torch.cat([self.gaps[~chosen[self.gaps]], other.gaps[chosen[other.gaps]]]),
            self.pairs,
        )

    def path(self, start: Tensor, end: Tensor) -> Path:
        """Returns the chains from minimum to minimum; shorter ones stay at their end for the rest of the nodes."""
        by_order = self.order.argsort()
        sorted_ = by_order[self.pair[by_order].argsort(stable=True)]
        pair = self.pair[sorted_]
        counts = torch.bincount(pair, minlength=len(start))
        place = torch.arange(len(pair), device=pair.device) - (counts.cumsum(0) - counts)[pair]
        nodes = len(self.ways)
        longest = int(counts.max()) if len(counts) else 0
        points = end.expand(longest * nodes + 2, *end.shape).clone()
        points[0] = start
        for node in range(nodes):
            points[1 + place * nodes + node, pair] = self.ways[node, sorted_]
        return Path(points, "minimum-energy path")


@dataclass(frozen=True)
class Search:
    """Looks for chains of saddles between minima.

    Attributes:
        potential: to look on.
        start: minima, [batch, ...].
        end: likewise.
        tolerance: of ‖∇V‖.
        same: distance below which two minima are one.
        rounds: how often gaps are bridged.
    """

    potential: CountedPotential
    start: Tensor
    end: Tensor
    tolerance: float
    same: float
    rounds: int

    def chains(self, pairs: Tensor, method: str, images: int) -> Links:
        """Returns the links that were found between the minima of pairs."""
        pair, low, high = pairs, *(torch.full((len(pairs),), edge, dtype=torch.float64) for edge in (0.0, 1.0))
        low, high = low.to(pairs.device), high.to(pairs.device)
        left, right = self.start[pairs], self.end[pairs]
        found: list[Links] = []
        lost = pairs[:0]
        for _ in range(self.rounds):
            if not len(pair) and found:
                break
            saddles, ways = self._saddles(pair, left, right, method, images)
            first, last = ways[0], ways[-1]
            good = saddles.converged & (self._apart(first, last) > self.same)
            lost = torch.cat([lost, pair[~good]])
            middle = (low + high) / 2
            found.append(Links(pair[good], middle[good], _joined([saddles], [good]), ways[:, good], lost, pairs))
            before = good & (self._apart(left, first) > self.same)
            after = good & (self._apart(last, right) > self.same)
            pair = torch.cat([pair[before], pair[after]])
            low, high = torch.cat([low[before], middle[after]]), torch.cat([middle[before], high[after]])
            left, right = torch.cat([left[before], last[after]]), torch.cat([first[before], right[after]])
        saddles = _joined([links.saddles for links in found], [slice(None)] * len(found))
        return Links(
            torch.cat([links.pair for links in found]),
            torch.cat([links.order for links in found]),
            saddles,
            torch.cat([links.ways for links in found], 1),
            torch.cat([lost, pair]).unique(),
            pairs,
        )

    def _saddles(self, pair: Tensor, left: Tensor, right: Tensor, method: str, images: int) -> tuple[Saddles, Tensor]:
        """Returns a saddle between each two minima, and the flow down both its sides, [nodes, m, ...]."""
        span = self._apart(left, right)
        find = elastic_band if method == "band" else string_method
        band = find(self.potential, left, right, rows=pair, images=images, steps=_STEPS)
        saddles = refine_saddles(
            self.potential,
            band.at_highest(band.images),
            band.at_highest(band.tangents),
            rows=pair,
            tolerance=self.tolerance,
            radius=_TRUST * span,
        )
        off = (_OFF * span).view(-1, *[1] * (left.dim() - 1)) * saddles.unstable
        both = torch.cat([saddles.points - off, saddles.points + off])
        trail = gradient_flow(
            self.potential,
            both,
            rows=pair.repeat(2),
            accuracy=_ACCURACY,
            handover=_HANDOVER,
            tolerance=self.tolerance,
            nodes=_NODES,
        ).points
        down, up = trail[:, : len(pair)], trail[:, len(pair) :]
        return saddles, torch.cat([down.flip(0), saddles.points[None], up])

    @staticmethod
    def _apart(first: Tensor, second: Tensor) -> Tensor:
        return torch.linalg.vector_norm((first - second).flatten(1), dim=1)


def _joined(parts: Sequence[Saddles], kept: Sequence[Tensor | slice]) -> Saddles:
    """Returns the kept ones of several sets of saddles as one set."""
    return Saddles(
        *(
            torch.cat([getattr(part, field.name)[keep] for part, keep in zip(parts, kept, strict=True)])
            for field in fields(Saddles)
        )
    )
