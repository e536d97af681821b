"""A process that times models on demand, so that models of several environments can take turns in one run.

    python -m benchmarks.potentials._worker MODULE

MODULE defines ``CONTENDERS``, :class:`Contender` by name, and ``PACKAGES``, whose versions are told first. One JSON
object a line comes in, one goes out; what libraries print goes to the standard error.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

__all__ = ["Call", "Contender"]

#: Computes energies and forces: returns forces [N, 3] as an array or tensor on the CPU.
Call = Callable[[], Any]
#: A calculator computes structures that differ from call to call by this much in every coordinate, Å.
STEP = 1e-3


@dataclass(frozen=True)
class Contender:
    """A model as its package recommends to run it.

    Attributes:
        batch: from structures to a call that computes all of them at once, neighbours given where the package takes
            them from outside.
        calculator: its ASE calculator, if it is timed.
        parameters: returns how many there are.
    """

    batch: Callable[[list[Atoms]], Call]
    parameters: Callable[[], int]
    calculator: Callable[[], Calculator] | None = None


def calculator_call(calculator: Calculator, structures: list[Atoms]) -> Call:
    """Returns a call that moves the atoms of the first structure a little and asks for their forces."""
    atoms = structures[0].copy()
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    frames = atoms.positions + rng.uniform(-STEP, STEP, size=(64, *atoms.positions.shape))

    def endless() -> Iterator[np.ndarray]:
        while True:
            yield from frames

    positions = endless()

    def call() -> np.ndarray:
        atoms.positions = next(positions)
        return atoms.get_forces()

    return call


def prepared(contender: Contender, kind: str, structures: list[Atoms]) -> tuple[Call, float, float]:
    """Returns a call, the seconds until its first result, and the largest force of that result, eV/Å."""
    begun = time.perf_counter()
    if kind == "calculator":
        assert contender.calculator is not None
        call = calculator_call(contender.calculator(), structures)
    else:
        call = contender.batch(structures)
    forces = np.asarray(call())
    seconds = time.perf_counter() - begun
    n_atoms = len(structures[0]) if kind == "calculator" else sum(map(len, structures))
    if forces.shape != (n_atoms, 3) or not np.isfinite(forces).all():
        raise ValueError(f"forces of shape {forces.shape} for {n_atoms} atoms, or not finite")
    return call, seconds, float(np.abs(forces).max())


def timed(call: Call, calls: int) -> list[float]:
    """Returns the seconds of calls after one that is not counted."""
    call()
    seconds = []
    for _ in range(calls):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return seconds


def main() -> None:
    """Answers requests until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module = importlib.import_module(sys.argv[1])
    contenders: dict[str, Contender] = module.CONTENDERS
    print(json.dumps({package: version(package) for package in module.PACKAGES}), file=answers, flush=True)
    calls: dict[tuple[str, str, str], Call] = {}
    for line in sys.stdin:
        request = json.loads(line)
        name, kind, file = request["name"], request["kind"], request["structures"]
        key = name, kind, file
        try:
            answer: dict[str, Any] = {}
            if key not in calls:
                structures = ase.io.read(Path(file), index=":")
                calls[key], answer["prepare_seconds"], answer["largest_force"] = prepared(
                    contenders[name], kind, structures
                )
                answer["parameters"] = contenders[name].parameters()
            answer["seconds"] = timed(calls[key], request["calls"])
        except Exception as error:  # told to the benchmark, which goes on with the others
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
