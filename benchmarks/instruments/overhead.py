"""What instruments cost as callbacks of the common trainer, on the zoo's GTO potential and splice network.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.overhead [--seconds 90]

Both networks are trained by their recipes with two callbacks of default cadence (``Recurring``): signal propagation
through the network, and the largest eigenvalue of the loss's Hessian on one batch, with ten products. The overhead is
the time in both callbacks over the rest of the training's time; each stops after a while, or at the recipe's end.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks._results import machine, write_results
from sciml_zoo.instruments import curvature, signal
from sciml_zoo.instruments.callback import Recurring
from sciml_zoo.potentials import recipe as potentials
from sciml_zoo.splicing import recipe as splicing
from sciml_zoo.training import Trainer, read_recipe
from sciml_zoo.training.recipe import read_architecture

ALLOWED = 0.05
PRODUCTS = 10
RECIPES = Path(__file__).parents[2] / "scripts" / "recipes"
NETWORKS = {
    "gto_potential": (potentials, "gto_potential.yaml", ["--data.train", "dataset:samples/ethanol_nms.xyz"]),
    "splice_rnn": (splicing, "splice_rnn.uci.yaml", []),
}


class _Clock:
    """Ends the training after some seconds, and knows how long it took."""

    def __init__(self, seconds: float) -> None:
        self.allowed, self.passed, self.steps = seconds, 0.0, 0

    def on_fit_start(self, trainer: Trainer, state: Any) -> None:
        self._trainer, self._begun = trainer, time.perf_counter()

    def on_step_end(self, record: Any) -> None:
        self.passed, self.steps = time.perf_counter() - self._begun, record.step
        if self.passed > self.allowed:
            self._trainer.request_stop()


def overhead(name: str, seconds: float) -> dict[str, Any]:
    """Trains a network for a while, and returns what the callbacks took.

    Args:
        name: of the architecture.
        seconds: of training.

    Returns:
        Steps, seconds, measurements and the overhead.
    """
    domain, file, changes = NETWORKS[name]
    path = RECIPES / file
    recipe = read_recipe(domain.recipe_type(read_architecture(path)), path, changes)
    prepared = domain.prepare(recipe)
    task = prepared.task
    batch = task.collate(prepared.train[:4])

    def loss(model: nn.Module) -> Tensor:
        # The task holds the model: the instrument gives it other parameters of the same module.
        kept, task.model = task.model, model
        try:
            return next(iter(task.steps(batch))).loss
        finally:
            task.model = kept

    watches = {
        "signal": Recurring(lambda model: signal.measure(model, model.example_inputs(), draws=1)),
        "curvature": Recurring(
            lambda model: curvature.measure(model, loss, top=1, bottom=0, density=False, max_products=PRODUCTS)
        ),
    }
    clock = _Clock(seconds)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe.trainer, directory=Path(folder), callbacks=[*watches.values(), clock])
        trainer.fit(task, recipe.optimizer, prepared.train, prepared.validation)
    spent = sum(watch.seconds for watch in watches.values())
    return {
        "steps": clock.steps,
        "seconds": clock.passed,
        "measurements": {key: len(watch.records) for key, watch in watches.items()},
        "seconds_of": {key: watch.seconds for key, watch in watches.items()},
        "last": {key: watch.records[-1][1].to_dict() for key, watch in watches.items() if watch.records},
        "overhead": spent / (clock.passed - spent),
    }


def main() -> int:
    """Returns 0 where the overhead is small on both; prints a table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90.0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    networks = {}
    for name in NETWORKS:
        found = overhead(name, chosen.seconds)
        networks[name] = found
        taken = ", ".join(f"{count} × {key}" for key, count in found["measurements"].items())
        print(f"{name:15} {found['steps']} steps, {found['seconds']:.0f} s: {taken}: {100 * found['overhead']:.1f} %")
    passed = all(row["overhead"] <= ALLOWED and all(row["measurements"].values()) for row in networks.values())
    content = {"allowed": ALLOWED, "seconds": chosen.seconds, **machine(), "networks": networks, "passed": passed}
    write_results("instruments.overhead", content)
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
