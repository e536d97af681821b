"""The directory format in which every model is stored.

=================== ==================================================================================================
config.json         format and its version, architecture and its version, configuration, golden tolerances, metadata
model.safetensors   the state dict; parameters keep their dtype
golden.safetensors  predictions on the model's example inputs (:mod:`sciml_zoo.zoo.golden`)
README.md           the model card
=================== ==================================================================================================

Reading is strict and never unpickles. Other files in the directory are ignored.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sciml_zoo._files import directory_lock, recover_directory, settle_directory, staged_directory
from sciml_zoo.errors import FailureError, InputError, nearest
from sciml_zoo.zoo.card import model_card
from sciml_zoo.zoo.config_json import FORMAT_VERSION, CheckpointConfig, GoldenTolerance, parse_config
from sciml_zoo.zoo.frozen import from_json, parse_object, to_json
from sciml_zoo.zoo.golden import golden_predictions, preserved_rng
from sciml_zoo.zoo.layout import CONFIG, FILES, GOLDEN, MODEL, README, REQUIRED, read_file
from sciml_zoo.zoo.registry import Registration, ZooModel, get_registration
from sciml_zoo.zoo.tensors import pack, require_finite, unpack

__all__ = [
    "StoredCheckpoint",
    "build_model",
    "load_checkpoint",
    "read_checkpoint",
    "save_model",
    "write_checkpoint",
]

_ATTEMPTS = 100


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint as read at one moment, also when the directory is being replaced.

    Attributes:
        directory: where it was read.
        config: the parsed and migrated ``config.json``.
        model: the bytes of ``model.safetensors``.
        golden: the bytes of ``golden.safetensors``.
    """

    directory: Path
    config: CheckpointConfig
    model: bytes
    golden: bytes


def save_model(
    model: nn.Module,
    directory: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = True,
) -> Path:
    """Saves a model as a checkpoint directory, which appears, or replaces an older checkpoint, all at once.

    Args:
        model: a model of a registered architecture.
        directory: where to save it; missing parents are made.
        metadata: anything that JSON can hold, such as how the model was trained, or its licence.
        overwrite: replace a checkpoint that is already there. Anything else there is never replaced.

    Returns:
        The directory's absolute path.

    Raises:
        InputError: the model cannot be stored, or the directory holds something else than a checkpoint.
        FailureError: the file system refused; what was there before is intact.
    """
    target = Path(directory).resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with directory_lock(target):
            recover_directory(target)
            _require_replaceable(target, overwrite)
            with staged_directory(target) as staged:
                write_checkpoint(model, staged, metadata=metadata)
    except OSError as error:
        raise FailureError(f"could not save to {target}: {error}; what was there before is intact") from error
    return target


def write_checkpoint(model: nn.Module, directory: Path, *, metadata: Mapping[str, Any] | None = None) -> None:
    """Writes the four files of a checkpoint into a directory, without staging or locking.

    The model's modes and torch's random generators are afterwards as they were.

    Args:
        model: a model of a registered architecture.
        directory: an existing directory that holds none of the four files.
        metadata: anything that JSON can hold.

    Raises:
        InputError: the model cannot be stored: it is not registered, or has weights that are not finite, a
            configuration that JSON cannot give back, or state that is not a tensor.
    """
    registration = _registration_of(model)
    present = [name for name in FILES if (directory / name).exists()]
    if present or not directory.is_dir():
        raise InputError(f"{directory} {'already holds ' + present[0] if present else 'is not a directory'}")
    golden = golden_predictions(model)
    weights = _weights(model)
    provenance = {"sciml_zoo_version": _package_version(), "torch_version": torch.__version__}
    config_json = to_json(
        CheckpointConfig(
            format="sciml_zoo",
            format_version=FORMAT_VERSION,
            architecture=model.architecture,  # type: ignore[arg-type]
            architecture_version=registration.version,
            config=_storable_config(registration, model.config),
            golden=GoldenTolerance(*registration.golden_tolerance),
            metadata={**provenance, **(metadata or {})},
        ),
        CONFIG,
    )
    (directory / CONFIG).write_text(json.dumps(config_json, indent=2) + "\n", encoding="utf-8")
    (directory / MODEL).write_bytes(pack(weights))
    (directory / GOLDEN).write_bytes(pack(golden))
    (directory / README).write_text(model_card(config_json, None), encoding="utf-8")


