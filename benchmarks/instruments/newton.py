"""Gradient descent against Newton's method with a mass tensor on quadratics of condition 1 … 10⁶.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.newton

L = ½ θ·Hθ in 24 dimensions, float64; eigenvalues of H are spaced evenly in the logarithm from 1/κ to 1, its
eigenvectors random (seed 0), four starts on the unit sphere (seeds 0 to 3). Counted are steps until ‖θ‖ ≤ 10⁻⁴ of its
start. Gradient descent has the best constant rate, η = 2/(λ_min + λ_max), for which it needs at most
ln 10⁴/ln((κ + 1)/(κ − 1)) steps. Newton's radius begins at 10, beyond all starts, with τ = 10⁻¹²; the products Hv that
its conjugate gradients take are counted too. Exponents are slopes of log(steps) over log κ by least squares, κ ≥ 10,
with standard errors.
"""

import math
import sys
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats
from torch import Tensor, nn

from benchmarks._results import machine, write_results
from sciml_zoo.optim.newton import MassTensorNewton

CONDITIONS = (1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
DIMENSIONS, STARTS, REDUCTION = 24, 4, 1e-4
TARGET = 0.01  # how far the exponents may be from 1 and from 0


def quadratic(condition: float) -> tuple[Tensor, Tensor]:
    """Returns H [n, n] and starts [n, starts]."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(DIMENSIONS, DIMENSIONS, dtype=torch.float64, generator=generator))
    curvatures = torch.logspace(-math.log10(condition), 0, DIMENSIONS, dtype=torch.float64)
    starts = torch.stack(
        [
            torch.randn(DIMENSIONS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
            for seed in range(STARTS)
        ],
        dim=1,
    )
    return (basis * curvatures) @ basis.T, starts / starts.norm(dim=0)


def gradient_descent(hessian: Tensor, starts: Tensor, condition: float) -> list[int]:
    """Returns the number of steps from each start; looked at every thousandth of κ."""
    rate = 2 / (1 + 1 / condition)
    look = max(1, round(condition / 1000))
    theta, step, needed = starts.clone(), 0, [0] * STARTS
    while not all(needed):
        for _ in range(look):
            theta = torch.addmm(theta, hessian, theta, alpha=-rate)
        step += look
        arrived = (theta.norm(dim=0) <= REDUCTION).tolist()
        needed = [count or (step if there else 0) for count, there in zip(needed, arrived, strict=True)]
    return needed


def newton(hessian: Tensor, start: Tensor) -> tuple[int, int]:
    """Returns the number of steps and of Hessian-vector products."""
    theta = nn.Parameter(start.clone())
    optimizer = MassTensorNewton([theta], radius=10.0, tolerance=1e-12, max_iterations=1000)
    products = 0

    def count(_: Any) -> None:
        nonlocal products
        products += 1

    def loss() -> Tensor:
        # Every backward pass through Hθ beyond the first is a product.
        force = hessian @ theta
        if force.requires_grad:
            force.register_hook(count)
        return 0.5 * theta @ force

    steps = 0
    while theta.norm() > REDUCTION:
        optimizer.step(loss)
        products -= 1
        steps += 1
    return steps, products


def exponent(steps: list[list[int]]) -> tuple[float, float]:
    """Returns the slope of log(steps) over log κ, κ ≥ 10, and its standard error."""
    x = np.repeat(np.log10(CONDITIONS[1:]), STARTS)
    y = np.log10(np.array(steps[1:], dtype=float).ravel())
    if np.ptp(y) == 0:
        return 0.0, 0.0  # linregress divides by the spread
    fit = stats.linregress(x, y)
    return float(fit.slope), float(fit.stderr)


def main() -> int:
    """Runs the comparison, prints the table, writes the JSON.

    Returns:
        0 if the exponents are 1 and 0.
    """
    torch.set_num_threads(1)
    table = Table("κ", "gradient descent", "at most", "Newton", "products Hv", box=None)
    rows, descents, newtons, inner = [], [], [], []
    for condition in CONDITIONS:
        hessian, starts = quadratic(condition)
        descents.append(gradient_descent(hessian, starts, condition))
        pairs = [newton(hessian, start) for start in starts.T]
        newtons.append([steps for steps, _ in pairs])
        inner.append([products for _, products in pairs])
        theory = 1.0 if condition == 1 else -math.log(REDUCTION) / math.log((condition + 1) / (condition - 1))
        rows.append(
            {
                "condition": condition,
                "gradient_descent_steps": descents[-1],
                "gradient_descent_theory": theory,
                "newton_steps": newtons[-1],
                "newton_products": inner[-1],
            }
        )
        spans = [f"{min(x)} – {max(x)}" for x in (descents[-1], newtons[-1], inner[-1])]
        table.add_row(f"{condition:g}", spans[0], f"{theory:.0f}", *spans[1:])
    fits = {name: exponent(x) for name, x in (("gradient_descent", descents), ("newton", newtons), ("products", inner))}
    met = {
        "gradient_descent": abs(fits["gradient_descent"][0] - 1) <= TARGET,
        "newton": abs(fits["newton"][0]) <= TARGET,
    }
    console = Console()
    console.print(table)
    for name, (slope, error) in fits.items():
        console.print(f"{name}: exponent of κ {slope:.4f} ± {error:.4f}")
    result = {
        "dimensions": DIMENSIONS,
        "reduction": REDUCTION,
        "starts": STARTS,
        "rows": rows,
        "exponents": {name: {"slope": slope, "standard_error": error} for name, (slope, error) in fits.items()},
        "target": TARGET,
        "met": met,
        **machine(),
    }
    write_results("instruments.newton", result)
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
