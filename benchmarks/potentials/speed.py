"""Time of one energy and force call: ethanol, 32 ethanols at once, and an ASE calculator, two threads each.

    python -m benchmarks.potentials.speed [--compiled] [--names "ours, best" "MACE 64x0e, float32"]

All models take turns in random order, warm, each in a process and an environment of its own that waits while others
compute; a turn is one call that is not counted and a quarter of a second of calls that are. Reported is the median over
rounds of the medians of a turn, with quartiles; ratios are medians of the ratios within a round. ``batch`` times the
model alone, with the neighbours given where the package takes them from outside (all but TorchANI); ``calculator`` is
what a step of molecular dynamics in ASE pays: positions in, neighbours found, forces out.

MACE of the size of its paper's rMD17 models, and 64x0e; in float64, its default, in float32, and with ``--compiled`` by
``torch.compile`` as its calculator does it (many minutes until the first result; padded, stress included). PaiNN as
SchNetPack's ``experiment=rmd17``, TorchANI with the networks of ANI-2x. What is compiled or made for inference takes
one structure at a time. Weights of the peers are as before training, which does not change the cost. The issue's ratios
were stated for MACE in float32 without compilation, and are judged so; the others are beside them.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import ase.io
import torch
from ase import Atoms
from ase.build import molecule

from benchmarks._results import machine, write_results
from benchmarks.potentials._environment import OURS
from benchmarks.potentials._ours import MODEL
from benchmarks.potentials._timing import Workers, take_turns

BATCH = 32
#: By package.
CONTENDERS = {
    OURS: ("ours, best", "ours, eager"),
    "mace": tuple(
        f"{size}, {kind}"
        for size in ("MACE 64x0e", "MACE of rMD17")
        for kind in ("float32", "float64", "float32, compiled")
    ),
    "schnetpack": ("PaiNN", "PaiNN, TorchScript"),
    "torchani": (
        "ANI-2x, 8 networks",
        "ANI-2x, 8 networks, for inference, TorchScript",
    ),
}
ONE_AT_A_TIME = tuple(
    name for names in CONTENDERS.values() for name in names if "compiled" in name or "for inference" in name
)
WITHOUT_CALCULATOR = ("PaiNN, TorchScript",)
MOST_MS, MOST_MS_AN_ATOM = 2.0, 0.10
LEAST_RATIOS = {"MACE of rMD17, float32": 100.0, "MACE 64x0e, float32": 7.0}


def structures() -> dict[str, list[Atoms]]:
    """Returns what is computed: one ethanol, and a batch of it with atoms moved."""
    ethanol = molecule("CH3CH2OH")
    batch = []
    for seed in range(BATCH):
        atoms = ethanol.copy()
        atoms.rattle(0.05, seed=seed)
        batch.append(atoms)
    return {"ethanol": [ethanol], f"batch of {BATCH}": batch}


def ratios(found: dict[str, dict[str, Any]], of: str = "ours, best") -> dict[str, float]:
    """Returns how many times as long as ours every other model takes, the median over rounds."""
    if "turns_ms" not in found.get(of, {}):
        return {}
    return {
        name: statistics.median(a / b for a, b in zip(row["turns_ms"], found[of]["turns_ms"], strict=True))
        for name, row in found.items()
        if name != of and "turns_ms" in row
    }


def show(case: str, found: dict[str, dict[str, Any]], n_atoms: int) -> None:
    """Prints the table of a case."""
    times = ratios(found)
    print(f"\n{case}\n{'':<50} {'ms':>9}  quartiles             fastest   ms/atom  × ours, best")
    for name, row in found.items():
        if "error" in row:
            print(f"{name:<50} failed: {row['error'][:70]}")
            continue
        print(
            f"{name:<50} {row['ms']:>9.3f}  {row['ms_low']:>8.3f} … {row['ms_high']:<8.3f} {row['fastest_ms']:>9.3f} "
            f"{row['ms'] / n_atoms:>9.4f}  {times.get(name, 1.0):.1f}",
            flush=True,
        )


def targets(cases: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Returns which targets of the issue are met, by what they say; those that were not measured are not there."""
    met = {}
    single = cases["ethanol"]["models"].get("ours, best", {})
    batch = cases[f"batch of {BATCH}"]["models"].get("ours, best", {})
    if "ms" in single:
        met[f"ethanol ≤ {MOST_MS} ms"] = single["ms"] <= MOST_MS
    if "ms" in batch:
        n_atoms = cases[f"batch of {BATCH}"]["atoms"]
        met[f"batch of {BATCH} ≤ {MOST_MS_AN_ATOM} ms/atom"] = batch["ms"] / n_atoms <= MOST_MS_AN_ATOM
    for name, least in LEAST_RATIOS.items():
        if name in cases["ethanol"]["ratios"]:
            met[f"{name}: ≥ {least:.0f} × ours"] = cases["ethanol"]["ratios"][name] >= least
    return met


def main() -> int:
    """Returns 0 where all targets are met; prints tables and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everyone = {name: package for package, names in CONTENDERS.items() for name in names}
    compiled = [name for name in everyone if name.endswith("compiled")]
    usual = [name for name in everyone if name not in compiled]
    parser.add_argument("--names", nargs="+", choices=list(everyone), default=usual)
    parser.add_argument("--compiled", action="store_true", help="compiled MACE too, which takes long to start")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default="gto_potential.rmd17_ethanol", help="ours")
    chosen = parser.parse_args()
    names = {*chosen.names, *(compiled if chosen.compiled else ())}
    torch.set_num_threads(chosen.threads)
    contenders = {name: package for name, package in everyone.items() if name in names}
    cases: dict[str, dict[str, Any]] = {}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        with Workers(sorted(set(contenders.values())), chosen.threads, log, {MODEL: chosen.model}) as workers:
            for case, frames in structures().items():
                file = Path(folder) / f"{len(frames)}.xyz"
                ase.io.write(file, frames)
                n_atoms = sum(map(len, frames))
                some = {
                    name: each for name, each in contenders.items() if len(frames) == 1 or name not in ONE_AT_A_TIME
                }
                found = take_turns(workers, some, "batch", file, chosen.rounds)
                cases[case] = {"atoms": n_atoms, "models": found, "ratios": ratios(found)}
                show(f"{case}, the model alone", found, n_atoms)
            some = {name: each for name, each in contenders.items() if name not in WITHOUT_CALCULATOR}
            found = take_turns(workers, some, "calculator", Path(folder) / "1.xyz", chosen.rounds)
            cases["ethanol, ASE calculator"] = {"atoms": n_atoms // BATCH, "models": found, "ratios": ratios(found)}
            show("ethanol, ASE calculator", found, n_atoms // BATCH)
            versions = workers.versions
    met = targets(cases)
    for what, passed in met.items():
        print(f"{'met' if passed else 'MISSED'}: {what}")
    write_results(
        "potentials.speed",
        {"model": chosen.model, "rounds": chosen.rounds, "load_at_start": load, "targets": met, "cases": cases}
        | machine(**versions),
    )
    return int(not all(met.values()))


if __name__ == "__main__":
    sys.exit(main())
