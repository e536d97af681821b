"""How the common trainer trains and scores a classifier, on clean images or on the worst of a threat.

Adversarial training (Madry et al., arXiv:1706.06083) minimises the cross-entropy at the points that the attack finds,
in evaluation mode, against the network as it is at that step.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from sciml_zoo.adversarial.distortion import Distortion, distorted
from sciml_zoo.adversarial.metrics import score
from sciml_zoo.adversarial.threat import Threat, strongest
from sciml_zoo.training.task import StepOutput, Task

__all__ = ["AdversarialTask", "ImageBatch", "LabelledImage"]

# Of the attack that validations measure: the same at each of them.
_SEED = 0


class LabelledImage(NamedTuple):
    """One image, [1, s, s], and its class, a scalar int64."""

    image: Tensor
    label: Tensor


class ImageBatch(NamedTuple):
    """Images, [n, 1, s, s], and their classes, int64 [n]."""

    images: Tensor
    labels: Tensor


class AdversarialTask(Task):
    """Trains a classifier on the cross-entropy.

    Args:
        model: images [n, 1, s, s] to logits [n, classes].
        attack: what it is trained against; None: clean images.
        threat: what validations measure its robustness against; None: that of ``attack``.
        distortion: of training images, before they are attacked; None: none.
    """

    precisions: ClassVar[tuple[str, ...]] = ("32-true", "64-true")
    #: What :meth:`evaluate` returns.
    NAMES = ("loss", "accuracy", "robust_loss", "robust_accuracy")

    def __init__(
        self,
        model: nn.Module,
        attack: Threat | None = None,
        threat: Threat | None = None,
        distortion: Distortion | None = None,
    ) -> None:
        self.model = model
        self.attack = attack or Threat()
        self.threat = threat or self.attack
        self.distortion = distortion or Distortion()

    def collate(self, samples: list[LabelledImage]) -> ImageBatch:
        """Stacks images.

        Args:
            samples: the images.

        Returns:
            The batch.
        """
        images, labels = zip(*samples, strict=True)
        return ImageBatch(torch.stack(images), torch.stack(labels))

    def steps(self, batch: ImageBatch) -> Iterator[StepOutput]:
        """Yields the one loss of a batch.

        Args:
            batch: images and labels.

        Yields:
            The mean cross-entropy at the attacked images; weight: their number.
        """
        logits = self.model(self._attacked(batch))
        right = (logits.detach().argmax(1) == batch.labels).float().mean()
        yield StepOutput(F.cross_entropy(logits, batch.labels), len(batch.labels), {"accuracy": right})

    def _attacked(self, batch: ImageBatch) -> Tensor:
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            images = distorted(batch.images, self.distortion, self.generator)
            return strongest(self.model, images, batch.labels, self.attack, self.generator)
        finally:
            for module, mode in modes:
                module.training = mode

    def evaluate(self, batches: Iterable[ImageBatch]) -> dict[str, float]:
        """Scores the network, the attack starting from the same random points each time.

        Args:
            batches: images and labels.

        Returns:
            ``loss`` (nats) and ``accuracy`` of the clean images; ``robust_loss`` and ``robust_accuracy``, of the worst
            that the threat found for each, over all ranks.
        """
        means = {name: MeanMetric().to(self.device).set_dtype(torch.float64) for name in self.NAMES}
        generator = torch.Generator(self.device).manual_seed(_SEED)
        for batch in batches:
            found = score(self.model, batch.images, batch.labels, self.threat, generator)
            columns = (found.loss, found.right, found.robust_loss, found.robust)
            for name, column in zip(self.NAMES, columns, strict=True):
                means[name].update(column.double())
        return {name: float(mean.compute()) for name, mean in means.items()}
