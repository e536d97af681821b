"""The environments in which the peers of these benchmarks run, beside the project's own, one for each package."""

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

__all__ = ["OURS", "PEERS", "environment", "peer_python"]

ROOT = Path(__file__).parents[2]
OURS = "sciml_zoo"
#: What is installed without its dependencies, after those that ``peers/PACKAGE.txt`` names.
PEERS: dict[str, tuple[str, ...]] = {"mace": (), "schnetpack": ("schnetpack==2.1.1",), "torchani": ()}


def peer_python(package: str) -> Path:
    """Returns the interpreter of a package's environment, which is made first where it is missing or out of date.

    Args:
        package: one of :data:`PEERS`, or :data:`OURS` for the interpreter that runs now.
    """
    if package == OURS:
        return Path(sys.executable)
    folder = ROOT / "benchmarks" / f".venv-{package}"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    requirements = Path(__file__).parent / "peers" / f"{package}.txt"
    wanted = "\n".join([*PEERS[package], requirements.read_text(encoding="utf-8")])
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "-qq"]
        with tempfile.TemporaryDirectory() as aside:
            constraints = Path(aside) / "constraints.txt"
            constraints.write_text(_constraints(requirements), encoding="utf-8")
            subprocess.run([*install, "-r", str(requirements), "-c", str(constraints)], check=True)
        for alone in PEERS[package]:
            subprocess.run([*install, "--no-deps", alone], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def _constraints(requirements: Path) -> str:
    """Returns the project's constraints without the packages whose version a peer chooses."""
    own = set(re.findall(r"^([\w.-]+)==", requirements.read_text(encoding="utf-8"), re.MULTILINE))
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.partition("==")[0] not in own)


def environment(threads: int) -> dict[str, str]:
    """Returns the environment variables of a benchmark's process, in which the project's modules can be imported.

    Args:
        threads: of every library that has threads.
    """
    libraries = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(libraries, str(threads)), "PYTHONPATH": str(ROOT)}
