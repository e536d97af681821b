"""The smallest perturbation found within a number of gradients, against the attacks of foolbox.

    python -m benchmarks.adversarial.minimum_norm [--weights …] [--budgets 100 1000] [--only ATTACK …] [--seed 0]

The first 300 test digits, the four shipped networks, float32, one thread. Foolbox runs in
``benchmarks/.venv-adversarial`` (made if it is missing or out of date) as ``_peers_minimum_norm.py`` says. What an
attack returns is judged here: wrong by the network's outputs, norm in float64, infinite where the class did not change;
the median is over all images. The gradients that each attack computed are counted per image. Of an attack with several
settings the best is shown, and all count. ``--only`` runs some attacks of foolbox and keeps the other rows of an
earlier run: Brendel–Bethge solves a problem for each image in each step, and takes longer than all others together.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sciml_zoo as sz
from benchmarks._results import machine, results_file, write_results
from benchmarks.adversarial._environment import export, run_peer
from sciml_zoo.adversarial import LabelledImages, load_images
from sciml_zoo.adversarial.attacks import minnorm_l2, minnorm_linf

WEIGHTS = tuple(f"digits_cnn.{kind}_{act}" for kind in ("standard", "adversarial") for act in ("gelu", "relu"))
NORMS = {"l2": (minnorm_l2, 2.0), "linf": (minnorm_linf, math.inf)}
OURS = "sciml_zoo"
IMAGES = 300
KEYS = ("weights", "norm", "budget", "attack", "setting")

Row = dict[str, Any]


def judged(model: nn.Module, digits: LabelledImages, found: Tensor, norm: str) -> Row:
    """Returns success and norms of what an attack returned."""
    assert digits.labels is not None
    with torch.no_grad():
        wrong = model(found).argmax(1) != digits.labels
    if not bool(((found >= 0) & (found <= 1)).all()):
        raise ValueError("an attack left the box")
    away = (found.double() - digits.images.double()).flatten(1)
    long = torch.linalg.vector_norm(away, ord=NORMS[norm][1], dim=1)
    return {
        "success": wrong.double().mean().item(),
        "median": torch.where(wrong, long, math.inf).quantile(0.5, interpolation="higher").item(),
        "mean_of_successes": long[wrong].mean().item(),
    }


def ours(model: nn.Module, digits: LabelledImages, norm: str, budget: int, seed: int) -> Row:
    """Returns the row of our attack."""
    attack = NORMS[norm][0]
    attack(model, digits.images[:10], digits.labels[:10], budget=10)
    generator = torch.Generator().manual_seed(seed)
    begun = time.perf_counter()
    path = attack(model, digits.images, digits.labels, budget=budget, generator=generator)
    seconds = time.perf_counter() - begun
    row = {"attack": OURS, "setting": "", "gradients": path.gradients, "seconds": seconds}
    return row | judged(model, digits, path.end, norm)


def peers(
    model: nn.Module, digits: LabelledImages, norm: str, budget: int, seed: int, only: list[str]
) -> tuple[list[Row], str]:
    """Returns the rows of foolbox's attacks, and its version."""
    assert digits.labels is not None
    with tempfile.TemporaryDirectory() as folder:
        program, images, out = (Path(folder) / name for name in ("model.pt2", "images.npz", "out.npz"))
        export(model, digits.images, program)
        np.savez(images, images=digits.images.numpy(), labels=digits.labels.numpy())
        options = ["--norm", norm, "--budget", str(budget), "--seed", str(seed), "--only", *only]
        run_peer("_peers_minimum_norm.py", program, images, out, *options)
        rows = []
        with np.load(out) as found:
            for name in (name for name in found.files if name.count("|") == 1):
                attack, setting = name.split("|")
                cost = {key: found[f"{name}|{key}"].item() for key in ("gradients", "seconds")}
                row = {"attack": attack, "setting": setting, **cost}
                rows.append(row | judged(model, digits, torch.from_numpy(found[name]), norm))
            return rows, str(found["version"])


def compared(rows: list[Row]) -> bool:
    """Returns whether ours is no worse than the best; prints the table of one network, norm and budget."""
    mine = next(row for row in rows if row["attack"] == OURS)
    others = sorted((row for row in rows if row is not mine), key=lambda row: row["median"])
    best = {row["attack"]: row for row in reversed(others)}
    passed = all(mine["median"] <= row["median"] and mine["success"] >= row["success"] for row in others)
    print(f"\n{mine['weights']}, {mine['norm']}, {mine['budget']} gradients: {'passed' if passed else 'FAILED'}")
    print("attack                  budget  used  success  median norm  seconds  setting")
    for row in [mine, *sorted(best.values(), key=lambda row: row["median"])]:
        counts = f"{row['budget']:6d}  {row['gradients']:4d}"
        found = f"{row['success']:7.3f}  {row['median']:11.4f}  {row['seconds']:7.1f}"
        print(f"{row['attack']:22s}  {counts}  {found}  {row['setting']}".rstrip())
    return passed


def written(rows: list[Row], seed: int, foolbox: str) -> None:
    """Writes the rows, with what they depend on."""
    about = {"images": IMAGES, "seed": seed, **machine(foolbox=foolbox)}
    write_results("adversarial.minimum_norm", {**about, "rows": [_finite(row) for row in rows]})


def _finite(row: Row) -> Row:
    """Returns the row to six decimals; null where a median is infinite."""
    rounded = {key: round(one, 6) if isinstance(one, float) and math.isfinite(one) else one for key, one in row.items()}
    return {key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in rounded.items()}


def earlier() -> tuple[list[Row], str]:
    """Returns the rows of an earlier run, if there is one, and the version of foolbox then."""
    file = results_file("adversarial.minimum_norm")
    if not file.is_file():
        return [], ""
    content = json.loads(file.read_text(encoding="utf-8"))
    rows = [{key: math.inf if one is None else one for key, one in row.items()} for row in content["rows"]]
    return rows, content["versions"]["foolbox"]


def main() -> int:
    """Returns 0 where ours is no worse than the best everywhere; prints the tables, writes the JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="*", default=WEIGHTS)
    parser.add_argument("--norms", nargs="*", default=tuple(NORMS), choices=NORMS)
    parser.add_argument("--budgets", nargs="*", type=int, default=(100, 1000))
    parser.add_argument("--only", nargs="*", default=[], help="attacks of foolbox; none: all")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    test = load_images("sklearn:digits/test")
    assert test.labels is not None
    digits = LabelledImages(test.images[:IMAGES], test.labels[:IMAGES])
    passed = True
    for budget in arguments.budgets:
        for name in arguments.weights:
            model = sz.load_model(name)
            for norm in arguments.norms:
                found, foolbox = peers(model, digits, norm, budget, arguments.seed, arguments.only)
                found.insert(0, ours(model, digits, norm, budget, arguments.seed))
                case = {"weights": name, "norm": norm, "budget": budget}
                # Read late: another run may have written meanwhile.
                kept = {tuple(row[key] for key in KEYS): row for row in earlier()[0]}
                kept |= {tuple((case | row)[key] for key in KEYS): case | row for row in found}
                written(list(kept.values()), arguments.seed, foolbox)
                passed &= compared([row for row in kept.values() if all(row[key] == case[key] for key in case)])
    return int(not passed)


if __name__ == "__main__":
    raise SystemExit(main())
