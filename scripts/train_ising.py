"""Train a Boltzmann machine from Python, as `sciml-zoo train` does: copy this file to build on it.

python scripts/train_ising.py mine.txt --out runs/mine
"""

import argparse
import dataclasses
from pathlib import Path

from sciml_zoo.ising.recipe import prepare, recipe_type
from sciml_zoo.training import ProgressBar, Trainer, read_recipe
from sciml_zoo.training.recipe import read_architecture

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("train", help="0/1 samples, one a line; dataset:NAME/FILE; or sklearn:digits/train")
parser.add_argument("--out", type=Path, required=True, help="run folder")
parser.add_argument("--recipe", type=Path, default=Path(__file__).parent / "recipes" / "boltzmann_machine.yaml")
parser.add_argument("--steps", type=int, help="optimizer steps; default: the recipe's")
arguments = parser.parse_args()

recipe = read_recipe(
    recipe_type(read_architecture(arguments.recipe)), arguments.recipe, ["--data.train", arguments.train]
)
if arguments.steps:
    recipe = dataclasses.replace(recipe, trainer=dataclasses.replace(recipe.trainer, max_steps=arguments.steps))

prepared = prepare(recipe)
for name, text in prepared.notes.items():
    print(f"{name}: {text}")

# What was derived from the samples (one batch of all distinct ones, for instance) stands in prepared.recipe.
trainer = Trainer(prepared.recipe.trainer, directory=arguments.out, callbacks=[ProgressBar()], recipe=prepared.recipe)
result = trainer.fit(prepared.task, prepared.recipe.optimizer, prepared.train, prepared.validation)
print({name: round(value, 4) for name, value in result.metrics.items()})

machine = result.model
model = machine.to_ising()  # an IsingModel at β = 1: sample it, find its ground state, enumerate it
print(f"{model!r}; load the machine: sciml_zoo.load_model('local-dir:{arguments.out / 'best'}')")
