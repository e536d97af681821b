"""C. elegans: the shipped network on chromosomes II and V, of which it saw nothing in training.

    python -m benchmarks.splicing.celegans [--weights splice_rnn.celegans]

Genes and intervals as in ``benchmarks.splicing.accuracy``. The junction records do not tell chromosomes: those of genes
of the segments, and those that share 32 bases with a held-out segment, were left out of the training; others of genes
elsewhere on II and V may have been in it.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

from benchmarks.splicing.accuracy import KINDS, measured
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.recipe import labelled_genome
from sciml_zoo.zoo.resolve import load_model

HELD_OUT = ("II", "V")
REQUIRED = {"topk": 0.85, "ap": 0.90}


def main() -> int:
    """Returns 0 where the requirements hold; prints the figures, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="splice_rnn.celegans")
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the resampling")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "celegans.json")
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # genes cut off at the ends of the segments
        genome = labelled_genome("dataset:genome/celegans.fa", "dataset:genome/celegans.gff3")
    model = load_model(arguments.weights)
    assert isinstance(model, SpliceModel)
    found = measured([model], genome, HELD_OUT, arguments.repeats, arguments.seed)
    del found["draws"]
    names = [f"{kind}_{short}" for kind in KINDS for short in REQUIRED]
    for name in names:
        low, high = found["interval"][name]
        print(f"{name}: {found['mean'][name]:.3f} ({low:.3f}–{high:.3f})")
    for name in ("both_strands_precision", "ece_candidates", "ece_sites"):
        print(f"{name}: {found['mean'][name]:.4f}")
    found["passed"] = all(
        found["mean"][f"{kind}_{short}"] >= least for kind in KINDS for short, least in REQUIRED.items()
    )
    arguments.out.write_text(json.dumps({"weights": arguments.weights, **found}, indent=1) + "\n")
    return int(not found["passed"])


if __name__ == "__main__":
    sys.exit(main())
