"""What the GTO form buys: learned against fixed exponents, GTO against Bessel functions, C∞ against cosine cutoff.

    SCIML_ZOO_DATA=../shared/data python -m benchmarks.potentials.ablation [--minutes 5] [--seeds 3]

Trainings of the recipe of ``gto_potential.rmd17_ethanol``, on 950 frames with 50 to validate, one thread, that differ
in one field of the model's configuration. All have as many steps, those for which the unchanged model takes
``--minutes``; a seed decides split, initial weights and order of the data. Reported is the mean error on the test
frames ± the standard deviation over seeds, and the mean of the differences to the unchanged model with the same seed
± its standard error. Results are written after every training, and what is there of the same minutes is not trained
again.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import sciml_zoo as sz
from benchmarks._results import machine, results_file, write_results
from benchmarks.potentials._training import split_ethanol, steps_within, train
from sciml_zoo.potentials import evaluate

NAME = "potentials.ablation"
UNCHANGED = "GTO, learned exponents, C∞ cutoff"
VARIANTS = {
    UNCHANGED: (),
    "fixed exponents": ("--model.learn_exponents=false",),
    "Bessel functions": ("--model.radial=bessel",),
    "cosine cutoff": ("--model.cutoff_function=cosine",),
}
SCORES = ("force_mae_mev_per_a", "energy_mae_mev")


def trained(variant: str, seed: int, steps: int) -> dict[str, float]:
    """Returns the errors of one training on the test frames, and its seconds and parameters."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = split_ethanol(folder, seed)
        changes = [
            f"--data.train={files[0]}",
            f"--data.validation={files[1]}",
            f"--seed={seed}",
            f"--trainer.seed={seed}",
            f"--trainer.max_steps={steps}",
            f"--trainer.validate_every={max(1, steps // 10)}",
        ]
        summary = train(folder / "run", [*changes, *VARIANTS[variant]])
        model: Any = sz.load_model(f"local-dir:{folder / 'run' / 'best'}")
        scores = evaluate(model, files[2])
        parameters = sum(p.numel() for p in model.parameters())
    return {name: scores[name] for name in SCORES} | {"seconds": summary["seconds"], "parameters": parameters}


def spread(values: Sequence[float]) -> float:
    """Returns the standard deviation, 0 for one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def summarized(runs: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Returns means, spreads and differences to the unchanged model, over the seeds of each variant."""
    found: dict[str, dict[str, float]] = {}
    for variant, by_seed in runs.items():
        seconds = statistics.mean(run["seconds"] for run in by_seed.values())
        row = found[variant] = {"seeds": len(by_seed), "seconds": seconds}
        for score in SCORES:
            values = [run[score] for run in by_seed.values()]
            row |= {score: statistics.mean(values), f"{score}_spread": spread(values)}
            both = [seed for seed in by_seed if seed in runs.get(UNCHANGED, {})]
            if variant != UNCHANGED and both:
                more = [by_seed[seed][score] - runs[UNCHANGED][seed][score] for seed in both]
                error = spread(more) / len(more) ** 0.5
                row |= {f"{score}_more": statistics.mean(more), f"{score}_more_error": error}
    return found


def show(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Prints the table."""
    print(f"{'':<36} force MAE, meV/Å   more than unchanged   energy MAE, meV  seeds  seconds")
    for variant, row in rows.items():
        force, energy = SCORES
        more = f"{row[f'{force}_more']:+.2f} ± {row[f'{force}_more_error']:.2f}" if f"{force}_more" in row else ""
        print(
            f"{variant:<36} {row[force]:>7.2f} ± {row[f'{force}_spread']:<6.2f} {more:>21}   "
            f"{row[energy]:>6.2f} ± {row[f'{energy}_spread']:<6.2f} {row['seeds']:>5} {row['seconds']:>8.0f}"
        )


def main() -> int:
    """Returns 0; trains what is missing, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--again", action="store_true", help="train everything anew")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    earlier: dict[str, Any] = {}
    if results_file(NAME).is_file() and not chosen.again:
        earlier = json.loads(results_file(NAME).read_text())
        earlier = earlier if earlier["minutes"] == chosen.minutes else {}
    runs: dict[str, dict[str, dict[str, float]]] = earlier.get("runs", {})
    steps = earlier.get("steps") or steps_within(chosen.minutes, [])
    for seed in map(str, range(chosen.seeds)):
        for variant in VARIANTS:
            if seed in runs.setdefault(variant, {}):
                continue
            runs[variant][seed] = trained(variant, int(seed), steps)
            print(f"{variant}, seed {seed}: {runs[variant][seed][SCORES[0]]:.2f} meV/Å", flush=True)
            rows = summarized({name: by_seed for name, by_seed in runs.items() if by_seed})
            write_results(NAME, {"minutes": chosen.minutes, "steps": steps, "variants": rows, "runs": runs} | machine())
    show(summarized(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
