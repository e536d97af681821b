"""Shared words of DNA: how training data that resemble held-out data are found."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["WORD", "WordIndex"]

#: Length of a word; 32 bases fill 64 bits, and agree by chance once in 10¹⁹.
WORD = 32


class WordIndex:
    """All words of some sequences, on both strands.

    Args:
        sequences: codes.
    """

    def __init__(self, sequences: Iterable[NDArray[np.uint8]]) -> None:
        parts = [_canonical(codes)[0] for codes in sequences]
        self._words = np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)

    def found(self, codes: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Returns the positions at which a shared word starts.

        Args:
            codes: a sequence.

        Returns:
            0-based, ascending.
        """
        words, positions = _canonical(codes)
        if not len(self._words) or not len(words):
            return np.empty(0, np.int64)
        places = np.minimum(np.searchsorted(self._words, words), len(self._words) - 1)
        return positions[self._words[places] == words]


def _canonical(codes: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Returns each word, or its reverse complement if that is smaller, and where it starts; none with unknown bases."""
    n = len(codes) - WORD + 1
    if n <= 0:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    bases = np.minimum(codes, 3).astype(np.uint64)
    forward, backward = np.zeros(n, np.uint64), np.zeros(n, np.uint64)
    for k in range(WORD):
        forward |= bases[k : k + n] << np.uint64(2 * (WORD - 1 - k))
        backward |= (np.uint64(3) - bases[k : k + n]) << np.uint64(2 * k)
    unknown = np.concatenate([[0], np.cumsum(codes > 3)])
    whole = np.flatnonzero(unknown[WORD:] == unknown[:n])
    return np.minimum(forward, backward)[whole], whole
