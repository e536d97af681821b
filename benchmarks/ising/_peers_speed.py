"""One timed run of another package's sampler, in the virtual environment of ``peers.txt``; called by ``speed.py``.

    python _peers_speed.py PEER GRAPH.npz OUT.npz --sweeps 1000 --replicas 64 --seed 0

GRAPH holds ``i``, ``j``, ``couplings`` and ``n`` in the sign of E = −Σ J s s. OUT holds ``spins`` [replicas, n],
``seconds`` of the sampling alone by the package's own clock where it has one (``wall``: of the whole call), ``version``
and ``beta_range``. A short run before the timed one loads what is loaded lazily.
"""

import argparse
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WARM_UP = 10


class Sampled(NamedTuple):
    """What a run gave: states, seconds of the sampling alone, and first and last β (empty where there is none)."""

    spins: np.ndarray
    seconds: float
    beta_range: tuple[float, ...] = ()


def bqm_of(graph: Any) -> Any:
    """Returns the graph as a ``dimod`` model, whose sign is E = +Σ J s s."""
    import dimod

    bqm = dimod.BinaryQuadraticModel("SPIN")
    bqm.add_linear_from((k, 0.0) for k in range(int(graph["n"])))
    i, j = graph["i"].tolist(), graph["j"].tolist()
    bqm.add_quadratic_from(zip(i, j, (-graph["couplings"]).tolist(), strict=True))
    return bqm


def ordered(sampleset: Any, n: int) -> np.ndarray:
    """Returns the states [replicas, n] in the order of the spins."""
    columns = [sampleset.variables.index(k) for k in range(n)]
    return np.repeat(sampleset.record.sample, sampleset.record.num_occurrences, axis=0)[:, columns]


def run_dwave(problem: Any, n: int, sweeps: int, replicas: int, seed: int) -> Sampled:
    """Returns states of ``dwave.samplers.SimulatedAnnealingSampler`` and its own sampling time."""
    from dwave.samplers import SimulatedAnnealingSampler

    found = SimulatedAnnealingSampler().sample(problem, num_reads=replicas, num_sweeps=sweeps, seed=seed)
    seconds = found.info["timing"]["sampling_ns"] * 1e-9
    return Sampled(ordered(found, n), seconds, tuple(float(beta) for beta in found.info["beta_range"]))


def run_openjij(problem: Any, n: int, sweeps: int, replicas: int, seed: int) -> Sampled:
    """Returns states of ``openjij.SASampler`` and the sum of its own times of execution.

    Given a seed, it starts every read of a call from that seed, so that all are the same: here each read is a call.
    """
    import openjij

    sampler = openjij.SASampler()
    spins, seconds = [], 0.0
    for read in range(replicas):
        found = sampler.sample(problem, num_reads=1, num_sweeps=sweeps, seed=seed * replicas + read, sparse=True)
        spins.append(ordered(found, n))
        seconds += float(np.sum(found.info["list_exec_times"])) * 1e-6
    schedule = found.info["schedule"]
    return Sampled(np.concatenate(spins), seconds, (float(schedule["beta_min"]), float(schedule["beta_max"])))


def run_bifurcation(problem: Any, n: int, sweeps: int, replicas: int, seed: int) -> Sampled:
    """Returns states of ``simulated_bifurcation.minimize``, ballistic as by default, and the time of the call."""
    import simulated_bifurcation
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    options = {"domain": "spin", "early_stopping": False, "verbose": False, "best_only": False}
    begun = time.perf_counter()
    found, _ = simulated_bifurcation.minimize(problem, agents=replicas, max_steps=sweeps, **options)
    return Sampled(found.numpy().reshape(replicas, n), time.perf_counter() - begun)


def dense_of(graph: Any) -> Any:
    """Returns Q [n, n] with E = s'Qs, the form that ``simulated_bifurcation`` takes."""
    import torch

    n = int(graph["n"])
    matrix = np.zeros((n, n), dtype=np.float32)
    matrix[graph["i"], graph["j"]] = matrix[graph["j"], graph["i"]] = -0.5 * graph["couplings"]
    return torch.from_numpy(matrix)


PEERS = {
    "dwave-samplers": (bqm_of, run_dwave),
    "openjij": (bqm_of, run_openjij),
    "simulated-bifurcation": (dense_of, run_bifurcation),
}


def main() -> None:
    """Runs one sampler on one graph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("graph", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sweeps", type=int, required=True)
    parser.add_argument("--replicas", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    convert, run = PEERS[arguments.peer]
    with np.load(arguments.graph) as graph:
        problem, n = convert(graph), int(graph["n"])
    run(problem, n, WARM_UP, 2, arguments.seed)
    begun = time.perf_counter()
    found = run(problem, n, arguments.sweeps, arguments.replicas, arguments.seed)
    wall = time.perf_counter() - begun
    np.savez(
        arguments.out,
        spins=found.spins.astype(np.int8),
        seconds=found.seconds,
        wall=wall,
        beta_range=np.array(found.beta_range),
        version=version(arguments.peer),
    )


if __name__ == "__main__":
    main()
