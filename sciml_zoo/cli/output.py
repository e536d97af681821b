"""What the verbs share: files to write, progress bars, devices and ranks."""

import argparse
import contextlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml_zoo._files import write_atomically
from sciml_zoo.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

    from sciml_zoo.training.backend import Backend

__all__ = [
    "add_json_option",
    "choose_device",
    "join_ranks",
    "output_file",
    "plain_console",
    "progress_bar",
    "save_figure",
    "write_json",
    "write_whole",
]


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--json FILE``, whose directory must exist before any work is done.

    Args:
        parser: the verb's parser.
    """
    parser.add_argument("--json", type=output_file, metavar="FILE", help="also write the result to a JSON file")


def output_file(text: str) -> Path:
    """Checks the name of a file to write, as the ``type`` of an option.

    Args:
        text: as given.

    Returns:
        A path in an existing directory, and not a directory itself.

    Raises:
        argparse.ArgumentTypeError: it is anything else.
    """
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent}: no such directory; create it first")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a directory; give a file name")
    return path


def write_json(path: Path | None, content: Any) -> None:
    """Writes a result, if a file was asked for.

    Args:
        path: the file, or None.
        content: what JSON can hold.

    Raises:
        InputError: the file cannot be written.
    """
    if path is None:
        return
    try:
        write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(f"--json {path}: cannot be written: {error.strerror}") from error


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes a file, wholly or not at all.

    Args:
        path: the file.
        content: of it.

    Raises:
        InputError: it cannot be written.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}; choose another place") from error


def save_figure(path: Path, figure: "Figure") -> None:
    """Writes a figure, in the format that the file's ending names.

    Args:
        path: the file.
        figure: what to write.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], dpi=150)
    write_whole(path, buffer.getvalue())


def choose_device(name: str) -> str:
    """Turns ``auto`` into ``cuda`` where there is a GPU.

    Args:
        name: ``auto``, or any name that torch knows.

    Returns:
        A device that can be used.

    Raises:
        InputError: there is no such device.
    """
    import torch

    if name == "auto":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        name = f"cuda:{local % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = re.split(r"\.\s|\n", str(error), maxsplit=1)[0]  # torch goes on for a screenful
        raise InputError(f"--device {name}: cannot be used here ({reason}); `--device cpu` always can") from None
    return name


def plain_console(**options: Any) -> "Console":
    """Returns a console that prints names and messages as they are, also those with brackets and colons.

    Args:
        **options: of ``rich.console.Console``.

    Returns:
        The console.
    """
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False, **options)


def join_ranks() -> "Backend | None":
    """Returns the group of processes that torchrun started; None for a process on its own."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from sciml_zoo.training import TrainerConfig
    from sciml_zoo.training.backend import Backend

    # Only Python objects are gathered: that needs no GPU, whatever device each rank computes on.
    return Backend(TrainerConfig(accelerator="cpu"))


@contextlib.contextmanager
def progress_bar(description: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar with the time left on standard error.

    Args:
        description: what is being done.
        shown: False on ranks other than the first.

    Yields:
        The function to call with the number of items done and in total.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown) as bars:
        task = bars.add_task(description, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
