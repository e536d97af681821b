"""Signal propagation against mean-field theory: multipliers and phases, and gradients over 200 layers.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.signal

Multipliers: random networks of 12 layers and 2048 units, six activations, three phases each (0.7, 1 and 1.5 times the
critical σ_w² at one σ_b²). Inputs have the variance of the fixed point, so that σ_w²χ is measured there; where none
exists (ReLU off criticality, chaotic GELU and SiLU) theory is evaluated at the measured variances of the layers. To
pass: 2 % and the phase, in all 18. The draws are the same in all, so that their errors are alike.

Gradients over 200 layers: networks of 512 units from ``initialise_``, one input each, of the variance of the fixed
point. To first order in depth/width ln(‖δ^1‖²/‖δ^L‖²) is normal over random networks with the mean −σ²/2 (the squared
gradient itself keeps its mean) and the standard deviation σ = ``fluctuations[0]``, for ReLU √(5 · 199/512) (Hanin &
Nica, Commun. Math. Phys. 376, 287, 2020). To pass: the mean is within three standard errors σ/√n of that, the scatter
the predicted one (χ² test at 0.1 %). Xavier is judged on the linear network that it was derived for. Reported only:
Xavier with tanh, where mean-field theory says that gradients fall as a power of depth, and critical GELU and SiLU,
where V′(q*) is so close to one that q drifts far in 200 layers and first order is not enough.

Rates: networks of 200 layers with σ_w² 0.7 and 1.5 times the critical one. To pass: the rate of ln‖δ‖² is ln χ ± 5 %.
Finite width lowers it by σ²/2 in all, at 512 units by up to 6 % of ln χ: these networks have 1024.
"""

import math
import sys
import time
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats

from benchmarks._results import machine, write_results
from sciml_zoo.instruments import signal
from sciml_zoo.instruments.initialisation import initialise_, plain_network
from sciml_zoo.instruments.mean_field import critical_initialisation, theory

SEED = 0
WIDTH, DEPTH, EXAMPLES, DRAWS = 2048, 12, 32, 2
BIAS_VARIANCES = {"tanh": 0.05, "erf": 0.05, "relu": 0.0, "gelu": 0.2, "silu": 0.6, "gto": 0.05}
PHASES = {"ordered": 0.7, "critical": 1.0, "chaotic": 1.5}
DEEP, NARROW, NETWORKS = 200, 512, 16
WIDE, FEW = 1024, 4
FLAT = (("he", "relu", 0.0), ("xavier", "linear", 0.0), *(("critical", name, 0.05) for name in ("tanh", "erf", "gto")))
REPORTED = (("critical", "gelu", 0.2), ("critical", "silu", 0.6), ("xavier", "tanh", 0.0))
OFF = (("relu", 2.0, 0.0), ("linear", 1.0, 0.0), ("tanh", None, 0.05))
SCALES = (PHASES["ordered"], PHASES["chaotic"])


def multipliers() -> list[dict[str, Any]]:
    """Returns the measured multiplier of all activations and phases beside the theory."""
    rows = []
    for activation, bias_variance in BIAS_VARIANCES.items():
        critical = critical_initialisation(activation, bias_variance)
        for phase, scale in PHASES.items():
            where = theory(activation, scale * critical, bias_variance)
            fixed = 0 < where.variance < math.inf
            result = signal.measure(
                activation=activation,
                draws=DRAWS,
                seed=SEED,
                width=WIDTH,
                depth=DEPTH,
                weight_variance=scale * critical,
                bias_variance=bias_variance,
                input_variance=(where.variance - bias_variance) / (scale * critical) if fixed else 1.0,
                examples=EXAMPLES,
            )
            expected = where.multiplier if fixed else float(np.exp(np.log(result.theory_multipliers).mean()))
            rows.append(
                {
                    "activation": activation,
                    "phase": phase,
                    "weight_variance": scale * critical,
                    "bias_variance": bias_variance,
                    "variance_fixed_point": where.variance if fixed else None,
                    "theory": expected,
                    "measured": result.multiplier,
                    "error_bar": result.multiplier_error,
                    "relative_error": result.multiplier / expected - 1,
                    "measured_phase": result.phase,
                    "passed": abs(result.multiplier / expected - 1) <= 0.02 and result.phase == phase,
                }
            )
    return rows


def deep(
    activation: str, scheme: str | tuple[float, float], variance: float, width: int, networks: int
) -> tuple[np.ndarray, float, float]:
    """Returns ln(‖δ^1‖²/‖δ^L‖²) of random networks, its predicted fluctuation, and its mean-field value."""
    found, predicted, mean_field = [], [], []
    network = plain_network(width, DEEP, activation)
    for k in range(networks):
        initialise_(network, scheme, activation=activation, seed=1000 * SEED + k)
        x = torch.randn(1, width, generator=torch.Generator().manual_seed(1000 * SEED + k)) * math.sqrt(variance)
        result = signal.measure(network, x, activation=activation, draws=1, seed=1000 * SEED + k)
        found.append(result.log_gradients[0])
        predicted.append(result.fluctuations[0])
        mean_field.append(np.log(result.theory_multipliers).sum())
    return np.array(found), float(np.mean(predicted)), float(np.mean(mean_field))


