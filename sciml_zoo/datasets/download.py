"""Downloads one file so that it is either wholly there, with the right hash, or not at all.

The bytes go to ``<destination>.part``; what the server said about them (address, ETag) goes to
``<destination>.part.json``, so that another process can go on where this one was killed. Only the finished, checked
file is renamed to its place.
"""

import contextlib
import http.client
import ipaddress
import json
import os
import random
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from sciml_zoo._files import sha256_of, write_atomically
from sciml_zoo.errors import FailureError, InputError

__all__ = ["ChecksumError", "DownloadError", "UnsafeURLError", "download"]

_CHUNK = 1 << 16
_FIRST_PAUSE = 0.5  # seconds before the first retry; doubles each time
_LONGEST_PAUSE = 30.0
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}

Progress = Callable[[int, int | None], None]


class DownloadError(FailureError):
    """A download did not succeed: the network, the server or the disk failed."""


class ChecksumError(DownloadError):
    """A file is not the one that was promised: its length or its SHA-256 differs."""


class UnsafeURLError(InputError):
    """The address is neither https nor on this machine."""


class _PassingError(Exception):
    """A failure that may pass: the download is tried again."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class _Part:
    """The unfinished file, and what is known of its origin."""

    path: Path

    @property
    def origin_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.origin_path.unlink(missing_ok=True)

    def etag(self, url: str) -> str | None:
        """Returns the ETag under which these bytes came from this address."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            origin = json.loads(self.origin_path.read_text(encoding="utf-8"))
            if origin.get("url") == url:
                return origin.get("etag")
        return None

    def began(self, url: str, etag: str | None) -> None:
        write_atomically(self.origin_path, json.dumps({"url": url, "etag": etag}))


def _is_loopback(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_unsafe(url: str) -> None:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme == "https" or (scheme == "http" and _is_loopback(url)):
        return
    raise UnsafeURLError(f"{url}: only https addresses are downloaded (http only from this machine)")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        _refuse_unsafe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _passing(error: OSError | http.client.HTTPException) -> _PassingError:
    return _PassingError(str(error) or type(error).__name__)


def _open(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    handlers: list[urllib.request.BaseHandler] = [_SafeRedirects()]
    if _is_loopback(url):
        handlers.append(urllib.request.ProxyHandler({}))  # a proxy cannot reach this machine
    opener = urllib.request.build_opener(*handlers)
    request = urllib.request.Request(url, headers={"User-Agent": "sciml-zoo", "Accept-Encoding": "identity", **headers})
    try:
        return opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.code in _PASSING_STATUS:
            after = error.headers.get("Retry-After", "")
            raise _PassingError(f"HTTP status {error.code}", float(after) if after.isdigit() else 0.0) from error
        raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DownloadError(f"{url}: the server's certificate is not valid: {error.reason}") from error
        raise _PassingError(str(error.reason)) from error
    except (http.client.HTTPException, OSError) as error:
        raise _passing(error) from error


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read1(_CHUNK):
            yield chunk
    except (http.client.HTTPException, OSError) as error:
        raise _passing(error) from error


def _append(
    part: _Part, response: http.client.HTTPResponse, done: int, expected: int | None, progress: Progress | None
) -> int:
    """Appends the answer's body to the part.

    Returns:
        The bytes that the part then has.
    """
    with part.path.open("ab") as file:
        for chunk in _chunks(response):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, expected)
            if expected is not None and done > expected:
                break
        file.flush()
        os.fsync(file.fileno())
    return done


def _attempt(
    url: str, part: _Part, sha256: str | None, size: int | None, progress: Progress | None, timeout: float
) -> None:
    """Fetches what is missing of the part, once.

    Raises:
        _PassingError: if the connection, or the answer, broke off.
        ChecksumError: if there are more bytes than there should be.
    """
    have, etag = part.size(), part.etag(url)
    strong = etag is not None and not etag.startswith("W/")
    if have and etag is None and sha256 is None:
        part.discard()  # nothing could tell two halves of different files apart
        have = 0
    if have and size is not None and have >= size:
        if have == size:
            return
        part.discard()
        have = 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and strong and etag is not None:
        headers["If-Range"] = etag
    try:
        with _open(url, headers, timeout) as response:
            now = response.headers.get("ETag")
            content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
            if response.status == http.HTTPStatus.PARTIAL_CONTENT:
                if content_range is None or int(content_range[1]) != have or (etag is not None and now != etag):
                    part.discard()
                    raise _PassingError("the file changed on the server, or it sent another range than asked for")
                total = None if content_range[2] == "*" else int(content_range[2])
            else:
                have = 0
                part.discard()
                length = response.headers.get("Content-Length")
                total = int(length) if length and length.isdigit() else None
                part.began(url, now)
            expected = total if size is None else size
            have = _append(part, response, have, expected, progress)
    except urllib.error.HTTPError as error:  # 416: nothing is left to send
        total_text = error.headers.get("Content-Range", "").rpartition("/")[2]
        if total_text.isdigit() and int(total_text) == have and size in {None, have}:
            return
        part.discard()
        raise _PassingError("the server cannot go on from there") from error
    if expected is not None and have > expected:
        part.discard()
        raise ChecksumError(f"{url}: there are more than the {expected:,} bytes expected")
    if expected is not None and have < expected:
        raise _PassingError(f"{have:,} of {expected:,} bytes came")


def _fetch(
    url: str,
    part: _Part,
    *,
    sha256: str | None,
    size: int | None,
    progress: Progress | None,
    retries: int,
    timeout: float,
) -> None:
    """Tries until the part is complete, or until ``retries`` tries in a row have brought no new byte."""
    furthest, failures = part.size(), 0
    while True:
        try:
            return _attempt(url, part, sha256, size, progress, timeout)
        except _PassingError as error:
            arrived = part.size()
            failures = 0 if arrived > furthest else failures + 1
            furthest = max(furthest, arrived)
            if failures > retries:
                raise DownloadError(
                    f"{url}: gave up after {failures} tries without progress ({error}); "
                    f"{arrived:,} bytes are kept in {part.path}: run the same command again to go on"
                ) from error
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures) * random.uniform(0.5, 1.0)
            time.sleep(max(pause, min(error.wait, _LONGEST_PAUSE)))


