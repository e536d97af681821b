"""The loss of a network as a potential over its inputs, an attack as a trajectory in it.

Example:
    >>> import torch
    >>> import sciml_zoo as sz
    >>> from sciml_zoo.adversarial import LossPotential, Path, load_images
    >>> model, digits = sz.load_model("digits_cnn.standard_gelu"), load_images("sklearn:digits/test")
    >>> potential = LossPotential(model, digits.labels[:5], dtype=torch.float64)
    >>> start = digits.images[:5].double()
    >>> value, gradient = potential.value_and_gradient(start)
    >>> path = Path.straight(start, (start + 0.1 * gradient.sign()).clamp(0, 1), "fast gradient sign")
    >>> bool((potential.value(path.end) > value).all())
    True
"""

from typing import TYPE_CHECKING

from sciml_zoo._lazy import lazy_names

if TYPE_CHECKING:
    from sciml_zoo.adversarial.data import LabelledImages, load_images
    from sciml_zoo.adversarial.inference import evaluate, predict
    from sciml_zoo.adversarial.model import DigitsCNN, DigitsCNNConfig
    from sciml_zoo.adversarial.path import Path, Recorder
    from sciml_zoo.adversarial.potential import LossPotential, cross_entropy
    from sciml_zoo.adversarial.recipe import prepare, recipe_type
    from sciml_zoo.adversarial.showcase import demo

_MODULES = {
    "data": ("LabelledImages", "load_images"),
    "inference": ("evaluate", "predict"),
    "model": ("DigitsCNN", "DigitsCNNConfig"),
    "path": ("Path", "Recorder"),
    "potential": ("LossPotential", "cross_entropy"),
    "recipe": ("prepare", "recipe_type"),
    "showcase": ("demo",),
}

__all__ = [
    "DigitsCNN",
    "DigitsCNNConfig",
    "LabelledImages",
    "LossPotential",
    "Path",
    "Recorder",
    "cross_entropy",
    "demo",
    "evaluate",
    "load_images",
    "predict",
    "prepare",
    "recipe_type",
]

_homes = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__getattr__, __dir__ = lazy_names(__name__, _homes)
