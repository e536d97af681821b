"""The files of a checkpoint directory, and reading one of them without being led elsewhere."""

import contextlib
import stat
from pathlib import Path

from sciml_zoo.errors import InputError

__all__ = ["CONFIG", "FILES", "GOLDEN", "MODEL", "README", "REQUIRED", "read_file"]

CONFIG = "config.json"
MODEL = "model.safetensors"
GOLDEN = "golden.safetensors"
README = "README.md"
#: What is needed to load and verify a model.
REQUIRED = (CONFIG, MODEL, GOLDEN)
FILES = (*REQUIRED, README)

_PICKLES = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib"}
_NEVER = (
    "a pickle, which can run any code and is never unpickled; load it where you trust it and use sciml_zoo.save_model"
)


def read_file(directory: Path, name: str) -> bytes:
    """Reads one file of a checkpoint directory.

    Args:
        directory: the checkpoint directory.
        name: one of :data:`FILES`.

    Returns:
        The file's content.

    Raises:
        InputError: the directory or the file is missing, is not what it should be, leads out of the directory, or
            cannot be read.
    """
    path = directory / name
    try:
        if not directory.is_dir():
            raise InputError(_not_a_directory(directory))
        if not path.resolve(strict=True).is_relative_to(directory.resolve()):
            raise InputError(
                f"{path} is a link that leads out of the checkpoint directory; replace it by the file itself"
            )
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is not a regular file")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(_missing(directory, name)) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise InputError(f"{path} cannot be read: {error}") from error


def _not_a_directory(path: Path) -> str:
    if not path.exists():
        return f"there is no checkpoint directory {path}"
    if path.suffix.lower() in _PICKLES:
        return f"{path} is {_NEVER}"
    return f"{path} is a file; a checkpoint is a directory with {', '.join(FILES)}"


def _missing(directory: Path, name: str) -> str:
    if name == MODEL:
        with contextlib.suppress(OSError):
            for path in sorted(directory.iterdir()):
                if path.suffix.lower() in _PICKLES:
                    return f"{directory} lacks {name}; {path.name} is {_NEVER}"
    return f"{directory} lacks {name}; a checkpoint has {', '.join(FILES)}: copy or save it again"
