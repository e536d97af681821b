import gzip
import hashlib
import os
from pathlib import Path

import pytest

import sciml_zoo
from sciml_zoo.datasets import (
    ChecksumError,
    DataFile,
    DataFolderError,
    Dataset,
    MissingDataError,
    NoDownloadError,
    OfflineError,
    UnknownDatasetError,
    UnknownFileError,
    Upstream,
    catalog,
    dataset_file,
    dataset_path,
    dataset_place,
    fetch_dataset,
    referenced_file,
)
from sciml_zoo.errors import InputError

from .conftest import CONTENT, SHA256, Answer

DATA = os.environ.get("SCIML_ZOO_DATA", "")
COMPRESSED = gzip.compress(CONTENT, mtime=0)


def _toy(server, *, sha256=SHA256, derived=False, name="toy") -> Dataset:
    upstream = Upstream(
        server.url, "data.bin", len(CONTENT) if sha256 else None, sha256, "upstream" if sha256 else None
    )
    files = [DataFile("sub/train.xyz.gz", len(COMPRESSED), hashlib.sha256(COMPRESSED).hexdigest(), upstream)]
    if derived:
        files.insert(0, DataFile("best.csv", 1, "0" * 64, None))
    note = "best.csv was derived" if derived else None
    return Dataset(name, "test", f"test/{name}", "", "its source", None, "MIT", None, None, note, tuple(files))


@pytest.fixture
def toy(server, monkeypatch):
    def add(**options) -> Dataset:
        dataset = _toy(server, **options)
        monkeypatch.setitem(catalog._catalog(), dataset.name, dataset)
        return dataset

    return add


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A folder for SCIML_ZOO_DATA with our compressed copy of the toy's file."""
    folder = tmp_path / "data" / "test" / "toy" / "sub"
    folder.mkdir(parents=True)
    (folder / "train.xyz.gz").write_bytes(COMPRESSED)
    monkeypatch.setenv("SCIML_ZOO_DATA", str(tmp_path / "data"))
    return folder / "train.xyz.gz"


def test_the_users_folder_comes_before_cache_and_download(toy, server, local, tmp_path):
    toy()
    assert dataset_file("toy", "sub/train.xyz") == local
    assert dataset_path("toy") == tmp_path / "data" / "test" / "toy"
    assert dataset_place("toy") == "local"
    assert server.requests == []


def test_the_users_folder_comes_before_a_file_in_the_cache(toy, server, local, monkeypatch):
    toy()
    monkeypatch.delenv("SCIML_ZOO_DATA")
    cached = dataset_file("toy", "sub/train.xyz")
    monkeypatch.setenv("SCIML_ZOO_DATA", str(local.parents[3]))
    assert dataset_file("toy", "sub/train.xyz") == local != cached


def test_the_name_as_asked_comes_first(toy, local):
    toy()
    plain = local.with_suffix("")
    plain.write_bytes(CONTENT)
    assert dataset_file("toy", "sub/train.xyz") == plain
    assert dataset_file("toy", "sub/train.xyz.gz") == local


def test_what_the_users_folder_lacks_is_downloaded(toy, server, local):
    toy()
    local.unlink()
    assert dataset_file("toy", "sub/train.xyz").read_bytes() == CONTENT


def test_another_data_set_is_downloaded_though_the_users_folder_is_there(toy, local):
    toy(name="other")
    assert dataset_file("other", "sub/train.xyz").read_bytes() == CONTENT


