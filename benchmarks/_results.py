"""How benchmarks say what their figures depend on, and write them."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sciml_zoo._files import write_atomically

__all__ = ["machine", "results_file", "write_results"]


def machine(**peers: str) -> dict[str, Any]:
    """Returns what figures depend on beside the code.

    Args:
        **peers: versions of other libraries.
    """
    own = {library: version(library) for library in ("torch", "numpy", "scipy", "scikit-learn")}
    return {
        "versions": own | peers,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def results_file(name: str) -> Path:
    """Returns where the results of a benchmark are.

    Args:
        name: such as ``ising.exact``.
    """
    folder, _, benchmark = name.partition(".")
    return Path(__file__).parent / folder / "results" / f"{benchmark}.json"


def write_results(name: str, content: Mapping[str, Any]) -> None:
    """Writes the results of a benchmark.

    Args:
        name: such as ``ising.exact``.
        content: what it found.
    """
    file = results_file(name)
    file.parent.mkdir(exist_ok=True)
    write_atomically(file, json.dumps(content, indent=1) + "\n")
