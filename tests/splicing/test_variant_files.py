"""Files of scored variants: all else kept byte for byte, and nothing written where a line is wrong."""

import gzip
from pathlib import Path

import pytest

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.splicing.variants import score_variants
from tests.splicing.scored_variants import HEADER, run
from tests.splicing.toy_models import Dinucleotides, Linear

#         123456789012345678901234567890123456789
GENOME = "CCCCCCCCCCGTCCCCCCCCCCCCCCCCCAGCCCCCCCC"

LINES = (
    "##fileformat=VCFv4.2\r\n"
    "##sciml_zoo=<ID=SpliceRNN,Version=0>\r\n"
    "##INFO=<ID=SpliceRNN,Number=1,Type=Float,Description=old>\r\n"
    "##source= kept \r\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tä b\r\n"
    "c\t12\trs1;x\tt\tC\t1e1\tPASS\tAC=1;SpliceRNN=old;DB;SpliceRNNx=2\tGT:AD\t0/1:3,4 \r\n"
    "c\t12\t.\tT\tC,<DEL>,*,TG[c:3[,.A,T\t.\t.\t.\tGT\t./.\r\n"
    "c\t2\t.\tC\tA\t.\t.\tSpliceRNN=old\r\n"
    "c\t2\t.\tC\t.\t.\t.\tAC=0;;SB=1,2\r\n"
    f"c\t12\t.\tT\t{'A' * 40}\t.\t.\tAC=1\r\n"
    "c\t0\t.\tN\t<DUP>\t.\t.\tEND=9\n"
    "\n"
    "c\t12\t.\tT\tC\t.\tq10\t."
)


def test_everything_else_is_kept_byte_for_byte(tmp_path: Path) -> None:
    genes = [("a|b, c;d=é%3B", "+", 10, 30), ("y", "-", 10, 30)]
    model = Dinucleotides()
    summary = run(tmp_path, model, GENOME, genes, LINES, window=5)
    result = (tmp_path / "out.vcf").read_bytes().decode()
    values = [
        f"SpliceRNN=C|{name}|0.0000|0.0000|0.0000|{scores}"
        for name, scores in (("a%7Cb%2C%20c%3Bd%3Dé%253B", "1.0000|0|0|0|-1"), ("y", "0.0000|0|0|0|0"))
    ]
    value = values[0] + "," + values[1].removeprefix("SpliceRNN=")
    before, header, columns, after = result.partition("##INFO")[0], *_parts(result)
    assert before == "##fileformat=VCFv4.2\r\n##source= kept \r\n"
    assert 'ID=SpliceRNN,Number=.,Type=String,Description="' in header[0]
    assert "Format: ALT|GENE|AG|AL|DG|DL|AGP|ALP|DGP|DLP" in header[0]
    assert header[1].startswith(
        f"##sciml_zoo=<ID=SpliceRNN,Version={sz.__version__},Model=Dinucleotides,Weights=sha256:"
    )
    assert header[1].endswith("Window=5,Context=1>\r\n")
    old = LINES.partition("#CHROM")[2].split("\n", 1)
    assert columns == "#CHROM" + old[0] + "\n"
    expected = (
        old[1]
        .replace("AC=1;SpliceRNN=old;DB;SpliceRNNx=2", f"AC=1;DB;SpliceRNNx=2;{value}")
        .replace("T\t.\t.\t.\tGT", f"T\t.\t.\t{value}\tGT")
        .replace("A\t.\t.\tSpliceRNN=old", "A\t.\t.\t.")
        .replace("q10\t.", f"q10\t{value}")
    )
    assert after == expected
    skipped = {"symbolic allele": 3, "breakend": 2, "same as the reference": 1, "in no gene": 1}
    skipped |= {"no alternative allele": 1, "longer than 11 bases": 1}
    assert summary["skipped"] == skipped
    assert (summary["records"], summary["variants"], summary["scored"]) == (7, 12, 3)
    assert summary["seconds"] > 0
    assert summary["variants_per_second"] > 0

    # Its own result gives the same again, compressed or not.
    (tmp_path / "in.vcf.gz").write_bytes(gzip.compress(result.encode()))
    for source in ("out.vcf", "in.vcf.gz"):
        score_variants(
            model, tmp_path / source, tmp_path / "g.fa", tmp_path / "g.gff3", tmp_path / "again.vcf.gz", window=5
        )
        again = (tmp_path / "again.vcf.gz").read_bytes()
        assert gzip.decompress(again).decode() == result
        assert again[12:14] == b"BC"  # blocks as bgzip's, and its mark of the end
        assert again.endswith(bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000"))


def _parts(text: str) -> tuple[list[str], str, str]:
    lines = text.splitlines(keepends=True)
    end = next(k for k, line in enumerate(lines) if line.startswith("#CHROM"))
    return lines[end - 2 : end], lines[end], "".join(lines[end + 1 :])


def record(fields: str) -> str:
    return HEADER + "c\t5\t.\tC\tA\t.\t.\t.\n" + fields.replace(" ", "\t") + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (record("c 11 . A T . . ."), r"in.vcf, line 5: REF is A but the genome has G at c:11; give the FASTA"),
        (record("c 10 . CGTA C . . ."), "line 5: REF is CGTA but the genome has CGTC at c:10"),
        (record("chrC 11 . G T . . ."), r"line 5: CHROM 'chrC' is not in .*g.fa; .*'c'"),
        (record("c 40 . C T . . ."), "line 5: POS 40 with a REF of 1 bases is not within c, which has 39"),
        (record("c 38 . CCC C . . ."), "line 5: POS 38 with a REF of 3 bases is not within"),
        (record("c 0 . C T . . ."), "line 5: POS 0"),
        (record("c 41 . N <DEL> . . ."), "line 5: POS 41"),
        (record("c 1x . C T . . ."), "line 5: POS '1x' is not a number"),
        (record("c 11 . G T . ."), "line 5: 7 columns"),
        (record("c 11 . G T,,A . . ."), "line 5: ALT '' is not a sequence"),
    ],
)
def test_lines_that_are_wrong_are_named_and_nothing_is_written(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "out.vcf").write_text("older")
    model = Linear()
    with pytest.raises(InputError, match=words):
        run(tmp_path, model, GENOME, [("x", "+", 0, 39)], text)
    assert (tmp_path / "out.vcf").read_text() == "older"
    assert {path.name for path in tmp_path.iterdir()} == {"in.vcf", "g.fa", "g.gff3", "out.vcf"}
    assert not model.read  # found out before any work


