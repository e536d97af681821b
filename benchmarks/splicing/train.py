"""Train one architecture on the sequences of the A. thaliana protocol, through the common trainer.

    python -m benchmarks.splicing.train spliceai_400 --seed 1 --out runs/spliceai_400.1

Data, windows, split, loss and number of bases are those of scripts/recipes/splice_rnn.athaliana_teacher.yaml for every
architecture (with the same seed, the same windows). ``splice_rnn`` uses its optimizer, ``splice_lstm`` that of its own
recipe. The SpliceAI architectures use AdamW, and backpropagation over the whole window; their learning rate is the one
of 1e-3, 2e-3 and 5e-3 that was best on the validation regions in short trainings of ``spliceai_400`` (``--steps 300``).
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from benchmarks.splicing.spliceai import SpliceAI, SpliceAIConfig
from sciml_zoo.splicing.lstm import SpliceLSTM, SpliceLSTMConfig
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.recipe import RNNRecipe, prepare
from sciml_zoo.splicing.task import SpliceTask
from sciml_zoo.training import ProgressBar, Trainer
from sciml_zoo.training.recipe import OptimizerConfig, read_recipe

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "scripts" / "recipes" / "splice_rnn.athaliana_teacher.yaml"
ARCHITECTURES = ("splice_rnn", "splice_lstm", "spliceai_80", "spliceai_400")
#: Of the SpliceAI architectures.
LEARNING_RATE = 2e-3


def built(architecture: str, model: SpliceModel, seed: int) -> SpliceModel:
    """Returns the network of an architecture; that of the recipe is given."""
    torch.manual_seed(seed)
    if architecture == "splice_rnn":
        return model
    if architecture == "splice_lstm":
        return SpliceLSTM(SpliceLSTMConfig())
    return SpliceAI(SpliceAIConfig(int(architecture.rpartition("_")[2])))


def train(
    architecture: str,
    seed: int,
    out: Path,
    *,
    resume: bool = False,
    learning_rate: float | None = None,
    steps: int | None = None,
) -> float:
    """Returns the best score on the validation regions of a network that is trained here."""
    changes = [f"--seed={seed}", f"--trainer.seed={seed}"]
    if steps is not None:
        changes.append(f"--trainer.max_steps={steps}")
    recipe = read_recipe(RNNRecipe, RECIPE, changes)
    prepared = prepare(recipe)
    loss, optimizer, trainer = recipe.loss, recipe.optimizer, recipe.trainer
    if architecture != "splice_rnn":
        optimizer = OptimizerConfig("adamw", 5e-3, schedule="cosine", warmup_steps=50)
    if architecture.startswith("spliceai"):
        # The whole window is one step for a network without states: as many bases in each step as a segment has.
        per_step = recipe.loss.segment or recipe.data.window
        batch = trainer.batch_size * per_step // recipe.data.window
        loss = dataclasses.replace(loss, segment=None)
        optimizer = dataclasses.replace(optimizer, learning_rate=learning_rate or LEARNING_RATE)
        trainer = dataclasses.replace(trainer, batch_size=batch)
    task = SpliceTask(built(architecture, prepared.task.model, seed), loss)  # type: ignore[arg-type]
    runner = Trainer(trainer, directory=out, callbacks=[ProgressBar()])
    result = runner.fit(task, optimizer, prepared.train, prepared.validation, resume=resume)
    return result.best or 0.0


def main() -> int:
    """Returns 0; trains one network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", choices=ARCHITECTURES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--learning-rate", type=float, help="of a SpliceAI architecture, in place of the one chosen")
    parser.add_argument("--steps", type=int, help="in place of the recipe's")
    arguments = parser.parse_args()
    best = train(
        arguments.architecture,
        arguments.seed,
        arguments.out,
        resume=arguments.resume,
        learning_rate=arguments.learning_rate,
        steps=arguments.steps,
    )
    print(f"{arguments.architecture}, seed {arguments.seed}: best ap on validation {best:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
