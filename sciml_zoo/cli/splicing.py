"""``sciml-zoo splicing``: the splice sites of a genome, and what variants do to them."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml_zoo.cli.arguments import count, image_file
from sciml_zoo.cli.output import add_json_option, choose_device, output_file, plain_console, write_json
from sciml_zoo.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Task

    from sciml_zoo.splicing.model import SpliceModel
    from sciml_zoo.splicing.scan import ScanSummary

__all__ = ["add_parser"]

_STRANDS = ("+", "-")
_KINDS = ("donor", "acceptor")
# Those of sciml_zoo.splicing.portraits, which is slow to import.
_FIGURES = ("track", "precision-recall", "reliability", "donor-logo", "acceptor-logo", "gradient")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the group ``splicing``; each of its verbs sets ``run``, a function of the parsed arguments.

    Args:
        subparsers: of the main parser.
    """
    parser = subparsers.add_parser("splicing", help="find splice sites and judge variants", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    verb = verbs.add_parser(
        "scan",
        help="find the splice sites of a genome of any size",
        description="Find the splice sites of a genome on both strands, in one pass and at constant memory. A donor is "
        "the first base of an intron in the direction of transcription, an acceptor the last. Reported are donors at "
        "GT and GC and acceptors at AG.",
    )
    verb.add_argument("fasta", metavar="GENOME.fa", help="plain or gzip; or dataset:NAME/FILE")
    verb.add_argument(
        "-o", "--out", type=output_file, required=True, metavar="OUT",
        help="to write; the ending tells the format: .bed, .gff3, .bedgraph, each also with .gz, or .parquet",
    )  # fmt: skip
    verb.add_argument(
        "--min-probability", type=_probability, default=0.1, metavar="P", help="report p ≥ P, calibrated; default: 0.1"
    )
    verb.add_argument("--resume", action="store_true", help="go on with a scan that was stopped")
    _add_common(verb)
    verb.set_defaults(run=_scan)
    verb = verbs.add_parser(
        "variants",
        help="score the splice sites that variants make and destroy",
        description="Score the splice sites that the variants of a VCF file make and destroy near by; scores and "
        "positions are written to INFO.",
    )
    verb.add_argument("vcf", type=Path, metavar="IN.vcf", help="single-base, several-base and indel variants")
    verb.add_argument("fasta", metavar="GENOME.fa", help="plain or gzip; or dataset:NAME/FILE")
    verb.add_argument("annotation", metavar="GENES.gff3", help="GFF3 or GTF, plain or gzip; or dataset:NAME/FILE")
    verb.add_argument("-o", "--out", type=output_file, required=True, metavar="OUT.vcf", help="the file to write")
    verb.add_argument(
        "--window", type=count, default=50, metavar="BASES", help="how far from a variant; default: %(default)s"
    )
    _add_common(verb)
    verb.set_defaults(run=_variants)
    verb = verbs.add_parser(
        "plot",
        help="draw a gene's track, precision and recall, reliability, motifs, or the gradient through time",
        description="Draw what a network does on an annotated genome.",
    )
    verb.add_argument("what", choices=_FIGURES, metavar="WHAT", help=", ".join(_FIGURES))
    verb.add_argument("fasta", metavar="GENOME.fa", help="plain or gzip; or dataset:NAME/FILE")
    verb.add_argument("annotation", metavar="GENES.gff3", help="GFF3 or GTF, plain or gzip; or dataset:NAME/FILE")
    verb.add_argument("-o", "--out", type=image_file, required=True, metavar="FILE", help=".png, .pdf or .svg")
    verb.add_argument("--gene", metavar="NAME", help="of a track; default: the gene with most introns")
    verb.add_argument("--chromosomes", default="", metavar="A,B", help="default: all")
    _add_common(verb)
    verb.set_defaults(run=_plot)


def _add_common(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--weights", required=True, metavar="NAME",
        help="of the species or a near one (see `sciml-zoo list`), local-dir:PATH or hf-hub:ORG/REPO@REV",
    )  # fmt: skip
    verb.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, …")
    verb.add_argument("--threads", type=count, metavar="N", help="of the CPU; default: all")
    add_json_option(verb)


def _probability(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a probability in (0, 1]")


def _scan(args: argparse.Namespace) -> int:
    from sciml_zoo.datasets import referenced_file
    from sciml_zoo.splicing._partial_file import is_unfinished
    from sciml_zoo.splicing.site_formats import site_format

    site_format(args.out)
    fasta = referenced_file(args.fasta)
    model, device = _prepared(args)

    from sciml_zoo.splicing.scan import scan_to_file

    if is_unfinished(args.out) and not args.resume:
        print(f"sciml-zoo: starting anew: the unfinished scan beside {args.out} is overwritten", file=sys.stderr)
    try:
        with _bases_bar("scanning") as show:
            found = scan_to_file(
                model,
                fasta,
                args.out,
                min_probability=args.min_probability,
                device=device,
                resume=args.resume,
                on_progress=show,
            )
    except KeyboardInterrupt:
        if is_unfinished(args.out):
            print("sciml-zoo: stopped; the same command with --resume goes on", file=sys.stderr)
        raise
    summary = _summary(args, found)
    write_json(args.json, summary)
    _show_sites(summary)
    return 0


def _prepared(args: argparse.Namespace) -> "tuple[SpliceModel, str]":
    """Returns the model and the device, with the number of threads set."""
    import torch

    from sciml_zoo.splicing.model import SpliceModel
    from sciml_zoo.zoo.resolve import load_model

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    model = load_model(args.weights, device=device)
    if not isinstance(model, SpliceModel):
        raise InputError(
            f"--weights {args.weights}: a {model.architecture} does not find splice sites; see `sciml-zoo list`"
        )
    return model, device


def _summary(args: argparse.Namespace, found: "ScanSummary") -> dict[str, Any]:
    speed = (found.bases - found.resumed_at) / max(found.seconds, 1e-9) / 1000
    return {
        "genome": str(args.fasta),
        "out": str(args.out),
        "weights": args.weights,
        "min_probability": args.min_probability,
        "n": found.n,
        "sites": {
            kind: {strand: found.sites[i][k] for i, strand in enumerate(_STRANDS)} for k, kind in enumerate(_KINDS)
        },
        "bases": found.bases,
        "resumed_at": found.resumed_at,
        "seconds": found.seconds,
        "kb_per_s": speed,
        "strand_kb_per_s": 2 * speed,
        "peak_memory_mb": _peak_memory_mb(),
    }


def _peak_memory_mb() -> float:
    import resource  # which not every system has

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _show_sites(summary: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("sites", *_STRANDS, box=None, pad_edge=False, header_style="bold")
    for kind, row in summary["sites"].items():
        table.add_row(kind, *(f"{row[strand]:,}" for strand in _STRANDS))
    console = plain_console()
    console.print(table)
    console.print(
        f"{summary['bases']:,} bases in {summary['seconds']:.1f} s: {summary['kb_per_s']:.1f} kb/s, each on both "
        f"strands; at most {summary['peak_memory_mb']:.0f} MB of memory",
        soft_wrap=True,
    )
    console.print(f"{summary['n']:,} sites written to {summary['out']}", soft_wrap=True)


@contextlib.contextmanager
def _bases_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar of bases with the speed on standard error, as ``progress_bar`` does of anything.

    Args:
        description: what is being done.

    Yields:
        The function to call with the number of bases done and an estimate of the total.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: "Task") -> Text:
            speed = "" if task.speed is None else f"{task.speed / 1000:.1f} kb/s"
            return Text(f"{task.completed / 1e6:.1f} of about {(task.total or 0) / 1e6:.1f} Mb  {speed}")

    columns = (TextColumn("{task.description}"), BarColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _variants(args: argparse.Namespace) -> int:
    from rich.table import Table

    from sciml_zoo.cli.output import progress_bar
    from sciml_zoo.datasets import referenced_file

    fasta, annotation = referenced_file(args.fasta), referenced_file(args.annotation)
    model, device = _prepared(args)

    from sciml_zoo.splicing.variants import score_variants

    with progress_bar("scoring") as show:
        summary = score_variants(
            model, args.vcf, fasta, annotation, args.out, window=args.window, device=device, on_progress=show
        )
    write_json(args.json, summary)
    table = Table("variants", "", box=None, pad_edge=False, header_style="bold")
    for name, value in summary.items():
        if isinstance(value, dict):  # numbers by reason
            text = "; ".join(f"{number:,} {reason}" for reason, number in value.items()) or "none"
        else:
            text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
        table.add_row(name.replace("_", " "), text)
    console = plain_console()
    console.print(table)
    console.print(f"written to {args.out}", soft_wrap=True)
    return 0


def _plot(args: argparse.Namespace) -> int:
    from sciml_zoo.datasets import referenced_file

    fasta, annotation = referenced_file(args.fasta), referenced_file(args.annotation)
    model, device = _prepared(args)

    from sciml_zoo.splicing.portraits import portrait
    from sciml_zoo.splicing.recipe import labelled_genome

    genome = labelled_genome(fasta, annotation)
    chosen = [name for name in args.chromosomes.split(",") if name]
    with _bases_bar("reading") as show:
        figure = portrait(args.what, model, genome, chromosomes=chosen, gene=args.gene, device=device, on_progress=show)
    figure.savefig(args.out, dpi=150)
    write_json(args.json, {"what": args.what, "out": str(args.out)})
    print(f"{args.what} written to {args.out}")
    return 0
