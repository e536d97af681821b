"""Attacks of foolbox and torchattacks as paths: whether their work closes, and what recording them costs.

    python -m benchmarks.adversarial.recorders [--n 50] [--steps 20] [--repeats 9] [--seed 0]

The attacks run in ``benchmarks/.venv-adversarial`` as ``_peers_recorders.py`` says, in float64, on one thread, with our
recorder in place of the model; the nodes come back, and the work is integrated here. A path must end exactly where the
attack of the same seed ends without the recorder, and have a node for the clean image, each gradient after it and the
end; closures are parts of max(|ΔL|, 1e-3). Cost is the median of recorded over alone, of repeats that alternate.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sciml_zoo as sz
from benchmarks._results import machine, write_results
from benchmarks.adversarial._environment import export, run_peer
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.line_integral import work
from sciml_zoo.adversarial.path import Path as Trajectory
from sciml_zoo.adversarial.potential import LossPotential

#: Of max(|ΔL|, 1e-3), by weights.
ALLOWED = {"standard_gelu": 1e-8, "standard_relu": 1e-6}


def recorded(
    model: nn.Module, images: Tensor, labels: Tensor, options: dict[str, int]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns what the peers' script wrote, and the versions of both libraries."""
    with tempfile.TemporaryDirectory() as folder:
        program, given, out = (Path(folder) / name for name in ("model.pt2", "images.npz", "out.npz"))
        export(model, images, program)
        np.savez(given, images=images.numpy(), labels=labels.numpy())
        run_peer("_peers_recorders.py", program, given, out, *(f"--{key}={value}" for key, value in options.items()))
        with np.load(out) as found:
            written = dict(found)
    return written, {library: str(written.pop(library)) for library in ("foolbox", "torchattacks")}


def judged(
    name: str, found: dict[str, np.ndarray], potential: LossPotential, images: Tensor, steps: int
) -> dict[str, Any]:
    """Returns the figures of one attack."""
    library, attack, random = name.split("|")
    points = torch.from_numpy(found[name])
    assert potential.labels is not None
    with torch.no_grad():
        fooled = potential.outputs(points[-1]).argmax(1) != potential.labels
    done = work(potential, Trajectory(points, name))
    ratios = [one / other for one, other in zip(found[f"{name}|recorded"], found[f"{name}|alone"], strict=True)]
    # A random start is one node more: the first gradient is not that of the clean image.
    nodes = steps + 1 + (random == "True")
    return {
        "library": library,
        "attack": attack,
        "random_start": random == "True",
        "nodes": len(points),
        "as_expected": len(points) == nodes and bool((points[0] == images).all()),
        "same_end": bool((found[f"{name}|end"] == found[name][-1]).all()),
        "fooled": fooled.double().mean().item(),
        "largest_relative_closure": done.relative_closure.max().item(),
        "median_delta_loss": done.delta_loss.median().item(),
        "recorded_over_alone": statistics.median(ratios),
        "seconds_alone": statistics.median(found[f"{name}|alone"].tolist()),
    }


def main() -> int:
    """Returns 0 where all paths close, are complete and end alike; prints a table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50, help="test digits")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_images("sklearn:digits/test")
    assert digits.labels is not None
    images, labels = digits.images[: chosen.n].double(), digits.labels[: chosen.n]
    options = {key: getattr(chosen, key) for key in ("steps", "repeats", "seed")}
    models: dict[str, list[dict[str, Any]]] = {}
    versions: dict[str, str] = {}
    print("model          attack                     random  nodes  same end  fooled  closure  recorded / alone")
    for weights in ALLOWED:
        model = sz.load_model(f"digits_cnn.{weights}").double()
        found, versions = recorded(model, images, labels, options)
        potential = LossPotential(model, labels, dtype=torch.float64)
        models[weights] = []
        for name in (name for name in found if name.count("|") == 2):
            row = judged(name, found, potential, images, chosen.steps)
            models[weights].append(row)
            print(
                f"{weights:14s} {row['library'] + ' ' + row['attack']:26s} {row['random_start']!s:6s}  "
                f"{row['nodes']:5d}  {row['same_end']!s:8s}  {row['fooled']:6.2f}  "
                f"{row['largest_relative_closure']:.1e}  {row['recorded_over_alone']:.3f}",
                flush=True,
            )
    passed = all(
        row["largest_relative_closure"] <= ALLOWED[weights] and row["same_end"] and row["as_expected"]
        for weights, rows in models.items()
        for row in rows
    )
    content = {"n": chosen.n, **options, **machine(**versions), "allowed": ALLOWED, "passed": passed, "models": models}
    write_results("adversarial.recorders", content)
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
