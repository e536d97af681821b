"""JSON ⇄ frozen dataclasses: an equal value comes back, and nothing else is let through."""

import dataclasses
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciml_zoo.errors import InputError
from sciml_zoo.zoo.frozen import from_json, parse_object, to_json

from .toy import Head, ToyConfig

finite = st.floats(allow_nan=False, allow_infinity=False)
heads = st.builds(Head, bias=st.booleans(), gain=finite, activation=st.sampled_from(["tanh", "none"]))
configs = st.builds(
    ToyConfig,
    width=st.integers(1, 999),
    rates=st.lists(finite).map(tuple),
    elements=st.lists(st.tuples(st.text(), st.integers())).map(tuple),
    head=heads,
    cutoff=st.none() | finite,
    title=st.text(),
)


@given(configs)
def test_round_trip_gives_an_equal_config(config: ToyConfig) -> None:
    text = json.dumps(to_json(config), allow_nan=False)
    again = from_json(ToyConfig, parse_object(text.encode(), "config"))
    assert again == config
    assert type(again.elements) is tuple
    assert hash(again) == hash(config)


@given(configs, st.sampled_from([field.name for field in dataclasses.fields(ToyConfig)]))
def test_each_missing_key_is_named(config: ToyConfig, name: str) -> None:
    content = to_json(config)
    del content[name]
    with pytest.raises(InputError, match=f"missing key '{name}'"):
        from_json(ToyConfig, content)
    assert getattr(from_json(ToyConfig, content, complete=False), name) == getattr(ToyConfig(), name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widht": 3}, r"unknown key 'widht': did you mean 'width'\?"),
        ({"head": {"bias": True, "gain": 1.0, "activation": "tanh", "gian": 1}}, r"config\.head: unknown key 'gian'"),
        ({"head": {"bias": True}}, r"config\.head: missing keys 'gain', 'activation'"),
        ({"head": 3}, r"config\.head: expected an object, found 3"),
        ({"head": {"bias": 1, "gain": 1.0, "activation": "tanh"}}, r"config\.head\.bias: expected bool, found 1"),
        ({"head": {"bias": True, "gain": 1.0, "activation": "tan"}}, r"expected one of 'tanh', 'none', found 'tan'"),
        ({"width": "3"}, r"config\.width: expected int, found the string '3'"),
        ({"width": 3.0}, r"config\.width: expected int, found 3\.0"),
        ({"width": True}, r"config\.width: expected int, found True"),
        ({"width": None}, r"config\.width: expected int, found None"),
        ({"width": -1}, r"width must be between 1 and 999, not -1"),
        ({"rates": 3}, r"config\.rates: expected a list, found 3"),
        ({"rates": [1, "2"]}, r"config\.rates\[1\]: expected float, found the string '2'"),
        ({"rates": [10**400]}, r"config\.rates\[0\]: expected a finite number, found 1000"),
        ({"elements": [["H"]]}, r"config\.elements\[0\]: expected 2 values, found 1"),
        ({"cutoff": "far"}, r"config\.cutoff: expected float, found the string 'far'"),
        ({"cutoff": False}, r"config\.cutoff: expected float, found False"),
    ],
)
def test_wrong_values_are_named(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_json(ToyConfig, {**to_json(ToyConfig()), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": 1, "a": 2}', "'a' occurs twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1]", "expected a JSON object, found a list"),
    ],
)
def test_broken_json(text: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_object(text, "here")


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), {1, 2}, b"x", {3: 4}, object()])
def test_what_json_cannot_give_back_is_not_written(value: object) -> None:
    with pytest.raises(InputError, match=r"here\.a\[0\]"):
        to_json({"a": (value,)}, "here")


def test_mappings_are_read_only() -> None:
    @dataclasses.dataclass(frozen=True)
    class Record:
        sizes: Mapping[str, int | str]

    record = from_json(Record, {"sizes": {"a": 1, "b": "two"}})
    assert dict(record.sizes) == {"a": 1, "b": "two"}
    with pytest.raises(TypeError):
        record.sizes["a"] = 2  # type: ignore[index]
    with pytest.raises(InputError, match=r"config\.sizes\.a: expected int or str, found a list"):
        from_json(Record, {"sizes": {"a": [1]}})


def test_a_type_that_json_cannot_hold_is_a_mistake_of_the_programmer() -> None:
    @dataclasses.dataclass(frozen=True)
    class Record:
        values: set

    with pytest.raises(TypeError, match="cannot be stored"):
        from_json(Record, {"values": [1]})
