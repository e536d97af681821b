"""Write the measured figures into README.md: from the manifest and from benchmarks/*/results.

python scripts/fill_readme.py [--check]
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from sciml_zoo.zoo.manifest import manifest

_NEEDED = {
    "potentials.accuracy",
    "potentials.dynamics",
    "training.overhead",
    *(
        f"ising.{name}"
        for name in ("mapping", "exact", "monte_carlo", "ground_states", "speed", "learning", "digits", "scaling")
    ),
    *(f"splicing.{name}" for name in ("accuracy", "celegans", "scanning", "uci", "mpsa", "plasticity")),
}
# Metrics of the shelf's table; cards have all of them.
_SHOWN = ("_mae_", "topk", "_ap", "error_")
_GROUND_STATES = {
    "ea2d_torus": "2-D Gaussian glasses up to 16×16",
    "chimera": "Chimera droplets, 512 spins",
    "dimacs": "3-D tori, 512 spins",
    "gset": "Gset up to 3000 nodes, 12 s",
    "biqmac": "Biq Mac library, 10 s",
}
_REPOSITORY = Path(__file__).resolve().parents[1]


def shelf() -> str:
    """Returns the table of shipped weights."""
    lines = ["| weights | what it is | parameters | licence | measured |", "|---|---|---|---|---|"]
    for row in manifest().values():
        measured = "<br>".join(
            f"{m.dataset}: {m.name} {m.value:.4g} {m.unit}"
            for m in row.metrics
            if m.name == "log_likelihood" or any(word in m.name for word in _SHOWN)
        )
        lines.append(f"| `{row.name}` | {row.summary} | {row.parameters:,} | {row.licence} | {measured} |")
    return "\n".join(lines)


def benchmarks() -> str:
    """Returns the table of measured claims."""
    results = {
        f"{path.parent.parent.name}.{path.stem}": json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((_REPOSITORY / "benchmarks").glob("*/results/*.json"))
    }
    missing = _NEEDED - results.keys()
    if missing:
        raise SystemExit(f"no results of {', '.join(sorted(missing))}: run make bench")
    accuracy, dynamics = results["potentials.accuracy"], results["potentials.dynamics"]
    overhead = results["training.overhead"]
    test, own = accuracy["rmd17_ethanol/test.xyz"], accuracy["samples/ethanol.xyz"]
    rows = [
        (
            "rMD17 ethanol, 500 test frames: force / energy MAE",
            f"{test['force_mae_mev_per_a']:.2f} meV/Å / {test['energy_mae_mev']:.2f} meV",
            "potentials.accuracy",
        ),
        (
            "the same against our own DFT (another code, same level): force MAE",
            f"{own['force_mae_mev_per_a']:.2f} meV/Å",
            "potentials.accuracy",
        ),
        (
            f"{dynamics['picoseconds']:.0f} ps of NVE dynamics of ethanol, {dynamics['step_fs']} fs, "
            f"{dynamics['mean_temperature_K']:.0f} K: energy drift",
            f"{dynamics['drift_mev_per_atom_per_ps']:.1e} meV/atom/ps, "
            + ("molecule intact" if dynamics["intact"] else "molecule broken"),
            "potentials.dynamics",
        ),
        (
            f"trainer over a bare PyTorch loop, step of {overhead['bare_ms_per_step']:.0f} ms",
            f"{overhead['overhead_percent']:+.1f} %",
            "training.overhead",
        ),
        *_ising(results),
        *_splicing(results),
    ]
    lines = ["| what | figure | command |", "|---|---|---|"]
    return "\n".join(
        [*lines, *(f"| {what} | {figure} | `python -m benchmarks.{name}` |" for what, figure, name in rows)]
    )


def _splicing(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    accuracy, worm, scanning = (results[f"splicing.{name}"] for name in ("accuracy", "celegans", "scanning"))
    names = ("donor_topk", "donor_ap", "acceptor_topk", "acceptor_ap")

    def scores(row: dict[str, Any]) -> str:
        return " / ".join(f"{row['mean'][name]:.3f}" for name in names)

    rows = accuracy["rows"]
    n_seeds = len(accuracy["seeds"])
    what = "donor top-k / AP / acceptor top-k / AP"
    found = [
        (
            f"A. thaliana, genes of chromosome 3, trained on 2, 4, 5: {what}, `{name}`",
            f"{scores(rows[name])}; {rows[name]['parameters']:,} parameters",
            "splicing.accuracy",
        )
        for name in rows
        if "." in name
    ]
    found += [
        (
            f"the same, {words}, {accuracy['bases'] / 1e6:.0f} Mb, mean of {n_seeds} seeds",
            f"{scores(rows[name])}; {rows[name]['parameters']:,} parameters",
            "splicing.accuracy",
        )
        for name, words in (
            ("splice_rnn", "`splice_rnn` without teachers"),
            ("spliceai_400", "SpliceAI-400 architecture"),
            ("spliceai_80", "SpliceAI-80 architecture"),
        )
    ]
    best = rows["splice_rnn.athaliana"]["mean"]
    return [
        *found,
        (
            "both strands of whole chromosome 3: precision at recall 0.8, `splice_rnn.athaliana`",
            f"{best['both_strands_precision']:.3f}",
            "splicing.accuracy",
        ),
        (
            "calibration error on chromosome 3: all candidates / sites of probability ≥ 0.1",
            f"{best['ece_candidates']:.4f} / {best['ece_sites']:.3f}",
            "splicing.accuracy",
        ),
        (f"C. elegans, chromosomes II and V: {what}", scores(worm), "splicing.celegans"),
        (
            "scan of 12 Mb, one thread: bases of one strand a second; memory for 1 / 12 Mb",
            f"{scanning['12_mb']['kb_per_second']:.0f} kb/s; "
            f"{scanning['1_mb']['peak_mb']:.0f} / {scanning['12_mb']['peak_mb']:.0f} MB",
            "splicing.scanning",
        ),
        (
            "the network alone over SpliceAI-400's, same thread",
            f"{scanning['speed_over_spliceai_400']:.1f}×",
            "splicing.scanning",
        ),
        (
            "scan in windows against the whole sequence, 1 Mb: largest difference of a probability",
            f"{scanning['largest_difference']:.0e}",
            "splicing.scanning",
        ),
        *_small_sequences(results),
    ]


def _small_sequences(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    uci, mpsa, plasticity = (results[f"splicing.{name}"] for name in ("uci", "mpsa", "plasticity"))
    errors = " / ".join(f"{uci[f'error_{name}']['mean']:.1f}" for name in ("N", "EI", "IE"))
    found = mpsa["found"]
    zero_shot = [found[f"{name}, zero-shot"]["spearman"] for name in ("network", "position-weight matrix")]
    heads = [found[f"{name}, fitted"]["r2"] for name in ("network's features", "nine bases")]
    against = plasticity["effects"]
    effects = "; ".join(
        f"({letter}) {row['mean']:+.4f} ({row['low']:+.4f} … {row['high']:+.4f})"
        for letter in "ab"
        for row in [against[f"({letter}) against shuffled"]["ap"]]
    )
    return [
        (
            f"UCI junctions, ten-fold, {len(uci['seeds'])} repeats: errors N / EI / IE "
            "(KBANN 4.6 / 7.6 / 8.5, backpropagation 5.3 / 5.7 / 10.8)",
            f"{errors} %",
            "splicing.uci",
        ),
        (
            "measured 5′ sites (MPSA): Spearman's ρ without fitting, network / position-weight matrix; R² of fitted "
            "heads, network's features / nine bases",
            f"{zero_shot[0]:.2f} / {zero_shot[1]:.2f}; {heads[0]:.2f} / {heads[1]:.2f}",
            "splicing.mpsa",
        ),
        (
            "methylation as learning rate, κ = 0.9: change of AP against shuffled methylation, 95 % interval",
            effects,
            "splicing.plasticity",
        ),
    ]


def _ising(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    mapping, exact, learning = (results[f"ising.{name}"] for name in ("mapping", "exact", "learning"))
    digits, speed, scaling = (results[f"ising.{name}"] for name in ("digits", "speed", "scaling"))
    rows = [
        (
            f"Ising ⇄ Boltzmann machine, {mapping['cases']} random cases: largest error",
            f"{max(mapping['largest_error'].values()):.0e}",
            "ising.mapping",
        ),
        (
            "log Z by enumeration against Kaufman's formula, 4×4 torus: largest relative error",
            f"{exact['max_log_z_relative_error']:.0e}",
            "ising.exact",
        ),
    ]
    for run in results["ising.monte_carlo"]["runs"]:
        rows.append(
            (
                f"64×64 ferromagnet, T = {run['temperature']}: energy against Kaufman, "
                f"magnetisation against {run['reference']}",
                f"{run['energy']:.5f} ± {run['energy_error']:.5f} ({run['energy_sigmas']:+.1f} σ), "
                f"{run['magnetisation_sigmas']:+.1f} σ",
                "ising.monte_carlo",
            )
        )
    for name, words in _GROUND_STATES.items():
        found = results["ising.ground_states"]["sets"][name]["summary"]
        rows.append(
            (
                f"ground states, {words}: reached",
                f"{found['reached']} of {found['instances']}, median {found['median_seconds_to_best']:.2g} s",
                "ising.ground_states",
            )
        )
    rows += [
        (
            f"spin updates per second on {name}, one thread: ours / dwave-samplers",
            _speed(graph),
            "ising.speed",
        )
        for name, graph in speed["graphs"].items()
    ]
    for name in ("scotus", "spikes15"):
        found = learning[name]
        rows.append(
            (
                f"{name}: entropy of the exact maximum-likelihood machine; couplings by pseudo-likelihood",
                f"{found['entropy_bits']:.4f} bits; "
                f"{found['pseudo_likelihood']['couplings_relative_difference']:.3f} relative",
                "ising.learning",
            )
        )
    ours, theirs = digits["hidden_64"]["sciml_zoo"], digits["hidden_64"]["sklearn"]
    rows.append(
        (
            "digits, 64 hidden units: test log-likelihood, ours / scikit-learn's BernoulliRBM "
            f"(best of {len(digits['hidden_64']['grid_of_sklearn'])} settings, up to "
            f"{max(one['n_iter'] for one in digits['hidden_64']['grid_of_sklearn']):,} epochs)",
            f"{ours['test_log_likelihood']:.2f} / {theirs['test_log_likelihood']:.2f} nats "
            f"(difference {digits['hidden_64']['difference']:.2f} ± {digits['hidden_64']['difference_error']:.2f})",
            "ising.digits",
        )
    )
    largest = scaling["sizes"][-1]
    rows.append(
        (
            f"annealing {largest['spins']:,} spins of degree 6, {scaling['sweeps']} sweeps of "
            f"{scaling['replicas']} replicas: time, memory; exponents in the number of spins",
            f"{largest['seconds_anneal']:.0f} s, {largest['peak_gb']:.2f} GB; "
            f"time {scaling['exponents']['time']:.2f}, memory {scaling['exponents']['memory']:.2f}",
            "ising.scaling",
        )
    )
    return rows


def _speed(graph: dict[str, Any]) -> str:
    ours, peer = graph["sciml_zoo"], graph["dwave-samplers"]
    return (
        f"{ours['updates_per_second']:.1e} / {peer['updates_per_second']:.1e} = {ours['speed_over_dwave']:.0f}×; "
        f"mean energy {ours['mean_energy']:.1f} / {peer['mean_energy']:.1f}"
    )


def filled(text: str) -> str:
    """Returns the README's text with its tables made anew."""
    for name, table in (("shelf", shelf()), ("benchmarks", benchmarks())):
        block = f"<!-- {name} -->\n{table}\n<!-- end of {name} -->"
        text, found = re.subn(f"<!-- {name} -->.*?<!-- end of {name} -->", lambda _, b=block: b, text, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"README.md: expected one block between <!-- {name} --> and <!-- end of {name} -->")
    return text


def main() -> int:
    """Returns the exit status of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether README.md is up to date")
    arguments = parser.parse_args()
    path = _REPOSITORY / "README.md"
    old = path.read_text(encoding="utf-8")
    new = filled(old)
    if arguments.check:
        print("README.md is up to date" if new == old else "README.md is stale: run python scripts/fill_readme.py")
        return int(new != old)
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
