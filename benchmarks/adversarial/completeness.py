"""Integrated gradients at a fixed number of gradients: the error of completeness, beside captum's best rule.

    python -m benchmarks.adversarial.completeness [--n 200]

Attributions of the logit of the label, from a black image, on test digits, in float64. Captum (`pip install captum`, in
the environment of peers.txt) integrates by Gauss–Legendre; here its rule is evaluated by captum itself where it can be
imported, and its version is noted. The attributions themselves are compared with an integral of many more gradients.
"""

import argparse
import sys
from importlib.metadata import version
from typing import Any

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


def by_captum(model: torch.nn.Module, images: Tensor, labels: Tensor, budget: int) -> Tensor:
    """Returns captum's attributions, [n, ...]."""
    from captum.attr import IntegratedGradients

    found: Tensor = IntegratedGradients(model).attribute(
        images, torch.zeros_like(images), target=labels, n_steps=budget, method="gausslegendre"
    )
    return found


def measured(name: str, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Returns errors of completeness and of attributions, ours and captum's."""
    model = sz.load_model(f"digits_cnn.{name}").double()
    potential = LossPotential(model, labels, loss=logit, dtype=torch.float64)
    black = torch.zeros_like(images)
    ours = integrated_gradients(potential, images, black, gradients=BUDGET)
    exact = integrated_gradients(potential, images, black, gradients=REFERENCE)
    theirs = by_captum(model, images, labels, BUDGET).detach()
    rows = {"ours": ours.values, "captum": theirs}
    found: dict[str, Any] = {"evaluations_beside_gradients": ours.evaluations}
    for method, values in rows.items():
        completeness = (values.flatten(1).sum(1) - ours.delta).abs()
        attribution = torch.linalg.vector_norm((values - exact.values).flatten(1), dim=1)
        found[method] = {
            "completeness_median": float(completeness.median()),
            "completeness_largest": float(completeness.max()),
            "attribution_error_median": float(attribution.median()),
        }
    found["captum_over_ours"] = found["captum"]["completeness_median"] / found["ours"]["completeness_median"]
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
        medians = (f"{method} {row[method]['completeness_median']:.1e}" for method in ("ours", "captum"))
        print(f"{name}: median error of completeness: {', '.join(medians)}")
    write_results(
        "completeness", {"n": chosen.n, "gradients": BUDGET, **machine(), "captum": version("captum"), "models": models}
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
