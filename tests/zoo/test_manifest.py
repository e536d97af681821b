"""The manifest: what a row must state, and that nobody can change one in passing."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sciml_zoo._files import sha256_of
from sciml_zoo.errors import InputError
from sciml_zoo.zoo.layout import FILES
from sciml_zoo.zoo.manifest import MANIFEST_PATH, get_weights, manifest, read_manifest, weights_row, write_row

from .shelf import FIELDS


@pytest.fixture
def path(saved: Path, tmp_path: Path) -> Path:
    path = tmp_path / "weights.json"
    path.write_text('{"format_version": 1, "weights": []}')
    write_row(path, weights_row(saved, name="toy_linear.tiny", **FIELDS))
    return path


def test_a_written_row_is_read_back(path: Path, saved: Path) -> None:
    row = read_manifest(path)["toy_linear.tiny"]
    assert row == weights_row(saved, name="toy_linear.tiny", **FIELDS)
    assert (row.architecture, row.domain, row.parameters) == ("toy_linear", "toys", 12)
    assert row.sha256 == sha256_of(saved / "model.safetensors")
    assert {name: record.size for name, record in row.files.items()} == {n: (saved / n).stat().st_size for n in FILES}


def test_rows_are_replaced_and_sorted(path: Path, saved: Path) -> None:
    write_row(path, weights_row(saved, name="toy_linear.big", **FIELDS))
    write_row(path, weights_row(saved, name="toy_linear.tiny", **{**FIELDS, "summary": "better"}))
    rows = read_manifest(path)
    assert list(rows) == ["toy_linear.big", "toy_linear.tiny"]
    assert rows["toy_linear.tiny"].summary == "better"
    assert [row["name"] for row in json.loads(path.read_text())["weights"]] == list(rows)


def test_everything_is_immutable(path: Path) -> None:
    rows = read_manifest(path)
    row = rows["toy_linear.tiny"]
    with pytest.raises(TypeError):
        rows["x"] = row  # type: ignore[index]
    with pytest.raises(TypeError):
        row.files["model.safetensors"] = None  # type: ignore[index]
    for record, field in ((row, "licence"), (row.data[0], "licence"), (row.metrics[0], "value")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field, "other")
    assert isinstance(row.metrics, tuple)
    assert isinstance(row.known_failures, tuple)


def key(name: str, value: object = ...) -> Callable[[dict], None]:
    def change(row: dict[str, Any]) -> None:
        row.pop(name) if value is ... else row.update({name: value})

    return change


def file(name: str, **record: object) -> Callable[[dict], None]:
    return lambda row: row["files"].update({name: {"sha256": "0" * 64, "size": 1, **record}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (key("licence"), "toy_linear.tiny: no licence is stated, and none is ever assumed"),
        (key("licence", ""), "no licence is stated"),
        (key("licence", " "), "no licence is stated"),
        (key("licence", None), "licence: expected str, found None"),
        (key("data", [{"name": "a", "source": "b", "licence": ""}]), "no licence is stated"),
        (key("data", [{"name": "a", "source": "b"}]), r"data\[0\]: missing key 'licence'"),
        (key("summary"), "missing key 'summary'"),
        (key("sumary", "x"), r"unknown key 'sumary': did you mean 'summary'\?"),
        (key("parameters", "many"), "parameters: expected int"),
        (key("metrics", [{"value": 1}]), r"metrics\[0\]: missing keys"),
        (key("name", "toy_linear"), "is not <architecture>.<what it was trained on>"),
        (key("name", "toy_linear.../../etc"), "is not <architecture>.<what it was trained on>"),
        (key("name", "toy_linear.Tiny"), "is not <architecture>.<what it was trained on>"),
        (key("name", "toy_linear.tiny\n"), "is not <architecture>.<what it was trained on>"),
        (key("name", "other.tiny"), "does not begin with the architecture 'toy_linear'"),
        (key("recipe", "/etc/passwd"), "is not a path in the repository"),
        (key("recipe", "scripts/../../x.yaml"), "is not a path in the repository"),
        (key("url", "http://example.org/x"), "is not https"),
        (key("url", "file:///etc"), "is not https"),
        (file("../config.json"), r"'\.\./config\.json' is not a file of a checkpoint"),
        (file("/etc/passwd"), "'/etc/passwd' is not a file of a checkpoint"),
        (file("config.json", sha256="0" * 63), "sha256 must be 64 hexadecimal digits"),
        (file("config.json", sha256="Z" * 64), "sha256 must be 64 hexadecimal digits"),
        (file("config.json", size=0), "size must be positive"),
        (lambda row: row["files"].pop("golden.safetensors"), r"no sha256 for golden\.safetensors"),
    ],
)
def test_a_bad_row_does_not_load(path: Path, change: Callable[[dict], None], message: str) -> None:
    content = json.loads(path.read_text())
    change(content["weights"][0])
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(format_version=2), "expected one of 1, found 2"),
        (lambda content: content.update(weights={}), "expected a list"),
        (lambda content: content.update(weights=[3]), r"weights\[0\]: expected an object"),
        (lambda content: content["weights"].extend(content["weights"]), "a weights name occurs twice"),
        (lambda content: content.update(more=1), "unknown key 'more'"),
    ],
)
def test_a_bad_manifest_does_not_load(path: Path, change: Callable[[dict], None], message: str) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_manifest(path)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        read_manifest(tmp_path / "none.json")


def test_a_row_needs_a_whole_checkpoint_and_known_fields(saved: Path) -> None:
    with pytest.raises(InputError, match="unknown key 'licens': did you mean 'licence'"):
        weights_row(saved, name="toy_linear.tiny", **FIELDS, licens="MIT")
    with pytest.raises(InputError, match=r"does not begin with the architecture 'toy_linear'"):
        weights_row(saved, name="gto_potential.tiny", **FIELDS)
    (saved / "README.md").unlink()
    with pytest.raises(InputError, match=r"lacks README\.md"):
        weights_row(saved, name="toy_linear.tiny", **FIELDS)


def test_the_package_has_a_manifest_that_loads() -> None:
    assert manifest() == read_manifest(MANIFEST_PATH)
    assert manifest() is manifest()
    with pytest.raises(InputError, match=r"unknown weights 'no_such\.thing'"):
        get_weights("no_such.thing")
