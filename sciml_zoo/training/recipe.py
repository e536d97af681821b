"""Recipes: YAML files ⇄ trees of frozen dataclasses, with ``--section.key value`` overrides.

A recipe only ever becomes numbers, strings, and the dataclasses that the reading code names: YAML tags, anchors and
class paths are not understood.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from sciml_zoo._files import write_atomically
from sciml_zoo.errors import InputError, nearest
from sciml_zoo.training._yaml import dump, parse

__all__ = ["OptimizerConfig", "TrainerConfig", "read_architecture", "read_recipe", "write_recipe"]

T = TypeVar("T")

OPTIMIZERS = ("adam", "adamw", "muon", "sgd")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed")


def _one_of(key: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise InputError(f"{key}: {value!r} is unknown; {nearest(value, valid)}")


def _require(condition: bool, key: str, value: object, wanted: str) -> None:
    if not condition:
        raise InputError(f"{key}: {value!r} is not {wanted}")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Which optimizer, and how its learning rate changes.

    Attributes:
        name: ``adam``, ``adamw``, ``sgd`` or ``muon``.
        learning_rate: the peak value.
        weight_decay: as the named optimizer defines it.
        momentum: of ``sgd`` and ``muon``.
        betas: of ``adam``, ``adamw``, and of the Adam part of ``muon``.
        schedule: ``constant``, or ``cosine`` (to zero at the trainer's ``max_steps``), after the warm-up.
        warmup_steps: steps of linear warm-up.
    """

    name: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: str = "constant"
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        _one_of("name", self.name, OPTIMIZERS)
        _one_of("schedule", self.schedule, SCHEDULES)
        _require(0 < self.learning_rate < 1e6, "learning_rate", self.learning_rate, "a positive number below 1e6")
        _require(0 <= self.weight_decay < float("inf"), "weight_decay", self.weight_decay, "zero or more")
        _require(0 <= self.momentum < 1, "momentum", self.momentum, "in [0, 1)")
        _require(all(0 <= beta < 1 for beta in self.betas), "betas", self.betas, "a pair in [0, 1)")
        _require(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, "zero or more")


@dataclasses.dataclass(frozen=True)
class TrainerConfig:
    """How long, on what, and how closely watched a model is trained.

    Attributes:
        max_steps: optimizer steps; may be raised when a run is resumed.
        batch_size: samples in a global batch, over all ranks and micro-batches.
        evaluation_batch_size: samples in a batch of one rank's validation; ``batch_size`` if not given.
        accumulate: micro-batches into which each rank's part of a batch is split, to save memory.
        seed: of the data order, the tasks' generators and torch's own.
        clip_norm: the largest norm of the gradient.
        clip_factor: the largest norm of the gradient, as a multiple of its running mean.
        ema_decay: decay of the exponential moving average of the weights, which is then validated and saved; after n
            steps it is at most (1 + n) / (10 + n).
        validate_every: steps between validations.
        checkpoint_every: steps between checkpoints in ``last/``, beside those at validations.
        log_every: steps between lines in ``metrics.jsonl``.
        monitor: the validation metric that chooses ``best/``.
        mode: whether a small (``min``) or a large (``max``) value of ``monitor`` is good.
        patience: validations without improvement after which training stops.
        max_minutes: time limit of this call, to train in stages.
        precision: ``32-true``, ``64-true``, ``16-mixed`` or ``bf16-mixed``.
        accelerator: as Fabric's (``auto``, ``cpu``, ``cuda``, …).
        devices: as Fabric's; ``auto`` follows torchrun or SLURM.
        num_nodes: as Fabric's.
        strategy: ``auto`` or ``ddp``.
        tensorboard: whether to write TensorBoard files too.
    """

    max_steps: int = 1000
    batch_size: int = 32
    evaluation_batch_size: int | None = None
    accumulate: int = 1
    seed: int = 0
    clip_norm: float | None = None
    clip_factor: float | None = None
    ema_decay: float | None = None
    validate_every: int = 500
    checkpoint_every: int | None = None
    log_every: int = 50
    monitor: str = "loss"
    mode: str = "min"
    patience: int | None = None
    max_minutes: float | None = None
    precision: str = "32-true"
    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        counts = ("max_steps", "batch_size", "evaluation_batch_size", "accumulate", "validate_every")
        for key in (*counts, "checkpoint_every", "log_every", "patience", "num_nodes"):
            value = getattr(self, key)
            _require(value is None or value >= 1, key, value, "at least 1")
        for key in ("clip_norm", "clip_factor", "max_minutes"):
            value = getattr(self, key)
            _require(value is None or value > 0, key, value, "a positive number")
        _require(self.ema_decay is None or 0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "in [0, 1)")
        _require(self.seed >= 0, "seed", self.seed, "zero or more")
        _require(
            self.clip_norm is None or self.clip_factor is None, "clip_factor", self.clip_factor, "used with clip_norm"
        )
        _one_of("mode", self.mode, ("min", "max"))
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("strategy", self.strategy, ("auto", "ddp"))


