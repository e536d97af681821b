"""Transitions of linear networks under weight decay, against the exact theory.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.phase

Full matrices (width 8) are swept with λ rising and falling. Two layers with singular values 3, 2, 1, ½: every mode must
vanish continuously at λ = s ± 1 %, and come back there. Three layers with the same: every mode must jump at
¾·4^(−1/3)·s^(4/3) ± 2 %, keep about s/4 until there, and not come back. One mode at a time gives the λ of equal loss,
(s/2)^(4/3) ± 2 %. The critical λ of an infinitely wide network that fits noise, 2, comes from widths 12 to 48 ± 1 %.
"""

import math
import sys
import time
from typing import Any

import torch

from benchmarks._results import machine, write_results
from sciml_zoo.instruments import phase

SEED, WIDTH = 0, 8
SINGULAR = (3.0, 2.0, 1.0, 0.5)
SIZES, INSTANCES = (12, 24, 48), 60
TARGETS = {2: 0.01, 3: 0.02}


def transitions(layers: int) -> dict[str, Any]:
    """Returns the transitions of one network; prints them."""
    begun = time.perf_counter()
    found = phase.linear_network(SINGULAR, layers, width=WIDTH, seed=SEED)
    seconds = time.perf_counter() - begun
    rows = []
    for mode, s in enumerate(SINGULAR):
        theory = phase.critical_strength(s, layers)
        rising, falling = found.rising, found.falling
        row = {
            "singular_value": s,
            "theory": theory,
            "rising": rising.critical[mode].item(),
            "rising_error": rising.critical_error[mode].item(),
            "relative_deviation": abs(rising.critical[mode].item() / theory - 1),
            "kind": rising.kinds[mode],
            "size_before": rising.jump[mode].item(),
            "falling": falling.critical[mode].item() if falling.kinds[mode] != "none" else None,
            "falling_kind": falling.kinds[mode],
            "hysteresis": found.hysteresis[mode].item(),
        }
        rows.append(row)
        back = "does not come back" if row["falling"] is None else f"back at {row['falling']:.4f}"
        print(
            f"{layers} layers, s = {s:g}: lost {row['rising']:.4f} ± {row['rising_error']:.4f} (exact {theory:.4f}), "
            f"{row['kind']} (m = {row['size_before']:.3f} before), {back}",
            flush=True,
        )
    exact = torch.tensor(
        [[phase.mode_theory(s, x, layers) for s in SINGULAR] for x in found.rising.strengths.tolist()]
    ).double()
    return {
        "modes": rows,
        "order_deviation": (found.rising.order - exact[..., 0]).abs().max().item(),
        "susceptibility_deviation": (found.rising.susceptibility - exact[..., 1]).abs().max().item(),
        "gradients": found.gradients,
        "seconds": round(seconds, 1),
    }


def coexistence(singular_value: float) -> dict[str, float]:
    """Returns the λ of equal loss of three layers with one mode; prints it."""
    found = phase.linear_network((singular_value,), 3, width=4, seed=SEED)
    theory = phase.coexistence_strength(singular_value)
    print(f"3 layers  s = {singular_value:<4g} equal loss at {found.coexistence:.4f}, theory {theory:.4f}", flush=True)
    deviation = abs(found.coexistence / theory - 1)
    row = {"singular_value": singular_value, "found": found.coexistence, "theory": theory}
    return row | {"relative_deviation": deviation if math.isfinite(deviation) else math.inf}


def main() -> int:
    """Returns 0 where all targets are met; prints the figures, writes the JSON."""
    torch.set_num_threads(1)
    swept = {layers: transitions(layers) for layers in (2, 3)}
    equal = [coexistence(s) for s in (1.0, 2.0)]
    scaling = phase.finite_size(SIZES, instances=INSTANCES, seed=SEED)
    print(f"critical λ of width ∞: {scaling.limit:.4f} ± {scaling.limit_error:.4f}, theory {scaling.theory_limit}")
    two, three = swept[2]["modes"], swept[3]["modes"]
    met = {
        "two layers: λ = s ± 1 %": all(row["relative_deviation"] <= TARGETS[2] for row in two),
        "two layers: continuous, and back at s ± 1 %": all(
            row["kind"] == row["falling_kind"] == "continuous" and abs(row["falling"] / row["theory"] - 1) <= TARGETS[2]
            for row in two
        ),
        "three layers: jump at ¾·4^(−1/3)·s^(4/3) ± 2 %": all(
            row["kind"] == "jump" and row["relative_deviation"] <= TARGETS[3] for row in three
        ),
        "three layers: the falling branch does not return": all(row["falling_kind"] == "none" for row in three),
        "three layers: equal loss at (s/2)^(4/3) ± 2 %": all(row["relative_deviation"] <= TARGETS[3] for row in equal),
        "critical λ of infinite width ± 1 %": abs(scaling.limit / scaling.theory_limit - 1) <= TARGETS[2],
    }
    for target, reached in met.items():
        print(f"{'met' if reached else 'MISSED':8s}{target}")
    settings = {"seed": SEED, "width": WIDTH, "instances": INSTANCES}
    found = {"two_layers": swept[2], "three_layers": swept[3], "coexistence": equal, "scaling": scaling.to_dict()}
    write_results("instruments.phase", settings | machine() | found | {"met": met})
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
