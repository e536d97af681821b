"""How splice-site networks are trained and scored: truncated or full backpropagation through time.

A window of L bases is read in segments. Each is one optimizer step, whose gradient stops at the ends of the segment;
the states that enter it are carried, detached: from the left as the previous segment left them, from the right as a
pass without gradient over the whole window gives them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import CatMetric, MeanMetric

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.labels import UNKNOWN, Window
from sciml_zoo.splicing.metrics import average_precision, top_k
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.plastic_training import PlasticityConfig, read_plastically
from sciml_zoo.splicing.plasticity import EligibilityRecord, PlasticContext
from sciml_zoo.training.task import StepOutput, Task

__all__ = ["LossConfig", "SpliceTask", "WindowBatch", "candidates"]

_KINDS = ("donor", "acceptor")
_A, _C, _G, _T = range(4)


@dataclass(frozen=True)
class LossConfig:
    """Loss and truncation.

    Attributes:
        segment: bases between the ends of truncated backpropagation through time; None: the whole window.
        elsewhere: weight of bases that are neither GT, AG nor a site, against 1 for those.
        structure: weight of the mean cross-entropy of exon, intron and outside, for models that predict these too: it
            tells a recurrent network at every base where it is.
        distillation: part of the target that comes from the teachers, where there are any.
    """

    segment: int | None = 1024
    elsewhere: float = 0.05
    structure: float = 0.03
    distillation: float = 0.5

    def __post_init__(self) -> None:
        if self.segment is not None and self.segment < 1:
            raise InputError(f"segment: {self.segment} is not at least 1")
        if not 0 <= self.elsewhere <= 1:
            raise InputError(f"elsewhere: {self.elsewhere} is not in [0, 1]")
        if not 0 <= self.distillation <= 1:
            raise InputError(f"distillation: {self.distillation} is not in [0, 1]")
        if self.structure < 0:
            raise InputError(f"structure: {self.structure} is not zero or more")


class WindowBatch(NamedTuple):
    """Windows on top of each other; see :class:`Window`."""

    codes: Tensor
    labels: Tensor
    known: Tensor
    genic: Tensor
    structure: Tensor
    methylation: Tensor | None = None


def candidates(codes: Tensor) -> Tensor:
    """Says which bases could be a canonical site: a donor is the G of GT, an acceptor the G of AG.

    Args:
        codes: [B, L].

    Returns:
        bool [B, L, 2, 2].
    """
    before, after = F.pad(codes[:, :-1], (1, 0), value=4), F.pad(codes[:, 1:], (0, 1), value=4)
    forward = torch.stack([(codes == _G) & (after == _T), (codes == _G) & (before == _A)], -1)
    backward = torch.stack([(codes == _C) & (before == _A), (codes == _C) & (after == _T)], -1)
    return torch.stack([forward, backward], 2)


class SpliceTask(Task):
    """Trains on the binary cross-entropy of every base, strand and kind of site.

    Args:
        model: the network.
        loss: its weights, and where backpropagation is cut.
        plasticity: how the methylation of the windows modulates learning; None: not at all.
        teachers: trained networks whose mean probability is part of the target (distillation, Hinton et al.,
            arXiv:1503.02531): one network learns what several know.

    Attributes:
        alphas_are_used: whether somebody asks for :meth:`alphas` at each step.
    """

    #: What :meth:`evaluate` returns.
    NAMES = ("loss", "ap", "donor_topk", "donor_ap", "acceptor_topk", "acceptor_ap", "both_strands_ap")

    model: SpliceModel

    def __init__(
        self,
        model: SpliceModel,
        loss: LossConfig | None = None,
        *,
        plasticity: PlasticityConfig | None = None,
        teachers: Sequence[SpliceModel] = (),
    ) -> None:
        self.model = model
        self.loss = loss or LossConfig()
        self.plasticity = plasticity
        self._teachers = [teacher.eval() for teacher in teachers]
        self.alphas_are_used = False
        self._records: list[EligibilityRecord] = []

    def collate(self, samples: list[Window]) -> WindowBatch:
        """Stacks windows of one length.

        Args:
            samples: the windows.

        Returns:
            The batch.
        """
        names = [name for name in WindowBatch._fields if getattr(samples[0], name) is not None]
        return WindowBatch(**{n: torch.from_numpy(np.stack([getattr(s, n) for s in samples])) for n in names})

    def steps(self, batch: WindowBatch) -> Iterator[StepOutput]:
        """Yields the loss of each segment.

        Args:
            batch: windows.

        Yields:
            The weighted mean of the cross-entropy; weight: the sum of the weights.

        Raises:
            InputError: plasticity without methylation, or by connection without the callback that sets the rates.
        """
        length = batch.codes.shape[1]
        segment = self.loss.segment or length
        weights, targets = self._weights(batch), self._targets(batch)
        for start, logits, structure in self._pieces(batch, segment):
            part = slice(start, start + segment)
            weight = weights[:, part]
            total = weight.sum()
            if total > 0:
                each = F.binary_cross_entropy_with_logits(logits, targets[:, part], weight, reduction="sum")
                loss = each / total
                if structure is not None and self.loss.structure:
                    loss = loss + self.loss.structure * _structure_loss(structure, batch.structure[:, part])
                yield StepOutput(loss, float(total))

    @torch.no_grad()
    def _targets(self, batch: WindowBatch) -> Tensor:
        labels = batch.labels.to(self.model.dtype)
        if not self._teachers:
            return labels
        known = [teacher.to(batch.codes.device)(batch.codes).sigmoid() for teacher in self._teachers]
        return torch.lerp(labels, torch.stack(known).mean(0).to(labels), self.loss.distillation)

    def _pieces(self, batch: WindowBatch, segment: int) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        pieces = self.model.segments(batch.codes, segment, self._track(batch))
        if self.plasticity is None:
            return pieces
        if batch.methylation is None:
            raise InputError("plasticity: the training windows carry no methylation")
        by_connection = self.plasticity.definition == "per_connection"
        if by_connection and not self.alphas_are_used:
            raise InputError("plasticity per_connection: add PlasticRates() to the trainer's callbacks")
        modulation = self.plasticity.modulation(batch.methylation, self.generator)
        return read_plastically(pieces, segment, modulation, self.plasticity, self._records if by_connection else None)

    def alphas(self) -> dict[Tensor, Tensor]:
        """Returns the rates α of all that was read since they were last asked for; only of definition (b).

        To be asked once between ``backward`` and each optimizer step.
        """
        if self.plasticity is None:
            return {}
        records = list(self._records)
        self._records.clear()  # in place: the pieces of the present window go on adding to it
        return PlasticContext(self.plasticity.kappa, torch.zeros(0), "per_connection", records).alphas()

    def _track(self, batch: WindowBatch) -> Tensor | None:
        """Returns the methylation as an input, for a model that reads it: zero where it is not known."""
        if batch.methylation is None or not getattr(getattr(self.model, "config", None), "methylation", False):
            return None
        return batch.methylation.nan_to_num()

    def _weights(self, batch: WindowBatch) -> Tensor:
        important = candidates(batch.codes) | (batch.labels > 0)
        weights = torch.where(important, 1.0, self.loss.elsewhere)
        return torch.where(batch.known, weights, 0.0).to(self.model.dtype)

    def evaluate(self, batches: Iterable[WindowBatch]) -> dict[str, float]:
        """Scores the network, and calibrates it on the same windows.

        Args:
            batches: windows that cover whole regions.

        Returns:
            ``loss``; top-k and AP of donors and acceptors over all bases of genes on the gene's strand; ``ap``, the
            mean of the two; ``both_strands_ap``, the mean over kinds of the AP over all bases of both strands.
        """
        mean = MeanMetric().to(self.device)
        scores = {name: CatMetric().to(self.device) for name in ("logits", "labels", "genic")}
        for batch in batches:
            with torch.no_grad():
                logits = self.model(batch.codes, self._track(batch))
            weights = self._weights(batch)
            each = F.binary_cross_entropy_with_logits(logits, batch.labels.to(logits), reduction="none")
            if weights.sum() > 0:
                mean.update((each * weights).sum() / weights.sum(), weights.sum())
            kept = batch.known
            genic = batch.genic[..., None].expand_as(kept)
            # By kind, so that the two columns stay apart: rows of bases where both kinds are known.
            both = kept.all(-1)
            scores["logits"].update(logits[both].double())
            scores["labels"].update(batch.labels[both].double())
            scores["genic"].update(genic[both][:, 0].double())
        logits, labels, genic = (scores[name].compute() for name in ("logits", "labels", "genic"))
        if not len(logits):
            return {}
        inside = genic > 0
        self.model.calibration.fit(logits[inside], labels[inside] > 0)
        found = {"loss": float(mean.compute())}
        everywhere = []
        for kind, name in enumerate(_KINDS):
            score, truth = (x[:, kind].cpu().numpy() for x in (logits, labels > 0))
            here = inside.cpu().numpy()
            found[f"{name}_topk"] = top_k(score[here], truth[here])
            found[f"{name}_ap"] = average_precision(score[here], truth[here])
            everywhere.append(average_precision(score, truth))
        found["ap"] = (found["donor_ap"] + found["acceptor_ap"]) / 2
        found["both_strands_ap"] = float(np.mean(everywhere))
        return {name: found[name] for name in self.NAMES}


def _structure_loss(logits: Tensor, structure: Tensor) -> Tensor:
    targets = torch.where(structure == UNKNOWN, -1, structure.long()).flatten()
    each = F.cross_entropy(logits.flatten(0, -2), targets, ignore_index=-1, reduction="sum")
    return each / (targets >= 0).sum().clamp(min=1)
