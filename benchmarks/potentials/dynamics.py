"""Energy conservation: 200 ps of NVE dynamics of ethanol at 300 K, with steps of 0.5 fs.

    python -m benchmarks.potentials.dynamics [--picoseconds 200] [--minutes M] [--weights NAME --structure FILE]

The molecule (ASE's g2, or the first frame of a file) is relaxed, and starts with twice the kinetic energy of 300 K,
half of which goes into the bonds. The drift is the slope of a straight line through the total energy, sampled every
50 fs, and its error bar the standard error of the slopes of five parts; a molecule is intact while no bond of the start
has stretched by more than half. ``--minutes`` ends a stage: the same command goes on from there (``runs/benchmarks``),
and begins again if the weights or the settings have changed. The target is 0.02 meV/atom/ps. Results of other weights
than ethanol's go to files of their own.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import molecule

from benchmarks._results import machine, write_results
from benchmarks.potentials._simulation import in_stages
from benchmarks.potentials._weights import available, short_name
from sciml_zoo.potentials import ZooCalculator, read_structures, relax
from sciml_zoo.potentials.averages import energy_drift
from sciml_zoo.potentials.bond_scan import bonded_pairs
from sciml_zoo.potentials.dynamics import DynamicsConfig

DEFAULT = "gto_potential.rmd17_ethanol"
DRIFT = 0.02
EVERY = 100
PARTS = 5


def main() -> int:
    """Returns 0 where the drift is within the target and the molecule intact; prints the figures, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=DEFAULT)
    parser.add_argument("--structure", type=Path, help="a molecule; default: ethanol")
    parser.add_argument("--picoseconds", type=float, default=200.0)
    parser.add_argument("--step", type=float, default=0.5, help="fs")
    parser.add_argument("--temperature", type=float, default=300.0, help="K, of the mean")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="end this stage after so many")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = available(arguments.weights)
    if model is None:
        return 1
    atoms = molecule("CH3CH2OH") if arguments.structure is None else read_structures(arguments.structure)[0]
    atoms.set_cell(None)
    atoms.pbc = False
    atoms.calc = ZooCalculator(model)
    relax(atoms, fmax=0.01)
    relaxed = atoms.copy()
    config = DynamicsConfig(
        ensemble="nve",
        temperature=2 * arguments.temperature,
        timestep=arguments.step,
        seed=arguments.seed,
        every=EVERY,
    )
    done = in_stages("dynamics", arguments.weights, atoms, config, arguments.picoseconds, arguments.minutes)
    if done is None:
        return 0
    samples, files, seconds = done
    drift, fluctuation = energy_drift(samples, len(atoms))
    parts = [energy_drift(part.tolist(), len(atoms))[0] for part in np.array_split(np.array(samples), PARTS)]
    longest = longest_bond(relaxed, files.trajectory.path)
    result: dict[str, Any] = {
        "weights": arguments.weights,
        "structure": relaxed.symbols.get_chemical_formula(),
        "picoseconds": samples[-1].time_ps,
        "steps": samples[-1].step,
        "step_fs": arguments.step,
        "seed": arguments.seed,
        "mean_temperature_K": float(np.mean([sample.temperature_k for sample in samples])),
        "drift_mev_per_atom_per_ps": abs(drift),
        "drift_error_mev_per_atom_per_ps": float(np.std(parts, ddof=1) / math.sqrt(PARTS)),
        "fluctuation_mev_per_atom": fluctuation,
        "largest_change_mev_per_atom": 1000 * max(abs(s.total_ev - samples[0].total_ev) for s in samples) / len(atoms),
        "longest_bond_over_start": longest,
        "intact": longest < 1.5,
        "ms_per_step": seconds and 1000 * seconds,
    }
    for name, value in result.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    suffix = "" if arguments.weights == DEFAULT else f"_{short_name(arguments.weights)}"
    write_results(f"potentials.dynamics{suffix}", {**result, "target": DRIFT, **machine()})
    return int(result["drift_mev_per_atom_per_ps"] > DRIFT or not result["intact"])


def longest_bond(start: Atoms, trajectory: Path) -> float:
    """Returns the largest length of a bond in a trajectory, over that at the start."""
    first, second = np.array(bonded_pairs(start)).T
    lengths = np.linalg.norm(start.positions[first] - start.positions[second], axis=1)
    longest = 0.0
    for frame in ase.io.iread(trajectory, index=":", format="extxyz"):
        now = np.linalg.norm(frame.positions[first] - frame.positions[second], axis=1)
        longest = max(longest, float((now / lengths).max()))
    return longest


if __name__ == "__main__":
    sys.exit(main())
