"""Viscosity recovered from set values, beside Liouville's formula.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.viscosity

Antisymmetric networks of 32 units with W of seeds 0 to 4, for every ν; 8 random signals and 16 perturbations each, in
float64 and, of seed 0, in float32. ν = 0 is judged by its absolute error, the others by the relative one. Where signals
are large, tanh bends and stretches: there the damping from end to end must stay below Liouville's bound.
"""

import sys
import time
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks._results import machine, write_results
from sciml_zoo.instruments import viscosity
from sciml_zoo.instruments.viscosity import AntisymmetricMedium

VISCOSITIES = (0.0, 0.1, 0.5, 1.0, 2.0)
SEEDS, WIDTH = range(5), 32
#: Relative error, and absolute error at ν = 0.
RELATIVE, ABSOLUTE = 0.01, 0.005


def row_of(nu: float, seed: int, dtype: torch.dtype) -> dict[str, Any]:
    """Returns the figures of one medium."""
    result = viscosity.measure(AntisymmetricMedium(nu, WIDTH, seed).to(dtype), seed=seed)
    error = abs(result.viscosity - nu)
    return {
        "set": nu,
        "seed": seed,
        "dtype": str(dtype).removeprefix("torch."),
        "measured": result.viscosity,
        "standard_error": result.standard_error,
        "isotropic": result.isotropic,
        "isotropic_error": result.isotropic_error,
        "residual": result.residual,
        "gradients": result.gradients,
        "passed": error <= (RELATIVE * nu if nu else ABSOLUTE),
    }


def stretched(seed: int) -> dict[str, Any]:
    """Returns the figures of signals of unit variance, ν = 0.5."""
    inputs = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    result = viscosity.measure(AntisymmetricMedium(0.5, WIDTH, seed), inputs, seed=seed)
    end_to_end = -(result.log_norms[-1] / result.depths[-1]).item()
    return {
        "seed": seed,
        "measured": result.viscosity,
        "standard_error": result.standard_error,
        "end_to_end": end_to_end,
        "isotropic": result.isotropic,
        "isotropic_error": result.isotropic_error,
        "passed": end_to_end <= result.isotropic,
    }


def main() -> int:
    """Returns 0 where all targets are met; prints a table, writes the JSON."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    cases = [(nu, seed, torch.float64) for nu in VISCOSITIES for seed in SEEDS]
    rows = [row_of(*case) for case in [*cases, *((nu, 0, torch.float32) for nu in VISCOSITIES)]]
    large = [stretched(seed) for seed in SEEDS]
    table = Table("set ν", "dtype", "worst measured", "standard error", "largest error", "passed", box=None)
    for nu in VISCOSITIES:
        for dtype in ("float64", "float32"):
            those = [row for row in rows if row["set"] == nu and row["dtype"] == dtype]
            worst = max(those, key=lambda row: abs(row["measured"] - row["set"]))
            error = abs(worst["measured"] - nu)
            table.add_row(
                f"{nu:g}",
                dtype,
                f"{worst['measured']:.6f}",
                f"{worst['standard_error']:.1e}",
                f"{error / nu:.1e} relative" if nu else f"{error:.1e} absolute",
                str(all(row["passed"] for row in those)),
            )
    Console().print(table)
    for row in large:
        values = f"end to end {row['end_to_end']:.4f}, Liouville {row['isotropic']:.4f} ± {row['isotropic_error']:.4f}"
        print(f"large signals, set ν 0.5, seed {row['seed']}: {values}, below {row['passed']}")
    seconds = time.perf_counter() - begun
    targets = {"relative": RELATIVE, "absolute_at_zero": ABSOLUTE}
    content = {"width": WIDTH, "targets": targets, "rows": rows, "large_signals": large, "seconds": seconds}
    write_results("instruments.viscosity", content | machine())
    return int(not all(row["passed"] for row in [*rows, *large]))


if __name__ == "__main__":
    sys.exit(main())
