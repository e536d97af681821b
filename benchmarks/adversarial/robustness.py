"""What adversarial training changes on the way to the decision boundary: distance, force, work, barrier.

    OMP_NUM_THREADS=1 python -m benchmarks.adversarial.robustness [--n 200] [--n-barriers 50]

Each adversarially trained network beside the standard one of the same shape, on the first test digits that both
classify rightly, in float64.

=====================  ==============================================================================================
``distance_…``         to the decision boundary, by the minimum-norm attacks
``line_…``             straight line to the closest boundary point in L2
``attack_…``           path of PGD in a ball of radius 1.5, up to where it first meets the boundary
``ball_…``             path of PGD in a ball of radius 0.5: what an attacker gains for a given radius
``barrier_…``          V(x) = −log Σ p² + (k/2)‖x − x_mid‖², k = 1, between the minima of a digit and its PGD twin, 1.5
``…_work``             W = ∫ ∇L·dx, in nats: the climb of the cross-entropy, on any path
``…_effort``           ∫ ‖∇L‖ ds, of which the work and the ``dissipation`` are the parts
``…_force``            effort / length, in nats per unit of distance
``…_length_per_nat``   length / work
=====================  ==============================================================================================

On the boundary the label shares its probability p with the class beyond: the cross-entropy there is −log p, which is
log 2 where no third class has a part, whatever the network. So the work from a digit to the boundary is close to log 2,
less the loss at the digit, and V at the saddle is close to log 2 and the spring's part. What training can raise without
such a limit is the distance over which that work is done; what it can lower is the force.

Medians and means over digits, with bootstrap intervals of 95 %; ratios are adversarial / standard, their intervals from
the same draws of digits for both networks. Within the ball many works are near zero, and a mean of ``length_per_nat``
is that of those. Ten minutes.
"""

import argparse
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sciml_zoo as sz
from benchmarks._results import machine, write_results
from sciml_zoo.adversarial.attacks.objective import margin
from sciml_zoo.adversarial.barriers import barrier
from sciml_zoo.adversarial.basins import basin_exit, boundary_crossing
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.line_integral import work
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.surveys import attacked
from sciml_zoo.adversarial.valley import ValleyPotential

SEED, RESAMPLES = 0, 10_000
PAIRS = {"gelu": ("standard_gelu", "adversarial_gelu"), "relu": ("standard_relu", "adversarial_relu")}
#: Barriers need a smooth network.
SMOOTH = ("gelu",)
RADIUS, FAR, STIFFNESS = 0.5, 1.5, 1.0
TOLERANCE = 1e-8
#: Whose ratio must lie above 1 with its whole interval.
MUST_RISE = ("distance_l2", "distance_linf", "line_work", "attack_work")


def way(name: str, model: nn.Module, labels: Tensor, path: Path) -> dict[str, Tensor]:
    """Returns what moving along paths costs, by quantity, [n] each."""
    found = work(LossPotential(model, labels, dtype=torch.float64), path, tolerance=TOLERANCE)
    effort = found.dissipation + found.delta_loss.abs()
    return {
        f"{name}_work": found.work,
        f"{name}_effort": effort,
        f"{name}_dissipation": found.dissipation,
        f"{name}_length": found.length,
        f"{name}_force": effort / found.length,
        f"{name}_length_per_nat": found.length / found.work,
        f"{name}_closure": found.relative_closure,
    }


def up_to_boundary(model: nn.Module, path: Path) -> Path:
    """Returns paths that stay where they first meet the decision boundary; NaN of those that never do."""
    crossing = boundary_crossing(model, path)
    steps = torch.linalg.vector_norm(path.steps.flatten(2), dim=2)
    reached = torch.cat([torch.zeros_like(steps[:1]), steps.cumsum(0)])
    inside = (reached < crossing.lengths)[(..., *[None] * (path.points.dim() - 2))]
    points = torch.where(inside, path.points, crossing.points)
    return Path(torch.cat([points, crossing.points[None]]), path.name)


