"""Stopping and going on gives the same bits as not stopping."""

import dataclasses
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from toys import Contrastive, Forces, Regression, StopAt, TruncatedBPTT, weights

from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig

CONFIG = TrainerConfig(
    max_steps=20,
    batch_size=6,  # 23 samples: the last batch of an epoch has five
    accumulate=2,
    clip_factor=1.2,
    ema_decay=0.9,
    validate_every=8,
    log_every=3,
    accelerator="cpu",
)
CASES = {
    "adam with dropout": (lambda: Regression(dropout=0.3), Regression.samples(), "adam", "loss"),
    "sgd with momentum": (lambda: Regression(dropout=0.3), Regression.samples(), "sgd", "loss"),
    "muon": (lambda: Regression(dropout=0.3), Regression.samples(), "muon", "loss"),
    "forces": (Forces, Forces.samples(), "adamw", "force_mae"),
    "truncated BPTT": (TruncatedBPTT, TruncatedBPTT.samples(), "adam", "loss"),
    "contrastive divergence": (Contrastive, Regression.samples(), "adam", "loss"),
}


def optimizer(name: str) -> OptimizerConfig:
    return OptimizerConfig(name=name, learning_rate=0.02, schedule="cosine", warmup_steps=4)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stop", [7, 8, 13])  # in the first epoch, at a validation, in the fourth epoch
def test_stop_and_resume_equals_no_stop_bitwise(case: str, stop: int, tmp_path: Path) -> None:
    make, samples, name, monitor = CASES[case]
    config = dataclasses.replace(CONFIG, monitor=monitor)

    def fit(directory: Path, callbacks: list, resume: bool):
        torch.manual_seed(random.randrange(1 << 30))  # the run must not depend on what came before it
        trainer = Trainer(config, directory=directory, callbacks=callbacks)
        task = make()
        return task, trainer.fit(task, optimizer(name), samples, samples[:5], resume=resume)

    whole_task, whole = fit(tmp_path / "whole", [], resume=False)
    _, first = fit(tmp_path / "parts", [StopAt(stop)], resume=False)
    assert first.stopped_because == "requested"
    assert stop <= first.step < 20
    task, second = fit(tmp_path / "parts", [], resume=True)

    assert torch.equal(weights(task.model), weights(whole_task.model))
    assert torch.equal(weights(second.model), weights(whole.model))
    assert not torch.equal(weights(second.model), weights(task.model))  # the average is not the model
    assert (second.step, second.epoch, second.best) == (whole.step, whole.epoch, whole.best)
    assert second.metrics == whole.metrics
    assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole")


def log_of(directory: Path) -> list[dict]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def float16_trainer(config: TrainerConfig, **options) -> Trainer:
    """Fabric refuses float16 on a CPU, where it is only slow."""
    from lightning_fabric.plugins import MixedPrecision

    trainer = Trainer(config, **options)
    trainer.backend._plugin = trainer.backend._fabric.strategy._precision = MixedPrecision("16-mixed", "cpu")
    return trainer


def test_float16_loss_scale_survives_and_overflow_is_no_error(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, max_steps=12)
    samples = [(1e4 * x, 1e4 * y) for x, y in Regression.samples()]  # gradients overflow until the scale is lowered
    tasks = [Regression(dropout=0.2) for _ in range(3)]
    whole = float16_trainer(config, directory=tmp_path / "whole")
    whole.fit(tasks[0], optimizer("adam"), samples)
    float16_trainer(config, directory=tmp_path / "parts", callbacks=[StopAt(5)]).fit(
        tasks[1], optimizer("adam"), samples
    )
    float16_trainer(config, directory=tmp_path / "parts").fit(tasks[2], optimizer("adam"), samples, resume=True)
    assert torch.equal(weights(tasks[2].model), weights(tasks[0].model))
    assert whole.backend.state_dict()["scale"] < 65536.0
    assert any(line["gradient_norm"] is None for line in log_of(tmp_path / "whole"))


