"""The weights on the shelf: ``weights.json`` of the package, read into immutable rows. Loads no torch.

No licence is ever assumed: a row without one does not load.
"""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Literal

from filelock import FileLock

from sciml_zoo._files import sha256_of, write_atomically
from sciml_zoo.errors import InputError, nearest
from sciml_zoo.zoo.frozen import from_json, parse_object, to_json
from sciml_zoo.zoo.layout import CONFIG, FILES, MODEL

__all__ = [
    "MANIFEST_PATH",
    "DataSource",
    "FileRecord",
    "Metric",
    "Weights",
    "get_weights",
    "manifest",
    "read_manifest",
    "weights_row",
    "write_row",
]

MANIFEST_PATH = Path(__file__).with_name("weights.json")
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class DataSource:
    """Data that a model was trained on: its name, where it comes from, and under what licence."""

    name: str
    source: str
    licence: str


@dataclass(frozen=True)
class FileRecord:
    """What a file's content must be."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 must be 64 hexadecimal digits, not {self.sha256!r}")
        if self.size <= 0:
            raise ValueError(f"size must be positive, not {self.size}")


@dataclass(frozen=True)
class Metric:
    """A measured figure, with the command and the seed that anyone can measure it again with."""

    dataset: str
    name: str
    value: float
    unit: str
    seed: int
    command: str


@dataclass(frozen=True)
class Weights:
    """One row of the manifest: trained weights and what they promise.

    Attributes:
        name: ``<architecture>.<what it was trained on>``.
        architecture: a registered architecture.
        domain: the domain.
        summary: one line.
        parameters: the number of trainable numbers.
        licence: of the weights.
        data: what the model was trained on.
        files: file of the checkpoint directory → its content's hash and size.
        metrics: measured figures.
        command: the exact training command.
        recipe: the recipe's path in the repository.
        domain_of_validity: what the model may be asked.
        known_failures: where it is known to be wrong.
        citation: how to cite it.
        url: the folder to download the files from, for weights that are not in the package.
    """

    name: str
    architecture: str
    domain: str
    summary: str
    parameters: int
    licence: str
    data: tuple[DataSource, ...]
    files: Mapping[str, FileRecord]
    metrics: tuple[Metric, ...]
    command: str
    recipe: str
    domain_of_validity: str
    known_failures: tuple[str, ...]
    citation: str
    url: str | None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", self.name):
            raise ValueError(f"weights name {self.name!r} is not <architecture>.<what it was trained on> in [a-z0-9_]")
        if self.name.partition(".")[0] != self.architecture:
            raise ValueError(f"weights name {self.name!r} does not begin with the architecture {self.architecture!r}")
        if not self.licence.strip() or not all(source.licence.strip() for source in self.data):
            raise ValueError(f"{self.name}: no licence is stated, and none is ever assumed")
        for name in self.files:
            if name not in FILES:
                raise ValueError(f"{self.name}: {name!r} is not a file of a checkpoint: {nearest(name, FILES)}")
        missing = [name for name in FILES if name not in self.files]
        if missing:
            raise ValueError(f"{self.name}: no sha256 for {', '.join(missing)}")
        if PurePosixPath(self.recipe).is_absolute() or ".." in PurePosixPath(self.recipe).parts:
            raise ValueError(f"{self.name}: recipe {self.recipe!r} is not a path in the repository")
        if self.url is not None and not self.url.startswith("https://"):
            raise ValueError(f"{self.name}: url {self.url!r} is not https")
        object.__setattr__(self, "files", MappingProxyType(dict(self.files)))

    @property
    def sha256(self) -> str:
        """The SHA-256 of ``model.safetensors``."""
        return self.files[MODEL].sha256


@dataclass(frozen=True)
class _Manifest:
    format_version: Literal[1]
    weights: tuple[Weights, ...]


def read_manifest(path: Path) -> Mapping[str, Weights]:
    """Reads a manifest.

    Args:
        path: the JSON file.

    Returns:
        Name → row, sorted by name, immutable.

    Raises:
        InputError: the file is not valid, or has a row without licence, with unknown or missing keys, or twice.
    """
    try:
        content = parse_object(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    rows = content.get("weights")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and "licence" not in row:
            raise InputError(f"{path}: {row.get('name')}: no licence is stated, and none is ever assumed")
    parsed = from_json(_Manifest, content, str(path)).weights
    found = {row.name: row for row in sorted(parsed, key=lambda row: row.name)}
    if len(found) != len(parsed):
        raise InputError(f"{path}: a weights name occurs twice")
    return MappingProxyType(found)


@functools.cache
def manifest() -> Mapping[str, Weights]:
    """Returns the package's own manifest: name → row; read once."""
    return read_manifest(MANIFEST_PATH)


def get_weights(name: str) -> Weights:
    """Looks trained weights up by name.

    Args:
        name: the weights' name.

    Returns:
        The manifest's row.

    Raises:
        InputError: there are none of that name.
    """
    rows = manifest()
    if name not in rows:
        raise InputError(f"unknown weights {name!r}: {nearest(name, rows)}")
    return rows[name]


def weights_row(directory: Path, *, name: str, **fields: Any) -> Weights:
    """Describes a checkpoint directory as a row, with the hashes and sizes of its files as they are now.

    Args:
        directory: the checkpoint directory, its card included.
        name: the weights' name.
        **fields: the other fields of :class:`Weights`, save ``architecture``, ``domain`` and ``files``.

    Returns:
        The row.

    Raises:
        InputError: a file is missing, or a field is unknown, missing or wrong.
    """
    from sciml_zoo.zoo.registry import get_architecture

    for file in FILES:
        if not (directory / file).is_file():
            raise InputError(f"{directory} lacks {file}")
    config = parse_object((directory / CONFIG).read_bytes(), str(directory / CONFIG))
    architecture = get_architecture(str(config.get("architecture")))
    files = {file: FileRecord(sha256_of(directory / file), (directory / file).stat().st_size) for file in FILES}
    derived = {"name": name, "architecture": architecture.name, "domain": architecture.domain, "files": files}
    return from_json(Weights, {"url": None, **fields, **derived}, name)


def write_row(path: Path, row: Weights) -> None:
    """Inserts a row into a manifest, or replaces the one of its name; all or nothing.

    Args:
        path: the JSON file, which exists.
        row: the row.
    """
    with FileLock(path.with_name(f".{path.name}.lock")):
        rows = {**read_manifest(path), row.name: row}
        content = {"format_version": _FORMAT_VERSION, "weights": [to_json(rows[name]) for name in sorted(rows)]}
        write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    manifest.cache_clear()
