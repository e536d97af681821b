"""What goes wrong is named, and never costs the last good checkpoint."""

import dataclasses
import errno
import json
import resource
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch
from toys import Forces, Regression, StopAt, weights

from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.training import NonFiniteError, OptimizerConfig, StepOutput, Trainer, TrainerConfig, has_checkpoint

CONFIG = TrainerConfig(max_steps=12, batch_size=4, validate_every=4, log_every=2, accelerator="cpu")
ADAM = OptimizerConfig(name="adam", learning_rate=0.01)
SAMPLES = Regression.samples()


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


class NaNLoss(Regression):
    def steps(self, batch):
        for output in super().steps(batch):
            bad = (batch[1] == 123.0).any()
            yield StepOutput(output.loss * (torch.nan if bad else 1.0), output.weight)


class InfiniteGradient(Regression):
    def steps(self, batch):
        for output in super().steps(batch):
            if (batch[1] == 123.0).any():
                weight = next(iter(self.model.parameters()))
                output = StepOutput(output.loss + (weight - weight.detach()).abs().sum().sqrt(), output.weight)
            yield output


@pytest.mark.parametrize("make", [NaNLoss, InfiniteGradient])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_non_finite_names_step_and_samples_and_saves_the_state_before(make, accumulate: int, tmp_path: Path) -> None:
    poisoned = [*SAMPLES[:17], (SAMPLES[17][0], torch.tensor(123.0)), *SAMPLES[18:]]
    config = dataclasses.replace(CONFIG, accumulate=accumulate)
    task = make()
    with pytest.raises(NonFiniteError) as caught:
        Trainer(config, directory=tmp_path / "run").fit(task, ADAM, poisoned)
    error = caught.value
    assert isinstance(error, FailureError)
    assert 17 in error.samples
    assert f"step {error.step + 1} " in str(error)
    assert "17" in str(error)
    assert "last/" in str(error)

    clean = Regression()  # the same run up to there; these four lines cannot see sample 17
    if error.step:
        until = dataclasses.replace(config, max_steps=error.step)
        Trainer(until).fit(clean, ADAM, poisoned)
    assert torch.equal(weights(task.model), weights(clean.model))
    saved = json.loads((tmp_path / "run/last/state.json").read_text())
    assert dict(map(tuple, (item for item in saved["items"] if item[0] == "step")))["step"] == error.step
    repaired = Trainer(config, directory=tmp_path / "run").fit(make(), ADAM, SAMPLES, resume=True)
    assert repaired.step == 12


def test_weights_that_are_not_finite_never_replace_a_checkpoint(tmp_path: Path) -> None:
    class Poison:
        def on_fit_start(self, trainer, state) -> None:
            self.model = state.model

        def on_step_end(self, record) -> None:
            if record.step == 6:
                with torch.no_grad():
                    next(iter(self.model.parameters())).fill_(torch.nan)

    with pytest.raises(NonFiniteError, match="not finite before it either"):
        Trainer(CONFIG, directory=tmp_path, callbacks=[Poison()]).fit(Regression(), ADAM, SAMPLES, SAMPLES[:3])
    state = safetensors.torch.load_file(tmp_path / "last/state.safetensors")
    assert all(value.isfinite().all() for value in state.values())
    assert Trainer(CONFIG, directory=tmp_path).fit(Regression(), ADAM, SAMPLES, SAMPLES[:3], resume=True).step == 12


def first_stage(directory: Path) -> dict[str, bytes]:
    Trainer(CONFIG, directory=directory, callbacks=[StopAt(5)]).fit(Regression(), ADAM, SAMPLES, SAMPLES[:3])
    return contents(directory / "last")


