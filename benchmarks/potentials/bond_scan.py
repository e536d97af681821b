"""Minima and smoothness along every bond: ``python -m benchmarks.potentials.bond_scan [--only NAME …] [--weights …]``.

Ethanol, aspirin, acetylacetone and 3BPA, the first training frame of each (ethanol: ASE's g2), relaxed with their
weights. Every bond is pressed to 0.6 Å and torn to 3 Å, all else rigid: the smaller fragment moves along the bond; in a
ring, the end with fewer substituents and those, along the bond. In float64.

Minima: those of E(r) on a grid of 0.01 Å, deeper than 1e-6 eV, those at the ends included. Exactly one is expected, at
the length of the relaxed bond; if there is none, that counts as one spurious minimum. One at a longer distance, where
the fragment that moves has come into bonding distance of an atom that it was not bonded to (closer than 1.2 times the
sum of the covalent radii), is a bond that is really there, and not spurious: hydrogen bonds have a second well.

Smoothness: ``derivative_continuity`` of E(r) for each bond, and of an atom that passes through another one, beside a
third, and leaves the cutoff, for all pairs of elements: jumps of any derivative up to the fourth show as exponents of 0
or less, and 1 is smooth. The same for two potentials that must fail: pairs with the squared cosine cutoff, C³, and a
cusp at r = 0; and this network with the cosine cutoff of the ablation.
"""

import argparse
import json
import sys
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.data import chemical_symbols
from rich.console import Console
from rich.table import Table

from benchmarks._results import machine, results_file, write_results
from benchmarks.potentials._weights import available
from sciml_zoo.datasets import dataset_file
from sciml_zoo.errors import InputError
from sciml_zoo.potentials import (
    Bond,
    Continuity,
    GTOConfig,
    GTOPotential,
    ZooCalculator,
    derivative_continuity,
    find_bonds,
    read_structures,
    relax,
    scan_bond,
)
from sciml_zoo.potentials.bond_scan import bonded_pairs, minima, stretched, without_shifts
from sciml_zoo.potentials.potential import Potential

MOLECULES = {
    "ethanol": ("gto_potential.rmd17_ethanol", None),
    "aspirin": ("gto_potential.rmd17_aspirin", ("rmd17_aspirin", "train.xyz")),
    "acetylacetone": ("gto_potential.acac", ("acac", "train_300K.xyz")),
    "3BPA": ("gto_potential.3bpa", ("3bpa", "train_300K.xyz")),
}
SHORTEST, LONGEST, GRID = 0.6, 3.0, 0.01
PROMINENCE = 1e-6
#: From the minimum of the relaxed molecule.
SAME_MINIMUM = 0.1
#: Between energies whose differences are taken, Å, to begin with.
STEP = 4e-3
#: Where the scan through another atom begins: no step meets r = 0, where a neighbour list takes two atoms for one.
THROUGH, BESIDE_REPULSION = -0.29987, 0.3
BEYOND = 0.5


class CosinePairs(Potential):
    """Pairs with the squared cosine cutoff, whose fourth derivative jumps, and with a cusp at r = 0."""

    def __init__(self, cutoff: float) -> None:
        super().__init__((6,), cutoff, n_features=1)
        self.depth = torch.nn.Parameter(torch.ones(()))

    def atomic_energies(
        self, species: torch.Tensor, vectors: torch.Tensor, edge_index: torch.Tensor, *, fast: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns energies [N] and, as features, the same."""
        distance = vectors.norm(dim=1)
        inside = distance < self.cutoff
        cutoff = torch.where(inside, (0.5 + 0.5 * torch.cos(torch.pi * distance / self.cutoff)) ** 2, 0.0)
        pairs = self.depth * torch.exp(-distance) * cutoff
        energies = vectors.new_zeros(len(species)).index_add(0, edge_index[1], pairs)
        return energies, energies[:, None]


def main() -> int:
    """Returns 0 where every bond has one minimum and all derivatives are continuous; prints tables, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(MOLECULES), default=list(MOLECULES))
    parser.add_argument("--weights", help="instead of those of the molecule; with one --only")
    parser.add_argument("--no-smoothness", action="store_true", help="minima alone")
    arguments = parser.parse_args()
    if arguments.weights and len(arguments.only) != 1:
        parser.error("--weights: name one molecule with --only")
    torch.set_num_threads(1)
    file = results_file("potentials.bond_scan")
    content = json.loads(file.read_text()) if file.is_file() else {}
    molecules, good = content.get("molecules", {}), True
    if not arguments.no_smoothness:
        content["must_fail"] = must_fail()
        good = not any(found["continuous"] for found in content["must_fail"].values())
    for name in arguments.only:
        weights = arguments.weights or MOLECULES[name][0]
        model = available(weights)
        if model is None:
            molecules[name] = {"missing": weights}
            continue
        molecules[name] = one_molecule(name, weights, model, smoothness=not arguments.no_smoothness)
        good = good and molecules[name]["spurious_minima"] == 0 and molecules[name].get("continuous", True)
        write_results("potentials.bond_scan", {**content, "molecules": molecules, **machine()})
    settings = {"range_a": [SHORTEST, LONGEST], "grid_a": GRID, "prominence_ev": PROMINENCE}
    write_results("potentials.bond_scan", {**content, "settings": settings, "molecules": molecules, **machine()})
    return int(not good)


