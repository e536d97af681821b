"""Speed and memory: a fit on EUTL, joint trajectories of thousands of companies, and other libraries beside them.

    python -m benchmarks.emissions.speed [--weights NAME]

The fit is the command ``sciml-zoo train`` with the recipe of emissions_rnn.eutl, in a process of its own, from its
start to the finished checkpoint, on two threads. Forecasts are of the network that it trained (or of ``--weights``):
5 years, 1,000 joint trajectories, of companies that report in the last year; each size in a process of its own, after a
small forecast that warms up; the median over the repeats. Companies are the panel's in a random order, again from the
first where there are too few. Memory is the largest resident set (VmHWM), with the interpreter and all imports. The
exponent is the slope of a straight line through the logarithms of companies and seconds.

Peers forecast the same 300 companies in one process on one thread, each with 7 to 15 quantiles and no more; the network
with its 1,000 trajectories. statsforecast's models are fitted to each company, which is part of their forecast;
LightGBM and the network are fitted once to all, and the seconds of that stand apart.
"""

import argparse
import dataclasses
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.emissions._protocol import OURS, machine
from sciml_zoo.emissions.forecast import Forecaster
from sciml_zoo.emissions.model import EmissionsForecaster
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.peers import LightGBM, Statsforecast
from sciml_zoo.emissions.sources import open_panel
from sciml_zoo.emissions.trained import TrainedForecaster
from sciml_zoo.zoo.resolve import load_model

REPOSITORY = Path(__file__).parents[2]
RECIPE = "scripts/recipes/emissions_rnn.eutl.yaml"
HORIZON, SAMPLES = 5, 1000
COMPANIES, SIZES, PEERS_COMPANIES = 3000, (500, 1000, 2000, 4000, 7500), 300
LOCAL_PEERS = {"auto_ets": "AutoETS", "auto_theta": "AutoTheta", "auto_arima": "AutoARIMA"}
LIMIT_FIT_S, LIMIT_FORECAST_S, LIMIT_EXPONENT = 600.0, 10.0, 1.1
_WARM_UP = 20
# Quantiles are all that peers are asked for; the samples drawn from them are this project's, and are not to be timed.
_PEERS_SAMPLES = 10


def active(n: int, seed: int) -> Panel:
    """Returns companies of EUTL that report more than zero in the last year, in a random order."""
    panel = open_panel("eutl")
    rows = np.flatnonzero(panel.values[:, -1] > 0)
    rows = np.resize(np.random.default_rng(seed).permutation(rows), n)
    keys = [str(number) for number in range(n)]
    emissions, statics = (table.iloc[rows].set_axis(keys) for table in (panel.emissions, panel.statics))
    return dataclasses.replace(panel, emissions=emissions, statics=statics)


def network(weights: str) -> TrainedForecaster:
    """Returns a shipped or local network, ready to forecast."""
    model = load_model(weights)
    assert isinstance(model, EmissionsForecaster)
    return TrainedForecaster(model)


def seconds(forecaster: Forecaster, panel: Panel, samples: int, repeats: int) -> list[float]:
    """Returns how long forecasts take, after one that warms up."""
    forecaster.predict(panel.select(panel.companies[:_WARM_UP]), HORIZON, samples=samples)
    times = []
    for repeat in range(repeats):
        begun = time.perf_counter()
        forecaster.predict(panel, HORIZON, samples=samples, seed=repeat)
        times.append(time.perf_counter() - begun)
    return times


def peak_mb() -> float:
    """Returns the largest resident set of this process."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def one_size(weights: str, n: int, repeats: int, seed: int) -> dict[str, Any]:
    """Returns time and memory of this process after forecasts of some companies."""
    forecaster, panel = network(weights), active(n, seed)
    before = peak_mb()
    times = seconds(forecaster, panel, SAMPLES, repeats)
    return {
        "companies": n,
        "threads": torch.get_num_threads(),
        "seconds": statistics.median(times),
        "all_seconds": times,
        "peak_mb": peak_mb(),
        "peak_mb_before": before,
    }


def peers(weights: str, n: int, repeats: int, seed: int) -> dict[str, Any]:
    """Returns seconds a company of the network and of other libraries on the same companies."""
    panel = active(n, seed)
    boosting = LightGBM(HORIZON)
    begun = time.perf_counter()
    boosting.fit(open_panel("eutl"))
    fitted = time.perf_counter() - begun
    times = {OURS: seconds(network(weights), panel, SAMPLES, repeats)}
    times["lightgbm"] = seconds(boosting, panel, _PEERS_SAMPLES, repeats)
    for name, model in LOCAL_PEERS.items():
        times[name] = seconds(Statsforecast(model), panel, _PEERS_SAMPLES, 1)
    each = {name: statistics.median(found) / n for name, found in times.items()}
    return {
        "companies": n,
        "threads": torch.get_num_threads(),
        "seconds_per_company": each,
        "over_ours": {name: value / each[OURS] for name, value in each.items()},
        "lightgbm_fit_seconds": fitted,
    }


def in_a_process(words: list[str], threads: int) -> str:
    """Returns what a command of this interpreter prints on its last line."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    done = subprocess.run(
        [sys.executable, *words], cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.splitlines()[-1]


