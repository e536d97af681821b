"""Enumeration against Kaufman's formula on the 4×4 torus, and how long all states of 26 spins take.

    OMP_NUM_THREADS=1 python -m benchmarks.ising.exact

log Z and the energy are compared at five temperatures, T_c among them. The model of 26 spins is dense (Sherrington and
Kirkpatrick); the time is that of log Z, all moments and the ground states, the best of some runs on one thread.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numba
import numpy as np
from rich.console import Console
from rich.table import Table

from sciml_zoo.ising.exact import MAX_ENUMERATED, enumerate_states
from sciml_zoo.ising.generators import sherrington_kirkpatrick, square_lattice
from sciml_zoo.ising.onsager import CRITICAL_TEMPERATURE, kaufman_energy, kaufman_log_z

SIDE = 4
TEMPERATURES = (1.0, 2.0, CRITICAL_TEMPERATURE, 3.0, 5.0)


def main() -> None:
    """Runs the comparison, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "exact.json")
    arguments = parser.parse_args()

    torus = square_lattice(SIDE)
    table = Table("T", "log Z, enumerated", "relative error", "u, enumerated", "relative error", box=None)
    rows = []
    for temperature in TEMPERATURES:
        enumerated = enumerate_states(torus, 1 / temperature)
        energy = enumerated.energy_mean / torus.n
        log_z_error = abs(enumerated.log_z / kaufman_log_z(SIDE, SIDE, 1 / temperature) - 1)
        energy_error = abs(energy / kaufman_energy(SIDE, SIDE, 1 / temperature) - 1)
        rows.append(
            {
                "temperature": temperature,
                "log_z": enumerated.log_z,
                "log_z_relative_error": log_z_error,
                "energy_per_spin": energy,
                "energy_relative_error": energy_error,
            }
        )
        table.add_row(
            f"{temperature:.6f}",
            f"{enumerated.log_z:.12f}",
            f"{log_z_error:.1e}",
            f"{energy:.12f}",
            f"{energy_error:.1e}",
        )

    glass = sherrington_kirkpatrick(MAX_ENUMERATED, seed=arguments.seed)
    seconds = []
    for _ in range(arguments.repeats):
        begun = time.perf_counter()
        enumerate_states(glass)
        seconds.append(time.perf_counter() - begun)
    result = {
        "torus": [SIDE, SIDE],
        "temperatures": rows,
        "max_log_z_relative_error": max(row["log_z_relative_error"] for row in rows),
        "max_energy_relative_error": max(row["energy_relative_error"] for row in rows),
        "spins_enumerated": MAX_ENUMERATED,
        "seconds": min(seconds),
        "seed": arguments.seed,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    Console().print(table)
    Console().print(f"{MAX_ENUMERATED} spins: {min(seconds):.2f} s")


if __name__ == "__main__":
    main()
