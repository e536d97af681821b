"""Scores of variants: against the definition on whole chromosomes, and against sites known from the letters."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sciml_zoo as sz
from sciml_zoo.datasets import dataset_file
from sciml_zoo.splicing.annotation import check_annotation, read_annotation
from sciml_zoo.splicing.sequences import decode, encode, read_fasta, reverse_complement
from sciml_zoo.splicing.variants import score_variants
from tests.splicing.scored_variants import HEADER, NAMES, Row, parsed, run
from tests.splicing.toy_models import CERTAIN, Dinucleotides, Linear


def one(folder: Path, genome: str, row: Row, strand: str = "+", **options) -> dict[str, tuple[float, int]]:
    """Returns the nonzero scores of a variant by the dinucleotides."""
    run(folder, Dinucleotides(), genome, [("x", strand, 0, len(genome))], [row], **options)
    ((scores,),) = (line.values() for line in parsed(folder / "out.vcf"))
    return {name: (score, place) for name, (score, place) in scores.items() if score > 0}


#         123456789012345678901234567890123456789
GENOME = "CCCCCCCCCCGTCCCCCCCCCCCCCCCCCAGCCCCCCCC"


def test_a_base_that_destroys_or_makes_a_site(tmp_path: Path) -> None:
    assert one(tmp_path, GENOME, (12, "T", "C")) == {"DL": (CERTAIN, -1)}
    assert one(tmp_path, GENOME, (11, "G", "A")) == {"DL": (CERTAIN, 0)}
    assert one(tmp_path, GENOME, (30, "A", "C")) == {"AL": (CERTAIN, 1)}
    assert one(tmp_path, GENOME, (11, "GT", "CT")) == {"DL": (CERTAIN, 0)}  # trimmed to one base
    assert one(tmp_path, GENOME, (10, "C", "A")) == {"AG": (CERTAIN, 1)}
    assert one(tmp_path, GENOME, (20, "CC", "GT")) == {"DG": (CERTAIN, 0)}
    assert one(tmp_path, GENOME, (20, "C", "T")) == {}
    assert one(tmp_path, GENOME, (20, "C", "T"), "-") == {"AG": (CERTAIN, -1)}  # CT is AG of the other strand
    assert one(tmp_path, GENOME, (20, "C", "A"), "-") == {"DG": (CERTAIN, 1)}


def test_sites_farther_than_the_window_do_not_count(tmp_path: Path) -> None:
    assert one(tmp_path, GENOME, (13, "CCC", "GTG"), window=1) == {"DG": (CERTAIN, 0)}
    for window, expected in ((3, {}), (4, {"DG": (CERTAIN, 4)})):
        model = Linear()
        with torch.no_grad():  # the donor's logit sees only a T, four bases before
            model.weight.zero_()
            model.weight[0, 3, model.halo - 4] = 40
            model.calibration.parameters_of_kinds[0] = torch.tensor([-20.0, 1, 1])
        run(tmp_path, model, "C" * 40, [("x", "+", 0, 40)], [(20, "C", "T")], window=window)
        ((scores,),) = (line.values() for line in parsed(tmp_path / "out.vcf"))
        assert {name: value for name, value in scores.items() if value[0] > 0} == expected


def test_deleted_bases_have_no_site_and_those_behind_keep_theirs(tmp_path: Path) -> None:
    assert one(tmp_path, GENOME, (8, "CCC", "C")) == {}
    assert one(tmp_path, GENOME, (10, "CG", "C")) == {"DL": (CERTAIN, 1)}
    assert one(tmp_path, GENOME, (11, "GT", "G")) == {"DL": (CERTAIN, 0)}
    assert one(tmp_path, GENOME, (10, "CGTC", "C")) == {"DL": (CERTAIN, 1)}
    assert one(tmp_path, "CCCCCCCCGCCTCCCCCCCC", (9, "GCC", "G")) == {"DG": (CERTAIN, 0)}
    assert one(tmp_path, "CCCCCCCCGCCTCCCCCCCC", (9, "GCCT", "GT")) == {"DG": (CERTAIN, 0)}
    # All of a long deletion is near.
    assert one(tmp_path, GENOME, (9, GENOME[8:33], "C"), window=15) == {"DL": (CERTAIN, 2), "AL": (CERTAIN, 22)}


def test_inserted_bases_compete_with_the_one_before_them(tmp_path: Path) -> None:
    assert one(tmp_path, GENOME, (20, "C", "CGT")) == {"DG": (CERTAIN, 0)}
    assert one(tmp_path, GENOME, (11, "G", "GC")) == {"DL": (CERTAIN, 0)}
    assert one(tmp_path, GENOME, (11, "G", "GG")) == {}  # the second G is a donor in place of the first
    assert one(tmp_path, GENOME, (12, "T", "TCCC")) == {}
    assert one(tmp_path, GENOME, (20, "C", "TGTT")) == {"DG": (CERTAIN, 0)}
    # Before the first base of a chromosome there is none: the first takes the place.
    assert one(tmp_path, GENOME, (1, "C", "GTC")) == {"DG": (CERTAIN, 0)}


def test_several_bases_do_what_each_does(tmp_path: Path) -> None:
    first, second = one(tmp_path, GENOME, (12, "T", "C")), one(tmp_path, GENOME, (30, "A", "C"))
    both = one(tmp_path, GENOME, (12, GENOME[11:30], "C" + GENOME[12:29] + "C"))
    assert both == first | {"AL": (second["AL"][0], second["AL"][1] + 18)}


def test_of_equal_scores_the_nearest_and_then_the_one_upstream_counts(tmp_path: Path) -> None:
    genome = "CCCCGGCCCCGGCCCCCC"
    assert one(tmp_path, genome, (7, "CCCCGGC", "TCCCGGT")) == {"DG": (CERTAIN, 5)}  # and farther away at −1
    assert one(tmp_path, "C" * 20, (5, "CCCCC", "GTGTA"))["DG"] == (CERTAIN, 0)
    assert one(tmp_path, "C" * 20, (5, "CCCCC", "ACACT"), "-")["DG"] == (CERTAIN, 3)
    assert one(tmp_path, "C" * 20, (5, "CCC", "ACA"), "-")["DG"] == (CERTAIN, 1)  # and farther away at 3


def placed(genome: str, start: int, reference: str, alternative: str, first: int, last: int) -> tuple[str, list[list]]:
    """Returns the changed chromosome, and for each base first … last those of it that stand in its place."""
    ends = 0
    while ends < min(len(reference), len(alternative)) and reference[-1 - ends] == alternative[-1 - ends]:
        ends += 1
    old, new = reference[: len(reference) - ends], alternative[: len(alternative) - ends]
    while old and new and old[0] == new[0]:
        old, new, start = old[1:], new[1:], start + 1
    changed = genome[:start] + new + genome[start + len(old) :]
    place = []
    for i in range(len(genome)):
        if i < start:
            place.append([i])
        elif i < start + len(old):
            place.append([i] if i - start < len(new) else [])
        else:
            place.append([i + len(new) - len(old)])
    if len(new) > len(old):
        place[max(start + len(old) - 1, 0)] += range(start + len(old), start + len(new))
    return changed, place[max(start - first, 0) : start + len(old) + last]


@st.composite
def cases(draw) -> tuple[str, list[Row]]:
    genome = draw(st.text("ACGT", min_size=8, max_size=60))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(genome) - 1))
        reference = genome[start : start + draw(st.integers(1, 7))]
        alternative = draw(st.text("ACGT", min_size=1, max_size=7).filter(lambda text, r=reference: text != r))
        rows.append((start + 1, reference, alternative))
    return genome, rows


@given(cases(), st.integers(1, 12), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_scores_are_those_of_the_definition(tmp_path_factory, case, window, batch_size) -> None:
    genome, rows = case
    folder, model = tmp_path_factory.mktemp("v"), Linear()
    genes = [("x", "+", 0, len(genome)), ("y", "-", 0, len(genome))]
    summary = run(folder, model, genome, genes, rows, window=window, batch_size=batch_size)
    assert (summary["scored"], summary["skipped"]) == (len(rows), {})

    def probabilities(text: str) -> np.ndarray:
        with torch.no_grad():
            return model.calibrated(model(torch.from_numpy(encode(text))[None]))[0].numpy()

    before = probabilities(genome)
    for (position, reference, alternative), line in zip(rows, parsed(folder / "out.vcf"), strict=True):
        changed, places = placed(genome, position - 1, reference, alternative, window, window)
        _, everywhere = placed(genome, position - 1, reference, alternative, len(genome), len(genome))
        first = next(i for i in range(len(genome)) if everywhere[i:][: len(places)] == places)
        p = probabilities(changed)
        after = np.array([p[place].max(0) if place else np.zeros((2, 2)) for place in places])
        gain = after - before[first : first + len(places)]
        for gene, strand in (("x", 0), ("y", 1)):
            for name, values in zip(NAMES, (*_both(gain[:, strand, 1]), *_both(gain[:, strand, 0])), strict=True):
                score, offset = line[alternative, gene][name]
                assert score == pytest.approx(max(values.max(), 0), abs=6e-5)
                if score > 0:
                    assert values[position - 1 + offset - first] == pytest.approx(score, abs=6e-5)


def _both(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values, -values


@given(cases(), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_the_other_strand_is_a_mirror(tmp_path_factory, case, window) -> None:
    genome, rows = case
    folder, model = tmp_path_factory.mktemp("v"), Linear()
    length = len(genome)
    # Replaced bases one to one, or deleted where no other deletion leaves the same: else, what is left is on the left.
    rows = [(p, r, "".join({"A": "C", "C": "G", "G": "T", "T": "A"}[base] for base in r)) for p, r, _ in rows]
    rows += [
        (p, r, r[0])
        for p, r, _ in rows
        if len(r) > 1 and r[0] != r[-1] and (p + len(r) > length or genome[p + len(r) - 1] != r[1])
    ]
    run(folder, model, genome, [("x", "+", 0, length), ("y", "-", 3, 5)], rows, window=window)
    direct = parsed(folder / "out.vcf")

    def other(text: str) -> str:
        return decode(reverse_complement(encode(text)))

    mirrored = []
    for position, reference, alternative in rows:
        if len(reference) == len(alternative):
            mirrored.append((length - position - len(reference) + 2, other(reference), other(alternative)))
        elif position + len(reference) <= length:  # the base before is the one that was behind
            deleted = genome[position : position + len(reference)]
            mirrored.append((length - position - len(reference) + 1, other(deleted), other(deleted[-1])))
        else:
            mirrored.append((1, "N", "."))
    run(
        folder,
        model,
        other(genome),
        [("x", "-", 0, length), ("y", "+", length - 5, length - 3)],
        mirrored,
        window=window,
    )
    for row, line, (position, _, alternative), back in zip(
        rows, direct, mirrored, parsed(folder / "out.vcf"), strict=True
    ):
        if alternative == ".":
            continue
        assert {gene for _, gene in line} == {gene for _, gene in back}
        for (_, gene), scores in line.items():
            for name, (score, offset) in scores.items():
                there, offset_there = back[alternative, gene][name]
                assert there == score
                if score > 0:
                    assert row[0] + offset == length + 1 - (position + offset_there)


def test_alleles_share_one_pass_over_the_reference(tmp_path: Path) -> None:
    genome = "ACGT" * 30
    rows = [(61, "A", "C,G,T"), (61, "A", "G"), (61, "AC", "A")]
    model, genes = Linear(), [("x", "+", 0, 120), ("y", "-", 0, 120)]
    summary = run(tmp_path, model, genome, genes, rows)
    assert (summary["records"], summary["variants"], summary["scored"]) == (3, 5, 5)
    assert sum(n for n, _ in model.read) == 1 + 3 + 2
    first, second, _ = parsed(tmp_path / "out.vcf")
    assert all(first[key] == value for key, value in second.items())
    # No more is read than the window and the halo need.
    assert max(length for _, length in model.read) == 2 * (10 + 7) + 2


def test_genes_that_the_annotation_holds_in_part_count_too(tmp_path: Path) -> None:
    run(tmp_path, Dinucleotides(), GENOME, [("x", "+", 0, 9)], [(12, "T", "C")])
    (scores,) = parsed(tmp_path / "out.vcf")
    assert set(scores) == {("C", "x")}
    with (tmp_path / "g.gff3").open("a") as file:
        file.write("c\tt\texon\t11\t20\t.\t+\t.\tParent=lost\n")
    with pytest.warns(UserWarning, match="lost"):
        score_variants(Dinucleotides(), *(tmp_path / name for name in ("in.vcf", "g.fa", "g.gff3", "out.vcf")))
    (scores,) = parsed(tmp_path / "out.vcf")
    assert set(scores) == {("C", "x"), ("C", "lost")}
    assert scores["C", "lost"]["DL"] == (CERTAIN, -1)


def random_rows(genome: str, n: int, rng: np.random.Generator) -> list[Row]:
    rows = []
    for start in rng.integers(0, len(genome) - 5, n):
        reference = genome[start : start + rng.integers(1, 4)]
        alternative = "".join(rng.choice(list("ACGT"), rng.integers(1, 4)))
        rows.append((int(start) + 1, reference, alternative))
    return rows


def _append(told: list[tuple[int, int]], done: int, total: int) -> None:
    told.append((done, total))


def test_batches_do_not_change_the_result(tmp_path: Path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    genome = "".join(rng.choice(list("ACGTN"), 300))
    rows = random_rows(genome, 60, rng)
    genes = [("x", "+", 20, 150), ("y", "-", 100, 280)]
    results = set()
    for batch_size, batches in ((1, 64), (7, 64), (32, 64), (5, 1)):
        monkeypatch.setattr("sciml_zoo.splicing.variants._BATCHES", batches)
        told: list[tuple[int, int]] = []
        show = partial(_append, told)
        run(tmp_path, Linear(), genome, genes, rows, batch_size=batch_size, on_progress=show)
        results.add((tmp_path / "out.vcf").read_bytes())
        scored = sum(bool(line) for line in parsed(tmp_path / "out.vcf"))
        assert told == sorted(told)
        assert told[-1] == (scored, scored)
    assert len(results) == 1


def test_context_beyond_the_halo_changes_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = sz.create_model("splice_rnn", channels=6, states=6, blocks=1, memory=4, stem=5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    rng = np.random.default_rng(1)
    genome = "".join(rng.choice(list("ACGT"), 600))
    rows = random_rows(genome, 20, rng)
    lines = []
    for context, batch_size in ((2048, 32), (model.halo, 3), (model.halo // 2, 32)):
        run(tmp_path, model, genome, [("x", "+", 0, 600)], rows, context=context, batch_size=batch_size)
        lines.append(parsed(tmp_path / "out.vcf"))
    scores = np.array([[[s for s, _ in v.values()] for line in found for v in line.values()] for found in lines])
    assert scores.max() > 0.01
    np.testing.assert_allclose(scores, scores[:1].repeat(3, 0), atol=2.1e-4)


@pytest.mark.data
def test_every_canonical_donor_and_acceptor_of_a_genome_is_lost_where_it_is(tmp_path: Path) -> None:
    fasta, genes = (dataset_file("genome", f"athaliana_chr2-5.{ending}.gz") for ending in ("fa", "gff3"))
    sequences = read_fasta(fasta)
    with pytest.warns(UserWarning, match="no row of their own"):
        annotation = check_annotation(read_annotation(genes), sequences)
    rows, expected = [], []
    for gene in annotation.genes:
        if gene.chromosome != "Chr3":
            continue
        for intron in gene.introns:
            for place, name in ((intron.donor, "DL"), (intron.acceptor, "AL")):
                if intron.canonical:
                    base = decode(sequences["Chr3"][place : place + 1])
                    rows.append(f"Chr3\t{place + 1}\t.\t{base}\t{'T' if base == 'C' else 'A'}\t.\t.\t.\n")
                    expected.append((gene.name, name))
    (tmp_path / "in.vcf").write_text(HEADER + "".join(rows))
    with pytest.warns(UserWarning, match="no row of their own"):
        summary = score_variants(
            Dinucleotides(), tmp_path / "in.vcf", fasta, genes, tmp_path / "out.vcf", batch_size=256
        )
    assert summary["scored"] == len(rows) > 500
    for (gene, name), line in zip(expected, parsed(tmp_path / "out.vcf"), strict=True):
        (scores,) = (value for (_, found), value in line.items() if found == gene)
        assert scores[name] == (CERTAIN, 0)