def fit(run: Path, threads: int) -> dict[str, Any]:
    """Returns time and peak memory of a training by the command line."""
    script = (
        "import sys; from sciml_zoo.cli import main; from benchmarks.emissions.speed import peak_mb; "
        "status = main(sys.argv[1:]); print(peak_mb()); sys.exit(status)"
    )
    begun = time.perf_counter()
    peak = float(in_a_process(["-c", script, "train", RECIPE, "--out", str(run)], threads))
    return {"recipe": RECIPE, "threads": threads, "seconds": time.perf_counter() - begun, "peak_mb": peak}


def measure(what: str, weights: str, n: int, threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the figures of :func:`one_size` or :func:`peers`, from a fresh interpreter."""
    words = ["--repeats", str(arguments.repeats), "--seed", str(arguments.seed), "--weights", weights, what, str(n)]
    return json.loads(in_a_process(["-m", "benchmarks.emissions.speed", *words], threads))


def compared(weights: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns all that is measured of a trained network, and prints it."""
    found: dict[str, Any] = {"forecasts": {}, "sizes": []}
    for threads in (1, 2):
        row = measure("--size", weights, COMPANIES, threads, arguments)
        found["forecasts"][f"{threads}_threads"] = row
        print(
            f"{COMPANIES:,} companies, {threads} threads: {row['seconds']:.1f} s, {row['peak_mb']:.0f} MB", flush=True
        )
    print("companies   s, one thread   peak MB")
    for n in SIZES:
        row = measure("--size", weights, n, 1, arguments)
        found["sizes"].append(row)
        print(f"{n:<11} {row['seconds']:<15.2f} {row['peak_mb']:.0f}", flush=True)
    logs = [np.log([row[name] for row in found["sizes"]]) for name in ("companies", "seconds")]
    found["exponent"] = float(np.polyfit(*logs, 1)[0])
    print(f"exponent {found['exponent']:.2f}", flush=True)
    found["peers"] = measure("--peers", weights, PEERS_COMPANIES, 1, arguments)
    for name, value in found["peers"]["seconds_per_company"].items():
        print(f"{name:14} {1000 * value:8.2f} ms a company, {found['peers']['over_ours'][name]:.1f} times ours")
    print(f"LightGBM's fit {found['peers']['lightgbm_fit_seconds']:.0f} s, one thread")
    return found


def main() -> int:
    """Returns 0 where the requirements hold; prints the tables, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="forecast with these, and do not train")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, help="measure one size in this process and print its JSON")
    parser.add_argument("--peers", type=int, help="compare on so many companies in this process and print the JSON")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed.json")
    arguments = parser.parse_args()
    if arguments.size or arguments.peers:
        run = one_size if arguments.size else peers
        n = arguments.size or arguments.peers
        print(json.dumps(run(arguments.weights, n, arguments.repeats, arguments.seed)))
        return 0
    result: dict[str, Any] = {
        "horizon": HORIZON,
        "samples": SAMPLES,
        "seed": arguments.seed,
        "weights": arguments.weights or RECIPE,
        **{name: found for name, found in machine().items() if name != "threads"},
    }
    checks = {}
    with tempfile.TemporaryDirectory() as folder:
        weights = arguments.weights
        if weights is None:
            run_folder = Path(folder) / "run"
            result["fit"] = fit(run_folder, 2)
            print(f"fit on EUTL: {result['fit']['seconds']:.0f} s, {result['fit']['peak_mb']:.0f} MB", flush=True)
            checks["fit in 10 minutes"] = result["fit"]["seconds"] <= LIMIT_FIT_S
            weights = f"local-dir:{run_folder / 'best'}"
        result |= compared(weights, arguments)
    checks["3,000 companies in 10 s"] = result["forecasts"]["2_threads"]["seconds"] <= LIMIT_FORECAST_S
    checks["linear in companies"] = result["exponent"] <= LIMIT_EXPONENT
    for name, holds in checks.items():
        print(f"{name}: {'yes' if holds else 'NO'}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result | {"checks": checks}, indent=1) + "\n")
    return int(not all(checks.values()))


if __name__ == "__main__":
    sys.exit(main())
