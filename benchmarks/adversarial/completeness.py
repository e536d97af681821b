"""Integrated gradients at a fixed number of gradients: the error of completeness, beside captum's.

    python -m benchmarks.adversarial.completeness [--n 200] [--targets logit loss]

Attributions of the logit of the label and of the cross-entropy, from a black image, on test digits, in float64, on one
thread. Captum runs in ``benchmarks/.venv-adversarial`` with all its methods, as ``_peers_completeness.py`` says, on the
same images, labels and baselines; it must compute the same values there. Its weights of a quadrature are of float32,
which bounds what it reaches. At the number of gradients of :data:`BUDGET` the attributions themselves are compared with
an integral of many more gradients. Ours takes values beside its gradients where the network has kinks, which are
counted and timed; captum with as many gradients as ours takes gradients and values together is shown too.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path as File
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sciml_zoo as sz
from benchmarks._results import machine, write_results
from benchmarks.adversarial._environment import export, run_peer
from sciml_zoo.adversarial.completeness import Attributions, integrated_gradients
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential, cross_entropy
from sciml_zoo.adversarial.segments import Segments

BUDGETS, BUDGET, REFERENCE = (10, 20, 50, 100), 50, 1000
MODELS = ("standard_gelu", "standard_relu")
#: Of the median at the budget: how many times smaller than captum's best with kinks, and how small without.
REQUIRED_RATIO, REQUIRED_ERROR = 10.0, 1e-11

Row = dict[str, Any]


def logit(outputs: Tensor, labels: Tensor | None) -> Tensor:
    """Returns the logit of the label, [n]."""
    assert labels is not None
    return outputs.gather(1, labels[:, None])[:, 0]


TARGETS = {"logit": logit, "loss": cross_entropy}
#: All for the logit, which is what is usually attributed.
BUDGETS_OF = {"logit": BUDGETS, "loss": (BUDGET,)}


def row_of(method: str, values: Tensor, delta: Tensor, exact: Tensor | None, **cost: float) -> Row:
    """Returns the figures of attributions [n, ...], whose sums should be ``delta`` [n]."""
    completeness = (values.flatten(1).sum(1) - delta).abs()
    row: Row = {"method": method, "median": completeness.median().item(), "largest": completeness.max().item(), **cost}
    if exact is not None:
        row["attribution_error_median"] = torch.linalg.vector_norm((values - exact).flatten(1), dim=1).median().item()
    return row


def captum(
    model: nn.Module, images: Tensor, labels: Tensor, target: str, steps: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Returns what the peers' script wrote."""
    with tempfile.TemporaryDirectory() as folder:
        program, given, out = (File(folder) / name for name in ("model.pt2", "images.npz", "out.npz"))
        export(model, images, program)
        np.savez(given, images=images.numpy(), baselines=np.zeros_like(images), labels=labels.numpy())
        options = ["--target", target, "--steps", *map(str, steps)]
        run_peer("_peers_completeness.py", program, given, out, *options)
        with np.load(out) as found:
            return dict(found)


def rows_of(found: dict[str, np.ndarray], delta: Tensor, exact: Tensor) -> list[Row]:
    """Returns captum's rows.

    Args:
        found: what its script wrote.
        delta: of our values, [n].
        exact: attributions.

    Raises:
        ValueError: values that are not ours.
    """
    theirs = torch.from_numpy(found["values"] - found["at_baselines"])
    if not torch.allclose(theirs, delta, rtol=0, atol=1e-12):
        raise ValueError("captum's values are not ours")
    rows = []
    for name in (name for name in found if name.count("|") == 1):
        method, steps = name.split("|")
        cost = {key: found[f"{name}|{key}"].item() for key in ("gradients", "seconds")}
        compared = exact if int(steps) == BUDGET else None
        rows.append(row_of(method, torch.from_numpy(found[name]), delta, compared, evaluations=0.0, **cost))
    return rows


def ours(potential: LossPotential, images: Tensor, budget: int) -> tuple[Attributions, float]:
    """Returns attributions and seconds."""
    begun = time.perf_counter()
    found = integrated_gradients(potential, images, torch.zeros_like(images), gradients=budget)
    return found, time.perf_counter() - begun


def measured(name: str, images: Tensor, labels: Tensor, target: str, budgets: tuple[int, ...]) -> Row:
    """Returns the rows of one network and target; prints them."""
    model = sz.load_model(f"digits_cnn.{name}").double()
    potential = LossPotential(model, labels, loss=TARGETS[target], dtype=torch.float64)
    kinks = Segments(potential, Path.straight(torch.zeros_like(images), images)).units > 0
    exact, _ = ours(potential, images, REFERENCE)
    rows, steps = [], budgets
    for budget in budgets:
        found, seconds = ours(potential, images, budget)
        cost = {"evaluations": found.evaluations, "gradients": budget, "seconds": seconds}
        rows.append(row_of("ours", found.values, found.delta, exact.values if budget == BUDGET else None, **cost))
        if budget == BUDGET and kinks:
            steps = (*budgets, round(budget + found.evaluations))
    theirs = captum(model, images, labels, target, steps)
    rows += rows_of(theirs, exact.delta, exact.values)
    for row in rows:
        counts = f"{row['gradients']:6.0f} gradients {row['evaluations']:7.1f} values {row['seconds']:6.1f} s"
        errors = f"median {row['median']:.1e} largest {row['largest']:.1e}"
        print(f"{name:14s} {target:5s} {row['method']:18s} {counts}  {errors}", flush=True)
    at_budget = [row for row in rows if row["gradients"] == BUDGET]
    best = min(row["median"] for row in at_budget if row["method"] != "ours")
    mine = next(row["median"] for row in at_budget if row["method"] == "ours")
    passed = best >= REQUIRED_RATIO * mine if kinks else mine <= REQUIRED_ERROR
    print(f"{name} {target}: captum's best over ours {best / mine:.1f} {'passed' if passed else 'FAILED'}", flush=True)
    version = str(theirs["version"])
    return {"captum": version, "captums_best_over_ours": best / mine, "passed": passed, "rows": rows}


def main() -> int:
    """Returns 0 where ours is as much better as it should be; prints a table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="test digits")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_images("sklearn:digits/test")
    assert digits.labels is not None
    images, labels = digits.images[: chosen.n].double(), digits.labels[: chosen.n]
    models = {
        name: {key: measured(name, images, labels, key, BUDGETS_OF[key]) for key in chosen.targets} for name in MODELS
    }
    write_results("adversarial.completeness", {"n": chosen.n, "gradients": BUDGET, **machine(), "models": models})
    return int(not all(row["passed"] for rows in models.values() for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
