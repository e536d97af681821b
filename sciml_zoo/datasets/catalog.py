"""The catalogue of data sets: what they are, whose they are, and the hash of every file.

The catalogue is ``catalog.json``, written by ``scripts/make_catalog.py``. Nothing here touches the data themselves:
:mod:`sciml_zoo.datasets.locate` turns a name into local files.
"""

import functools
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from sciml_zoo.errors import InputError, nearest

__all__ = [
    "DataFile",
    "Dataset",
    "UnknownDatasetError",
    "UnknownFileError",
    "Upstream",
    "get_dataset",
    "list_datasets",
]


class UnknownDatasetError(InputError):
    """No data set, or no domain, of that name is in the catalogue."""


class UnknownFileError(InputError):
    """The data set has no file of that name."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a file can be downloaded, at a fixed commit.

    Attributes:
        url: the address, with the full commit hash in it.
        name: the file's name there.
        size: bytes, or None if not known.
        sha256: the hash of the file there, or None if not known. The commit alone then pins it, and the first download
            records its hash.
        sha256_of: how the hash is known: ``"upstream"``, our decompressed copy, whose length and ending were compared
            with the upstream file; ``"local-copy"``, our decompressed copy, not compared; None without a hash.
    """

    url: str
    name: str
    size: int | None
    sha256: str | None
    sha256_of: str | None


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a data set.

    Attributes:
        path: relative to the data set's folder; text is gzip there.
        size: bytes of that (compressed) copy.
        sha256: the hash of that copy.
        upstream: where it can be downloaded, or None if it can't (it was derived, or its address is not known).
    """

    path: str
    size: int
    sha256: str
    upstream: Upstream | None

    @property
    def downloaded_path(self) -> str:
        """The path of a downloaded copy: as :attr:`path`, without ``.gz`` if the upstream file is not compressed."""
        if self.upstream is not None and not self.upstream.name.endswith(".gz"):
            return self.path.removesuffix(".gz")
        return self.path


@dataclass(frozen=True, slots=True)
class Dataset:
    """One data set of the catalogue.

    Attributes:
        name: its name, such as ``"rmd17_ethanol"``.
        domain: ``potentials``, ``splicing``, ``emissions``, ``ising``, or ``all`` for the project's own samples.
        folder: its folder, relative to ``SCIML_ZOO_DATA``.
        summary: one line on its content and units.
        source: the repository or institution that it comes from.
        commit: the commit, or the version, of the source; None if there is none.
        licence: its licence.
        citation: what to cite, or None.
        ships_weights: what the licence says on weights trained on it, or None without a limit.
        download: what to know before downloading it, or None.
        files: its files; empty for the samples, whose folder is part of this project.
    """

    name: str
    domain: str
    folder: str
    summary: str
    source: str
    commit: str | None
    licence: str
    citation: str | None
    ships_weights: str | None
    download: str | None
    files: tuple[DataFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files, as they lie under ``SCIML_ZOO_DATA``."""
        return sum(file.size for file in self.files)

    def file(self, path: str) -> DataFile:
        """Finds a file by its path, with or without the ``.gz``.

        Args:
            path: relative to the data set's folder, such as ``"train.xyz"``.

        Returns:
            The catalogue's entry.

        Raises:
            UnknownFileError: if the data set has no such file; names the nearest.
        """
        wanted = path.removesuffix(".gz")
        for file in self.files:
            if file.path.removesuffix(".gz") == wanted:
                return file
        hint = nearest(path, (file.path for file in self.files))
        if len(self.files) > 20 and not hint.startswith("did you mean"):
            hint = f"its {len(self.files)} files are listed by sciml_zoo.datasets.get_dataset({self.name!r}).files"
        raise UnknownFileError(f"data set {self.name!r} has no file {path!r}; {hint}")


def _dataset(row: dict) -> Dataset:
    files = tuple(
        DataFile(**{**entry, "upstream": Upstream(**entry["upstream"]) if entry["upstream"] else None})
        for entry in row["files"]
    )
    return Dataset(**{**row, "files": files})


@functools.cache
def _catalog() -> dict[str, Dataset]:
    rows = json.loads(Path(__file__).with_name("catalog.json").read_text(encoding="utf-8"))["datasets"]
    return {row["name"]: _dataset(row) for row in rows}


def list_datasets(pattern: str = "*", domain: str | None = None) -> list[Dataset]:
    """Lists the catalogue.

    Args:
        pattern: a shell wildcard for the name, such as ``"rmd17_*"``.
        domain: only this domain's sets.

    Returns:
        The data sets, by domain and name; empty if nothing matches.

    Raises:
        UnknownDatasetError: if no data set has that domain.
    """
    catalog = _catalog()
    domains = {dataset.domain for dataset in catalog.values()}
    if domain is not None and domain not in domains:
        raise UnknownDatasetError(f"no data set has the domain {domain!r}; {nearest(domain, domains)}")
    chosen = [
        dataset
        for dataset in catalog.values()
        if fnmatchcase(dataset.name, pattern) and domain in {None, dataset.domain}
    ]
    return sorted(chosen, key=lambda dataset: (dataset.domain, dataset.name))


def get_dataset(name: str) -> Dataset:
    """Looks a data set up.

    Args:
        name: its name, such as ``"rmd17_ethanol"``.

    Returns:
        The catalogue's entry.

    Raises:
        UnknownDatasetError: if there is none of that name; names the nearest.
    """
    catalog = _catalog()
    if name not in catalog:
        raise UnknownDatasetError(f"no data set is called {name!r}; {nearest(name, catalog)}")
    return catalog[name]
