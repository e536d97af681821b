"""From a recipe to a task: how images are split, what is refused, and that the shipped recipes are valid."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import sciml_zoo as sz
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.model import DigitsCNNConfig
from sciml_zoo.adversarial.recipe import DigitsRecipe, ImagesConfig, prepare, recipe_type
from sciml_zoo.errors import InputError
from sciml_zoo.training import TrainerConfig, read_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "scripts" / "recipes").glob("digits_cnn*.yaml"))
SHIPPED = ["adversarial_gelu", "adversarial_relu", "standard_gelu", "standard_relu"]


@pytest.fixture
def file(tmp_path):
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).random((60, 4, 4))
    images[:, 0, 0] = np.arange(60) / 60  # tells them apart
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    return tmp_path / "images.npz"


def recipe(file, **values) -> DigitsRecipe:
    shape = DigitsCNNConfig(channels=2, hidden=4, n_classes=3, size=4)
    return DigitsRecipe("digits_cnn", **{"data": ImagesConfig(str(file)), "model": shape, **values})


def numbers(samples) -> list[int]:
    return sorted(round(60 * float(sample.image[0, 0, 0])) for sample in samples)


def test_every_image_is_in_one_part_and_every_class_in_both(file):
    prepared = prepare(recipe(file, data=ImagesConfig(str(file), validation_fraction=0.2)))
    assert sorted(numbers(prepared.train) + numbers(prepared.validation)) == list(range(60))
    assert np.bincount([int(sample.label) for sample in prepared.validation]).tolist() == [4, 4, 4]


def test_the_seed_decides_split_and_weights(file):
    first, second, other = (prepare(recipe(file, seed=seed)) for seed in (0, 0, 1))
    assert numbers(first.validation) == numbers(second.validation) != numbers(other.validation)
    weights = [torch.cat([p.flatten() for p in p.task.model.parameters()]) for p in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_validation_file_is_used_as_it_is(file, tmp_path):
    np.savez(tmp_path / "more.npz", images=np.full((2, 4, 4), 0.5), labels=[2, 0])
    prepared = prepare(recipe(file, data=ImagesConfig(str(file), str(tmp_path / "more.npz"))))
    assert len(prepared.train) == 60
    assert [int(sample.label) for sample in prepared.validation] == [2, 0]


def test_images_that_do_not_fit_the_model_are_refused(file, tmp_path):
    with pytest.raises(InputError, match=r"model\.size: 8, but the images of .* have 4 pixels a side"):
        prepare(recipe(file, model=DigitsCNNConfig()))
    with pytest.raises(InputError, match=r"model\.n_classes: 2, but .* has the label 2"):
        prepare(recipe(file, model=DigitsCNNConfig(n_classes=2, size=4)))
    np.savez(tmp_path / "one.npz", images=np.zeros((1, 4, 4)), labels=[0])
    with pytest.raises(InputError, match="cannot be split"):
        prepare(recipe(tmp_path / "one.npz"))
    with pytest.raises(InputError, match="validation_fraction"):
        ImagesConfig("x", validation_fraction=0.0)


def test_a_monitor_that_would_choose_the_worst_is_refused(file):
    with pytest.raises(InputError, match="did you mean 'robust_accuracy'"):
        recipe(file, trainer=TrainerConfig(monitor="robust_accurcy"))
    with pytest.raises(InputError, match="the best robust_accuracy is the max"):
        recipe(file, trainer=TrainerConfig(monitor="robust_accuracy", mode="min"))
    with pytest.raises(InputError, match="the best loss is the min"):
        recipe(file, trainer=TrainerConfig(monitor="loss", mode="max"))
    with pytest.raises(InputError, match="seed"):
        recipe(file, seed=-1)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path):
    read = read_recipe(recipe_type("digits_cnn"), path)
    assert f"sciml-zoo train scripts/recipes/{path.name} " in path.read_text()
    kind = path.stem.partition(".")[2]
    assert (read.attack.kind == "none") == (not kind.startswith("adversarial"))
    assert read.model.activation == (kind.partition("_")[2] or "gelu")


def test_standard_and_adversarial_recipes_differ_by_the_attack_and_their_length_only():
    """Otherwise tables that compare their weights would compare something else."""
    read = {kind: read_recipe(DigitsRecipe, ROOT / f"scripts/recipes/digits_cnn.{kind}.yaml") for kind in SHIPPED}
    base = read["standard_gelu"]
    for kind, found in read.items():
        same = {"attack": found.attack, "trainer": found.trainer}
        same["model"] = dataclasses.replace(base.model, activation=kind.partition("_")[2])
        assert found == dataclasses.replace(base, **same)


@pytest.mark.parametrize("kind", SHIPPED)
def test_shipped_weights_are_those_of_their_recipe(kind):
    model = sz.load_model(f"digits_cnn.{kind}")
    assert model.config == read_recipe(DigitsRecipe, ROOT / f"scripts/recipes/digits_cnn.{kind}.yaml").model


def test_the_script_trains_as_the_command_does(file, tmp_path):
    options = ["--model.n_classes", "3", "--model.size", "4", "--trainer.max_steps", "4", "--attack.kind", "l2"]
    base = ROOT / "scripts" / "recipes" / "digits_cnn.yaml"
    run = ["-m", "sciml_zoo", "train", str(base), "--data.train", str(file), "--out", str(tmp_path / "a"), *options]
    subprocess.run([sys.executable, *run], check=True, capture_output=True, text=True)
    shaped = tmp_path / "shaped.yaml"
    shaped.write_text(base.read_text().replace("n_classes: 10", "n_classes: 3").replace("size: 8", "size: 4"))
    script = [str(ROOT / "scripts" / "train_adversarial.py"), str(file), "--recipe", str(shaped), "--attack", "l2"]
    subprocess.run(
        [sys.executable, *script, "--steps", "4", "--out", str(tmp_path / "b")], check=True, capture_output=True
    )
    one, two = (sz.load_model(f"local-dir:{tmp_path / run / 'last'}") for run in ("a", "b"))
    images = load_images(file).images
    assert torch.equal(one(images), two(images))
