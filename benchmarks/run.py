"""Run every benchmark: ``make bench``. Results go to ``benchmarks/*/results``; figures in README.md come from there."""

import os
import subprocess
import sys
from pathlib import Path

#: Modules that need the data sets of SCIML_ZOO_DATA are left out, by name, where it is not set.
BENCHMARKS = (
    ("benchmarks.training.overhead", False),
    ("benchmarks.potentials.accuracy", True),
    ("benchmarks.potentials.speed", False),
    ("benchmarks.potentials.scaling", False),
    ("benchmarks.potentials.pareto", True),
    ("benchmarks.potentials.ablation", True),
    ("benchmarks.potentials.calculator", False),
    ("benchmarks.potentials.dynamics", False),
    ("benchmarks.potentials.uncertainty", True),
    ("benchmarks.potentials.selection", True),
    ("benchmarks.potentials.stress", False),
    ("benchmarks.potentials.bond_scan", True),
    ("benchmarks.potentials.dihedral", True),
    ("benchmarks.potentials.water", True),
    ("benchmarks.potentials.engines", False),
    ("benchmarks.ising.mapping", False),
    ("benchmarks.ising.exact", False),
    ("benchmarks.ising.monte_carlo", False),
    ("benchmarks.ising.ground_states", True),
    ("benchmarks.ising.speed", True),
    ("benchmarks.ising.learning", True),
    ("benchmarks.ising.digits", False),
    ("benchmarks.ising.scaling", False),
    ("benchmarks.splicing.accuracy", True),
    ("benchmarks.splicing.celegans", True),
    ("benchmarks.splicing.scanning", True),
    ("benchmarks.splicing.uci", True),
    ("benchmarks.splicing.mpsa", True),
    ("benchmarks.splicing.plasticity", True),
    ("benchmarks.emissions.accuracy", True),
    ("benchmarks.emissions.m3", True),
    ("benchmarks.emissions.drivers", True),
    ("benchmarks.emissions.out_of_time", True),
    ("benchmarks.emissions.ceiling", True),
    ("benchmarks.emissions.speed", True),
    ("benchmarks.emissions.portfolio", True),
    ("benchmarks.adversarial.analytic", False),
    ("benchmarks.adversarial.closure", False),
    ("benchmarks.adversarial.completeness", False),
    ("benchmarks.adversarial.saddles", False),
    ("benchmarks.adversarial.minimum_norm", False),
    ("benchmarks.adversarial.detector", False),
    ("benchmarks.adversarial.recorders", False),
    ("benchmarks.adversarial.cost", False),
    ("benchmarks.adversarial.robustness", False),
    ("benchmarks.instruments.hooke", False),
    ("benchmarks.instruments.signal", False),
    ("benchmarks.instruments.viscosity", False),
    ("benchmarks.instruments.curvature", False),
    ("benchmarks.instruments.newton", False),
    ("benchmarks.instruments.mechanics", False),
    ("benchmarks.instruments.thermodynamics", False),
    ("benchmarks.instruments.waves", False),
    ("benchmarks.instruments.chaos", False),
    ("benchmarks.instruments.symmetry", False),
    ("benchmarks.instruments.phase", False),
    ("benchmarks.instruments.overhead", True),
)


def main() -> int:
    """Returns the exit status after running all benchmarks one after another."""
    failed = []
    for module, needs_data in BENCHMARKS:
        print(f"== {module}", flush=True)
        if needs_data and not os.environ.get("SCIML_ZOO_DATA"):
            print("left out: set SCIML_ZOO_DATA to the folder of data sets")
            continue
        if subprocess.run([sys.executable, "-m", module], cwd=Path(__file__).parents[1], check=False).returncode:
            failed.append(module)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
