"""Recipes: every mistake is named with its place and the remedy; what is written is read back equal."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.errors import InputError
from sciml_zoo.training import OptimizerConfig, TrainerConfig, read_recipe, write_recipe


@dataclasses.dataclass(frozen=True)
class Model:
    n_radial: int = 8
    cutoff: float = 5.0
    elements: tuple[str, ...] = ("H", "C")
    widths: tuple[int, int] = (16, 16)
    periodic: bool = False
    kind: Literal["gto", "bessel"] = "gto"


@dataclasses.dataclass(frozen=True)
class Data:
    train: Path
    validation: Path | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Recipe:
    architecture: str
    data: Data
    seed: int = 0
    model: Model = Model()
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = dataclasses.field(default_factory=TrainerConfig)
    ensemble: Model | None = None
    card: dict[str, Any] | None = None


GOOD = """
architecture: gto_potential
seed: 3
model:
  n_radial: 12
  elements: [H, C, O]
data:
  train: ethanol.xyz
optimizer: {learning_rate: 1e-3, schedule: cosine}
card:
  licence: MIT
"""


def read(tmp_path: Path, text: str = GOOD, overrides: list[str] | None = None) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return read_recipe(Recipe, path, overrides)


def test_values_and_defaults(tmp_path: Path) -> None:
    recipe = read(tmp_path)
    assert recipe.model == Model(n_radial=12, elements=("H", "C", "O"))
    assert recipe.data == Data(Path("ethanol.xyz"))
    assert recipe.optimizer == OptimizerConfig(learning_rate=0.001, schedule="cosine")
    assert recipe.card == {"licence": "MIT"}
    assert recipe.ensemble is None


def test_overrides_win_and_take_the_type_of_their_field(tmp_path: Path) -> None:
    overrides = ["--model.n_radial", "32", "--model.cutoff=4", "--data.note", "007", "--model.elements=[N, O]"]
    overrides += ["--model.periodic", "true", "--card.title", "My model", "--card.year", "2026", "--trainer.patience=3"]
    overrides += ["--ensemble.n_radial=2", "--data.validation", "v.xyz", "--seed=0", "--optimizer.betas", "[0.5, 1e-1]"]
    recipe = read(tmp_path, GOOD, overrides)
    assert recipe.model == Model(32, 4.0, ("N", "O"), periodic=True)
    assert isinstance(recipe.model.cutoff, float)
    assert recipe.data == Data(Path("ethanol.xyz"), Path("v.xyz"), "007")
    assert recipe.card == {"licence": "MIT", "title": "My model", "year": 2026}
    assert recipe.ensemble == Model(2)
    assert (recipe.seed, recipe.trainer.patience, recipe.optimizer.betas) == (0, 3, (0.5, 0.1))
    assert read(tmp_path, GOOD, ["--card", "null", "--ensemble=null"]).card is None


BAD_FILES = {
    "unknown key": ("model: {n_radal: 3}", ["recipe.yaml:2", "model.n_radal", "'n_radial'"]),
    "unknown section": ("modle: {n_radial: 3}", ["recipe.yaml:2", "'model'"]),
    "text for a number": ("model:\n  n_radial: many", ["recipe.yaml:3", "model.n_radial", "int", "'many'"]),
    "quoted number": ("model: {n_radial: '3'}", ["model.n_radial", "int"]),
    "fraction for an integer": ("model: {n_radial: 3.5}", ["model.n_radial", "int", "3.5"]),
    "boolean for an integer": ("model: {n_radial: true}", ["model.n_radial", "int", "True"]),
    "number for a boolean": ("model: {periodic: 1}", ["model.periodic", "bool"]),
    "number for text": ("seed: 1\nmodel: {elements: [1, 2]}", ["model.elements", "[1, 2]"]),
    "text for a list": ("model: {elements: H}", ["model.elements", "'H'"]),
    "wrong length": ("model: {widths: [1, 2, 3]}", ["model.widths", "[1, 2, 3]"]),
    "nothing": ("model: {n_radial: }", ["model.n_radial", "missing"]),
    "no such choice": ("model: {kind: gtoo}", ["model.kind", "gto", "bessel"]),
    "list for a section": ("model: [1]", ["model", "n_radial"]),
    "number for a section": ("trainer: 3", ["trainer", "max_steps"]),
    "list for a number": ("seed: [1]", ["seed", "int"]),
    "mapping for a number": ("seed: {a: 1}", ["seed", "int"]),
    "text for a mapping": ("card: yes please", ["card", "'yes please'"]),
    "duplicate key": ("model: {n_radial: 1, n_radial: 2}", ["recipe.yaml:2", "'n_radial'", "twice"]),
    "duplicate section": ("seed: 1\nseed: 2", ["recipe.yaml:3", "'seed'", "twice"]),
    "key is a number": ("card: {1: 2}", ["recipe.yaml:2", "quotes"]),
    "broken YAML": ("model: {n_radial: 3", ["recipe.yaml:", "expected"]),
    "tabs": ("model:\n\tn_radial: 3", ["recipe.yaml:3"]),
    "a class": ("seed: !!python/object/apply:os.system ['true']", ["recipe.yaml:2", "python/object"]),
    "an alias": ("card: &a {b: 1}", ["recipe.yaml:2", "anchors"]),
    "two documents": ("seed: 1\n---\nseed: 2", ["recipe.yaml:3"]),
    "control character": ("seed: \x00", ["recipe.yaml"]),
    "bad optimizer": ("optimizer: {name: adamm}", ["recipe.yaml:2", "optimizer", "'adamm'", "did you mean 'adam'?"]),
    "bad schedule": ("optimizer: {schedule: cosin}", ["'cosine'"]),
    "negative rate": ("optimizer: {learning_rate: -1}", ["optimizer", "learning_rate", "-1"]),
    "NaN rate": ("optimizer: {learning_rate: .nan}", ["learning_rate", "nan"]),
    "no steps": ("trainer: {max_steps: 0}", ["trainer", "max_steps", "at least 1"]),
    "two ways to clip": ("trainer: {clip_norm: 1, clip_factor: 2}", ["trainer", "clip_factor"]),
    "bad precision": ("trainer: {precision: 16-mixd}", ["'16-mixed'"]),
    "bad decay": ("trainer: {ema_decay: 1.0}", ["ema_decay", "1.0"]),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(case: str, tmp_path: Path) -> None:
    text, said = BAD_FILES[case]
    with pytest.raises(InputError) as caught:
        read(tmp_path, f"architecture: a\n{text}\ndata: {{train: a}}\n")
    message = str(caught.value)
    assert "recipe.yaml" in message
    for word in said:
        assert word in message


BAD_OVERRIDES = {
    "unknown key": (["--model.n_radal", "3"], ["--model.n_radal", "'n_radial'"]),
    "unknown section": (["--trianer.seed=3"], ["trianer", "'trainer'"]),
    "wrong type": (["--model.n_radial", "many"], ["--model.n_radial", "int", "'many'"]),
    "wrong choice": (["--model.kind=x"], ["--model.kind", "gto"]),
    "not an option": (["model.n_radial", "3"], ["'model.n_radial'", "--section.key value"]),
    "no value": (["--model.n_radial"], ["--model.n_radial", "missing"]),
    "a whole section": (["--model", "3"], ["--model", "n_radial"]),
    "below a value": (["--seed.x", "3"], ["seed"]),
    "empty key": (["--model..n_radial", "3"], ["empty"]),
    "only dashes": (["--", "3"], ["--section.key value"]),
    "null for a number": (["--seed", "null"], ["--seed", "int"]),
}


@pytest.mark.parametrize("case", BAD_OVERRIDES)
def test_bad_overrides(case: str, tmp_path: Path) -> None:
    overrides, said = BAD_OVERRIDES[case]
    with pytest.raises(InputError) as caught:
        read(tmp_path, GOOD, overrides)
    for word in said:
        assert word in str(caught.value)


def test_missing_values_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data.train is missing"):
        read(tmp_path, "architecture: a\ndata: {note: x}")
    with pytest.raises(InputError, match=r"architecture is missing"):
        read(tmp_path, "")
    with pytest.raises(InputError, match="expected the section's keys"):
        read(tmp_path, "- 1")
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(Recipe, tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(Recipe, tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(Recipe, tmp_path / "binary.yaml")
    with pytest.raises(InputError, match="not a valid recipe"):
        read(tmp_path, "card: " + "[" * 3000)


NUMBERS = st.floats(min_value=1e-30, max_value=1e30)
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["null", "1e-3", "1e5", "0x1F", "yes", "~", "3", ".inf", "2020-01-01", "a: b", "1_000"]
)
PLAIN = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    note=TEXTS,
    cutoff=NUMBERS,
    elements=st.lists(TEXTS, max_size=3).map(tuple),
    decay=st.none() | st.floats(0, 0.999),
    devices=st.integers(1, 8) | TEXTS,
    card=st.none() | st.dictionaries(TEXTS, PLAIN, max_size=4),
    ensemble=st.none() | st.builds(Model, n_radial=st.integers()),
)
def test_round_trip(tmp_path_factory, note, cutoff, elements, decay, devices, card, ensemble) -> None:
    recipe = Recipe(
        architecture=note,
        data=Data(Path("a/b.xyz"), Path("c") if card else None, note),
        model=Model(cutoff=cutoff, elements=elements),
        trainer=TrainerConfig(ema_decay=decay, devices=devices),
        ensemble=ensemble,
        card=card,
    )
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    write_recipe(recipe, path)
    assert read_recipe(Recipe, path) == recipe


def test_written_recipe_is_fully_resolved_plain_yaml(tmp_path: Path) -> None:
    write_recipe(read(tmp_path), tmp_path / "out.yaml")
    values = yaml.safe_load((tmp_path / "out.yaml").read_text())
    assert values["trainer"]["max_steps"] == TrainerConfig().max_steps
    assert values["model"]["elements"] == ["H", "C", "O"]
    assert set(values) == {field.name for field in dataclasses.fields(Recipe)}


def test_what_yaml_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_recipe(Recipe("a", Data(Path("b")), card={"x": object()}), tmp_path / "recipe.yaml")
    assert not (tmp_path / "recipe.yaml").exists()