def must_fail() -> dict[str, Any]:
    """Returns what is found of two potentials whose derivatives jump."""
    torch.manual_seed(0)
    options = {"elements": (1, 6, 8), "cutoff": 5.0}
    network = GTOPotential(GTOConfig(cutoff_function="cosine", **options)).eval()
    found = {}
    for name, model, pair in (("C3 pairs", CosinePairs(5.0), "CC"), ("this network, cosine cutoff", network, "CO")):
        found[name] = continuity_figures(through(model, pair, model.cutoff - 1.0 if model is network else THROUGH))
        print(f"{name}: {words(found[name])}", flush=True)
    return found


def one_molecule(name: str, weights: str, model: Potential, *, smoothness: bool) -> dict[str, Any]:
    """Returns the figures of a molecule, and prints them."""
    atoms = structure(name)
    atoms.calc = ZooCalculator(model)
    relaxation = relax(atoms, fmax=0.01, max_steps=2000)
    atoms.calc = None
    exact = without_shifts(model)
    begun = time.perf_counter()
    bonds = [one_bond(exact, atoms, bond, smoothness=smoothness) for bond in find_bonds(atoms)]
    passing = pairs_of_elements(exact, smoothness=smoothness)
    result: dict[str, Any] = {
        "weights": weights,
        "relaxed": relaxation.converged,
        "largest_force_ev_per_a": relaxation.after.largest_force_ev_per_a,
        "bonds": bonds,
        "passing": passing,
        "n_bonds": len(bonds),
        "one_minimum": sum(len(bond["minima_a"]) == 1 for bond in bonds),
        "new_bonds": sum(bond["new_bonds"] for bond in bonds),
        "spurious_minima": sum(bond["spurious_minima"] for bond in bonds),
        "seconds": time.perf_counter() - begun,
    }
    if smoothness:
        judged = [bond["smoothness"] for bond in bonds] + list(passing.values())
        result["continuous"] = all(found["continuous"] for found in judged)
        result["smallest_exponent"] = min(found["smallest_exponent"] for found in judged)
    show(name, result)
    return result


def structure(name: str) -> Atoms:
    """Returns a molecule, before it is relaxed."""
    reference = MOLECULES[name][1]
    if reference is None:
        return molecule("CH3CH2OH")
    atoms = read_structures(dataset_file(*reference))[0]
    atoms.set_cell(None)
    atoms.pbc = False
    return atoms


def one_bond(model: Potential, atoms: Atoms, bond: Bond, *, smoothness: bool) -> dict[str, Any]:
    """Returns the figures of a bond."""
    length = atoms.get_distance(bond.fixed, bond.moved)
    distances = np.linspace(SHORTEST, LONGEST, round((LONGEST - SHORTEST) / GRID) + 1)
    energies = scan_bond(model, atoms, bond, distances)
    lowest = distances[minima(energies, PROMINENCE)]
    others = [r for r in lowest if abs(r - length) > SAME_MINIMUM]
    known = set(bonded_pairs(atoms))
    new = [r for r in others if r > length and set(bonded_pairs(stretched(atoms, bond, r))) - known]
    found: dict[str, Any] = {
        "atoms": [bond.fixed, bond.moved],
        "bond": f"{atoms.symbols[bond.fixed]}{bond.fixed}–{atoms.symbols[bond.moved]}{bond.moved}",
        "moved_atoms": len(bond.fragment),
        "in_ring": bond.in_ring,
        "length_a": length,
        "minima_a": [round(float(r), 4) for r in lowest],
        "new_bonds": len(new),
        "spurious_minima": len(others) - len(new) + int(len(others) == len(lowest)),
        "at_shortest_ev": float(energies[0] - energies.min()),
        "at_longest_ev": float(energies[-1] - energies.min()),
    }
    if smoothness:
        function = partial(scan_bond, model, atoms, bond)
        found["smoothness"] = continuity_figures(
            derivative_continuity(function, SHORTEST, LONGEST, step=STEP, refinements=2)
        )
    print(f"  {found['bond']}: minima at {', '.join(f'{r:.2f}' for r in lowest)} Å", end="")
    print(f"; {words(found['smoothness'])}" if smoothness else "", flush=True)
    return found


