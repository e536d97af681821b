"""Names of chromosomes, which every source writes in its own way."""

import difflib
import re
from collections.abc import Iterable

__all__ = ["name_hint"]

_PREFIX = re.compile(r"^(?:chromosome|chrom|chr)?_?0*(?=.)", re.IGNORECASE)
# Names that one organelle has in different annotations.
_ORGANELLES = {"mt": "m", "mito": "m", "mtdna": "m", "mitochondria": "m", "pt": "c", "chloroplast": "c"}


def name_hint(name: str, sequences: Iterable[str]) -> str:
    """Returns words that say which sequence was probably meant, to end an error message with.

    Args:
        name: a name that is not among the sequences.
        sequences: the names of the sequences.
    """
    names = list(sequences)
    same = [other for other in names if _plain(other) == _plain(name)]
    if same:
        return f"the FASTA calls it {same[0]!r}: use one style of names ('chr1', 'Chr1' or '1') in both files"
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    shown = close or names[:5]
    more = f" (of {len(names)})" if len(names) > len(shown) else ""
    return f"{'the nearest names in the FASTA are' if close else 'the FASTA has'} {', '.join(map(repr, shown))}{more}"


def _plain(name: str) -> str:
    plain = _PREFIX.sub("", name).lower()
    return _ORGANELLES.get(plain, plain)
