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
    from sciml_zoo.adversarial.audits import Audit, audit
    from sciml_zoo.adversarial.barrier_surveys import barrier_survey
    from sciml_zoo.adversarial.barriers import Barriers, barrier
    from sciml_zoo.adversarial.basins import basin, boundary_crossing
    from sciml_zoo.adversarial.completeness import integrated_gradients
    from sciml_zoo.adversarial.data import LabelledImages, load_images
    from sciml_zoo.adversarial.inference import evaluate, predict
    from sciml_zoo.adversarial.landscape import Landscape, Plane, slice_potential
    from sciml_zoo.adversarial.line_integral import Work, loops, random_paths, work
    from sciml_zoo.adversarial.model import DigitsCNN, DigitsCNNConfig
    from sciml_zoo.adversarial.path import Path, Recorder
    from sciml_zoo.adversarial.potential import LossPotential, cross_entropy
    from sciml_zoo.adversarial.profile import energy_profile, force_profile
    from sciml_zoo.adversarial.recipe import prepare, recipe_type
    from sciml_zoo.adversarial.showcase import demo
    from sciml_zoo.adversarial.surveys import attacked, summary, survey
    from sciml_zoo.adversarial.valley import ValleyPotential

_MODULES = {
    "audits": ("Audit", "audit"),
    "barrier_surveys": ("barrier_survey",),
    "barriers": ("Barriers", "barrier"),
    "basins": ("basin", "boundary_crossing"),
    "completeness": ("integrated_gradients",),
    "data": ("LabelledImages", "load_images"),
    "inference": ("evaluate", "predict"),
    "landscape": ("Landscape", "Plane", "slice_potential"),
    "line_integral": ("Work", "loops", "random_paths", "work"),
    "model": ("DigitsCNN", "DigitsCNNConfig"),
    "path": ("Path", "Recorder"),
    "potential": ("LossPotential", "cross_entropy"),
    "profile": ("energy_profile", "force_profile"),
    "recipe": ("prepare", "recipe_type"),
    "showcase": ("demo",),
    "surveys": ("attacked", "summary", "survey"),
    "valley": ("ValleyPotential",),
}

__all__ = [
    "Audit",
    "Barriers",
    "DigitsCNN",
    "DigitsCNNConfig",
    "LabelledImages",
    "Landscape",
    "LossPotential",
    "Path",
    "Plane",
    "Recorder",
    "ValleyPotential",
    "Work",
    "attacked",
    "audit",
    "barrier",
    "barrier_survey",
    "basin",
    "boundary_crossing",
    "cross_entropy",
    "demo",
    "energy_profile",
    "evaluate",
    "force_profile",
    "integrated_gradients",
    "load_images",
    "loops",
    "predict",
    "prepare",
    "random_paths",
    "recipe_type",
    "slice_potential",
    "summary",
    "survey",
    "work",
]

_homes = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__getattr__, __dir__ = lazy_names(__name__, _homes)
