"""Opening files that may be gzip under any name."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from sciml_zoo.errors import InputError

__all__ = ["open_binary", "open_text"]


@contextlib.contextmanager
def open_binary(path: str | Path) -> Iterator[io.BufferedReader]:
    """Opens a file for reading, decompressed if its first bytes are those of gzip (bgzip included).

    Args:
        path: the file.

    Yields:
        The stream of its content.

    Raises:
        InputError: no such file, empty, or, while it is read, truncated or damaged gzip, or not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        with path.open("rb") as raw:
            stream = raw
            if raw.peek(2)[:2] == b"\x1f\x8b":
                stream = io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=raw)), 1 << 18)
            if not stream.peek(1):
                raise InputError(f"{path}: the file is empty")
            yield stream
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason}); convert it, such as with iconv") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy or download the file again") from None


@contextlib.contextmanager
def open_text(path: str | Path) -> Iterator[io.TextIOWrapper]:
    """Opens a UTF-8 text as :func:`open_binary` does; a byte-order mark is passed over.

    Args:
        path: the file.

    Yields:
        The stream of its lines, which end in ``\\n`` whatever the file's own line ends.

    Raises:
        InputError: as :func:`open_binary` does.
    """
    with open_binary(path) as stream:
        yield io.TextIOWrapper(stream, encoding="utf-8-sig")
