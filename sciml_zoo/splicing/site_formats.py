"""The files that a scan writes; positions are those of :class:`sciml_zoo.splicing.scan.Sites`.

================ ======================================================================================================
``.bed``         BED6 and a seventh column: chromosome, position, position + 1, ``donor`` or ``acceptor``, 1000 p as an
                 integer, strand, p with all its digits
``.gff3``        ``five_prime_cis_splice_site`` (donor) or ``three_prime_cis_splice_site`` of the Sequence Ontology; the
                 score is p with all its digits
``.bedgraph``    also ``.bg``: p of the base, of both kinds the larger; bedGraph knows no strand, and no base is a
                 candidate on both
``.parquet``     columns chromosome, position (0-based), strand, kind, probability; needs
                 ``pip install 'sciml-zoo[parquet]'``
================ ======================================================================================================

The first three may end in ``.gz`` too: a sequence of gzip members, as bgzip's, which every reader of gzip reads.
"""

import importlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import numpy as np

from sciml_zoo.errors import InputError

if TYPE_CHECKING:
    from sciml_zoo.splicing._partial_file import PartialFile
    from sciml_zoo.splicing.scan import Sites

__all__ = ["ENDINGS", "SiteFormat", "SiteWriter", "site_format"]

_STRANDS = "+-"
_KINDS = ("donor", "acceptor")
_ONTOLOGY = ("five_prime_cis_splice_site", "three_prime_cis_splice_site")
# What may stand in the first column of GFF3 as it is.
_GFF3_SAFE = ".:^*$@!+_?-|"
_GZIP = 31  # window bits: 15, in a member of gzip


class SiteWriter(Protocol):
    """Writes sites to a file."""

    def write(self, sites: "Sites") -> None:
        """Adds the sites of a window."""

    def seal(self) -> None:
        """Makes what was written so far readable on its own."""

    def close(self) -> None:
        """Writes what is left."""


@dataclass(frozen=True)
class SiteFormat:
    """A format.

    Attributes:
        name: its ending.
        resumable: whether a file can be gone on with after :meth:`SiteWriter.seal`.
        writer: makes a writer for an open file, which is new, or to be gone on with (``fresh=False``).
    """

    name: str
    resumable: bool
    writer: Callable[..., SiteWriter]


def site_format(path: str | Path) -> SiteFormat:
    """Returns the format that the ending of a file's name tells.

    Args:
        path: the file's name.

    Raises:
        InputError: there is no such format, or what it needs is not installed.
    """
    name = Path(path).name.lower()
    compressed = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix == ".parquet" and not compressed:
        _parquet()
        return SiteFormat(suffix, False, _ParquetWriter)
    if suffix not in _TEXTS:
        raise InputError(f"{path}: give a name that ends in {', '.join(ENDINGS)}; all but the last may have .gz added")
    header, lines = _TEXTS[suffix]

    def writer(file: "PartialFile", *, fresh: bool) -> SiteWriter:
        return _TextWriter(file, header if fresh else "", lines, compressed=compressed)

    return SiteFormat(suffix + ".gz" * compressed, True, writer)


class _TextWriter:
    def __init__(
        self, file: "PartialFile", header: str, lines: "Callable[[Sites], list[str]]", *, compressed: bool
    ) -> None:
        self._file, self._lines, self._compressed = file, lines, compressed
        self._member: Any = None
        self._add(header)

    def _add(self, text: str) -> None:
        content = text.encode()
        if content and self._compressed:
            self._member = self._member or zlib.compressobj(6, zlib.DEFLATED, _GZIP)
            content = self._member.compress(content)
        self._file.write(content)

    def write(self, sites: "Sites") -> None:
        if len(sites.positions):
            self._add("\n".join([*self._lines(sites), ""]))

    def seal(self) -> None:
        if self._member is not None:
            self._file.write(self._member.flush())
            self._member = None

    def close(self) -> None:
        if self._compressed and self._member is None and self._file.tell() == 0:  # no sites: empty, but gzip
            self._member = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
        self.seal()


def _columns(sites: "Sites") -> tuple[list[int], list[int], list[int], list[float]]:
    return sites.positions.tolist(), sites.strand.tolist(), sites.kind.tolist(), sites.probability.tolist()


