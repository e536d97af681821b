"""The installed version."""

from importlib import metadata

__all__ = ["__version__"]

try:
    __version__ = metadata.version("sciml-zoo")
except metadata.PackageNotFoundError:  # run from a copy of the sources that was not installed
    __version__ = "0+unknown"
