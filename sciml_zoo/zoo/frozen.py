"""JSON ⇄ frozen dataclasses, strictly: nothing unknown is ignored, nothing missing is guessed, no type is coerced.

Fields hold str, int, float, bool, None, ``Literal``, tuples of these, read-only mappings with string keys, nested
dataclasses, and unions of these. A JSON list becomes a tuple and a JSON object a dataclass or a read-only mapping, so
what is read is immutable all the way down; only a field of type ``Any`` takes parsed JSON as it comes.
"""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from sciml_zoo.errors import InputError, nearest

__all__ = ["from_json", "parse_object", "to_json"]

T = TypeVar("T")


def parse_object(text: bytes, where: str) -> dict[str, Any]:
    """Parses a JSON text whose outermost value is an object.

    Args:
        text: UTF-8 text.
        where: what to call the text in errors, such as its path.

    Returns:
        The object.

    Raises:
        InputError: not UTF-8, not JSON (NaN and Infinity are not JSON), a key twice, or not an object.
    """
    try:
        value = json.loads(text.decode(), parse_constant=_no_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, found {_name(value)}")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} occurs twice")
        found[key] = value
    return found


def to_json(value: Any, where: str = "config") -> Any:
    """Turns a frozen dataclass into what :mod:`json` writes.

    Args:
        value: a dataclass, or anything that one of its fields may hold.
        where: what to call the value in errors.

    Returns:
        Objects, lists and scalars; :func:`from_json` gives back an equal value.

    Raises:
        InputError: the value holds something that JSON cannot give back.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: to_json(getattr(value, field.name), f"{where}.{field.name}") for field in fields}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(f"{where}: the key {key!r} is not a string")
        return {key: to_json(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where}: {value} cannot be stored; use None for a number that is absent")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InputError(f"{where}: cannot store {_name(value)}; use numbers, strings, None, tuples and frozen dataclasses")


def from_json(kind: type[T], value: object, where: str = "config", *, complete: bool = True) -> T:
    """Builds a frozen dataclass from parsed JSON.

    Args:
        kind: the dataclass.
        value: parsed JSON; dataclasses and tuples are accepted where they fit.
        where: what to call the value in errors.
        complete: every field must be given. Otherwise defaults fill in.

    Returns:
        The dataclass.

    Raises:
        InputError: an unknown or missing key, a value of the wrong type, or one that the dataclass itself refuses.
    """
    result: T = _convert(kind, value, where, complete)
    return result


def _convert(kind: Any, value: Any, where: str, complete: bool) -> Any:
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where, complete)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, value, where, complete)
    if origin is typing.Literal:
        if any(type(value) is type(choice) and value == choice for choice in arguments):
            return value
        raise InputError(f"{where}: expected one of {', '.join(map(repr, arguments))}, found {value!r}")
    if origin is tuple:
        return _tuple(arguments, value, where, complete)
    if origin is Mapping:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise InputError(f"{where}: expected an object, found {_name(value)}")
        items = {key: _convert(arguments[1], item, f"{where}.{key}", complete) for key, item in value.items()}
        return types.MappingProxyType(items)
    return _scalar(kind, value, where)


def _dataclass(kind: Any, value: Any, where: str, complete: bool) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected an object, found {_name(value)}")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in value:
        if key not in fields:
            raise InputError(f"{where}: unknown key {key!r}: {nearest(str(key), fields)}")
    missing = [name for name, field in fields.items() if name not in value and (complete or _is_required(field))]
    if missing:
        raise InputError(f"{where}: missing {'key' if len(missing) == 1 else 'keys'} {', '.join(map(repr, missing))}")
    hints = typing.get_type_hints(kind)
    arguments = {key: _convert(hints[key], item, f"{where}.{key}", complete) for key, item in value.items()}
    try:
        return kind(**arguments)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InputError(f"{where}: {error}") from error


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _union(members: tuple[Any, ...], value: Any, where: str, complete: bool) -> Any:
    if value is None and types.NoneType in members:
        return None
    errors = []
    for member in members:
        if member is types.NoneType:
            continue
        try:
            return _convert(member, value, where, complete)
        except InputError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    expected = " or ".join(getattr(member, "__name__", str(member)) for member in members)
    raise InputError(f"{where}: expected {expected}, found {_name(value)}")


def _tuple(arguments: tuple[Any, ...], value: Any, where: str, complete: bool) -> Any:
    if not isinstance(value, list | tuple):
        raise InputError(f"{where}: expected a list, found {_name(value)}")
    if len(arguments) == 2 and arguments[1] is ...:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise InputError(f"{where}: expected {len(arguments)} values, found {len(value)}")
    pairs = zip(arguments, value, strict=True)
    return tuple(_convert(kind, item, f"{where}[{i}]", complete) for i, (kind, item) in enumerate(pairs))


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind not in (str, int, float, bool, types.NoneType):
        raise TypeError(f"{where}: a field of type {kind} cannot be stored as JSON")
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
        raise InputError(f"{where}: expected a finite number, found {str(value)[:20]}")
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise InputError(f"{where}: expected {'null' if kind is types.NoneType else kind.__name__}, found {_name(value)}")


def _name(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return str(value)[:20]
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    return {"list": "a list", "dict": "an object"}.get(type(value).__name__, f"a {type(value).__name__}")