def test_a_full_disk_leaves_the_checkpoint_intact(tmp_path: Path) -> None:
    before = first_stage(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # metrics.jsonl fits, a checkpoint does not
    try:
        with pytest.raises(FailureError, match=r"(last|best) could not be written .*make room and resume"):
            Trainer(CONFIG, directory=tmp_path).fit(Regression(), ADAM, SAMPLES, SAMPLES[:3], resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(tmp_path / "last") == before
    assert not list(tmp_path.glob(".last*"))
    task, whole = Regression(), Regression()
    Trainer(CONFIG, directory=tmp_path).fit(task, ADAM, SAMPLES, SAMPLES[:3], resume=True)
    Trainer(CONFIG).fit(whole, ADAM, SAMPLES, SAMPLES[:3])
    assert torch.equal(weights(task.model), weights(whole.model))


@pytest.mark.parametrize("after", [0, 1, 2])
def test_no_space_in_any_file_of_a_checkpoint(after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = first_stage(tmp_path)
    written = []
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if ".last.staged" in str(path):
            written.append(path)
            if len(written) > after:
                write(path, content[: len(content) // 2])
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FailureError, match="last could not be written"):
        Trainer(CONFIG, directory=tmp_path).fit(Regression(), ADAM, SAMPLES, SAMPLES[:3], resume=True)
    assert contents(tmp_path / "last") == before


def test_an_existing_run_is_never_overwritten(tmp_path: Path) -> None:
    before = first_stage(tmp_path)
    with pytest.raises(InputError, match="already holds a run: resume it"):
        Trainer(CONFIG, directory=tmp_path).fit(Regression(), ADAM, SAMPLES)
    assert contents(tmp_path / "last") == before


def test_a_run_is_found_when_a_crash_came_between_the_two_renames(tmp_path: Path) -> None:
    first_stage(tmp_path)
    (tmp_path / "last").rename(tmp_path / ".last.previous")
    (tmp_path / ".last.staged-abc").mkdir()
    assert has_checkpoint(tmp_path)
    assert Trainer(CONFIG, directory=tmp_path).fit(Regression(), ADAM, SAMPLES, resume=True).step == 12
    assert not list(tmp_path.glob(".last*"))


def change(field: str, value: object) -> dict:
    return {"config": dataclasses.replace(CONFIG, **{field: value})}


REFUSED = {
    "batch size": (change("batch_size", 5), ["trainer.batch_size was 4, now 5"]),
    "average": (change("ema_decay", 0.9), ["ema_decay was null, now 0.9"]),
    "precision": (change("precision", "64-true"), ["precision"]),
    "learning rate": ({"optimizer": dataclasses.replace(ADAM, learning_rate=0.1)}, ["learning_rate was 0.01, now 0.1"]),
    "optimizer": ({"optimizer": OptimizerConfig(name="sgd", learning_rate=0.01)}, ['name was "adam", now "sgd"']),
    "data": ({"samples": SAMPLES[:9]}, ["23 training samples, now there are 9"]),
    "model": ({"task": Forces}, ["does not fit", "size mismatch"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_resuming_as_another_run_is_refused(case: str, tmp_path: Path) -> None:
    before = first_stage(tmp_path)
    options, said = REFUSED[case]
    with pytest.raises(InputError) as caught:
        Trainer(options.get("config", CONFIG), directory=tmp_path).fit(
            options.get("task", Regression)(),
            options.get("optimizer", ADAM),
            options.get("samples", SAMPLES),
            resume=True,
        )
    for word in ["last", *said]:
        assert word in str(caught.value)
    assert contents(tmp_path / "last") == before


DAMAGE = {
    "truncated tensors": lambda last: _cut(last / "state.safetensors"),
    "truncated json": lambda last: _cut(last / "state.json"),
    "no tensors": lambda last: (last / "state.safetensors").unlink(),
    "not json": lambda last: (last / "state.json").write_bytes(b"\x80\x04pickle"),
    "another json": lambda last: (last / "state.json").write_text("[]"),
    "future version": lambda last: _replace(last / "state.json", b'["version", 1]', b'["version", 2]'),
    "empty": lambda last: (last / "state.json").write_text('{"items": []}'),
}


def _replace(path: Path, old: bytes, new: bytes) -> None:
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_checkpoint_is_refused(case: str, tmp_path: Path) -> None:
    first_stage(tmp_path)
    DAMAGE[case](tmp_path / "last")
    with pytest.raises(InputError, match="last"):
        Trainer(CONFIG, directory=tmp_path).fit(Regression(), ADAM, SAMPLES, resume=True)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint to resume from"):
        Trainer(CONFIG, directory=tmp_path / "new").fit(Regression(), ADAM, SAMPLES, resume=True)
    assert not (tmp_path / "new").exists()
    with pytest.raises(InputError, match="directory"):
        Trainer(CONFIG).fit(Regression(), ADAM, SAMPLES, resume=True)


def test_two_trainers_in_one_folder(tmp_path: Path) -> None:
    class Intruder:
        def on_step_end(self, record) -> None:
            if record.step == 2:
                with pytest.raises(InputError, match="another process is training in this folder"):
                    Trainer(CONFIG, directory=tmp_path).fit(Regression(), ADAM, SAMPLES)

    assert Trainer(CONFIG, directory=tmp_path, callbacks=[Intruder()]).fit(Regression(), ADAM, SAMPLES).step == 12


def test_bad_input() -> None:
    class Silent(Regression):
        def steps(self, batch):
            yield from ()

    frozen = Regression()
    frozen.model.requires_grad_(False)
    with pytest.raises(InputError, match="no training samples"):
        Trainer(CONFIG).fit(Regression(), ADAM, [])
    with pytest.raises(InputError, match="no trainable parameter"):
        Trainer(CONFIG).fit(frozen, ADAM, SAMPLES)
    with pytest.raises(InputError, match="yielded nothing"):
        Trainer(CONFIG).fit(Silent(), ADAM, SAMPLES)
    with pytest.raises(InputError, match=r"does not report 'los'; did you mean 'loss'"):
        Trainer(dataclasses.replace(CONFIG, monitor="los")).fit(Regression(), ADAM, SAMPLES, SAMPLES)
    with pytest.raises(InputError, match=r"Forces cannot be trained in 'bf16-mixed'"):
        Trainer(dataclasses.replace(CONFIG, precision="bf16-mixed")).fit(Forces(), ADAM, Forces.samples())
    with pytest.raises(InputError, match=r"'16-mixed' is not supported"):
        Trainer(dataclasses.replace(CONFIG, precision="16-mixed"))
    with pytest.raises(InputError, match=r"accelerator='abacus'"):
        Trainer(dataclasses.replace(CONFIG, accelerator="abacus"))
    with pytest.raises(InputError, match=r"devices='two'"):
        Trainer(dataclasses.replace(CONFIG, devices="two"))


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    class Odd(Regression):
        def state_dict(self):
            return {"table": {"rows": [1, object()]}}

    with pytest.raises(TypeError, match="task/table/rows/1: a object cannot be saved"):
        Trainer(CONFIG, directory=tmp_path).fit(Odd(), ADAM, SAMPLES)
