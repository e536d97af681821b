"""Trainings of this project's potential that take a number of minutes, by the command line that users have."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from benchmarks.potentials._environment import ROOT, environment
from sciml_zoo.datasets import dataset_file
from sciml_zoo.potentials import read_structures

__all__ = ["ETHANOL", "split_ethanol", "steps_within", "train"]

ETHANOL = ROOT / "scripts" / "recipes" / "gto_potential.rmd17_ethanol_teacher.yaml"
N_VALIDATION = 50
#: Trainings of so many steps tell what a step costs; the difference leaves out what comes before the first.
SHORT, LONG = 50, 250
#: Of the minutes, for what a training does beside its steps.
RESERVE = 0.05


def split_ethanol(folder: Path, seed: int) -> tuple[Path, Path, Path]:
    """Writes the 1000 training frames of rMD17 ethanol, divided in two, and its test frames.

    Args:
        folder: to write to.
        seed: of the division.

    Returns:
        Files of 950 frames to train on, of 50 to validate, and of the test frames.
    """
    frames = read_structures(dataset_file("rmd17_ethanol", "train.xyz"), energy=True, forces=True)
    order = np.random.default_rng(seed).permutation(len(frames))
    test = read_structures(dataset_file("rmd17_ethanol", "test.xyz"), energy=True, forces=True)
    parts: dict[str, list[Atoms]] = {
        "train": [frames[index] for index in order[N_VALIDATION:]],
        "validation": [frames[index] for index in order[:N_VALIDATION]],
        "test": test,
    }
    files = []
    for name, part in parts.items():
        files.append(folder / f"{name}.xyz")
        ase.io.write(files[-1], part, format="extxyz")
    train_file, validation_file, test_file = files
    return train_file, validation_file, test_file


def train(out: Path, changes: Sequence[str], *, recipe: Path = ETHANOL, threads: int = 1) -> dict[str, Any]:
    """Trains on the CPU.

    Args:
        out: the run folder.
        changes: of the recipe, such as ``--trainer.max_steps=100``.
        recipe: the recipe.
        threads: of the training.

    Returns:
        The summary that ``sciml-zoo train --json`` writes.
    """
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary.json"
        verb = ["train", str(recipe), "--out", str(out), "--json", str(summary)]
        command = [sys.executable, "-m", "sciml_zoo", *verb]
        done = subprocess.run(
            [*command, "--trainer.accelerator=cpu", *changes],
            cwd=ROOT,
            env=environment(threads),
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} {' '.join(changes)}:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(summary.read_text())
    return found


def steps_within(minutes: float, changes: Sequence[str]) -> int:
    """Returns how many steps a training of some minutes has time for, so that its schedule ends with it.

    Args:
        minutes: that it may take.
        changes: of the recipe.
    """
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for steps in (SHORT, LONG):
            few = [f"--trainer.max_steps={steps}", f"--trainer.validate_every={steps}"]
            seconds.append(train(Path(folder) / str(steps), [*changes, *few])["seconds"])
    a_step = max((seconds[1] - seconds[0]) / (LONG - SHORT), 0.1 * seconds[1] / LONG)  # whatever else the machine did
    begin = max(0.0, seconds[0] - SHORT * a_step)
    return max(SHORT, int((60 * minutes * (1 - RESERVE) - begin) / a_step))
