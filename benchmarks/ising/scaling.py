"""Memory and time as the number of spins grows: 10³ … 10⁶ spins of degree 6, 100 sweeps of 8 replicas.

    python -m benchmarks.ising.scaling

Three-dimensional ±J tori, each generated and annealed in a process of its own, so that the peak memory is that size's
alone (interpreter, imports and compiled kernels included; ``baseline`` is the same process with 8 spins). Exponents are
slopes of straight lines through the logarithms over the sizes from 10⁴ on; memory is what exceeds the baseline.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SHAPES = {1_000: (10, 10, 10), 10_000: (20, 20, 25), 100_000: (40, 50, 50), 1_000_000: (100, 100, 100)}
BASELINE = (3, 3, 3)
SWEEPS, REPLICAS = 100, 8
LIMIT_GB = 4.0
FROM = 10_000


def one_size(shape: tuple[int, ...], seed: int) -> dict[str, float]:
    """Returns time and peak memory of this process after annealing one torus."""
    from sciml_zoo.ising.annealing import anneal
    from sciml_zoo.ising.generators import edwards_anderson

    # Compiles, or loads what is compiled.
    anneal(edwards_anderson(BASELINE, "pm1", seed=seed), n_sweeps=2, n_replicas=REPLICAS, seed=seed)
    begun = time.perf_counter()
    model = edwards_anderson(shape, "pm1", seed=seed)
    generated = time.perf_counter()
    result = anneal(model, n_sweeps=SWEEPS, n_replicas=REPLICAS, seed=seed)
    done = time.perf_counter()
    return {
        "spins": model.n,
        "seconds_generate": generated - begun,
        "seconds_anneal": done - generated,
        "mean_energy_per_spin": float(np.mean(result.energies)) / model.n,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def in_a_process(shape: tuple[int, ...], seed: int) -> dict[str, float]:
    """Returns the figures of one size, from a fresh interpreter."""
    command = [sys.executable, "-m", "benchmarks.ising.scaling", "--seed", str(seed), "--shape", *map(str, shape)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> int:
    """Returns 0 where a million spins stay under the limit; prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shape", type=int, nargs="+", help="measure one size in this process and print its JSON")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scaling.json")
    arguments = parser.parse_args()
    if arguments.shape:
        print(json.dumps(one_size(tuple(arguments.shape), arguments.seed)))
        return 0
    baseline = in_a_process(BASELINE, arguments.seed)["peak_gb"]
    rows = []
    print("spins      generate s  anneal s   peak GB  spin updates/s")
    for shape in SHAPES.values():
        row = in_a_process(shape, arguments.seed)
        row["spin_updates_per_second"] = row["spins"] * SWEEPS * REPLICAS / row["seconds_anneal"]
        rows.append(row)
        print(
            f"{row['spins']:<10} {row['seconds_generate']:<11.3f} {row['seconds_anneal']:<10.4f} "
            f"{row['peak_gb']:<8.3f} {row['spin_updates_per_second']:.2e}",
            flush=True,
        )
    large = [row for row in rows if row["spins"] >= FROM]
    logs = np.log([row["spins"] for row in large])
    slope = {
        "time": float(
            np.polyfit(logs, np.log([row["seconds_generate"] + row["seconds_anneal"] for row in large]), 1)[0]
        ),
        "memory": float(np.polyfit(logs, np.log([row["peak_gb"] - baseline for row in large]), 1)[0]),
    }
    result = {
        "sweeps": SWEEPS,
        "replicas": REPLICAS,
        "seed": arguments.seed,
        "baseline_gb": baseline,
        "sizes": rows,
        "exponents": slope,
        "limit_gb": LIMIT_GB,
        "passed": rows[-1]["peak_gb"] < LIMIT_GB,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"baseline {baseline:.3f} GB; exponents: time {slope['time']:.2f}, memory {slope['memory']:.2f}")
    return int(not result["passed"])


if __name__ == "__main__":
    sys.exit(main())
