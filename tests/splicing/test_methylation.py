"""Methylation: every format tells the same, tracks by their definition, positions that must be cytosines."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.datasets import dataset_file
from sciml_zoo.errors import InputError
from sciml_zoo.splicing.methylation import read_methylation
from sciml_zoo.splicing.sequences import decode, read_fasta, reverse_complement

few = settings(max_examples=40, deadline=None)
CX_HEADER = "chrom\tpos1\tstrand\tcontext\ttrinuc\tmeth_reads\ttotal_reads\n"


def table(*columns):
    return "".join("\t".join(map(str, row)) + "\n" for row in columns)


def as_cx(rows):
    return CX_HEADER + table(*((c, p + 1, s, "CG", "CGA", m, n) for c, p, s, m, n in rows))


def as_report(rows):
    return table(*((c, p + 1, s, m, n - m, "CG", "CGA") for c, p, s, m, n in rows))


def as_coverage(rows):
    return table(*((c, p + 1, p + 1, 100 * m / n if n else 0, m, n - m) for c, p, s, m, n in rows))


def as_bedmethyl(rows):
    """ENCODE's eleven columns."""
    head = 'track name="methylation"\n'
    return head + table(
        *((c, p, p + 1, "K562", n, s, p, p + 1, "0,0,0", n, 100 * m / n if n else 0) for c, p, s, m, n in rows)
    )


