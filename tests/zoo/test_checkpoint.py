"""A checkpoint gives back exactly what was saved, and saving is all or nothing."""

import dataclasses
import json
import multiprocessing
import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from sciml_zoo._files import directory_lock
from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.zoo import checkpoint
from sciml_zoo.zoo.checkpoint import load_checkpoint, read_checkpoint, save_model, write_checkpoint
from sciml_zoo.zoo.layout import FILES
from sciml_zoo.zoo.registry import register_model

from .toy import Toy, ToyConfig, assert_same_state, edit_json, state


def fill(value: float) -> Toy:
    model = Toy(ToyConfig(width=200))
    nn.init.constant_(model.linear.weight, value)
    nn.init.constant_(model.linear.bias, value)
    return model


def test_round_trip_is_bitwise(model: Toy, saved: Path) -> None:
    loaded = load_checkpoint(saved)
    assert type(loaded) is Toy
    assert loaded.config == model.config
    assert not any(module.training for module in loaded.modules())
    assert_same_state(state(loaded), state(model))
    assert loaded.tied.weight is loaded.linear.weight
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)


def test_saving_twice_gives_the_same_bytes(model: Toy, saved: Path, tmp_path: Path) -> None:
    again = save_model(load_checkpoint(saved), tmp_path / "again")
    for name in FILES:
        assert (again / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_tensors_keep_their_dtype(model: Toy, tmp_path: Path, dtype: torch.dtype) -> None:
    model.to(dtype)
    loaded = load_checkpoint(save_model(model, tmp_path / "out"))
    assert_same_state(state(loaded), state(model))
    assert loaded.rates.dtype == dtype  # though this buffer is not stored
    assert loaded.count.dtype == torch.int64
    inputs = model.example_inputs()
    assert torch.equal(loaded(**inputs)["energy"], model.eval()(**inputs)["energy"])


def test_mixed_dtypes_are_kept_apart(model: Toy, tmp_path: Path) -> None:
    model.linear.bias.data = model.linear.bias.data.double()
    with torch.no_grad():  # forward would refuse mixed dtypes
        model.forward = lambda x: x.sum()  # type: ignore[method-assign]
    loaded = load_checkpoint(save_model(model, tmp_path / "out"))
    assert loaded.linear.bias.dtype == torch.float64
    assert loaded.linear.weight.dtype == torch.float32
    assert loaded.rates.dtype == torch.float32


def test_saving_leaves_modes_gradients_and_random_generators_alone(tmp_path: Path) -> None:
    model = Toy(ToyConfig())
    model.example_inputs = lambda: {"x": torch.rand(2, 3)}  # type: ignore[method-assign]
    model.train()
    model.linear.eval()
    before = torch.get_rng_state()
    with torch.no_grad():
        save_model(model, tmp_path / "out")
    load_checkpoint(tmp_path / "out")
    assert torch.equal(before, torch.get_rng_state())
    assert model.training
    assert model.dropout.training
    assert not model.linear.training
    assert model.linear.weight.grad is None


def test_metadata_is_kept_beside_versions(model: Toy, tmp_path: Path) -> None:
    metadata = {"recipe": "toy.yaml", "steps": 20, "licence": "CC0-1.0", "curve": [1.0, 0.5]}
    stored = read_checkpoint(save_model(model, tmp_path / "out", metadata=metadata))
    assert metadata.items() <= stored.config.metadata.items()
    assert stored.config.metadata["torch_version"] == torch.__version__
    assert "Licence: CC0-1.0" in (tmp_path / "out/README.md").read_text()


def test_relative_paths_and_missing_parents(model: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert save_model(model, "a/b/c") == tmp_path / "a/b/c"
    assert_same_state(state(load_checkpoint("a/b/c")), state(model))


def test_write_checkpoint_fills_a_directory_beside_other_files(model: Toy, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/state.json").write_text("{}")
    write_checkpoint(model, tmp_path / "out")
    assert_same_state(state(load_checkpoint(tmp_path / "out")), state(model))
    with pytest.raises(InputError, match=r"already holds config\.json"):
        write_checkpoint(model, tmp_path / "out")
    with pytest.raises(InputError, match="is not a directory"):
        write_checkpoint(model, tmp_path / "nowhere")


def test_a_new_checkpoint_replaces_an_old_one_unless_told_otherwise(saved: Path) -> None:
    with pytest.raises(InputError, match="overwrite=True"):
        save_model(fill(2.0), saved, overwrite=False)
    save_model(fill(3.0), saved)
    assert load_checkpoint(saved).linear.weight[0, 0] == 3.0
    assert [path.name for path in saved.parent.iterdir() if path.is_dir() and path.name != "cache"] == ["saved"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.txt": "mine"}, "is not a checkpoint and is not overwritten"),
        ({"config.json": '{"model": "another program\'s"}'}, "is not a checkpoint and is not overwritten"),
        (
            {"config.json": '{"format": "sciml_zoo"}', "notes.txt": "mine"},
            r"also holds notes\.txt, which would be lost",
        ),
    ],
)
def test_nothing_but_a_checkpoint_is_overwritten(model: Toy, tmp_path: Path, files: dict, message: str) -> None:
    target = tmp_path / "out"
    target.mkdir()
    for name, content in files.items():
        (target / name).write_text(content)
    with pytest.raises(InputError, match=message):
        save_model(model, target)
    assert {path.name: path.read_text() for path in target.iterdir()} == files


def test_a_file_is_not_overwritten(model: Toy, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        save_model(model, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_empty_directory_is_filled(model: Toy, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    save_model(model, tmp_path / "out", overwrite=False)
    loaded = load_checkpoint(tmp_path / "out")
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("moment", ["golden_predictions", "pack", "model_card"])
def test_a_crash_while_saving_leaves_the_previous_checkpoint(
    model: Toy, saved: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def crash(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, moment, crash)
    with pytest.raises(KeyboardInterrupt):
        save_model(fill(9.0), saved)
    assert_same_state(state(load_checkpoint(saved)), state(model))
    assert not list(saved.parent.glob("*staged*"))


def test_a_full_disk_leaves_the_previous_checkpoint(model: Toy, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FailureError, match=r"No space left on device.*intact"):
        save_model(fill(9.0), saved)
    monkeypatch.undo()
    assert_same_state(state(load_checkpoint(saved)), state(model))


def test_a_process_that_died_between_the_renames_is_made_good(model: Toy, saved: Path) -> None:
    saved.rename(saved.with_name(".saved.previous"))
    assert_same_state(state(load_checkpoint(saved)), state(model))
    assert saved.is_dir()


def test_reading_waits_for_a_replacement_in_progress(model: Toy, saved: Path) -> None:
    aside = saved.with_name("aside")
    taken_away = threading.Event()

    def replace() -> None:
        with directory_lock(saved):
            saved.rename(aside)
            taken_away.set()
            time.sleep(0.3)
            aside.rename(saved)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        assert taken_away.wait(10)
        assert_same_state(state(load_checkpoint(saved)), state(model))
    finally:
        thread.join()


def test_files_of_two_checkpoints_are_never_mixed(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = fill(4.0)
    read_file, names = checkpoint.read_file, []

    def replacing(directory: Path, name: str) -> bytes:
        content = read_file(directory, name)
        names.append(name)
        if names == ["config.json"]:
            save_model(other, saved)
        return content

    monkeypatch.setattr(checkpoint, "read_file", replacing)
    loaded = load_checkpoint(saved)
    assert names.count("model.safetensors") == 2  # once beside the wrong configuration
    assert loaded.config == other.config
    assert_same_state(state(loaded), state(other))


def _save_often(target: Path, value: float) -> None:
    torch.set_num_threads(1)
    for _ in range(15):
        save_model(fill(value), target)


def _load_often(target: Path) -> None:
    torch.set_num_threads(1)
    for _ in range(30):
        weight = load_checkpoint(target).linear.weight
        assert weight.unique().tolist() in ([1.0], [2.0])


def test_processes_that_save_and_load_one_target_at_once_see_whole_checkpoints(tmp_path: Path) -> None:
    target = save_model(fill(1.0), tmp_path / "out")
    context = multiprocessing.get_context("fork")
    jobs = [(_save_often, (target, 1.0)), (_save_often, (target, 2.0)), (_load_often, (target,))]
    processes = [context.Process(target=job, args=arguments) for job, arguments in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    _load_often(target)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["out"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(model: Toy, tmp_path: Path, value: float) -> None:
    model.linear.bias.data[1] = value
    with pytest.raises(InputError, match=r"NaN|1 of 2 values of 'linear\.bias' are not finite"):
        save_model(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_prediction_that_is_nan_is_not_golden(model: Toy, tmp_path: Path) -> None:
    model.forward = lambda x: x / 0 * 0  # type: ignore[method-assign]
    with pytest.raises(InputError, match="output 'output' on its own example inputs is NaN"):
        save_model(model, tmp_path / "out")


def test_what_is_not_a_zoo_model_is_not_saved(model: Toy, tmp_path: Path) -> None:
    class Special(Toy):
        pass

    class Stateful(nn.Linear):
        def get_extra_state(self) -> dict:
            return {"a": 1}

    with pytest.raises(InputError, match="a Linear is not a zoo model"):
        save_model(nn.Linear(1, 1), tmp_path / "out")
    with pytest.raises(InputError, match="register the subclass under a name of its own"):
        save_model(Special(ToyConfig()), tmp_path / "out")
    with pytest.raises(InputError, match=r"metadata\.when: cannot store a object"):
        save_model(model, tmp_path / "out", metadata={"when": object()})
    model.extra = Stateful(1, 1)
    with pytest.raises(InputError, match=r"'extra\._extra_state' is a dict, not a tensor"):
        save_model(model, tmp_path / "out")
    model.forward = lambda x: [x]  # type: ignore[method-assign]
    with pytest.raises(InputError, match="must return a tensor or a dictionary of tensors"):
        save_model(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_config_that_would_not_come_back_is_not_saved(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Config:
        rate: int = 1

    @register_model("toy_stubborn", config=Config, domain="toys")
    class Stubborn(nn.Module):
        def __init__(self, config: Config) -> None:
            super().__init__()
            self.config = config

        def example_inputs(self) -> dict[str, torch.Tensor]:
            return {"x": torch.ones(2)}

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(InputError, match=r"config\.rate: expected int, found 0\.5"):
        save_model(Stubborn(Config(rate=0.5)), tmp_path / "out")  # type: ignore[arg-type]
    assert_same_state(state(load_checkpoint(save_model(Stubborn(Config()), tmp_path / "out"))), {})


def test_the_development_format_still_loads(model: Toy, saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    hyperparameters = {**config["config"], "n": config["config"]["width"]}
    del hyperparameters["width"], hyperparameters["title"]
    old = {"format": "sciml_zoo", "format_version": 1, "architecture": "toy_linear", "hyperparameters": hyperparameters}
    (saved / "config.json").write_text(json.dumps(old))
    weights = state(model)
    for name in ("linear.weight", "tied.weight"):
        weights[name] = weights[name].T
    weights["tied.weight"] = weights["tied.weight"].T
    (saved / "model.safetensors").write_bytes(checkpoint.pack(weights))
    assert_same_state(state(load_checkpoint(saved)), state(model))
    stored = read_checkpoint(saved).config
    assert (stored.format_version, stored.architecture_version) == (2, 1)


def test_extra_files_are_ignored(model: Toy, saved: Path) -> None:
    (saved / "optimizer.pt").write_bytes(b"PK\x03\x04")
    (saved / "notes").mkdir()
    (saved / "README.md").unlink()
    assert_same_state(state(load_checkpoint(saved)), state(model))


def test_a_link_to_a_checkpoint_and_links_inside_it_are_fine(model: Toy, saved: Path) -> None:
    link = saved.with_name("link")
    link.symlink_to(saved)
    shutil.move(saved / "model.safetensors", saved / "weights-1")
    (saved / "model.safetensors").symlink_to("weights-1")
    assert_same_state(state(load_checkpoint(link)), state(model))


def test_a_device_that_is_not_there(saved: Path) -> None:
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        load_checkpoint(saved, device="gpu")
    with pytest.raises(InputError, match=r"device 'cuda:99' is not there"):
        load_checkpoint(saved, device="cuda:99")


def test_a_migration_that_fails_says_so(saved: Path) -> None:
    edit_json(saved / "config.json", architecture_version=1)  # but the config is that of version 2
    with pytest.raises(InputError, match=r"cannot be migrated from architecture_version 1: KeyError\('n'\)"):
        load_checkpoint(saved)
