"""``sciml-zoo splicing``: its numbers against its own files and the whole sequence, going on, and bad input."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import sciml_zoo as sz
from sciml_zoo.cli import main
from sciml_zoo.datasets import dataset_file
from sciml_zoo.splicing import scan as module
from sciml_zoo.splicing.scan import candidate_sites
from sciml_zoo.splicing.sequences import decode, read_fasta

SCAN = ["splicing", "scan", "genome.fa", "--weights", "local-dir:model"]
COLUMNS = ["chromosome", "start", "end", "name", "score", "strand", "p"]
BASES = 60_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights, a genome of two records, and a model of another domain."""
    root = tmp_path_factory.mktemp("built")
    torch.manual_seed(0)
    model = sz.create_model("splice_rnn", channels=6, states=8, blocks=1, memory=8)
    with torch.no_grad():
        model.head.weight.normal_()
    sz.save_model(model, root / "model")
    sz.save_model(sz.create_model("boltzmann_machine", n_visible=3), root / "ising")
    letters = np.random.default_rng(0).choice(list("ACGTacgtN"), BASES)
    (root / "genome.fa").write_text(f">one\n{''.join(letters[:50_000])}\n>two words\n{''.join(letters[50_000:])}\n")
    (root / "empty.fa").write_text("")
    (root / "text.fa").write_text("This is no genome.\n")
    (root / "protein.fa").write_text(">p\nACGTMKLE\n")
    (root / "folder.bed").mkdir()
    return root


@pytest.fixture(autouse=True)
def here(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path in built.iterdir():
        Path(path.name).symlink_to(path)
    return tmp_path


def read(name: str) -> pd.DataFrame:
    table = pd.read_csv(name, sep="\t", names=COLUMNS, dtype={"p": str})
    return table.assign(p=table["p"].map(float))


def test_a_scan_finds_what_the_whole_sequences_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SCAN, "-o", "sites.bed", "--min-probability", "0.05", "--json", "summary.json"]) == 0
    shown = capsys.readouterr()
    found, summary = read("sites.bed"), json.loads(Path("summary.json").read_text())
    model = sz.load_model("local-dir:model")
    expected = []
    for name, codes in read_fasta("genome.fa").items():
        with torch.no_grad():
            p = model.calibrated(model(torch.from_numpy(codes)[None])[0]).numpy()
        places = np.argwhere(candidate_sites(codes) & (p >= 0.05))
        expected += [(name, i, "+-"[s], ("donor", "acceptor")[k], p[i, s, k]) for i, s, k in places.tolist()]
    columns = (found[name].tolist() for name in ("chromosome", "start", "strand", "name"))
    assert list(zip(*columns, strict=True)) == [row[:4] for row in expected]
    np.testing.assert_allclose(found["p"], [row[4] for row in expected], rtol=0, atol=1e-6)
    assert len(found) > 1000
    assert summary["n"] == len(found)
    for (kind, strand), group in found.groupby(["name", "strand"]):
        assert summary["sites"][kind][strand] == len(group)
    assert (summary["bases"], summary["resumed_at"]) == (BASES, 0)
    assert summary["strand_kb_per_s"] == pytest.approx(2 * BASES / summary["seconds"] / 1000)
    assert 50 < summary["peak_memory_mb"] < 5000
    assert f"{len(found):,} sites written to sites.bed" in shown.out


def test_the_same_sites_in_every_text_format() -> None:
    for name in ("sites.bed", "sites.bed.gz", "sites.gff3", "sites.bg"):
        assert main([*SCAN, "-o", name, "--min-probability", "0.3", "--threads", "1"]) == 0
    bed = Path("sites.bed").read_text().splitlines()
    assert gzip.decompress(Path("sites.bed.gz").read_bytes()).decode().splitlines() == bed
    gff = [line.split("\t") for line in Path("sites.gff3").read_text().splitlines()[1:]]
    assert [(row[0], int(row[3]) - 1, row[6], row[5]) for row in gff] == [
        (name, int(start), strand, p) for name, start, _, _, _, strand, p in (line.split("\t") for line in bed)
    ]
    graph = pd.read_csv("sites.bg", sep="\t", names=["chromosome", "start", "end", "p"])
    assert len(graph) == len(read("sites.bed").groupby(["chromosome", "start"]))


