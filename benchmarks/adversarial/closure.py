"""Work against the difference of the loss, on test digits, for every attack; and around loops.

    python -m benchmarks.adversarial.closure [--n 500] [--models standard_gelu standard_relu]

Attacks run in float64 with their default settings. Closures are parts of max(|ΔL|, 1e-3); loops of six corners, one
for each of the first hundred digits, are compared with ∫ ‖∇L‖ ds around them. Half an hour, nearly all of it for the
ReLU network, which bends some hundred times on the way.
"""

import argparse
import sys
import time
from typing import Any

import torch

import sciml_zoo as sz
from benchmarks._results import machine, write_results
from sciml_zoo.adversarial.attacks import ATTACKS
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.line_integral import loops, work
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.surveys import summary, survey

SEED = 0
LOOPS = 100
#: Of max(|ΔL|, 1e-3), by the kind of network.
ALLOWED = {"gelu": 1e-8, "relu": 1e-6}
ALLOWED_AROUND = 1e-8


def around(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    """Returns the work around loops, as a part of what there is to integrate."""
    potential = LossPotential(model, labels, dtype=torch.float64)
    path = loops(images.double(), size=0.5, generator=torch.Generator().manual_seed(SEED))
    found = work(potential, path)
    part = found.work.abs() / (found.dissipation + found.delta_loss.abs())
    return {"loops": len(images), "largest": float(part.max()), "median": float(part.median())}


def main() -> int:
    """Returns 0 where all closures are as small as they should be; prints a table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=500, help="test digits")
    parser.add_argument("--models", nargs="+", default=["standard_gelu", "standard_relu"])
    parser.add_argument("--attacks", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_images("sklearn:digits/test")
    assert digits.labels is not None
    images, labels = digits.images[: chosen.n], digits.labels[: chosen.n]
    models: dict[str, Any] = {}
    for name in chosen.models:
        model = sz.load_model(f"digits_cnn.{name}")
        allowed = ALLOWED[name.rpartition("_")[2]]
        models[name] = {"allowed": allowed, "attacks": {}, "around": around(model, images[:LOOPS], labels[:LOOPS])}
        print(f"{name}: loops {models[name]['around']['largest']:.1e}", flush=True)
        for attack in chosen.attacks:
            begun = time.perf_counter()
            found = summary(survey(model, images, labels, attack, seed=SEED))
            models[name]["attacks"][attack] = {**found, "seconds": time.perf_counter() - begun}
            print(
                f"{name} {attack:12} closure {found['largest_relative_closure']:.1e}, fooled {found['success']:.3f}, "
                f"{found['gradients_per_segment']:.1f} gradients a segment",
                flush=True,
            )
    closed = all(
        row["largest_relative_closure"] <= entry["allowed"]
        for entry in models.values()
        for row in entry["attacks"].values()
    ) and all(entry["around"]["largest"] <= ALLOWED_AROUND for entry in models.values())
    write_results("adversarial.closure", {"n": chosen.n, "seed": SEED, **machine(), "closed": closed, "models": models})
    return int(not closed)


if __name__ == "__main__":
    sys.exit(main())