def read_checkpoint(directory: str | os.PathLike[str]) -> StoredCheckpoint:
    """Reads a checkpoint's files as they were at one moment, and checks ``config.json``.

    Args:
        directory: the checkpoint directory.

    Returns:
        The files' content.

    Raises:
        InputError: a file is missing, leads out of the directory or is a pickle, or ``config.json`` is not valid.
        FailureError: the directory is replaced faster than it can be read.
    """
    path = Path(directory)
    for _ in range(_ATTEMPTS):
        settle_directory(path)
        before = _identity(path)
        try:
            content = {name: read_file(path, name) for name in REQUIRED}
        except InputError:
            if _identity(path) == before:
                raise
        else:
            if _identity(path) == before:
                config = parse_config(content[CONFIG], str(path / CONFIG))
                return StoredCheckpoint(path, config, content[MODEL], content[GOLDEN])
    raise FailureError(f"{path} was replaced {_ATTEMPTS} times while it was being read")


def build_model(stored: StoredCheckpoint, *, device: str | torch.device = "cpu") -> nn.Module:
    """Makes the model that a checkpoint describes and fills it with its weights, strictly.

    Args:
        stored: the checkpoint.
        device: where the model is to be.

    Returns:
        The model in eval mode; each tensor has the dtype in which it was saved.

    Raises:
        InputError: architecture, version, configuration and tensors do not fit each other, or a weight is not finite.
    """
    where = str(stored.directory)
    place = _usable_device(device)
    try:
        registration = get_registration(stored.config.architecture)
    except InputError as error:
        raise InputError(f"{where}/{CONFIG}: {error}") from error
    tensors = unpack(stored.model, f"{where}/{MODEL}")
    require_finite(tensors, f"{where}/{MODEL}")
    config_json, tensors = _migrated(registration, stored.config, tensors, f"{where}/{CONFIG}")
    config = from_json(registration.config_type, config_json, f"{where}/{CONFIG}: config")
    try:
        with preserved_rng(torch.device("cpu")):
            model = registration.model_type(config)
    except (ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"{where}/{CONFIG}: no model can be made from this config: {error}") from error
    _fill(model, tensors, f"{where}/{MODEL}")
    return model.to(place).eval()


