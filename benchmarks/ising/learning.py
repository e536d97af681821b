"""Exact maximum likelihood and pseudo-likelihood of pairwise models, through the recipes of the shipped weights.

    SCIML_ZOO_DATA=../shared/data python -m benchmarks.ising.learning

Entropy is in bits per sample: at the maximum of likelihood the cross-entropy of the samples is the entropy of the
pairwise model of greatest entropy. Couplings of the two fits are compared by the norm of their difference over that
of the likelihood's, over pairs that are 1 together in at least ten samples. A pair that never has one of its four joint
values has its coupling at infinity in either fit: it is listed with where training happened to leave it.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sciml_zoo.ising.inference import evaluate
from sciml_zoo.ising.metrics import divergent_pairs
from sciml_zoo.ising.model import BoltzmannMachine
from sciml_zoo.ising.observations import load_samples
from sciml_zoo.ising.recipe import BoltzmannRecipe, prepare
from sciml_zoo.training import Trainer, read_recipe

RECIPES = Path(__file__).parents[2] / "scripts" / "recipes"
#: Weights, and the entropies in bits that are to be reached within 2e-4.
TARGETS = {"scotus": 4.7298, "spikes15": 6.4727}
TOGETHER = 10


def fit(name: str, kind: str) -> tuple[BoltzmannMachine, str, float]:
    """Returns the machine, the reference of its samples, and the seconds of training."""
    recipe = read_recipe(BoltzmannRecipe, RECIPES / f"boltzmann_machine.{name}.yaml", ["--objective.kind", kind])
    prepared = prepare(recipe)
    start = time.perf_counter()
    Trainer(prepared.recipe.trainer).fit(prepared.task, recipe.optimizer, prepared.train, prepared.validation)
    return prepared.task.model, recipe.data.train, time.perf_counter() - start


def compare(name: str) -> dict[str, Any]:
    """Returns the figures of one data set."""
    machine, reference, seconds = fit(name, "exact_likelihood")
    pseudo, _, pseudo_seconds = fit(name, "pseudo_likelihood")
    samples = load_samples(reference)
    i, j = machine.edges.numpy()
    together = (samples.T @ samples)[i, j]
    seen = together >= TOGETHER
    w, w_pseudo = (m.couplings.detach().numpy() for m in (machine, pseudo))
    scores, pseudo_scores = evaluate(machine, reference), evaluate(pseudo, reference)
    index = {pair: k for k, pair in enumerate(zip(i.tolist(), j.tolist(), strict=True))}
    return {
        "samples": len(samples),
        "units": machine.n_visible,
        "entropy_bits": scores["bits"],
        "target_bits": TARGETS[name],
        "moment_error": scores["moment_error"],
        "seconds": seconds,
        "pseudo_likelihood": {
            "cross_entropy_bits": pseudo_scores["bits"],
            "couplings_relative_difference": float(np.linalg.norm((w_pseudo - w)[seen]) / np.linalg.norm(w[seen])),
            "pairs_compared": int(seen.sum()),
            "pairs": len(i),
            "seconds": pseudo_seconds,
        },
        "couplings_at_infinity": [
            {
                "units": [pair.i + 1, pair.j + 1],
                "never": list(pair.missing),
                "towards": "+inf" if pair.sign > 0 else "-inf",
                "left_at": float(w[index[pair.i, pair.j]]),
                "left_at_by_pseudo_likelihood": float(w_pseudo[index[pair.i, pair.j]]),
            }
            for pair in divergent_pairs(samples)
        ],
    }


def main() -> None:
    """Fits, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "learning.json")
    arguments = parser.parse_args()
    table = Table(
        "samples", "entropy, bits", "target", "moments", "pseudo-likelihood couplings", "at infinity", box=None
    )
    result: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    for name in TARGETS:
        found = result[name] = compare(name)
        pseudo = found["pseudo_likelihood"]
        infinite = ", ".join("–".join(map(str, pair["units"])) for pair in found["couplings_at_infinity"])
        table.add_row(
            name,
            f"{found['entropy_bits']:.6f}",
            f"{found['target_bits']:.4f} ± 2e-4",
            f"{found['moment_error']:.1e}",
            f"{pseudo['couplings_relative_difference']:.4f} over {pseudo['pairs_compared']} of {pseudo['pairs']} pairs",
            infinite or "none",
        )
    Console().print(table)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
