"""Errors of a shipped ethanol potential: on the rMD17 test frames and on this project's own DFT samples.

    SCIML_ZOO_DATA=../shared/data python -m benchmarks.potentials.accuracy

Published figures (force / energy MAE, meV/Å and meV): ANI 13.4 / 2.5, PaiNN 10.0 / 2.7, ACE 7.3 / 1.2,
NequIP 2.8 / 0.4, as collected in Batatia et al., NeurIPS 2022 (MACE), Table 1.
"""

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import sciml_zoo as sz
from sciml_zoo.datasets import dataset_file
from sciml_zoo.potentials import evaluate

FILES = (
    ("rmd17_ethanol", "test.xyz", "rMD17 test frames"),
    ("samples", "ethanol_nms.xyz", "own DFT, normal modes at 500 K"),
    ("samples", "ethanol.xyz", "own DFT, dynamics at 500 K"),
)


def main() -> None:
    """Scores the potential, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="gto_potential.rmd17_ethanol")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "accuracy.json")
    arguments = parser.parse_args()
    model = sz.load_model(arguments.weights)
    table = Table("structures", "n", "energy MAE, meV", "force MAE, meV/Å", box=None)
    result: dict[str, object] = {"weights": arguments.weights, "torch": torch.__version__}
    for dataset, file, description in FILES:
        scores = evaluate(model, dataset_file(dataset, file))
        result[f"{dataset}/{file}"] = scores
        table.add_row(
            description, str(scores["n"]), f"{scores['energy_mae_mev']:.2f}", f"{scores['force_mae_mev_per_a']:.2f}"
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    Console().print(table)


if __name__ == "__main__":
    main()
