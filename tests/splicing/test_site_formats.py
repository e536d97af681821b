"""The files of a scan, read back by pandas and pyarrow."""

import gzip
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.errors import InputError
from sciml_zoo.splicing._partial_file import PartialFile
from sciml_zoo.splicing.scan import Sites
from sciml_zoo.splicing.site_formats import ENDINGS, site_format

WINDOW = 40
sites_of_a_base = st.tuples(st.integers(0, WINDOW - 1), st.integers(0, 1), st.integers(0, 1))
probabilities = st.floats(1e-300, 1.0, exclude_min=True)
tables = st.lists(
    st.tuples(
        st.sampled_from(["Chr1", "a%b;c", "é|2", "=x"]), st.dictionaries(sites_of_a_base, probabilities, max_size=12)
    ),
    max_size=5,
)


def windows(rows: list[tuple[str, dict[tuple[int, int, int], float]]]) -> list[Sites]:
    found = []
    for number, (name, table) in enumerate(rows):
        start, keys = number * WINDOW, sorted(table)
        columns = np.array(keys, np.int64).reshape(-1, 3).T
        found.append(
            Sites(
                name, start, start + WINDOW, start + columns[0], columns[1].astype(np.uint8),
                columns[2].astype(np.uint8), np.array([table[key] for key in keys], np.float64),
            )
        )  # fmt: skip
    return found


def write(path: Path, content: list[Sites]) -> Path:
    with PartialFile(path, None, resume=False) as file:
        writer = site_format(path).writer(file, fresh=True)
        for number, one in enumerate(content):
            writer.write(one)
            if number % 2:
                writer.seal()
        writer.close()
        file.finish()
    return path


def read(path: Path, columns: list[str]) -> pd.DataFrame:
    text = {"chromosome": str, "strand": str, "name": str, "p": str}
    if path.stat().st_size == 0:
        return pd.DataFrame(columns=columns)
    table = pd.read_csv(path, sep="\t", names=columns, comment="#", dtype=text, keep_default_na=False)
    return table.assign(p=table["p"].map(float))


def rows_of(content: list[Sites]) -> list[tuple[str, int, str, str, float]]:
    return [
        (one.chromosome, int(p), "+-"[s], ("donor", "acceptor")[k], float(value))
        for one in content
        for p, s, k, value in zip(one.positions, one.strand, one.kind, one.probability, strict=True)
    ]


@given(tables, st.sampled_from([".bed", ".bed.gz", ".BED"]))
@settings(max_examples=40, deadline=None)
def test_bed_gives_back_all_digits(tmp_path_factory, rows, ending) -> None:
    content = windows(rows)
    path = write(tmp_path_factory.mktemp("bed") / f"out{ending}", content)
    found = read(path, ["chromosome", "start", "end", "name", "score", "strand", "p"])
    columns = (found[name].tolist() for name in ("chromosome", "start", "strand", "name", "p"))
    assert list(zip(*columns, strict=True)) == rows_of(content)
    assert (found["end"] - found["start"] == 1).all()
    assert found["score"].tolist() == [int(1000 * p) for *_, p in rows_of(content)]
    assert found["score"].isin(range(1001)).all()


@given(tables)
@settings(max_examples=25, deadline=None)
def test_gff3_is_one_based_and_speaks_the_sequence_ontology(tmp_path_factory, rows) -> None:
    content = windows(rows)
    path = write(tmp_path_factory.mktemp("gff") / "out.gff3", content)
    lines = path.read_text().splitlines()
    assert lines[0] == "##gff-version 3"
    kinds = {"five_prime_cis_splice_site": "donor", "three_prime_cis_splice_site": "acceptor"}
    found = []
    for line in lines[1:]:
        name, source, term, start, end, score, strand, phase, attributes = line.split("\t")
        assert (source, end, phase, attributes) == ("sciml_zoo", start, ".", f"Name={kinds[term]}")
        found.append((unquote(name), int(start) - 1, strand, kinds[term], float(score)))
    assert found == rows_of(content)


@given(tables, st.sampled_from([".bedgraph", ".bg", ".bg.gz"]))
@settings(max_examples=25, deadline=None)
def test_bedgraph_has_the_largest_of_each_base(tmp_path_factory, rows, ending) -> None:
    content = windows(rows)
    path = write(tmp_path_factory.mktemp("bg") / f"out{ending}", content)
    largest: dict[tuple[str, int], float] = {}
    for name, position, _, _, p in rows_of(content):
        largest[name, position] = max(p, largest.get((name, position), 0.0))
    found = read(path, ["chromosome", "start", "end", "p"])
    assert list(zip(zip(found["chromosome"], found["start"], strict=True), found["p"], strict=True)) == list(
        largest.items()
    )


@given(tables)
@settings(max_examples=15, deadline=None)
def test_parquet_gives_back_the_columns(tmp_path_factory, rows) -> None:
    pytest.importorskip("pyarrow")
    content = windows(rows)
    found = pd.read_parquet(write(tmp_path_factory.mktemp("pq") / "out.parquet", content))
    columns = (found[name].tolist() for name in ("chromosome", "position", "strand", "kind", "probability"))
    assert list(zip(*columns, strict=True)) == rows_of(content)
    assert found["probability"].dtype == np.float64


def test_gzip_holds_the_same_text_and_nothing_is_gzip_too(tmp_path: Path) -> None:
    content = windows([("x", {(3, 0, 0): 0.25, (9, 1, 1): 0.5}), ("x", {(1, 0, 1): 1.0}), ("y", {(0, 0, 0): 0.125})])
    plain, compressed = (write(tmp_path / name, content) for name in ("a.bed", "a.bed.gz"))
    assert gzip.decompress(compressed.read_bytes()) == plain.read_bytes()
    assert compressed.read_bytes() == write(tmp_path / "b.bed.gz", content).read_bytes()  # no time, no name
    assert gzip.decompress(write(tmp_path / "none.bed.gz", []).read_bytes()) == b""


@pytest.mark.parametrize("name", ["out", "out.txt", "out.bam", "out.parquet.gz", "out.gz", ".bed"])
def test_other_endings_are_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(InputError) as caught:
        site_format(name)
    assert all(ending in str(caught.value) for ending in ENDINGS)


def test_parquet_without_pyarrow_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"pip install 'sciml-zoo\[parquet\]'"):
        site_format("out.parquet")


def test_parquet_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be resumed"):
        PartialFile(tmp_path / "out.parquet", None, resume=True)