@dataclasses.dataclass(frozen=True)
class _Text:
    """A value from the command line, whose type the field decides."""

    text: str


class _Reader:
    """Builds dataclasses from nested mappings, and says where a wrong value stands."""

    def __init__(self, source: str, lines: Mapping[tuple[str, ...], int]) -> None:
        self._source = source
        self._lines = lines

    def where(self, keys: tuple[str, ...], value: object = None) -> str:
        if isinstance(value, _Text):
            return f"--{'.'.join(keys)}"
        line = self._lines.get(keys)
        return f"{self._source}{f':{line}' if line else ''}: {'.'.join(keys)}"

    def build(self, cls: type[T], values: Any, keys: tuple[str, ...] = ()) -> T:
        if not isinstance(values, Mapping):
            place = self.where(keys, values) if keys else self._source
            raise InputError(f"{place}: expected the section's keys ({_names(cls)}), not {_shown(values)}")
        annotations = typing.get_type_hints(cls)
        fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
        for key, value in values.items():
            if key not in fields:
                raise InputError(f"{self.where((*keys, str(key)), value)}: unknown key; {nearest(str(key), fields)}")
        arguments = {}
        for name, field in fields.items():
            missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if name in values:
                arguments[name] = self._value(annotations[name], values[name], (*keys, name))
            elif missing:
                raise InputError(f"{self._source}: {'.'.join((*keys, name))} is missing: give it a value")
        try:
            return cls(**arguments)
        except (ValueError, TypeError) as error:
            refused = str(error).partition(":")[0]  # these errors begin with the name of the field
            if isinstance(values.get(refused), _Text):
                raise InputError(f"--{'.'.join((*keys, str(error)))}") from error
            raise InputError(f"{self.where(keys) if keys else self._source}: {error}") from error

    def _value(self, annotation: Any, value: Any, keys: tuple[str, ...]) -> Any:
        section = _section(annotation)
        optional = type(None) in _members(annotation) or annotation is Any
        if section is not None:
            if optional and (value is None or value == _Text("null")):
                return None
            return self.build(section, value, keys)
        where = self.where(keys, value)
        if isinstance(value, Mapping):
            value = {
                key: parse(item.text, where)[0] if isinstance(item, _Text) else item for key, item in value.items()
            }
        if isinstance(value, _Text):
            return _convert(annotation, value.text, where, from_text=True)
        if value is None and not optional:
            raise InputError(f"{where}: a value is missing; expected {_named(annotation)}")
        if annotation is Any or value is None or (type(value) in (str, bool) and type(value) in _members(annotation)):
            return value
        if isinstance(value, str) and not any(map(_takes_text, _members(annotation))):  # "32" in quotes is no number
            raise InputError(f"{where}: expected {_named(annotation)}, not {_shown(value)}")
        return _convert(annotation, value, where, from_text=False)


def _convert(annotation: Any, value: Any, where: str, *, from_text: bool) -> Any:
    """Returns one value, checked and converted by jsonargparse."""
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False, add_help=False)
    parser.add_argument("--value", type=annotation)
    try:
        if from_text:
            return parser.parse_args([f"--value={value}"]).value
        return parser.parse_object({"value": value}).value
    except (ArgumentError, TypeError, ValueError) as error:
        hint = ""
        if typing.get_origin(annotation) is tuple and not str(value).startswith("["):
            hint = f"; write several values, or one, in brackets: '[{value}]'"
        raise InputError(f"{where}: expected {_named(annotation)}, not {_shown(value)}{hint}") from error


