"""The wave equation in a network: gradient field, speed, standing waves, reflection and growth against theory.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.waves

Networks of 256 units in float64 at four speeds and with three kinds of ends. The gradient field is that of a loss on
all layers, with random inputs and targets of seed 0, against a leapfrog in NumPy with the dense Laplacian, run from the
last layer to the first. Speeds are of gradient pulses and of a pulse through the forward pass, against c. A network of
one's own stands beside them: nonlinear blocks of float32, linearised at rest.
"""

import math
import sys
import time
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks._results import machine, write_results
from sciml_zoo.instruments import waves
from sciml_zoo.instruments.waves import ENDS, WaveNetwork

UNITS, SEED = 256, 0
SPEEDS = (0.25, 0.5, 0.8, 1.0)
#: Of the gradient field over its maximum; of speeds, relative; of ω in radians and of r, absolute; of growth, relative.
FIELD, SPEED, EXACT, GROWTH = 1e-12, 0.005, 1e-9, 0.005


def field_error(network: WaveNetwork) -> float:
    """Returns the largest difference between autograd and a NumPy leapfrog, over the largest gradient."""
    generator = torch.Generator().manual_seed(SEED)
    shape = (network.layers + 2, network.units)
    targets, inputs = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    states = [inputs[0].requires_grad_(), inputs[1].requires_grad_()]
    for _ in range(network.layers):
        states.append(network.step(states[-1], states[-2]))
    loss = (torch.stack(states) - targets).cosh().log().sum()
    found = torch.stack(torch.autograd.grad(loss, states)).numpy()

    sources = np.tanh((torch.stack(states) - targets).detach().numpy())
    laplacian = np.diag(np.full(network.units, -2.0)) + np.eye(network.units, k=1) + np.eye(network.units, k=-1)
    if network.ends == "periodic":
        laplacian[0, -1] = laplacian[-1, 0] = 1.0
    if network.ends == "free":
        laplacian[0, 0] = laplacian[-1, -1] = -1.0
    wave = 2 * np.eye(network.units) + network.speed.item() ** 2 * laplacian
    expected = np.zeros((shape[0] + 1, shape[1]))
    for layer in range(shape[0] - 1, 0, -1):
        expected[layer] = sources[layer]
        if layer < shape[0] - 1:
            expected[layer] += wave @ expected[layer + 1] - expected[layer + 2]
    expected[0] = sources[0] - expected[2]
    return float(np.abs(found - expected[:-1]).max() / np.abs(expected).max())


def growth(network: WaveNetwork) -> float:
    """Returns by what log‖h‖ rises in a layer, over the last quarter of the layers."""
    start = torch.randn(network.units, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    with torch.no_grad():
        lengths = network.states(start, start).abs().amax(1).log()  # squares would overflow
    quarter = network.layers // 4
    return ((lengths[-1] - lengths[-1 - quarter]) / quarter).item()


def row_of(ends: str, speed: float) -> dict[str, Any]:
    """Returns the figures of one network."""
    network = WaveNetwork(UNITS, round(110 / speed), speed, ends)
    result = waves.measure(network)
    standing, reflection = result.standing, result.reflection
    assert standing is not None
    assert reflection is not None
    unstable = WaveNetwork(UNITS, 2000, 1.01, ends)
    row = {
        "ends": ends,
        "set_speed": speed,
        "field_error": max(field_error(network), result.backward_error or 0.0),
        "gradient_speed": result.speed,
        "gradient_speed_error": result.standard_error,
        "dispersive_speed": result.dispersive_speed,
        "forward_speed": result.forward_speed,
        "exponent": result.exponent,
        "frequency_error": (standing.frequencies - standing.expected).abs().max().item(),
        "mode_leak": standing.leak,
        "reflection": reflection.coefficient,
        "reflection_expected": reflection.expected,
        "growth_at_1.01": growth(unstable),
        "growth_expected": unstable.growth_rate(),
        "gradients": result.gradients,
    }
    row["passed"] = (
        row["field_error"] <= FIELD
        and abs(row["gradient_speed"] / speed - 1) <= SPEED
        and abs(row["forward_speed"] / speed - 1) <= SPEED
        and row["frequency_error"] <= EXACT
        and abs(row["reflection"] - row["reflection_expected"]) <= EXACT
        and abs(row["growth_at_1.01"] / row["growth_expected"] - 1) <= GROWTH
    )
    return row


def own_network() -> dict[str, Any]:
    """Returns the speed of gradients in 140 nonlinear blocks whose strain saturates, each of c = 0.8."""

    def block(current: Tensor, previous: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(current, (1, 1))
        strain = torch.tanh(padded[..., 1:] - padded[..., :-1])
        return 2 * current - previous + 0.64 * (strain[..., 1:] - strain[..., :-1])

    rest = torch.zeros(1, UNITS)
    result = waves.measure([block] * 140, (rest, rest))
    return {
        "set_speed": 0.8,
        "gradient_speed": result.speed,
        "gradient_speed_error": result.standard_error,
        "passed": math.isclose(result.speed, 0.8, rel_tol=SPEED),
    }


def main() -> int:
    """Returns 0 where all targets are met; prints a table, writes the JSON."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    rows = [row_of(ends, speed) for ends in ENDS for speed in SPEEDS]
    own = own_network()
    table = Table("ends", "c", "field", "gradient", "forward", "ω", "r", "growth", "passed", box=None)
    for row in rows:
        table.add_row(
            row["ends"],
            f"{row['set_speed']:g}",
            f"{row['field_error']:.1e}",
            f"{row['gradient_speed']:.6f}",
            f"{row['forward_speed']:.6f}",
            f"{row['frequency_error']:.1e}",
            f"{row['reflection']:+.4f}",
            f"{row['growth_at_1.01'] / row['growth_expected']:.4f}",
            str(row["passed"]),
        )
    Console().print(table)
    print(f"nonlinear blocks, float32, c = 0.8: {own['gradient_speed']:.6f}, passed {own['passed']}")
    seconds = time.perf_counter() - begun
    targets = {"field": FIELD, "speed": SPEED, "frequency_and_reflection": EXACT, "growth": GROWTH}
    content = {"units": UNITS, "seed": SEED, "targets": targets, "rows": rows, "own_network": own, "seconds": seconds}
    write_results("instruments.waves", content | machine())
    return int(not all(row["passed"] for row in [*rows, own]))


if __name__ == "__main__":
    sys.exit(main())
