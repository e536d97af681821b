"""The domain's part of the demo: what the shipped classifiers withstand."""

from pathlib import Path

from sciml_zoo.adversarial.inference import evaluate
from sciml_zoo.adversarial.model import DigitsCNN
from sciml_zoo.report import Report, Say, Table
from sciml_zoo.zoo.registry import list_models
from sciml_zoo.zoo.resolve import load_model

__all__ = ["demo"]

_RADII = (0.25, 0.5, 1.0)
_TEST = "sklearn:digits/test"


def demo(directory: Path, say: Say) -> Report:
    """Scores the shipped classifiers on clean and attacked test digits.

    Args:
        directory: where files could be put.
        say: told what is happening.

    Returns:
        One table.
    """
    rows = []
    for name in list_models(pretrained=True, domain="adversarial"):
        say(f"{name}: test digits, clean and attacked")
        model = load_model(name)
        assert isinstance(model, DigitsCNN)
        found = [evaluate(model, _TEST, epsilon=radius, steps=20, restarts=1) for radius in _RADII]
        clean = f"{found[0]['accuracy']:.3f} ± {found[0]['accuracy_error']:.3f}"
        attacked = [f"{one['robust_accuracy']:.3f} ± {one['robust_accuracy_error']:.3f}" for one in found]
        rows.append((name, clean, *attacked))
    head = ("weights", "clean accuracy", *(f"attacked, L2 radius {radius:g}" for radius in _RADII))
    text = (
        "The loss of a network is a potential over its inputs, and an attack climbs it. Accuracies are of "
        "scikit-learn's test digits, with one standard error; those under attack (projected gradient ascent, 20 steps) "
        "are upper bounds."
    )
    return Report("Adversarial paths", text, [Table("What the shipped classifiers withstand", head, rows)])
