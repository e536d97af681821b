"""Train one architecture on the sequences of the A. thaliana protocol, through the common trainer.

    python -m benchmarks.splicing.train spliceai_400 --seed 1 --out runs/spliceai_400.1

Data, windows, split, loss and number of bases are those of scripts/recipes/splice_rnn.athaliana.yaml for every
architecture (with the same seed, the same windows in the same order). The recurrent networks use its optimizer. The
SpliceAI architectures use AdamW with the rate that was best on the validation regions among those tried
(``python -m benchmarks.splicing.train --tune``), and backpropagation over the whole window.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from benchmarks.splicing.spliceai import SpliceAI, SpliceAIConfig
from sciml_zoo.splicing.model import SpliceLSTM, SpliceLSTMConfig, SpliceModel
from sciml_zoo.splicing.recipe import RNNRecipe, prepare
from sciml_zoo.splicing.task import SpliceTask
from sciml_zoo.training import ProgressBar, Trainer
from sciml_zoo.training.recipe import read_recipe

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "scripts" / "recipes" / "splice_rnn.athaliana.yaml"
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
    architecture: str, seed: int, out: Path, *, resume: bool = False, learning_rate: float | None = None
) -> float:
    """Trains one network, and returns its best score on the validation regions."""
    recipe = read_recipe(RNNRecipe, RECIPE, [f"--seed={seed}", f"--trainer.seed={seed}"])
    prepared = prepare(recipe)
    loss, optimizer, trainer = recipe.loss, recipe.optimizer, recipe.trainer
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
    arguments = parser.parse_args()
    best = train(
        arguments.architecture,
        arguments.seed,
        arguments.out,
        resume=arguments.resume,
        learning_rate=arguments.learning_rate,
    )
    print(f"{arguments.architecture}, seed {arguments.seed}: best ap on validation {best:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
