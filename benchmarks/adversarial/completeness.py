"""Integrated gradients at a fixed number of gradients: the error of completeness, beside one Gauss–Legendre rule.

    python -m benchmarks.adversarial.completeness [--n 200]

Attributions of the logit of the label, from a black image, on test digits, in float64. One Gauss–Legendre rule for the
whole line is what captum's ``gausslegendre`` computes; captum itself is not run. The attributions themselves are
compared with an integral of many more gradients. Some ten minutes.
"""

import argparse
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sciml_zoo as sz
from benchmarks.adversarial._results import machine, write_results
from sciml_zoo.adversarial.completeness import integrated_gradients
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.potential import LossPotential

BUDGET, REFERENCE = 50, 2000
MODELS = ("standard_gelu", "standard_relu")


def logit(outputs: Tensor, labels: Tensor | None) -> Tensor:
    """Returns the logit of the label, [n]."""
    assert labels is not None
    return outputs.gather(1, labels[:, None])[:, 0]


def by_one_rule(potential: LossPotential, images: Tensor, budget: int) -> Tensor:
    """Returns attributions by one rule for the whole line, [n, ...]."""
    mean = torch.zeros_like(images)
    for node, weight in zip(*np.polynomial.legendre.leggauss(budget), strict=True):
        mean += weight / 2 * potential.value_and_gradient(images * (1 + node) / 2)[1]
    return mean * images


def measured(name: str, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Returns errors of completeness and of attributions, ours and of one rule."""
    model = sz.load_model(f"digits_cnn.{name}").double()
    potential = LossPotential(model, labels, loss=logit, dtype=torch.float64)
    black = torch.zeros_like(images)
    ours = integrated_gradients(potential, images, black, gradients=BUDGET)
    exact = integrated_gradients(potential, images, black, gradients=REFERENCE)
    rows = {"ours": ours.values, "one rule": by_one_rule(potential, images, BUDGET)}
    found: dict[str, Any] = {"evaluations_beside_gradients": ours.evaluations}
    for method, values in rows.items():
        completeness = (values.flatten(1).sum(1) - ours.delta).abs()
        attribution = torch.linalg.vector_norm((values - exact.values).flatten(1), dim=1)
        found[method] = {
            "completeness_median": float(completeness.median()),
            "completeness_largest": float(completeness.max()),
            "attribution_error_median": float(attribution.median()),
        }
    found["one_rule_over_ours"] = found["one rule"]["completeness_median"] / found["ours"]["completeness_median"]
    return found


def main() -> int:
    """Returns 0; prints a table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="test digits")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_images("sklearn:digits/test")
    assert digits.labels is not None
    images, labels = digits.images[: chosen.n].double(), digits.labels[: chosen.n]
    models = {name: measured(name, images, labels) for name in MODELS}
    for name, row in models.items():
        medians = (f"{method} {row[method]['completeness_median']:.1e}" for method in ("ours", "one rule"))
        print(f"{name}: median error of completeness: {', '.join(medians)}")
    write_results("completeness", {"n": chosen.n, "gradients": BUDGET, **machine(), "models": models})
    return 0


if __name__ == "__main__":
    sys.exit(main())
