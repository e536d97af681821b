"""VCF lines: read as written, changed in one place only, and errors that name the line."""

import gzip
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.sequences import decode
from sciml_zoo.splicing.vcf import Record, escaped, read_vcf, sequence_of, with_info

HEADER = b"##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"

items = st.one_of(st.from_regex(rb"[A-Z][A-Za-z_.]{0,5}(=[a-z0-9,|.]{0,6})?", fullmatch=True), st.just(b"KEY=1,2"))
infos = st.one_of(st.just(b"."), st.lists(items, min_size=1, max_size=5).map(b";".join))
ends = st.sampled_from([b"\n", b"\r\n", b""])
rests = st.sampled_from([b"", b"\tGT\t0/1", b"\tGT:KEY=3\t0|1:x;KEY=4\t ./. "])


def read_one(folder: Path, line: bytes) -> Record:
    (folder / "v.vcf").write_bytes(HEADER + line)
    (record,) = (line for line in read_vcf(folder / "v.vcf") if isinstance(line, Record))
    return record


@given(infos, rests, ends)
def test_one_field_changes_and_no_other(tmp_path_factory, info, rest, end) -> None:
    start = b"1\t7\trs1;a\tACg\tA,<X>\t3.0\tq1;q2\t"
    record = read_one(tmp_path_factory.mktemp("v"), start + info + rest + end)
    kept = [item for item in info.split(b";") if item.split(b"=")[0] not in (b"KEY", b".")]
    for values, added in ((["a|1", "b"], [b"KEY=a|1,b"]), ([], [])):
        changed = with_info(record, "KEY", values)
        assert changed == start + (b";".join(kept + added) or b".") + rest + end
    assert (record.number, record.chromosome, record.start, record.end) == (3, "1", 6, 9)
    assert (decode(record.reference), record.alternatives) == ("ACG", ("A", "<X>"))


def test_lines_come_back_as_they_are(tmp_path: Path) -> None:
    text = HEADER.replace(b"\n", b"\r\n") + b"1\t7\t.\tA\tC\t.\t.\t.\r\n\r\n1\t0\t.\tN\t<X>\t.\t.\tD"
    for content in (text, gzip.compress(text), gzip.compress(text[:50]) + gzip.compress(text[50:])):
        (tmp_path / "v").write_bytes(content)
        lines = list(read_vcf(tmp_path / "v"))
        assert b"".join(line.line if isinstance(line, Record) else line for line in lines) == text
        assert [line.number for line in lines if isinstance(line, Record)] == [3, 5]


@given(st.text())
def test_names_in_info_have_no_separators_and_can_be_read_back(name: str) -> None:
    written = escaped(name)
    assert not set(written) & set(";=,|: \t\n\r")
    assert unquote(written) == name.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("acgTN", np.array([0, 1, 2, 3, 4])),
        (".", "no alternative allele"),
        ("*", "symbolic allele"),
        ("<*>", "symbolic allele"),
        ("<INS:ME>", "symbolic allele"),
        ("G]17:198982]", "breakend"),
        ("[<c>:1[N", "breakend"),
        (".A", "breakend"),
        ("AC.", "breakend"),
    ],
)
def test_forms_of_alternative_alleles(text: str, found: np.ndarray | str) -> None:
    np.testing.assert_array_equal(sequence_of(text), found)


@pytest.mark.parametrize("text", ["", "A C", "<X", "A*", "A-", "12", "AXC", "Ä"])
def test_other_alleles_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="ALT"):
        sequence_of(text)


LINE = b"1\t7\t.\tA\tC\t.\t.\t.\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"chr1\t5\t.\tA\tC\n", "line 1: a VCF file begins with"),
        (b"BCF\x02\x02xx", "bcftools view"),
        (b"##fileformat=VCFv4.2\n" + LINE, "line 2: the line '#CHROM"),
        (b"##fileformat=VCFv4.2\n", "'#CHROM.* is missing"),
        (HEADER + LINE + HEADER, "line 4: a header after records"),
        (HEADER + LINE + b"1 8 . A C . . .\n", "line 4: 1 columns"),
        (HEADER + b"1\t\t.\tA\tC\t.\t.\t.\n", "line 3: POS ''"),
        (HEADER + b"1\t-3\t.\tA\tC\t.\t.\t.\n", "line 3: POS '-3'"),
        (HEADER + b"\t3\t.\tA\tC\t.\t.\t.\n", "line 3: CHROM is empty"),
        (HEADER + b"1\t3\t.\tA\tC\t.\t.\t\n", "line 3: INFO is empty"),
        (HEADER + b"1\t3\t.\t\tC\t.\t.\t.\n", "line 3: REF ''"),
        (HEADER + b"1\t3\t.\t<DEL>\tC\t.\t.\t.\n", "line 3: REF '<DEL>'"),
        (HEADER + b"1\t3\t.\tAE\tC\t.\t.\t.\n", "line 3: REF 'AE', position 2: 'E'"),
        (HEADER + b"1\t3\t.\tA\tC;T\t.\t.\t.\n", "line 3: ALT 'C;T'"),
        (HEADER + b"\xff\t3\t.\tA\tC\t.\t.\t.\n", "line 3: not UTF-8"),
        (gzip.compress(HEADER + LINE * 99)[:-20], "v.vcf: cannot be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "v.vcf").write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        list(read_vcf(tmp_path / "v.vcf"))
    assert "v.vcf" in str(caught.value)