def to_boundary(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Returns distances to the boundary and what the ways there and within a ball cost, by quantity, [n] each."""
    with torch.no_grad():
        logits = model(images)
    potential = LossPotential(model, labels, dtype=torch.float64)
    nearest = {p: attacked(model, images, labels, f"minnorm_{p}", seed=SEED) for p in ("l2", "linf")}
    inner, far = (attacked(model, images, labels, "pgd_l2", seed=SEED, epsilon=radius) for radius in (RADIUS, FAR))
    assert inner.success is not None
    met = up_to_boundary(model, far)
    known = met.end.flatten(1).isfinite().all(1).nonzero()[:, 0]
    along = way("attack", model, labels[known], met.select(known))
    missing = torch.full_like(logits[:, 0], torch.nan)
    return {
        "clean_loss": potential.value(images),
        "clean_margin": -margin(logits, labels),
        "distance_l2": nearest["l2"].norm(2.0),
        "distance_linf": nearest["linf"].norm(torch.inf),
        **way("line", model, labels, Path.straight(images, nearest["l2"].end)),
        **{name: missing.index_copy(0, known, values) for name, values in along.items()},
        **way("ball", model, labels, inner),
        "ball_fooled": inner.success.double(),
    }


def barriers(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Returns barriers between digits and their twins, by quantity, [n] each; NaN where none was found."""
    path = attacked(model, images, labels, "pgd_l2", seed=SEED, epsilon=FAR)
    valley = ValleyPotential(model, path.start, path.end, stiffness=STIFFNESS)
    loss = LossPotential(model, labels, dtype=torch.float64)
    found = barrier(valley, path.start, path.end, attack=path, loss=loss)
    assert found.loss_climbs is not None
    saddle = found.saddles.points
    nothing = torch.where(found.found, 0.0, torch.nan)
    quantities = {
        "barrier_forward": found.forward,
        "barrier_backward": found.backward,
        "barrier_minimum_to_saddle": torch.linalg.vector_norm((saddle - found.start.points).flatten(1), dim=1),
        "barrier_digit_to_saddle": torch.linalg.vector_norm((saddle - images).flatten(1), dim=1),
        "barrier_loss_at_saddle": loss.value(saddle.nan_to_num(0.0)) - loss.value(images),
        "barrier_loss_on_path": found.loss_climbs.path,
        "barrier_watershed": basin_exit(valley, path, bisections=10).distances,
    }
    return {name: values + nothing for name, values in quantities.items()}


def compared(standard: Tensor, trained: Tensor) -> dict[str, Any]:
    """Returns medians and means of both networks, over the digits that both have a figure of, and their ratios."""
    both = (standard.isfinite() & trained.isfinite()).nonzero()[:, 0]
    values = torch.stack([standard[both], trained[both]]).numpy()
    draws = np.random.default_rng(SEED).integers(len(both), size=(RESAMPLES, len(both)))
    found: dict[str, Any] = {"n": len(both), "larger": float((values[1] > values[0]).mean())}
    for statistic in (np.median, np.mean):
        here, resampled = statistic(values, axis=1), statistic(values[:, draws], axis=2)
        row = {
            "standard": float(here[0]),
            "standard_interval": _interval(resampled[0]),
            "adversarial": float(here[1]),
            "adversarial_interval": _interval(resampled[1]),
        }
        if (resampled > 0).all():
            row |= {"ratio": float(here[1] / here[0]), "ratio_interval": _interval(resampled[1] / resampled[0])}
        found[statistic.__name__] = row
    return found


def _interval(resampled: np.ndarray) -> list[float]:
    return np.quantile(resampled, (0.025, 0.975)).tolist()


def table(models: tuple[nn.Module, nn.Module], images: Tensor, labels: Tensor, n: int, n_barriers: int) -> Any:
    """Returns the comparison of a pair of networks by quantity; barriers, if any are wanted, of the first digits."""
    with torch.no_grad():
        right = torch.stack([model(images).argmax(1) == labels for model in models]).all(0)
    chosen = right.nonzero()[:n, 0]
    images, labels = images[chosen], labels[chosen]
    standard, trained = (to_boundary(model, images, labels) for model in models)
    closures = {
        name: [float(one.pop(name).nan_to_num(0.0).max()) for one in (standard, trained)]
        for name in list(standard)
        if name.endswith("_closure")
    }
    fooled = [float(one.pop("ball_fooled").mean()) for one in (standard, trained)]
    met = [float(one["attack_work"].isfinite().double().mean()) for one in (standard, trained)]
    if n_barriers:
        for model, rows in zip(models, (standard, trained), strict=True):
            rows.update(barriers(model, images[:n_barriers], labels[:n_barriers]))
    return {
        "digits": len(images),
        "fooled_in_the_ball": fooled,
        "attack_met_the_boundary": met,
        "largest_relative_closure": closures,
        "quantities": {name: compared(values, trained[name]) for name, values in standard.items()},
    }


def _show(kind: str, found: dict[str, Any]) -> None:
    print(f"\n{kind}: {found['digits']} digits, fooled within the ball {found['fooled_in_the_ball']}")
    for statistic in ("median", "mean"):
        print(f"{statistic:26}{'n':>5}{'standard':>11}{'adversarial':>13}{'ratio':>11}   95 %")
        for name, both in found["quantities"].items():
            row = both[statistic]
            figures = f"{both['n']:5}{row['standard']:11.4g}{row['adversarial']:13.4g}"
            if "ratio" in row:
                figures += f"{row['ratio']:11.3f}   {row['ratio_interval'][0]:.3f} to {row['ratio_interval'][1]:.3f}"
            print(f"{name:26}{figures}")
    print(flush=True)


def main() -> int:
    """Returns 0 where medians of distance and work to the boundary rise; prints a table for each pair, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="test digits that both networks classify rightly")
    parser.add_argument("--n-barriers", type=int, default=50, help="of them, those whose barriers are sought")
    parser.add_argument("--pairs", nargs="+", choices=list(PAIRS), default=list(PAIRS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_images("sklearn:digits/test")
    assert digits.labels is not None
    pairs, rises = {}, {}
    for kind in chosen.pairs:
        standard, trained = (sz.load_model(f"digits_cnn.{name}").double() for name in PAIRS[kind])
        n_barriers = chosen.n_barriers if kind in SMOOTH else 0
        pairs[kind] = table((standard, trained), digits.images.double(), digits.labels, chosen.n, n_barriers)
        quantities = pairs[kind]["quantities"]
        rises[kind] = {name: quantities[name]["median"].get("ratio_interval", [0.0])[0] > 1 for name in MUST_RISE}
        _show(kind, pairs[kind])
        print(f"{kind} rises: {rises[kind]}", flush=True)
    settings = {"radius": RADIUS, "far": FAR, "stiffness": STIFFNESS, "seed": SEED, "resamples": RESAMPLES}
    write_results("adversarial.robustness", {"settings": settings, **machine(), "rises": rises, "pairs": pairs})
    return int(not all(one for kind in rises.values() for one in kind.values()))


if __name__ == "__main__":
    sys.exit(main())
