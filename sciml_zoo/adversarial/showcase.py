"""The domain's part of the demo: what classifiers withstand, what attacks cost, a barrier, and audited gradients."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sciml_zoo.adversarial.attacks.objective import margin
from sciml_zoo.adversarial.audits import audit
from sciml_zoo.adversarial.barrier_surveys import Pair, barrier_survey
from sciml_zoo.adversarial.data import load_images
from sciml_zoo.adversarial.figures import barrier_figure, force_figure
from sciml_zoo.adversarial.inference import evaluate
from sciml_zoo.adversarial.model import DigitsCNN
from sciml_zoo.adversarial.potential import LossPotential, cross_entropy
from sciml_zoo.adversarial.profile import force_profile
from sciml_zoo.adversarial.surveys import summary, survey
from sciml_zoo.report import Report, Say, Table
from sciml_zoo.zoo.registry import list_models
from sciml_zoo.zoo.resolve import load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["demo"]

_RADII = (0.25, 0.5, 1.0)
_TEST = "sklearn:digits/test"
_STANDARD, _ROBUST = "digits_cnn.standard_gelu", "digits_cnn.adversarial_gelu"
_ATTACKS = {
    "pgd_l2": "projected ascent in a ball of radius 1",
    "flow": "steepest ascent to the boundary",
    "minnorm_l2": "smallest perturbation",
}
_MEASURED, _PAIRS = 12, 4
_GREY_LEVELS = 8


def demo(directory: Path, say: Say) -> Report:
    """Scores the shipped classifiers, measures the work of attacks, finds barriers, and audits two gradients.

    Args:
        directory: where files could be put.
        say: told what is happening.

    Returns:
        The tables and figures.
    """
    withstood = _withstood(say)
    images, labels = _digits(max(_MEASURED, _PAIRS))
    work = _work(images, labels, say)
    barriers, figures = _barriers(images, labels, say)
    audits = _audits(images, labels, say)
    text = (
        "A classifier can be fooled by a change of its input too small to matter to us: an adversarial example. "
        "Its loss, which measures how wrong the answer is, is a potential over all possible inputs, and an attack "
        "climbs it from an image to its twin of another class. The work along the way must be the difference of the "
        "loss, whatever the way; what the climb costs beyond that is dissipation; and between the valleys of the "
        "two classes lies a pass, a saddle, whose height is the barrier. Where work and loss do not agree, the "
        "gradient that attacks follow is not that of the loss, and that they fail says nothing of the model's safety."
    )
    return Report("Adversarial paths", text, [withstood, work, barriers, audits], figures)


def _withstood(say: Say) -> Table:
    rows = []
    for name in list_models(pretrained=True, domain="adversarial"):
        say(f"{name}: test digits, clean and attacked")
        found = [evaluate(_loaded(name), _TEST, epsilon=radius, steps=20, restarts=1) for radius in _RADII]
        clean = f"{found[0]['accuracy']:.3f} ± {found[0]['accuracy_error']:.3f}"
        attacked = [f"{one['robust_accuracy']:.3f} ± {one['robust_accuracy_error']:.3f}" for one in found]
        rows.append((name, clean, *attacked))
    head = ("weights", "clean accuracy", *(f"attacked, L2 radius {radius:g}" for radius in _RADII))
    title = (
        "What the shipped classifiers withstand: accuracy on scikit-learn's test digits, with one standard error; "
        "under attack (projected gradient ascent, 20 steps) an upper bound"
    )
    return Table(title, head, rows)


def _work(images: Tensor, labels: Tensor, say: Say) -> Table:
    rows = []
    for name in (_STANDARD, _ROBUST):
        for attack, what in _ATTACKS.items():
            say(f"{name}: work of {attack} on {_MEASURED} digits")
            found = summary(survey(_loaded(name), images[:_MEASURED], labels[:_MEASURED], attack))
            medians = [f"{found[f'median_{quantity}']:.3f}" for quantity in ("norm", "work", "dissipation")]
            closure = f"{found['largest_relative_closure']:.1g}"
            rows.append((name, f"{attack}: {what}", f"{found['success']:.2f}", *medians, closure))
    title = (
        f"What attacks cost: medians of {_MEASURED} test digits. One that stops where the class changes pays about "
        "log 2 = 0.693 nats on any network; trained against attacks, a network makes it go farther"
    )
    scores = ("share fooled", "L2 norm", "work, nats", "dissipation, nats", "|W − ΔL| / |ΔL|, largest")
    return Table(title, ("weights", "attack", *scores), rows)


def _barriers(images: Tensor, labels: Tensor, say: Say) -> tuple[Table, list[tuple[str, "Figure"]]]:
    say(f"{_STANDARD}: barriers between {_PAIRS} digits and their twins")
    found = barrier_survey(_loaded(_STANDARD), images[:_PAIRS], labels[:_PAIRS])
    rows = []
    for row in found.table.to_dict("records"):
        heights = [f"{row[height]:.4f}" for height in ("forward", "backward", "line", "attack")]
        rows.append((f"{row['sample']}, a {row['label']}", "yes" if row["found"] else "no", *heights))
    head = ("digit", "saddle found", "barrier", "from the twin's side", "straight line's highest", "attack's highest")
    title = (
        "Barriers between digits and their twins, in nats: the saddle above the digit's own valley, and above its "
        "twin's; and the highest along the straight line and the attack, above the digit's valley"
    )
    drawn = int(found.table["found"].argmax())
    return Table(title, head, rows), _drawn(found.pair(drawn), found.model, labels[drawn : drawn + 1], drawn)


def _drawn(pair: Pair, model: torch.nn.Module, label: Tensor, number: int) -> list[tuple[str, "Figure"]]:
    """Returns captions and figures of a pair: its landscape with the energy along the ways, and the force."""
    loss, margins = (LossPotential(model, label, loss=each, dtype=torch.float64) for each in (cross_entropy, margin))
    return [
        (
            f"A slice through digit {number}, its twin and the saddle between their valleys, with the attack, the "
            "straight line and the minimum-energy path; and the potential along each.",
            barrier_figure(pair, margin=margins),
        ),
        (
            f"The loss along the attack on digit {number}, and the force −∇L on the way: along the path, where the "
            "attack climbs against it, and sideways, which steepest ascent would hardly feel: hence the dissipation.",
            force_figure(force_profile(loss, pair.attack)),
        ),
    ]


def _audits(images: Tensor, labels: Tensor, say: Say) -> Table:
    models = {_STANDARD: _loaded(_STANDARD), f"the same, behind {_GREY_LEVELS} levels of grey": _Quantised()}
    rows = []
    for name, each in models.items():
        say(f"audit: {name}")
        found = audit(each, images, labels, samples=4)
        rows.append((name, "honest" if found.honest else "NOT honest", f"{found.margin:.2g}", found.reason))
    return Table("Is the gradient that of the loss?", ("model", "verdict", "closure / tolerance", "reason"), rows)


class _Quantised(torch.nn.Module):
    """Rounds images to a few grey levels, and hands their gradient on as if it had not: a known false defence."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = _loaded(_STANDARD)

    def forward(self, images: Tensor) -> Tensor:
        rounded = (images * (_GREY_LEVELS - 1)).round() / (_GREY_LEVELS - 1)
        return self.classifier(images + (rounded - images).detach())


def _digits(count: int) -> tuple[Tensor, Tensor]:
    data = load_images(_TEST)
    assert data.labels is not None
    return data.images[:count], data.labels[:count]


def _loaded(name: str) -> DigitsCNN:
    model = load_model(name)
    assert isinstance(model, DigitsCNN)
    return model
