"""Files and directories that are either wholly there or not at all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

__all__ = [
    "directory_lock",
    "recover_directory",
    "settle_directory",
    "sha256_of",
    "staged_directory",
    "write_atomically",
]


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replaces a file's content: a reader, or a crash, sees the old content or the new, never a part.

    Args:
        path: the file; its directory exists.
        content: bytes, or text to be written as UTF-8.
    """
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _lock_path(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def directory_lock(target: Path) -> FileLock:
    """Returns the lock that a process holds while it replaces a directory: the file ``.<name>.lock`` beside it.

    Args:
        target: the directory; its parent exists.
    """
    return FileLock(_lock_path(target))


def settle_directory(target: Path) -> None:
    """For readers: waits while a missing directory is being replaced, and finishes what a dead process left half done.

    Args:
        target: the directory about to be read. Nothing is written if it is there, or was never staged.
    """
    if not target.exists() and (_lock_path(target).exists() or _previous(target).exists()):
        with directory_lock(target):
            recover_directory(target)


def recover_directory(target: Path) -> None:
    """Puts the previous directory back if a process died in the middle of a replacement.

    Hold :func:`directory_lock` where another process may be replacing the directory at this moment.

    Args:
        target: the directory that :func:`staged_directory` replaces.
    """
    previous = _previous(target)
    if not target.exists() and previous.exists():
        with contextlib.suppress(FileNotFoundError):  # another process recovers it at the same moment
            previous.rename(target)


@contextlib.contextmanager
def staged_directory(target: Path) -> Iterator[Path]:
    """Fills a directory aside and puts it in place when the block ends without an error.

    Linux cannot replace a non-empty directory in one call, so the old one is first renamed to
    ``.<name>.previous``; :func:`recover_directory` undoes that if the process dies between the two renames.

    Args:
        target: the directory to create or replace; its parent exists.

    Yields:
        An empty directory on the same file system; removed, with the target untouched, if the block fails.
    """
    recover_directory(target)
    staged = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.staged-"))
    staged.chmod(0o755)
    try:
        yield staged
        for path in staged.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        previous = _previous(target)
        shutil.rmtree(previous, ignore_errors=True)
        if target.exists():
            target.rename(previous)
        staged.rename(target)
        shutil.rmtree(previous, ignore_errors=True)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        recover_directory(target)
        raise
