"""Monte Carlo against exact results: the 64×64 periodic ferromagnet below, at and above its critical temperature.

    python -m benchmarks.ising.monte_carlo [--seed 0]

The energy must lie within 3 σ of Kaufman's value for this lattice, and the magnetisation |m| within 3 σ of Yang's at
T = 2.0 (there the correlation length is two lattice constants, so that the finite lattice changes ⟨|m|⟩ by far less
than σ) and of a run by Wolff's clusters, with another seed, elsewhere. σ is from the autocorrelation time.
"""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np

from sciml_zoo.ising.generators import square_lattice
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.onsager import kaufman_energy, yang_magnetisation
from sciml_zoo.ising.sampling import Method, Samples, sample

SIDE = 64
SIGMAS = 3.0


@dataclass(frozen=True)
class Run:
    """One temperature: how it is sampled, and how the run to compare |m| with is; None: Yang's formula."""

    temperature: float
    method: Method
    n_replicas: int
    n_sweeps: int
    wolff: tuple[int, int] | None


RUNS = (
    Run(2.0, "heat_bath", 64, 8000, None),
    Run(2.269185, "swendsen_wang", 16, 6000, (16, 3000)),
    Run(3.0, "heat_bath", 64, 8000, (8, 6000)),
)


def measured(
    model: IsingModel, temperature: float, method: Method, n_replicas: int, n_sweeps: int, seed: int
) -> Samples:
    """Returns the draws of one run from a cold start."""
    return sample(
        model,
        1.0 / temperature,
        method=method,
        n_replicas=n_replicas,
        n_sweeps=n_sweeps,
        initial=np.ones(model.n),
        keep_spins=False,
        seed=seed,
    )


def compared(model: IsingModel, run: Run, seed: int) -> dict[str, Any]:
    """Returns one temperature's figures."""
    begun = time.perf_counter()
    drawn = measured(model, run.temperature, run.method, run.n_replicas, run.n_sweeps, seed)
    seconds = time.perf_counter() - begun
    energy, magnetisation = drawn.diagnostics["energy"], drawn.diagnostics["absolute_magnetisation"]
    exact = kaufman_energy(SIDE, SIDE, 1.0 / run.temperature)
    if run.wolff is None:
        reference, reference_error, source = yang_magnetisation(run.temperature), 0.0, "Yang"
    else:
        other = measured(model, run.temperature, "wolff", *run.wolff, seed + 1000)
        reference, reference_error = other.estimate("absolute_magnetisation")
        source = "Wolff"
    energy_error = energy.standard_error / model.n
    energy_z = (energy.mean / model.n - exact) / energy_error
    magnetisation_z = (magnetisation.mean - reference) / float(np.hypot(magnetisation.standard_error, reference_error))
    return {
        "temperature": run.temperature,
        "method": run.method,
        "n_replicas": run.n_replicas,
        "n_sweeps": run.n_sweeps,
        "energy": energy.mean / model.n,
        "energy_error": energy_error,
        "kaufman_energy": exact,
        "energy_sigmas": energy_z,
        "absolute_magnetisation": magnetisation.mean,
        "absolute_magnetisation_error": magnetisation.standard_error,
        "reference": source,
        "reference_magnetisation": reference,
        "reference_magnetisation_error": reference_error,
        "magnetisation_sigmas": magnetisation_z,
        "autocorrelation_time_energy": energy.autocorrelation_time,
        "autocorrelation_time_magnetisation": magnetisation.autocorrelation_time,
        "rhat_energy": energy.rhat,
        "rhat_magnetisation": magnetisation.rhat,
        "converged": not drawn.unconverged,
        "seconds": seconds,
        "passed": abs(energy_z) < SIGMAS and abs(magnetisation_z) < SIGMAS,
    }


def main() -> int:
    """Returns 0 where every figure agrees; prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "monte_carlo.json")
    arguments = parser.parse_args()
    model = square_lattice(SIDE)
    rows = []
    print("T         method            u           σ        Kaufman     sigmas  |m|       σ        reference  sigmas")
    for run in RUNS:
        row = compared(model, run, arguments.seed)
        rows.append(row)
        print(
            f"{row['temperature']:<9} {row['method']:<14} {row['energy']:>10.6f}  {row['energy_error']:.6f}  "
            f"{row['kaufman_energy']:>10.6f}  {row['energy_sigmas']:>+6.2f}  {row['absolute_magnetisation']:.6f}  "
            f"{row['absolute_magnetisation_error']:.6f}  {row['reference_magnetisation']:.6f}   "
            f"{row['magnetisation_sigmas']:>+5.2f}  {'ok' if row['passed'] else 'FAILED'}",
            flush=True,
        )
    result = {
        "side": SIDE,
        "seed": arguments.seed,
        "sigmas_allowed": SIGMAS,
        "runs": rows,
        "passed": all(row["passed"] for row in rows),
        "numba": numba.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    return int(not result["passed"])


if __name__ == "__main__":
    sys.exit(main())