def flatness() -> list[dict[str, Any]]:
    """Returns how far gradients change over 200 layers at criticality, beside the predicted fluctuation."""
    low, high = np.sqrt(stats.chi2.ppf([0.0005, 0.9995], NETWORKS - 1) / (NETWORKS - 1))
    rows = []
    for scheme, activation, bias_variance in (*FLAT, *REPORTED):
        drawn, variance = scheme, 1.0
        if scheme == "critical":
            drawn = (critical_initialisation(activation, bias_variance), bias_variance)
            variance = (theory(activation, *drawn).variance - bias_variance) / drawn[0]
        logs, predicted, mean_field = deep(activation, drawn, variance, NARROW, NETWORKS)
        judged = (scheme, activation, bias_variance) in FLAT
        flat = abs(logs.mean() + predicted**2 / 2) <= 3 * predicted / math.sqrt(NETWORKS)
        rows.append(
            {
                "scheme": scheme,
                "activation": activation,
                "mean_log": float(logs.mean()),
                "scatter": float(logs.std(ddof=1)),
                "predicted_fluctuation": predicted,
                "mean_field_log": mean_field,
                "judged": judged,
                "passed": bool(not judged or (flat and low <= logs.std(ddof=1) / predicted <= high)),
            }
        )
    return rows


def rates() -> list[dict[str, Any]]:
    """Returns the rates per layer at which gradients decay or grow off criticality."""
    rows = []
    for activation, weight_variance, bias_variance in OFF:
        critical = weight_variance or critical_initialisation(activation, bias_variance)
        for scale in SCALES:
            where = theory(activation, scale * critical, bias_variance)
            fixed = 0 < where.variance < math.inf
            variance = (where.variance - bias_variance) / (scale * critical) if fixed else 1.0
            logs, _, _ = deep(activation, (scale * critical, bias_variance), variance, WIDE, FEW)
            rate, expected = float(logs.mean()) / (DEEP - 1), math.log(where.multiplier)
            rows.append(
                {
                    "activation": activation,
                    "scale": scale,
                    "theory": expected,
                    "measured": rate,
                    "standard_error": float(logs.std(ddof=1)) / math.sqrt(FEW) / (DEEP - 1),
                    "relative_error": rate / expected - 1,
                    "passed": abs(rate / expected - 1) <= 0.05,
                }
            )
    return rows


def main() -> int:
    """Runs all comparisons, prints the tables and writes the JSON.

    Returns:
        0 if all targets are met, 1 otherwise.
    """
    begun = time.perf_counter()
    torch.set_num_threads(1)
    console = Console()
    steepness = multipliers()
    table = Table("activation", "phase", "σ_w²", "χ, theory", "χ, measured", "error", "found", box=None)
    for row in steepness:
        table.add_row(
            row["activation"],
            row["phase"],
            f"{row['weight_variance']:.4f}",
            f"{row['theory']:.4f}",
            f"{row['measured']:.4f} ± {row['error_bar']:.4f}",
            f"{100 * row['relative_error']:+.2f} %",
            row["measured_phase"] + ("" if row["passed"] else " FAILED"),
        )
    console.print(table)
    flat = flatness()
    table = Table("scheme", "activation", "ln ratio", "expected", "scatter", "predicted", "mean field", "", box=None)
    for row in flat:
        table.add_row(
            row["scheme"],
            row["activation"],
            f"{row['mean_log']:+.2f}",
            f"{-(row['predicted_fluctuation'] ** 2) / 2:+.2f}" if row["judged"] else "",
            f"{row['scatter']:.2f}",
            f"{row['predicted_fluctuation']:.2f}",
            f"{row['mean_field_log']:+.2f}",
            ("passed" if row["passed"] else "FAILED") if row["judged"] else "",
        )
    console.print(table)
    off = rates()
    table = Table("activation", "σ_w² off by", "ln χ, theory", "rate, measured", "error", "", box=None)
    for row in off:
        table.add_row(
            row["activation"],
            f"{row['scale']:g}",
            f"{row['theory']:+.4f}",
            f"{row['measured']:+.4f} ± {row['standard_error']:.4f}",
            f"{100 * row['relative_error']:+.1f} %",
            "passed" if row["passed"] else "FAILED",
        )
    console.print(table)
    passed = all(row["passed"] for row in steepness + flat + off)
    seconds = time.perf_counter() - begun
    write_results(
        "instruments.signal",
        {
            "multipliers": {"width": WIDTH, "depth": DEPTH, "networks": DRAWS, "inputs": EXAMPLES, "rows": steepness},
            "gradients": {
                "width": NARROW,
                "depth": DEEP,
                "networks": NETWORKS,
                "rows": flat,
            },
            "rates": {"width": WIDE, "depth": DEEP, "networks": FEW, "rows": off},
            "largest_multiplier_error": max(abs(row["relative_error"]) for row in steepness),
            "largest_rate_error": max(abs(row["relative_error"]) for row in off),
            "passed": passed,
            "seconds": seconds,
            "seed": SEED,
            **machine(),
        },
    )
    console.print(f"{'all targets met' if passed else 'targets missed'}, {seconds:.0f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
