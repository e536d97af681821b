"""What a domain shows of itself in the demo: text, tables and figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "Say", "Table"]

#: Tells the user what is happening now.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        title: what it shows.
        head: column names.
        rows: cells, as many in each row as in ``head``.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Report:
    """One domain's part of the demo.

    Attributes:
        title: the domain, in words.
        text: a paragraph.
        tables: in the order shown.
        figures: caption and figure, in the order shown.
    """

    title: str
    text: str
    tables: Sequence[Table] = ()
    figures: Sequence[tuple[str, "Figure"]] = ()
