"""What the common trainer costs beyond a bare PyTorch loop that does the same mathematics.

Both train the GTO potential of the shipped ethanol recipe, energies and forces, on the same batches in the same order,
with AdamW, gradient clipping and an exponential moving average. They alternate step by step in one process, so that
other load on the machine slows both; times are summed over blocks of 20 steps, each with one line of the log, and the
median of the ratios is reported.

    OMP_NUM_THREADS=1 python -m benchmarks.training.overhead [--blocks 30]
"""

import argparse
import copy
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning_fabric
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sciml_zoo.potentials import GTOConfig
from sciml_zoo.potentials.recipe import DataConfig, GTORecipe, prepare
from sciml_zoo.potentials.task import LossConfig, PotentialTask
from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig
from sciml_zoo.training.order import DataOrder
from sciml_zoo.training.state import derived_seed

BATCH = 5
BLOCK = 20
SAME = 10  # after so many steps both have the same weights; later, rounding grows as it does in any training
CLIP = 1.0
DECAY = 0.99
OPTIMIZER = OptimizerConfig(name="adamw", learning_rate=1e-3)


def bare_loop(task: PotentialTask, samples: list[Any], seed: int) -> Iterator[None]:
    """Takes a step of the same training, written by hand, each time it is asked to go on.

    Args:
        task: holds the model.
        samples: of the training.
        seed: of the order.

    Yields:
        After each step.
    """
    model = task.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=OPTIMIZER.learning_rate, weight_decay=0.0)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    order = DataOrder(len(samples), BATCH, derived_seed(seed, "order"))
    while True:
        batch = task.collate([samples[index] for index in order.batch()])
        optimizer.zero_grad(set_to_none=True)
        next(iter(task.steps(batch))).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        average.update_parameters(model)
        order.advance()
        yield


class Alternation:
    """Takes a step of the bare loop after each step of the trainer, and times both."""

    def __init__(self, bare: Iterator[None], models: tuple[nn.Module, nn.Module]) -> None:
        self._bare = bare
        self._models = models
        self.bare_times: list[float] = []
        self.trainer_times: list[float] = []

    def on_fit_start(self, trainer: Trainer, state: Any) -> None:
        """Starts the clock.

        Args:
            trainer: not used.
            state: not used.
        """
        self._returned = time.perf_counter()

    def on_step_end(self, record: Any) -> None:
        """Times the trainer's step that is over and the bare one.

        Args:
            record: says which step that was.
        """
        entered = time.perf_counter()
        next(self._bare)
        middle = time.perf_counter()
        self.trainer_times.append(entered - self._returned)
        self.bare_times.append(middle - entered)
        if record.step == SAME:
            for one, other in zip(*(model.parameters() for model in self._models), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        self._returned = time.perf_counter()


def main() -> None:
    """Runs the comparison, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "overhead.json")
    arguments = parser.parse_args()
    recipe = GTORecipe(
        "gto_potential",
        DataConfig("dataset:samples/ethanol_nms.xyz"),
        seed=arguments.seed,
        model=GTOConfig(cutoff=5.0),
        loss=LossConfig(kind="squared"),
    )
    prepared = prepare(recipe)
    model, samples = prepared.task.model, prepared.train

    tasks = [PotentialTask(copy.deepcopy(model), recipe.loss) for _ in range(2)]
    steps = BLOCK * (arguments.blocks + 1)  # the first block warms up
    config = TrainerConfig(
        max_steps=steps,
        batch_size=BATCH,
        seed=arguments.seed,
        clip_norm=CLIP,
        ema_decay=DECAY,
        log_every=BLOCK,
        accelerator="cpu",
    )
    alternation = Alternation(bare_loop(tasks[0], samples, arguments.seed), (tasks[0].model, tasks[1].model))
    with tempfile.TemporaryDirectory() as directory:
        Trainer(config, directory=Path(directory), callbacks=[alternation]).fit(tasks[1], OPTIMIZER, samples)

    bare, trainer = (
        [sum(times[start : start + BLOCK]) for start in range(BLOCK, steps, BLOCK)]
        for times in (alternation.bare_times, alternation.trainer_times)
    )
    ratios = [theirs / ours for ours, theirs in zip(bare, trainer, strict=True)]
    result = {
        "bare_ms_per_step": 1e3 * statistics.median(bare) / BLOCK,
        "trainer_ms_per_step": 1e3 * statistics.median(trainer) / BLOCK,
        "overhead_percent": 100 * (statistics.median(ratios) - 1),
        "overhead_percent_quartiles": [100 * (q - 1) for q in statistics.quantiles(ratios, n=4)],
        "blocks": arguments.blocks,
        "steps_per_block": BLOCK,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seed": arguments.seed,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "lightning_fabric": lightning_fabric.__version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    table = Table("loop", "ms a step", "overhead")
    table.add_row("bare PyTorch", f"{result['bare_ms_per_step']:.2f}", "")
    table.add_row("sciml_zoo", f"{result['trainer_ms_per_step']:.2f}", f"{result['overhead_percent']:+.1f} %")
    Console().print(table)


if __name__ == "__main__":
    main()