def load_checkpoint(directory: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> nn.Module:
    """Loads the model that is stored in a directory.

    Args:
        directory: the checkpoint directory.
        device: where the model is to be.

    Returns:
        The model in eval mode; each tensor has the dtype in which it was saved.
    """
    return build_model(read_checkpoint(directory), device=device)


def _package_version() -> str:
    import sciml_zoo

    return sciml_zoo.__version__


def _registration_of(model: nn.Module) -> Registration:
    if not isinstance(model, nn.Module) or not isinstance(model, ZooModel):
        raise InputError(
            f"a {type(model).__name__} is not a zoo model: it needs @register_model, config, example_inputs() and "
            "forward(); unwrap a compiled or distributed model first"
        )
    registration = get_registration(model.architecture)
    if type(model).__qualname__ != registration.model_type.__qualname__:
        raise InputError(
            f"a {type(model).__qualname__} cannot be saved as {model.architecture!r}, which is "
            f"{registration.model_type.__qualname__}: register the subclass under a name of its own"
        )
    return registration


def _weights(model: nn.Module) -> dict[str, Tensor]:
    weights = model.state_dict()
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            raise InputError(f"{type(model).__name__}: the state {name!r} is a {type(value).__name__}, not a tensor")
    require_finite(weights, type(model).__name__)
    return weights


def _storable_config(registration: Registration, config: Any) -> dict[str, Any]:
    config_json: dict[str, Any] = to_json(config)
    if from_json(registration.config_type, config_json) != config:
        raise InputError(f"the config does not survive being written as JSON: {config}")
    return config_json


def _require_replaceable(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{target} is a file; choose the name of a directory")
    names = {path.name for path in target.iterdir()}
    if not names:
        return
    if not overwrite:
        raise InputError(f"{target} already exists; pass overwrite=True to replace it, or choose another directory")
    if (
        CONFIG not in names
        or parse_object(read_file(target, CONFIG), str(target / CONFIG)).get("format") != "sciml_zoo"
    ):
        raise InputError(f"{target} is not a checkpoint and is not overwritten; choose another directory")
    others = sorted(names - set(FILES))
    if others:
        raise InputError(f"{target} also holds {', '.join(others[:3])}, which would be lost; choose another directory")


def _identity(directory: Path) -> tuple[int, int, int] | None:
    try:
        status = directory.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _migrated(
    registration: Registration, stored: CheckpointConfig, tensors: dict[str, Tensor], where: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    version, name = stored.architecture_version, stored.architecture
    config = dict(stored.config)
    if version == registration.version:
        return config, tensors
    if version > registration.version:
        raise InputError(
            f"{where}: architecture_version {version} of {name!r} is newer than the installed {registration.version}: "
            "upgrade the package that provides it"
        )
    if version < 1 or registration.migrate is None:
        raise InputError(
            f"{where}: architecture_version {version} of {name!r} cannot be migrated to {registration.version}"
        )
    try:
        return registration.migrate(config, tensors, version)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: cannot be migrated from architecture_version {version}: {error!r}") from error


def _usable_device(device: str | torch.device) -> torch.device:
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"unknown device {device!r}: use 'cpu', 'cuda' or 'cuda:0'") from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {str(device)!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices")
    return place


def _fill(model: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    slots: dict[str, Tensor] = model.state_dict(keep_vars=True)
    for name in slots:
        if name not in tensors:
            raise InputError(f"{where}: missing tensor {name!r}, which this config needs: {nearest(name, tensors)}")
    for name, tensor in tensors.items():
        if name not in slots:
            raise InputError(f"{where}: unexpected tensor {name!r}: {nearest(name, slots)}")
        if tensor.shape != slots[name].shape:
            found, expected = list(tensor.shape), list(slots[name].shape)
            raise InputError(f"{where}: {name!r} has shape {found}, but the config asks for {expected}")
        if _kind(tensor) != _kind(slots[name]):
            raise InputError(f"{where}: {name!r} is {tensor.dtype}, which cannot become {slots[name].dtype}")
    casts: dict[torch.dtype, set[torch.dtype]] = {}
    first: dict[int, str] = {}
    for name, slot in slots.items():
        twin = first.setdefault(id(slot), name)  # a weight that the model uses in two places is stored twice
        if tensors[twin].dtype != tensors[name].dtype or not torch.equal(tensors[twin], tensors[name]):
            raise InputError(f"{where}: {twin!r} and {name!r} are one weight of this model, but differ in the file")
        casts.setdefault(slot.dtype, set()).add(tensors[name].dtype)
        slot.data = slot.data.to(tensors[name].dtype)
    model.load_state_dict(tensors)
    # Buffers that are not stored follow: a model that was saved as float64 is float64 throughout.
    for name, buffer in model.named_buffers():
        if name not in slots and len(casts.get(buffer.dtype, ())) == 1:
            buffer.data = buffer.data.to(next(iter(casts[buffer.dtype])))


def _kind(tensor: Tensor) -> torch.dtype | str:
    return "floating" if tensor.is_floating_point() else "complex" if tensor.is_complex() else tensor.dtype
