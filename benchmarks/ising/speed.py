"""Spin updates per second of the annealer against other packages, one thread each, with equal sweeps and replicas.

    python -m benchmarks.ising.speed [--seed 0] [--repeats 3]

Graphs: G1, G22 and a three-dimensional ±J torus of side 12. An update is one spin visited in one replica. All run in
turn, and the median over the repeats is reported. Ours is the whole call, energies included, after a short call that
compiles (not counted); peers count as ``_peers_speed.py`` says, in the virtual environment ``benchmarks/.venv-ising``,
made if it is missing. All energies are computed here from the final states of all repeats. Each package anneals with
its own temperatures; ``sciml_zoo, same β`` is given the range of dwave-samplers (whose β rises geometrically, ours
linearly).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np

from sciml_zoo.ising.annealing import anneal
from sciml_zoo.ising.data import read_instances
from sciml_zoo.ising.generators import edwards_anderson
from sciml_zoo.ising.hamiltonian import IsingModel

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "benchmarks" / ".venv-ising"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
OURS, OURS_SAME, DWAVE = "sciml_zoo", "sciml_zoo, same β", "dwave-samplers"
OTHERS = ("openjij", "simulated-bifurcation")
REQUIRED_RATIO = 20.0


class Timed(NamedTuple):
    """One run: seconds, final energies, the range of β and the package's version."""

    seconds: float
    energies: np.ndarray
    beta_range: tuple[float, ...]
    version: str


def graphs(seed: int) -> dict[str, IsingModel]:
    """Returns the models that are annealed, without their constants."""
    found = {name: read_instances(f"dataset:gset/{name}.txt")[0].model for name in ("G1", "G22")}
    found["torus 12"] = edwards_anderson((12, 12, 12), "pm1", seed=seed)
    return {name: IsingModel(model.couplings) for name, model in found.items()}


def peers_python() -> Path:
    """Returns the interpreter of the peers' environment, which is made first where it is missing."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        wanted = ["-r", str(Path(__file__).with_name("peers.txt")), "-c", str(ROOT / "constraints.txt")]
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
    return python


def run_ours(model: IsingModel, beta_range: tuple[float, float] | None, sweeps: int, replicas: int, seed: int) -> Timed:
    """Returns one annealing of ours."""
    begun = time.perf_counter()
    found = anneal(model, n_sweeps=sweeps, n_replicas=replicas, beta_range=beta_range, seed=seed, n_threads=1)
    return Timed(time.perf_counter() - begun, found.energies, found.beta_range, numba.__version__)


def run_peer(peer: str, model: IsingModel, sweeps: int, replicas: int, seed: int) -> Timed:
    """Returns one run of a peer, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        graph, out = Path(folder) / "graph.npz", Path(folder) / "out.npz"
        i, j, couplings = model.edges
        np.savez(graph, i=i, j=j, couplings=couplings, n=model.n)
        options = ["--sweeps", str(sweeps), "--replicas", str(replicas), "--seed", str(seed)]
        script = str(Path(__file__).with_name("_peers_speed.py"))
        subprocess.run(
            [peers_python(), script, peer, graph, out, *options], check=True, env={**os.environ, **ONE_THREAD}
        )
        with np.load(out) as found:
            energies = model.energy(found["spins"])
            return Timed(float(found["seconds"]), energies, tuple(found["beta_range"].tolist()), str(found["version"]))


def measured(model: IsingModel, sweeps: int, replicas: int, repeats: int, seed: int) -> dict[str, list[Timed]]:
    """Returns the runs of all packages on one graph, taken in turn."""
    runs: dict[str, list[Timed]] = {name: [] for name in (OURS, OURS_SAME, DWAVE, *OTHERS)}
    for repeat in range(repeats):
        one = (sweeps, replicas, seed + repeat)
        runs[OURS].append(run_ours(model, None, *one))
        dwave = run_peer(DWAVE, model, *one)
        runs[DWAVE].append(dwave)
        runs[OURS_SAME].append(run_ours(model, (dwave.beta_range[0], dwave.beta_range[-1]), *one))
        for peer in OTHERS:
            runs[peer].append(run_peer(peer, model, *one))
    return runs


def summary(runs: dict[str, list[Timed]], updates: int) -> dict[str, Any]:
    """Returns the figures of one graph, by package."""
    found: dict[str, Any] = {}
    for name, each in runs.items():
        energies = np.concatenate([run.energies for run in each])
        ratios = [theirs.seconds / run.seconds for theirs, run in zip(runs[DWAVE], each, strict=True)]
        found[name] = {
            "updates_per_second": updates / statistics.median(run.seconds for run in each),
            "seconds": [run.seconds for run in each],
            "speed_over_dwave": statistics.median(ratios),
            "mean_energy": float(energies.mean()),
            "mean_energy_error": float(energies.std(ddof=1) / np.sqrt(len(energies))),
            "min_energy": float(energies.min()),
            "beta_range": each[0].beta_range,
        }
    return found


def main() -> int:
    """Returns 0 where ours is fast enough on all graphs at no worse mean energy; prints the table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sweeps", type=int, default=1000)
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed.json")
    arguments = parser.parse_args()
    rows: dict[str, Any] = {}
    passed, versions = True, {"numba": numba.__version__, "numpy": np.__version__}
    print("graph     package                updates/s  over dwave  mean energy ± error      lowest")
    for name, model in graphs(arguments.seed).items():
        run_ours(model, None, 2, arguments.replicas, arguments.seed)
        runs = measured(model, arguments.sweeps, arguments.replicas, arguments.repeats, arguments.seed)
        versions |= {peer: runs[peer][0].version for peer in (DWAVE, *OTHERS)}
        found = rows[name] = summary(runs, model.n * arguments.sweeps * arguments.replicas)
        ours, theirs = found[OURS], found[DWAVE]
        passed &= ours["speed_over_dwave"] >= REQUIRED_RATIO and ours["mean_energy"] <= theirs["mean_energy"]
        for package, row in found.items():
            print(
                f"{name:<9} {package:<22} {row['updates_per_second']:.2e}   {row['speed_over_dwave']:>8.2f}  "
                f"{row['mean_energy']:>12.2f} ± {row['mean_energy_error']:<6.2f}  {row['min_energy']:>8.0f}",
                flush=True,
            )
    result = {
        "graphs": rows,
        "sweeps": arguments.sweeps,
        "replicas": arguments.replicas,
        "repeats": arguments.repeats,
        "seed": arguments.seed,
        "required_ratio": REQUIRED_RATIO,
        "passed": bool(passed),
        "versions": versions,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
