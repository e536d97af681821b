"""Laws of the training data: labels from annotations, junction records, chains, splits without shared words."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.chains import GeneChains
from sciml_zoo.splicing.data import TrainingWindows, cover, independent_contigs, split_genome
from sciml_zoo.splicing.genes import Annotation, Gene, Intron, Transcript
from sciml_zoo.splicing.homology import WORD, WordIndex
from sciml_zoo.splicing.junctions import Junction, merge, read_junctions
from sciml_zoo.splicing.labels import EXON, INTRON, OUTSIDE, UNKNOWN, LabelledGenome, Region, Window
from sciml_zoo.splicing.sequences import decode, encode, reverse_complement


def random_bases(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def gene(name: str, chromosome: str, strand: str, exons: list[tuple[int, int]], biotype: str | None = None) -> Gene:
    transcript = Transcript(f"{name}.1", chromosome, strand, tuple(exons))
    return Gene(name, chromosome, strand, exons[0][0], exons[-1][1], biotype, (transcript,))


def genome(
    genes: list[Gene], length: int = 3000, supported: tuple[Intron, ...] = (), chromosomes: str = "AB"
) -> LabelledGenome:
    sequences = {name: encode(random_bases(length, ord(name))) for name in chromosomes}
    return LabelledGenome(sequences, Annotation(tuple(genes), supported, "test"))


def junction(gene: str, seed: int, count: float = 100.0, intron: int = 60) -> Junction:
    text = random_bases(100 + intron, seed)
    return Junction(text[:50], "GT" + text[52 : 48 + intron] + "AG", text[50 + intron :], count, gene)


# ---- labels


def test_sites_of_both_strands() -> None:
    labelled = genome([gene("f", "A", "+", [(100, 200), (260, 300)]), gene("r", "A", "-", [(500, 550), (640, 700)])])
    window = labelled.window(Region("A", 50, 750))
    found = {(int(p) + 50, int(s), int(k)) for p, s, k in np.argwhere(window.labels)}
    assert found == {(200, 0, 0), (259, 0, 1), (639, 1, 0), (550, 1, 1)}
    assert window.known.all()
    assert window.genic[50:250, 0].all()
    assert window.genic[:, 0].sum() == 200
    assert window.genic[:, 1].sum() == 200
    structure = window.structure
    assert (structure[150:210, 0] == INTRON).all()
    assert (structure[50:150, 0] == EXON).all()
    assert (structure[:50] == OUTSIDE).all()
    assert (structure[500:590, 1] == INTRON).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(-100, 3100), st.integers(1, 900))
def test_a_window_is_a_part_of_the_chromosome(start: int, length: int) -> None:
    labelled = genome(
        [gene("f", "A", "+", [(100, 200), (260, 300)]), gene("r", "A", "-", [(2500, 2550), (2640, 2700)])]
    )
    whole, part = labelled.window(Region("A", -100, 4000)), labelled.window(Region("A", start, start + length))
    for name in ("codes", "labels", "known", "genic", "structure"):
        expected = getattr(whole, name)[start + 100 : start + 100 + length]
        np.testing.assert_array_equal(getattr(part, name)[: len(expected)], expected)
    outside = [i for i in range(length) if not 0 <= start + i < 3000]
    assert (part.codes[outside] == 4).all()
    assert not part.known[outside].any()


def test_uncertain_sites_are_neither_learned_nor_counted() -> None:
    seen = Intron("A", "+", 150, 180, count=10.0)
    rare = Intron("A", "+", 1000, 1100, count=9.0)
    annotated = Intron("A", "+", 200, 260, count=50.0)
    genes = [gene("f", "A", "+", [(100, 200), (260, 300)]), gene("p", "A", "-", [(500, 550), (640, 700)], "pseudogene")]
    window = genome(genes, supported=(seen, rare, annotated)).window(Region("A", 0, 1200))
    unknown = {tuple(row) for row in np.argwhere(~window.known).tolist()}
    assert unknown == {(150, 0, 0), (179, 0, 1), (639, 1, 0), (550, 1, 1)}
    assert window.labels[200, 0, 0]
    assert window.labels[259, 0, 1]
    assert window.labels.sum() == 2
    assert not window.genic[:, 1].any()
    assert (window.structure[500:700] == UNKNOWN).all()


def test_hidden_regions() -> None:
    labelled = genome([gene("f", "A", "+", [(100, 200), (260, 300)])])
    labelled.hide([Region("A", 90, 310)])
    window = labelled.window(Region("A", 80, 320))
    assert not window.known[10:230].any()
    assert window.known[:10].all()
    assert window.known[230:].all()


def assert_same(one: Window, other: Window) -> None:
    for name in ("codes", "labels", "known", "genic", "structure"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_reverse_complement_of_a_window_is_the_window_of_the_reverse_complement() -> None:
    labelled = genome([gene("f", "A", "+", [(100, 200), (260, 300)])])
    turned_gene = gene("f", "A", "-", [(3000 - 300, 3000 - 260), (3000 - 200, 3000 - 100)])
    turned = LabelledGenome({"A": reverse_complement(labelled.sequences["A"])}, Annotation((turned_gene,), (), "test"))
    assert_same(labelled.window(Region("A", 50, 400)).reverse_complement(), turned.window(Region("A", 2600, 2950)))
    window = labelled.window(Region("A", 50, 400))
    assert_same(window.reverse_complement().reverse_complement(), window)


# ---- junction records


def test_records_that_overlap_are_merged() -> None:
    """A gene whose middle exon has 70 bases: two records share 30 of them."""
    text = random_bases(400, 1)
    one = Junction(text[:50], text[50:120], text[120:170], 20, "g")
    two = Junction(text[140:190], text[190:280], text[280:330], 7, "g")
    (contig,) = merge([two, one])
    assert decode(contig.codes) == text[:330]
    assert [tuple(row) for row in contig.sites] == [(50, 0, 20), (119, 1, 20), (190, 0, 7), (279, 1, 7)]
    assert contig.flanks == (50, 50)


def test_records_of_other_genes_are_not_merged() -> None:
    text = random_bases(400, 1)
    one = Junction(text[:50], text[50:120], text[120:170], 20, "g")
    two = Junction(text[140:190], text[190:280], text[280:330], 7, "h")
    assert [len(contig.codes) for contig in merge([one, two])] == [170, 190]


def test_alternative_sites_in_a_flank_are_marked() -> None:
    """The same acceptor with two donors, the second 20 bases further on: each record holds both, or the second only."""
    text = random_bases(300, 2)
    near, far = (
        Junction(text[:50], text[50:150], text[150:200], 9, "g"),
        Junction(text[20:70], text[70:150], text[150:200], 4, "g"),
    )
    contigs = merge([near, far])
    rows = {tuple(row) for row in contigs[0].sites}
    assert (50, 0, 9) in rows
    assert (70, 0, 4) in rows
    assert (149, 1, 9) in rows


def test_reading_records(tmp_path: Path) -> None:
    file = tmp_path / "records.txt.gz"
    file.write_bytes(gzip.compress(b"acgt GTAAAG ccc 3 g1\n\nAAA GTCCAG TTT 0 g2\n"))
    assert read_junctions(file) == [
        Junction("ACGT", "GTAAAG", "CCC", 3, "g1"),
        Junction("AAA", "GTCCAG", "TTT", 0, "g2"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("AAA GTAG CCC 3", "line 1: expected"),
        ("AAA GTAG CCC 3 g\nAAA GTAG CCC x g", "line 2"),
        ("AAA GT!G CCC 3 g", "line 1"),
        ("AAA GTAG CCC -1 g", "negative"),
        ("\n", "no records"),
    ],
)
def test_bad_records(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "records.txt"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        read_junctions(file)


# ---- chains


def chains(count: float = 100.0) -> tuple[GeneChains, list[Junction]]:
    labelled = genome([gene("f", "A", "+", [(100, 200), (260, 400), (700, 900)])])
    records = [junction(f"g{k // 3}", k, count) for k in range(30)]
    return GeneChains(merge(records), labelled, [Region("A", 0, 3000)]), records


def test_chained_sites_are_those_of_the_records() -> None:
    """Around every labelled site stands the text of a record, in the direction of its strand."""
    source, records = chains()
    donors = {j.upstream[-3:] + j.intron[:20] for j in records}
    acceptors = {j.intron[-20:] + j.downstream[:3] for j in records}
    found = 0
    for seed in range(5):
        window = source.window(3000, np.random.default_rng(seed))
        for turned in (window, window.reverse_complement()):
            text = decode(turned.codes)
            for place, kind in np.argwhere(turned.labels[:, 0]):
                around = text[place - 3 : place + 20] if kind == 0 else text[place - 19 : place + 4]
                if len(around) == 23:
                    assert around in (donors if kind == 0 else acceptors)
                    found += 1
    assert found > 50


def test_introns_and_exons_of_chains_follow_the_sites() -> None:
    source, _ = chains()
    window = source.window(4000, np.random.default_rng(3))
    forward = window.structure[:, 0]
    for donor in np.flatnonzero(window.labels[1:, 0, 0]) + 1:
        assert (forward[donor - 1], forward[donor]) == (EXON, INTRON)
    for acceptor in np.flatnonzero(window.labels[:-1, 0, 1]):
        assert (forward[acceptor], forward[acceptor + 1]) == (INTRON, EXON)


def test_positions_in_a_flank_do_not_tell_the_site() -> None:
    """Upstream of a donor, a fixed flank would end after 50 bases; chained exons do not."""
    source, _ = chains()
    lengths = set()
    for seed in range(10):
        window = source.window(3000, np.random.default_rng(seed))
        places = np.flatnonzero(window.structure[:, 0] == EXON)
        starts = places[np.diff(places, prepend=-9) > 1]
        ends = places[np.diff(places, append=1 << 30) > 1]
        lengths |= set((ends - starts).tolist())
    assert len(lengths) > 20


def test_rare_sites_are_masked() -> None:
    source, _ = chains(count=4.0)
    window = source.window(3000, np.random.default_rng(0))
    assert window.labels.sum() == 0
    assert (~window.known & (window.codes < 4)[:, None, None]).sum() > 4


# ---- splits


def test_words_are_found_on_either_strand() -> None:
    text = encode(random_bases(500, 1))
    index = WordIndex([text])
    probe = encode(random_bases(300, 2))
    assert len(index.found(probe)) == 0
    probe[100 : 100 + WORD] = reverse_complement(text[40 : 40 + WORD])
    assert index.found(probe).tolist() == [100]
    probe[110] = 4
    assert len(index.found(probe)) == 0
    assert len(index.found(text[: WORD - 1])) == 0


def split_case() -> LabelledGenome:
    genes = [
        gene(f"g{name}{k}", name, "+-"[k % 2], [(s, s + 100), (s + 200, s + 400)])
        for name in "ABC"
        for k, s in enumerate(range(1000, 29_000, 1500))
    ]
    return genome(genes, length=30_000, chromosomes="ABC")


def test_split_cuts_no_gene_and_holds_chromosomes_out() -> None:
    labelled = split_case()
    split = split_genome(labelled, held_out=["C"], validation_fraction=0.2)
    assert {r.chromosome for r in (*split.train, *split.validation)} == {"A", "B"}
    assert split.held_out == (Region("C", 0, 30_000),)
    for train, validation in zip(split.train, split.validation, strict=True):
        assert train.end == validation.start
        assert 0.1 < len(validation) / 30_000 < 0.3
        assert not any(g.start < train.end < g.end for g in labelled.genes if g.chromosome == train.chromosome)
    assert split.masked == ()


def test_genes_that_resemble_held_out_ones_are_masked() -> None:
    labelled = split_case()
    labelled.sequences["A"][2500:2600] = reverse_complement(labelled.sequences["C"][2600:2700])
    split = split_genome(labelled, held_out=["C"], validation_fraction=0.2)
    assert [g.name for g in split.masked] == ["gA1"]
    assert not labelled.window(Region("A", 2500, 2900)).known.any()


def test_records_that_resemble_or_belong_to_the_genome_are_left_out() -> None:
    labelled = split_case()
    split = split_genome(labelled, held_out=["C"], validation_fraction=0.2)
    held = decode(labelled.sequences["C"][5000:5050])
    like = Junction(held, "GT" + random_bases(60, 9) + "AG", random_bases(50, 8), 50, "other")
    records = [junction("kept", 5), junction("gA3", 6), junction("prefix:gB2", 7), junction("AT3G1", 8), like]
    contigs = independent_contigs(records, labelled, split, ["AT3G*"])
    assert [contig.gene for contig in contigs] == ["kept"]


@pytest.mark.parametrize(
    ("held_out", "words"), [(["Z"], "no sequence 'Z'"), (["A", "B", "C"], "no annotated intron is left to train")]
)
def test_splits_that_cannot_be(held_out: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        split_genome(split_case(), held_out=held_out, validation_fraction=0.2)


def test_training_windows_stay_inside_and_repeat() -> None:
    labelled = split_case()
    split = split_genome(labelled, held_out=["C"], validation_fraction=0.2)
    windows = TrainingWindows(labelled, split.train, length=1000, n=20, seed=3)
    validation = [decode(labelled.sequences[r.chromosome][r.start : r.start + 40]) for r in split.validation]
    for index in range(20):
        assert_same(windows[index], windows[index])
        text = decode(windows[index].codes)
        assert len(text) == 1000
        assert not any(piece in text or piece in decode(reverse_complement(encode(text))) for piece in validation)
    assert not np.array_equal(windows[0].codes, windows[1].codes)
    with pytest.raises(IndexError):
        windows[20]


def test_cover_of_a_large_region_is_evenly_spaced() -> None:
    labelled = split_case()
    every = cover(labelled, [Region("A", 0, 30_000)], 1000)
    some = cover(labelled, [Region("A", 0, 30_000)], 1000, most=10)
    assert len(some) == 10
    for window, expected in zip(some, every[::3], strict=True):
        assert_same(window, expected)


def test_short_sequences_share_a_window() -> None:
    labelled = split_case()
    windows = TrainingWindows(labelled, [Region("A", 0, 700)], length=1000, n=4, seed=0)
    for window in windows:
        assert (window.codes[700:750] > 3).all()
        assert (window.codes > 3).sum() == 50
        assert not window.known[window.codes > 3].any()


def test_of_short_sequences_some_are_for_validation_as_a_whole() -> None:
    names = [chr(ord("A") + k) for k in range(20)]
    genes = [gene(f"g{name}", name, "+", [(100, 200), (260, 400)]) for name in names]
    split = split_genome(
        genome(genes, length=900, chromosomes="".join(names)), held_out=["C"], validation_fraction=0.25
    )
    assert len(split.validation) == 4
    assert len(split.train) == 15
    assert all(len(region) == 900 for region in (*split.train, *split.validation))


def test_cover_holds_every_base_once() -> None:
    labelled = split_case()
    windows = cover(labelled, [Region("A", 5, 2505), Region("B", 100, 1100)], 1000)
    assert [len(w.codes) for w in windows] == [1000] * 4
    np.testing.assert_array_equal(
        np.concatenate([w.codes for w in windows[:3]])[:2500], labelled.sequences["A"][5:2505]
    )
    assert (windows[2].codes[500:] == 4).all()
    assert not windows[2].known[500:].any()
