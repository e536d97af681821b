"""Train a classifier of images from Python, clean or adversarially, as `sciml-zoo train` does: copy it to build on it.

python scripts/train_adversarial.py mine.npz --attack l2 --epsilon 0.5 --out runs/mine

Other options are values of the recipe, such as --model.size 16 --model.n_classes 3.
"""

import argparse
import dataclasses
from pathlib import Path

from sciml_zoo.adversarial.recipe import prepare, recipe_type
from sciml_zoo.adversarial.threat import KINDS
from sciml_zoo.training import ProgressBar, Trainer, read_recipe
from sciml_zoo.training.recipe import read_architecture

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("train", help="images and labels: FILE.npz, FILE.csv, or sklearn:digits/train")
parser.add_argument("--out", type=Path, required=True, help="run folder")
parser.add_argument("--recipe", type=Path, default=Path(__file__).parent / "recipes" / "digits_cnn.yaml")
parser.add_argument("--attack", choices=KINDS, help="what it is trained against; default: the recipe's")
parser.add_argument("--epsilon", type=float, help="radius of the attack, pixels lying in [0, 1]; default: the recipe's")
parser.add_argument("--steps", type=int, help="optimizer steps; default: the recipe's")
arguments, others = parser.parse_known_args()

recipe = read_recipe(
    recipe_type(read_architecture(arguments.recipe)), arguments.recipe, ["--data.train", arguments.train, *others]
)
chosen = {"kind": arguments.attack, "epsilon": arguments.epsilon}
attack = dataclasses.replace(recipe.attack, **{key: value for key, value in chosen.items() if value is not None})
recipe = dataclasses.replace(recipe, attack=attack)
if arguments.steps:
    recipe = dataclasses.replace(recipe, trainer=dataclasses.replace(recipe.trainer, max_steps=arguments.steps))

prepared = prepare(recipe)
for name, text in prepared.notes.items():
    print(f"{name}: {text}")

trainer = Trainer(prepared.recipe.trainer, directory=arguments.out, callbacks=[ProgressBar()], recipe=prepared.recipe)
result = trainer.fit(prepared.task, prepared.recipe.optimizer, prepared.train, prepared.validation)
print({name: round(value, 4) for name, value in result.metrics.items()})

# A torch module, images [n, 1, s, s] → logits: the potential of an attack, sciml_zoo.adversarial.LossPotential.
print(f"load the classifier: sciml_zoo.load_model('local-dir:{arguments.out / 'best'}')")