def as_modkit(rows):
    """The eighteen columns of modkit, with 5hmC beside 5mC, and spaces between the last as older versions wrote."""
    lines = []
    for c, p, s, m, n in rows:
        for code, count in (("h", n - m), ("m", m)):
            tabbed = "\t".join(map(str, (c, p, p + 1, f"{code},CG,0", n, s, p, p + 1, "255,0,0")))
            lines.append(f"{tabbed}\t{n} {100 * count / n if n else 'NaN'} {count} {n - count} 0 0 0 0 0\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("methylation")


def read(folder, text, compressed=False):
    path = folder / "methylation"
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    return read_methylation(path)


@st.composite
def measured(draw):
    """Two random chromosomes, and rows (chromosome, position, strand, methylated, reads) of their cytosines."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sequences = {name: rng.integers(0, 5, draw(st.integers(20, 80))).astype(np.uint8) for name in ("Chr1", "x")}
    rows = []
    for name, codes in sequences.items():
        for position, code in enumerate(codes):
            if code in (1, 2) and rng.random() < 0.8:
                reads = int(rng.integers(0, 30))
                rows.append((name, position, "+" if code == 1 else "-", int(rng.integers(0, reads + 1)), reads))
    rows = rows or [("x", int(np.argmax(sequences["x"] == 1)), "+", 0, 1)]
    rng.shuffle(order := np.arange(len(rows)))
    return sequences, [rows[k] for k in order]


@given(measured(), st.booleans(), st.integers(1, 20))
@few
def test_every_format_tells_the_same_and_tracks_hold_what_the_rows_say(folder, case, compressed, min_depth):
    sequences, rows = case
    for write in (as_cx, as_report, as_coverage, as_bedmethyl, as_modkit):
        methylation = read(folder, write(rows), compressed).check(sequences)
        assert methylation.chromosomes == tuple(sorted({row[0] for row in rows}))
        for name, codes in sequences.items():
            for strand in "+-":
                expected = np.full(len(codes), np.nan, np.float32)
                for c, p, s, m, n in rows:
                    if (c, s) == (name, strand) and n >= min_depth:
                        expected[p] = m / n
                whole = methylation.track(name, 0, len(codes), strand, min_depth)
                np.testing.assert_allclose(whole, expected, rtol=1e-6, err_msg=write.__name__)
                np.testing.assert_array_equal(methylation.track(name, 7, 15, strand, min_depth), whole[7:15])


@given(measured())
@few
def test_the_other_strand_is_the_mirror_image(folder, case):
    sequences, rows = case
    lengths = {name: len(codes) for name, codes in sequences.items()}
    mirrored = [(c, lengths[c] - 1 - p, "-" if s == "+" else "+", m, n) for c, p, s, m, n in rows]
    one = read(folder, as_cx(rows)).check(sequences)
    other = read(folder, as_cx(mirrored)).check({name: reverse_complement(codes) for name, codes in sequences.items()})
    for name, length in lengths.items():
        np.testing.assert_array_equal(one.track(name, 0, length, "+"), other.track(name, 0, length, "-")[::-1])


def test_where_the_names_are_no_modifications_all_rows_are_read(folder):
    rows = [("1", 3, "+", 1, 2), ("1", 5, "-", 2, 2)]
    one_code = as_modkit(rows).replace("\th,CG,0", "\tm,CG,0", 0)
    only_m = "".join(line for line in one_code.splitlines(keepends=True) if "\tm," in line)
    for text in (as_bedmethyl(rows), only_m, only_m.replace("\tm,", "\tC,"), only_m.replace("\tm,", "\t27551,")):
        track = read(folder, text).track("1", 3, 6, "+")
        np.testing.assert_array_equal(track, np.array([0.5, np.nan, np.nan], np.float32))
    with pytest.raises(InputError, match="modifications h only, none is 5-methylcytosine"):
        read(folder, only_m.replace("\tm,", "\th,"))


ROWS = [("1", 1, "+", 1, 2), ("1", 2, "-", 2, 2), ("1", 4, "+", 0, 3)]
SEQUENCES = {"1": np.array([0, 1, 2, 0, 1, 0], np.uint8)}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("1", 3, "+", 0, 1), "1:4, strand .: the forward strand has A, not C"),
        (("1", 5, "-", 0, 1), "1:6, strand -: the forward strand has A, not G"),
        (("1", 6, "+", 0, 1), "1:7 is after the end of 1 at 6"),
        (("chr1", 1, "+", 0, 1), "chr1:2 is on none of the sequences; the FASTA calls it '1'"),
    ],
)
def test_positions_that_are_no_cytosine_are_errors_that_name_the_row(folder, row, message):
    for write in (as_cx, as_report, as_bedmethyl):
        with pytest.raises(InputError, match=message):
            read(folder, write([*ROWS, row])).check(SEQUENCES)
    if row[2] == "+":
        with pytest.raises(InputError, match=message.replace("has A, not C", "has A, not C or G")):
            read(folder, as_coverage([*ROWS, row])).check(SEQUENCES)


def test_positions_off_by_one_are_told(folder):
    for shift, remedy in ((1, "subtract 1"), (-1, "add 1")):
        moved = [(c, p + shift, s, m, n) for c, p, s, m, n in ROWS if s == "+"]
        with pytest.raises(InputError, match=f"all positions are off by one: {remedy}"):
            read(folder, as_cx(moved)).check(SEQUENCES)


def test_names_that_look_like_numbers_stay_names(folder):
    rows = [("1", 1, "+", 1, 2), ("01", 2, "+", 2, 2), ("1e0", 4, "+", 0, 3)]
    assert set(read(folder, as_cx(rows)).cytosines) == {("1", "+"), ("01", "+"), ("1e0", "+")}


def test_an_unknown_base_may_be_a_cytosine_but_has_no_strand(folder):
    hidden = {"1": np.full(6, 4, np.uint8)}
    assert read(folder, as_cx(ROWS)).check(hidden).track("1", 1, 2, "+") == [0.5]
    with pytest.raises(InputError, match=r"1:2, strand \.: the forward strand has N"):
        read(folder, as_coverage(ROWS)).check(hidden)


def test_a_piece_of_a_genome_takes_what_lies_on_it(folder):
    methylation = read(folder, as_cx([*ROWS, ("1", 9, "+", 1, 1), ("2", 1, "+", 1, 1)]))
    clipped = methylation.clipped(SEQUENCES).check(SEQUENCES)
    assert clipped.chromosomes == ("1",)
    np.testing.assert_array_equal(clipped.track("1", 0, 12, "+"), read(folder, as_cx(ROWS)).track("1", 0, 12, "+"))
    with pytest.raises(InputError, match="no position is on the sequences; '1': the FASTA calls it 'Chr1'"):
        methylation.clipped({"Chr1": SEQUENCES["1"]})


def test_tracks_need_strands_and_arguments_in_range(folder):
    methylation = read(folder, as_cx(ROWS))
    assert np.isnan(methylation.track("elsewhere", 0, 5, "+")).all()
    for start, end, strand, depth in ((-1, 3, "+", 1), (4, 3, "+", 1), (0, 3, ".", 1), (0, 3, "+", 0)):
        with pytest.raises(InputError, match="give"):
            methylation.track("1", start, end, strand, depth)
    with pytest.raises(InputError, match=r"gives no strands; use what check\(sequences\) returns"):
        read(folder, as_coverage(ROWS)).track("1", 0, 3, "+")


BED = "1\t{}\t{}\tm\t9\t{}\t1\t2\t0,0,0\t{}\t{}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (as_cx(ROWS) + "1\t9\t+\tCG\tCGA\t5\t4\n", "line 5: 5 methylated reads of 4"),
        (as_cx(ROWS) + "\n1\t9\t+\tCG\tCGA\t-1\t4\n", "line 6: meth -1 is below 0"),
        (as_cx(ROWS) + "1\t0\t+\tCG\tCGA\t1\t4\n", "line 5: start 0 is below 1"),
        (as_cx(ROWS) + "1\t9\t*\tCG\tCGA\t1\t4\n", r"line 5: unknown strand '\*'"),
        (as_cx(ROWS) + "1\t9.5\t+\tCG\tCGA\t1\t4\n", "line 5: start '9.5' is not a whole number"),
        (as_cx(ROWS) + "1\t9\t+\tCG\n", "line 5: 4 columns, where the first row has 7"),
        (as_cx(ROWS) + "1\t9\t+\tCG\tCGA\t1\t4\t1\n", "line 5: 8 columns"),
        (as_cx(ROWS) + "\t9\t+\tCG\tCGA\t1\t4\n", "line 5: no chromosome"),
        (as_cx(ROWS) + "1\t5\t+\tCG\tCGA\t1\t4\n", "1:5, strand .*, is given twice"),
        (CX_HEADER, "no row"),
        (as_report(ROWS) + "1\t9\t+\tmany\t1\tCG\tCGA\n", "line 4: meth 'many'"),
        (as_report(ROWS) + "1\t9\t+\t\t1\tCG\tCGA\n", "line 4: meth ''"),
        (as_coverage(ROWS) + "1\t9\t9\t101\t1\t1\n", "line 4: 101.0 % of reads"),
        (as_coverage(ROWS) + "1\t9\t9\t-1\t1\t1\n", "line 4: percent -1 is below 0"),
        (as_coverage(ROWS) + "1\t9\t10\t50\t1\t1\n", "line 4: start 9 and end 10"),
        (as_coverage(ROWS) + "1\t99999999999999999999\t9\t50\t1\t1\n", "line 4: "),
        (BED.format(1, 2, "+", 9, 50) + BED.format(2, 3, "+", 9, 101), "line 2: 101.0 % of reads"),
        (BED.format(1, 2, "+", 9, 50) + BED.format(2, 3, "+", -9, 10), "line 2: total -9"),
        (BED.format(1, 2, "+", 9, 50) + BED.format(2, 4, "+", 9, 10), "line 2: start 2 and end 4"),
        (BED.format(1, 2, "+", 9, 50) + BED.format(2, 3, "+", 9, "NaN"), "line 2: no percentage"),
        (BED.format(1, 2, "+", 9, 50) + BED.format(2, 3, "x", 9, 1), "line 2: unknown strand 'x'"),
        ("# only a comment\n", "no row"),
        ("1\t2\t3\n", "line 1: '1 2 3' is a row of none of the formats"),
        ("", "the file is empty"),
    ],
)
def test_impossible_rows_are_errors_that_name_the_line(folder, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(folder, text)
    assert str(caught.value).startswith(str(folder / "methylation"))


@pytest.mark.parametrize("damage", [lambda c: gzip.compress(c)[:-9], lambda c: c + b"\xff\t9\t+\t1\t1\tCG\tCG\n"])
def test_truncated_gzip_and_other_encodings_are_errors(tmp_path, damage):
    path = tmp_path / "CX_report.txt"
    rows = [("1", p, "+", p % 3, 5) for p in range(20_000)]
    path.write_bytes(damage(as_report(rows).encode()))
    with pytest.raises(InputError, match=r"cannot be read|not UTF-8"):
        read_methylation(path)


@pytest.mark.data
def test_every_cytosine_of_a_real_chromosome_is_there_and_the_mutant_has_lost_its_cg_methylation():
    sequences = read_fasta(dataset_file("genome", "athaliana_chr2-5.fa.gz"))
    codes = sequences["Chr3"]
    cg = np.array([decode(codes[k : k + 2]) == "CG" for k in range(len(codes))])
    means = {}
    for plant in ("WT", "met1-3"):
        path = dataset_file("methylation", f"athaliana_chr3_1-1000000.{plant}.cx.tsv.gz")
        methylation = read_methylation(path).clipped(sequences).check(sequences)
        for strand, code in (("+", 1), ("-", 2)):
            positions = methylation.cytosines["Chr3", strand].position
            inside = np.flatnonzero(codes == code)
            # The file begins at base 101.
            np.testing.assert_array_equal(positions, inside[inside >= positions[0]])
        means[plant] = np.nanmean(methylation.track("Chr3", 0, len(codes), "+")[cg])
    assert means["met1-3"] < 0.1 * means["WT"]
