"""Train a forecaster from Python, as `sciml-zoo train` does: copy this file to build on it.

python scripts/train_emissions.py mine.csv --out runs/mine
"""

import argparse
import dataclasses
import json
from pathlib import Path

from sciml_zoo.emissions.recipe import ForecasterRecipe, prepare
from sciml_zoo.training import ProgressBar, Trainer, read_recipe

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("panel", help="CSV with company,year,emissions and optional unit,sector,country")
parser.add_argument("--out", type=Path, required=True, help="run folder")
parser.add_argument("--recipe", type=Path, default=Path(__file__).parent / "recipes" / "emissions_rnn.yaml")
parser.add_argument("--steps", type=int, help="optimizer steps; default: the recipe's")
arguments = parser.parse_args()

recipe = read_recipe(ForecasterRecipe, arguments.recipe, ["--data.panels", json.dumps([arguments.panel])])
if arguments.steps:
    recipe = dataclasses.replace(recipe, trainer=dataclasses.replace(recipe.trainer, max_steps=arguments.steps))

prepared = prepare(recipe)
for name, text in prepared.notes.items():
    print(f"{name}: {text}")

trainer = Trainer(recipe.trainer, directory=arguments.out, callbacks=[ProgressBar()], recipe=prepared.recipe)
result = trainer.fit(prepared.task, recipe.optimizer, prepared.train, prepared.validation)
print({name: round(value, 3) for name, value in result.metrics.items()})
print(f"load it: sciml_zoo.load_model('local-dir:{arguments.out / 'best'}')")
