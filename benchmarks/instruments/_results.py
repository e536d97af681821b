"""How the benchmarks of this folder say what their figures depend on, and write them."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sciml_zoo._files import write_atomically

__all__ = ["RESULTS", "machine", "write_results"]

RESULTS = Path(__file__).parent / "results"


def machine(**peers: str) -> dict[str, Any]:
    """Returns what figures depend on beside the code.

    Args:
        **peers: versions of other libraries.
    """
    own = {library: version(library) for library in ("torch", "numpy", "scipy")}
    return {
        "versions": own | peers,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def write_results(name: str, content: Mapping[str, Any]) -> None:
    """Writes ``results/NAME.json``.

    Args:
        name: of the benchmark.
        content: what it found.
    """
    RESULTS.mkdir(exist_ok=True)
    write_atomically(RESULTS / f"{name}.json", json.dumps(content, indent=1) + "\n")
