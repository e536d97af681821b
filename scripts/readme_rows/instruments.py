"""Rows of the README's table of measured claims: instruments of learning and the optimizers beside them."""

from typing import Any

__all__ = ["NEEDED", "measured"]

_NAMES = (
    "hooke",
    "signal",
    "viscosity",
    "curvature",
    "newton",
    "mechanics",
    "thermodynamics",
    "waves",
    "chaos",
    "symmetry",
    "phase",
    "overhead",
)
#: Benchmarks whose results are read.
NEEDED = tuple(f"instruments.{name}" for name in _NAMES)


def measured(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns what was measured, the figure, and the benchmark.

    Args:
        results: by benchmark.
    """
    found = {name: results[f"instruments.{name}"] for name in _NAMES}
    signal, curvature, mechanics, chaos, phase = (
        found[name] for name in ("signal", "curvature", "mechanics", "chaos", "phase")
    )
    viscosity = [row for row in found["viscosity"]["rows"] if row["dtype"] == "float64"]
    moving = [abs(row["measured"] / row["set"] - 1) for row in viscosity if row["set"]]
    still = [abs(row["measured"]) for row in viscosity if not row["set"]]
    waves = found["waves"]["rows"]
    exponents = found["newton"]["exponents"]
    regression = found["thermodynamics"]["regression"][0]
    speeds = [abs(row["gradient_speed"] / row["set_speed"] - 1) for row in waves]
    balance = [abs(row["heat_relative_error"]) for row in mechanics["balance"]]
    order = mechanics["order"][0]
    deviations = {
        name: max(abs(mode["relative_deviation"]) for mode in phase[name]["modes"])
        for name in ("two_layers", "three_layers")
    }
    overhead = [100 * row["overhead"] for row in found["overhead"]["networks"].values()]
    rows = [
        (
            "σ_w²χ of 2048 units against mean-field theory, six activations × three phases: largest error",
            f"{100 * signal['largest_multiplier_error']:.1f} %",
            "signal",
        ),
        (
            "gradients of mis-scaled networks over 200 layers: largest error of the rate",
            f"{100 * signal['largest_rate_error']:.1f} %",
            "signal",
        ),
        (
            "viscosity set to 0.1, 0.5, 1, 2: largest relative error; set to 0: largest absolute error",
            f"{100 * max(moving):.3f} %; {max(still):.0e}",
            "viscosity",
        ),
        (
            "Lanczos against dense eigenvalues, 20 networks: largest error, of the spectral norm",
            f"{curvature['largest_relative_error']:.0e}",
            "curvature",
        ),
        (
            f"curvature of {curvature['large']['parameters']:,} parameters: peak memory",
            f"{curvature['large']['peak_bytes'] / 1e9:.2f} GB",
            "curvature",
        ),
        (
            "steps on quadratics against κ = 1 … 10⁶, exponent: gradient descent, Newton",
            ", ".join(f"{exponents[name]['slope']:.3f}" for name in ("gradient_descent", "newton")),
            "newton",
        ),
        (
            "`DampedHamiltonian`: energy error against step, exponent; heat against energy lost, relative error",
            f"{order['exponent']:.3f} ± {order['standard_error']:.3f}; {max(balance):.0e}",
            "mechanics",
        ),
        (
            "Bayesian linear regression: F(1) by variational inference, by sampling; −log evidence",
            f"{regression['variational']:.4f}, {regression['sampled']:.3f} ± {regression['sampled_error']:.3f}; "
            f"{regression['minus_log_evidence']:.4f}",
            "thermodynamics",
        ),
        (
            "gradients as waves: largest error of the field; of the speed",
            f"{max(row['field_error'] for row in waves):.0e}; {100 * max(speeds):.2f} %",
            "waves",
        ),
        (
            "Lyapunov exponents: ln|1 − ηh|, largest error; where a trained network's changes sign, off 2/λ_max by",
            f"{_largest(chaos['quadratic_errors']):.0e}; {abs(chaos['digits']['sign_change_offset']):.0e}",
            "chaos",
        ),
        (
            "identical units of a trained network part: largest error of the linearised rate",
            f"{100 * found['symmetry']['network_worst_relative_error']:.1f} %",
            "symmetry",
        ),
        (
            "linear networks under weight decay: critical λ, largest error, two layers; three layers",
            f"{100 * deviations['two_layers']:.2f} %; {100 * deviations['three_layers']:.2f} %",
            "phase",
        ),
        (
            "two instruments as callbacks, GTO potential, splice network: of training time",
            " / ".join(f"{percent:.1f} %" for percent in overhead),
            "overhead",
        ),
    ]
    return [(what, figure, f"instruments.{name}") for what, figure, name in rows]


def _largest(errors: dict[str, float]) -> float:
    return max(abs(error) for error in errors.values())
