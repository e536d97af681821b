"""From files to a trained network: recipes, what is chosen from the data, starts and teachers, the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

import sciml_zoo as sz
from sciml_zoo.cli import main
from sciml_zoo.errors import InputError
from sciml_zoo.splicing.labels import LabelledGenome
from sciml_zoo.splicing.model import SpliceRNN, SpliceRNNConfig
from sciml_zoo.splicing.recipe import GenomeConfig, LSTMRecipe, RNNRecipe, prepare
from sciml_zoo.splicing.sequences import decode
from sciml_zoo.splicing.synthetic import synthetic_genome
from sciml_zoo.splicing.task import LossConfig, SpliceTask
from sciml_zoo.training import TrainerConfig

RECIPES = Path(__file__).parents[2] / "scripts" / "recipes"
SMALL = SpliceRNNConfig(channels=6, states=8, blocks=1, stem=9, memory=32)


def write(genome: LabelledGenome, folder: Path) -> tuple[Path, Path]:
    """A FASTA file, 60 bases a line, and a GFF3 file."""
    fasta, gff = folder / "genome.fa", folder / "genes.gff3"
    lines = []
    for name, codes in genome.sequences.items():
        text = decode(codes)
        lines += [f">{name}", *(text[i : i + 60] for i in range(0, len(text), 60))]
    fasta.write_text("\n".join(lines) + "\n")
    rows = ["##gff-version 3"]
    for gene in genome.genes:
        rows.append(f"{gene.chromosome}\tx\tgene\t{gene.start + 1}\t{gene.end}\t.\t{gene.strand}\t.\tID={gene.name}")
        for t in gene.transcripts:
            span = f"{t.exons[0][0] + 1}\t{t.exons[-1][1]}"
            rows.append(f"{t.chromosome}\tx\tmRNA\t{span}\t.\t{t.strand}\t.\tID={t.name};Parent={gene.name}")
            rows += [f"{t.chromosome}\tx\texon\t{a + 1}\t{b}\t.\t{t.strand}\t.\tParent={t.name}" for a, b in t.exons]
    gff.write_text("\n".join(rows) + "\n")
    return fasta, gff


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write(synthetic_genome(30, seed=1), tmp_path_factory.mktemp("species"))


def recipe(files: tuple[Path, Path], **changes: object) -> RNNRecipe:
    data = GenomeConfig(str(files[0]), str(files[1]), window=512, chain_fraction=0.5)
    options = {"data": data, "model": SMALL, "loss": LossConfig(segment=128), **changes}
    trainer = TrainerConfig(max_steps=10, batch_size=4, monitor="ap", mode="max", accelerator="cpu")
    return RNNRecipe("splice_rnn", **{"trainer": trainer, **options})  # type: ignore[arg-type]


def test_what_is_prepared(files: tuple[Path, Path]) -> None:
    prepared = prepare(recipe(files))
    genome = synthetic_genome(30, seed=1)
    assert len(prepared.train) == 3 * 4  # ten steps of a quarter window are three batches
    assert {len(window.codes) for window in prepared.train} == {512}
    assert sum(len(w.codes) for w in prepared.validation) >= 0.15 * len(genome.sequences["synthetic"])
    assert "introns" in prepared.notes
    assert sum(int(w.labels.sum()) for w in prepared.train) > 5
    again = prepare(recipe(files))
    for one, other in zip(prepared.train, again.train, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
        np.testing.assert_array_equal(one.labels, other.labels)
    torch.testing.assert_close(prepared.task.model.state_dict(), again.task.model.state_dict())
    other = prepare(recipe(files, seed=1))
    assert not all(np.array_equal(a.codes, b.codes) for a, b in zip(prepared.train, other.train, strict=True))


def test_a_start_takes_weights_and_shape_over(files: tuple[Path, Path], tmp_path: Path) -> None:
    torch.manual_seed(3)
    sz.save_model(SpliceRNN(SpliceRNNConfig(channels=4, states=6, blocks=2, memory=20)), tmp_path / "other")
    prepared = prepare(recipe(files, start=f"local-dir:{tmp_path / 'other'}"))
    started = prepared.task.model
    assert started.training
    assert prepared.recipe.model == SpliceRNNConfig(channels=4, states=6, blocks=2, memory=20)
    expected = sz.load_model(f"local-dir:{tmp_path / 'other'}").state_dict()
    torch.testing.assert_close(started.state_dict(), expected)
    data = GenomeConfig(str(files[0]), str(files[1]))
    with pytest.raises(InputError, match="is a SpliceRNN, not a SpliceLSTM"):
        prepare(LSTMRecipe("splice_lstm", data, start=f"local-dir:{tmp_path / 'other'}"))


def test_teachers_are_part_of_the_target(files: tuple[Path, Path], tmp_path: Path) -> None:
    torch.manual_seed(4)
    teacher = SpliceRNN(SMALL).eval()
    sz.save_model(teacher, tmp_path / "teacher")
    loss = LossConfig(segment=None, structure=0.0, elsewhere=1.0, distillation=0.25)
    prepared = prepare(recipe(files, loss=loss, teachers=(f"local-dir:{tmp_path / 'teacher'}",)))
    task = prepared.task
    assert isinstance(task, SpliceTask)
    batch = task.collate(list(prepared.train)[:2])
    (output,) = task.steps(batch)
    with torch.no_grad():
        target = 0.75 * batch.labels + 0.25 * teacher(batch.codes).sigmoid()
    each = F.binary_cross_entropy_with_logits(task.model(batch.codes), target, reduction="none")
    torch.testing.assert_close(output.loss, each[batch.known].mean(), rtol=1e-5, atol=1e-7)
    with pytest.raises(InputError, match=r"teachers: .* does not find splice sites"):
        prepare(recipe(files, teachers=("rbm.digits",)))


def test_a_recipe_cannot_give_methylation(files: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match=r"model\.methylation: recipes hold no methylation"):
        prepare(recipe(files, model=SpliceRNNConfig(methylation=True)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validation_fraction": 0.0}, "validation_fraction: 0.0"),
        ({"chain_fraction": 1.5}, "chain_fraction: 1.5"),
        ({"window": 3}, "window: 3"),
    ],
)
def test_data_that_cannot_be(changes: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        GenomeConfig("a.fa", "b.gff3", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("monitor", "mode", "words"),
    [("app", "max", "did you mean 'ap'"), ("ap", "min", "the best ap is the max"), ("loss", "max", "the best loss")],
)
def test_monitors_that_cannot_be(files: tuple[Path, Path], monitor: str, mode: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        recipe(files, trainer=TrainerConfig(monitor=monitor, mode=mode))


def test_a_new_species_by_the_command_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    """The recipe for users, shortened: train, evaluate, scan."""
    fasta, gff = map(str, files)
    run = tmp_path / "run"
    options = {
        "start": "null", "model.channels": "8", "model.states": "12", "model.blocks": "1", "model.memory": "64",
        "data.window": "512", "trainer.max_steps": "30", "trainer.validate_every": "30", "trainer.batch_size": "8",
        "loss.segment": "256", "optimizer.learning_rate": "0.02", "optimizer.warmup_steps": "5",
        "trainer.accelerator": "cpu",
    }  # fmt: skip
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    train = ["train", str(RECIPES / "splice_rnn.yaml"), "--data.fasta", fasta, "--data.gff", gff, "--out", str(run)]
    assert main([*train, *words]) == 0
    weights = f"local-dir:{run / 'best'}"
    scores = tmp_path / "scores.json"
    assert main(["evaluate", weights, fasta, "--gff", gff, "--json", str(scores)]) == 0
    found = json.loads(scores.read_text())
    assert found["donor_ap"] > 0.1  # thirty steps; at random it would be below 0.01
    assert found["sites"] == 2 * len(synthetic_genome(30, seed=1).introns)
    bed = tmp_path / "sites.bed"
    scan = ["splicing", "scan", fasta, "--weights", weights, "-o", str(bed), "--min-probability", "0.02"]
    assert main([*scan, "--device", "cpu"]) == 0
    table = pd.read_csv(bed, sep="\t", header=None, names=["chrom", "start", "end", "name", "score", "strand", "p"])
    assert set(table.name) <= {"donor", "acceptor"}
    assert (table.end == table.start + 1).all()
    assert table.start.is_monotonic_increasing
    assert (table.p >= 0.02).all()
