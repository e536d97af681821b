"""Ground states of published instances, each within a time limit, against the best values known.

    python -m benchmarks.ising.ground_states [--sets ea2d_torus chimera dimacs gset biqmac] [--seed 0] [--workers 1]

Each instance is solved by ``sciml_zoo.ising.ground_states.ground_state`` with default settings, one instance a core;
the search stops as soon as the listed value is reached. Processes warm up (compile or load kernels) before the first
instance; that is not counted. An instance of a set without a listed value is left out and counted. Rows are written as
they come: an interrupted set goes on where it was, with the same seed, limit and number of workers; a set that is
complete is measured again. Rows hold the gap to the listed value, positive where worse, not the values.

| set | objective | reached means | limit, s |
|---|---|---|---|
| ea2d_torus | energy | at most 1e-5 per spin above (the search stops at a tenth of it) | 1 |
| chimera | energy | at most 1e-4 above | 10 |
| dimacs, L = 8 | cut | not below | 2 |
| gset, N ≤ 3000 | cut | not below | 12 |
| biqmac | cut, or x'Qx | not below, or not above | 10 |
"""

import argparse
import csv
import gzip
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numba

from sciml_zoo.ising.data import Instance, read_instances
from sciml_zoo.ising.generators import chimera, edwards_anderson, sherrington_kirkpatrick
from sciml_zoo.ising.hamiltonian import IsingModel

WHOLE = 1e-3  # objectives that are whole numbers
MOST_SPINS = 3000
EVERY = 25


@dataclass(frozen=True)
class Problem:
    """One instance and the value to reach.

    Attributes:
        name: unique within the set.
        file: relative to the folder of data sets.
        position: of the instance in its file.
        listed: best objective known.
        tolerance: by which the objective may be worse.
        stop: the search stops where the objective is worse by no more than this.
    """

    name: str
    file: str
    position: int
    listed: float
    tolerance: float
    stop: float


@dataclass(frozen=True)
class Group:
    """A set: its instances and how many were left out, seconds for each, and what is required."""

    problems: Callable[[], tuple[list[Problem], int]]
    limit: float
    required_share: float
    required_median: float


def data_folder() -> Path:
    """Returns the folder of the Ising instances."""
    root = os.environ.get("SCIML_ZOO_DATA")
    if not root:
        sys.exit("set SCIML_ZOO_DATA to the folder of data sets")
    return Path(root) / "ising"


def table(file: str) -> list[dict[str, str]]:
    """Returns the rows of a CSV file, plain or gzip."""
    path = data_folder() / file
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as opened:
        return list(csv.DictReader(opened))


@cache
def instances(file: str) -> list[Instance]:
    """Returns the instances of a file, which is read once in each process."""
    return read_instances(data_folder() / file)


def torus_problems() -> tuple[list[Problem], int]:
    """Returns the two-dimensional Gaussian tori, whose files state the energies."""
    found = []
    for side in (4, 6, 8, 12, 16):
        file = f"ea2d_torus/{side}x{side}.txt.gz"
        for position, instance in enumerate(instances(file)):
            assert instance.best_known is not None
            tolerance = 1e-5 * instance.model.n
            name = f"{side}x{side}/{instance.name}"
            found.append(Problem(name, file, position, instance.best_known, tolerance, 0.1 * tolerance))
    return found, 0


def chimera_problems() -> tuple[list[Problem], int]:
    """Returns the droplet instances on the Chimera graph."""
    folder = "chimera_droplet/L512"
    return [
        Problem(
            row["instance"].removesuffix(".txt"), f"{folder}/{row['instance']}.gz", 0, float(row["energy"]), 1e-4, 1e-4
        )
        for row in table(f"{folder}/groundstates.csv.gz")
    ], 0


def whole_problems(folder: str, column: str, keep: Callable[[dict[str, str]], bool]) -> tuple[list[Problem], int]:
    """Returns the instances of a table of whole-number objectives that are there, and how many state no value."""
    found, left_out = [], 0
    for row in table(f"{folder}/best_known.csv"):
        parts = [folder, row["set"], row["instance"]] if "set" in row else [folder, row["instance"]]
        file = next(
            (file for end in (".txt.gz", ".gz") if (data_folder() / (file := "/".join(parts) + end)).exists()), None
        )
        if file is None or not keep(row):
            continue
        if not row[column]:
            left_out += 1
            continue
        found.append(Problem("/".join(parts[1:]), file, 0, float(row[column]), WHOLE, WHOLE))
    return found, left_out


def dimacs_problems() -> tuple[list[Problem], int]:
    """Returns the three-dimensional tori of side 8."""
    return whole_problems("dimacs_torus", "value", lambda row: int(row["n"]) == 512)


def gset_problems() -> tuple[list[Problem], int]:
    """Returns the graphs of the Gset up to 3000 spins."""
    return whole_problems("gset", "best_recommended", lambda row: int(row["n"]) <= MOST_SPINS)


def biqmac_problems() -> tuple[list[Problem], int]:
    """Returns the Biq Mac library."""
    return whole_problems("biqmac", "best_known_openising_readme", lambda row: True)


