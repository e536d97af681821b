"""The dihedral scan of acetylacetone: ``python -m benchmarks.potentials.dihedral [--weights NAME] [--figure FILE]``.

45 geometries of ``test_dihedral`` (energies alone; never trained on), in which the hydroxyl end turns away from its
hydrogen bond, 1° to 177°. Energies are compared after the mean difference is taken away, and a barrier is the highest
energy over the lowest, on either side. Between the geometries, cubic splines lead from one's positions to the next:
on a grid of 0.5° along them the energy must have as many minima and maxima as DFT (prominence 1 meV). Targets: barrier
within 10 meV, and no ripple.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline

from benchmarks._results import machine, write_results
from benchmarks.potentials._weights import available
from sciml_zoo.datasets import dataset_file
from sciml_zoo.potentials import read_structures
from sciml_zoo.potentials.bond_scan import minima
from sciml_zoo.potentials.data import energy_of
from sciml_zoo.potentials.inference import predict_structures

DEFAULT = "gto_potential.acac"
BARRIER = 10.0
GRID, PROMINENCE = 0.5, 0.001
FIGURE = Path("runs") / "benchmarks" / "dihedral.png"
Curve = tuple[np.ndarray, np.ndarray]


def main() -> int:
    """Returns 0 where the targets are met; prints the figures, draws them, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=DEFAULT)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    model = available(arguments.weights)
    if model is None:
        return 1
    structures = read_structures(dataset_file("acac", "test_dihedral.xyz"), energy=True)
    angles = np.array([atoms.info["dihedral_angle"] for atoms in structures])
    dft = np.array([energy_of(atoms, "test_dihedral.xyz") for atoms in structures])
    ours = np.array([found["energy"] for found in predict_structures(model, structures)])
    grid = np.arange(angles[0], angles[-1] + GRID / 2, GRID)
    path = between(structures, angles, grid)
    fine = np.array([found["energy"] for found in predict_structures(model, path)])
    result = figures(angles, dft, ours) | {
        "grid_deg": GRID,
        "minima": len(minima(fine, PROMINENCE)),
        "maxima": len(minima(-fine, PROMINENCE)),
        "minima_dft": len(minima(dft, PROMINENCE)),
        "maxima_dft": len(minima(-dft, PROMINENCE)),
    }
    result["smooth"] = all(result[name] == result[f"{name}_dft"] for name in ("minima", "maxima"))
    result["targets"] = {"barrier": abs(result["barrier_error_mev"]) <= BARRIER, "smooth": result["smooth"]}
    draw(arguments.figure, arguments.weights, (angles, dft), (angles, ours), (grid, fine))
    for name, value in result.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    print(f"figure: {arguments.figure}")
    write_results("potentials.dihedral", {"weights": arguments.weights, **result, **machine()})
    return int(not all(result["targets"].values()))


def figures(angles: np.ndarray, dft: np.ndarray, ours: np.ndarray) -> dict[str, Any]:
    """Returns errors of a scan, meV."""
    difference = 1000 * (ours - dft)
    relative = difference - difference.mean()
    (forward_dft, back_dft), (forward, back) = barriers(dft), barriers(ours)
    return {
        "n": len(angles),
        "energy_rmse_mev": float(np.sqrt(np.mean(difference**2))),
        "relative_energy_rmse_mev": float(np.sqrt(np.mean(relative**2))),
        "largest_relative_error_mev": float(np.abs(relative).max()),
        "barrier_mev": forward,
        "barrier_dft_mev": forward_dft,
        "barrier_error_mev": forward - forward_dft,
        "return_barrier_mev": back,
        "return_barrier_dft_mev": back_dft,
        "return_barrier_error_mev": back - back_dft,
        "barrier_angle_deg": float(angles[ours.argmax()]),
        "barrier_angle_dft_deg": float(angles[dft.argmax()]),
    }


def barriers(energies: np.ndarray) -> tuple[float, float]:
    """Returns the highest energy over the lowest before it, and after it, meV."""
    top = int(energies.argmax())
    return tuple(1000 * float(energies[top] - side.min()) for side in (energies[: top + 1], energies[top:]))


def between(structures: list[Atoms], angles: np.ndarray, grid: np.ndarray) -> list[Atoms]:
    """Returns structures on cubic splines through the positions of others."""
    spline = CubicSpline(angles, np.array([atoms.positions for atoms in structures]))
    return [Atoms(structures[0].numbers, positions) for positions in spline(grid)]


def draw(file: Path, name: str, dft: Curve, ours: Curve, fine: Curve) -> None:
    """Draws the scan, each curve from its own first energy."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for (angles, energies), style, label in ((fine, "-", name), (ours, ".", None), (dft, "o", "DFT")):
        options = {"color": "black", "fillstyle": "none"} if style == "o" else {"color": "#0072b2"}
        axes.plot(angles, 1000 * (energies - energies[0]), style, label=label, **options)
    axes.set_xlabel("dihedral angle, degrees")
    axes.set_ylabel("energy, meV")
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
