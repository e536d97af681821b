"""A data set's name → local files.

The places, in order:

1. ``SCIML_ZOO_DATA``, a folder laid out as the catalogue says (``potentials/rmd17_ethanol/train.xyz.gz``);
2. for the data set ``samples``, the ones that come with this project;
3. the cache: ``datasets/`` under ``SCIML_ZOO_CACHE``, or under the user's cache folder;
4. a download into the cache, unless ``SCIML_ZOO_OFFLINE`` is 1.

Files in the cache are checked against a SHA-256 each time they are asked for. Where the catalogue knows the upstream
file only by its commit, the first download records the hash beside the file (``<file>.sha256``), and later loads
check against that: a change on disk is found, a wrong first download (against which only https protects) is not.
Files under ``SCIML_ZOO_DATA`` belong to the user and are checked by :func:`fetch_dataset` only.
"""

import os
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path

import sciml_zoo
from sciml_zoo._files import sha256_of, write_atomically
from sciml_zoo.datasets.catalog import DataFile, Dataset, UnknownFileError, get_dataset, list_datasets
from sciml_zoo.datasets.download import ChecksumError, download
from sciml_zoo.errors import FailureError, InputError, nearest

__all__ = [
    "DataFolderError",
    "MissingDataError",
    "NoDownloadError",
    "OfflineError",
    "dataset_file",
    "dataset_path",
    "dataset_place",
    "fetch_dataset",
    "referenced_file",
]

_SAMPLES = "samples"

FileProgress = Callable[[DataFile, int, int | None], None]


class DataFolderError(InputError):
    """``SCIML_ZOO_DATA`` is set to something that is not a folder."""


class NoDownloadError(InputError):
    """The file is not there, and no address is known from which it could be downloaded as it should be."""


class OfflineError(FailureError):
    """The file would have to be downloaded, and ``SCIML_ZOO_OFFLINE`` forbids it."""


class MissingDataError(FailureError):
    """A folder of data lacks files that it should have."""


def _data_root() -> Path | None:
    value = os.environ.get("SCIML_ZOO_DATA")
    if not value:
        return None
    root = Path(value).expanduser()
    if not root.is_dir():
        raise DataFolderError(
            f"SCIML_ZOO_DATA is {value!r}, which is not a folder; set it to the folder that holds 'potentials/' and "
            "the other domains, or unset it to download data sets when they are needed"
        )
    return root.absolute()


def _cache_folder(dataset: Dataset) -> Path:
    value = os.environ.get("SCIML_ZOO_CACHE")
    root = Path(value).expanduser().absolute() if value else user_cache_path("sciml_zoo")
    return root / "datasets" / dataset.folder


def _local_folder(dataset: Dataset) -> Path | None:
    """Returns the folder that the user, or the project itself, provides."""
    root = _data_root()
    candidates = [] if root is None else [root / dataset.folder]
    if dataset.name == _SAMPLES:
        package = Path(sciml_zoo.__file__).parent
        candidates += [package.parent / "data" / "samples", package / "_samples"]
    return next((folder for folder in candidates if folder.is_dir()), None)


def _present(folder: Path, path: str) -> Path | None:
    """Returns the file, plain or gzip, whichever is there; the name as asked comes first."""
    plain = path.removesuffix(".gz")
    names = [plain, f"{plain}.gz"]
    if path != plain:
        names.reverse()
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _sample_file(folder: Path, path: str) -> Path:
    found = _present(folder, path)
    if found is None or not found.resolve().is_relative_to(folder.resolve()):
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        raise UnknownFileError(f"data set {_SAMPLES!r} has no file {path!r}; {nearest(path, names)}")
    return found


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _cached_file(dataset: Dataset, file: DataFile) -> Path | None:
    """Returns the file in the cache, checked; None if it isn't there.

    Raises:
        ChecksumError: if it has changed since it was downloaded.
    """
    path = _cache_folder(dataset) / file.downloaded_path
    if file.upstream is None or not path.is_file():
        return None
    expected = file.upstream.sha256
    if expected is None and _record(path).is_file():
        expected = _record(path).read_text(encoding="utf-8").strip()
    actual = sha256_of(path)
    if expected is None:  # the process that downloaded it died before it could record the hash
        write_atomically(_record(path), f"{actual}\n")
    elif actual != expected:
        raise ChecksumError(
            f"{path}: the sha256 is {actual}, not {expected}: the file has changed since it was downloaded; "
            "delete it to download it again"
        )
    return path


