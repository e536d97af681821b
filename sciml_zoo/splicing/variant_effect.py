"""What a changed allele does to splice sites: probabilities of both alleles laid on the same bases, and compared.

| symbol | here |
|---|---|
| p_ref | ``before`` |
| p_alt, laid on the bases of the reference | ``after``, of :func:`aligned` |
| max(p_alt − p_ref), max(p_ref − p_alt) | gain and loss of :class:`Effect` |
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DECIMALS", "Change", "Effect", "aligned", "effect", "trimmed"]

#: Scores are compared, and written, to so many decimals.
DECIMALS = 4
_DONOR, _ACCEPTOR = 0, 1

Probabilities = NDArray[np.float64]


class Change(NamedTuple):
    """An allele without the bases that it shares with the reference.

    Attributes:
        start: first base that is replaced, 0-based.
        end: base after the last; equal to ``start`` where bases are only inserted.
        bases: codes of what stands there instead.
    """

    start: int
    end: int
    bases: bytes


@dataclass(frozen=True)
class Effect:
    """What a change does to the sites of one strand.

    Attributes:
        scores: AG, AL, DG, DL, in [0, 1].
        positions: where, 0-based on the forward strand; None where the score is 0.
    """

    scores: tuple[float, ...]
    positions: tuple[int | None, ...]


def trimmed(start: int, reference: NDArray[np.uint8], alternative: NDArray[np.uint8]) -> Change:
    """Leaves out the bases that two alleles share, at the end first.

    Args:
        start: first base of the reference allele, 0-based.
        reference: codes [≥ 1].
        alternative: codes [≥ 1].

    Returns:
        The change.
    """
    old, new = reference.tobytes(), alternative.tobytes()
    shortest = min(len(old), len(new))
    last = next((k for k in range(shortest) if old[-1 - k] != new[-1 - k]), shortest)
    first = next((k for k in range(shortest - last) if old[k] != new[k]), shortest - last)
    return Change(start + first, start + len(old) - last, new[first : len(new) - last])


def aligned(alternative: Probabilities, change: Change, first: int) -> Probabilities:
    """Lays the probabilities of the changed sequence on the bases of the reference.

    Args:
        alternative: [n + inserted − deleted, ...].
        change: which bases changed.
        first: the base of the reference, and of the changed sequence, that ``alternative`` begins with.

    Returns:
        [n, ...].
    """
    replaced, new = change.end - change.start, len(change.bases)
    kept = change.start - first + min(replaced, new)
    if replaced >= new:
        deleted = np.zeros((replaced - new, *alternative.shape[1:]))
        return np.concatenate([alternative[:kept], deleted, alternative[kept:]])
    inserted = alternative[kept : kept + new - replaced].max(0)
    found = np.concatenate([alternative[:kept], alternative[kept + new - replaced :]])
    anchor = max(kept - 1, 0)
    found[anchor] = np.maximum(found[anchor], inserted)
    return found


def effect(before: Probabilities, after: Probabilities, change: Change, first: int, strand: str) -> Effect:
    """Finds the largest gains and losses.

    Args:
        before: probabilities of donor and acceptor on the strand, [n, 2].
        after: those of the changed sequence, laid on the same bases.
        change: what changed, for the distance from it.
        first: the first of the bases, 0-based.
        strand: ``"+"`` or ``"-"``.

    Returns:
        The effect on this strand.
    """
    places = first + np.arange(len(before))
    distance = np.where(places < change.start, change.start - places, np.maximum(places - change.end + 1, 0))
    nearest = np.lexsort((places if strand == "+" else -places, distance))
    gains = np.round((after - before)[nearest], DECIMALS)
    scores: list[float] = []
    positions: list[int | None] = []
    for kind in (_ACCEPTOR, _DONOR):
        for values in (gains[:, kind], -gains[:, kind]):
            best = int(values.argmax())
            found = values[best] > 0
            scores.append(float(values[best]) if found else 0.0)
            positions.append(int(places[nearest[best]]) if found else None)
    return Effect(tuple(scores), tuple(positions))