@pytest.mark.parametrize("call", [lambda: dataset_path("toy"), lambda: dataset_file("toy", "sub/train.xyz")])
def test_a_data_folder_that_is_not_there_is_an_error(toy, server, call, tmp_path, monkeypatch):
    toy()
    monkeypatch.setenv("SCIML_ZOO_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataFolderError, match=r"SCIML_ZOO_DATA is .*nowhere"):
        call()
    assert server.requests == []


def test_downloads_into_the_cache_once(toy, server, tmp_path):
    toy()
    assert dataset_place("toy") == "download"
    path = dataset_file("toy", "sub/train.xyz.gz")
    assert path == tmp_path / "cache" / "datasets" / "test" / "toy" / "sub" / "train.xyz"
    assert path.read_bytes() == CONTENT
    assert dataset_path("toy") == path.parents[1]
    assert dataset_file("toy", "sub/train.xyz") == path
    assert dataset_place("toy") == "cache"
    assert len(server.requests) == 1


def test_wrong_bytes_never_reach_the_cache(toy, server, tmp_path):
    toy()
    server.answers = [Answer(content=CONTENT[::-1])]
    with pytest.raises(ChecksumError):
        dataset_file("toy", "sub/train.xyz")
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".train.xyz.lock"]


@pytest.mark.parametrize("sha256", [SHA256, None], ids=["known hash", "pinned by commit only"])
def test_a_change_in_the_cache_is_found(toy, sha256):
    toy(sha256=sha256)
    path = dataset_file("toy", "sub/train.xyz")
    assert dataset_file("toy", "sub/train.xyz") == path
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ChecksumError, match=r"has changed since it was downloaded; delete it"):
        dataset_file("toy", "sub/train.xyz")
    with pytest.raises(ChecksumError):
        fetch_dataset("toy")
    path.unlink()
    assert dataset_file("toy", "sub/train.xyz").read_bytes() == CONTENT


def test_a_file_pinned_by_commit_only_has_its_hash_recorded(toy):
    toy(sha256=None)
    path = dataset_file("toy", "sub/train.xyz")
    record = path.with_name("train.xyz.sha256")
    assert record.read_text().strip() == SHA256
    record.unlink()  # as if the process had died in between
    dataset_file("toy", "sub/train.xyz")
    assert record.read_text().strip() == SHA256