def _download_file(dataset: Dataset, file: DataFile, progress: FileProgress | None) -> Path:
    if file.upstream is None:
        reason = f" ({dataset.download})" if dataset.download else ""
        raise NoDownloadError(
            f"{dataset.name}: {file.path} can't be downloaded{reason}; set SCIML_ZOO_DATA to a folder that holds "
            f"{dataset.folder}/{file.path}. The source is {dataset.source}"
        )
    path = _cache_folder(dataset) / file.downloaded_path
    if os.environ.get("SCIML_ZOO_OFFLINE", "0") not in {"", "0"}:
        raise OfflineError(
            f"{dataset.name}: {file.path} is not on this machine, and SCIML_ZOO_OFFLINE forbids downloading; unset it, "
            f"set SCIML_ZOO_DATA, or put the file at {path} (from {file.upstream.url})"
        )
    download(
        file.upstream.url,
        path,
        sha256=file.upstream.sha256,
        size=file.upstream.size,
        progress=None if progress is None else lambda done, total: progress(file, done, total),
    )
    if file.upstream.sha256 is None:
        write_atomically(_record(path), f"{sha256_of(path)}\n")
    return path


def dataset_place(name: str) -> str:
    """Says where a data set is, without fetching it.

    Args:
        name: the data set's name.

    Returns:
        ``"local"`` (under ``SCIML_ZOO_DATA``, or with the project), ``"cache"`` (all that can be downloaded is there),
        ``"download"`` (all its files can be downloaded), ``"partly"`` (some can) or ``"by hand"`` (none can).

    Raises:
        UnknownDatasetError: if there is no such data set.
        DataFolderError: if ``SCIML_ZOO_DATA`` is not a folder.
    """
    dataset = get_dataset(name)
    if _local_folder(dataset) is not None:
        return "local"
    available = [file for file in dataset.files if file.upstream is not None]
    folder = _cache_folder(dataset)
    if available and all((folder / file.downloaded_path).is_file() for file in available):
        return "cache"
    if not available:
        return "by hand"
    return "download" if len(available) == len(dataset.files) else "partly"


def dataset_file(name: str, file: str, *, progress: FileProgress | None = None) -> Path:
    """Finds one file of a data set, downloading it if needed.

    Args:
        name: the data set's name.
        file: the file's path in it, such as ``"train.xyz"``; the path returned may end in ``.gz`` all the same.
        progress: called with the file, the bytes so far and the total (None if unknown) during a download.

    Returns:
        The path of the file, plain or gzip.

    Raises:
        UnknownDatasetError: if there is no such data set.
        UnknownFileError: if it has no such file.
        DataFolderError: if ``SCIML_ZOO_DATA`` is not a folder.
        NoDownloadError: if it is not there and can't be downloaded.
        OfflineError: if ``SCIML_ZOO_OFFLINE`` forbids the download.
        ChecksumError: if the file is damaged.
        DownloadError: if the download fails.
    """
    dataset = get_dataset(name)
    folder = _local_folder(dataset)
    if dataset.name == _SAMPLES:
        return _sample_file(_samples_folder(folder), file)
    entry = dataset.file(file)
    found = _present(folder, file) if folder is not None else None
    return found or _cached_file(dataset, entry) or _download_file(dataset, entry, progress)


