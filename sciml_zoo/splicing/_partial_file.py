"""A file that grows beside its target, knows up to where it can be trusted, and takes the target's name at the end."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sciml_zoo._files import write_atomically
from sciml_zoo.errors import FailureError, InputError

__all__ = ["PartialFile", "is_unfinished"]


def _paths(target: Path) -> tuple[Path, Path]:
    """Returns where the content is until it is complete, and where its state is."""
    return target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.progress.json")


def is_unfinished(target: Path) -> bool:
    """Returns whether a file was begun that can be gone on with.

    Args:
        target: what it is to become.
    """
    return all(path.is_file() for path in _paths(target))


class PartialFile:
    """The file; a context that removes it after an :class:`InputError`, and otherwise leaves what was saved.

    Args:
        target: what it is to become; its directory exists.
        identity: what must be the same for another process to go on with it; None: nothing can be saved.
        resume: go on with what was saved.

    Attributes:
        saved: the content's place when it was last saved; None in a new file.

    Raises:
        InputError: there is nothing to resume, or something else was begun.
    """

    def __init__(self, target: Path, identity: Mapping[str, Any] | None, *, resume: bool) -> None:
        self._target = target
        self._content, self._state = _paths(target)
        self._identity = identity
        if not target.absolute().parent.is_dir():
            raise InputError(f"{target.parent}: no such directory; create it first")
        if target.is_dir():
            raise InputError(f"{target} is a directory; give a file name")
        self.saved: dict[str, Any] | None = None
        self._size = 0
        if resume:
            self._size, self.saved = self._read_state()

    def _read_state(self) -> tuple[int, dict[str, Any]]:
        if self._identity is None:
            raise InputError(
                f"{self._target}: this format cannot be resumed; start without resuming, or choose another"
            )
        if not is_unfinished(self._target):
            raise InputError(f"{self._target}: there is nothing to resume; start without resuming")
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
            begun, size, saved = dict(state["identity"]), int(state["bytes"]), dict(state["saved"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self._state}: damaged ({error!r}); start without resuming") from error
        changed = [
            f"{name} was {begun.get(name)} and is {value}"
            for name, value in self._identity.items()
            if begun.get(name) != value
        ]
        if changed:
            raise InputError(
                f"{self._target}: cannot be resumed: {'; '.join(changed)}; restore that, or start without resuming"
            )
        if self._content.stat().st_size < size:
            raise InputError(f"{self._content}: shorter than {size} bytes, which were saved; start without resuming")
        return size, saved

    def __enter__(self) -> "PartialFile":
        with self._disk_errors():
            if self.saved is None:
                self._state.unlink(missing_ok=True)  # before the content that it describes
            self._file = self._content.open("wb" if self.saved is None else "r+b")
            self._file.truncate(self._size)
            self._file.seek(self._size)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the disk is full: reported by whoever wrote
            self._file.close()
        if isinstance(error, InputError) or not self._state.exists():
            self._state.unlink(missing_ok=True)
            self._content.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
            remedy = "make room" if full else "see that it can be written"
            kept = "; what was saved can be resumed" if self._state.exists() else ""
            raise FailureError(f"{self._target} could not be written ({error}); {remedy}{kept}") from error

    def write(self, content: bytes) -> int:
        """Appends; part of the interface of a binary file, as are the next two.

        Args:
            content: the bytes.

        Returns:
            Their number.
        """
        with self._disk_errors():
            return self._file.write(content)

    def tell(self) -> int:
        """Returns the number of bytes written."""
        return self._file.tell()

    def flush(self) -> None:
        """Hands what was written to the system."""
        with self._disk_errors():
            self._file.flush()

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._file.closed

    def save(self, place: Mapping[str, Any]) -> None:
        """Makes sure that what was written survives, if that can be of use.

        Args:
            place: how far it goes, in terms of whoever writes; what JSON can hold.
        """
        if self._identity is None:
            return
        with self._disk_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            state = {"identity": dict(self._identity), "bytes": self._file.tell(), "saved": dict(place)}
            write_atomically(self._state, json.dumps(state, indent=2) + "\n")

    def finish(self) -> None:
        """Gives the file the target's name."""
        with self._disk_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._content.chmod(0o644)
            self._content.replace(self._target)
            self._state.unlink(missing_ok=True)
