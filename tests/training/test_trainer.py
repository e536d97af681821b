"""The trainer does the mathematics that it says, and tells of it."""

import copy
import dataclasses
import io
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from rich.console import Console
from torch.optim.swa_utils import AveragedModel
from toys import Contrastive, Forces, Regression, StopAt, TruncatedBPTT, weights

from sciml_zoo.errors import InputError
from sciml_zoo.training import (
    OptimizerConfig,
    ProgressBar,
    StepOutput,
    Trainer,
    TrainerConfig,
    TrainState,
    build_optimizer,
    read_recipe,
)
from sciml_zoo.training.optimizer import GradientClip, learning_rate_factor
from sciml_zoo.training.order import DataOrder, part_of_batch
from sciml_zoo.training.state import derived_seed, pack, unpack
from sciml_zoo.training.trainer import _TrainingRecipe

CONFIG = TrainerConfig(max_steps=12, batch_size=5, validate_every=4, log_every=3, accelerator="cpu")
ADAM = OptimizerConfig(name="adam", learning_rate=0.01)
SAMPLES = Regression.samples()


class Record:
    def __init__(self) -> None:
        self.steps, self.validations, self.ended = [], [], 0

    def on_step_end(self, record) -> None:
        self.steps.append(record)

    def on_validation_end(self, record) -> None:
        self.validations.append(record)

    def on_fit_end(self) -> None:
        self.ended += 1


def warmed_up_average(averaged, current, n) -> None:
    """A decay of 0.5, and less in the first steps: min(0.5, (1 + n) / (10 + n))."""
    decay = min(0.5, (1 + n.item()) / (10 + n.item()))
    for old, new in zip(averaged, current, strict=True):
        old.copy_(decay * old + (1 - decay) * new)


def test_equals_a_loop_written_by_hand() -> None:
    config = dataclasses.replace(CONFIG, clip_norm=0.3, ema_decay=0.5, max_steps=14)
    options = OptimizerConfig(name="adamw", learning_rate=0.02, weight_decay=0.1, schedule="cosine", warmup_steps=3)
    task = Regression()
    model = copy.deepcopy(task.model)
    result = Trainer(config).fit(task, options, SAMPLES)

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.1)
    average = AveragedModel(model, multi_avg_fn=warmed_up_average)
    generator = torch.Generator().manual_seed(derived_seed(0, "order"))
    step = 0
    while step < 14:
        order = torch.randperm(23, generator=generator).tolist()
        for start in range(0, 23, 5):
            if step == 14:
                break
            x, y = task.collate([SAMPLES[i] for i in order[start : start + 5]])
            factor = (step + 1) / 3 if step < 3 else 0.5 * (1 + math.cos(math.pi * (step - 3) / 11))
            optimizer.param_groups[0]["lr"] = 0.02 * factor
            optimizer.zero_grad()
            (model(x)[:, 0] - y).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            optimizer.step()
            average.update_parameters(model)
            step += 1
    torch.testing.assert_close(weights(task.model), weights(model), rtol=0, atol=1e-6)
    torch.testing.assert_close(weights(result.model), weights(average.module), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("make", "samples"), [(Regression, SAMPLES), (Forces, Forces.samples())])
@pytest.mark.parametrize("accumulate", [2, 3, 7])  # seven micro-batches of at most five samples
def test_micro_batches_equal_one_batch(make, samples, accumulate: int) -> None:
    tasks = [make(), make()]
    records = [Record(), Record()]
    for task, record, n in zip(tasks, records, (1, accumulate), strict=True):
        Trainer(dataclasses.replace(CONFIG, accumulate=n, clip_factor=1.0), callbacks=[record]).fit(task, ADAM, samples)
    torch.testing.assert_close(weights(tasks[0].model), weights(tasks[1].model), rtol=0, atol=1e-6)
    for one, many in zip(records[0].steps, records[1].steps, strict=True):
        assert many.loss == pytest.approx(one.loss, rel=1e-4)
        assert many.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-4)
        assert many.averages == pytest.approx(one.averages, rel=1e-4) if one.averages else many.averages is None


