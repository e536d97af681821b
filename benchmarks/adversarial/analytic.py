"""Surfaces whose answers are known: a quadratic bowl, a double well, and the surface of Müller and Brown.

    python -m benchmarks.adversarial.analytic

The bowl's work is ½ xᵀ A x whatever the path. The double well (x² − 1)² + ½ Σ k y_k² has a barrier of 1 at the origin,
and its path is the x axis. Saddle energies of K. Müller and L. D. Brown, Theor. Chim. Acta 53, 75 (1979). Seconds.
"""

import sys

import torch
from torch import Tensor

from benchmarks._results import machine, write_results
from sciml_zoo.adversarial import LossPotential, barrier, random_paths, work

SEED, ALLOWED = 0, 1e-6
#: a, b, c, d, x0, y0 of each of the four terms.
MULLER_BROWN = torch.tensor(
    [
        [-200.0, -1.0, 0.0, -10.0, 1.0, 0.0],
        [-100.0, -1.0, 0.0, -10.0, 0.0, 0.5],
        [-170.0, -6.5, 11.0, -6.5, -0.5, 1.5],
        [15.0, 0.7, 0.6, 0.7, -1.0, 1.0],
    ],
    dtype=torch.float64,
)
#: Two deep minima, and the saddle between them that is higher; published to three decimals.
MINIMA, SADDLE = ((-0.558224, 1.441726), (0.623499, 0.028038)), -40.665


def muller_brown(points: Tensor) -> Tensor:
    """Returns the surface's energy at points [n, 2]."""
    a, b, c, d, x0, y0 = MULLER_BROWN.T
    x, y = points[:, :1] - x0, points[:, 1:] - y0
    return (a * torch.exp(b * x**2 + c * x * y + d * y**2)).sum(1)


def double_well(points: Tensor) -> Tensor:
    """Returns the energy of a double well at points [n, d]."""
    x, rest = points[:, 0], points[:, 1:]
    stiffness = torch.arange(1, rest.shape[1] + 1, dtype=points.dtype)
    return (x**2 - 1) ** 2 + (rest.square() * stiffness).sum(1) / 2


def bowl_error() -> float:
    """Returns the largest relative error of the work in a bowl of twelve dimensions, along ten crooked paths."""
    generator = torch.Generator().manual_seed(SEED)
    half = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    matrix = half @ half.T
    ends = torch.randn(10, 12, generator=generator, dtype=torch.float64)

    def energy(points: Tensor) -> Tensor:
        return ((points @ matrix) * points).sum(1) / 2

    path = random_paths(torch.zeros_like(ends), ends, generator=generator)
    found = work(LossPotential(energy, loss=None), path)
    return float(((found.work - energy(ends)) / energy(ends)).abs().max())


def main() -> int:
    """Returns 0 where all is as it is known to be; prints the errors, writes the JSON."""
    torch.set_num_threads(1)
    well = LossPotential(double_well, loss=None, dtype=torch.float64)
    start = torch.zeros(1, 4, dtype=torch.float64)
    start[0, 0], start[0, 1] = -0.9, 0.1
    end = start * torch.tensor([-1.0, 2.0, 1.0, 1.0])
    errors = {"work in a quadratic bowl, relative": bowl_error()}
    for method in ("band", "string"):
        found = barrier(well, start, end, method=method)
        errors[f"barrier of the double well, {method}"] = abs(float(found.forward) - 1)
        errors[f"its path's distance from the axis, {method}"] = float(found.path.points[..., 1:].abs().max())
    minima = [torch.tensor([place], dtype=torch.float64) for place in MINIMA]
    surface = LossPotential(muller_brown, loss=None, dtype=torch.float64)
    found = barrier(surface, *minima, images=21, tolerance=1e-6)
    saddle = float(found.saddles.values)
    passed = all(error <= ALLOWED for error in errors.values()) and abs(saddle - SADDLE) <= 5e-4
    for what, error in errors.items():
        print(f"{what:45} {error:.1e}")
    print(f"{'highest saddle of Müller and Brown':45} {saddle:.4f}, published {SADDLE}")
    content = {"seed": SEED, **machine(), "errors": errors, "saddle": saddle, "published": SADDLE, "passed": passed}
    write_results("adversarial.analytic", content)
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
