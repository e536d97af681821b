"""VCF files, line by line: what a line says is read, and all of it but one INFO field is written back as it was.

Only this module knows the format (VCF 4.1–4.5); POS is 1-based there and 0-based here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import numpy as np
from Bio import bgzf
from numpy.typing import NDArray

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._opening import open_binary
from sciml_zoo.splicing._partial_file import PartialFile
from sciml_zoo.splicing.sequences import encode

__all__ = ["Record", "VcfWriter", "escaped", "is_columns_line", "read_vcf", "sequence_of", "with_info"]

_COLUMNS = ("CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
_INFO = 7
_LETTERS = re.compile(r"[A-Za-z]+")
# Characters that separate something in INFO or in our field, and the one that escapes them.
_RESERVED = re.compile(r"[\s%;=,|:]")


@dataclass(frozen=True)
class Record:
    """A line of a VCF file.

    Attributes:
        number: of the line, from 1.
        line: all of it, with its end.
        chromosome: name.
        start: first base of the reference allele, 0-based; −1 and the chromosome's length stand for its telomeres.
        reference: codes, uint8 [≥ 1].
        alternatives: as written.
    """

    number: int
    line: bytes
    chromosome: str
    start: int
    reference: NDArray[np.uint8]
    alternatives: tuple[str, ...]

    @property
    def end(self) -> int:
        """The base after the reference allele."""
        return self.start + len(self.reference)


def sequence_of(alternative: str) -> NDArray[np.uint8] | str:
    """Returns the bases of an alternative allele as codes, or in words what it is instead.

    Args:
        alternative: as written.

    Raises:
        InputError: it is none of the forms of VCF.
    """
    if alternative == ".":
        return "no alternative allele"
    if alternative == "*" or (alternative.startswith("<") and alternative.endswith(">")):
        return "symbolic allele"
    if "[" in alternative or "]" in alternative or "." in (alternative[:1], alternative[-1:]):
        return "breakend"
    return _bases(alternative, "ALT")


def _bases(text: str, column: str) -> NDArray[np.uint8]:
    if not _LETTERS.fullmatch(text):
        raise InputError(f"{column} {text!r} is not a sequence of bases")
    try:
        return encode(text)
    except InputError as error:
        raise InputError(f"{column} {text!r}, {error}") from None


def read_vcf(path: str | Path) -> Iterator[bytes | Record]:
    """Reads a VCF file, plain or gzip.

    Args:
        path: the file.

    Yields:
        The lines: those of the header, and empty ones, as they are, others as records.

    Raises:
        InputError: naming the file and the line: no VCF, or a line that is not as VCF says.
    """
    with open_binary(path) as stream:
        if stream.peek(3)[:3] == b"BCF":
            raise InputError(f"{path}: this is BCF; convert it with `bcftools view -Ov`")
        columns = False
        for number, line in enumerate(stream, start=1):
            if number == 1 and not line.startswith(b"##fileformat=VCF"):
                shown = line[:40].decode("utf-8", "replace").strip()
                raise InputError(f"{path}, line 1: a VCF file begins with '##fileformat=VCF', this with {shown!r}")
            if line.startswith(b"#") and columns:
                raise InputError(f"{path}, line {number}: a header after records; join files with `bcftools concat`")
            if line.startswith(b"#") or not line.strip():
                columns = columns or is_columns_line(line)
                yield line
            elif not columns:
                raise InputError(f"{path}, line {number}: the line '#CHROM\tPOS\t…' must come before the records")
            else:
                yield _record(line, number, path)
        if not columns:
            raise InputError(f"{path}: the line '#CHROM\tPOS\t…' is missing; the file is cut off, or no VCF")


def is_columns_line(line: bytes) -> bool:
    """Returns whether a line is the last of the header.

    Args:
        line: any line.
    """
    return line.startswith(b"#CHROM")


def _record(line: bytes, number: int, path: str | Path) -> Record:
    def fail(what: str) -> NoReturn:
        raise InputError(f"{path}, line {number}: {what}")

    fields = line.rstrip(b"\r\n").split(b"\t")
    if len(fields) < len(_COLUMNS):
        fail(f"{len(fields)} columns with tabs between them; a record has at least {len(_COLUMNS)}")
    try:
        chromosome, position, _, reference, alternatives = (field.decode("utf-8") for field in fields[:5])
    except UnicodeDecodeError:
        fail("not UTF-8 text")
    if not re.fullmatch("[0-9]{1,12}", position):
        fail(f"POS {position!r} is not a number")
    if not chromosome or not fields[_INFO]:
        fail(f"{'INFO' if chromosome else 'CHROM'} is empty; write '.' for what is missing")
    try:
        codes = _bases(reference, "REF")
        found = tuple(alternatives.split(","))
        for alternative in found:
            sequence_of(alternative)
    except InputError as error:
        fail(str(error))
    return Record(number, line, chromosome, int(position) - 1, codes, found)


def with_info(record: Record, key: str, values: Sequence[str]) -> bytes:
    """Returns a record's line with one field of INFO set, and all else as it was.

    Args:
        record: the record.
        key: of the field; what the line has of it is replaced.
        values: to be joined by commas; without any, the field is left out.
    """
    fields = record.line.split(b"\t", _INFO + 1)
    ending = b""
    if len(fields) == _INFO + 1:  # INFO is the last column
        content = fields[_INFO].rstrip(b"\r\n")
        fields[_INFO], ending = content, fields[_INFO][len(content) :]
    name = key.encode()
    kept = [item for item in fields[_INFO].split(b";") if item.split(b"=", 1)[0] != name and item != b"."]
    if not values and len(kept) == fields[_INFO].count(b";") + 1:
        return record.line
    if values:
        kept.append(name + b"=" + ",".join(values).encode())
    fields[_INFO] = b";".join(kept) or b"."
    return b"\t".join(fields) + ending


def escaped(name: str) -> str:
    """Returns a name that may stand in INFO between bars: reserved characters as %XX, as VCF says.

    Args:
        name: any text.
    """
    return _RESERVED.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), name)


class VcfWriter:
    """Writes lines to a file, compressed as bgzip does if its name ends in ``.gz``.

    Args:
        file: where to.
        target: the name that the file will have.
    """

    def __init__(self, file: PartialFile, target: Path) -> None:
        compressed = target.name.endswith(".gz")
        self._blocks = bgzf.BgzfWriter(fileobj=file, mode="wb") if compressed else None
        self._file = cast(BinaryIO, self._blocks or file)

    def write(self, line: bytes) -> None:
        """Adds a line.

        Args:
            line: with its end.
        """
        self._file.write(line)

    def close(self) -> None:
        """Writes what is left; the file stays open."""
        self._file.flush()
        if self._blocks is not None:
            self._blocks.flush()  # an empty block marks the end
