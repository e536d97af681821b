"""Lanczos against dense eigenvalues on 20 networks, and its memory on ten million parameters.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.curvature

The networks have at most 2000 parameters, float64, seeds 0 to 19, tanh, GELU, SiLU, ReLU or softplus, a mean squared
error or a cross entropy; the dense Hessian is that of ``torch.func.hessian``. Error is the largest of the five largest
and the three smallest eigenvalues, over the spectral norm. The large network, float32, is measured in a process of its
own, whose peak memory counts torch as well.
"""

import itertools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks._results import machine, write_results
from sciml_zoo.instruments import curvature

NETWORKS, LARGEST = 20, 2000
TARGET, MEMORY_TARGET = 1e-6, 2e9
ACTIVATIONS = (nn.Tanh, nn.GELU, nn.SiLU, nn.ReLU, nn.Softplus)
WIDTH = 1826  # three layers: 10.0 · 10⁶ parameters


def network(seed: int) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """Returns a network and its loss on random data."""
    generator = torch.Generator().manual_seed(seed)
    inputs, width, outputs, depth = 3 + seed % 5, 8 + 4 * (seed % 4), 1 + seed % 3, 2 + seed % 2
    sizes = [inputs] + [width] * depth + [outputs]
    model = nn.Sequential()
    for fan_in, fan_out in itertools.pairwise(sizes):
        model.append(nn.Linear(fan_in, fan_out))
        model.append(ACTIVATIONS[seed % 5]())
    model = model[:-1].double()
    with torch.no_grad():
        for parameter in model.parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.3
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    x = torch.randn(50, inputs, generator=generator).double()
    if seed % 2:
        y = torch.randn(50, outputs, generator=generator).double()
        return model, lambda m: (m(x) - y).square().mean() / 2
    labels = torch.randint(outputs + 1, (50,), generator=generator)
    return model, lambda m: nn.functional.cross_entropy(nn.functional.pad(m(x), (0, 1)), labels)


def dense_eigenvalues(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> np.ndarray:
    """Returns all eigenvalues of the dense Hessian, smallest first."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    def of_flat(vector: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in shapes.values()])
        named = {name: part.reshape(s) for (name, s), part in zip(shapes.items(), parts, strict=True)}
        return loss(lambda x: torch.func.functional_call(model, named, (x,)))  # type: ignore[arg-type]

    return torch.linalg.eigvalsh(torch.func.hessian(of_flat)(flat)).numpy()


def compare(seed: int) -> dict[str, Any]:
    """Returns the errors of one network."""
    model, loss = network(seed)
    exact = dense_eigenvalues(model, loss)
    norm = float(np.abs(exact).max())
    found = curvature.measure(model, loss, top=5, bottom=3, density=False, seed=seed)
    errors = np.abs(np.append(found.top - exact[::-1][:5], found.bottom - exact[:3]))
    bounds = np.append(found.top_errors, found.bottom_errors)
    return {
        "seed": seed,
        "parameters": found.parameters,
        "spectral_norm": norm,
        "smallest": float(exact[0]),
        "relative_error": float(errors.max()) / norm,
        "residual_bounds_hold": bool((errors <= bounds + 1e-13 * norm).all()),
        "converged": found.converged,
        "gradients": found.gradients,
    }


def measure_large() -> None:
    """Measures the large network and prints its figures as JSON; a process of its own runs this."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH)
    )
    x = torch.randn(16, WIDTH)
    begun = time.perf_counter()
    found = curvature.measure(
        model,
        lambda m: (m(x) - x).square().sum(1).mean() / 2,
        top=2,
        bottom=1,
        probes=2,
        tolerance=1e-3,
        max_products=60,
    )
    figures = {
        "parameters": found.parameters,
        "top": found.top.tolist(),
        "top_errors": found.top_errors.tolist(),
        "bottom": found.bottom.tolist(),
        "bottom_errors": found.bottom_errors.tolist(),
        "converged": found.converged,
        "gradients": found.gradients,
        "seconds": time.perf_counter() - begun,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(figures))


def main() -> int:
    """Runs both, prints a table, writes the JSON.

    Returns:
        0 if all targets are met.
    """
    torch.set_num_threads(1)
    rows = [compare(seed) for seed in range(NETWORKS)]
    command = [sys.executable, "-m", "benchmarks.instruments.curvature", "--large"]
    large = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    table = Table("seed", "parameters", "‖H‖", "λ_min", "error/‖H‖", "gradients", box=None)
    for row in rows:
        table.add_row(
            str(row["seed"]),
            str(row["parameters"]),
            f"{row['spectral_norm']:.4g}",
            f"{row['smallest']:.3g}",
            f"{row['relative_error']:.1e}",
            str(row["gradients"]),
        )
    worst = max(row["relative_error"] for row in rows)
    met = {
        "error": worst <= TARGET and all(row["residual_bounds_hold"] and row["converged"] for row in rows),
        "size": all(row["parameters"] <= LARGEST for row in rows) and large["parameters"] >= 1e7,
        "memory": large["peak_bytes"] <= MEMORY_TARGET,
    }
    console = Console()
    console.print(table)
    console.print(f"largest error {worst:.1e} of the spectral norm (target {TARGET:g})")
    console.print(
        f"{large['parameters']} parameters: λ_max {large['top'][0]:.5g} ± {large['top_errors'][0]:.1g}, λ_min "
        f"{large['bottom'][0]:.4g} ± {large['bottom_errors'][0]:.1g}; {large['gradients']} gradients, "
        f"{large['seconds']:.0f} s, peak {large['peak_bytes'] / 1e9:.2f} GB (target {MEMORY_TARGET / 1e9:g})"
    )
    result = {
        "networks": rows,
        "largest_relative_error": worst,
        "target": TARGET,
        "large": large,
        "memory_target_bytes": MEMORY_TARGET,
        "met": met,
        **machine(),
    }
    write_results("instruments.curvature", result)
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    if "--large" in sys.argv:
        torch.set_num_threads(1)
        measure_large()
    else:
        sys.exit(main())
