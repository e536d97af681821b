"""A run's folder: ``recipe.yaml``, ``metrics.jsonl``, ``last/`` and ``best/``, each either whole or untouched."""

import contextlib
import errno
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from filelock import FileLock, Timeout
from torch import nn

from sciml_zoo._files import recover_directory, staged_directory, write_atomically
from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.training.recipe import as_plain, differences, read_recipe, write_recipe

__all__ = ["RunFolder", "SaveModel", "finish_best", "has_checkpoint", "save_model_files"]

# Values of a recipe's section ``trainer`` that may change from one stage of a run to the next.
_FREE = {
    *("max_steps", "max_minutes", "patience", "validate_every", "checkpoint_every", "log_every", "tensorboard"),
    *("evaluation_batch_size", "accelerator", "devices", "num_nodes", "strategy"),
}

SaveModel = Callable[[nn.Module, Path, Mapping[str, Any]], None]


def _decisive(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values that decide what a run computes, under dotted names."""
    found: dict[str, Any] = {}
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            inner = {name: item for name, item in value.items() if key != "trainer" or name not in _FREE}
            found.update({f"{key}.{name}": item for name, item in inner.items()})
        else:
            found[key] = value
    return found


def has_checkpoint(directory: Path) -> bool:
    """Whether a run folder holds a checkpoint to resume from.

    Args:
        directory: the run folder.

    Returns:
        Whether ``last/`` is there, or was when a crash interrupted its replacement.
    """
    return any((directory / name / "state.json").is_file() for name in ("last", ".last.previous"))


def save_model_files(model: nn.Module, directory: Path, metadata: Mapping[str, Any]) -> None:
    """Writes a model as a zoo checkpoint if it is a zoo model, else only its weights.

    Args:
        model: in evaluation mode.
        directory: an existing empty directory.
        metadata: step, epoch and metrics.
    """
    if hasattr(model, "architecture"):
        from sciml_zoo.zoo.checkpoint import write_checkpoint

        write_checkpoint(model, directory, metadata=dict(metadata))
    else:
        weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
        (directory / "model.safetensors").write_bytes(safetensors.torch.save(weights))


def finish_best(
    directory: Path, finish: Callable[[nn.Module], dict[str, str]], metadata: Mapping[str, Any]
) -> dict[str, str]:
    """Does to the best model of a finished run what its domain does before it is saved for good.

    Args:
        directory: the run folder; the zoo model in its ``best/`` is replaced.
        finish: :attr:`PreparedTraining.finish`.
        metadata: step, epoch and metrics.

    Returns:
        Figures to show, name → text.
    """
    from sciml_zoo.zoo.checkpoint import load_checkpoint, save_model

    model = load_checkpoint(directory / "best")
    told = finish(model)
    save_model(model, directory / "best", metadata=dict(metadata))
    return told


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Turns a full disk and the like into a :class:`FailureError` that names the path."""
    try:
        yield
    except (OSError, safetensors.SafetensorError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        remedy = "make room and resume" if full else "see that it can be written and resume"
        raise FailureError(
            f"{path} could not be written ({error}); {remedy}. What was there before is intact"
        ) from error


class RunFolder:
    """The files of one run, on rank 0."""

    def __init__(self, path: Path, save: SaveModel) -> None:
        """Takes the folder for this process and clears what a killed process left half written.

        Args:
            path: created if need be.
            save: writes a model's files into an existing empty directory.

        Raises:
            InputError: another process is training in this folder.
        """
        self.path = path
        self._save = save
        with _disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / ".lock")
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise InputError(f"{path}: another process is training in this folder; choose another one") from error
            for name in ("last", "best"):
                recover_directory(path / name)
                for leftover in [*path.glob(f".{name}.staged-*"), *path.glob(f".{name}.previous")]:
                    shutil.rmtree(leftover, ignore_errors=True)
            for leftover in [*path.glob(".metrics.jsonl.*"), *path.glob(".recipe.yaml.*")]:
                leftover.unlink(missing_ok=True)

    def close(self) -> None:
        """Gives the folder back."""
        self._lock.release()

    def save_last(self, model: nn.Module, metadata: Mapping[str, Any], state: tuple[bytes, bytes]) -> None:
        """Replaces ``last/``: the model's files and the state that goes with them.

        Args:
            model: in evaluation mode.
            metadata: for the model's files.
            state: contents of ``state.json`` and ``state.safetensors``.
        """
        self._replace("last", model, metadata, {"state.json": state[0], "state.safetensors": state[1]})

    def save_best(self, model: nn.Module, metadata: Mapping[str, Any]) -> None:
        """Replaces ``best/``.

        Args:
            model: in evaluation mode.
            metadata: for the model's files.
        """
        self._replace("best", model, metadata, {})

    def _replace(self, name: str, model: nn.Module, metadata: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        target = self.path / name
        with _disk_errors(target), staged_directory(target) as staged:
            self._save(model, staged, metadata)
            for file, content in files.items():
                (staged / file).write_bytes(content)

    def read_last(self) -> tuple[bytes, bytes]:
        """Returns the contents of ``last/state.json`` and ``last/state.safetensors``.

        Returns:
            The two files.

        Raises:
            InputError: there is no checkpoint here, or it cannot be read.
        """
        last = self.path / "last"
        try:
            return (last / "state.json").read_bytes(), (last / "state.safetensors").read_bytes()
        except OSError as error:
            raise InputError(f"{last}: no checkpoint to resume from ({error}); start without resume") from error

    def require_same_recipe(self, recipe: object) -> None:
        """Refuses to go on with other data, another model or another loss than the run began with.

        Args:
            recipe: the dataclass to go on with; how long, how often and on what it is trained may differ.

        Raises:
            InputError: naming the values that differ.
        """
        path = self.path / "recipe.yaml"
        if not path.is_file():
            return
        old, new = (_decisive(as_plain(one)) for one in (read_recipe(type(recipe), path), recipe))
        changed = differences(old, new)
        if changed:
            raise InputError(f"{path}: {'; '.join(changed)}: to resume, leave it as it was, or start a new run")

    def write_recipe(self, recipe: object) -> None:
        """Replaces ``recipe.yaml``.

        Args:
            recipe: a dataclass.
        """
        path = self.path / "recipe.yaml"
        with _disk_errors(path):
            write_recipe(recipe, path)

    def trim_log(self, step: int) -> None:
        """Drops lines of ``metrics.jsonl`` after a step, and a last line that a crash cut short.

        Args:
            step: of the checkpoint that the run goes on from.
        """
        log = self.path / "metrics.jsonl"
        kept = []
        if step > 0 and log.exists():
            for line in log.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    if json.loads(line)["step"] <= step:
                        kept.append(f"{line}\n")
        with _disk_errors(log):
            write_atomically(log, "".join(kept))

    def log(self, entry: Mapping[str, Any]) -> None:
        """Appends a line to ``metrics.jsonl``.

        Args:
            entry: of JSON values.
        """
        log = self.path / "metrics.jsonl"
        with _disk_errors(log), log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
