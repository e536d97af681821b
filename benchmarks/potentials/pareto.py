"""Error against time per call after the same minutes of training on the same frames of rMD17 ethanol, one thread each.

    SCIML_ZOO_DATA=../shared/data python -m benchmarks.potentials.pareto [--minutes 10] [--models ours PaiNN ANI]

950 frames to train on and 50 to validate, the same for all. Ours is the recipe from which the shipped weights start,
with as many steps as there is time for, which two short trainings before tell; SchNetPack's PaiNN and TorchANI train as
``peers/schnetpack_training.py`` and ``peers/torchani_training.py`` say: their documented settings, with a learning rate
that falls as a cosine of the time. Every model that is asked for is trained anew, the others keep what an earlier run
wrote; trainings of other minutes stay beside. Our checkpoints are kept in ``runs/pareto``. Each training runs alone:
leave the machine to it (``cpu_minutes``, of the process that trains, tells whether it was). Times of a call are those
of ``speed.py``, on one thread, all in one run. A model is on the front where none is better in both error and time.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch

import sciml_zoo as sz
from benchmarks._results import machine, results_file, write_results
from benchmarks.potentials._environment import OURS, ROOT, environment, peer_python
from benchmarks.potentials._ours import MODEL
from benchmarks.potentials._timing import Workers, take_turns
from benchmarks.potentials._training import split_ethanol, steps_within, train
from benchmarks.potentials.speed import BATCH, structures
from sciml_zoo.potentials.inference import predict_structures

NAME = "potentials.pareto"
#: Package, and contender of which the time of a call is measured.
MODELS = {
    "ours": (OURS, "ours, best"),
    "PaiNN": ("schnetpack", "PaiNN"),
    "ANI": ("torchani", "ANI, as trained"),
}
ERRORS = ("force_mae_mev_per_a", "energy_mae_mev")
COSTS = ("ethanol_ms", "batch_ms_per_atom")


def errors(energies: np.ndarray, forces: np.ndarray, test: Path) -> dict[str, float]:
    """Returns the errors of predictions, eV [n] and eV/Å [n, atoms, 3], on test frames."""
    frames = ase.io.read(test, index=":")
    energy = 1000 * np.abs(energies - [atoms.get_potential_energy() for atoms in frames])
    force = 1000 * (forces - np.stack([atoms.get_forces() for atoms in frames]))
    return {
        "energy_mae_mev": float(energy.mean()),
        "force_mae_mev_per_a": float(np.abs(force).mean()),
        "force_rmse_mev_per_a": float(np.sqrt(np.square(force).mean())),
        "n": len(frames),
    }


def train_ours(files: tuple[Path, Path, Path], minutes: float, seed: int, folder: Path) -> dict[str, Any]:
    """Returns what a training of ours gave; the checkpoint is in ``folder/best``."""
    changes = [f"--data.train={files[0]}", f"--data.validation={files[1]}", f"--seed={seed}", f"--trainer.seed={seed}"]
    steps = steps_within(minutes, changes)
    limits = [f"--trainer.max_steps={steps}", f"--trainer.validate_every={max(1, steps // 20)}"]
    cpu = cpu_seconds()
    summary = train(folder, [*changes, *limits, f"--trainer.max_minutes={minutes}"])
    used = cpu_seconds() - cpu
    model: Any = sz.load_model(f"local-dir:{folder / 'best'}")
    predictions = predict_structures(model, ase.io.read(files[2], index=":"))
    found = errors(
        np.array([each["energy"] for each in predictions]), np.stack([each["forces"] for each in predictions]), files[2]
    )
    parameters = sum(p.numel() for p in model.parameters())
    return found | {
        "steps": summary["step"],
        "planned_steps": steps,
        "seconds": summary["seconds"],
        "cpu_minutes": used / 60,
        "parameters": parameters,
    }


def train_peer(name: str, files: tuple[Path, Path, Path], minutes: float, seed: int, folder: Path) -> dict[str, Any]:
    """Returns what a training of a peer gave."""
    package = MODELS[name][0]
    out = folder / f"{package}.npz"
    module = f"benchmarks.potentials.peers.{package}_training"
    command = [str(peer_python(package)), "-W", "ignore", "-m", module, *map(str, files), str(out)]
    options = ["--minutes", str(minutes), "--seed", str(seed)]
    cpu = cpu_seconds()
    done = subprocess.run(
        [*command, *options], cwd=ROOT, env=environment(1), check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"the training of {name} failed:\n{done.stderr[-2000:]}")
    with np.load(out) as found:
        figures = {name: found[name].item() for name in ("steps", "seconds", "parameters")}
        used = {"cpu_minutes": (cpu_seconds() - cpu) / 60}
        return errors(found["energies"], found["forces"], files[2]) | figures | used


def cpu_seconds() -> float:
    """Returns the CPU time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def add_times(rows: Mapping[str, dict[str, Any]], model: str, rounds: int, folder: Path) -> dict[str, str]:
    """Adds the time of a call to rows of models, all measured in turn.

    Args:
        rows: of the models, by name.
        model: reference of the weights of ours.
        rounds: how often everyone's turn comes.
        folder: for files.

    Returns:
        The versions of the peers.
    """
    contenders = {MODELS[name][1]: MODELS[name][0] for name in rows}
    with Workers(sorted(set(contenders.values())), 1, folder / "log.txt", {MODEL: model}) as workers:
        for frames in structures().values():
            file = folder / f"{len(frames)}.xyz"
            ase.io.write(file, frames)
            found = take_turns(workers, contenders, "batch", file, rounds)
            for name, row in rows.items():
                timed = found[MODELS[name][1]]
                if "error" in timed:
                    raise RuntimeError(f"{name}: {timed['error']}")
                if len(frames) == BATCH:
                    row["batch_ms_per_atom"] = timed["ms"] / sum(map(len, frames))
                else:
                    row["ethanol_ms"] = timed["ms"]
        return workers.versions


