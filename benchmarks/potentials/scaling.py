"""Time and memory of energy and forces as atoms grow: water boxes of 192, 1,536 and 12,288 atoms, two threads.

    python -m benchmarks.potentials.scaling [--weights gto_potential.water] [--without-mace]

Boxes of 64 molecules at 1 g/cm³ in random orientations, repeated. Each size has a process of its own, so that the peak
memory (interpreter, imports and neighbour list included) is that size's alone; no process may take more than
``--limit`` GB of address space. Times are medians after a call that warms up; ``neighbours`` is the search for all
pairs from scratch, which dynamics does only every few steps. Beside ours MACE 64x0e in float32, at the sizes that fit.
Without the weights an untrained model of their recipe's size is measured, which costs the same.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks._results import machine, write_results
from benchmarks.potentials._environment import OURS, ROOT, environment, peer_python
from benchmarks.potentials._water import water_box

COPIES = (1, 2, 4)
MOST_US, MOST_GROWTH, MOST_GB = 100.0, 1.10, 4.0
CUTOFF = 5.0  # Å, of an untrained model


def measured(find: Callable[[], Any], call: Callable[[Any], Any], repeats: int) -> dict[str, Any]:
    """Returns the seconds of the search for neighbours and of a call, and this process's peak memory.

    Args:
        find: returns what ``call`` takes.
        call: computes energy and forces.
        repeats: of both; the call also has one that warms up.
    """
    seconds: dict[str, list[float]] = {"neighbours": [], "call": []}
    inputs = None
    for _ in range(repeats):
        begun = time.perf_counter()
        inputs = find()
        seconds["neighbours"].append(time.perf_counter() - begun)
    call(inputs)
    for _ in range(repeats):
        begun = time.perf_counter()
        call(inputs)
        seconds["call"].append(time.perf_counter() - begun)
    return {
        **{f"{name}_seconds": statistics.median(each) for name, each in seconds.items()},
        "fastest_call_seconds": min(seconds["call"]),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def one_of_ours(weights: str, copies: int, repeats: int) -> dict[str, Any]:
    """Returns the figures of ours for one size, and what was measured."""
    import sciml_zoo as sz
    from sciml_zoo.potentials import GTOConfig, GTOPotential
    from sciml_zoo.potentials.data import collate, model_inputs, to_graph

    trained = weights.startswith("local-dir:") or weights in sz.list_models(pretrained=True)
    model: Any = sz.load_model(weights) if trained else GTOPotential(GTOConfig(elements=(1, 8), cutoff=CUTOFF))
    model = model.eval().requires_grad_(False)
    atoms = water_box(copies)
    found = measured(
        lambda: model_inputs(collate([to_graph(atoms, model.cutoff)])), lambda inputs: model(**inputs), repeats
    )
    return found | {
        "atoms": len(atoms),
        "model": weights if trained else "untrained",
        "cutoff": model.cutoff,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def one_of_mace(copies: int, repeats: int) -> dict[str, Any]:
    """Returns the figures of MACE 64x0e for one size; runs in its environment."""
    from benchmarks.potentials.peers.mace_models import CUTOFF as CUTOFF_OF_MACE
    from benchmarks.potentials.peers.mace_models import SIZES, built, graph

    model = built(SIZES["MACE 64x0e"], torch.float32)
    atoms = water_box(copies)
    found = measured(
        lambda: graph([atoms], torch.float32), lambda batch: model(dict(batch), compute_stress=False), repeats
    )
    return found | {"atoms": len(atoms), "model": "MACE 64x0e, float32, untrained", "cutoff": CUTOFF_OF_MACE}


def in_a_process(package: str, copies: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the figures of one size, from a fresh interpreter, or ``error``."""
    module = ["-m", "benchmarks.potentials.scaling", "--one", package]
    command = [str(peer_python(package)), "-W", "ignore", *module]
    options = [
        "--copies",
        copies,
        "--repeats",
        arguments.repeats,
        "--weights",
        arguments.weights,
        "--threads",
        arguments.threads,
    ]
    done = subprocess.run(
        [*command, *map(str, options), "--limit", str(arguments.limit)],
        cwd=ROOT,
        env=environment(arguments.threads),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return {"atoms": 192 * copies**3, "error": last[:200]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found | {"us_per_atom": 1e6 * found["call_seconds"] / found["atoms"]}


def show(package: str, row: dict[str, Any]) -> None:
    """Prints one line of the table."""
    if "error" in row:
        print(f"{package:<10} {row['atoms']:>7,}  no result: {row['error']}", flush=True)
        return
    print(
        f"{package:<10} {row['atoms']:>7,} {row['neighbours_seconds']:>13.4f} {row['call_seconds']:>17.4f} "
        f"{row['us_per_atom']:>9.1f} {row['peak_gb']:>9.2f}  {row['model']}, cutoff {row['cutoff']:.2f} Å",
        flush=True,
    )


def main() -> int:
    """Returns 0 where ours meets the issue's targets; prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="gto_potential.water", help="or local-dir:…")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=14.0, help="of the address space of a process, GB")
    parser.add_argument("--without-mace", action="store_true")
    parser.add_argument("--one", choices=(OURS, "mace"), help="measure one size in this process and print its JSON")
    parser.add_argument("--copies", type=int, default=1, help="for --one: of the box of 192 atoms along each axis")
    arguments = parser.parse_args()
    if arguments.one:
        torch.set_num_threads(arguments.threads)
        most = int(arguments.limit * 1e9)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        some = arguments.copies, arguments.repeats
        print(json.dumps(one_of_ours(arguments.weights, *some) if arguments.one == OURS else one_of_mace(*some)))
        return 0
    print("            atoms  neighbours, s  energy+forces, s   µs/atom   peak GB")
    rows: dict[str, list[dict[str, Any]]] = {}
    for package in (OURS,) if arguments.without_mace else (OURS, "mace"):
        rows[package] = []
        for copies in COPIES:
            rows[package].append(in_a_process(package, copies, arguments))
            show(package, rows[package][-1])
    ours = rows[OURS]
    measured_all = not any("error" in row for row in ours)
    growth = ours[-1]["us_per_atom"] / ours[1]["us_per_atom"] if measured_all else float("inf")
    targets = {
        f"{ours[-1]['atoms']:,} atoms cost at most {MOST_GROWTH} × as much per atom as {ours[1]['atoms']:,}": growth
        <= MOST_GROWTH,
        f"≤ {MOST_US:.0f} µs/atom": measured_all and max(row["us_per_atom"] for row in ours[1:]) <= MOST_US,
        f"{ours[-1]['atoms']:,} atoms < {MOST_GB} GB": measured_all and ours[-1]["peak_gb"] < MOST_GB,
    }
    for what, met in targets.items():
        print(f"{'met' if met else 'MISSED'}: {what}")
    torch.set_num_threads(arguments.threads)
    write_results(
        "potentials.scaling",
        {"repeats": arguments.repeats, "limit_gb": arguments.limit, "growth": growth, "targets": targets, "sizes": rows}
        | machine(),
    )
    return int(not all(targets.values()))


if __name__ == "__main__":
    sys.exit(main())
