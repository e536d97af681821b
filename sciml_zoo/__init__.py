"""A scientific machine-learning model zoo in which physics is the subject and the measuring instrument.

The names below load what they need on first use: importing the package loads neither torch nor any domain.
"""

from typing import TYPE_CHECKING

from sciml_zoo._lazy import lazy_names

if TYPE_CHECKING:
    from sciml_zoo._version import __version__
    from sciml_zoo.zoo.checkpoint import save_model
    from sciml_zoo.zoo.registry import create_model, list_models, register_model
    from sciml_zoo.zoo.resolve import load_model
    from sciml_zoo.zoo.verify import verify

__all__ = ["__version__", "create_model", "list_models", "load_model", "register_model", "save_model", "verify"]

_homes = {
    "__version__": "sciml_zoo._version",
    "create_model": "sciml_zoo.zoo.registry",
    "list_models": "sciml_zoo.zoo.registry",
    "load_model": "sciml_zoo.zoo.resolve",
    "register_model": "sciml_zoo.zoo.registry",
    "save_model": "sciml_zoo.zoo.checkpoint",
    "verify": "sciml_zoo.zoo.verify",
}
__getattr__, __dir__ = lazy_names(__name__, _homes)
