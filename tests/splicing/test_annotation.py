"""Gene models: the same from every format and order of rows, phases and flags by the definition, real annotations."""

import gzip
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sciml_zoo.datasets import dataset_file
from sciml_zoo.errors import InputError
from sciml_zoo.splicing.annotation import Annotation, Gene, Transcript, check_annotation, read_annotation
from sciml_zoo.splicing.sequences import decode, encode, read_fasta, reverse_complement
from tests.splicing.annotated import LENGTH, annotations, as_gff3, as_gtf

few = settings(max_examples=60, deadline=None)


def read(folder, text, compressed=False):
    path = folder / "genes"
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    return read_annotation(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("annotation")


@given(annotations(), st.integers(0, 2**32), st.booleans())
@few
def test_genes_are_read_from_gff3_in_any_order(folder, annotation, seed, compressed):
    rng = np.random.default_rng(seed)
    assert read(folder, as_gff3(annotation, rng), compressed).genes == annotation.genes


@given(annotations(), st.integers(0, 2**32))
@few
def test_coding_and_untranslated_rows_make_the_exons_where_there_are_no_exon_rows(folder, annotation, seed):
    assert read(folder, as_gff3(annotation, np.random.default_rng(seed), exons=False)).genes == annotation.genes


@given(annotations(), st.integers(0, 2**32))
@few
def test_gtf_tells_the_same_as_gff3(folder, annotation, seed):
    rng = np.random.default_rng(seed)
    assert read(folder, as_gtf(annotation, rng, parents=True)).genes == annotation.genes
    bare = read(folder, as_gtf(annotation, rng, parents=False)).genes
    # Without its row, a gene is as long as its transcripts.
    assert {(gene.name, gene.biotype, gene.transcripts) for gene in bare} == {
        (gene.name, gene.biotype, gene.transcripts) for gene in annotation.genes
    }


@given(annotations())
@few
def test_a_phase_counts_the_bases_of_the_codon_before_the_intron(annotation):
    for transcript in (transcript for gene in annotation.genes for transcript in gene.transcripts):
        coding = [position for start, end in transcript.cds for position in range(start, end)]
        if transcript.strand == "-":
            coding.reverse()
        codon_position = {position: (k - transcript.cds_phase) % 3 for k, position in enumerate(coding)}
        for intron in transcript.introns:
            step = 1 if transcript.strand == "+" else -1
            after = [codon_position[p] for p in coding if (p - intron.acceptor) * step > 0]
            before = [p for p in coding if (intron.donor - p) * step > 0]
            assert intron.phase == (after[0] if after and before else None)


@given(annotations())
@few
def test_introns_fill_the_gaps_between_exons_and_meet_them_at_donor_and_acceptor(annotation):
    for gene in annotation.genes:
        for transcript in gene.transcripts:
            covered = np.zeros(LENGTH, int)
            for start, end in [*transcript.exons, *((i.start, i.end) for i in transcript.introns)]:
                covered[start:end] += 1
            assert np.array_equal(np.flatnonzero(covered), np.arange(transcript.exons[0][0], transcript.exons[-1][1]))
            assert covered.max() == 1
            step = 1 if gene.strand == "+" else -1
            exonic = {position for start, end in transcript.exons for position in range(start, end)}
            for intron in transcript.introns:
                assert intron.donor - step in exonic
                assert intron.acceptor + step in exonic
        places = [(intron.start, intron.end) for intron in gene.introns]
        assert places == sorted({(i.start, i.end) for t in gene.transcripts for i in t.introns})


@given(annotations(), st.integers(0, 2**32))
@few
def test_canonical_flags_are_those_of_the_spliced_text_and_of_the_other_strand(annotation, seed):
    rng = np.random.default_rng(seed)
    sequences = {gene.chromosome: rng.integers(0, 5, LENGTH).astype(np.uint8) for gene in annotation.genes}
    for gene in annotation.genes:  # so that some introns are canonical
        for intron in gene.introns[::2]:
            pair = ("GT", "AG") if gene.strand == "+" else ("CT", "AC")
            sequences[gene.chromosome][intron.start : intron.start + 2] = encode(pair[0])
            sequences[gene.chromosome][intron.end - 2 : intron.end] = encode(pair[1])
    mirrored = Annotation(tuple(_mirrored(gene) for gene in annotation.genes), (), "")
    assume(sum(len(gene.introns) for gene in annotation.genes) < 20)  # or most must be canonical
    checked = check_annotation(annotation, sequences)
    opposite = check_annotation(mirrored, {name: reverse_complement(codes) for name, codes in sequences.items()})
    for gene, other in zip(checked.genes, opposite.genes, strict=True):
        for intron in gene.introns:
            text = decode(sequences[gene.chromosome][intron.start : intron.end])
            if gene.strand == "-":
                text = decode(reverse_complement(encode(text)))
            assert intron.canonical == (text.startswith("GT") and text.endswith("AG"))
            turned = replace(intron, strand=other.strand, start=LENGTH - intron.end, end=LENGTH - intron.start)
            assert turned in other.introns
            assert (turned.donor, turned.acceptor) == (LENGTH - 1 - intron.donor, LENGTH - 1 - intron.acceptor)
        assert len(other.introns) == len(gene.introns)


def _mirrored(gene: Gene) -> Gene:
    strand = "-" if gene.strand == "+" else "+"

    def turned(parts):
        return tuple((LENGTH - end, LENGTH - start) for start, end in reversed(parts))

    transcripts = tuple(
        Transcript(t.name, t.chromosome, strand, turned(t.exons), turned(t.cds), t.cds_phase) for t in gene.transcripts
    )
    return Gene(gene.name, gene.chromosome, strand, LENGTH - gene.end, LENGTH - gene.start, gene.biotype, transcripts)


def rows(*lines):
    """A GFF3 text from lines of type, start, end, strand and attributes."""
    return "".join(f"1\t.\t{k}\t{a}\t{b}\t.\t{s}\t.\t{x}\n" for k, a, b, s, x in (line.split() for line in lines))


def test_a_transcript_without_gene_is_its_own_and_shared_exons_count_for_each(folder):
    text = rows("tRNA 1 90 + ID=t", "exon 1 30 + Parent=t,u", "exon 61 90 + Parent=t,u", "mRNA 1 90 + ID=u;Parent=g")
    genes = read(folder, text + rows("pseudogene 1 95 + ID=g")).genes
    assert [(g.name, g.biotype, g.start, g.end) for g in genes] == [("t", "tRNA", 0, 90), ("g", "pseudogene", 0, 95)]
    assert [[(i.start, i.end) for i in g.introns] for g in genes] == [[(30, 60)], [(30, 60)]]


def test_exons_without_rows_come_from_introns_or_from_the_transcript(folder):
    text = rows(
        "gene 1 90 - ID=g", "mRNA 1 90 - ID=a;Parent=g", "intron 31 60 - Parent=a", "ncRNA 5 50 - ID=b;Parent=g"
    )
    (gene,) = read(folder, text).genes
    assert [t.exons for t in gene.transcripts] == [((0, 30), (60, 90)), ((4, 50),)]


def test_touching_exons_are_one(folder):
    text = rows("gene 1 90 + ID=g", "mRNA 1 90 + ID=a;Parent=g", "exon 1 30 + Parent=a", "exon 31 60 + Parent=a")
    (gene,) = read(folder, text + rows("exon 70 90 + Parent=a")).genes
    assert gene.transcripts[0].exons == ((0, 60), (69, 90))


def test_a_gene_with_introns_of_several_lengths_and_parents_at_two_levels(folder):
    text = rows("gene 1 90 + ID=g", "primary_transcript 1 90 + ID=p;Parent=g", "miRNA 11 30 + ID=m;Parent=p")
    (gene,) = read(folder, text + rows("exon 1 90 + Parent=p", "exon 11 30 + Parent=m")).genes
    assert [t.name for t in gene.transcripts] == ["p", "m"]


def test_introns_without_parent_are_evidence_with_their_score(folder):
    text = "".join(
        f"1\tRNASeq_splice\tintron\t{a}\t{a + 9}\t{n}\t{s}\t.\tID=x\n" for a, n, s in [(30, 2.5, "-"), (5, 7, "+")]
    )
    read_back = read(folder, text + rows("intron 3 9 . ID=y", "transcript_region 3 9 . Name=z")).supported
    assert [(i.start, i.end, i.strand, i.count) for i in read_back] == [(4, 14, "+", 7), (29, 39, "-", 2.5)]


def test_what_a_cut_lost_is_partial_and_never_mixed_with_whole_genes(folder):
    whole = rows("gene 1 90 + ID=g", "mRNA 1 90 + ID=a;Parent=g", "exon 1 90 + Parent=a")
    lost = rows("exon 101 120 - Parent=b", "exon 141 160 - Parent=b", "mRNA 170 190 + ID=c;Parent=h")
    with pytest.warns(UserWarning, match=r"4 parents have no row of their own.*'b', line 4"):
        annotation = read(folder, whole + lost + lost.replace("1\t.", "2\t."))
    assert [gene.name for gene in annotation.genes] == ["g"]
    assert {(g.chromosome, g.name, g.start, len(g.introns)) for g in annotation.partial} == {
        (c, *rest) for c in "12" for rest in (("b", 100, 1), ("h", 169, 0))
    }


def test_of_trans_splicing_the_exons_on_the_own_strand_are_kept(folder):
    text = rows("gene 1 900 - ID=g", "mRNA 1 900 - ID=a;Parent=g", "exon 1 90 - Parent=a", "exon 201 290 - Parent=a")
    with pytest.warns(UserWarning, match="trans-splicing"):
        annotation = read(folder, text + rows("exon 700 800 + Parent=a"))
    assert annotation.genes[0].transcripts[0].exons == ((0, 90), (200, 290))


GENE = rows("gene 1 90 + ID=g", "mRNA 1 90 + ID=a;Parent=g")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GENE + "1\t.\texon\t1\n", "line 3: 4 columns"),
        (GENE.replace("\t", " "), "line 1: 1 columns"),
        (GENE + rows("exon 9 3 + Parent=a"), "line 3: start 9 is after end 3"),
        (GENE + rows("exon 0 3 + Parent=a"), "line 3: start 0 is below 1"),
        (GENE + rows("exon -4 3 + Parent=a"), "line 3: start -4 is below 1"),
        (GENE + rows("exon 1.5 3 + Parent=a"), "line 3: start '1.5'.*whole numbers"),
        (GENE + rows("exon 1 end + Parent=a"), "line 3: .*'end'"),
        (GENE + rows("exon 1 9 * Parent=a"), r"line 3: unknown strand '\*'"),
        (GENE + rows("exon 1 9 . Parent=a"), r"line 3: unknown strand '\.'"),
        (rows("gene 1 90 ? ID=g"), r"line 1: unknown strand '\?' of 'g'"),
        (GENE + "1\t.\tCDS\t1\t9\t.\t+\t3\tParent=a\n", "line 3: phase '3'"),
        (GENE + "1\t.\tintron\t1\t9\tmany\t+\t.\t.\n", "line 3: score 'many'"),
        (GENE + rows("exon 1 9 + Parent=a", "exon 5 20 + Parent=a"), "line 4: two exons of 'a' overlap, 1-9 and 5-20"),
        (GENE + rows("exon 5 20 + Parent=a", "exon 1 9 + Parent=a"), "line 4: two exons of 'a' overlap"),
        (GENE + rows("exon 1 9 - Parent=a"), "line 3: strand '-', but its transcript 'a' is on '\\+'"),
        (rows("gene 1 90 - ID=g", "mRNA 1 90 + ID=a;Parent=g"), "line 1: 'g' is on strand '-'"),
        (GENE + rows("intron 1 9 + Parent=a"), "line 3: the introns of 'a' must lie inside"),
        (rows("mRNA 1 90 + ID=a;Parent=b", "mRNA 1 90 + ID=b;Parent=a"), "line [12]: '[ab]' is its own ancestor"),
        (rows("mRNA 1 90 + ID=a;Parent=lost", "exon 1 9 + Parent=a"), "line 1: no row has the ID 'lost'"),
        (rows("exon 1 9 + words"), "line 1: attributes 'words' are neither"),
        ('1\t.\texon\t1\t9\t.\t+\t.\ttranscript_id "a";\n', "line 1: a GTF row without gene_id"),
        ("##gff-version 3\n", "no gene and no intron"),
        (">1\nACGT\n", "no gene and no intron"),
        ("", "the file is empty"),
    ],
)
def test_bad_rows_are_errors_that_name_the_line(folder, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(folder, text)
    assert str(caught.value).startswith(str(folder / "genes"))


@pytest.mark.parametrize("damage", [lambda c: gzip.compress(c)[:-9], lambda c: c + b"\xff\n"])
def test_truncated_gzip_and_other_encodings_are_errors(tmp_path, damage):
    path = tmp_path / "genes.gff3"
    path.write_bytes(damage(GENE.encode() * 1000))
    with pytest.raises(InputError, match=r"cannot be read|not UTF-8"):
        read_annotation(path)


def _genome(introns, canonical, name="1"):
    """An annotation with introns of 20 bases, and its chromosome, where some introns are canonical."""
    codes = np.zeros(40 * introns + 40, np.uint8)
    for k in range(canonical):
        codes[40 * k + 20 : 40 * k + 40] = encode("GT" + "C" * 16 + "AG")
    exons = tuple((40 * k, 40 * k + 20) for k in range(introns + 1))
    transcript = Transcript("a", name, "+", exons)
    gene = Gene("g", name, "+", 0, exons[-1][1], None, (transcript,))
    return Annotation((gene,), (), "genes.gff3"), {name: codes}


def test_sequences_of_another_assembly_are_an_error_if_there_are_enough_introns_to_tell():
    annotation, sequences = _genome(30, 14)
    with pytest.raises(InputError, match=r"not those that the annotation was made for .only 47 % of 30 introns"):
        check_annotation(annotation, sequences)
    check_annotation(*_genome(30, 15))
    check_annotation(*_genome(19, 0))


def test_unknown_bases_do_not_speak_against_the_sequences():
    annotation, sequences = _genome(45, 15)
    sequences["1"][40 * 30 :] = 4
    check_annotation(annotation, sequences)
    sequences["1"][40 * 16 :] = 4
    assert sum(intron.canonical for intron in check_annotation(annotation, sequences).genes[0].introns) == 15


@pytest.mark.parametrize(
    ("theirs", "ours", "hint"),
    [
        ("chr1", "1", "calls it '1'"),
        ("1", "Chr1", "calls it 'Chr1'"),
        ("chr01", "Chr1", "calls it 'Chr1'"),
        ("chrM", "MT", "calls it 'MT'"),
        ("Pt", "ChrC", "calls it 'ChrC'"),
        ("scaffold_12", "scaffold_112", "nearest names in the FASTA are 'scaffold_112'"),
        ("NC_003070.9", "1", "the FASTA has '1', 'other'$"),
    ],
)
def test_other_names_of_chromosomes_are_errors_with_the_nearest(theirs, ours, hint):
    annotation, sequences = _genome(3, 3, theirs)
    sequences = {ours: sequences[theirs], "other": sequences[theirs]}
    with pytest.raises(InputError, match=rf"gene 'g' is on '{theirs}', which is not among the sequences; .*{hint}"):
        check_annotation(annotation, sequences)


def test_coordinates_past_the_end_are_errors(folder):
    annotation, sequences = _genome(3, 3)
    with pytest.raises(InputError, match=r"gene 'g' is at 1:1-140, but 1 ends at 139"):
        check_annotation(annotation, {"1": sequences["1"][:139]})
    evidence = "1\t.\tintron\t90\t141\t5\t+\t.\t.\n2\t.\tintron\t1\t9\t5\t+\t.\t.\n"
    supported = read(folder, evidence)
    with pytest.raises(InputError, match="supported intron 1:90-141 passes the end of 1 at 140"):
        check_annotation(supported, {"1": sequences["1"][:140]})
    (left,) = check_annotation(supported, sequences).supported
    assert left.canonical is False


@pytest.mark.data
@pytest.mark.parametrize("name", ["athaliana_chr2-5", "celegans"])
def test_real_genomes_are_canonical_and_in_phase(name):
    path = dataset_file("genome", f"{name}.gff3.gz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # genes cut off at the end of the segment
        annotation = check_annotation(read_annotation(path), read_fasta(dataset_file("genome", f"{name}.fa.gz")))
    introns = [intron for gene in annotation.genes for intron in gene.introns]
    assert len(introns) > 900
    assert np.mean([intron.canonical for intron in introns]) > 0.98
    assert np.mean([intron.canonical for gene in annotation.partial for intron in gene.introns]) > 0.9
    # The phase column of a CDS row counts the bases that complete the codon before it: a second way to the phase.
    table = [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    stated = {(r[0], r[6], int(r[3]) - 1 if r[6] == "+" else int(r[4]), r[7]) for r in table if r[2] == "CDS"}
    for gene in annotation.genes:
        for transcript in gene.transcripts:
            for intron in transcript.introns:
                if intron.phase is not None:
                    edge = intron.end if intron.strand == "+" else intron.start
                    assert (intron.chromosome, intron.strand, edge, str(-intron.phase % 3)) in stated
    evidence = Counter(r[2] for r in table if r[1] == "RNASeq_splice")
    assert len(annotation.supported) == evidence["intron"]
    assert sum(i.count for i in annotation.supported) == sum(float(r[5]) for r in table if r[1] == "RNASeq_splice")


@pytest.mark.data
def test_introns_of_wormbase_are_the_gaps_between_its_exons():
    path = dataset_file("genes", "celegans_apc.gff3.gz")
    with pytest.warns(UserWarning, match="have no row of their own"):
        annotation = read_annotation(path)
    check_annotation(annotation, read_fasta(dataset_file("genes", "celegans_apc.fa.gz")))
    assert len(annotation.genes) == 665
    table = [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    written: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for row in table:
        if row[1:3] == ["WormBase", "intron"]:
            place = row[0], row[8].removeprefix("Parent=")
            written.setdefault(place, set()).add((int(row[3]) - 1, int(row[4])))
    introns = {
        (gene.chromosome, transcript.name): {(intron.start, intron.end) for intron in transcript.introns}
        for gene in annotation.genes
        for transcript in gene.transcripts
    }
    whole = written.keys() & introns.keys()  # some non-coding transcripts have no intron rows
    assert sum(len(written[place]) for place in whole) == 1183
    assert {place: introns[place] for place in whole} == {place: written[place] for place in whole}
