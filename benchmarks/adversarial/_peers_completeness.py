"""Captum's integrated gradients, in the environment of ``peers.txt``; called by ``completeness.py``.

    python _peers_completeness.py MODEL.pt2 IMAGES.npz OUT.npz --target logit --steps 10 50

MODEL is an exported program, IMAGES holds ``images``, ``baselines`` and ``labels``. OUT holds, by the name
``METHOD|STEPS``, the attributions, and beside them ``…|gradients`` per sample and ``…|seconds``; and the target's
``values`` at the images and ``at_baselines``. A gradient is counted when one reaches the target's values.
"""

import argparse
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients
from torch import Tensor

from benchmarks.adversarial._peers_program import Program

METHODS = ("gausslegendre", "riemann_trapezoid", "riemann_middle", "riemann_left", "riemann_right")
#: With more steps than this only the better ones are run.
LONG, LONG_METHODS = 200, ("gausslegendre", "riemann_middle")
#: Images computed on together, as many as ours.
TOGETHER = 4096


class Target:
    """A value for each sample, with the gradients that reach it counted.

    Args:
        model: gives logits.
        kind: ``logit`` of the label, or ``loss``, its cross-entropy.
    """

    def __init__(self, model: Any, kind: str) -> None:
        self.model, self.kind, self.gradients = model, kind, 0

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Returns the values, [n]."""
        logits = self.model(images)
        if self.kind == "loss":
            values = F.cross_entropy(logits, labels, reduction="none")
        else:
            values = logits.gather(1, labels[:, None])[:, 0]
        if values.requires_grad:
            values.register_hook(self._count)
        return values

    def _count(self, gradient: Tensor) -> None:
        self.gradients += len(gradient)


def main() -> None:
    """Runs all methods with all numbers of steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--target", choices=("logit", "loss"), required=True)
    parser.add_argument("--steps", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(arguments.images) as data:
        images, baselines, labels = (torch.from_numpy(data[key]) for key in ("images", "baselines", "labels"))
    target = Target(Program(arguments.model), arguments.target)
    given = {"baselines": baselines, "additional_forward_args": labels, "internal_batch_size": TOGETHER}
    attribution = IntegratedGradients(target)
    attribution.attribute(images[:10], baselines[:10], additional_forward_args=labels[:10], n_steps=2)
    written: dict[str, Any] = {
        "version": version("captum"),
        "values": target(images, labels).numpy(),
        "at_baselines": target(baselines, labels).numpy(),
    }
    for steps in arguments.steps:
        for method in METHODS if steps <= LONG else LONG_METHODS:
            target.gradients, begun = 0, time.perf_counter()
            found = attribution.attribute(images, **given, n_steps=steps, method=method)
            name = f"{method}|{steps}"
            written[f"{name}|seconds"] = time.perf_counter() - begun
            written[f"{name}|gradients"] = target.gradients / len(images)
            written[name] = found.detach().numpy()
    np.savez(arguments.out, **written)


if __name__ == "__main__":
    main()
