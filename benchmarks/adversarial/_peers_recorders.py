"""Attacks of foolbox and torchattacks with and without our recorder, in the environment of ``peers.txt``.

    python _peers_recorders.py MODEL.pt2 IMAGES.npz OUT.npz --steps 20 --repeats 9 --seed 0

Called by ``recorders.py``. MODEL is an exported program, IMAGES holds ``images`` and ``labels``. OUT holds, by the
name ``LIBRARY|ATTACK|RANDOM START``, the nodes of the path, and beside them ``…|end`` of the attack without the
recorder, and ``…|alone`` and ``…|recorded``: seconds of each of the repeats, which alternate.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import foolbox
import numpy as np
import torch
import torchattacks
from torch import Tensor, nn

from benchmarks.adversarial._peers_program import Program
from sciml_zoo.adversarial.path import Recorder

EPSILONS = {"l2": 1.5, "linf": 0.15}

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


def attacks(steps: int) -> Iterator[tuple[str, Attack]]:
    """Yields attacks by ``LIBRARY|ATTACK|RANDOM START``; each step is a tenth of the radius."""
    for random in (True, False):
        for norm, kind in (("l2", foolbox.attacks.L2PGD), ("linf", foolbox.attacks.LinfPGD)):
            attack = kind(steps=steps, rel_stepsize=0.1, random_start=random)
            yield f"foolbox|{kind.__name__}|{random}", _foolbox(attack, EPSILONS[norm])
        for norm, kind in (("l2", torchattacks.PGDL2), ("linf", torchattacks.PGD)):
            options = {"eps": EPSILONS[norm], "alpha": 0.1 * EPSILONS[norm], "steps": steps, "random_start": random}
            yield f"torchattacks|{kind.__name__}|{random}", _torchattacks(kind, options)


def _foolbox(attack: Any, epsilon: float) -> Attack:
    def run(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        wrapped = foolbox.PyTorchModel(model, bounds=(0.0, 1.0), device="cpu")
        return attack(wrapped, images, labels, epsilons=epsilon)[1]

    return run


def _torchattacks(kind: Any, options: dict[str, Any]) -> Attack:
    return lambda model, images, labels: kind(model, **options)(images, labels)


def main() -> None:
    """Runs all attacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(arguments.images) as data:
        images, labels = torch.from_numpy(data["images"]), torch.from_numpy(data["labels"])
    model = Program(arguments.model)
    written: dict[str, Any] = {library: version(library) for library in ("foolbox", "torchattacks")}
    for name, attack in attacks(arguments.steps):
        seconds: dict[str, list[float]] = {"alone": [], "recorded": []}
        attack(model, images, labels)
        for _ in range(arguments.repeats):
            torch.manual_seed(arguments.seed)
            begun = time.perf_counter()
            end = attack(model, images, labels)
            seconds["alone"].append(time.perf_counter() - begun)
            torch.manual_seed(arguments.seed)
            begun = time.perf_counter()
            recorder = Recorder(model).eval()
            path = recorder.path(images, attack(recorder, images, labels), name)
            seconds["recorded"].append(time.perf_counter() - begun)
        written |= {name: path.points.numpy(), f"{name}|end": end.detach().numpy()}
        written |= {f"{name}|{way}": np.array(each) for way, each in seconds.items()}
    np.savez(arguments.out, **written)


if __name__ == "__main__":
    main()
