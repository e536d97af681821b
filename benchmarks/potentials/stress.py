"""Stress against strain differences of the energy: ``python -m benchmarks.potentials.stress [--weights NAME …]``.

In float64, (1/V) ∂E/∂η by central differences of fourth order, with strains of 2e-4 and 1e-4 in each of the six
components; the error is that of the worst component, over the largest. Cells are triclinic, rattled by 0.05 Å, and most
are so small that atoms have their own images as neighbours. For each shape of network, one with random weights; then
all weights of periodic systems that there are, and ethanol's in a crystal of one molecule. The target is 1e-6.
"""

import argparse
import sys
import time
import warnings
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_stress
from rich.console import Console
from rich.table import Table

from benchmarks._results import machine, write_results
from benchmarks.potentials._weights import available
from sciml_zoo.potentials import ExtrapolationWarning, GTOConfig, GTOPotential, ZooCalculator
from sciml_zoo.potentials.bond_scan import without_shifts
from sciml_zoo.potentials.data import collate, model_inputs, to_graph
from sciml_zoo.potentials.potential import Potential

TARGET = 1e-6
STRAINS = (2e-4, 1e-4)
RATTLE, SEED = 0.05, 0
#: Makes any cell triclinic.
SHEAR = np.array([[1.0, 0.05, -0.03], [0.08, 0.97, 0.06], [-0.04, 0.02, 1.04]])
WEIGHTS = ("si", "mo", "li", "water", "rmd17_ethanol")
RANDOM = {
    "random": {},
    "random, 3 rounds": {"n_rounds": 3},
    "random, with nuclear repulsion": {"zbl": True},
}


def main() -> int:
    """Returns 0 where all stresses are within the target; prints a table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="*", default=[f"gto_potential.{name}" for name in WEIGHTS])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=ExtrapolationWarning)
    rows: list[dict[str, Any]] = []
    missing = []
    for name, options in RANDOM.items():
        model = random_model(**options)
        rows += [row(name, model, structure, atoms) for structure, atoms in cells(model, trained=False).items()]
    for reference in arguments.weights:
        trained = available(reference)
        if trained is None:
            missing.append(reference)
            continue
        rows += [row(reference, trained, structure, atoms) for structure, atoms in cells(trained, trained=True).items()]
    table = Table("model", "cell", "atoms", "height / cutoff", "largest stress, eV/Å³", "error", box=None)
    for found in rows:
        table.add_row(
            found["model"],
            found["cell"],
            str(found["atoms"]),
            f"{found['height_over_cutoff']:.2f}",
            f"{found['largest_stress_ev_per_a3']:.3g}",
            f"{found['relative_error']:.1e}",
        )
    Console(width=120).print(table)
    worst = max(found["relative_error"] for found in rows)
    print(f"largest error {worst:.1e}, target {TARGET:.0e}")
    settings = {"strains": STRAINS, "rattle_a": RATTLE, "seed": SEED, "target": TARGET}
    content = {"settings": settings, "rows": rows, "missing": missing, "largest_relative_error": worst, **machine()}
    write_results("potentials.stress", content)
    return int(worst > TARGET)


def random_model(**options: Any) -> Potential:
    """Returns a potential with random weights, whose scales are those of the structures that it is tried on."""
    torch.manual_seed(SEED)
    model = GTOPotential(GTOConfig(elements=(1, 6, 8), cutoff=5.0, **options)).eval()
    structures = list(cells(model, trained=False).values())
    model.calibrate(**model_inputs(collate([to_graph(atoms, model.cutoff) for atoms in structures])))
    return model


def cells(model: Potential, *, trained: bool) -> dict[str, Atoms]:
    """Returns cells of a model's elements by name; of what it was trained on, if it was."""
    found: dict[str, Atoms] = {}
    if 14 in model.elements:
        found = {"diamond, 2": bulk("Si", "diamond", a=5.43), "diamond, 8": bulk("Si", "diamond", a=5.43, cubic=True)}
    elif 42 in model.elements:
        found = {"bcc, 1": bulk("Mo", "bcc", a=3.16), "bcc, 8": bulk("Mo", "bcc", a=3.16) * 2}
    elif 3 in model.elements:
        found = {"bcc, 1": bulk("Li", "bcc", a=3.44), "bcc, 8": bulk("Li", "bcc", a=3.44) * 2}
    elif 6 in model.elements:
        found["one molecule of ethanol"] = in_cell(molecule("CH3CH2OH"), 5.2)
        if not trained:
            found["diamond, 2"] = bulk("C", "diamond", a=3.57)
    else:
        found["one molecule of water"] = in_cell(molecule("H2O"), 3.1)
        found["8 molecules of water"] = in_cell(molecule("H2O"), 3.1) * 2
    for atoms in found.values():
        atoms.set_cell(atoms.cell.array @ SHEAR, scale_atoms=True)
        atoms.rattle(RATTLE, seed=SEED)
    return found


def in_cell(atoms: Atoms, length: float) -> Atoms:
    """Returns a molecule in a cubic cell (Å)."""
    atoms.set_cell([length] * 3)
    atoms.pbc = True
    return atoms


def row(name: str, model: Potential, structure: str, atoms: Atoms) -> dict[str, Any]:
    """Returns how far stress and strain differences are apart."""
    begun = time.perf_counter()
    atoms.calc = ZooCalculator(without_shifts(model))
    stress = atoms.get_stress()
    coarse, fine = (calculate_numerical_stress(atoms, eps=strain) for strain in STRAINS)
    error = np.abs(stress - (4 * fine - coarse) / 3).max() / np.abs(stress).max()
    height = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0).max()
    print(f"{name}, {structure}: {error:.1e} ({time.perf_counter() - begun:.1f} s)", flush=True)
    return {
        "model": name,
        "cell": structure,
        "atoms": len(atoms),
        "height_over_cutoff": float(height / model.cutoff),
        "largest_stress_ev_per_a3": float(np.abs(stress).max()),
        "relative_error": float(error),
    }


if __name__ == "__main__":
    sys.exit(main())
