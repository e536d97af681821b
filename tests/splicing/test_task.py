"""The loss, truncated training through the common trainer, and scores on validation windows."""

import numpy as np
import torch
import torch.nn.functional as F

import sciml_zoo as sz
from sciml_zoo.splicing.data import cover
from sciml_zoo.splicing.genes import Annotation
from sciml_zoo.splicing.labels import LabelledGenome, Region, Window
from sciml_zoo.splicing.metrics import average_precision, top_k
from sciml_zoo.splicing.sequences import encode
from sciml_zoo.splicing.task import LossConfig, SpliceTask, candidates
from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig

from .test_training_data import gene, random_bases


def planted(length: int = 6000, seed: int = 0) -> LabelledGenome:
    """Introns GTAAGTAT…TTTTCTAG in a random chromosome: a grammar that can be learned exactly."""
    rng = np.random.default_rng(seed)
    text, genes = list(random_bases(length, seed)), []
    for number, start in enumerate(range(100, length - 300, 250)):
        donor, acceptor = start + 50 + int(rng.integers(20)), start + 130 + int(rng.integers(20))
        strand = "+" if rng.random() < 0.5 else "-"
        first, last = ("GTAAGTAT", "TTTTCTAG") if strand == "+" else ("CTAGAAAA", "ATACTTAC")
        text[donor : donor + 8], text[acceptor - 8 : acceptor] = first, last
        genes.append(gene(f"g{number}", "A", strand, [(start, donor), (acceptor, start + 220)]))
    return LabelledGenome({"A": encode("".join(text))}, Annotation(tuple(genes), (), "planted"))


def small(seed: int = 0):
    torch.manual_seed(seed)
    return sz.create_model("splice_rnn", channels=8, states=12, blocks=1, stem=11, memory=64)


def windows(labelled: LabelledGenome, length: int = 500) -> list[Window]:
    return cover(labelled, [Region("A", 0, len(labelled.sequences["A"]))], length)


def test_candidates_are_gt_and_ag_of_either_strand() -> None:
    found = candidates(torch.from_numpy(encode("AGTNACTAG"))[None].long())[0]
    assert {tuple(row) for row in found.nonzero().tolist()} == {
        (1, 0, 0),  # G of GT
        (1, 0, 1),  # G of AG
        (8, 0, 1),
        (5, 1, 0),  # AC read from the other strand is GT; its G is the C
        (5, 1, 1),  # CT is AG
    }


def test_loss_is_the_weighted_mean() -> None:
    task = SpliceTask(small(), LossConfig(segment=None, elsewhere=0.1, structure=0.0))
    batch = task.collate(windows(planted())[:3])
    (output,) = task.steps(batch)
    logits = task.model(batch.codes)
    total, weight = 0.0, 0.0
    important = candidates(batch.codes)
    for index in np.ndindex(*batch.labels.shape):
        w = (1.0 if important[index] or batch.labels[index] else 0.1) * float(batch.known[index])
        total += w * float(F.binary_cross_entropy_with_logits(logits[index].detach(), batch.labels[index].float()))
        weight += w
        if weight > 300:  # enough of the first window
            break
    first = SpliceTask(task.model, task.loss)._weights(batch).flatten().cumsum(0)
    n = int((first < weight).sum()) + 1
    each = F.binary_cross_entropy_with_logits(logits, batch.labels.float(), reduction="none")
    partial = (each * task._weights(batch)).flatten()[:n].sum()
    assert abs(float(partial.detach()) - total) < 1e-3 * total
    expected = (each * task._weights(batch)).sum() / task._weights(batch).sum()
    torch.testing.assert_close(output.loss, expected)


def test_segments_add_up_to_the_whole() -> None:
    labelled, model = planted(), small()
    batch = SpliceTask(model).collate(windows(labelled)[:4])
    whole = next(iter(SpliceTask(model, LossConfig(segment=None, structure=0.0)).steps(batch)))
    parts = list(SpliceTask(model, LossConfig(segment=128, structure=0.0)).steps(batch))
    assert len(parts) == 4
    total = sum(part.loss.detach() * part.weight for part in parts)
    torch.testing.assert_close(total / sum(p.weight for p in parts), whole.loss.detach())


def test_unknown_labels_have_no_gradient() -> None:
    labelled, model = planted(), small()
    batch = SpliceTask(model).collate(windows(labelled)[:2])
    masked = batch._replace(known=torch.zeros_like(batch.known))
    assert list(SpliceTask(model, LossConfig(segment=None)).steps(masked)) == []


def test_training_finds_a_planted_grammar(tmp_path) -> None:
    labelled, model = planted(), small()
    task = SpliceTask(model, LossConfig(segment=250))
    config = TrainerConfig(max_steps=200, batch_size=8, validate_every=200, monitor="ap", mode="max", accelerator="cpu")
    optimizer = OptimizerConfig("adamw", learning_rate=1e-2, schedule="cosine")
    result = Trainer(config, directory=tmp_path / "run").fit(
        task, optimizer, windows(labelled), windows(planted(seed=5))
    )
    assert result.metrics["ap"] > 0.85
    assert result.metrics["donor_topk"] > 0.75
    assert result.metrics["both_strands_ap"] > 0.75
    best = sz.load_model(f"local-dir:{tmp_path / 'run' / 'best'}")
    # The saved model is calibrated: what it calls likely is a site.
    batch = task.collate(windows(planted(seed=5)))
    with torch.no_grad():
        probabilities = best.calibrated(best(batch.codes))
    confident = probabilities[batch.labels > 0]
    assert confident.mean() > 0.7
    assert probabilities[batch.labels == 0].mean() < 0.01


def test_scores_are_those_of_genes_on_their_strand() -> None:
    labelled, model = planted(), small()
    task = SpliceTask(model)
    task.generator = torch.Generator()
    batch = task.collate(windows(labelled))
    found = task.evaluate([batch])
    with torch.no_grad():
        logits = model(batch.codes)
    inside = batch.genic.bool() & batch.known.all(-1)
    for kind, name in enumerate(("donor", "acceptor")):
        score, truth = logits[..., kind][inside].numpy(), batch.labels[..., kind][inside].numpy() > 0
        assert found[f"{name}_topk"] == top_k(score.astype(np.float64), truth)
        assert found[f"{name}_ap"] == average_precision(score.astype(np.float64), truth)
