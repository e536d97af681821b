"""Variants of one chromosome, scored, and the scores read back."""

from pathlib import Path
from urllib.parse import quote

from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.variants import score_variants

__all__ = ["HEADER", "NAMES", "Genes", "Row", "parsed", "run"]

HEADER = "##fileformat=VCFv4.2\n##source=test\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
NAMES = ("AG", "AL", "DG", "DL")
Genes = list[tuple[str, str, int, int]]
Row = tuple[int, str, str]  # POS, REF, ALT


def gff(genes: Genes) -> str:
    rows = [f"c\tt\tgene\t{start + 1}\t{end}\t.\t{strand}\t.\tID={quote(name)}" for name, strand, start, end in genes]
    return "##gff-version 3\n" + "\n".join(rows) + "\n"


def run(folder: Path, model: SpliceModel, genome: str, genes: Genes, rows: list[Row] | str, **options) -> dict:
    """Scores variants of a chromosome c; the result is in ``out.vcf``, of which the folder is the parent."""
    text = rows if isinstance(rows, str) else HEADER + "".join(f"c\t{p}\t.\t{r}\t{a}\t.\t.\t.\n" for p, r, a in rows)
    (folder / "in.vcf").write_bytes(text.encode())
    (folder / "g.fa").write_text(f">c\n{genome}\n")
    (folder / "g.gff3").write_text(gff(genes))
    return score_variants(
        model, folder / "in.vcf", folder / "g.fa", folder / "g.gff3", folder / "out.vcf", **{"window": 10, **options}
    )


def parsed(path: Path) -> list[dict[tuple[str, str], dict[str, tuple[float, int]]]]:
    """Returns for each line and each allele and gene the scores with their positions."""
    found = []
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            continue
        items = [item[10:] for item in line.split("\t")[7].split(";") if item.startswith("SpliceRNN=")]
        values = [value.split("|") for value in (items[0].split(",") if items else [])]
        found.append(
            {
                (v[0], v[1]): {name: (float(v[2 + k]), int(v[6 + k])) for k, name in enumerate(NAMES)}
                for v in values
                if len(v) == 10
            }
        )
        assert len(found[-1]) == len(values)
    return found