def download(
    url: str,
    destination: Path,
    *,
    sha256: str | None,
    size: int | None = None,
    progress: Progress | None = None,
    retries: int = 5,
    timeout: float = 30.0,
) -> Path:
    """Downloads a file, unless it is already there.

    A download that broke off goes on where it stopped, also in a later process, if the server allows it and says
    that the file is still the same. Processes that want the same file wait for one of them to fetch it.

    Args:
        url: an https address (http for this machine only).
        destination: where the file will lie; missing folders are created. Nothing partial is ever there.
        sha256: the file's hash in hexadecimal. Without it only the length is checked, and a file that is already there
            is taken as it is.
        size: the file's length in bytes, if known; otherwise the server's word is taken.
        progress: called with the bytes so far and the total (None if unknown).
        retries: how many tries in a row may bring nothing new before it gives up.
        timeout: seconds without any byte after which a try counts as failed.

    Returns:
        The destination.

    Raises:
        UnsafeURLError: if the address, or one that it redirects to, is not https.
        ChecksumError: if the length or the hash is wrong; nothing is kept.
        DownloadError: if the file can't be had; what has come is kept for the next call.
    """
    _refuse_unsafe(url)
    part = _Part(destination.with_name(f"{destination.name}.part"))
    lock = destination.with_name(f".{destination.name}.lock")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if destination.is_file() and (sha256 is None or sha256_of(destination) == sha256):
                return destination
            _fetch(url, part, sha256=sha256, size=size, progress=progress, retries=retries, timeout=timeout)
            if sha256 is not None and (actual := sha256_of(part.path)) != sha256:
                part.discard()
                raise ChecksumError(
                    f"{url}: the sha256 is {actual}, not {sha256}: the file was changed or damaged; nothing was kept"
                )
            part.path.replace(destination)
            part.discard()
            _sync_directory(destination.parent)
            with contextlib.suppress(OSError):  # whoever still waits for this lock finds the file in its place
                lock.unlink()
    except OSError as error:
        raise DownloadError(f"{destination}: cannot be written: {error.strerror or error}") from error
    return destination


def _sync_directory(folder: Path) -> None:
    """Makes a rename in the folder survive a power cut, where the system allows it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