def test_offline_forbids_downloads_and_nothing_else(toy, server, monkeypatch):
    toy()
    monkeypatch.setenv("SCIML_ZOO_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"SCIML_ZOO_OFFLINE forbids.*http://127"):
        dataset_file("toy", "sub/train.xyz")
    assert server.requests == []
    monkeypatch.setenv("SCIML_ZOO_OFFLINE", "0")
    path = dataset_file("toy", "sub/train.xyz")
    monkeypatch.setenv("SCIML_ZOO_OFFLINE", "1")
    assert dataset_file("toy", "sub/train.xyz") == path
    assert fetch_dataset("toy") == path.parents[1]


def test_a_file_without_an_address_says_what_to_do(toy, server):
    toy(derived=True)
    assert dataset_place("toy") == "partly"
    with pytest.raises(NoDownloadError, match=r"best\.csv was derived.*set SCIML_ZOO_DATA .*its source"):
        dataset_file("toy", "best.csv")
    assert server.requests == []
    with pytest.raises(NoDownloadError, match=r"best\.csv"):
        fetch_dataset("toy")
    assert len(server.requests) == 1  # fetch has brought what can be had
    assert dataset_place("toy") == "cache"


def test_real_entries_without_an_address_say_what_to_do():
    with pytest.raises(NoDownloadError, match="SCIML_ZOO_DATA"):
        dataset_path("eutl")
    assert dataset_place("eutl") == "by hand"


def test_names_and_files_outside_the_catalogue_are_errors(toy, tmp_path):
    toy()
    (tmp_path / "secret").write_text("")
    for file in ("../secret", str(tmp_path / "secret"), "sub/tran.xyz", ""):
        with pytest.raises(UnknownFileError, match="sub/train"):
            dataset_file("toy", file)
    for call in (dataset_path, dataset_place, fetch_dataset):
        with pytest.raises(UnknownDatasetError, match="did you mean 'toy'"):
            call("toyy")


def test_a_reference_names_a_file_or_a_folder_of_files(toy, local):
    toy()
    assert referenced_file("dataset:toy/sub/train.xyz") == local
    assert referenced_file("dataset:toy/sub") == local.parent
    assert referenced_file("elsewhere/train.xyz") == Path("elsewhere/train.xyz")
    for reference in ("dataset:toy", "dataset:toy/"):
        with pytest.raises(InputError, match="name a file too"):
            referenced_file(reference)
    with pytest.raises(UnknownFileError, match="sub/train"):
        referenced_file("dataset:toy/su")


def test_a_folder_that_is_not_there_is_downloaded(toy, tmp_path):
    toy()
    folder = referenced_file("dataset:toy/sub/")
    assert folder == tmp_path / "cache" / "datasets" / "test" / "toy" / "sub"
    assert (folder / "train.xyz").read_bytes() == CONTENT


def test_a_reference_may_name_the_folder_of_a_data_set(tmp_path, monkeypatch):
    file = tmp_path / "potentials" / "mlearn" / "Si" / "test.json.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(COMPRESSED)
    monkeypatch.setenv("SCIML_ZOO_DATA", str(tmp_path))
    assert referenced_file("dataset:mlearn/Si/test.json") == file == referenced_file("dataset:mlearn_si/test.json")
    with pytest.raises(UnknownDatasetError, match="did you mean 'mlearn_"):
        referenced_file("dataset:mlearn/Si")


@pytest.mark.parametrize("form", ["our copy", "upstream file"])
def test_fetch_accepts_the_users_files(toy, server, local, form):
    toy()
    if form == "upstream file":
        local.unlink()
        local.with_suffix("").write_bytes(CONTENT)
    assert fetch_dataset("toy") == local.parents[1]
    assert server.requests == []


def test_fetch_finds_damage_and_gaps_in_the_users_files(toy, local):
    toy()
    local.write_bytes(COMPRESSED[:-1])
    with pytest.raises(ChecksumError, match="the file was changed"):
        fetch_dataset("toy")
    local.unlink()
    with pytest.raises(MissingDataError, match=r"lacks sub/train\.xyz\.gz"):
        fetch_dataset("toy")


def test_fetch_reports_progress_by_file(toy):
    dataset, seen = toy(), []
    fetch_dataset("toy", progress=lambda file, done, total: seen.append((file, done, total)))
    assert seen[-1] == (dataset.files[0], len(CONTENT), len(CONTENT))


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The package as it lies in a clone, with samples beside it."""
    package = tmp_path / "clone" / "sciml_zoo"
    package.mkdir(parents=True)
    monkeypatch.setattr(sciml_zoo, "__file__", str(package / "__init__.py"))
    return package


@pytest.mark.parametrize("place", ["data/samples", "sciml_zoo/_samples"], ids=["clone", "wheel"])
def test_samples_come_with_the_project(clone, place):
    folder = clone.parent / place
    folder.mkdir(parents=True)
    (folder / "water.xyz").write_text("3\n")
    assert dataset_path("samples") == fetch_dataset("samples") == folder
    assert dataset_file("samples", "water.xyz") == folder / "water.xyz"
    with pytest.raises(UnknownFileError, match=r"did you mean 'water\.xyz'"):
        dataset_file("samples", "watr.xyz")
    (clone.parent / "secret").write_text("")
    with pytest.raises(UnknownFileError):
        dataset_file("samples", str(Path(os.path.relpath(clone.parent / "secret", folder))))


def test_samples_that_are_not_installed_are_a_failure(clone):
    with pytest.raises(MissingDataError, match="reinstall"):
        dataset_path("samples")
    with pytest.raises(MissingDataError):
        dataset_file("samples", "water.xyz")


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name in catalog._catalog() if name != "samples"])
def test_the_data_of_this_machine_are_whole(name, monkeypatch):
    monkeypatch.setenv("SCIML_ZOO_DATA", DATA)
    monkeypatch.setenv("SCIML_ZOO_OFFLINE", "1")
    folder = fetch_dataset(name)
    assert folder == Path(DATA).absolute() / catalog.get_dataset(name).folder