def _members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _takes_text(member: Any) -> bool:
    return member in (str, Path) or typing.get_origin(member) is typing.Literal


def _section(annotation: Any) -> type | None:
    """Returns the dataclass in an annotation ``C`` or ``C | None``."""
    found = [member for member in _members(annotation) if dataclasses.is_dataclass(member)]
    return typing.cast(type, found[0]) if found else None


def _named(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _names(cls: type) -> str:
    return ", ".join(field.name for field in dataclasses.fields(cls))


def _shown(value: Any) -> str:
    text = repr(value.text if isinstance(value, _Text) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _pairs(overrides: list[str]) -> list[tuple[str, str]]:
    """Returns the keys and values of ``["--a.b", "1", "--c=2"]``."""
    pairs = []
    rest = list(overrides)
    while rest:
        option = rest.pop(0)
        if not option.startswith("--") or len(option) == 2:
            raise InputError(f"{option!r}: recipe values are changed as --section.key value")
        key, equals, text = option[2:].partition("=")
        if not equals:
            if not rest:
                raise InputError(f"{option}: a value is missing")
            text = rest.pop(0)
        pairs.append((key, text))
    return pairs


def _override(values: dict[str, Any], key: str, text: str) -> None:
    *sections, last = key.split(".")
    if "" in (*sections, last):
        raise InputError(f"--{key}: empty key")
    for section in sections:
        inner = values.get(section)
        values[section] = dict(inner) if isinstance(inner, dict) else {}
        values = values[section]
    values[last] = _Text(text)


def _read_values(path: Path, overrides: list[str]) -> tuple[Any, Mapping[tuple[str, ...], int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the recipe cannot be read: {error}") from error
    values, lines = parse(text, str(path))
    values = {} if values is None else values
    if isinstance(values, dict):
        for key, override in _pairs(overrides):
            _override(values, key, override)
    return values, lines


def read_architecture(path: Path, overrides: list[str] | None = None) -> str:
    """Reads which architecture a recipe is for, before it is known which other keys it may have.

    Args:
        path: the YAML file.
        overrides: as for :func:`read_recipe`.

    Returns:
        The value of ``architecture``.

    Raises:
        InputError: the file cannot be read or is not valid YAML, or names no architecture.
    """
    values, _ = _read_values(path, overrides or [])
    name = values.get("architecture") if isinstance(values, dict) else None
    name = name.text if isinstance(name, _Text) else name
    if not isinstance(name, str):
        raise InputError(f"{path}: architecture is missing: write for example `architecture: gto_potential`")
    return name


def read_recipe(cls: type[T], path: Path, overrides: list[str] | None = None) -> T:
    """Reads a YAML recipe into a dataclass.

    Args:
        cls: a frozen dataclass, whose fields may be dataclasses themselves.
        path: the YAML file.
        overrides: ``["--model.n_radial", "32"]`` or ``["--model.n_radial=32"]``; they win over the file.

    Returns:
        The recipe, with the defaults of ``cls`` for what is not given.

    Raises:
        InputError: the file cannot be read or is not valid YAML, or a key or value is not what ``cls`` allows.
    """
    values, lines = _read_values(path, overrides or [])
    return _Reader(str(path), lines).build(cls, values)


def write_recipe(recipe: object, path: Path) -> None:
    """Writes a recipe with every value resolved, so that :func:`read_recipe` gives an equal one.

    Args:
        recipe: a dataclass instance of numbers, strings, paths, sequences, mappings and dataclasses.
        path: the YAML file to replace; its directory exists.

    Raises:
        InputError: the recipe holds something that YAML cannot say.
    """
    plain = as_plain(recipe)
    try:
        content = dump(plain)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: the recipe cannot be written as YAML: {error}") from error
    write_atomically(path, content)


def as_plain(value: Any) -> Any:
    """Returns dataclasses as dicts, tuples as lists and paths as strings, at any depth."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Mapping):
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Says which plain values of two recipes differ.

    Args:
        old: from :func:`as_plain`.
        new: the same keys.

    Returns:
        Such as ``["batch_size was 32, now 16"]``.
    """
    keys = [*old, *(key for key in new if key not in old)]
    return [
        f"{key} was {json.dumps(old.get(key))}, now {json.dumps(new.get(key))}"
        for key in keys
        if old.get(key) != new.get(key)
    ]
