"""What a record of an attack costs beside the attack alone, and what a closure costs in gradients.

    OMP_NUM_THREADS=1 python -m benchmarks.adversarial.cost [--n 100] [--n-integrated 20]

**Recording.** Each attack with its default settings on test digits, with the record of its iterates and with one that
keeps only a reference to the latest; the arithmetic is the same, and the last iterates are compared bit by bit. Attacks
that return their best iterate would have to keep it without a record, which this one does not: their ratios are upper
bounds. (The minimum-norm search carries the numbers of its nodes in both.) Both take turns in one process, the order
alternating, so that other load slows both. Reported is the median of the ratios, with the order statistics that cover
it with 95 %; judged is CPU time, since the wall clock also counts what else the machine does. Memory is the room for
all iterates and the path that is taken from it; both exist at the end, and the path alone stays. PGD stands beside the
one that training uses too, which draws a random start, keeps no best iterate and computes no margins.

**Integration.** Work along the paths of other digits, in float64: gradients, values without one (which find the kinks
of a ReLU network) and panels for each segment, and the largest closure as a part of max(|ΔL|, 1e-3). Half an hour.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from scipy.stats import binom
from torch import Tensor, nn

import sciml_zoo as sz
from benchmarks._results import machine, write_results
from sciml_zoo.adversarial.attacks import ATTACKS
from sciml_zoo.adversarial.attacks.recording import Recording
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.line_integral import work
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.surveys import attacked
from sciml_zoo.adversarial.threat import Threat, strongest

SEED = 0
MODELS = ("standard_gelu", "standard_relu")
TYPES = {"float32": torch.float32, "float64": torch.float64}
#: Of the attack alone.
ALLOWED = 1.1
#: Fewer pairs have no interval of 95 %.
LEAST_PAIRS, MOST_PAIRS = 6, 100
TOLERANCES = (1e-4, 1e-6, 1e-9, 1e-11)
#: Attacks of training with the default radius and steps of the recorded ones.
UNRECORDED = {"pgd_l2": Threat("l2", epsilon=1.0, steps=40), "pgd_linf": Threat("linf", epsilon=0.1, steps=40)}


class Latest:
    """Takes the place of a recording, and keeps nothing but a reference to the latest points.

    Args:
        start: the clean inputs, [batch, ...].
        _: the capacity, for which no room is made.
    """

    def __init__(self, start: Tensor, _: int) -> None:
        self.points, self.last = start, 0

    def add(self, points: Tensor, _: Tensor | None = None) -> None:
        """Notes where the latest points, [batch, ...], are."""
        self.points, self.last = points, self.last + 1

    def route(self, *_: Any) -> "Latest":
        """Returns itself in place of a path."""
        return self


class Watched(Recording):
    """A recording that says what room it took, and where the attack was last.

    Args:
        start: the clean inputs, [batch, ...].
        capacity: how many nodes may follow.
    """

    def __init__(self, start: Tensor, capacity: int) -> None:
        super().__init__(start, capacity)
        nodes_before = torch.iinfo(torch.int64).bits // 8 * len(start)
        self.latest, self.room = start, (capacity + 1) * (start.nbytes + nodes_before)

    def add(self, points: Tensor, before: Tensor | None = None) -> None:
        """Adds a node; arguments as for a recording."""
        super().add(points, before)
        self.latest = points


def patched(attack: str, kind: Callable[[Tensor, int], Any]) -> Any:
    """Returns a context in which an attack records with another class."""
    return patch.object(sys.modules[ATTACKS[attack].__module__], "Recording", kind)


def turns(first: Callable[[], Any], second: Callable[[], Any], seconds: float) -> dict[str, Any]:
    """Returns how long two calls take in turns, which both have been made before, and the ratio of first to second."""
    clocks = {"wall": time.perf_counter, "cpu": time.process_time}
    spent: dict[str, list[tuple[float, float]]] = {clock: [] for clock in clocks}
    begun = time.perf_counter()
    for pair in range(MOST_PAIRS):
        if pair >= LEAST_PAIRS and time.perf_counter() - begun > seconds:
            break
        taken = {}
        for which, call in ((0, first), (1, second))[:: 1 if pair % 2 else -1]:
            before = [read() for read in clocks.values()]
            call()
            taken[which] = [read() - then for read, then in zip(clocks.values(), before, strict=True)]
        for clock, one, other in zip(clocks, taken[0], taken[1], strict=True):
            spent[clock].append((one, other))
    found: dict[str, Any] = {"pairs": len(spent["wall"])}
    for clock, times in spent.items():
        found[f"{clock}_seconds"] = [statistics.median(column) for column in zip(*times, strict=True)]
        found[f"{clock}_ratio"] = median([one / other for one, other in times])
    return found


def median(values: list[float]) -> dict[str, float]:
    """Returns the median, and the order statistics that cover it with at least 95 %."""
    rank = int(binom.ppf(0.025, len(values), 0.5))
    ordered = sorted(values)
    return {"median": statistics.median(values), "low": ordered[rank - 1], "high": ordered[-rank]}


def recorded(model: nn.Module, images: Tensor, labels: Tensor, attack: str, seconds: float) -> dict[str, Any]:
    """Returns what the record of an attack costs in time and memory, and whether it ends where it does without one."""

    def run() -> Any:
        return attacked(model, images, labels, attack, seed=SEED)

    def alone() -> Any:
        with patched(attack, Latest):
            return run()

    kept: list[Watched] = []

    def watched(start: Tensor, capacity: int) -> Watched:
        kept.append(Watched(start, capacity))
        return kept[-1]

    with patched(attack, watched):
        path = run()
    (track,) = kept
    elsewhere = (path.end != track.latest).flatten(1).any(1)
    return {
        **turns(run, alone, seconds),
        "nodes": len(path.points),
        "last_iterates_equal": torch.equal(track.latest, alone().points),
        "returned_an_earlier_iterate": int(elsewhere.sum()),
        "room_bytes": track.room,
        "path_bytes": path.points.nbytes,
        "bytes_of_a_node": images.nbytes,
    }


def unrecorded(model: nn.Module, images: Tensor, labels: Tensor, attack: str, seconds: float) -> dict[str, Any]:
    """Returns what a recorded attack costs beside the one of training, and how many digits each fools."""

    def ours() -> Path:
        return attacked(model, images, labels, attack, seed=SEED)

    def training() -> Tensor:
        return strongest(model, images, labels, UNRECORDED[attack], torch.Generator().manual_seed(SEED))

    with torch.no_grad():
        fooled = [float((model(end).argmax(1) != labels).double().mean()) for end in (ours().end, training())]
    return {**turns(ours, training, seconds), "fooled": fooled}


def integrated(model: nn.Module, images: Tensor, labels: Tensor, attack: str) -> dict[str, Any]:
    """Returns what the work along an attack's paths costs for each segment and how well it closes, by tolerance."""
    path = attacked(model, images, labels, attack, seed=SEED)
    found = {}
    for tolerance in TOLERANCES:
        potential = LossPotential(model, labels, dtype=torch.float64)
        begun = time.perf_counter()
        one = work(potential, path, tolerance=tolerance)
        segments = one.segments.clamp_min(1)
        found[f"{tolerance:g}"] = {
            "gradients_per_segment": float((one.gradients / segments).mean()),
            "panels_per_segment": float((one.panels / segments).mean()),
            "values_per_segment": potential.evaluations / int(segments.sum()),
            "largest_relative_closure": float(one.relative_closure.max()),
            "median_relative_closure": float(one.relative_closure.median()),
            "seconds": time.perf_counter() - begun,
        }
    return {"segments": float(one.segments.double().mean()), "attack_gradients": path.gradients, "tolerances": found}


