"""The environment in which the peers of these benchmarks run, beside the project's own."""

import os
import subprocess
import venv
from pathlib import Path

import torch
from torch import Tensor, nn

__all__ = ["export", "run_peer"]

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "benchmarks" / ".venv-adversarial"
WANTED = (Path(__file__).with_name("peers.txt"), ROOT / "constraints.txt")
#: It asks for requests 2.25 and for torchvision, and imports neither.
ALONE = "torchattacks==3.5.1"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def peers_python() -> Path:
    """Returns the interpreter of the peers' environment, which is made first where it is missing or out of date."""
    python, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "installed.txt"
    wanted = "\n".join([ALONE, *(file.read_text(encoding="utf-8") for file in WANTED)])
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, "-r", WANTED[0], "-c", WANTED[1]], check=True)
        subprocess.run([*install, "--no-deps", ALONE], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def run_peer(script: str, *arguments: str | Path) -> None:
    """Runs a script of this folder in the peers' environment, on one thread; it can import ``sciml_zoo``.

    Args:
        script: its file's name.
        *arguments: of its command line.
    """
    command = [peers_python(), "-W", "ignore", Path(__file__).with_name(script), *arguments]
    subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)})


def export(model: nn.Module, images: Tensor, file: Path) -> None:
    """Writes a model as an exported program, which torch alone can run, for batches of any size.

    Args:
        model: to write.
        images: that it reads, [n, ...]; only their shape and type matter.
        file: to write.
    """
    dynamic = ({0: torch.export.Dim("batch", min=1)},)
    torch.export.save(torch.export.export(model, (images,), dynamic_shapes=dynamic), file)
