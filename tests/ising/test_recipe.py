"""From a recipe to a task: what is chosen from the samples, and what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml_zoo.errors import InputError
from sciml_zoo.ising.metrics import DivergentPair, divergent_pairs
from sciml_zoo.ising.objectives import ObjectiveConfig
from sciml_zoo.ising.observations import binarised_digits
from sciml_zoo.ising.recipe import (
    BoltzmannRecipe,
    MachineConfig,
    RBMRecipe,
    RBMShape,
    SamplesConfig,
    prepare,
    recipe_type,
)
from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig, read_recipe

RECIPES = Path(__file__).parents[2] / "scripts" / "recipes"


@pytest.fixture
def file(tmp_path):
    rows = np.random.default_rng(0).integers(0, 2, (50, 4))
    rows[:, 3] = 1 - rows[:, 2]
    path = tmp_path / "states.txt"
    path.write_text("\n".join("".join(map(str, row)) for row in rows))
    return path


def recipe(file, **values) -> BoltzmannRecipe:
    return BoltzmannRecipe("boltzmann_machine", SamplesConfig(str(file)), **values)


def test_a_machine_of_the_samples_size_starts_from_their_means(file):
    prepared = prepare(recipe(file, model=MachineConfig(n_hidden=2, units="binary")))
    m = prepared.task.model
    assert (m.n_visible, m.n_hidden, m.units, m.fields.dtype) == (4, 2, "binary", torch.float32)
    train = torch.stack([pattern.visible for pattern in prepared.train])
    expected = torch.logit((train.sum(0) + 1) / (len(train) + 2))
    torch.testing.assert_close(m.fields[:4].detach(), expected, rtol=0, atol=1e-6)
    assert len(train) == 45
    assert sum(pattern.times.item() for pattern in prepared.validation) == 5


def test_precision_decides_the_dtype_and_the_seed_the_weights(file):
    double = TrainerConfig(monitor="bits", precision="64-true")
    first, second, other = (prepare(recipe(file, trainer=double, seed=seed)).task.model for seed in (0, 0, 1))
    assert first.couplings.dtype == torch.float64
    assert torch.equal(first.couplings, second.couplings)
    assert not torch.equal(first.couplings, other.couplings)


@pytest.mark.parametrize("kind", ["exact_likelihood", "pseudo_likelihood", "minimum_probability_flow"])
def test_deterministic_objectives_see_every_distinct_sample_in_each_step(file, kind):
    data = SamplesConfig(str(file), validation_fraction=0.0)
    prepared = prepare(BoltzmannRecipe("boltzmann_machine", data, objective=ObjectiveConfig(kind)))
    distinct = len(set(file.read_text().split()))
    assert len(prepared.train) == distinct == prepared.recipe.trainer.batch_size
    assert sum(pattern.times.item() for pattern in prepared.train) == 50
    assert "all of them in every step" in prepared.notes["distinct samples"]


def test_couplings_and_fields_at_infinity_are_noted(tmp_path):
    path = tmp_path / "never.txt"
    path.write_text("1001\n0101\n0011\n0001\n0001\n1011\n")
    notes = prepare(BoltzmannRecipe("boltzmann_machine", SamplesConfig(str(path), validation_fraction=0.0))).notes
    assert "1–2 (never 1,1), 2–3 (never 1,1)" in notes["couplings at infinity"]
    assert notes["fields at infinity"] == "1 units never change: 4"


def test_divergent_pairs_are_those_with_a_missing_joint_value():
    rows = [[0, 0, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 1, 1]]
    assert divergent_pairs(rows) == [DivergentPair(0, 1, (1, 0), 1), DivergentPair(1, 2, (0, 0), -1)]
    assert divergent_pairs([[0, 0], [0, 1], [1, 0], [1, 1]]) == []
    assert divergent_pairs([[0, 1], [0, 0]]) == []  # a unit that never changes: its field is infinite, not a coupling
    with pytest.raises(InputError, match="expected 0/1"):
        divergent_pairs([[0, 2]])


def test_couplings_at_infinity_grow_without_end_and_the_others_settle(tmp_path):
    path = tmp_path / "never.txt"
    path.write_text("10\n01\n00\n00\n01\n")
    fitted = {}
    for steps in (500, 1500):
        base = BoltzmannRecipe(
            "boltzmann_machine",
            SamplesConfig(str(path), validation_fraction=0.0),
            objective=ObjectiveConfig("exact_likelihood"),
            optimizer=OptimizerConfig("adam", 0.05),
            model=MachineConfig(units="binary"),
            trainer=TrainerConfig(max_steps=steps, monitor="bits", precision="64-true", accelerator="cpu"),
        )
        prepared = prepare(base)
        Trainer(prepared.recipe.trainer).fit(prepared.task, base.optimizer, prepared.train)
        fitted[steps] = prepared.task.model
    assert fitted[1500].couplings.item() < fitted[500].couplings.item() - 0.5 < -4.0
    torch.testing.assert_close(fitted[1500].fields.detach(), torch.tensor([0.5, 1.0]).double().log(), atol=0.01, rtol=0)


def test_edges_restrict_the_couplings(file):
    shape = MachineConfig(connectivity="given", edges=((3, 2), (0, 1)))
    m = prepare(recipe(file, model=shape)).task.model
    assert m.edges.tolist() == [[0, 2], [1, 3]]
    with pytest.raises(InputError, match=r"model\.edges"):
        prepare(recipe(file, model=MachineConfig(connectivity="given")))
    with pytest.raises(InputError, match=r"model\.edges"):
        prepare(recipe(file, model=MachineConfig(edges=((0, 1),))))


def test_validation_files_and_bad_splits(file, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("0101\n1111\n")
    data = SamplesConfig(str(file), validation=str(other))
    prepared = prepare(BoltzmannRecipe("boltzmann_machine", data))
    assert (len(prepared.train), len(prepared.validation)) == (50, 2)
    other.write_text("010\n")
    with pytest.raises(InputError, match="has 3 units"):
        prepare(BoltzmannRecipe("boltzmann_machine", data))
    with pytest.raises(InputError, match="cannot be split"):
        prepare(recipe(other))
    with pytest.raises(InputError, match="validation_fraction"):
        SamplesConfig("x", validation_fraction=1.0)


def test_a_monitor_that_would_choose_the_worst_is_refused(file):
    with pytest.raises(InputError, match="not measured here"):
        recipe(file, trainer=TrainerConfig(monitor="loss"))
    with pytest.raises(InputError, match="the best log_likelihood is the max"):
        recipe(file, trainer=TrainerConfig(monitor="log_likelihood", mode="min"))
    with pytest.raises(InputError, match="the best bits is the min"):
        recipe(file, trainer=TrainerConfig(monitor="bits", mode="max"))


def test_digits_are_split_once_and_for_all():
    train, test = binarised_digits()
    assert (train.shape, test.shape) == ((1437, 64), (360, 64))
    assert set(np.unique(train)) == {0.0, 1.0}
    again = binarised_digits()
    assert np.array_equal(again[1], test)
    assert abs(train.mean() - test.mean()) < 0.01


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_of_this_domain_are_valid(path):
    architecture = path.stem.partition(".")[0]
    if architecture in ("boltzmann_machine", "rbm"):
        read = read_recipe(recipe_type(architecture), path)
        assert read.architecture == architecture
        assert f"scripts/recipes/{path.name} " in path.read_text()
    else:
        assert architecture not in ("boltzmann", "ising")


def test_rbm_recipe_trains_on_digits_for_a_moment(tmp_path):
    """The likelihood rises well above that of independent pixels within 500 steps."""
    read = read_recipe(RBMRecipe, RECIPES / "rbm.digits.yaml")
    read = dataclasses.replace(
        read,
        model=RBMShape(n_hidden=10),
        optimizer=OptimizerConfig("adam", 0.02),
        trainer=dataclasses.replace(read.trainer, max_steps=500, ema_decay=None, accelerator="cpu"),
    )
    prepared = prepare(read)
    start = prepared.task
    start.generator = torch.Generator()
    independent = start.evaluate([start.collate(prepared.validation)])["log_likelihood"]
    result = Trainer(prepared.recipe.trainer, directory=tmp_path / "run", recipe=prepared.recipe).fit(
        prepared.task, prepared.recipe.optimizer, prepared.train, prepared.validation
    )
    assert result.best > independent + 3


@pytest.mark.data
@pytest.mark.parametrize(("name", "bits"), [("scotus", 4.7298), ("spikes15", 6.4727)])
def test_published_entropies_of_pairwise_models(name, bits):
    read = read_recipe(BoltzmannRecipe, RECIPES / f"boltzmann_machine.{name}.yaml", ["--trainer.max_steps", "1500"])
    prepared = prepare(read)
    result = Trainer(prepared.recipe.trainer).fit(
        prepared.task, prepared.recipe.optimizer, prepared.train, prepared.validation
    )
    assert result.metrics["bits"] == pytest.approx(bits, abs=2e-4)
    assert ("couplings at infinity" in prepared.notes) == (name == "spikes15")