def _show(name: str, attack: str, row: dict[str, Any]) -> None:
    ratios = "; ".join(
        f"{clock} {one['median']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
        for clock, one in ((clock, row[f"{clock}_ratio"]) for clock in ("wall", "cpu"))
    )
    print(f"{name} {attack:12} {ratios}, {row['pairs']} pairs", flush=True)


def _show_integral(name: str, attack: str, row: dict[str, Any]) -> None:
    for tolerance, one in row["tolerances"].items():
        print(
            f"{name} {attack:12} tolerance {tolerance:5}: {one['gradients_per_segment']:.1f} gradients, "
            f"{one['values_per_segment']:.1f} values, {one['panels_per_segment']:.1f} panels a segment; "
            f"closure {one['largest_relative_closure']:.1e}",
            flush=True,
        )


def main() -> int:
    """Returns 0 where every record costs at most a tenth of its attack's CPU time; prints tables, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100, help="test digits attacked with and without a record")
    parser.add_argument("--n-integrated", type=int, default=20, help="test digits along whose paths work is integrated")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each ratio, at least; no fewer than six pairs")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--attacks", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_images("sklearn:digits/test")
    assert digits.labels is not None
    some = torch.randperm(len(digits.labels), generator=torch.Generator().manual_seed(SEED))[: chosen.n_integrated]
    models: dict[str, Any] = {}
    for name in chosen.models:
        entry: dict[str, Any] = {"recording": {}, "beside_training": {}, "integration": {}}
        models[name] = entry
        for kind, dtype in TYPES.items():
            model = sz.load_model(f"digits_cnn.{name}").to(dtype).requires_grad_(False)
            case = model, digits.images[: chosen.n].to(dtype), digits.labels[: chosen.n]
            entry["recording"][kind], entry["beside_training"][kind] = {}, {}
            for attack in chosen.attacks:
                entry["recording"][kind][attack] = recorded(*case, attack, chosen.seconds)
                _show(f"{name} {kind}", attack, entry["recording"][kind][attack])
            for attack in UNRECORDED:
                entry["beside_training"][kind][attack] = unrecorded(*case, attack, chosen.seconds)
                _show(f"{name} {kind} beside training's", attack, entry["beside_training"][kind][attack])
        model = sz.load_model(f"digits_cnn.{name}").double()
        for attack in chosen.attacks:
            row = integrated(model, digits.images[some].double(), digits.labels[some], attack)
            entry["integration"][attack] = row
            _show_integral(name, attack, row)
    rows = [row for entry in models.values() for part in entry["recording"].values() for row in part.values()]
    cheap = all(row["cpu_ratio"]["median"] <= ALLOWED for row in rows)
    write_results(
        "adversarial.cost",
        {
            "n": chosen.n,
            "n_integrated": chosen.n_integrated,
            "seed": SEED,
            "allowed": ALLOWED,
            "cheap": cheap,
            "same_iterates": all(row["last_iterates_equal"] for row in rows),
            **machine(),
            "models": models,
        },
    )
    return int(not cheap)


if __name__ == "__main__":
    sys.exit(main())