def test_averages_in_the_log_are_means_over_samples() -> None:
    record = Record()
    config = dataclasses.replace(CONFIG, max_steps=5, log_every=5)  # one epoch: 5 + 5 + 5 + 5 + 3 samples
    task = Regression()
    frozen = OptimizerConfig(name="sgd", learning_rate=1e-30, momentum=0.0)
    Trainer(config, callbacks=[record]).fit(task, frozen, SAMPLES)
    x, y = task.collate(SAMPLES)
    error = task.model(x)[:, 0] - y
    assert record.steps[-1].averages["loss"] == pytest.approx(error.square().mean().item(), rel=1e-5)
    assert record.steps[-1].averages["mae"] == pytest.approx(error.abs().mean().item(), rel=1e-5)
    assert [step.averages is None for step in record.steps] == [True, True, True, True, False]


def test_each_epoch_deals_every_sample_once_in_a_new_order() -> None:
    order = DataOrder(23, 5, seed=1)
    epochs = []
    for epoch in range(3):
        dealt = []
        while order.epoch == epoch:
            batch = order.batch()
            for world, micro in [(1, 1), (2, 3), (7, 2)]:
                parts = [part_of_batch(batch, rank, world, micro) for rank in range(world)]
                assert sorted(i for part in parts for chunk in part for i in chunk) == sorted(batch)
                assert all(chunk for part in parts for chunk in part)
            dealt += batch
            order.advance()
        assert sorted(dealt) == list(range(23))
        epochs.append(dealt)
    assert epochs[0] != epochs[1] != epochs[2]


def test_schedule() -> None:
    cosine = OptimizerConfig(schedule="cosine", warmup_steps=4)
    factors = [learning_rate_factor(step, cosine, 20) for step in range(25)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[12] == pytest.approx(0.5)
    assert factors[20:] == [0.0] * 5
    assert all(a >= b for a, b in itertools.pairwise(factors[4:]))
    constant = OptimizerConfig(warmup_steps=2)
    assert [learning_rate_factor(step, constant, 4) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]


def test_adaptive_clip_follows_the_running_mean() -> None:
    clip = GradientClip(None, 2.0)
    assert clip.scale(1.0) == 1.0
    assert clip.scale(1.5) == 1.0  # below twice the mean
    mean = (0.99 * 0.01 * 1.0 + 0.01 * 1.5) / (0.99 * 0.01 + 0.01)
    assert clip.scale(100.0) == pytest.approx(2 * mean / 100.0)
    assert clip.scale(100.0) < 0.04  # one outlier did not raise the bound much
    assert GradientClip(0.5, None).scale(2.0) == 0.25
    assert GradientClip(None, None).scale(1e30) == 1.0


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "muon"])
def test_optimizers_train_and_leave_frozen_parameters(name: str) -> None:
    task = Regression()
    task.model[0].weight.requires_grad_(False)
    before = task.model[0].weight.clone()
    optimizer = build_optimizer(task.model, OptimizerConfig(name=name, learning_rate=0.02))
    assert all(p.requires_grad for group in optimizer.param_groups for p in group["params"])
    config = dataclasses.replace(CONFIG, max_steps=60)
    record = Record()
    Trainer(config, callbacks=[record]).fit(task, OptimizerConfig(name=name, learning_rate=0.02), SAMPLES)
    assert record.steps[-1].averages["loss"] < 0.7 * record.steps[2].averages["loss"]
    assert torch.equal(task.model[0].weight, before)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_precisions(precision: str, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, precision=precision, ema_decay=0.9)
    task, reference = Regression(), Regression()
    result = Trainer(config, directory=tmp_path).fit(task, ADAM, SAMPLES, SAMPLES)
    Trainer(CONFIG).fit(reference, ADAM, SAMPLES)
    difference = (weights(task.model) - weights(reference.model)).abs().max()
    kept = torch.float64 if precision == "64-true" else torch.float32
    assert all(p.dtype == kept for p in result.model.parameters())
    assert 0 < difference < (1e-5 if precision == "64-true" else 0.05)


def test_forces_in_float64() -> None:
    config = dataclasses.replace(CONFIG, precision="64-true", monitor="force_mae")
    assert math.isfinite(Trainer(config).fit(Forces(), ADAM, Forces.samples(), Forces.samples()).best)


