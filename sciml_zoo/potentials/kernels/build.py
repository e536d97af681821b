"""Compiles the C++ kernels once for this machine, and keeps them in the user's cache."""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import platformdirs
import torch
from filelock import FileLock

__all__ = ["library"]

# The first includes the second.
_SOURCES = tuple(Path(__file__).with_name(name) for name in ("evaluation.cpp", "gto.cpp"))
_FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp", "-std=c++17", "-fPIC")
_SECONDS = 300


@functools.cache
def library() -> ctypes.CDLL | None:
    """Returns the compiled kernels, or None, with a warning, where they cannot be compiled.

    The first call on a machine takes some seconds. ``CXX`` names another compiler than ``c++``.
    """
    try:
        return ctypes.CDLL(str(_compiled()))
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or str(error)
        warnings.warn(
            f"the fast CPU kernels could not be compiled ({output.strip().splitlines()[-1]}); going on with plain "
            "torch, which is about ten times slower. Install a C++ compiler with OpenMP, such as g++.",
            stacklevel=2,
        )
        return None


def _compiled() -> Path:
    """Returns the shared library, compiled if this source has not been compiled for this processor."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or "c++"
    source = b"".join(each.read_bytes() for each in _SOURCES)
    made_of = (*_FLAGS, compiler, platform.machine(), _processor())
    key = hashlib.sha256(source + "\n".join(made_of).encode()).hexdigest()[:16]
    directory = Path(platformdirs.user_cache_dir("sciml_zoo")) / "kernels"
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / f"gto-{key}.so"
    with FileLock(directory / f"{target.name}.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=directory) as aside:
                built, unlinked = Path(aside) / target.name, Path(aside) / "gto.o"
                # In two steps: linking with -ffast-math would make the whole process flush small numbers to zero.
                _run(compiler, *_FLAGS, "-c", str(_SOURCES[0]), "-o", str(unlinked))
                _run(compiler, "-shared", "-fopenmp", str(unlinked), "-o", str(built))
                built.replace(target)
    return target


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)


def _processor() -> str:
    """Returns what tells processors apart for -march=native."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.processor()} {torch.backends.cpu.get_cpu_capability()}"
    return " ".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
