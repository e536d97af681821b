"""Rows of the README's table of measured claims: spin systems."""

from typing import Any

__all__ = ["NEEDED", "measured"]

#: Benchmarks whose results are read.
NEEDED = tuple(
    f"ising.{name}"
    for name in ("mapping", "exact", "monte_carlo", "ground_states", "speed", "learning", "digits", "scaling")
)

_GROUND_STATES = {
    "ea2d_torus": "2-D Gaussian glasses up to 16×16",
    "chimera": "Chimera droplets, 512 spins",
    "dimacs": "3-D tori, 512 spins",
    "gset": "Gset up to 3000 nodes, 12 s",
    "biqmac": "Biq Mac library, 10 s",
}


def measured(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns what was measured, the figure, and the benchmark.

    Args:
        results: by benchmark.
    """
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
