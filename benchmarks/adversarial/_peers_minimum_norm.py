"""Minimum-norm attacks of foolbox at a budget, in the environment of ``peers.txt``; called by ``minimum_norm.py``.

    python _peers_minimum_norm.py MODEL.pt2 IMAGES.npz OUT.npz --norm l2 --budget 100 --seed 0

MODEL is an exported program, IMAGES holds ``images`` and ``labels``. OUT holds, by the name ``ATTACK|SETTING``, the
adversarial images of each attack, and beside them ``…|gradients`` per sample and ``…|seconds``. A gradient is counted
when one reaches the model's outputs. The attacks have the settings that foolbox gives them, and the number of steps
that fits the budget. Carlini–Wagner and PGD divide the budget between rounds and steps: several divisions are tried,
of the former with two step sizes and two first weights; all are written.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import foolbox
import numpy as np
import torch
from foolbox import attacks
from torch import Tensor, nn

from benchmarks.adversarial._peers_program import Program

BOUNDS = (0.0, 1.0)
#: Gradients that foolbox's DeepFool computes in a step, of the ten classes of the digits.
DEEPFOOL_GRADIENTS = 9


class Counter(nn.Module):
    """Counts the gradients of single samples that reach a model's outputs.

    Args:
        model: the classifier.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.gradients = 0

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns the model's outputs."""
        outputs = self.model(inputs)
        if outputs.requires_grad:
            outputs.register_hook(self._count)
        return outputs

    def _count(self, gradient: Tensor) -> None:
        self.gradients += len(gradient)


Attack = Callable[[Any, Tensor, Tensor], Tensor]


def minimised(attack: Any) -> Attack:
    """Returns what runs an attack that seeks the smallest perturbation."""
    return lambda model, images, labels: attack(model, images, labels, epsilons=None)[0]


def l2_attacks(budget: int) -> Iterator[tuple[str, Attack]]:
    """Yields the attacks in the norm L2, by ``ATTACK|SETTING``."""
    yield "L2FMNAttack|", minimised(attacks.L2FMNAttack(steps=budget))
    yield "DDNAttack|", minimised(attacks.DDNAttack(steps=budget))
    for rounds, stepsize in ((1, 0.1), (5, 0.1), (9, 0.1), (9, 0.01)):
        for constant in (0.1, 1.0):
            carlini = attacks.L2CarliniWagnerAttack(
                binary_search_steps=rounds, steps=budget // rounds, stepsize=stepsize, initial_const=constant
            )
            yield f"L2CarliniWagnerAttack|rounds {rounds}, step {stepsize}, c {constant}", minimised(carlini)
    yield "L2DeepFoolAttack|", minimised(attacks.L2DeepFoolAttack(steps=budget // DEEPFOOL_GRADIENTS))
    yield "L2BrendelBethgeAttack|", minimised(attacks.L2BrendelBethgeAttack(steps=budget))


def linf_attacks(budget: int) -> Iterator[tuple[str, Attack]]:
    """Yields the attacks in the norm L∞, by ``ATTACK|SETTING``."""
    yield "LInfFMNAttack|", minimised(attacks.LInfFMNAttack(steps=budget))
    for rounds in (5, 8, 10):
        yield f"LinfPGD|rounds {rounds}", bisected_pgd(rounds, budget // rounds)


def bisected_pgd(rounds: int, steps: int) -> Attack:
    """Returns PGD, which has a radius, with a bisection of each sample's radius around it.

    Args:
        rounds: of the bisection; each halves the interval of radii, the first of which is [0, 1].
        steps: of PGD in a round.
    """

    def run(model: Any, images: Tensor, labels: Tensor) -> Tensor:
        low, high = torch.zeros(len(images)), torch.ones(len(images))
        best = images.clone()
        for _ in range(rounds):
            radius = (low + high) / 2
            # The radius is of each sample: PGD of foolbox has one for all, which the scale of the images makes up for.
            found = _pgd(model, images, labels, radius, steps)
            wrong = model(found).argmax(1) != labels
            best = torch.where(wrong[:, None, None, None], found, best)
            low, high = torch.where(wrong, low, radius), torch.where(wrong, radius, high)
        return best

    return run


def _pgd(model: Any, images: Tensor, labels: Tensor, radius: Tensor, steps: int) -> Tensor:
    """Returns PGD of foolbox with a radius for each sample: its projection is replaced by one with that radius."""
    wide = radius[:, None, None, None]

    class Attack(attacks.LinfPGD):
        def get_random_start(self, x0: Any, epsilon: float) -> Any:
            noise = (2 * torch.rand_like(x0.raw) - 1) * wide
            return type(x0)(x0.raw + noise)

        def project(self, x: Any, x0: Any, epsilon: float) -> Any:
            return type(x0)(x0.raw + (x.raw - x0.raw).clamp(-wide, wide))

        def normalize(self, gradients: Any, *, x: Any, bounds: Any) -> Any:
            return type(x)(gradients.raw.sign() * wide)

    # A step of 1 in units of the sample's radius times foolbox's relative step of 0.01 / 0.3 · 40 / steps.
    attack = Attack(steps=steps, abs_stepsize=0.01 / 0.3 * 40 / steps)
    return attack.run(model, images, foolbox.criteria.Misclassification(labels), epsilon=1.0)


def main() -> None:
    """Runs all attacks of a norm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--norm", choices=("l2", "linf"), required=True)
    parser.add_argument("--budget", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="names of attacks; none: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(arguments.images) as data:
        images, labels = torch.from_numpy(data["images"]), torch.from_numpy(data["labels"])
    counter = Counter(Program(arguments.model))
    model = foolbox.PyTorchModel(counter.eval(), bounds=BOUNDS, device="cpu")
    written: dict[str, Any] = {"version": version("foolbox")}
    for name, attack in (l2_attacks if arguments.norm == "l2" else linf_attacks)(arguments.budget):
        if arguments.only and name.split("|")[0] not in arguments.only:
            continue
        torch.manual_seed(arguments.seed)
        np.random.seed(arguments.seed)
        counter.gradients, begun = 0, time.perf_counter()
        written[name] = attack(model, images, labels).detach().numpy()
        written[f"{name}|seconds"] = time.perf_counter() - begun
        written[f"{name}|gradients"] = math.ceil(counter.gradients / len(images))
    np.savez(arguments.out, **written)


if __name__ == "__main__":
    main()