def test_raising_max_steps_equals_a_longer_run(tmp_path: Path) -> None:
    short, long = Regression(0.1), Regression(0.1)
    constant = OptimizerConfig(learning_rate=0.02)
    for steps in (9, 20):
        config = dataclasses.replace(CONFIG, max_steps=steps)
        Trainer(config, directory=tmp_path).fit(short, constant, Regression.samples(), resume=steps == 20)
    Trainer(CONFIG).fit(long, constant, Regression.samples())
    assert torch.equal(weights(short.model), weights(long.model))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_finishes_the_step_and_saves(number: int, tmp_path: Path) -> None:
    class Send:
        def on_step_end(self, record) -> None:
            if record.step == 5:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    task, whole = Regression(0.1), Regression(0.1)
    result = Trainer(CONFIG, directory=tmp_path, callbacks=[Send()]).fit(task, optimizer("adam"), Regression.samples())
    assert (result.stopped_because, result.step) == ("interrupted", 5)
    assert signal.getsignal(number) is before
    resumed = Trainer(CONFIG, directory=tmp_path).fit(task, optimizer("adam"), Regression.samples(), resume=True)
    Trainer(CONFIG).fit(whole, optimizer("adam"), Regression.samples())
    assert resumed.stopped_because == "max_steps"
    assert torch.equal(weights(task.model), weights(whole.model))


def test_training_in_stages_by_time_limit(tmp_path: Path) -> None:
    class Slow:
        def on_step_end(self, record) -> None:
            time.sleep(0.01)

    config = dataclasses.replace(CONFIG, max_minutes=0.05 / 60)
    steps, whole = [], Regression(0.1)
    for stage in range(30):
        task = Regression(0.1)
        trainer = Trainer(config, directory=tmp_path, callbacks=[Slow()])
        result = trainer.fit(task, optimizer("adam"), Regression.samples(), resume=stage > 0)
        steps.append(result.step)
        if result.stopped_because != "time_limit":
            break
    assert len(steps) >= 3
    assert steps == sorted(set(steps))
    assert steps[-1] == 20
    Trainer(CONFIG).fit(whole, optimizer("adam"), Regression.samples())
    assert torch.equal(weights(task.model), weights(whole.model))


def test_killed_at_random_moments_always_resumes(tmp_path: Path) -> None:
    """A child process (forked, so that nothing is imported again) trains and is killed 20 times with SIGKILL."""
    config = dataclasses.replace(CONFIG, max_steps=100_000, validate_every=7, checkpoint_every=3)
    samples = Regression.samples()

    def train() -> None:
        from sciml_zoo.training import has_checkpoint

        task = Regression(dropout=0.2)
        trainer = Trainer(config, directory=tmp_path / "run")
        trainer.fit(task, optimizer("adam"), samples, samples[:5], resume=has_checkpoint(tmp_path / "run"))

    delays = random.Random(1)
    steps, kills = [], 0
    while kills < 20:
        child = os.fork()
        if child == 0:
            try:
                torch.set_num_threads(1)
                train()
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        time.sleep(delays.uniform(0.05, 0.9))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the run ended by itself: it must be longer, or it could not be resumed"
        kills += 1
        state = tmp_path / "run" / "last" / "state.json"
        steps.append(json.loads(state.read_text())["items"] if state.exists() else None)
    reached = [value for items in steps if items is not None for key, value in items if key == "step"]
    assert reached == sorted(reached)
    assert reached[-1] > reached[0]

    # the same number of further steps, uninterrupted, from the start and from the last checkpoint
    target = reached[-1] + 10
    resumed, whole = Regression(dropout=0.2), Regression(dropout=0.2)
    last = Trainer(config, directory=tmp_path / "run", callbacks=[StopAt(target)])
    last.fit(resumed, optimizer("adam"), samples, samples[:5], resume=True)
    result = Trainer(config, callbacks=[StopAt(target)]).fit(whole, optimizer("adam"), samples, samples[:5])
    assert result.step == target
    assert torch.equal(weights(resumed.model), weights(whole.model))
    log = [(line["event"], line["step"]) for line in log_of(tmp_path / "run")]
    assert len(log) == len(set(log)), "a line is logged twice"
    assert [step for event, step in log if event == "train"] == list(range(3, target + 1, 3))
    assert not list((tmp_path / "run").glob(".*staged*")), "a killed process's files were left behind"
