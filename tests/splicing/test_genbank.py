"""GenBank files: the sequences and gene models that Biopython wrote."""

import gzip

import numpy as np
import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqFeature import CompoundLocation, SeqFeature, SimpleLocation
from Bio.SeqRecord import SeqRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.errors import InputError
from sciml_zoo.splicing.annotation import check_annotation
from sciml_zoo.splicing.genbank import read_genbank
from sciml_zoo.splicing.sequences import decode, encode
from tests.splicing.annotated import LENGTH, annotations


def location(parts, strand):
    sign = 1 if strand == "+" else -1
    places = [SimpleLocation(start, end, sign) for start, end in parts[::sign]]
    return CompoundLocation(places) if len(places) > 1 else places[0]


def feature(kind, parts, strand, **qualifiers):
    return SeqFeature(location(parts, strand), type=kind, qualifiers={k: [v] for k, v in qualifiers.items()})


def written(path, features, bases="ACGT" * (LENGTH // 4), name="X1.2", compressed=False):
    record = SeqRecord(Seq(bases), id=name, name="X1", annotations={"molecule_type": "DNA"}, features=features)
    SeqIO.write(record, path, "genbank")
    if compressed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@given(annotations(), st.integers(0, 2**32), st.booleans())
@settings(max_examples=40, deadline=None)
def test_gene_models_come_back_with_their_coding_parts_and_phases(tmp_path_factory, annotation, seed, compressed):
    bases = decode(np.random.default_rng(seed).integers(0, 5, LENGTH).astype(np.uint8))
    features = []
    for gene in annotation.genes:
        features.append(feature("gene", [(gene.start, gene.end)], gene.strand, locus_tag=gene.name))
        for kind in ("mRNA", "CDS"):
            for transcript in gene.transcripts:
                own = {"locus_tag": gene.name, "transcript_id": transcript.name}
                if kind == "mRNA":
                    features.append(feature(kind, transcript.exons, gene.strand, **own))
                elif transcript.cds:
                    own["codon_start"] = str(transcript.cds_phase + 1)
                    features.append(feature(kind, transcript.cds, gene.strand, **own))
    path = written(tmp_path_factory.mktemp("genbank") / "x.gb", features, bases, compressed=compressed)
    sequences, read = read_genbank(path)
    assert {name: decode(codes) for name, codes in sequences.items()} == {"X1.2": bases}
    assert {(g.name, g.strand, g.start, g.end, g.biotype) for g in read.genes} == {
        (g.name, g.strand, g.start, g.end, "protein_coding") for g in annotation.genes
    }
    exons = {(t.name, t.exons) for g in annotation.genes for t in g.transcripts}
    assert {(t.name, t.exons) for g in read.genes for t in g.transcripts} == exons
    # Where transcripts share exons, a CDS may join another of them, with the same introns.
    assert sorted(_coding(read)) == sorted(_coding(annotation))


def _coding(annotation):
    return [
        (t.strand, t.cds, [(i.start, i.end, i.phase) for i in t.introns if i.phase is not None])
        for gene in annotation.genes
        for t in gene.transcripts
        if t.cds
    ]


def test_a_coding_sequence_without_mrna_is_a_transcript_and_biotypes_are_told(tmp_path):
    features = [
        feature("CDS", [(10, 40), (60, 90)], "-", gene="a", protein_id="p"),
        feature("tRNA", [(110, 120), (130, 140)], "+", gene="t"),
        feature("gene", [(200, 290)], "+", locus_tag="q", pseudo=""),
        feature("misc_feature", [(300, 310)], "+"),
    ]
    sequences, annotation = read_genbank(written(tmp_path / "x.gb", features))
    assert [(g.name, g.biotype, len(g.introns)) for g in annotation.genes] == [
        ("a", "protein_coding", 1),
        ("t", "tRNA", 1),
        ("q", "pseudogene", 0),
    ]
    (intron,) = annotation.genes[0].introns
    assert (intron.donor, intron.acceptor, intron.phase) == (59, 40, 0)
    assert check_annotation(annotation, sequences).genes[0].introns[0].canonical is False


def test_what_is_spliced_from_both_strands_is_left_out_with_a_warning(tmp_path):
    across = SeqFeature(
        CompoundLocation([SimpleLocation(10, 20, 1), SimpleLocation(50, 60, -1)]),
        type="CDS",
        qualifiers={"gene": ["r"]},
    )
    around = feature("CDS", [(300, 400), (0, 9)], "+", gene="o")
    path = written(tmp_path / "x.gb", [across, around, feature("CDS", [(100, 130)], "+", gene="a")])
    with pytest.warns(UserWarning, match=r"2 features left out \(first: CDS 'r' of 'X1.2'\)"):
        _, annotation = read_genbank(path)
    assert [gene.name for gene in annotation.genes] == ["a"]


def test_damaged_files_are_errors_that_name_the_record(tmp_path):
    path = written(tmp_path / "x.gb", [feature("CDS", [(10, 40)], "-", gene="a")])
    text = path.read_text()
    damaged = {
        text[: text.index("//")][:-40] + "\n//\n": "Expected sequence length 400",
        text[:-3]: "cannot be read as GenBank",
        text[: text.index("ORIGIN")] + "CONTIG      join(Y1.1:1..400)\n//\n": "record 'X1.2': no sequence",
        text + text: "record 'X1.2': the name is given to two records",
        text.replace("acgtacgtac", "acgtacgtax", 1): "record 'X1.2', position 10: 'X'",
        ">x\nACGT\n": "no GenBank record",
        "": "the file is empty",
    }
    for content, message in damaged.items():
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            read_genbank(path)
    path.write_bytes(gzip.compress(text.encode())[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        read_genbank(path)


def test_the_codes_are_those_of_the_letters(tmp_path):
    sequences, _ = read_genbank(written(tmp_path / "x.gb", [], "ACGTNRYacgt"))
    np.testing.assert_array_equal(sequences["X1.2"], encode("ACGTNNNACGT"))
