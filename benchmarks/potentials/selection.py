"""Which structures to label: those that `sciml-zoo potentials select` chooses, the most uncertain ones, or any?

    SCIML_ZOO_DATA=../shared/data python -m benchmarks.potentials.selection

A potential trained on acetylacetone at 300 K meets two pools: half of the frames of `train_600K`, and the same among
frames of `test_MD_300K`, which it knows well. From each, n structures are chosen, labelled, and added to the training
data. The other half of `train_600K` is the test.

What the labels are worth is measured without the noise of a training: energies and forces are linear in the weights of
the last layer, which are fitted anew, by ridge regression, to energies and forces of training data and chosen frames.
Derivatives of features are central differences. Residuals are weighted by their rms on validation. Every way of
choosing has the ridge that is best for it, of those in ``RIDGES``. Random choices are drawn 20 times.

Target: lower errors than random choices on average, for every n and both pools.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from rich.console import Console
from rich.table import Table
from torch_geometric.data import Data

from benchmarks._results import machine, write_results
from benchmarks.potentials._weights import available
from sciml_zoo.datasets import referenced_file
from sciml_zoo.potentials import calibrate_uncertainty, prepare, read_structures, select_structures, to_graph
from sciml_zoo.potentials.data import collate, model_inputs
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.potentials.recipe import GTORecipe
from sciml_zoo.training.recipe import read_recipe

RECIPE = Path(__file__).parents[2] / "scripts" / "recipes" / "gto_potential.acac.yaml"
CHOSEN = (5, 10, 20, 40)
DRAWS, SEED = 20, 0
# Å, of the central differences: errors of truncation and of float32 are both about 1e-4.
STEP = 5e-3
# Relative to the mean of the diagonal.
RIDGES = tuple(10.0**power for power in range(-4, 2))


@dataclass(frozen=True)
class Linear:
    """Of a frame: derivatives by the last layer of the energy per atom [W] and of all forces [3N, W], and residuals."""

    energy: np.ndarray
    forces: np.ndarray
    energy_left: float
    forces_left: np.ndarray
    n_atoms: int


def linear(model: Potential, graph: Data) -> Linear:
    """Returns derivatives of a frame's energy and forces by the last layer's weights, one set for each element."""
    n_atoms, n_species = len(graph.z), len(model.elements)
    moves = STEP * torch.eye(3 * n_atoms, dtype=torch.float64).view(-1, n_atoms, 3)
    copies = []
    for move in [torch.zeros(n_atoms, 3), *moves, *-moves]:
        copy = graph.clone()
        copy.pos = graph.pos + move
        copies.append(copy)
    batch = collate(copies)
    with torch.no_grad():
        seen = model(**model_inputs(batch), features=True, forces=False)["features"].double()
    place = batch.batch * n_species + model.species_of[batch.z]
    sums = seen.new_zeros(len(copies) * n_species, seen.shape[1]).index_add(0, place, seen)
    energies = float(model.scale) * sums.view(len(copies), -1).numpy()
    forces = -(energies[1 : 1 + 3 * n_atoms] - energies[1 + 3 * n_atoms :]) / (2 * STEP)
    output = model(**model_inputs(collate([graph])))
    return Linear(
        energies[0] / n_atoms,
        forces.astype(np.float32),
        float(graph.energy - output["energy"]) / n_atoms,
        (graph.forces - output["forces"]).double().flatten().numpy(),
        n_atoms,
    )


class Refit:
    """The last layer, fitted to the residuals of frames.

    Args:
        train: of the training data.
        validation: whose errors are the units of energies and forces.
    """

    def __init__(self, train: Sequence[Linear], validation: Sequence[Linear]) -> None:
        self._sigma_energy = np.sqrt(np.mean([own.energy_left**2 for own in validation]))
        self._sigma_forces = np.sqrt(np.mean([np.mean(own.forces_left**2) for own in validation]))
        size = len(train[0].energy)
        self._gram, self._right = np.zeros((size, size)), np.zeros(size)
        self._gram, self._right = self._with(train)
        self._unit = np.trace(self._gram) / size * np.eye(size)

    def _with(self, frames: Sequence[Linear]) -> tuple[np.ndarray, np.ndarray]:
        gram, right = self._gram, self._right
        for own in frames:
            rows = np.vstack([own.energy / self._sigma_energy, own.forces / self._sigma_forces])
            left = np.concatenate([[own.energy_left / self._sigma_energy], own.forces_left / self._sigma_forces])
            gram, right = gram + rows.T @ rows, right + rows.T @ left
        return gram, right

    def __call__(self, frames: Sequence[Linear]) -> list[np.ndarray]:
        """Returns the change of the weights that training data and more frames ask for, for every ridge."""
        gram, right = self._with(frames)
        return [np.linalg.solve(gram + ridge * self._unit, right) for ridge in RIDGES]


def force_rmse(frames: Sequence[Linear], change: np.ndarray) -> float:
    """Returns the error of the forces after a change of the weights, meV/Å."""
    left = np.concatenate([own.forces_left - own.forces @ change for own in frames])
    return 1000 * float(np.sqrt(np.mean(left**2)))


def compared(
    model: Potential, pool: Sequence[Atoms], known: Sequence[Linear], refit: Refit, test: Sequence[Linear]
) -> list[dict[str, Any]]:
    """Returns the errors after labelling n structures: those chosen, the most uncertain, and random ones.

    Args:
        model: that chooses.
        pool: to choose from.
        known: the same, as the last layer sees them.
        refit: to labelled structures.
        test: on which errors are measured.

    Returns:
        A row for every n.
    """
    chosen = select_structures(model, pool, max(CHOSEN))
    uncertain = np.argsort([-own.max() for own in chosen.uncertainties], kind="stable")
    rng = np.random.default_rng(SEED)
    draws = [rng.permutation(len(pool)) for _ in range(DRAWS)]
    rows = []
    for n in CHOSEN:
        ways: dict[str, Sequence[Sequence[int]]] = {
            "selected": [chosen.frames],
            "most_uncertain": [uncertain.tolist()],
            "random": [draw.tolist() for draw in draws],
        }
        row: dict[str, Any] = {"n": n}
        for way, orders in ways.items():
            changes = [refit([known[i] for i in order[:n]]) for order in orders]
            errors = np.array([[force_rmse(test, change) for change in own] for own in changes])
            best = errors[:, errors.mean(axis=0).argmin()]
            row[way] = float(best.mean())
            if len(orders) > 1:
                row |= {f"{way}_sd": float(best.std(ddof=1)), f"{way}_best": float(best.min())}
        rows.append(row)
    return rows


def main() -> int:
    """Returns 0 where selected structures teach more than random ones; prints the tables, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="gto_potential.acac")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = available(arguments.weights)
    if model is None:
        return 1
    prepared = prepare(dataclasses.replace(read_recipe(GTORecipe, RECIPE), distillation=None, initial=None))
    calibrate_uncertainty(model, prepared.train, prepared.validation)
    hot, cold = (
        read_structures(referenced_file(f"dataset:acac/{name}.xyz"), energy=True, forces=True)
        for name in ("train_600K", "test_MD_300K")
    )
    order = np.random.default_rng(SEED).permutation(len(hot))
    half = [hot[i] for i in order[: len(hot) // 2]]

    def all_linear(structures: Sequence[Atoms]) -> list[Linear]:
        return [linear(model, to_graph(atoms, model.cutoff, labels=True)) for atoms in structures]

    test = all_linear([hot[i] for i in order[len(hot) // 2 :]])
    refit = Refit(
        [linear(model, graph) for graph in prepared.train], [linear(model, graph) for graph in prepared.validation]
    )
    nothing = np.zeros_like(test[0].energy)
    again = min(force_rmse(test, change) for change in refit([]))
    before = {"as trained": force_rmse(test, nothing), "refitted to the training data": again}
    print(
        "force RMSE of the test at 600 K, meV/Å: " + ", ".join(f"{name} {value:.2f}" for name, value in before.items())
    )
    labels = all_linear(half), all_linear(cold[: len(half)])
    pools = {"600 K": (half, labels[0]), "600 K among 300 K": ([*half, *cold[: len(half)]], [*labels[0], *labels[1]])}
    found = {name: compared(model, *pool, refit, test) for name, pool in pools.items()}
    for name, rows in found.items():
        table = Table("n", "selected", "most uncertain", f"random, mean of {DRAWS} ± sd", "best random", box=None)
        for row in rows:
            random = f"{row['random']:.2f} ± {row['random_sd']:.2f}"
            table.add_row(
                str(row["n"]),
                f"{row['selected']:.2f}",
                f"{row['most_uncertain']:.2f}",
                random,
                f"{row['random_best']:.2f}",
            )
        print(f"\npool: {name}, {len(pools[name][0])} structures; force RMSE of the test at 600 K, meV/Å")
        Console().print(table)
    better = all(row["selected"] < row["random"] for rows in found.values() for row in rows)
    write_results(
        "potentials.selection",
        {"weights": arguments.weights, "seed": SEED, "draws": DRAWS, **machine(), "before": before, "pools": found},
    )
    return int(not better)


if __name__ == "__main__":
    sys.exit(main())