def test_unknown_bases_agree_with_any(tmp_path: Path) -> None:
    genome = GENOME[:20] + "N" + GENOME[21:]
    summary = run(tmp_path, Linear(), genome, [("x", "+", 0, 39)], [(21, "A", "C"), (11, "N", "T"), (11, "g", "t")])
    assert summary["scored"] == 3


def test_a_failure_while_scoring_leaves_nothing(tmp_path: Path) -> None:
    class Broken(Linear):
        def from_one_hot(self, bases, methylation=None):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="memory"):
        run(tmp_path, Broken(), GENOME, [("x", "+", 0, 39)], [(11, "G", "A")])
    assert {path.name for path in tmp_path.iterdir()} == {"in.vcf", "g.fa", "g.gff3"}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"window": 0}, "window: 0"), ({"context": -1}, "context: -1"), ({"batch_size": 0}, "batch_size: 0")],
)
def test_numbers_out_of_range(tmp_path: Path, options: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(tmp_path, Linear(), GENOME, [("x", "+", 0, 39)], [(11, "G", "A")], **options)


def test_the_output_is_none_of_the_inputs_and_has_a_place(tmp_path: Path) -> None:
    run(tmp_path, Linear(), GENOME, [("x", "+", 0, 39)], [(11, "G", "A")])
    inputs = [tmp_path / name for name in ("in.vcf", "g.fa", "g.gff3")]
    for path in inputs:
        content = path.read_bytes()
        with pytest.raises(InputError, match="one of the inputs"):
            score_variants(Linear(), *inputs, path)
        assert path.read_bytes() == content
    with pytest.raises(InputError, match="no such directory"):
        score_variants(Linear(), *inputs, tmp_path / "none" / "out.vcf")
