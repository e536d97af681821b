"""A local HTTP server that misbehaves on request."""

import contextlib
import hashlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CONTENT = random.Random(20).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Answer:
    """How to answer one request."""

    content: bytes = CONTENT
    status: int | None = None  # an error, without content
    cut_after: int | None = None  # close the connection after so many bytes of the body
    claim: int | None = None  # a false Content-Length
    stall_after: int | None = None  # send so many bytes of the body, then nothing more
    ranges: bool = True
    etag: str | None = '"v1"'
    location: str | None = None
    pause: float = 0.0  # seconds between chunks of 16 KiB


@dataclass
class Server:
    """Answers requests in turn; the last answer is for all that follow."""

    url: str
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)  # bytes of the body, a request
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        return [request.get("Range") for request in self.requests]


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with server.lock:
                number = len(server.requests)
                server.requests.append({**dict(self.headers), "path": self.path})
                server.sent.append(0)
                answer = server.answers[min(number, len(server.answers) - 1)]
            with contextlib.suppress(OSError):
                self.answer(answer, number)
            self.close_connection = True

        def answer(self, answer: Answer, number: int) -> None:
            if answer.status is not None:
                self.send_response(answer.status)
                if answer.location:
                    self.send_header("Location", answer.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start, total = self.start(answer), len(answer.content)
            if start > 0 and start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.end_headers()
                return
            body = answer.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            if answer.etag:
                self.send_header("ETag", answer.etag)
            self.send_header("Content-Length", str(len(body) if answer.claim is None else answer.claim))
            self.end_headers()
            self.send_body(answer, body, number)

        def start(self, answer: Answer) -> int:
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            changed = self.headers.get("If-Range", answer.etag) != answer.etag
            return int(found[1]) if found and answer.ranges and not changed else 0

        def send_body(self, answer: Answer, body: bytes, number: int) -> None:
            stop = min(limit for limit in (answer.cut_after, answer.stall_after, len(body)) if limit is not None)
            for offset in range(0, stop, 1 << 14):
                chunk = body[offset : min(offset + (1 << 14), stop)]
                self.wfile.write(chunk)
                server.sent[number] += len(chunk)
                time.sleep(answer.pause)
            if answer.stall_after is not None:
                server.closing.wait(10)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    shared = Server(url="")
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(shared))
    http.daemon_threads = True
    shared.url = f"http://127.0.0.1:{http.server_port}/data.bin"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield shared
    shared.closing.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees this machine's data or cache, or waits long between tries."""
    monkeypatch.delenv("SCIML_ZOO_DATA", raising=False)
    monkeypatch.delenv("SCIML_ZOO_OFFLINE", raising=False)
    monkeypatch.setenv("SCIML_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sciml_zoo.datasets.download._FIRST_PAUSE", 0.01)


@pytest.fixture
def leftovers() -> Callable[[Path], set[str]]:
    """Names in a folder, except for locks, which stay."""
    return lambda folder: {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}