def _bed(sites: "Sites") -> list[str]:
    name = sites.chromosome
    return [
        f"{name}\t{start}\t{start + 1}\t{_KINDS[kind]}\t{int(1000 * p)}\t{_STRANDS[strand]}\t{p!r}"
        for start, strand, kind, p in zip(*_columns(sites), strict=True)
    ]


def _gff3(sites: "Sites") -> list[str]:
    name = quote(sites.chromosome, safe=_GFF3_SAFE)
    types = [f"{name}\tsciml_zoo\t{term}" for term in _ONTOLOGY]
    return [
        f"{types[kind]}\t{start + 1}\t{start + 1}\t{p!r}\t{_STRANDS[strand]}\t.\tName={_KINDS[kind]}"
        for start, strand, kind, p in zip(*_columns(sites), strict=True)
    ]


def _bedgraph(sites: "Sites") -> list[str]:
    positions, first = np.unique(sites.positions, return_index=True)
    largest = np.maximum.reduceat(sites.probability, first)
    name = sites.chromosome
    return [f"{name}\t{s}\t{s + 1}\t{p!r}" for s, p in zip(positions.tolist(), largest.tolist(), strict=True)]


_TEXTS: "dict[str, tuple[str, Callable[[Sites], list[str]]]]" = {
    ".bed": ("", _bed),
    ".gff3": ("##gff-version 3\n", _gff3),
    ".bedgraph": ("", _bedgraph),
    ".bg": ("", _bedgraph),
}
#: The endings of the files that can be written.
ENDINGS = (*_TEXTS, ".parquet")


def _parquet() -> Any:
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError("parquet needs pyarrow: pip install 'sciml-zoo[parquet]'") from error
    return importlib.import_module("pyarrow")


class _ParquetWriter:
    def __init__(self, file: "PartialFile", *, fresh: bool) -> None:
        assert fresh
        self._arrow = arrow = _parquet()
        words = arrow.dictionary(arrow.int32(), arrow.string())
        fields = {"chromosome": words, "position": arrow.int64(), "strand": words, "kind": words}
        self._schema = arrow.schema(fields | {"probability": arrow.float64()})
        self._file = arrow.parquet.ParquetWriter(file, self._schema)
        self._chromosomes: list[str] = []
        self._columns = [bytearray() for _ in self._schema]  # in place of many small arrays, which fragment memory

    def write(self, sites: "Sites") -> None:
        if self._chromosomes[-1:] != [sites.chromosome]:
            self._chromosomes.append(sites.chromosome)
        chromosome = np.full(len(sites.positions), len(self._chromosomes) - 1)
        added = (chromosome, sites.positions, sites.strand, sites.kind, sites.probability)
        types = (np.int32, np.int64, np.int32, np.int32, np.float64)
        for column, values, dtype in zip(self._columns, added, types, strict=True):
            column += np.asarray(values, dtype).tobytes()

    def seal(self) -> None:
        """Writes a row group."""
        words = {"chromosome": self._chromosomes, "strand": _STRANDS, "kind": _KINDS}
        arrays = []
        for field, column in zip(self._schema, self._columns, strict=True):
            if field.name in words:
                index = self._array(self._arrow.int32(), column)
                arrays.append(self._arrow.DictionaryArray.from_arrays(index, self._strings(words[field.name])))
            else:
                arrays.append(self._array(field.type, column))
        if len(arrays[0]):
            self._file.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._chromosomes, self._columns = [], [bytearray() for _ in self._schema]

    # From buffers, for `pyarrow.array` would load pandas and its memory.
    def _array(self, kind: Any, content: bytes | bytearray) -> Any:
        length = len(content) // (kind.bit_width // 8)
        return self._arrow.Array.from_buffers(kind, length, [None, self._arrow.py_buffer(content)])

    def _strings(self, words: Sequence[str]) -> Any:
        encoded = [word.encode() for word in words]
        ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
        buffers = [None, self._arrow.py_buffer(ends), self._arrow.py_buffer(b"".join(encoded))]
        return self._arrow.Array.from_buffers(self._arrow.string(), len(words), buffers)

    def close(self) -> None:
        self.seal()
        self._file.close()
