"""What the ASE calculator costs beside the potential, and which skin of its neighbour list is best.

    python -m benchmarks.potentials.calculator

The overhead is the time of a call of ``get_forces`` after all atoms have moved, less that of the potential and of its
uncertainty (if that has been calibrated): median of 300 calls on ethanol, in time of the calling thread's CPU, since
the wall clock also counts what else the machine does; the target is 0.2 ms. The skin is judged by the time for
neighbours per step, along a trajectory of liquid water (192 atoms, 300 K, 0.5 fs) that ``gto_potential.water`` makes.
"""

import argparse
import time

import numpy as np
import torch
from ase.build import molecule

from benchmarks._results import machine, write_results
from benchmarks.potentials._water import water_box
from sciml_zoo.potentials import DynamicsConfig, Simulation, VerletList, ZooCalculator, relax
from sciml_zoo.zoo.registry import list_models

TARGET_MS = 0.2
CALLS = 300
WATER = "gto_potential.water"
SKINS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5)
HEATING, STEPS = 400, 400


def overhead(weights: str) -> dict[str, float]:
    """Returns milliseconds of a call, of the uncertainty in it, and of all that is neither this nor the potential."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = calculator = ZooCalculator(weights)
    start = atoms.positions.copy()
    rng = np.random.default_rng(0)
    parts = dict.fromkeys(("_evaluate", "_add_uncertainty"), 0.0)

    def timed(name: str) -> None:
        method = getattr(calculator, name)

        def run(*args, **options):
            begun = time.thread_time()
            output = method(*args, **options)
            parts[name] = 1000 * (time.thread_time() - begun)
            return output

        setattr(calculator, name, run)

    for name in parts:
        timed(name)
    rows = []
    for call in range(CALLS + 20):
        atoms.positions[:] = start + 0.01 * rng.normal(size=start.shape)
        begun = time.thread_time()
        atoms.get_forces()
        milliseconds = 1000 * (time.thread_time() - begun)
        if call >= 20:
            rows.append((milliseconds, parts["_add_uncertainty"], milliseconds - sum(parts.values())))
    return dict(zip(("call_ms", "uncertainty_ms", "overhead_ms"), np.median(rows, axis=0).tolist(), strict=True))


def skins(weights: str) -> list[dict[str, float]]:
    """Returns searches and milliseconds per step for each skin, along the same trajectory."""
    atoms = water_box(1)
    atoms.calc = ZooCalculator(weights)
    relax(atoms, fmax=0.5)
    frames = []
    simulation = Simulation(atoms, DynamicsConfig(temperature=300.0, thermostat_time=50.0, every=1))
    simulation.run(HEATING)
    simulation.run(HEATING + STEPS, on_sample=lambda _: frames.append(atoms.positions.copy()))
    rows = []
    for skin in SKINS:
        verlet = VerletList(atoms.calc.model.cutoff, skin)
        begun = time.thread_time()
        for positions in frames:
            atoms.positions = positions
            if not verlet.holds(atoms):
                verlet.search(atoms)
            verlet.pairs(atoms, torch.tensor(atoms.positions))
        milliseconds = 1000 * (time.thread_time() - begun) / len(frames)
        rows.append({"skin_a": skin, "searches": verlet.searches, "ms_per_step": milliseconds})
    return rows


def main() -> int:
    """Measures, prints the tables, and writes the JSON.

    Returns:
        The exit status: 1 if the overhead is above its target.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="gto_potential.rmd17_ethanol")
    arguments = parser.parse_args()
    result = {"weights": arguments.weights, **overhead(arguments.weights), "target_ms": TARGET_MS}
    print(
        f"{arguments.weights}: {result['call_ms']:.3f} ms a call, of which {result['uncertainty_ms']:.3f} for the "
        f"uncertainty and {result['overhead_ms']:.3f} beside the potential"
    )
    if WATER in list_models(pretrained=True):
        result["skins"] = skins(WATER)
        for row in result["skins"]:
            print(f"skin {row['skin_a']:.1f} Å: {row['searches']:4d} searches, {row['ms_per_step']:.3f} ms a step")
    else:
        print(f"no table of skins: {WATER} is not on the shelf yet")
    write_results("potentials.calculator", {**machine(), **result})
    return int(result["overhead_ms"] > TARGET_MS)


if __name__ == "__main__":
    raise SystemExit(main())
