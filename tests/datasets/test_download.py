import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sciml_zoo.datasets.download import ChecksumError, DownloadError, UnsafeURLError, download

from .conftest import CONTENT, SHA256, Answer, Server

SCRIPT = """
import sys
from pathlib import Path
from sciml_zoo.datasets.download import download
url, destination, sha256 = sys.argv[1:]
print(download(url, Path(destination), sha256=sha256))
"""


def _process(server: Server, destination: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, server.url, str(destination), SHA256]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_downloads_into_a_new_folder_and_reports_progress(server, tmp_path):
    seen = []
    path = download(
        server.url, tmp_path / "a" / "b.bin", sha256=SHA256, progress=lambda done, total: seen.append((done, total))
    )
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["b.bin"]
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_file_that_is_there_and_right_is_not_downloaded(server, tmp_path):
    (tmp_path / "b").write_bytes(CONTENT)
    download(server.url, tmp_path / "b", sha256=SHA256)
    assert server.requests == []


def test_a_file_that_is_there_and_wrong_is_replaced(server, tmp_path):
    (tmp_path / "b").write_bytes(b"old")
    assert download(server.url, tmp_path / "b", sha256=SHA256).read_bytes() == CONTENT


def test_goes_on_where_the_connection_was_cut(server, tmp_path):
    server.answers = [Answer(cut_after=100_000), Answer(cut_after=50_000), Answer()]
    path = download(server.url, tmp_path / "b", sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=100000-", "bytes=150000-"]
    assert server.sent == [100_000, 50_000, 150_000]


def test_cuts_that_bring_something_new_do_not_count_as_failures(server, tmp_path):
    server.answers = [Answer(cut_after=10_000)]
    assert download(server.url, tmp_path / "b", sha256=SHA256, retries=1).read_bytes() == CONTENT
    assert len(server.requests) == 30


def test_without_progress_it_gives_up_and_keeps_what_came(server, tmp_path, leftovers):
    server.answers = [Answer(cut_after=100_000), Answer(cut_after=0)]
    with pytest.raises(DownloadError, match=r"gave up after 3 tries .*100,000 bytes are kept"):
        download(server.url, tmp_path / "b", sha256=SHA256, retries=2)
    assert leftovers(tmp_path) == {"b.part", "b.part.json"}
    server.answers = [Answer()]
    assert download(server.url, tmp_path / "b", sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges()[-1] == "bytes=100000-"


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.answers = [Answer(cut_after=100_000), Answer(ranges=False)]
    assert download(server.url, tmp_path / "b", sha256=SHA256).read_bytes() == CONTENT
    assert server.sent == [100_000, 300_000]


@pytest.mark.parametrize(
    ("etags", "requests"), [(('"v1"', '"v2"'), 2), (('W/"v1"', 'W/"v2"'), 3)], ids=["strong", "weak"]
)
def test_a_file_that_changed_meanwhile_is_not_spliced(server, tmp_path, etags, requests):
    """With a strong ETag the server is asked for the whole file if it changed (If-Range)."""
    newer = CONTENT[::-1]
    server.answers = [Answer(cut_after=100_000, etag=etags[0]), Answer(content=newer, etag=etags[1])]
    path = download(server.url, tmp_path / "b", sha256=None)
    assert path.read_bytes() == newer
    assert len(server.requests) == requests


def test_without_etag_and_hash_nothing_is_spliced(server, tmp_path):
    newer = CONTENT[::-1]
    server.answers = [Answer(cut_after=100_000, etag=None), Answer(content=newer, etag=None)]
    assert download(server.url, tmp_path / "b", sha256=None).read_bytes() == newer
    assert server.ranges() == [None, None]


def test_the_part_of_another_address_is_not_continued(server, tmp_path):
    server.answers = [Answer(cut_after=100_000), Answer(status=404), Answer(content=CONTENT[::-1])]
    with pytest.raises(DownloadError):
        download(server.url, tmp_path / "b", sha256=None)
    download(f"{server.url}?other", tmp_path / "b", sha256=None)
    assert server.ranges()[-1] is None
    assert (tmp_path / "b").read_bytes() == CONTENT[::-1]


def test_wrong_bytes_are_thrown_away(server, tmp_path, leftovers):
    server.answers = [Answer(content=CONTENT[:-1] + b"!")]
    with pytest.raises(ChecksumError, match=SHA256):
        download(server.url, tmp_path / "b", sha256=SHA256)
    assert leftovers(tmp_path) == set()
    assert len(server.requests) == 1


def test_wrong_bytes_leave_the_old_file(server, tmp_path):
    (tmp_path / "b").write_bytes(b"old")
    server.answers = [Answer(content=b"wrong")]
    with pytest.raises(ChecksumError):
        download(server.url, tmp_path / "b", sha256=SHA256)
    assert (tmp_path / "b").read_bytes() == b"old"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_length_that_is_too_long_never_passes_for_complete(server, tmp_path, ranges, leftovers):
    """With ranges, the server's 416 settles the length; without, it never does."""
    server.answers = [Answer(claim=len(CONTENT) + 1000, ranges=ranges)]
    if ranges:
        assert download(server.url, tmp_path / "b", sha256=SHA256, retries=2).read_bytes() == CONTENT
    else:
        with pytest.raises(DownloadError, match="300,000 of 301,000 bytes"):
            download(server.url, tmp_path / "b", sha256=None, retries=2)
        assert "b" not in leftovers(tmp_path)
        assert len(server.requests) == 4


def test_a_length_that_is_too_short_fails_by_hash(server, tmp_path, leftovers):
    server.answers = [Answer(claim=1000)]
    with pytest.raises(ChecksumError):
        download(server.url, tmp_path / "b", sha256=SHA256)
    assert leftovers(tmp_path) == set()


def test_a_length_that_is_too_short_is_made_up_for_if_the_size_is_known(server, tmp_path):
    server.answers = [Answer(claim=1000), Answer()]
    assert download(server.url, tmp_path / "b", sha256=SHA256, size=len(CONTENT)).read_bytes() == CONTENT


def test_more_bytes_than_the_known_size_are_refused(server, tmp_path, leftovers):
    with pytest.raises(ChecksumError, match="more than the 1,000 bytes"):
        download(server.url, tmp_path / "b", sha256=None, size=1000)
    assert leftovers(tmp_path) == set()


def test_an_empty_file_is_a_file(server, tmp_path):
    server.answers = [Answer(content=b"")]
    assert download(server.url, tmp_path / "b", sha256=None).read_bytes() == b""


def test_not_found_is_final(server, tmp_path, leftovers):
    server.answers = [Answer(status=404)]
    with pytest.raises(DownloadError, match="404"):
        download(server.url, tmp_path / "b", sha256=SHA256)
    assert len(server.requests) == 1
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_trouble_passes(server, tmp_path, status):
    server.answers = [Answer(status=status), Answer(status=status), Answer()]
    assert download(server.url, tmp_path / "b", sha256=SHA256).read_bytes() == CONTENT


def test_a_stall_is_ended_and_continued(server, tmp_path):
    server.answers = [Answer(stall_after=100_000), Answer()]
    began = time.monotonic()
    assert download(server.url, tmp_path / "b", sha256=SHA256, timeout=0.3).read_bytes() == CONTENT
    assert time.monotonic() - began < 5
    assert server.ranges() == [None, "bytes=100000-"]


def test_nobody_listens(server, tmp_path):
    with pytest.raises(DownloadError, match="refused"):
        download("http://127.0.0.1:1/b", tmp_path / "b", sha256=SHA256, retries=1)


@pytest.mark.parametrize(
    "url", ["http://example.org/b", "ftp://127.0.0.1/b", "file:///etc/passwd", "b", "http://127.0.0.1.example.org/b"]
)
def test_unsafe_addresses_are_refused(tmp_path, url):
    with pytest.raises(UnsafeURLError, match="https"):
        download(url, tmp_path / "b", sha256=None)
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_to_an_unsafe_address_is_refused(server, tmp_path, leftovers):
    server.answers = [Answer(status=302, location="http://example.org/b")]
    with pytest.raises(UnsafeURLError, match="example"):
        download(server.url, tmp_path / "b", sha256=None)
    assert leftovers(tmp_path) == set()


def test_a_full_disk_is_a_failure_at_once(server, tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sciml_zoo.datasets.download.os.fsync", full)
    with pytest.raises(DownloadError, match="No space left"):
        download(server.url, tmp_path / "b", sha256=SHA256)
    assert not (tmp_path / "b").exists()
    assert len(server.requests) == 1


def test_a_folder_that_cannot_be_made_is_a_failure(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(server.url, tmp_path / "file" / "b", sha256=SHA256)


@pytest.mark.parametrize("count", [2, 4])
def test_processes_at_once_download_once(server, tmp_path, count):
    server.answers = [Answer(pause=0.02)]
    processes = [_process(server, tmp_path / "b") for _ in range(count)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.strip() == str(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_killed_download_is_continued_by_the_next_process(server, tmp_path):
    server.answers = [Answer(stall_after=100_000), Answer()]
    process = _process(server, tmp_path / "b")
    deadline = time.monotonic() + 30
    while not (server.sent == [100_000] and (tmp_path / "b.part").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)  # the bytes reach the part
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = (tmp_path / "b.part").stat().st_size
    assert 0 < kept <= 100_000
    assert not (tmp_path / "b").exists()
    assert download(server.url, tmp_path / "b", sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={kept}-"]


def test_a_finished_part_needs_no_byte_more(server, tmp_path):
    """The process was killed between the last byte and the rename."""
    (tmp_path / "b.part").write_bytes(CONTENT)
    assert download(server.url, tmp_path / "b", sha256=SHA256).read_bytes() == CONTENT
    assert sum(server.sent) == 0


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "b.part").write_bytes(CONTENT + b"more")
    assert download(server.url, tmp_path / "b", sha256=SHA256).read_bytes() == CONTENT
