"""A scientific machine-learning model zoo in which physics is the subject and the measuring instrument.

The names below load what they need on first use: importing the package loads neither torch nor any domain.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml_zoo.zoo.checkpoint import save_model
    from sciml_zoo.zoo.registry import create_model, list_models, register_model
    from sciml_zoo.zoo.resolve import load_model
    from sciml_zoo.zoo.verify import verify

    __version__: str

__all__ = ["__version__", "create_model", "list_models", "load_model", "register_model", "save_model", "verify"]

_HOME = {
    "create_model": "sciml_zoo.zoo.registry",
    "list_models": "sciml_zoo.zoo.registry",
    "load_model": "sciml_zoo.zoo.resolve",
    "register_model": "sciml_zoo.zoo.registry",
    "save_model": "sciml_zoo.zoo.checkpoint",
    "verify": "sciml_zoo.zoo.verify",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _installed_version()
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _installed_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("sciml-zoo")
    except metadata.PackageNotFoundError:  # run from a copy of the sources that was not installed
        return "0+unknown"
