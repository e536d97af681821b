"""All that ``ase.io`` reads, above all extxyz."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import ase.io
from ase import Atoms
from ase.io.formats import UnknownFileTypeError

from sciml_zoo.errors import InputError

__all__ = ["decompressed", "guarded", "read"]


def read(path: Path) -> Iterator[tuple[str, Atoms]]:
    """Reads a file of any format that ASE knows.

    Args:
        path: the file; extxyz may be gzipped.

    Returns:
        The name of each frame in messages, and the structure with its labels as ASE gives them, one after the other; a
        frame that cannot be read raises :class:`InputError` when its turn comes.
    """
    source: Iterator[Atoms]
    if path.name.removesuffix(".gz").endswith(("xyz", ".extxyz")):
        # ASE seeks back and forth, which a gzip stream answers by starting again.
        source = ase.io.iread(io.StringIO(_text(path)), index=":", format="extxyz")
    else:
        source = ase.io.iread(path, index=":")
    return guarded(path, source)


def guarded(path: Path, source: Iterator[Atoms]) -> Iterator[tuple[str, Atoms]]:
    """Names the frames of a source, and turns whatever its reader raises into a message.

    Args:
        path: what is read.
        source: its structures.

    Yields:
        The name of each frame in messages, and the structure.

    Raises:
        InputError: naming the frame that cannot be read.
    """
    frame = 0
    while True:
        where = f"{path}, frame {frame}"
        try:
            atoms = next(source)
        except StopIteration:
            return
        except InputError:
            raise
        except UnknownFileTypeError as error:
            raise InputError(f"{path}: not a structure file that ASE can read ({error}); give an extxyz file") from None
        except KeyError as error:
            raise InputError(f"{where}: unknown element or column {error}") from None
        except Exception as error:  # each of ASE's many readers fails in its own way
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"{where}: cannot be read ({reason}); it is truncated, damaged, or no structure file"
            ) from None
        yield where, atoms
        frame += 1


def decompressed(path: Path) -> bytes:
    """Returns the content of a file, which may be gzipped.

    Args:
        path: the file, gzipped if its name says so.

    Returns:
        The bytes.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy or download the file again") from None


def _text(path: Path) -> str:
    try:
        return decompressed(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text, and so not extxyz (byte {error.start}); give a structure file") from None