def test_validation_leaves_no_trace_and_uses_the_average() -> None:
    class Watched(Contrastive):
        def evaluate(self, batches):
            seen.append((self.model, self.model.training, torch.is_grad_enabled()))
            torch.rand(5)
            return super().evaluate(batches)

    seen, config = [], dataclasses.replace(CONFIG, ema_decay=0.9)
    watched, alone = Watched(), Contrastive()
    watched.model[2].eval()  # a part that is kept in evaluation mode stays there
    trained = watched.model
    result = Trainer(config).fit(watched, ADAM, SAMPLES, SAMPLES)
    Trainer(config).fit(alone, ADAM, SAMPLES)
    assert torch.equal(weights(watched.model), weights(alone.model))
    assert watched.model is trained
    assert [(m is result.model, training, grad) for m, training, grad in seen] == [(True, False, True)] * 3
    assert watched.model.training


def test_early_stopping_and_best(tmp_path: Path) -> None:
    values = [3.0, 2.0, math.nan, 2.5, 2.0, 1.0]

    class Scripted(Regression):
        def evaluate(self, batches):
            return {"loss": values[len(record.validations)], "n": float(sum(len(y) for _, y in batches))}

    record = Record()
    config = dataclasses.replace(CONFIG, max_steps=100, validate_every=2, patience=3)
    result = Trainer(config, directory=tmp_path, callbacks=[record]).fit(Scripted(), ADAM, SAMPLES, SAMPLES[:13])
    assert result.stopped_because == "early_stopping"
    assert (result.best, result.step, record.ended) == (2.0, 10, 1)
    assert [v.improved for v in record.validations] == [True, True, False, False, False]
    assert all(v.metrics["n"] == 13 for v in record.validations)
    at_four = Regression()
    Trainer(dataclasses.replace(CONFIG, max_steps=4)).fit(at_four, ADAM, SAMPLES)
    best = safetensors.torch.load_file(tmp_path / "best/model.safetensors")
    assert all(torch.equal(value, at_four.model.state_dict()[name]) for name, value in best.items())
    again = Trainer(config, directory=tmp_path).fit(Scripted(), ADAM, SAMPLES, SAMPLES[:13], resume=True)
    assert (again.step, again.stopped_because) == (10, "early_stopping")


def test_max_mode_and_evaluate() -> None:
    record = Record()
    config = dataclasses.replace(CONFIG, mode="max", max_steps=20)
    task = Regression()
    trainer = Trainer(config, callbacks=[record])
    result = trainer.fit(task, ADAM, SAMPLES, SAMPLES)
    assert result.best == max(v.metrics["loss"] for v in record.validations)
    assert [v.step for v in record.validations] == [4, 8, 12, 16, 20]
    assert trainer.evaluate(task, SAMPLES)["loss"] == pytest.approx(result.metrics["loss"])
    small = Trainer(dataclasses.replace(config, evaluation_batch_size=2)).evaluate(task, SAMPLES)
    assert small["loss"] == pytest.approx(result.metrics["loss"])


def test_a_batch_of_several_steps_is_never_cut() -> None:
    result = Trainer(dataclasses.replace(CONFIG, max_steps=4)).fit(TruncatedBPTT(), ADAM, TruncatedBPTT.samples())
    assert (result.step, result.stopped_because) == (6, "max_steps")  # three steps a batch


def test_run_folder(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, tensorboard=True)
    Trainer(config, directory=tmp_path).fit(Regression(), ADAM, SAMPLES, SAMPLES)
    assert {p.name for p in tmp_path.iterdir()} == {
        "recipe.yaml", "metrics.jsonl", "last", "best", "tensorboard", ".lock"
    }  # fmt: skip
    assert read_recipe(_TrainingRecipe, tmp_path / "recipe.yaml") == _TrainingRecipe(ADAM, config)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["event"], line["step"]) for line in lines] == [
        ("train", 3), ("validation", 4), ("train", 6), ("validation", 8),
        ("train", 9), ("train", 12), ("validation", 12),
    ]  # fmt: skip
    assert {"loss", "mae", "learning_rate", "gradient_norm", "epoch", "seconds"} <= lines[0].keys()
    assert list((tmp_path / "tensorboard").iterdir())
    assert {p.suffix for p in (tmp_path / "last").iterdir()} == {".json", ".safetensors"}


def test_own_way_of_saving_gets_model_and_metadata(tmp_path: Path) -> None:
    saved = []

    def save(model, directory, metadata) -> None:
        saved.append((directory.name.split(".")[1], model.training, dict(metadata)))
        (directory / "weights.txt").write_text("mine")

    Trainer(CONFIG, directory=tmp_path, save=save).fit(Regression(), ADAM, SAMPLES, SAMPLES)
    assert (tmp_path / "best/weights.txt").read_text() == "mine"
    assert {name for name, _, _ in saved} == {"last", "best"}
    assert not any(training for _, training, _ in saved)
    assert saved[-1][2]["step"] == 12
    assert "loss" in saved[-1][2]["metrics"]


