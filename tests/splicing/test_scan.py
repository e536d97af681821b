"""The scan of a genome: windows are the whole, strands are mirrored, and a stopped scan ends as if it had not been."""

import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import sciml_zoo as sz
from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.splicing import scan as module
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.scan import Place, candidate_sites, scan, scan_to_file
from sciml_zoo.splicing.sequences import decode, encode, reverse_complement

HALO = 7
DONORS, ACCEPTORS = ("GT", "GC"), ("AG",)


class Filters(SpliceModel):
    """Linear in the bases up to HALO away and equivariant: its halo is exact."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.nn.Parameter(torch.randn(2, 4, 2 * HALO + 1, generator=generator, dtype=torch.float64))
        self.lengths: list[int] = []

    @property
    def halo(self) -> int:
        return HALO

    def from_one_hot(self, bases: Tensor, methylation: Tensor | None = None) -> Tensor:
        self.lengths.append(bases.shape[1])
        around = F.pad(bases, (0, 0, HALO, HALO)).unfold(1, 2 * HALO + 1, 1)
        return torch.einsum("blcj,skcj->blsk", around, torch.stack([self.weight, self.weight.flip(1, 2)])) / 2


Rows = list[tuple[str, int, int, int]]


def by_definition(model: SpliceModel, records: dict[str, str], least: float) -> tuple[Rows, np.ndarray]:
    """Sites of whole records, each looked for in the letters of its own strand."""
    rows, values = [], []
    for name, text in records.items():
        codes = encode(text)
        with torch.no_grad():
            p = model.calibrated(model(torch.from_numpy(codes)[None])[0]).numpy()
        strands = (decode(codes), decode(reverse_complement(codes)))
        for i in range(len(codes)):
            for s, j in enumerate((i, len(codes) - 1 - i)):
                is_site = strands[s][j : j + 2] in DONORS, j > 0 and strands[s][j - 1 : j + 1] in ACCEPTORS
                for k in (0, 1):
                    if is_site[k] and p[i, s, k] >= least:
                        rows.append((name, i, s, k))
                        values.append(p[i, s, k])
    return rows, np.array(values)


def scanned(model: SpliceModel, path: Path, **options: object) -> tuple[Rows, np.ndarray]:
    rows, values = [], [np.empty(0)]
    for found in scan(model, path, **options):
        assert np.all((found.start <= found.positions) & (found.positions < found.end))
        triples = zip(found.positions.tolist(), found.strand.tolist(), found.kind.tolist(), strict=True)
        rows += [(found.chromosome, *triple) for triple in triples]
        values.append(found.probability)
    return rows, np.concatenate(values)


def fasta(path: Path, records: dict[str, str], width: int = 60) -> Path:
    lines = [
        line
        for name, text in records.items()
        for line in (f">{name} of a test", *(text[i : i + width] for i in range(0, len(text), width)))
    ]
    content = "\n".join([*lines, ""]).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def random_text(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGTacgtN"), length))


pieces = st.one_of(
    st.text("ACGT", min_size=1, max_size=60), st.text("acgtRN", min_size=1, max_size=9), st.just("N" * 50)
)
texts = st.lists(pieces, min_size=1, max_size=5).map("".join)
genomes = st.dictionaries(st.sampled_from(["chr2", "chr10", "1", "x|y"]), texts, min_size=1)


@given(genomes, st.integers(1, 90), st.integers(1, 70), st.booleans())
@settings(max_examples=80, deadline=None)
def test_windows_are_the_whole(tmp_path_factory, records, window, width, compressed) -> None:
    model = Filters()
    path = fasta(tmp_path_factory.mktemp("g") / ("g.fa.gz" if compressed else "g.fa"), records, width)
    expected, values = by_definition(model, records, 0.3)
    model.lengths.clear()
    rows, probabilities = scanned(model, path, min_probability=0.3, window=window)
    assert rows == expected
    np.testing.assert_allclose(probabilities, values, rtol=0, atol=1e-12)
    assert max(model.lengths, default=0) <= window + 2 * HALO


@pytest.mark.parametrize(("name", "shape"), [("splice_rnn", {"memory": 8, "blocks": 2, "channels": 6, "states": 8})])
def test_a_network_that_forgets_sees_the_whole_in_windows(tmp_path: Path, name: str, shape: dict[str, int]) -> None:
    torch.manual_seed(0)
    model = sz.create_model(name, **shape)
    with torch.no_grad():  # far from the initial weights
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    records = {"one": random_text(4000), "short": random_text(model.halo // 2, seed=1)}
    path = fasta(tmp_path / "g.fa", records)
    expected, values = by_definition(model, records, 1e-9)
    for window in (300, 1000, 5000):
        rows, probabilities = scanned(model, path, min_probability=1e-9, window=window)
        assert rows == expected
        assert np.abs(probabilities - values).max() <= 1e-6
    assert values.max() - values.min() > 0.1


def test_the_other_strand_has_the_mirrored_sites(tmp_path: Path) -> None:
    model, text = Filters(), random_text(500)
    turned = decode(reverse_complement(encode(text)))
    rows, values = scanned(model, fasta(tmp_path / "a.fa", {"x": text}), window=64)
    others, mirrored = scanned(model, fasta(tmp_path / "b.fa", {"x": turned}), window=64)
    found = {(499 - i, 1 - s, k): p for (_, i, s, k), p in zip(others, mirrored, strict=True)}
    assert len(rows) == len(others) > 50
    for (_, i, s, k), p in zip(rows, values, strict=True):
        assert found[i, s, k] == pytest.approx(p, abs=1e-12)


@given(st.text("ACGTN", max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_base_is_a_candidate_on_both_strands(text: str) -> None:
    found = candidate_sites(encode(text))
    assert not (found[:, 0].any(1) & found[:, 1].any(1)).any()
    np.testing.assert_array_equal(candidate_sites(reverse_complement(encode(text))), found[::-1, ::-1])


def test_gaps_are_not_read_by_the_network(tmp_path: Path) -> None:
    model = Filters()
    path = fasta(tmp_path / "g.fa", {"x": random_text(100) + "n" * 1000 + random_text(100)})
    windows = list(scan(model, path, window=50))
    assert len(model.lengths) <= 6
    assert [w.start for w in windows] == list(range(0, 1200, 50))


def test_memory_does_not_grow_with_the_genome(tmp_path: Path) -> None:
    peaks = []
    for megabases in (4, 12):
        path = fasta(tmp_path / f"{megabases}.fa", {"x": ("N" * 99_900 + random_text(100)) * 10 * megabases}, 10_000)
        tracemalloc.start()
        for _ in scan(Filters(), path, window=5000):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0]


def test_progress_ends_at_the_number_of_bases(tmp_path: Path) -> None:
    for name in ("g.fa", "g.fa.gz"):
        seen: list[tuple[int, int]] = []
        path = fasta(tmp_path / name, {"x": random_text(450), "y": random_text(50)})
        list(scan(Filters(), path, window=100, on_progress=lambda *numbers, seen=seen: seen.append(numbers)))
        assert [done for done, _ in seen] == [100, 200, 300, 400, 450, 500, 500]
        assert seen[-1] == (500, 500)
        assert all(done <= total for done, total in seen)


# --- files ------------------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """In place of Ctrl-C."""


def stop_after(n: int) -> Callable[[int, int], None]:
    calls = iter(range(1, n + 1))

    def show(done: int, total: int) -> None:
        if next(calls) == n:
            raise Stopped

    return show


@pytest.fixture
def genome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_CHECKPOINT", 60)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # hundreds of them here
    return fasta(
        tmp_path / "g.fa", {"x": random_text(290), "gap": "N" * 90, "y": random_text(35, 1), "z": random_text(80, 2)}
    )


def names(path: Path) -> set[str]:
    return {p.name for p in path.parent.iterdir()}


@pytest.mark.parametrize(("ending", "step"), [("bed.gz", 1), ("bed", 5), ("gff3", 5), ("gff3.gz", 5), ("bedgraph", 5)])
def test_a_stopped_scan_goes_on_to_the_same_bytes(genome: Path, ending: str, step: int) -> None:
    reference, out = genome.with_name(f"reference.{ending}"), genome.with_name(f"out.{ending}")
    options = {"window": 20, "min_probability": 0.2}
    whole = scan_to_file(Filters(), genome, reference, **options)
    assert whole.bases == 495
    resumed = set()
    for n in range(1, 28, step):  # windows, and the end
        out.write_text("an older result")
        with pytest.raises(Stopped):
            scan_to_file(Filters(), genome, out, on_progress=stop_after(n), **options)
        assert out.read_text() == "an older result"
        if f".{out.name}.progress.json" not in names(out):  # stopped before anything was saved: nothing is left
            assert f".{out.name}.partial" not in names(out)
            continue
        with pytest.raises(Stopped):  # once more, in the window that comes next
            scan_to_file(Filters(), genome, out, on_progress=stop_after(1), resume=True, **options)
        again = scan_to_file(Filters(), genome, out, resume=True, **options)
        assert out.read_bytes() == reference.read_bytes()
        assert (again.sites, again.bases, again.n) == (whole.sites, whole.bases, whole.n)
        assert 60 <= again.resumed_at <= 20 * n
        resumed.add(again.resumed_at)
        assert names(out) == {"g.fa", reference.name, out.name}
    assert len(resumed) > 5 / step


def stopped(genome: Path, out: Path, model: SpliceModel | None = None) -> None:
    with pytest.raises(Stopped):
        scan_to_file(model or Filters(), genome, out, window=20, on_progress=stop_after(12))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"min_probability": 0.2}, "min_probability was 0.1 and is 0.2"),
        ({"window": 40}, "window was 20 and is 40"),
        ({"model": Filters(seed=1)}, r"weights \(sha256\) was \w+ and is \w+"),
    ],
)
def test_another_scan_is_not_gone_on_with(genome: Path, changes: dict[str, object], words: str) -> None:
    out = genome.with_name("out.bed")
    stopped(genome, out)
    before = {p.name: p.read_bytes() for p in genome.parent.iterdir()}
    with pytest.raises(InputError, match=f"cannot be resumed: {words}; restore"):
        scan_to_file(**{"model": Filters(), "fasta": genome, "out": out, "window": 20, "resume": True, **changes})
    assert {p.name: p.read_bytes() for p in genome.parent.iterdir()} == before


def test_another_genome_is_not_gone_on_with(genome: Path) -> None:
    out = genome.with_name("out.bed")
    stopped(genome, out)
    os.utime(genome, ns=(1, 1))
    with pytest.raises(InputError, match=r"FASTA file's time of change was .* and is 1;"):
        scan_to_file(Filters(), genome, out, window=20, resume=True)
    with genome.open("a") as file:
        file.write("A\n")
    with pytest.raises(InputError, match="FASTA file's size was"):
        scan_to_file(Filters(), genome, out, window=20, resume=True)


def test_nothing_or_damage_is_not_gone_on_with(genome: Path) -> None:
    out = genome.with_name("out.bed")
    content, state = out.with_name(".out.bed.partial"), out.with_name(".out.bed.progress.json")
    with pytest.raises(InputError, match="nothing to resume"):
        scan_to_file(Filters(), genome, out, resume=True)
    stopped(genome, out)
    saved = json.loads(state.read_text())
    content.write_bytes(content.read_bytes()[: saved["bytes"] - 1])
    with pytest.raises(InputError, match=r"\.out\.bed\.partial: shorter than"):
        scan_to_file(Filters(), genome, out, window=20, resume=True)
    state.write_text(state.read_text()[:30])
    with pytest.raises(InputError, match=r"progress\.json: damaged"):
        scan_to_file(Filters(), genome, out, window=20, resume=True)


def test_without_resuming_a_stopped_scan_is_overwritten(genome: Path) -> None:
    out, reference = genome.with_name("out.bed"), genome.with_name("reference.bed")
    stopped(genome, out, Filters(seed=1))
    for path in (out, reference):
        scan_to_file(Filters(), genome, path)
    assert out.read_bytes() == reference.read_bytes()
    assert names(out) == {"g.fa", "out.bed", "reference.bed"}


def test_what_is_wrong_in_the_middle_of_a_genome_leaves_nothing(genome: Path) -> None:
    out = genome.with_name("out.bed")
    out.write_text("an older result")
    with genome.open("a") as file:
        file.write(">late\nACGT!\n")
    with pytest.raises(InputError, match="record 'late', position 5"):
        scan_to_file(Filters(), genome, out, window=20)
    assert names(out) == {"g.fa", "out.bed"}
    assert out.read_text() == "an older result"


def test_a_network_that_needs_more_than_a_genome_is_refused(genome: Path) -> None:
    model = sz.create_model("splice_rnn", methylation=True, channels=4, states=4, blocks=1)
    with pytest.raises(InputError, match="needs methylation"):
        scan_to_file(model, genome, genome.with_name("out.bed"))
    assert names(genome) == {"g.fa"}


def test_a_wrong_file_name_does_not_cost_the_progress_of_another_scan(genome: Path) -> None:
    out = genome.with_name("out.bed")
    stopped(genome, out)
    before = names(out)
    other = genome.with_name("no.fa")
    other.write_text("no FASTA")
    for path, words in ((other, "not FASTA"), (genome.with_name("none.fa"), "no such file")):
        with pytest.raises(InputError, match=words):
            scan_to_file(Filters(), path, out)
    assert names(out) == before | {"no.fa"}
    scan_to_file(Filters(), genome, out, window=20, resume=True)


def test_a_full_disk_is_a_failure_that_says_what_can_be_done(genome: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = genome.with_name("out.bed")
    stopped(genome, out)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FailureError, match=r"out\.bed could not be written .*make room; what was saved can be resumed"):
        scan_to_file(Filters(), genome, out, window=20, resume=True)
    monkeypatch.undo()
    scan_to_file(Filters(), genome, out, window=20, resume=True)


@pytest.mark.parametrize("least", [0, -1, 1.5, float("nan")])
def test_what_is_no_probability_is_refused(genome: Path, least: float) -> None:
    with pytest.raises(InputError, match="min_probability"):
        scan_to_file(Filters(), genome, genome.with_name("out.bed"), min_probability=least)
    assert names(genome) == {"g.fa"}


def test_places_that_cannot_be_are_refused(genome: Path) -> None:
    with pytest.raises(InputError, match="window: 0"):
        scan(Filters(), genome, window=0)
    with pytest.raises(InputError, match="no window that ends at"):
        list(scan(Filters(), genome, window=20, resume_from=Place("x", 30)))
    with pytest.raises(InputError, match="is the genome itself"):
        scan_to_file(Filters(), genome.rename(genome.with_suffix(".bed")), genome.with_suffix(".bed"))
    with pytest.raises(InputError, match="no such directory"):
        scan_to_file(Filters(), genome.with_suffix(".bed"), genome.with_name("none") / "out.bed")
