"""M3 competition, all 645 yearly series, six years ahead: the network beside simple methods and statsforecast.

    python -m benchmarks.emissions.m3 [--seeds 0 1 2]

The network learns from the years before each series' test, of all series together; it knows nothing else, and nothing
was chosen on the test. MASE as in the competition's literature: mean over series of the mean absolute error over the
mean absolute change of consecutive years in training (Hyndman & Koehler 2006). About fifteen minutes on one core.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.emissions._protocol import OURS, machine, peers, set_up, write_results
from sciml_zoo.datasets import dataset_file
from sciml_zoo.emissions.baselines import Naive
from sciml_zoo.emissions.data import read_m3
from sciml_zoo.emissions.estimator import NeuralForecaster
from sciml_zoo.emissions.forecast import Forecaster
from sciml_zoo.emissions.metrics import mase, naive_scale, smape
from sciml_zoo.emissions.model import EmissionsForecasterConfig
from sciml_zoo.training.recipe import TrainerConfig

HORIZON, SAMPLES = 6, 500
#: Series share no years, so there are no common shocks, and no common drift to shrink.
SHAPE = EmissionsForecasterConfig(factors=0, prior_drift=None, horizon=HORIZON, members=3, hidden=32)
STEPS = 600
PEERS = ("drift", "theta", "damped_trend", "combination", "auto_ets", "auto_theta", "auto_arima")
#: MASE over the same 645 series, as issue 5 of this project gives them: the best of the competition's own entries
#: (Makridakis & Hibon 2000), its winner over all frequencies, and a pretrained network without training on M3.
PUBLISHED = {"Robust-Trend": 2.625, "Theta": 2.806, "Chronos-Bolt-base": 2.907}
SOURCE = "issue 5 of this project; not run here"
REQUIRED = 2.63


def network(seed: int, steps: int) -> NeuralForecaster:
    """Returns the network, untrained."""
    trainer = TrainerConfig(
        max_steps=steps,
        batch_size=512,
        clip_norm=1.0,
        validate_every=steps,
        monitor="crps",
        evaluation_batch_size=4096,
    )
    return NeuralForecaster(model=SHAPE, trainer=trainer, seed=seed)


def main() -> int:
    """Returns 0 where the requirement holds; prints the table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS, help="other than the default: writes nothing")
    arguments = parser.parse_args()
    set_up()
    panel, actual = read_m3(dataset_file("m3_yearly", "m3_yearly.csv.gz"))
    scale = naive_scale(panel.values)

    def scored(make: Callable[[], Forecaster], seed: int) -> dict[str, Any]:
        begun = time.perf_counter()
        point = make().fit(panel).predict(panel, HORIZON, samples=SAMPLES, seed=seed).median
        seconds = time.perf_counter() - begun
        scores = mase(point, actual, scale)
        assert np.isfinite(scores).all()
        return {"mase": scores.mean(), "smape": smape(point, actual).mean(), "seconds": seconds}

    makers = {"naive": Naive, **{name: make for name, make in peers(HORIZON).items() if name in PEERS}}
    rows = {name: scored(make, 0) for name, make in makers.items()}
    by_seed = [
        {"seed": seed, **scored(lambda seed=seed: network(seed, arguments.steps), seed)} for seed in arguments.seeds
    ]
    rows[OURS] = {key: float(np.mean([row[key] for row in by_seed])) for key in ("mase", "smape", "seconds")}
    print(f"{'':30}{'MASE':>8}{'sMAPE':>8}{'s':>8}")
    for name, row in rows.items():
        print(f"{name:30}{row['mase']:8.3f}{row['smape']:8.2f}{row['seconds']:8.1f}")
    for name, value in PUBLISHED.items():
        print(f"{name + ', published':30}{value:8.3f}")
    print(f"{OURS} by seed: " + ", ".join(f"{row['mase']:.3f}" for row in by_seed))
    holds = all(row["mase"] <= REQUIRED for row in by_seed)
    print(f"at most {REQUIRED} with every seed: {'yes' if holds else 'NO'}")
    result = {
        "series": len(actual),
        "horizon": HORIZON,
        "steps": arguments.steps,
        **machine(),
        "methods": rows,
        "by_seed": by_seed,
        "published": {**PUBLISHED, "source": SOURCE},
        "holds": holds,
    }
    if arguments.steps == STEPS:
        write_results("m3", result)
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