def referenced_file(reference: str | Path) -> Path:
    """Finds the file that a path or ``dataset:NAME/FILE`` names.

    NAME is a data set's name (``mlearn_si``), or its folder within its domain (``mlearn/Si``). FILE may also be a
    folder in it (``dataset:water_pbe0ts/data_0``), all of whose files are then there.

    Args:
        reference: of a file, or the name of one in the catalogue.

    Returns:
        The local file or folder.

    Raises:
        InputError: ``dataset:NAME`` without a file; an unknown name, or a file that is not to be had, as
            :func:`dataset_file` says.
    """
    if not str(reference).startswith("dataset:"):
        return Path(reference)
    name, file = _name_and_file(str(reference).removeprefix("dataset:"))
    if not file:
        raise InputError(f"{str(reference)!r}: name a file too, as in dataset:rmd17_ethanol/train.xyz")
    dataset = get_dataset(name)
    inside = [entry.path for entry in dataset.files if entry.path.startswith(f"{file.rstrip('/')}/")]
    if not inside:
        return dataset_file(name, file)
    root = _local_folder(dataset)
    if root is not None and (root / file).is_dir():
        return root / file
    for path in inside:
        dataset_file(name, path)
    return _cache_folder(dataset) / file


def _name_and_file(reference: str) -> tuple[str, str]:
    for dataset in list_datasets():
        folder = f"{dataset.folder.partition('/')[2]}/"
        if folder != "/" and reference.startswith(folder):
            return dataset.name, reference.removeprefix(folder)
    name, _, file = reference.partition("/")
    return name, file


def dataset_path(name: str) -> Path:
    """Finds the folder of a data set, downloading all its files if needed.

    Args:
        name: the data set's name.

    Returns:
        The folder, in which files may be plain or gzip: :func:`dataset_file` finds either.

    Raises:
        UnknownDatasetError: if there is no such data set.
        DataFolderError: if ``SCIML_ZOO_DATA`` is not a folder.
        NoDownloadError: if files are not there and can't be downloaded.
        OfflineError: if ``SCIML_ZOO_OFFLINE`` forbids the download.
        ChecksumError: if a file is damaged.
        DownloadError: if a download fails.
    """
    return _local_folder(get_dataset(name)) or fetch_dataset(name)


def fetch_dataset(name: str, *, progress: FileProgress | None = None) -> Path:
    """Makes sure that a data set is on this machine, whole and undamaged.

    Files under ``SCIML_ZOO_DATA`` are checked against the catalogue; otherwise missing ones are downloaded.

    Args:
        name: the data set's name.
        progress: called with the file, the bytes so far and the total (None if unknown) during a download.

    Returns:
        The folder.

    Raises:
        UnknownDatasetError: if there is no such data set.
        DataFolderError: if ``SCIML_ZOO_DATA`` is not a folder.
        MissingDataError: if the folder under ``SCIML_ZOO_DATA`` lacks files.
        NoDownloadError: if files can't be downloaded; the others have been.
        OfflineError: if ``SCIML_ZOO_OFFLINE`` forbids the download.
        ChecksumError: if a file is damaged.
        DownloadError: if a download fails.
    """
    dataset = get_dataset(name)
    folder = _local_folder(dataset)
    if dataset.name == _SAMPLES:
        return _samples_folder(folder)
    if folder is not None:
        _check_local(dataset, folder)
        return folder
    # What can be downloaded comes first: a set with one derived file is of use without it.
    for file in sorted(dataset.files, key=lambda file: file.upstream is None):
        if _cached_file(dataset, file) is None:
            _download_file(dataset, file, progress)
    return _cache_folder(dataset)


def _samples_folder(folder: Path | None) -> Path:
    if folder is None:
        raise MissingDataError(
            "the project's samples are not installed: neither data/samples beside the package nor sciml_zoo/_samples "
            "is there; reinstall sciml-zoo"
        )
    return folder


def _check_local(dataset: Dataset, folder: Path) -> None:
    """Checks files under ``SCIML_ZOO_DATA``: our compressed copy, or the upstream file, is right."""
    missing = []
    for file in dataset.files:
        path = _present(folder, file.path)
        if path is None:
            missing.append(file.path)
            continue
        known = {file.sha256} if file.upstream is None else {file.sha256, file.upstream.sha256}
        is_unhashed_upstream = file.upstream is not None and file.upstream.sha256 is None and path.suffix != ".gz"
        if sha256_of(path) not in known and not is_unhashed_upstream:
            raise ChecksumError(f"{path}: its sha256 is not the catalogue's ({file.sha256}): the file was changed")
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise MissingDataError(
            f"{folder} lacks {shown}; complete it, or unset SCIML_ZOO_DATA to download {dataset.name!r}"
        )
