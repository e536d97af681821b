"""Classified windows: the right bases of the network, duplicates on one side, what the reader refuses."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.splicing.classified import (
    CLASSES,
    LENGTH,
    ClassifiedTask,
    ClassifiedWindow,
    ClassLossConfig,
    class_logits,
    error_rates,
    folds,
    is_classified,
    read_classified,
    split_windows,
)
from sciml_zoo.splicing.inference import evaluate
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.recipe import GenomeConfig, RNNRecipe, prepare
from sciml_zoo.splicing.sequences import decode, encode, reverse_complement
from sciml_zoo.training import TrainerConfig


class Positions(SpliceModel):
    """A network whose logits are what each base is called: position + 1000·strand + 10000·kind."""

    halo = 0

    def __init__(self) -> None:
        super().__init__()
        self.zero = torch.nn.Parameter(torch.zeros(()))

    def from_one_hot(self, bases: torch.Tensor, methylation: torch.Tensor | None = None) -> torch.Tensor:
        place = torch.arange(bases.shape[1])[:, None, None] + 1000 * torch.arange(2)[:, None] + 10000 * torch.arange(2)
        return place.float().expand(len(bases), -1, -1, -1) + self.zero


def windows(n: int, seed: int = 0) -> list[ClassifiedWindow]:
    rng = np.random.default_rng(seed)
    return [
        ClassifiedWindow(f"w{i}", rng.integers(0, 4, LENGTH).astype(np.uint8), int(rng.integers(3))) for i in range(n)
    ]


def test_classes_are_read_at_the_junction() -> None:
    codes = torch.zeros(2, LENGTH, dtype=torch.uint8)
    assert class_logits(Positions(), codes).tolist() == [[0.0, 30.0, 10029.0]] * 2
    assert CLASSES == ("N", "EI", "IE")


def test_loss_is_the_weighted_cross_entropy() -> None:
    torch.manual_seed(0)
    model = sz.create_model("splice_rnn", channels=4, states=4, blocks=1, stem=3, memory=8)
    task = ClassifiedTask(model, ClassLossConfig(smoothing=0.1, weights=(2.0, 1.0, 1.0)))
    task.generator = torch.Generator().manual_seed(0)
    batch = task.collate(windows(20))
    (output,) = task.steps(batch)
    logits = class_logits(model, batch.codes)
    q = 0.9 * F.one_hot(batch.labels, 3) + 0.1 / 3
    weights = torch.tensor([2.0, 1.0, 1.0])
    expected = -(weights * q * logits.log_softmax(1)).sum() / weights[batch.labels].sum()
    torch.testing.assert_close(output.loss, expected)


def test_noise_leaves_the_consensus_and_hides_only_far_bases() -> None:
    task = ClassifiedTask(Positions(), ClassLossConfig(masked=0.5, substituted=0.5))
    task.generator = torch.Generator().manual_seed(0)
    codes = torch.from_numpy(np.stack([w.codes for w in windows(200)]))
    noisy = task._disturbed(codes)
    assert (noisy[:, 28:32] == codes[:, 28:32]).all()
    assert (noisy[:, 10:50] < 4).all()
    hidden = (noisy == 4).float().mean(0)
    assert (hidden[:10] > 0.3).all()
    changed = ((noisy != codes) & (noisy < 4))[:, 10:28].float().mean()
    assert 0.3 < changed < 0.45  # half are drawn again, and a quarter of those stay what they were


def test_duplicates_are_on_one_side() -> None:
    base = windows(60)
    rng = np.random.default_rng(1)
    twins = [ClassifiedWindow("twin", w.codes, int(rng.integers(3))) for w in base[:20]]
    turned = [ClassifiedWindow("turned", reverse_complement(w.codes), w.label) for w in base[20:40]]
    every = [*base, *twins, *turned]
    fold = folds(every, 5, seed=3)
    assert np.array_equal(fold[:20], fold[60:80])
    assert np.array_equal(fold[20:40], fold[80:])
    assert min(np.bincount(fold, minlength=5)) >= 15
    train, validation = split_windows(every, 0.2, seed=0)
    assert len(train) + len(validation) == len(every)
    texts = [{decode(c) for w in part for c in (w.codes, reverse_complement(w.codes))} for part in (train, validation)]
    assert not texts[0] & texts[1]


def test_error_rates_by_hand() -> None:
    found = error_rates(np.array([0, 1, 1, 2, 0]), np.array([0, 0, 1, 2, 2]))
    assert found == {"error": 40.0, "error_N": 50.0, "error_EI": 0.0, "error_IE": 50.0}


def text(rows: list[ClassifiedWindow]) -> str:
    return "".join(f"{CLASSES[w.label]},   {w.name},      {decode(w.codes)}\n" for w in rows)


def test_reading(tmp_path: Path) -> None:
    rows = windows(5)
    file = tmp_path / "windows.gz"
    file.write_bytes(gzip.compress((text(rows) + "\n").encode()))
    for found, expected in zip(read_classified(file), rows, strict=True):
        assert (found.name, found.label) == (expected.name, expected.label)
        np.testing.assert_array_equal(found.codes, expected.codes)
    assert is_classified(file)
    ambiguous = tmp_path / "ambiguous"
    ambiguous.write_text("N, x, " + "A" * 30 + "DNSR" + "A" * 26 + "\n")
    np.testing.assert_array_equal(read_classified(ambiguous)[0].codes, encode("A" * 30 + "NNNN" + "A" * 26))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("EI, x\n", "line 1: expected"),
        (f"EI, x, {'A' * 60}\nEX, y, {'A' * 60}\n", "line 2: the class 'EX'"),
        ("N, x, ACGT\n", "line 1: 4 bases"),
        (f"N, x, {'A' * 59}!\n", "line 1"),
        ("\n", "no windows"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "windows"
    file.write_text(content)
    with pytest.raises(InputError, match=words):
        read_classified(file)


def test_recipe_and_evaluation(tmp_path: Path) -> None:
    file = tmp_path / "windows"
    file.write_text(text(windows(60)))
    trainer = TrainerConfig(monitor="error", accelerator="cpu")
    prepared = prepare(RNNRecipe("splice_rnn", GenomeConfig(classified=str(file)), trainer=trainer))
    assert len(prepared.train) + len(prepared.validation) == 60
    found = evaluate(prepared.task.model, file)  # type: ignore[arg-type]
    labels = np.array([w.label for w in windows(60)])
    with torch.inference_mode():
        predicted = class_logits(prepared.task.model, torch.from_numpy(np.stack([w.codes for w in windows(60)])))  # type: ignore[arg-type]
    assert found == {"n": 60, **error_rates(predicted.argmax(1).numpy(), labels)}
    with pytest.raises(InputError, match="monitor: 'ap' is not measured"):
        RNNRecipe("splice_rnn", GenomeConfig(classified=str(file)), trainer=TrainerConfig(monitor="ap", mode="max"))


@pytest.mark.parametrize("given", [{}, {"fasta": "a"}, {"gff": "b"}, {"fasta": "a", "gff": "b", "classified": "c"}])
def test_one_kind_of_data(given: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"data\.fasta and data\.gff, or data\.classified"):
        GenomeConfig(**given)
