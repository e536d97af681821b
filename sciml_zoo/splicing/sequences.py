"""DNA as codes, and FASTA files: whole, or in chunks at constant memory.

| base | A | C | G | T, U | N and the other IUPAC ambiguity letters |
|---|---|---|---|---|---|
| code | 0 | 1 | 2 | 3 | 4 |

Lower case (soft-masked repeats) is read as upper case. The complement of a code c < 4 is 3 − c; that of 4 is 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from Bio.Data.IUPACData import ambiguous_dna_letters
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._opening import open_binary

__all__ = ["BASES", "FastaChunk", "decode", "encode", "iterate_fasta", "read_fasta", "reverse_complement"]

#: The letter of each code.
BASES = "ACGTN"

_INVALID = 255
_BLANKS = b" \t\r\n\v\f"
_READ = 1 << 20
_LONGEST_HEADER = 1 << 16


def _table() -> bytes:
    table = np.full(256, _INVALID, np.uint8)
    for letter in ambiguous_dna_letters + "U":
        code = "ACGT".find("T" if letter == "U" else letter)
        table[[ord(letter), ord(letter.lower())]] = 4 if code < 0 else code
    return table.tobytes()


_CODES = _table()
_LETTERS = np.frombuffer(BASES.encode(), np.uint8)
_COMPLEMENTS = np.array([3, 2, 1, 0, 4], np.uint8)


def encode(text: str | bytes) -> NDArray[np.uint8]:
    """Returns the codes of a sequence: uint8 [L].

    Args:
        text: IUPAC letters, in either case.

    Raises:
        InputError: a letter that is not IUPAC, with its 1-based position.
    """
    # A character beyond ASCII becomes one "?", so that positions stay those of the text.
    letters = text.encode("ascii", "replace") if isinstance(text, str) else text
    codes = np.frombuffer(bytearray(letters.translate(_CODES)), np.uint8)
    if codes.size and codes.max() == _INVALID:
        first = int(np.argmax(codes == _INVALID))
        shown = text[first] if isinstance(text, str) else chr(text[first])
        raise InputError(f"position {first + 1}: {shown!r} is no IUPAC letter of a nucleotide; {_remedy(shown)}")
    return codes


def _remedy(letter: str) -> str:
    if letter in "-.":
        return "remove the gaps of an alignment"
    if letter in "*EFILPQefilpq":
        return "give DNA, not protein"
    return "write unknown bases as N"


def decode(codes: NDArray[np.uint8]) -> str:
    """Returns the letters of codes, with N for 4.

    Args:
        codes: [L].
    """
    return _LETTERS[codes].tobytes().decode()


def reverse_complement(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the codes of the other strand, read in its own direction: [L].

    Args:
        codes: [L].
    """
    return _COMPLEMENTS[codes[::-1]]


@dataclass(frozen=True)
class FastaChunk:
    """A piece of a FASTA record.

    Args:
        name: the record's name, the first word of its header.
        start: 0-based position of the first base in the record.
        codes: uint8 [≤ chunk].
        last: whether the record ends here.
    """

    name: str
    start: int
    codes: NDArray[np.uint8]
    last: bool


def read_fasta(path: str | Path) -> dict[str, NDArray[np.uint8]]:
    """Returns the records of a FASTA file, plain or gzip, in its order: name → codes, uint8 [L].

    Args:
        path: the file.

    Raises:
        InputError: as :func:`iterate_fasta` does.
    """
    records: dict[str, list[NDArray[np.uint8]]] = {}
    for piece in iterate_fasta(path, _READ):
        records.setdefault(piece.name, []).append(piece.codes)
    return {name: np.concatenate(pieces) for name, pieces in records.items()}


def iterate_fasta(path: str | Path, chunk: int) -> Iterator[FastaChunk]:
    """Reads a FASTA file, plain or gzip, in pieces; memory does not grow with the length of records or lines.

    Args:
        path: the file.
        chunk: bases in each piece, ≥ 1; only the last piece of a record is shorter.

    Yields:
        The pieces, in the file's order.

    Raises:
        InputError: naming the file, the record and the position: a letter that is not IUPAC, a name twice, a record
            without name or bases; no FASTA, empty, truncated gzip.
    """
    if chunk < 1:
        raise InputError(f"chunk: {chunk} bases; give at least 1")
    names: set[str] = set()
    with open_binary(path) as stream:
        for name, blocks in _records(stream, str(path)):
            if name in names:
                raise InputError(f"{path}: the name {name!r} is given to two records; rename one")
            names.add(name)
            yield from _cut(name, blocks, chunk, str(path))


def _cut(name: str, blocks: Iterator[bytes], chunk: int, path: str) -> Iterator[FastaChunk]:
    """Yields the codes of a record in pieces of equal length."""
    start = 0
    pending = np.empty(0, np.uint8)
    for block in blocks:
        letters = block.translate(None, _BLANKS)
        try:
            codes = encode(letters)
        except InputError:
            first = letters.translate(_CODES).index(_INVALID)
            shown = chr(letters[first])
            raise InputError(
                f"{path}, record {name!r}, position {start + len(pending) + first + 1}: {shown!r} is no IUPAC letter "
                f"of a nucleotide; {_remedy(shown)}"
            ) from None
        pending = np.concatenate([pending, codes])
        # One base at least is kept back, for only the next block or its absence tells which piece is the last.
        whole = (len(pending) - 1) // chunk
        for k in range(whole):
            yield FastaChunk(name, start + k * chunk, pending[k * chunk : (k + 1) * chunk].copy(), last=False)
        if whole > 0:
            start, pending = start + whole * chunk, pending[whole * chunk :]
    if not len(pending):
        raise InputError(f"{path}, record {name!r}: no bases follow the header; remove the record or add its sequence")
    yield FastaChunk(name, start, pending, last=True)


def _records(stream: BinaryIO, path: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yields the name of each record with its text in blocks, which the caller reads to the end before the next."""
    line = stream.readline(_LONGEST_HEADER).removeprefix(b"\xef\xbb\xbf")
    while line and not line.strip():
        line = stream.readline(_LONGEST_HEADER)
    if not line.startswith(b">"):
        shown = line[:40].decode("utf-8", "replace").strip()
        raise InputError(f"{path}: not FASTA, which begins with '>' and a name; this begins with {shown!r}")
    following: list[bytes] = [line]  # the header that ended the last record, if one did

    def blocks() -> Iterator[bytes]:
        ended = b"\n"
        while block := stream.readline(_READ):
            # A line longer than a block comes in parts: only its first part can be a header.
            if block.startswith(b">") and ended == b"\n":
                following.append(block)
                return
            ended = block[-1:]
            yield block

    while following:
        yield _name(following.pop(), path), _gathered(blocks())


def _gathered(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yields lines joined to blocks, for each block costs some calls of numpy."""
    parts: list[bytes] = []
    size = 0
    for line in lines:
        parts.append(line)
        size += len(line)
        if size >= _READ:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _name(header: bytes, path: str) -> str:
    if len(header) >= _LONGEST_HEADER:
        raise InputError(f"{path}: a header of more than {_LONGEST_HEADER} bytes; this is not FASTA, or is damaged")
    words = header[1:].decode("utf-8").split(maxsplit=1)
    if not words or header[1:2].isspace():
        raise InputError(f"{path}: a header without a name, {header.decode().strip()!r}; write '>name'")
    return words[0]