def test_a_scan_stopped_by_ctrl_c_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "_CHECKPOINT", module.WINDOW)
    assert main([*SCAN, "-o", "whole.bed.gz"]) == 0
    judge, windows = module._judge, iter(range(10))

    def stopping(*args: object) -> object:
        if next(windows) == 1:
            raise KeyboardInterrupt
        return judge(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_judge", stopping)
        assert main([*SCAN, "-o", "sites.bed.gz"]) == 130
    assert "--resume goes on" in capsys.readouterr().err
    assert not Path("sites.bed.gz").exists()
    assert main([*SCAN, "-o", "sites.bed.gz", "--min-probability", "0.2", "--resume"]) == 2
    assert "min_probability was 0.1 and is 0.2" in capsys.readouterr().err
    assert main([*SCAN, "-o", "sites.bed.gz", "--resume", "--json", "summary.json"]) == 0
    assert Path("sites.bed.gz").read_bytes() == Path("whole.bed.gz").read_bytes()
    assert json.loads(Path("summary.json").read_text())["resumed_at"] == module.WINDOW
    assert not list(Path().glob(".sites*"))


def test_a_stopped_scan_that_is_not_gone_on_with_is_mentioned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (".sites.bed.partial", ".sites.bed.progress.json"):
        Path(name).write_text("of another scan")
    assert main([*SCAN, "-o", "sites.bed", "--resume"]) == 2
    assert "damaged" in capsys.readouterr().err
    assert main([*SCAN, "-o", "sites.bed"]) == 0
    assert "starting anew: the unfinished scan beside sites.bed is overwritten" in capsys.readouterr().err
    assert not list(Path().glob(".sites*"))


def variant_files(reference: str) -> None:
    """A gene, and a variant of its base 1501."""
    kinds = (("gene", "ID=g"), ("mRNA", "ID=t;Parent=g"), ("exon", "Parent=t"))
    lines = [f"one\tmine\t{kind}\t1001\t3000\t.\t+\t.\t{attributes}" for kind, attributes in kinds]
    Path("genes.gff3").write_text("\n".join(["##gff-version 3", *lines, ""]))
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    Path("in.vcf").write_text(f"{header}one\t1501\tv\t{reference}\tC\t.\t.\t.\n")


VARIANTS = [
    "splicing",
    "variants",
    "in.vcf",
    "genome.fa",
    "genes.gff3",
    "-o",
    "out.vcf",
    "--weights",
    "local-dir:model",
]


def test_variants_are_scored(capsys: pytest.CaptureFixture[str]) -> None:
    codes = read_fasta("genome.fa")["one"]
    codes[1500] = 0
    Path("genome.fa").unlink()  # the link to the shared one
    Path("genome.fa").write_text(f">one\n{decode(codes)}\n")
    variant_files("A")
    scores = {}
    for window in ("1", "70"):
        assert main([*VARIANTS, "--window", window, "--json", "summary.json"]) == 0
        summary = json.loads(Path("summary.json").read_text())
        assert (summary["variants"], summary["scored"]) == (1, 1)
        (row,) = [line for line in Path("out.vcf").read_text().splitlines() if not line.startswith("#")]
        assert row.split("\t")[:3] == ["one", "1501", "v"]
        scores[window] = row.split("\t")[7]
    assert scores["1"] != scores["70"]
    assert "written to out.vcf" in capsys.readouterr().out
    variant_files("G")
    assert main(VARIANTS) == 2
    assert "in.vcf, line 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--window 0", ("--window", "'0' is not a whole number")),
        ("--weights local-dir:ising", ("boltzmann_machine",)),
        ("-o none/out.vcf", ("none", "no such directory")),
    ],
)
def test_bad_input_of_variants_is_refused(
    argv: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    variant_files("A")
    try:
        status = main([*VARIANTS, *argv.split()])
    except SystemExit as end:
        status = end.code
    assert status == 2
    shown = capsys.readouterr().err
    assert not [word for word in words if word not in shown], shown


def test_other_verbs_do_not_load_the_domain() -> None:
    code = (
        "import sys; from sciml_zoo.cli import main\n"
        "assert main(['list']) == 0\n"
        "print(*{'torch', 'numba', 'pandas', 'sciml_zoo.splicing'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.splitlines()[-1] == ""


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("none.fa -o out.bed", ("none.fa", "no such file")),
        ("empty.fa -o out.bed", ("empty.fa", "empty")),
        ("text.fa -o out.bed", ("text.fa", "not FASTA", "This is no genome.")),
        ("protein.fa -o out.bed", ("protein.fa, record 'p', position 7", "'L'")),
        ("model -o out.bed", ("model", "not a file")),
        ("dataset:genome -o out.bed", ("name a file",)),
        ("genome.fa", ("-o/--out",)),
        ("genome.fa -o out.txt", ("out.txt", ".bed, .gff3")),
        ("genome.fa -o out.parquet.gz", ("out.parquet.gz", ".bed, .gff3")),
        ("genome.fa -o none/out.bed", ("none", "no such directory")),
        ("genome.fa -o folder.bed", ("folder.bed is a directory",)),
        ("genome.fa -o out.bed --min-probability 0", ("--min-probability", "'0' is not a probability")),
        ("genome.fa -o out.bed --min-probability 1.01", ("--min-probability", "'1.01'")),
        ("genome.fa -o out.bed --min-probability nan", ("--min-probability", "'nan'")),
        ("genome.fa -o out.bed --min-probability high", ("--min-probability", "'high'")),
        ("genome.fa -o out.bed --threads 0", ("--threads", "'0' is not a whole number")),
        ("genome.fa -o out.bed --device gpu", ("--device gpu",)),
        ("genome.fa -o out.bed --resume", ("out.bed", "nothing to resume")),
        ("genome.fa -o out.bed --weights local-dir:ising", ("--weights local-dir:ising", "boltzmann_machine")),
        ("genome.fa -o out.bed --weights local-dir:none", ("none", "no such directory")),
        ("genome.fa -o out.bed --weights splice_rn.athaliana", ("splice_rn.athaliana",)),
        ("genome.fa -o out.bed --json none/out.json", ("none", "no such directory")),
        ("genome.fa -o out.bed --min-probabilty 0.2", ("did you mean '--min-probability'",)),
    ],
)
def test_bad_input_is_refused(argv: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(os.listdir())  # noqa: PTH208
    weights = [] if "--weights" in argv else ["--weights", "local-dir:model"]
    try:
        status = main(["splicing", "scan", *argv.split(), *weights])
    except SystemExit as end:
        status = end.code
    assert status == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert not [word for word in words if word not in shown], shown
    assert sorted(os.listdir()) == before  # noqa: PTH208


@pytest.mark.parametrize(
    ("argv", "word"),
    [("splicing", "VERB"), ("splicing scann", "scann"), ("splicing scan genome.fa -o out.bed", "--weights")],
)
def test_words_that_are_missing_or_wrong(argv: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv.split())
    assert end.value.code == 2
    assert word in capsys.readouterr().err


def test_the_genome_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("genome.fa").read_text()
    Path("genome.bed").write_text(text)
    argv = ["splicing", "scan", "genome.bed", "-o", "../" + Path.cwd().name + "/genome.bed"]
    assert main([*argv, "--weights", "local-dir:model"]) == 2
    assert "is the genome itself" in capsys.readouterr().err
    assert Path("genome.bed").read_text() == text


@pytest.mark.data
def test_a_genome_of_the_catalogue_is_scanned_whole() -> None:
    name = "dataset:genome/athaliana_chr2-5.fa"
    argv = ["splicing", "scan", name, "--weights", "local-dir:model", "-o", "sites.bed", "--min-probability", "0.5"]
    assert main([*argv, "--json", "summary.json"]) == 0
    sequences = read_fasta(dataset_file("genome", "athaliana_chr2-5.fa"))
    assert json.loads(Path("summary.json").read_text())["bases"] == sum(map(len, sequences.values()))
    for chromosome, group in read("sites.bed").groupby("chromosome"):
        codes = sequences[chromosome]
        strand, kind = group["strand"].map("+-".index), group["name"].map(["donor", "acceptor"].index)
        assert candidate_sites(codes)[group["start"], strand, kind].all()
        assert group["start"].is_monotonic_increasing


GENES = """\
one\tx\tgene\t1001\t3000\t.\t+\t.\tID=g1
one\tx\tmRNA\t1001\t3000\t.\t+\t.\tID=g1.1;Parent=g1
one\tx\texon\t1001\t1500\t.\t+\t.\tParent=g1.1
one\tx\texon\t2001\t3000\t.\t+\t.\tParent=g1.1
"""
PLOT = ["splicing", "plot", "track", "genome.fa", "genes.gff3", "--weights", "local-dir:model"]


def test_plots_are_written(here: Path) -> None:
    (here / "genes.gff3").write_text(GENES)
    assert main([*PLOT, "-o", "gene.svg", "--gene", "g1", "--json", "plot.json"]) == 0
    assert "g1" in Path("gene.svg").read_text(encoding="utf-8")
    assert json.loads(Path("plot.json").read_text()) == {"what": "track", "out": "gene.svg"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "gene.txt"], (".png",)),
        (["-o", "gene.png", "--gene", "g2"], ("--gene g2", "g1")),
        (["-o", "gene.png", "--chromosomes", "three"], ("'three'",)),
        (["-o", "gene.png", "--weights", "local-dir:ising"], ("boltzmann_machine",)),
    ],
)
def test_plots_that_cannot_be(
    options: list[str], words: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "genes.gff3").write_text(GENES)
    try:
        status = main([*PLOT, *options])
    except SystemExit as error:
        status = int(error.code or 0)
    assert status == 2
    shown = capsys.readouterr().err
    assert all(word in shown for word in words)
    assert not Path("gene.png").exists()
