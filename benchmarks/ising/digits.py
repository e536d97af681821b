"""Test log-likelihood of binarised digits: our recipe against scikit-learn's BernoulliRBM with as many hidden units.

    python -m benchmarks.ising.digits

Both see the same 1293 training images; 144 more choose between BernoulliRBM's learning rates and lengths, and when ours
stops; 360 test images are scored once. With 16 hidden units log Z is an exact sum, with 64 it is estimated by annealed
importance sampling, for both with the same settings. The difference is that of paired test images, with its error.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from rich.console import Console
from rich.table import Table
from sklearn.neural_network import BernoulliRBM

from sciml_zoo.ising.metrics import LogPartition, best_log_partition
from sciml_zoo.ising.model import BoltzmannMachine, RBMConfig, RestrictedBoltzmannMachine
from sciml_zoo.ising.observations import load_samples
from sciml_zoo.ising.recipe import RBMRecipe, prepare
from sciml_zoo.training import Trainer, read_recipe

RECIPE = Path(__file__).parents[2] / "scripts" / "recipes" / "rbm.digits.yaml"
LEARNING_RATES = (0.0005, 0.001, 0.002, 0.005, 0.01)
ITERATIONS = (300, 1000, 3000, 10_000)
CHAINS, TEMPERATURES = 500, 10_000


def from_sklearn(rbm: BernoulliRBM) -> RestrictedBoltzmannMachine:
    """Returns the same machine, in float64."""
    n_hidden, n_visible = rbm.components_.shape
    machine = RestrictedBoltzmannMachine(RBMConfig(n_visible, n_hidden, "binary"))
    with torch.no_grad():
        machine.couplings.copy_(torch.from_numpy(rbm.components_.T))
        machine.fields.copy_(torch.from_numpy(np.concatenate([rbm.intercept_visible_, rbm.intercept_hidden_])))
    return machine


def log_likelihoods(machine: BoltzmannMachine, rows: np.ndarray, **settings: int) -> tuple[np.ndarray, LogPartition]:
    """Returns the log-likelihood of each row, nats, and log Z."""
    machine = machine.double()
    visible = machine.from_bits(torch.from_numpy(rows))
    partition = best_log_partition(machine, visible, limit=16, **settings)
    with torch.no_grad():
        return -machine.free_energy(visible).numpy() - partition.value, partition


def fit_ours(n_hidden: int, seed: int) -> tuple[BoltzmannMachine, np.ndarray, np.ndarray, float]:
    """Returns the best machine of the recipe, its training and validation images, and seconds."""
    overrides = ["--model.n_hidden", str(n_hidden), "--seed", str(seed), "--trainer.seed", str(seed)]
    prepared = prepare(read_recipe(RBMRecipe, RECIPE, overrides))
    start = time.perf_counter()
    result = Trainer(prepared.recipe.trainer).fit(
        prepared.task, prepared.recipe.optimizer, prepared.train, prepared.validation
    )
    train = torch.stack([pattern.visible for pattern in prepared.train]).double().numpy()
    validation = np.repeat(
        torch.stack([pattern.visible for pattern in prepared.validation]).double().numpy(),
        [int(pattern.times) for pattern in prepared.validation],
        axis=0,
    )
    machine = result.model
    assert isinstance(machine, BoltzmannMachine)
    return machine, train, validation, time.perf_counter() - start


def fit_sklearn(
    n_hidden: int, train: np.ndarray, validation: np.ndarray, seed: int
) -> tuple[BoltzmannMachine, list[dict[str, Any]], float]:
    """Returns the machine of the best validation log-likelihood over the grid, the grid, and the best one's seconds."""
    best: tuple[float, BoltzmannMachine, float] | None = None
    grid = []
    for learning_rate in LEARNING_RATES:
        for n_iter in ITERATIONS:
            start = time.perf_counter()
            rbm = BernoulliRBM(n_hidden, learning_rate=learning_rate, n_iter=n_iter, random_state=seed).fit(train)
            seconds = time.perf_counter() - start
            machine = from_sklearn(rbm)
            value = float(log_likelihoods(machine, validation, chains=200, temperatures=1000)[0].mean())
            grid.append({"learning_rate": learning_rate, "n_iter": n_iter, "validation": value, "seconds": seconds})
            if best is None or value > best[0]:
                best = (value, machine, seconds)
    assert best is not None
    return best[1], grid, best[2]


def compare(n_hidden: int, seed: int) -> dict[str, Any]:
    """Returns the figures for one number of hidden units."""
    test = load_samples("sklearn:digits/test")
    ours, train, validation, seconds = fit_ours(n_hidden, seed)
    theirs, grid, their_seconds = fit_sklearn(n_hidden, train, validation, seed)
    result: dict[str, Any] = {"grid_of_sklearn": grid}
    rows = {}
    for name, machine, took in (("sciml_zoo", ours, seconds), ("sklearn", theirs, their_seconds)):
        rows[name], partition = log_likelihoods(machine, test, chains=CHAINS, temperatures=TEMPERATURES, seed=seed)
        result[name] = {
            "test_log_likelihood": float(rows[name].mean()),
            "standard_error_of_test_images": float(rows[name].std(ddof=1) / np.sqrt(len(test))),
            "log_z": partition.value,
            "log_z_error": partition.error,
            "effective_sample_size": partition.effective_sample_size,
            "seconds": took,
        }
    difference = rows["sciml_zoo"] - rows["sklearn"]
    error = np.sqrt(
        difference.var(ddof=1) / len(test) + sum(result[name]["log_z_error"] ** 2 for name in ("sciml_zoo", "sklearn"))
    )
    return {**result, "difference": float(difference.mean()), "difference_error": float(error)}


def main() -> None:
    """Trains and scores, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "digits.json")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "seed": arguments.seed,
        "torch": torch.__version__,
        "sklearn": sklearn.__version__,
        "annealing": {"chains": CHAINS, "temperatures": TEMPERATURES},
    }
    table = Table("hidden units", "log Z", "sciml_zoo, nats per image", "BernoulliRBM", "difference", box=None)
    for n_hidden in arguments.hidden:
        found = result[f"hidden_{n_hidden}"] = compare(n_hidden, arguments.seed)
        exact = found["sklearn"]["effective_sample_size"] is None
        shown = [
            f"{found[name]['test_log_likelihood']:.3f} (log Z ± {found[name]['log_z_error']:.3f})"
            for name in ("sciml_zoo", "sklearn")
        ]
        difference = f"{found['difference']:+.3f} ± {found['difference_error']:.3f}"
        table.add_row(str(n_hidden), "exact" if exact else "annealed", *shown, difference)
    Console().print(table)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