def pairs_of_elements(model: Potential, *, smoothness: bool) -> dict[str, Any]:
    """Returns what is found where an atom passes through another one and leaves the cutoff, for pairs of elements."""
    if not smoothness:
        return {}
    start = THROUGH if model.zbl is None else BESIDE_REPULSION
    found = {}
    for index, first in enumerate(model.elements):
        for second in model.elements[index:]:
            pair = f"{chemical_symbols[first]}{chemical_symbols[second]}"
            found[pair] = continuity_figures(through(model, pair, start))
            print(f"  {pair} from {start:.1f} Å to beyond the cutoff: {words(found[pair])}", flush=True)
    return found


def through(model: Potential, pair: str, start: float) -> Continuity:
    """Returns the verdict on an atom that passes another one, beside a third, and leaves the cutoff."""
    first, second = Atoms(pair).symbols
    atoms = Atoms([first, second, first], positions=[[0, 0, 0], [1.1, 0, 0], [0.4, 1.0, 0.3]])
    function = partial(scan_bond, without_shifts(model), atoms, Bond(fixed=0, moved=1, fragment=(1,), in_ring=False))
    return derivative_continuity(function, start, model.cutoff + BEYOND)


def continuity_figures(found: Continuity) -> dict[str, Any]:
    """Returns the figures of a scan's smoothness."""
    seen = np.isfinite(found.exponents)
    return {
        "continuous": found.continuous,
        "smallest_exponent": float(found.exponents.min()) if seen.any() else None,
        "at_a": float(found.positions[found.worst]),
        "largest_fourth_derivative_ev_per_a4": found.scale,
        "median_visible_jump_ev_per_a4": float(np.median(found.resolutions)),
        "largest_visible_jump_ev_per_a4": float(found.resolutions.max()),
        "smallest_step_a": float(found.steps.min()),
        "windows": len(seen),
        "windows_of_rounding": int((~seen).sum()),
    }


def words(found: dict[str, Any]) -> str:
    """Returns figures of smoothness in words."""
    verdict = "continuous" if found["continuous"] else "JUMPS"
    return (
        f"{verdict} to order 4, smallest exponent {found['smallest_exponent']:.2f} at {found['at_a']:.2f} Å, "
        f"jumps from {found['median_visible_jump_ev_per_a4']:.1g} eV/Å⁴ would show"
    )


def show(name: str, result: dict[str, Any]) -> None:
    """Prints the table of a molecule."""
    table = Table("bond", "moves", "length, Å", "minima, Å", "E(0.6), eV", "E(3), eV", "exponent", box=None, title=name)
    for bond in result["bonds"]:
        kind = f"{bond['moved_atoms']} atoms" + (", ring" if bond["in_ring"] else "")
        smooth = bond.get("smoothness")
        table.add_row(
            bond["bond"],
            kind,
            f"{bond['length_a']:.3f}",
            ", ".join(f"{r:.2f}" for r in bond["minima_a"]),
            f"{bond['at_shortest_ev']:.1f}",
            f"{bond['at_longest_ev']:.2f}",
            "" if smooth is None else f"{smooth['smallest_exponent']:.2f}",
        )
    Console(width=120).print(table)
    print(
        f"{name}: {result['n_bonds']} bonds, {result['one_minimum']} with one minimum; {result['spurious_minima']} "
        f"spurious minima, {result['new_bonds']} where a new bond forms; "
        f"{'continuous to order 4' if result.get('continuous') else 'smoothness not shown'}; {result['seconds']:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(str(error))
