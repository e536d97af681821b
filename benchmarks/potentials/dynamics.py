"""Energy conservation of a shipped ethanol potential: 20 ps of NVE dynamics at 300 K with steps of 0.5 fs.

    python -m benchmarks.potentials.dynamics [--picoseconds 20]

The drift is the slope of a straight line through the total energy; a molecule is intact while no bond of the start has
stretched by more than half.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from ase import units
from ase.build import molecule
from ase.md.velocitydistribution import Stationary, ZeroRotation
from ase.md.verlet import VelocityVerlet
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.optimize import BFGS

from sciml_zoo.potentials import ZooCalculator

EVERY = 20  # steps between samples of the energy


def main() -> None:
    """Runs the dynamics, prints the figures and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="gto_potential.rmd17_ethanol")
    parser.add_argument("--picoseconds", type=float, default=20.0)
    parser.add_argument("--step", type=float, default=0.5, help="fs")
    parser.add_argument("--temperature", type=float, default=300.0, help="K")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "dynamics.json")
    arguments = parser.parse_args()

    atoms = molecule("CH3CH2OH")
    atoms.calc = ZooCalculator(arguments.weights)
    BFGS(atoms, logfile=None).run(fmax=0.01)
    first, second, start = neighbor_list("ijd", atoms, natural_cutoffs(atoms, mult=1.2))
    rng = np.random.default_rng(arguments.seed)
    atoms.set_momenta(np.sqrt(atoms.get_masses())[:, None] * rng.normal(size=(len(atoms), 3)))
    Stationary(atoms)
    ZeroRotation(atoms)
    # Half of the kinetic energy goes into the bonds: twice the temperature at the start is the temperature later.
    freedom = 3 * len(atoms) - 6
    wanted = 0.5 * freedom * units.kB * 2 * arguments.temperature
    atoms.set_momenta(atoms.get_momenta() * np.sqrt(wanted / atoms.get_kinetic_energy()))

    dynamics = VelocityVerlet(atoms, timestep=arguments.step * units.fs)
    samples = round(arguments.picoseconds * 1000 / arguments.step / EVERY)
    energy, temperature, longest = [], [], 0.0
    begun = time.monotonic()
    for _ in range(samples):
        dynamics.run(EVERY)
        energy.append(atoms.get_total_energy())
        temperature.append(2 * atoms.get_kinetic_energy() / (freedom * units.kB))
        bonds = np.linalg.norm(atoms.positions[first] - atoms.positions[second], axis=1)
        longest = max(longest, float((bonds / start).max()))
    seconds = time.monotonic() - begun
    picoseconds = np.arange(1, samples + 1) * EVERY * arguments.step / 1000
    slope = np.polyfit(picoseconds, energy, 1)[0]
    result = {
        "weights": arguments.weights,
        "picoseconds": float(picoseconds[-1]),
        "step_fs": arguments.step,
        "seed": arguments.seed,
        "mean_temperature_K": float(np.mean(temperature)),
        "drift_mev_per_atom_per_ps": 1000 * abs(float(slope)) / len(atoms),
        "fluctuation_mev_per_atom": 1000 * float(np.std(energy)) / len(atoms),
        "longest_bond_over_start": longest,
        "intact": longest < 1.5,
        "ms_per_step": 1000 * seconds / (samples * EVERY),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in result.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")


if __name__ == "__main__":
    main()
