"""References → verified local directories."""

import hashlib
import multiprocessing
import shutil
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.zoo import manifest, resolve
from sciml_zoo.zoo.layout import FILES
from sciml_zoo.zoo.manifest import Weights, weights_row, write_row
from sciml_zoo.zoo.resolve import load_model, weights_cache

from .shelf import FIELDS
from .toy import Toy, assert_same_state, state

NAME = "toy_linear.tiny"
URL = "https://example.org/weights/tiny"


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights in the package, empty."""
    monkeypatch.setattr(resolve, "PACKAGED", tmp_path / "packaged")
    (tmp_path / "packaged").mkdir()
    return tmp_path / "packaged"


@pytest.fixture
def shelve(
    packaged: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str | None], Weights]:
    """Writes the manifest's only row."""
    path = tmp_path / "weights.json"
    path.write_text('{"format_version": 1, "weights": []}')
    monkeypatch.setattr(manifest, "MANIFEST_PATH", path)

    def write(url: str | None) -> Weights:
        row = weights_row(saved, name=NAME, **FIELDS, url=url)
        write_row(path, row)
        return row

    yield write
    manifest.manifest.cache_clear()


class Server:
    """Stands in for the downloader: copies from a directory, checking as the real one does."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.requests = directory, []

    def download(self, url: str, destination: Path, *, sha256: str | None, size: int | None = None) -> Path:
        self.requests.append(url)
        base, _, name = url.rpartition("/")
        assert base == URL
        content = (self.directory / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256 or len(content) != size:
            raise FailureError(f"{url}: wrong sha256")
        destination.write_bytes(content)
        return destination


@pytest.fixture
def server(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    from sciml_zoo.datasets import download

    server = Server(saved)
    monkeypatch.setattr(download, "download", server.download)
    return server


def test_packaged_weights(shelve: Callable, packaged: Path, saved: Path, model: Toy, server: Server) -> None:
    shelve(URL)
    shutil.copytree(saved, packaged / NAME)
    (packaged / NAME / "notes.txt").write_text("ignored")
    assert resolve.resolve(NAME) == packaged / NAME
    assert_same_state(state(load_model(NAME)), state(model))
    assert server.requests == []


@pytest.mark.parametrize("name", FILES)
def test_one_wrong_bit_in_any_packaged_file_is_found(shelve: Callable, packaged: Path, saved: Path, name: str) -> None:
    shelve(None)
    shutil.copytree(saved, packaged / NAME)
    content = bytearray((saved / name).read_bytes())
    content[-1] ^= 1
    (packaged / NAME / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} has sha256 .* instead of .*; reinstall it: pip install"):
        load_model(NAME)


@pytest.mark.parametrize("name", FILES)
def test_packaged_file_missing_longer_or_elsewhere(
    shelve: Callable, packaged: Path, saved: Path, tmp_path: Path, name: str
) -> None:
    shelve(None)
    shutil.copytree(saved, packaged / NAME)
    path = packaged / NAME / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(InputError, match=rf"{name} has \d+ bytes instead of \d+; reinstall"):
        load_model(NAME)
    path.unlink()
    with pytest.raises(InputError, match=rf"{name} is missing or leads elsewhere; reinstall"):
        load_model(NAME)
    path.symlink_to(saved / name)
    with pytest.raises(InputError, match=rf"{name} is missing or leads elsewhere; reinstall"):
        load_model(NAME)


def test_download_happens_once_and_every_load_checks(
    shelve: Callable, saved: Path, model: Toy, server: Server, tmp_path: Path
) -> None:
    shelve(URL)
    directory = resolve.resolve(NAME)
    assert directory.parent == tmp_path / "cache/weights"
    assert server.requests == [f"{URL}/{name}" for name in FILES]
    assert_same_state(state(load_model(NAME)), state(model))
    assert len(server.requests) == len(FILES)
    (directory / "config.json").write_bytes((saved / "config.json").read_bytes().replace(b"5", b"6"))
    with pytest.raises(InputError, match=rf"has sha256 .*; delete {directory} and load it again"):
        load_model(NAME)
    shutil.rmtree(directory)  # as the error says
    load_model(NAME)


def test_another_release_of_the_same_name_lies_beside(shelve: Callable, saved: Path, server: Server) -> None:
    shelve(URL)
    first = resolve.resolve(NAME)
    (saved / "README.md").write_text("a better card")
    shelve(URL)
    second = resolve.resolve(NAME)
    assert first != second
    assert (first / "README.md").read_text() != (second / "README.md").read_text()


def test_a_failed_download_leaves_nothing(shelve: Callable, saved: Path, server: Server, tmp_path: Path) -> None:
    shelve(URL)
    good = (saved / "golden.safetensors").read_bytes()
    (saved / "golden.safetensors").write_bytes(b"wrong")
    with pytest.raises(FailureError, match=r"golden\.safetensors: wrong sha256"):
        resolve.resolve(NAME)
    assert [path for path in (tmp_path / "cache/weights").iterdir() if path.is_dir()] == []
    (saved / "golden.safetensors").write_bytes(good)
    assert resolve.resolve(NAME).is_dir()


def test_a_cache_that_cannot_be_written(shelve: Callable, server: Server, tmp_path: Path) -> None:
    shelve(URL)
    (tmp_path / "file").write_text("")
    with pytest.raises(FailureError, match=r"could not download toy_linear\.tiny"):
        resolve.resolve(NAME, cache=tmp_path / "file/cache")


def test_a_chosen_cache_and_the_default_one(
    shelve: Callable, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelve(URL)
    assert resolve.resolve(NAME, cache=tmp_path / "mine").parent == tmp_path / "mine"
    monkeypatch.delenv("SCIML_ZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert weights_cache() == tmp_path / "xdg/sciml_zoo/weights"


def _resolve_in_a_process(queue: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)
    queue.put((str(resolve.resolve(NAME)), float(load_model(NAME).linear.weight.detach().sum())))


def test_two_processes_at_once_download_once(
    shelve: Callable, server: Server, saved: Path, model: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelve(URL)
    log = tmp_path / "requests"
    download = server.download

    def logged(url: str, destination: Path, **known: object) -> Path:
        with log.open("a") as file:
            file.write(f"{url}\n")
        time.sleep(0.2)  # long enough for the other process to arrive
        return download(url, destination, **known)

    from sciml_zoo.datasets import download as module

    monkeypatch.setattr(module, "download", logged)
    context = multiprocessing.get_context("fork")
    together = context.Barrier(2)  # both see that nothing is there before either has begun
    monkeypatch.setattr(resolve, "settle_directory", lambda target: together.wait(30))
    queue = context.Queue()
    processes = [context.Process(target=_resolve_in_a_process, args=(queue,)) for _ in range(2)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert answers[0] == answers[1]
    assert answers[0][1] == float(model.linear.weight.detach().sum())
    assert len(log.read_text().splitlines()) == len(FILES)


def test_weights_that_are_nowhere(shelve: Callable) -> None:
    shelve(None)
    with pytest.raises(FailureError, match="is not in this installation and cannot be downloaded; reinstall"):
        resolve.resolve(NAME)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("toy_linear.tinny", r"unknown weights 'toy_linear\.tinny': did you mean 'toy_linear\.tiny'\?"),
        ("toy_linear", r"unknown weights 'toy_linear': did you mean 'toy_linear\.tiny'\?"),
        ("", "unknown weights ''"),
        ("runs/best", r"is a path, not a name on the shelf: did you mean 'local-dir:runs/best'\?"),
        ("./best", "local-dir:./best"),
        ("~/best", "local-dir:~/best"),
        ("best", "local-dir:best"),
        ("../toy_linear.tiny", "is a path, not a name"),
        ("localdir:best", r"unknown kind of reference 'localdir': did you mean 'local-dir'\?"),
        ("https://example.org/x", "a URL is not a reference"),
        ("local-dir:", "there is no such directory"),
        ("local-dir:nowhere", "there is no such directory"),
        ("local-dir:\0", "there is no such directory"),
        ("local-dir:" + "x" * 5000, "too long"),
        ("local-dir:~nobody-of-that-name/x", "home directory"),
        ("\0", "unknown weights"),
        ("x" * 5000, "unknown weights"),
        ("hf-hub:", "expected hf-hub:ORG/REPO@REVISION"),
        ("hf-hub:repo", "expected hf-hub:ORG/REPO@REVISION"),
        ("hf-hub:a/b/c", "expected hf-hub:ORG/REPO@REVISION"),
        ("hf-hub:org/repo@", "expected hf-hub:ORG/REPO@REVISION"),
        ("hf-hub:org/repo@v 1", "expected hf-hub:ORG/REPO@REVISION"),
    ],
)
def test_wrong_references(
    shelve: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, message: str
) -> None:
    shelve(None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best").mkdir()
    with pytest.raises(InputError, match=message):
        resolve.resolve(reference)


def test_a_path_object_is_a_path(saved: Path) -> None:
    with pytest.raises(InputError, match=f"did you mean 'local-dir:{saved}'"):
        resolve.resolve(saved)  # type: ignore[arg-type]


def test_local_dir_of_a_pickle(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "best.pt")
    with pytest.raises(InputError, match=r"best\.pt is a pickle, .* never unpickled"):
        load_model(f"local-dir:{tmp_path / 'best.pt'}")
    (tmp_path / "best").write_text("")
    with pytest.raises(InputError, match=r"is a file; a checkpoint is a directory"):
        load_model(f"local-dir:{tmp_path / 'best'}")


def test_local_dir_finishes_what_a_dead_process_left(saved: Path, model: Toy) -> None:
    saved.rename(saved.with_name(".saved.previous"))
    assert resolve.resolve(f"local-dir:{saved}") == saved
    assert_same_state(state(load_model(f"local-dir:{saved}")), state(model))


class Hub:
    """A fake huggingface_hub whose snapshots are links to blobs, as in the real cache."""

    def __init__(self, directory: Path, source: Path) -> None:
        self.directory, self.source, self.calls = directory, source, []

    def snapshot_download(self, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.calls.append((repo_id, revision))
        if repo_id == "org/offline":
            raise ConnectionError("no network")
        snapshot = self.directory / "snapshots/0123abc"
        shutil.rmtree(self.directory, ignore_errors=True)
        snapshot.mkdir(parents=True)
        (self.directory / "blobs").mkdir()
        for name in allow_patterns:
            if (self.source / name).exists():
                shutil.copyfile(self.source / name, self.directory / "blobs" / name)
                (snapshot / name).symlink_to(f"../../blobs/{name}")
        return str(snapshot)


@pytest.fixture
def hub(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path / "hub", saved)
    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = hub.snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return hub


def test_hub_checkpoint(hub: Hub, saved: Path, model: Toy, tmp_path: Path) -> None:
    (saved / "extra.pt").write_bytes(b"")
    directory = resolve.resolve("hf-hub:org/repo@v1")
    assert hub.calls == [("org/repo", "v1")]
    assert directory == tmp_path / "cache/weights/hf-hub/org--repo@0123abc"
    assert sorted(path.name for path in directory.iterdir()) == sorted(FILES)
    assert_same_state(state(load_model("hf-hub:org/repo@v1")), state(model))
    (directory / "model.safetensors").write_bytes(b"damaged")
    assert_same_state(state(load_model("hf-hub:org/repo@v1")), state(model))


def test_hub_without_a_revision_recommends_one(hub: Hub) -> None:
    with pytest.warns(UserWarning, match="names no revision and may change; pin it"):
        resolve.resolve("hf-hub:org/repo")
    assert hub.calls == [("org/repo", None)]


def test_hub_that_fails_or_holds_something_else(hub: Hub, saved: Path) -> None:
    with pytest.raises(FailureError, match="hf-hub:org/offline@v1 could not be fetched: ConnectionError: no network"):
        resolve.resolve("hf-hub:org/offline@v1")
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"it lacks model\.safetensors \(pickles are never read\)"):
        resolve.resolve("hf-hub:org/repo@v1")


def test_hub_library_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'sciml-zoo\[hub\]'"):
        resolve.resolve("hf-hub:org/repo@v1")