def dominated(rows: Mapping[str, Mapping[str, Any]], name: str) -> list[str]:
    """Finds what is better than a model in both an error and a time.

    Args:
        rows: of all models, by name.
        name: of the model.

    Returns:
        What is better, and in what.
    """
    own = rows[name]
    return [
        f"{other} by {error} and {cost}"
        for other, row in rows.items()
        for error in ERRORS
        for cost in COSTS
        if row[error] < own[error] and row[cost] < own[cost]
    ]


def show(rows: Mapping[str, Mapping[str, Any]], minutes: str) -> None:
    """Prints the table of trainings of some minutes."""
    print(
        f"\n{minutes} minutes{'':<12} force MAE, meV/Å  energy MAE, meV  ethanol, ms  batch, ms/atom  steps  parameters"
    )
    for name, row in rows.items():
        beaten = "" if not dominated(rows, name) else "  behind " + "; ".join(dominated(rows, name))
        print(
            f"{name:<22} {row['force_mae_mev_per_a']:>16.2f} {row['energy_mae_mev']:>16.2f} {row['ethanol_ms']:>12.3f} "
            f"{row['batch_ms_per_atom']:>15.4f} {row['steps']:>6} {row['parameters']:>11,}{beaten}"
        )


def main() -> int:
    """Returns 0 where nothing dominates ours; prints tables and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=15, help="of the times of a call")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    earlier = json.loads(results_file(NAME).read_text()) if results_file(NAME).is_file() else {}
    budgets: dict[str, dict[str, Any]] = earlier.get("budgets", {})
    minutes = f"{chosen.minutes:g}"
    rows = budgets.setdefault(minutes, {})
    kept = ROOT / "runs" / "pareto" / minutes
    if "ours" in rows and "ours" not in chosen.models and not (kept / "best").is_dir():
        parser.error(f"{kept}: the checkpoint of the earlier run is gone; add ours to --models")
    versions = earlier.get("versions", {})

    def write() -> None:
        own = machine()
        own["versions"] = versions | own["versions"]
        content = {"seed": chosen.seed, "on_the_front": not any(beaten.values()), "behind": beaten, "budgets": budgets}
        write_results(NAME, content | own)

    beaten: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = split_ethanol(folder, chosen.seed)
        for each in chosen.models:
            load = os.getloadavg()[0]
            if each == "ours":
                shutil.rmtree(kept, ignore_errors=True)
                rows[each] = train_ours(files, chosen.minutes, chosen.seed, kept)
            else:
                rows[each] = train_peer(each, files, chosen.minutes, chosen.seed, folder)
            rows[each]["load_at_start"] = load
            force, energy = (rows[each][error] for error in ERRORS)
            print(f"{each}: {force:.2f} meV/Å, {energy:.2f} meV", flush=True)
            write()
        versions |= add_times(rows, f"local-dir:{kept / 'best'}", chosen.rounds, folder)
    complete = {
        minutes: models
        for minutes, models in budgets.items()
        if all(cost in row for row in models.values() for cost in COSTS) and "ours" in models
    }
    beaten = {minutes: dominated(models, "ours") for minutes, models in complete.items()}
    for minutes, models in complete.items():
        show(models, minutes)
    write()
    return int(any(beaten.values()))


if __name__ == "__main__":
    sys.exit(main())
