"""Put a trained checkpoint on the shelf: score it, write its card, and add its row to the manifest.

python scripts/ship_weights.py gto_potential.rmd17_ethanol runs/rmd17_ethanol

What the card says beyond measurements stands in scripts/cards/<name>.yaml; every figure is measured here, by the same
functions as `sciml-zoo evaluate`. A measurement there may name a `file` in its domain's own notation, in place of the
catalogue's file `dataset`, `options` of that command, and `decimals` (3) of its figures.
"""

import argparse
import shutil
import sys
from pathlib import Path

import torch
import yaml

from sciml_zoo._files import staged_directory, write_atomically
from sciml_zoo.datasets import referenced_file
from sciml_zoo.errors import InputError
from sciml_zoo.zoo.card import model_card
from sciml_zoo.zoo.checkpoint import load_checkpoint
from sciml_zoo.zoo.frozen import parse_object
from sciml_zoo.zoo.layout import CONFIG, FILES, README
from sciml_zoo.zoo.manifest import MANIFEST_PATH, weights_row, write_row
from sciml_zoo.zoo.registry import get_architecture, load_domain
from sciml_zoo.zoo.verify import verify

_REPOSITORY = Path(__file__).resolve().parents[1]
_DECIMALS = 3
_LARGEST = 5_000_000  # bytes; larger weights belong on a server


def measure(model: torch.nn.Module, card: dict, name: str, seed: int) -> list[dict]:
    """Returns the metrics that the card lists, measured on its data sets, with their commands."""
    domain = load_domain(get_architecture(str(model.architecture)).domain)
    metrics = []
    for test in card["measured"]:
        file = test.get("file") or referenced_file(f"dataset:{test['dataset']}")
        scores = domain.evaluate(model, file, **test.get("options", {}))
        for metric, unit in test["metrics"].items():
            command = f"sciml-zoo evaluate {name} {test['shown_as']}"
            value = round(float(scores[metric]), test.get("decimals", _DECIMALS))
            row = {"dataset": test["dataset"], "name": metric, "value": value, "unit": unit}
            metrics.append({**row, "seed": seed, "command": command})
            print(f"{test['dataset']}: {metric} {value} {unit}")
    return metrics


def main() -> int:
    """Returns the exit status of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="weights name, <architecture>.<what it was trained on>")
    parser.add_argument("run", type=Path, help="run folder; its best/ is shipped")
    arguments = parser.parse_args()
    recipe = f"scripts/recipes/{arguments.name}.yaml"
    card = yaml.safe_load((_REPOSITORY / "scripts" / "cards" / f"{arguments.name}.yaml").read_text(encoding="utf-8"))
    seed = yaml.safe_load((arguments.run / "recipe.yaml").read_text(encoding="utf-8"))["seed"]
    source = arguments.run / "best"
    size = sum((source / file).stat().st_size for file in FILES)
    if size > _LARGEST:
        raise InputError(f"{source}: {size} bytes, but shipped weights must stay below {_LARGEST}")
    model = load_checkpoint(source)
    fields = {
        "summary": card["summary"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "licence": card["licence"],
        "data": card["data"],
        "metrics": measure(model, card, arguments.name, seed),
        "command": f"sciml-zoo train {recipe} --out {arguments.run}",
        "recipe": recipe,
        "domain_of_validity": card["domain_of_validity"],
        "known_failures": card["known_failures"],
        "citation": card["citation"],
    }
    shelf = MANIFEST_PATH.parent / "weights" / arguments.name
    shelf.parent.mkdir(exist_ok=True)
    with staged_directory(shelf) as staged:
        for file in FILES:
            shutil.copyfile(source / file, staged / file)
        row = weights_row(staged, name=arguments.name, **fields)
        config = parse_object((staged / CONFIG).read_bytes(), CONFIG)
        write_atomically(staged / README, model_card(config, row))
        row = weights_row(staged, name=arguments.name, **fields)
    write_row(MANIFEST_PATH, row)
    report = verify(arguments.name)
    print(f"shipped {arguments.name}: {size / 1e6:.2f} MB, verified to {report.max_abs_error:.2g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
