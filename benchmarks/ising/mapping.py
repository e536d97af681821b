"""The map between Ising models and Boltzmann machines, both ways, over random cases.

    python -m benchmarks.ising.mapping

Each case draws a size, density, hidden units, ±1 or 0/1 units, fields, a constant and two temperatures. Energy
differences β ΔH of neighbours in the list of all states are compared with differences of log-probability, the machine's
own normalisation included; those of visible states with sums over hidden spins.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.special import logsumexp

from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.model import BoltzmannMachine
from sciml_zoo.ising.partition import log_partition

WHAT = {
    "joint": "log p(u) against β H(s), all units",
    "visible": "log p(v) against sums of exp(−β H) over hidden spins",
    "normalisation": "Σ p − 1",
    "back": "β' H'(s) of to_ising(β') against β H(s), constant included",
}


def random_model(rng: np.random.Generator) -> IsingModel:
    """Returns 2 to 10 spins, dense or sparse."""
    n = int(rng.integers(2, 11))
    couplings = np.triu(rng.normal(size=(n, n)) * (rng.random((n, n)) < rng.uniform(0.2, 1)), 1)
    model = IsingModel.from_dense(couplings, rng.normal(size=n) * rng.integers(0, 2), rng.normal())
    if rng.random() < 0.5:
        model = IsingModel.from_coo(*model.edges, n, fields=model.fields, offset=model.offset)
    return model


def errors_of_case(rng: np.random.Generator) -> dict[str, float]:
    """Returns the largest absolute error of each kind in one case, nats."""
    model = random_model(rng)
    beta, other_beta = np.exp(rng.uniform(np.log(0.05), np.log(5), size=2))
    n_hidden = int(rng.integers(0, min(4, model.n)))
    units = "spin" if rng.random() < 0.5 else "binary"
    machine = BoltzmannMachine.from_ising(model, beta, n_hidden=n_hidden, units=units)
    bits = (np.arange(2**model.n)[:, None] >> np.arange(model.n)[::-1]) & 1  # hidden spins change fastest
    states = machine.from_bits(torch.from_numpy(bits))
    energies = beta * model.energy(2 * bits - 1)
    with torch.no_grad():
        log_z = log_partition(machine).item()
        joint = -machine.energy(states).numpy() - log_z
        visible = -machine.free_energy(states[:: 2**n_hidden, : machine.n_visible]).numpy() - log_z
    marginal = logsumexp(-energies.reshape(-1, 2**n_hidden), axis=1)
    back = other_beta * machine.to_ising(other_beta).energy(2 * bits - 1)
    return {
        "joint": float(np.abs(np.diff(joint) + np.diff(energies)).max()),
        "visible": float(np.abs(np.diff(visible) - np.diff(marginal)).max()),
        "normalisation": float(abs(np.exp(joint).sum() - 1)),
        "back": float(np.abs(back - energies).max()),
    }


def main() -> None:
    """Runs the cases, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mapping.json")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    cases = [errors_of_case(rng) for _ in range(arguments.cases)]
    largest = {name: max(case[name] for case in cases) for name in WHAT}
    table = Table(f"largest error over {arguments.cases} cases", "nats", box=None)
    for name, text in WHAT.items():
        table.add_row(text, f"{largest[name]:.1e}")
    Console().print(table)
    result = {"cases": arguments.cases, "seed": arguments.seed, "largest_error": largest}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