SETS = {
    "ea2d_torus": Group(torus_problems, 1.0, 1.0, 0.5),
    "chimera": Group(chimera_problems, 10.0, 1.0, 2.0),
    "dimacs": Group(dimacs_problems, 2.0, 1.0, 2.0),
    "gset": Group(gset_problems, 12.0, 0.8, 12.0),
    "biqmac": Group(biqmac_problems, 10.0, 0.97, 10.0),
}


def warm_up() -> None:
    """Runs the solver on one small model of every kind."""
    from sciml_zoo.ising.ground_states import ground_state

    with_fields = chimera(2, seed=0)
    for model in (
        edwards_anderson((8, 8), "gaussian", seed=0),
        edwards_anderson((5, 5, 5), "pm1", seed=0),
        sherrington_kirkpatrick(64, seed=0),
        IsingModel(with_fields.couplings, [0.1] * with_fields.n),
    ):
        ground_state(model, time_limit=0.5, seed=0)


def solve(problem: Problem, limit: float, seed: int) -> dict[str, Any]:
    """Returns one row: gap, whether it is reached or passed, and times."""
    from sciml_zoo.ising.ground_states import ground_state

    instance = instances(problem.file)[problem.position]
    sign = -1.0 if instance.kind == "cut" else 1.0
    begun = time.perf_counter()
    found = ground_state(instance.model, time_limit=limit, seed=seed, target=sign * problem.listed + problem.stop)
    wall = time.perf_counter() - begun
    # Of the returned spins, summed afresh: the solver's own sum is not trusted.
    gap = sign * (instance.objective(float(instance.model.energy(found.spins))) - problem.listed) + 0.0
    return {
        "name": problem.name,
        "n": instance.model.n,
        "gap": gap,
        "reached": gap <= problem.tolerance,
        "better": gap < -problem.tolerance,
        "proven": bool(found.proven),
        "seconds_to_best": float(found.seconds_to_best),
        "seconds": wall,
    }


def summarise(group: Group, rows: list[dict[str, Any]], left_out: int) -> dict[str, Any]:
    """Returns the figures of a complete set."""
    reached = [row for row in rows if row["reached"]]
    times = [row["seconds_to_best"] for row in reached]
    median = statistics.median(times) if times else None
    share = len(reached) / len(rows)
    return {
        "instances": len(rows),
        "left_out_without_listed_value": left_out,
        "reached": len(reached),
        "better_than_listed": [row["name"] for row in rows if row["better"]],
        "missed": {row["name"]: row["gap"] for row in rows if not row["reached"]},
        "median_seconds_to_best": median,
        "max_seconds_to_best": max(times, default=None),
        "largest_overrun_seconds": max(row["seconds"] for row in rows) - group.limit,
        "required_share": group.required_share,
        "required_median_seconds": group.required_median,
        "passed": share >= group.required_share and median is not None and median <= group.required_median,
    }


def write(path: Path, result: dict[str, Any]) -> None:
    """Replaces the JSON file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(path)


def run_set(name: str, seed: int, workers: int, out: Path) -> dict[str, Any]:
    """Returns the figures of a set, solved or continued, and writes them."""
    group = SETS[name]
    problems, left_out = group.problems()
    result: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"sets": {}}
    settings = {"seed": seed, "limit_seconds": group.limit, "workers": workers}
    before = result["sets"].get(name, {})
    going_on = before.get("settings") == settings and not before.get("complete", True)
    rows: list[dict[str, Any]] = before["rows"] if going_on else []
    state = {"settings": settings, "complete": False, "rows": rows}
    result["sets"][name] = state
    result |= {"numba": numba.__version__, "machine": platform.machine(), "cores": os.cpu_count()}
    done = {row["name"] for row in rows}
    waiting = [problem for problem in problems if problem.name not in done]
    print(f"{name}: {len(problems)} instances, {len(done)} done before, {left_out} without a listed value", flush=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=warm_up) as pool:
        for future in as_completed([pool.submit(solve, problem, group.limit, seed) for problem in waiting]):
            row = future.result()
            rows.append(row)
            write(out, result)
            if not row["reached"]:
                print(f"  missed {row['name']} by {row['gap']:g}", flush=True)
            if len(rows) % EVERY == 0:
                print(f"  {len(rows)}/{len(problems)}, {sum(row['reached'] for row in rows)} reached", flush=True)
    rows.sort(key=lambda row: row["name"])
    state |= {"complete": True, "summary": summarise(group, rows, left_out)}
    write(out, result)
    return state["summary"]


def main() -> int:
    """Returns 0 where every set reaches what is required; prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="instances at a time, one core each")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ground_states.json")
    arguments = parser.parse_args()
    found = {name: run_set(name, arguments.seed, arguments.workers, arguments.out) for name in arguments.sets}
    print("set         reached    better  median s  max s   overrun s")
    for name, row in found.items():
        counted = f"{row['reached']}/{row['instances']}"
        times = [shown(row[key]) for key in ("median_seconds_to_best", "max_seconds_to_best")]
        print(
            f"{name:<11} {counted:<10} {len(row['better_than_listed']):<7} {times[0]:<9} {times[1]:<7} "
            f"{row['largest_overrun_seconds']:+.2f}  {'ok' if row['passed'] else 'FAILED'}"
        )
    return int(not all(row["passed"] for row in found.values()))


def shown(value: float | None) -> str:
    """Returns seconds in three decimals, or a dash where nothing was reached."""
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main())
