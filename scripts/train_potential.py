"""Train a potential from Python, as `sciml-zoo train` does: copy this file to build on it.

python scripts/train_potential.py mine.xyz --out runs/mine
"""

import argparse
import dataclasses
from pathlib import Path

from sciml_zoo.potentials.recipe import GTORecipe, prepare
from sciml_zoo.training import ProgressBar, Trainer, finish_best, read_recipe

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("train", help="structures with energies (eV) and forces (eV/Å), any format of ase.io")
parser.add_argument("--out", type=Path, required=True, help="run folder")
parser.add_argument("--recipe", type=Path, default=Path(__file__).parent / "recipes" / "gto_potential.yaml")
parser.add_argument("--steps", type=int, help="optimizer steps; default: the recipe's")
arguments = parser.parse_args()

recipe = read_recipe(GTORecipe, arguments.recipe, ["--data.train", arguments.train])
if arguments.steps:
    recipe = dataclasses.replace(recipe, trainer=dataclasses.replace(recipe.trainer, max_steps=arguments.steps))

prepared = prepare(recipe)
for name, text in prepared.notes.items():
    print(f"{name}: {text}")

trainer = Trainer(recipe.trainer, directory=arguments.out, callbacks=[ProgressBar()], recipe=prepared.recipe)
result = trainer.fit(prepared.task, recipe.optimizer, prepared.train, prepared.validation)
told = {"step": result.step, "epoch": result.epoch, "metrics": result.metrics, "seconds": result.seconds}
print(finish_best(arguments.out, prepared.finish, told))  # fits the uncertainty of the best model
print({name: round(value, 2) for name, value in result.metrics.items()})
print(f"load it: sciml_zoo.load_model('local-dir:{arguments.out / 'best'}')")