def test_no_folder_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Trainer(CONFIG).fit(Regression(), ADAM, SAMPLES, SAMPLES)
    assert not list(tmp_path.iterdir())


def test_progress_bar_on_a_terminal_and_lines_elsewhere() -> None:
    lines = io.StringIO()
    Trainer(CONFIG, callbacks=[ProgressBar(lines, seconds_between_lines=0.0)]).fit(Regression(), ADAM, SAMPLES, SAMPLES)
    shown = lines.getvalue().splitlines()
    assert len(shown) == 12
    assert shown[-1].startswith("step 12/12  loss ")
    assert "left" in shown[-1]
    assert "\x1b" not in lines.getvalue()

    screen = io.StringIO()
    bar = ProgressBar()
    bar._console = Console(file=screen, force_terminal=True, width=150)
    Trainer(CONFIG, callbacks=[bar]).fit(Regression(), ADAM, SAMPLES, SAMPLES)
    assert "12/12" in screen.getvalue()
    assert "left" in screen.getvalue()


def test_callbacks_end_after_an_error() -> None:
    class Fails(Record):
        def on_fit_start(self, trainer, state) -> None:
            assert isinstance(state, TrainState)

        def on_step_end(self, record) -> None:
            raise ZeroDivisionError

    listener = Fails()
    with pytest.raises(ZeroDivisionError):
        Trainer(CONFIG, callbacks=[listener]).fit(Regression(), ADAM, SAMPLES)
    assert listener.ended == 1


def test_state_on_disk_is_exact_and_holds_no_pickle() -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    nested = {
        "floats": [0.1, 1e-323, math.inf, -0.0, 3], "none": None, "flag": True, 7: {"t": (1, (0.9, 0.999))},
        "tensors": {"a": shared, "b": shared.T, "scalar": torch.tensor(1, dtype=torch.uint8), "empty": torch.empty(0)},
    }  # fmt: skip
    text, tensors = pack(nested)
    back = unpack(text, tensors)
    assert list(back) == list(nested)
    assert back["floats"] == nested["floats"]
    assert math.copysign(1, back["floats"][3]) == -1
    assert (back["none"], back["flag"], back[7]) == (None, True, {"t": (1, (0.9, 0.999))})
    for name, tensor in nested["tensors"].items():
        assert torch.equal(back["tensors"][name], tensor)
        assert back["tensors"][name].dtype == tensor.dtype


def test_a_state_that_no_one_restores_is_an_error() -> None:
    Regression().load_state_dict({})
    with pytest.raises(ValueError, match="carried"):
        Regression().load_state_dict({"carried": 1})


def test_importing_a_task_does_not_import_the_trainer() -> None:
    code = "import sys, sciml_zoo.training.task; assert 'lightning_fabric' not in sys.modules; "
    code += "import sciml_zoo.training.recipe; assert 'jsonargparse' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    recipe_only = "import sys, sciml_zoo.training.recipe; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", recipe_only], check=True)


def test_a_stop_request_before_any_batch_is_harmless() -> None:
    trainer = Trainer(CONFIG, callbacks=[StopAt(1)])
    trainer.request_stop()
    result = trainer.fit(Regression(), ADAM, SAMPLES)
    assert (result.step, result.stopped_because) == (1, "requested")


def test_tensorboard_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'sciml-zoo\[train\]'"):
        Trainer(dataclasses.replace(CONFIG, tensorboard=True), directory=tmp_path).fit(Regression(), ADAM, SAMPLES)


def test_metrics_may_be_missing_from_some_steps() -> None:
    class Sometimes(Regression):
        def steps(self, batch):
            for output in super().steps(batch):
                yield StepOutput(output.loss, output.weight, {"odd": 2.0} if len(batch[1]) == 3 else {})

    record = Record()
    Trainer(dataclasses.replace(CONFIG, log_every=5), callbacks=[record]).fit(Sometimes(), ADAM, SAMPLES)
    assert [step.averages["odd"] for step in record.steps if step.averages] == [2.0, 2.0]
