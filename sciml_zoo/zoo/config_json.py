"""``config.json`` of a checkpoint directory: its content, its versions, and how older ones are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sciml_zoo.errors import InputError
from sciml_zoo.zoo.frozen import from_json, parse_object

__all__ = ["FORMAT_VERSION", "CheckpointConfig", "GoldenTolerance", "parse_config"]

FORMAT_VERSION = 2


@dataclass(frozen=True)
class GoldenTolerance:
    """A replayed prediction a agrees with the golden one g where |a − g| ≤ atol + rtol·|g|."""

    rtol: float
    atol: float

    def __post_init__(self) -> None:
        if self.rtol < 0 or self.atol < 0:
            raise ValueError("tolerances cannot be negative")


@dataclass(frozen=True)
class CheckpointConfig:
    """The content of ``config.json``, in the present format version."""

    format: Literal["sciml_zoo"]
    format_version: int
    architecture: str
    architecture_version: int
    config: Mapping[str, Any]
    golden: GoldenTolerance
    metadata: Mapping[str, Any]


def _from_version_1(config: dict[str, Any]) -> dict[str, Any]:
    # The development format: "hyperparameters", no version of the architecture, no golden tolerances.
    if "hyperparameters" not in config:
        raise InputError("missing key 'hyperparameters'")
    migrated = dict(config)
    migrated["config"] = migrated.pop("hyperparameters")
    return {"metadata": {}, **migrated, "architecture_version": 1, "golden": {"rtol": 1e-5, "atol": 1e-5}}


_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_version_1}


def parse_config(content: bytes, where: str) -> CheckpointConfig:
    """Reads ``config.json`` of any format version.

    Args:
        content: the bytes of the file.
        where: its path, for errors.

    Returns:
        The content, migrated to the present format version.

    Raises:
        InputError: not a checkpoint's ``config.json``, a version that is not known, or unknown or missing keys.
    """
    config_json = parse_object(content, where)
    if config_json.get("format") != "sciml_zoo":
        raise InputError(f'{where}: not a sciml_zoo checkpoint: expected "format": "sciml_zoo"')
    version = config_json.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise InputError(
            f"{where}: format_version {version} is newer than this sciml_zoo reads ({FORMAT_VERSION}): "
            "pip install --upgrade sciml-zoo"
        )
    if type(version) is not int or (version != FORMAT_VERSION and version not in _MIGRATIONS):
        raise InputError(f"{where}: unknown format_version {version!r}; known: 1 to {FORMAT_VERSION}")
    try:
        while version < FORMAT_VERSION:
            config_json = _MIGRATIONS[version](config_json)
            version += 1
    except InputError as error:
        raise InputError(f"{where}: format_version {version}: {error}") from error
    return from_json(CheckpointConfig, {**config_json, "format_version": FORMAT_VERSION}, where)
