"""Barriers between digits and their adversarial twins: ``python -m benchmarks.adversarial.saddles``.

Test digits in their order, attacked by PGD in an L2 ball. V(x) = −log Σ p² + (k/2)‖x − x_mid‖², k = 1; both ends are
relaxed to minima. Digits that the network misses, attacks that fail, and pairs that share one minimum are counted and
replaced by the next digits, until there are a hundred. A saddle counts as refined if ‖∇V‖ ≤ 1e-6 and just one
eigenvalue of the Hessian, which is computed whole, is negative.
"""

import argparse
import json
import time
from typing import Any

import torch
from torch import Tensor

import sciml_zoo as sz
from benchmarks._results import machine, write_results
from sciml_zoo.adversarial.attacks import pgd_l2
from sciml_zoo.adversarial.barriers import Barriers, barrier
from sciml_zoo.adversarial.basins import basin_exit, boundary_crossing
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.minima import relax_pairs
from sciml_zoo.adversarial.path import Path as Trajectory
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.valley import ValleyPotential

MODELS = ("standard_gelu", "adversarial_gelu")
STIFFNESS, EPSILON, STEPS = 1.0, 1.5, 40
GRADIENT = 1e-6
BATCH, SEED = 50, 0
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def main() -> None:
    """Writes ``results/saddles.json`` and prints what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100, help="pairs with distinct minima")
    parser.add_argument("--methods", nargs="+", default=["band", "string"], choices=["band", "string"])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_images("sklearn:digits/test")
    assert digits.labels is not None
    models: dict[str, Any] = {}
    for name in chosen.models:
        model = sz.load_model(f"digits_cnn.{name}").double()
        counts, labels, path = pairs(model, digits.images.double(), digits.labels, chosen.n)
        models[name] = {"counts": counts}
        heights = {}
        for method in chosen.methods:
            begun = time.perf_counter()
            valley = ValleyPotential(model, path.start, path.end, stiffness=STIFFNESS)
            loss = LossPotential(model, labels, dtype=torch.float64)
            found = barrier(valley, path.start, path.end, attack=path, loss=loss, method=method)
            heights[method] = found.forward
            models[name][method] = summary(found) | {"seconds": time.perf_counter() - begun}
            print(name, method, json.dumps(models[name][method], indent=1), flush=True)
        if len(heights) == 2:
            apart = (heights["band"] - heights["string"]).abs()
            models[name]["methods_apart"] = {"max": apart.max().item(), "above_1e-6": int((apart > 1e-6).sum())}
        models[name]["borders"] = borders(model, path)
        print(name, json.dumps({key: models[name][key] for key in ("counts", "borders")}), flush=True)
    content = {
        "settings": {"stiffness": STIFFNESS, "attack": "pgd_l2", "epsilon": EPSILON, "steps": STEPS, "seed": SEED},
        "models": models,
        **machine(),
    }
    write_results("adversarial.saddles", content)


def pairs(
    model: torch.nn.Module, images: Tensor, labels: Tensor, wanted: int
) -> tuple[dict[str, int], Tensor, Trajectory]:
    """Returns counts of what was tried, and the labels and paths of the first pairs with distinct minima."""
    counts = dict.fromkeys(("tried", "missed", "attack_failed", "shared", "not_relaxed"), 0)
    generator = torch.Generator().manual_seed(SEED)
    kept: list[tuple[Tensor, Tensor]] = []
    for image, label in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        path = pgd_l2(model, image, label, epsilon=EPSILON, steps=STEPS, generator=generator)
        right = model(image).argmax(1) == label
        assert path.success is not None
        valley = ValleyPotential(model, path.start, path.end, stiffness=STIFFNESS)
        start, end, distinct = relax_pairs(valley, path.start, path.end)
        rows, relaxed = right & path.success, start.converged & end.converged
        counts["tried"] += len(image)
        counts["missed"] += int((~right).sum())
        counts["attack_failed"] += int((right & ~path.success).sum())
        counts["not_relaxed"] += int((rows & ~relaxed).sum())
        counts["shared"] += int((rows & relaxed & ~distinct).sum())
        chosen = (rows & distinct).nonzero()[:, 0]
        kept.append((label[chosen], path.points[:, chosen]))
        if sum(len(part) for part, _ in kept) >= wanted:
            break
    points = torch.cat([part for _, part in kept], 1)[:, :wanted]
    return counts | {"pairs": points.shape[1]}, torch.cat([part for part, _ in kept])[:wanted], Trajectory(points)


def summary(found: Barriers) -> dict[str, Any]:
    """Returns the figures of barriers, all of whose pairs are distinct."""
    saddles = found.saddles
    refined = (saddles.gradient_norms <= GRADIENT) & ((saddles.eigenvalues < 0).sum(1) == 1)
    return {
        "pairs": len(refined),
        "distinct": int(found.distinct.sum()),
        "refined": int(refined.sum()),
        "connected": int(found.connected.sum()),
        "above_line": int((found.saddles.values > found.line_maximum + 1e-9).sum()),
        "found": int(found.found.sum()),
        "links": torch.bincount(found.links).tolist(),
        "largest_gradient_norm": saddles.gradient_norms.max().item(),
        "lowest_eigenvalue": quantiles(saddles.eigenvalues[:, 0]),
        "second_eigenvalue": quantiles(saddles.eigenvalues[:, 1]),
        "forward": quantiles(found.forward),
        "backward": quantiles(found.backward),
        "line_over_forward": quantiles(found.climbs.line / found.forward),
        "attack_over_forward": quantiles(found.climbs.attack / found.forward),
        "loss_climbs": {way: quantiles(getattr(found.loss_climbs, way)) for way in ("line", "attack", "path")},
        "path_length_over_line": quantiles(found.path.length() / found.path.norm()),
        "gradients_per_pair": quantiles(found.gradients.double()),
    }


def borders(model: torch.nn.Module, path: Trajectory) -> dict[str, Any]:
    """Returns where attacks cross the decision boundary, and where they leave the basin of attraction."""
    valley = ValleyPotential(model, path.start, path.end, stiffness=STIFFNESS)
    boundary, watershed = boundary_crossing(model, path), basin_exit(valley, path, bisections=10)
    return {
        "boundary_crossed": int(boundary.crossed.sum()),
        "basin_left": int(watershed.crossed.sum()),
        "boundary_distance": quantiles(boundary.distances[boundary.crossed]),
        "basin_distance": quantiles(watershed.distances[watershed.crossed]),
    }


def quantiles(values: Tensor) -> dict[str, float]:
    """Returns quantiles by name, of the values that are not NaN."""
    known = values[~values.isnan()]
    found = known.quantile(torch.tensor(QUANTILES, dtype=known.dtype)).tolist()
    return {f"{level:.0%}": value for level, value in zip(QUANTILES, found, strict=True)}


if __name__ == "__main__":
    main()
