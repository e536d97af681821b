"""Codes of DNA and FASTA files, against Biopython's reading of the same text."""

import gzip
import io
import tracemalloc

import numpy as np
import pytest
from Bio.Data.IUPACData import ambiguous_dna_letters
from Bio.Seq import Seq
from Bio.SeqIO.FastaIO import SimpleFastaParser
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.datasets import dataset_file
from sciml_zoo.errors import InputError
from sciml_zoo.splicing import sequences as module
from sciml_zoo.splicing.sequences import decode, encode, iterate_fasta, read_fasta, reverse_complement

LETTERS = ambiguous_dna_letters + ambiguous_dna_letters.lower()
few = settings(max_examples=60, deadline=None)
dna = st.text(LETTERS, max_size=80)


@given(dna)
@few
def test_codes_are_those_of_the_letters(text):
    expected = "".join(letter if letter in "ACGT" else "N" for letter in text.upper())
    assert decode(encode(text)) == decode(encode(text.encode())) == expected
    np.testing.assert_array_equal(encode(text.replace("T", "U").replace("t", "u")), encode(text))


@given(dna)
@few
def test_the_reverse_complement_is_biopythons_and_its_own_inverse(text):
    codes = encode(text)
    np.testing.assert_array_equal(reverse_complement(codes), encode(str(Seq(text).reverse_complement())))
    np.testing.assert_array_equal(reverse_complement(reverse_complement(codes)), codes)


@given(st.text("ACGTN", max_size=20), st.characters(exclude_characters=LETTERS + "Uu"), dna)
@few
def test_any_other_letter_is_an_error_with_its_position(before, letter, after):
    with pytest.raises(InputError, match=f"^position {len(before) + 1}: "):
        encode(before + letter + after)


@st.composite
def fasta(draw):
    """Records, and a text that holds them, with lines of any lengths, blank lines and either line end."""
    names = draw(st.lists(st.text("ABCxyz019._|:-", min_size=1, max_size=8), min_size=1, max_size=5, unique=True))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    parts, records = [], {}
    for name in names:
        lines = draw(st.lists(st.text(LETTERS, max_size=100), min_size=1, max_size=6).filter(any))
        records[name] = "".join(lines)
        parts += [f">{name}" + draw(st.sampled_from(["", " chromosome: 1 >x", "\tlength=3"])), *lines]
    text = end.join(parts) + draw(st.sampled_from(["", end, 2 * end]))
    return records, text


@given(fasta(), st.booleans(), st.integers(1, 40), st.sampled_from([32, 1 << 20]))
@few
def test_records_and_their_pieces_are_those_of_biopython(tmp_path_factory, case, compressed, chunk, read):
    records, text = case
    path = tmp_path_factory.mktemp("fasta") / "genome.fa"
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    universal = io.StringIO(text.replace("\r\n", "\n"))
    parsed = {title.split()[0]: sequence for title, sequence in SimpleFastaParser(universal)}
    assert parsed == records
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_READ", read)  # so that blocks end within lines and at line ends
        whole = read_fasta(path)
        pieces = list(iterate_fasta(path, chunk))
    assert list(whole) == list(parsed)
    for name, sequence in parsed.items():
        np.testing.assert_array_equal(whole[name], encode(sequence))
        own = [piece for piece in pieces if piece.name == name]
        np.testing.assert_array_equal(np.concatenate([piece.codes for piece in own]), whole[name])
        assert [piece.start for piece in own] == list(range(0, len(sequence), chunk))
        assert [piece.last for piece in own] == [False] * (len(own) - 1) + [True]


def test_memory_does_not_grow_with_the_record(tmp_path):
    path = tmp_path / "long.fa"
    peaks = []
    for megabases in (4, 24):
        path.write_bytes(b">one line\n" + b"ACGT" * (megabases * 250_000))
        tracemalloc.start()
        assert sum(len(piece.codes) for piece in iterate_fasta(path, 100_000)) == megabases * 1_000_000
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0]
    assert peaks[1] < 10e6


def test_a_byte_order_mark_and_names_in_utf_8_are_read(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text("\n>chromosome_é rest\nAC\n\nGT\n", encoding="utf-8")
    assert decode(read_fasta(path)["chromosome_é"]) == "ACGT"
    path.write_text(">a\nAC\n", encoding="utf-8-sig")
    assert decode(read_fasta(path)["a"]) == "AC"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (gzip.compress(b""), "the file is empty"),
        (b"ACGT\n", "begins with 'ACGT'"),
        (b"LOCUS  X\n", "not FASTA"),
        (b">a\nACGT\n>b\n>c\nA\n", "record 'b': no bases"),
        (b">a\nACGT\n>b\n\n", "record 'b': no bases"),
        (b">a\nACGT\n>b\nA\n>a\nA\n", "'a' is given to two records"),
        (b">\nACGT\n", "without a name"),
        (b"> a\nACGT\n", "without a name"),
        (b">ok\nAC\n>a\nACGT\nAC-T\n", "record 'a', position 7: '-'.*gaps"),
        (b">a\nACGTX\n", "record 'a', position 5: 'X'"),
        (b">a\nMEEP\n", "record 'a', position 2: 'E'.*protein"),
        (b">a\nAC>GT\n", "record 'a', position 3: '>'"),
        (b">a\nAC\xff\n", "record 'a', position 3"),
        (b">\xff\nAC\n", "not UTF-8"),
        (gzip.compress(b">a\n" + b"ACGTTGCA" * 1000)[:-12], "cannot be read"),
        (gzip.compress(b">a\n" + b"ACGTTGCA" * 1000)[:10] + b"damaged damaged", "cannot be read"),
        (b">" + b"a" * 100_000, "a header of more than"),
    ],
)
def test_bad_files_are_errors_that_name_the_place(tmp_path, content, message):
    path = tmp_path / "genome.fa"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_fasta(path)
    assert str(caught.value).startswith(str(path))


def test_missing_files_and_empty_pieces_are_errors(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_fasta(tmp_path / "missing.fa")
    with pytest.raises(InputError, match="not a file"):
        read_fasta(tmp_path)
    (tmp_path / "a.fa").write_text(">a\nA\n")
    with pytest.raises(InputError, match="chunk: 0"):
        list(iterate_fasta(tmp_path / "a.fa", 0))


@pytest.mark.data
def test_the_genome_is_that_of_biopython():
    path = dataset_file("genome", "athaliana_chr2-5.fa.gz")
    with gzip.open(path, "rt") as stream:
        expected = {title.split()[0]: sequence for title, sequence in SimpleFastaParser(stream)}
    read = read_fasta(path)
    assert list(read) == list(expected)
    for name, sequence in expected.items():
        assert decode(read[name]) == "".join(letter if letter in "ACGT" else "N" for letter in sequence.upper())
