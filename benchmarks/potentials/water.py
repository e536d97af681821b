"""Liquid water: forces on held-out frames, and 5 ps at 300 K: ``python -m benchmarks.potentials.water [--minutes M]``.

64 molecules in a box of 12.4447 Å, from the first frame of ``data_3``; 0.5 fs.

1. Errors on ``data_3``, 80 frames, none of which may have been trained on (``data_0`` to ``data_2`` have 320), beside
   DeePMD-kit's own example on its data set (``water_se_a.json``, 10⁶ batches): what its pull request 529 reports on its
   test frames, for the Paddle implementation of that model.
2. NVT, Langevin (BAOAB, 200 fs): 1 ps to equilibrate, then 5 ps. Mean temperature; whether every hydrogen keeps its
   oxygen, within 1.4 Å; the O–O radial distribution function, from all frames (every 20 fs), beside that of the 400 DFT
   frames (whose temperature the data set does not state) and the experiment at 295 K: first peak at 2.80(1) Å, 2.57(5)
   (Skinner et al., J. Chem. Phys. 138, 074506 (2013)). Error bars: five parts of the trajectory.
3. NVE, 1 ps from the last frame: drift of the total energy.

``--minutes`` ends a stage; the same command goes on (``runs/benchmarks``). Targets: mean temperature within 10 K, no
molecule dissociates, and the first peak within 0.05 Å of the DFT frames'.
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
from matplotlib.figure import Figure

from benchmarks._results import machine, write_results
from benchmarks.potentials._simulation import in_stages
from benchmarks.potentials._weights import available
from sciml_zoo.datasets import referenced_file
from sciml_zoo.potentials import ZooCalculator, evaluate, read_structures
from sciml_zoo.potentials.averages import energy_drift
from sciml_zoo.potentials.dynamics import DynamicsConfig

DEFAULT = "gto_potential.water"
HELD_OUT = "dataset:water_pbe0ts/data_3"
FRAMES = tuple(f"dataset:water_pbe0ts/data_{index}" for index in range(4))
DEEPMD = {
    "force_rmse_mev_per_a": 35.4,
    "energy_rmse_mev_per_atom": 0.247,
    "source": "https://github.com/deepmodeling/deepmd-kit/pull/529",
}
EXPERIMENT = {"position_a": 2.80, "height": 2.57, "source": "https://doi.org/10.1063/1.4790861"}
TEMPERATURE, WITHIN_K, WITHIN_A = 300.0, 10.0, 0.05
EQUILIBRATION, PRODUCTION, CONSERVED = 1.0, 5.0, 1.0
TIMESTEP, EVERY, SEED = 0.5, 40, 0
BIN, PARTS = 0.05, 5
BONDED = 1.4
FIGURE = Path("runs") / "benchmarks" / "water.png"


def main() -> int:
    """Returns 0 where the targets are met; prints the figures, draws them, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=DEFAULT)
    parser.add_argument("--minutes", type=float, default=math.inf, help="end this stage after so many")
    parser.add_argument("--picoseconds", type=float, default=PRODUCTION, help="of NVT, after 1 ps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = available(arguments.weights)
    if model is None:
        return 1
    start = read_structures(referenced_file(HELD_OUT))[0]
    start.calc = ZooCalculator(model)
    nvt = DynamicsConfig("nvt", TEMPERATURE, timestep=TIMESTEP, every=EVERY, seed=SEED)
    in_all = EQUILIBRATION + arguments.picoseconds
    hot = in_stages("water_nvt", arguments.weights, start, nvt, in_all, arguments.minutes)
    if hot is None:
        return 0
    samples, files, seconds = hot
    every = [frame for frame in ase.io.iread(files.trajectory.path, index=":") if frame.info["time_ps"] <= in_all]
    frames = [frame for frame in every if frame.info["time_ps"] > EQUILIBRATION]
    last = every[-1].copy()
    last.calc = ZooCalculator(model)
    nve = DynamicsConfig("nve", TEMPERATURE, timestep=TIMESTEP, every=EVERY, keep_velocities=True)
    free = in_stages("water_nve", arguments.weights, last, nve, CONSERVED, arguments.minutes)
    if free is None:
        return 0
    dft = [atoms for reference in FRAMES for atoms in read_structures(referenced_file(reference))]
    production = np.array([sample.temperature_k for sample in samples if sample.time_ps > EQUILIBRATION])
    errors = evaluate(model, referenced_file(HELD_OUT))
    drift, fluctuation = energy_drift(free[0], len(last))
    result: dict[str, Any] = {
        "held_out": {**errors, "deepmd": DEEPMD},
        "atoms": len(last),
        "picoseconds": arguments.picoseconds,
        "ms_per_step": seconds and 1000 * seconds,
        "mean_temperature_k": float(production.mean()),
        "error_temperature_k": spread([part.mean() for part in np.array_split(production, PARTS)]),
        "highest_temperature_k": float(production.max()),
        "dissociated_frames": sum(not intact(start, frame) for frame in frames),
        "frames": len(frames),
        "oo_peak": peak_with_error(frames),
        "oo_peak_dft": peak_with_error(dft),
        "oo_peak_experiment": EXPERIMENT,
        "largest_oo_difference_to_dft": float(np.abs(oo_distribution(frames)[1] - oo_distribution(dft)[1]).max()),
        "nve_drift_mev_per_atom_per_ps": drift,
        "nve_fluctuation_mev_per_atom": fluctuation,
    }
    result["targets"] = {
        "temperature": abs(result["mean_temperature_k"] - TEMPERATURE) <= WITHIN_K,
        "molecules": result["dissociated_frames"] == 0,
        "peak": abs(result["oo_peak"]["position_a"] - result["oo_peak_dft"]["position_a"]) <= WITHIN_A,
    }
    draw(arguments.figure, arguments.weights, frames, dft)
    show(result)
    print(f"figure: {arguments.figure}")
    write_results("potentials.water", {"weights": arguments.weights, **result, **machine()})
    return int(not all(result["targets"].values()))


def oo_distribution(frames: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Returns distances (middles of bins, Å) up to half of the cubic box, and g(r) of the oxygen atoms."""
    oxygen = frames[0].numbers == 8
    length, number = float(frames[0].cell[0, 0]), int(oxygen.sum())
    edges = np.arange(0.0, length / 2, BIN)
    counts = np.zeros(len(edges) - 1)
    for frame in frames:
        apart = frame.positions[oxygen][:, None] - frame.positions[oxygen]
        apart -= length * np.round(apart / length)
        counts += np.histogram(np.linalg.norm(apart, axis=2)[np.triu_indices(number, 1)], edges)[0]
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    return (edges[1:] + edges[:-1]) / 2, counts / len(frames) / (number * (number - 1) / 2) * length**3 / shells


def peak(frames: list[Atoms]) -> tuple[float, float]:
    """Returns position (Å) and height of the first peak: of a parabola through the five bins around the highest."""
    distance, value = oo_distribution(frames)
    top = int(value.argmax())
    around = slice(top - 2, top + 3)
    square, slope, constant = np.polyfit(distance[around] - distance[top], value[around], 2)
    offset = -slope / (2 * square)
    return float(distance[top] + offset), float(constant + slope * offset / 2)


def peak_with_error(frames: list[Atoms]) -> dict[str, float]:
    """Returns the first peak, and the standard errors of five parts."""
    parts = np.array([peak(part.tolist()) for part in np.array_split(as_objects(frames), PARTS)])
    position, height = peak(frames)
    return {
        "position_a": position,
        "height": height,
        "error_position_a": spread(parts[:, 0]),
        "error_height": spread(parts[:, 1]),
    }


def as_objects(frames: list[Atoms]) -> np.ndarray:
    """Returns an array of structures."""
    array = np.empty(len(frames), dtype=object)
    array[:] = frames
    return array


def spread(values: Any) -> float:
    """Returns the standard error of a mean."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))


def intact(start: Atoms, frame: Atoms) -> bool:
    """Returns whether every hydrogen is still bonded to the oxygen that it was bonded to, and to no other."""
    oxygen = start.numbers == 8
    own = start.get_all_distances(mic=True)[~oxygen][:, oxygen].argmin(axis=1)
    now = frame.get_all_distances(mic=True)[~oxygen][:, oxygen]
    return bool((now.argmin(axis=1) == own).all() and now.min(axis=1).max() < BONDED)


def draw(file: Path, name: str, frames: list[Atoms], dft: list[Atoms]) -> None:
    """Draws the radial distribution functions."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*oo_distribution(dft), color="black", label="DFT frames (PBE0+TS)")
    axes.plot(*oo_distribution(frames), color="#0072b2", label=f"{name}, {TEMPERATURE:.0f} K")
    axes.errorbar(
        2.80, 2.57, xerr=0.01, yerr=0.05, color="#d55e00", fmt="o", markersize=3, label="experiment, first peak"
    )
    axes.set_xlabel("O–O distance, Å")
    axes.set_ylabel("g(r)")
    axes.set_xlim(2.0, None)
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)


def show(result: dict[str, Any]) -> None:
    """Prints what was found."""
    errors = result["held_out"]
    print(
        f"held-out frames: {errors['n']}, force RMSE {errors['force_rmse_mev_per_a']:.1f} meV/Å (DeePMD "
        f"{DEEPMD['force_rmse_mev_per_a']}), energy RMSE {errors['energy_rmse_mev_per_atom']:.3f} meV/atom (DeePMD "
        f"{DEEPMD['energy_rmse_mev_per_atom']})"
    )
    for name in ("oo_peak", "oo_peak_dft"):
        found = result[name]
        print(
            f"{name}: {found['position_a']:.3f} ± {found['error_position_a']:.3f} Å, "
            f"{found['height']:.2f} ± {found['error_height']:.2f}"
        )
    print(f"oo_peak_experiment: {EXPERIMENT['position_a']} Å, {EXPERIMENT['height']}")
    for name, value in result.items():
        if not isinstance(value, dict):
            print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    print(f"targets: {result['targets']}")


if __name__ == "__main__":
    sys.exit(main())
