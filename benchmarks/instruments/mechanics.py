"""Energies of DampedHamiltonian: drift over 10⁵ steps, order, the balance of a damped run, variances of Langevin.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.mechanics

1. γ = 0, 10⁵ steps, of an oscillator and of a tanh network with weight decay (seed 0), whose motion is chaotic: the rms
   error of the energy in the second half of the run against the first, at most 1.2; the largest, at most 1 % of the
   energy; and the straight line over time, zero within 3 standard errors (by blocks).
2. The largest error over the same time for time steps from 0.04 to 0.005: the order is the fitted exponent.
3. γ = 0.5, networks of seeds 0 to 2: energy lost against the heat of the friction steps, and against ∫ γ‖θ̇‖² dt by the
   trapezoidal rule of the speeds.
4. T = 0.5 on six parabolas, 20 000 independent copies: variances over the exact ones, of positions T/λ and of momenta
   mT(1 − h²λ/4m), which is exact for this splitting.

All in float64 on one thread.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks._results import machine, write_results
from sciml_zoo.instruments import mechanics
from sciml_zoo.optim import DampedHamiltonian

STEPS = 100_000
BLOCKS = 50
DECAY = 0.02


class Oscillator(nn.Module):
    """Three parameters in a parabola of three curvatures."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.ones(3, dtype=torch.float64))


def parabola(model: nn.Module) -> Tensor:
    """Returns ½ Σ λ x² of an oscillator."""
    return (torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64) * model.place.square()).sum() / 2


def network(seed: int, decay: float) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """Returns a network 1–8–1 and its mean squared error on a sine, with weight decay."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    x = torch.linspace(-2.0, 2.0, 32, dtype=torch.float64)[:, None]
    target = (2 * x).sin()

    def loss(each: nn.Module) -> Tensor:
        size = torch.cat([p.flatten() for p in each.parameters()]).square().sum()
        return (each(x) - target).square().mean() + decay / 2 * size

    return model, loss


def drift(name: str, model: nn.Module, loss: Callable[[nn.Module], Tensor], time_step: float) -> dict[str, Any]:
    """Returns how the error of the energy without friction grows, or does not, over the steps."""
    result = mechanics.measure(model, loss, learning_rate=time_step**2, momentum=1.0, steps=STEPS)
    error = result.imbalance[1:]
    first, last = (float(part.square().mean().sqrt()) for part in error.tensor_split(2))
    start, largest = float(result.energy[0]), float(error.abs().max())
    blocks = error.reshape(BLOCKS, -1).mean(1)
    centred = torch.arange(BLOCKS, dtype=torch.float64) - (BLOCKS - 1) / 2
    slope = float(centred @ blocks / centred.square().sum())
    rest = blocks - blocks.mean() - slope * centred
    deviation = float((rest.square().sum() / (BLOCKS - 2) / centred.square().sum()).sqrt())
    found = {
        "potential": name,
        "time_step": time_step,
        "steps": STEPS,
        "start": start,
        "rms_first_half": first,
        "rms_second_half": last,
        "largest": largest,
        "trend_over_run": slope * BLOCKS,
        "trend_standard_error": deviation * BLOCKS,
    }
    found["met"] = last <= 1.2 * first and largest <= 0.01 * start and abs(slope) <= 3 * deviation
    print(
        f"drift, {name}, h = {time_step:g}: rms E − E(0) {first:.2e}, then {last:.2e}, largest {largest:.2e} "
        f"of {start:.3f}; trend over the run {slope * BLOCKS:+.1e} ± {deviation * BLOCKS:.1e}"
    )
    return found


def order() -> dict[str, Any]:
    """Returns the exponent of the energy error in the time step."""
    time_steps = [0.04, 0.02, 0.01, 0.005]
    errors = []
    for h in time_steps:
        result = mechanics.measure(*network(0, DECAY), learning_rate=h**2, momentum=1.0, steps=round(10 / h))
        errors.append(float(result.imbalance.abs().max()))
    x, y = torch.tensor([time_steps, errors], dtype=torch.float64).log()
    x, y = x - x.mean(), y - y.mean()
    exponent = float(x @ y / x.square().sum())
    deviation = float(((y - exponent * x).square().sum() / (len(x) - 2) / x.square().sum()).sqrt())
    print(f"order: error ∝ h^{exponent:.4f} ± {deviation:.4f}")
    return {
        "time_steps": time_steps,
        "errors": errors,
        "exponent": exponent,
        "standard_error": deviation,
        "met": abs(exponent - 2) <= 0.03,
    }


def balance(seed: int) -> dict[str, Any]:
    """Returns how far friction and loss of energy differ, relative, of a network that comes to rest."""
    h = 4e-4
    momentum = math.exp(-0.5 * h)
    result = mechanics.measure(
        *network(seed, 0.0), learning_rate=h**2 * (1 + momentum) / 2, momentum=momentum, steps=20_000
    )
    lost = float(result.energy[0] - result.energy[-1])
    heat = float(result.dissipated[-1]) / lost - 1
    work = -float(result.friction_power.sum()) * h / lost - 1
    print(
        f"damped, seed {seed}: lost {lost:.6f} of {result.energy[0]:.6f}; heat {heat:+.1e}, ∫γ‖θ̇‖²dt {work:+.1e}; "
        f"γ = {result.measured_friction:.8f} ± {result.friction_error:.0e}"
    )
    return {
        "seed": seed,
        "time_step": h,
        "friction": result.friction,
        "measured_friction": result.measured_friction,
        "friction_error": result.friction_error,
        "start": float(result.energy[0]),
        "lost": lost,
        "heat_relative_error": heat,
        "work_relative_error": work,
        "met": abs(heat) <= 1e-6 and abs(work) <= 1e-6,
    }


def langevin(h: float, seed: int) -> dict[str, Any]:
    """Returns variances of positions and momenta over the exact ones."""
    copies, temperature, mass = 20_000, 0.5, 2.0
    curvature = torch.tensor([0.3, 0.7, 1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    theta = nn.Parameter(torch.zeros(len(curvature), copies, dtype=torch.float64))
    optimizer = DampedHamiltonian([theta], h, mass, friction=2.0, temperature=temperature, seed=seed)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (curvature[:, None] * theta.square()).sum() / 2
        loss.backward()
        return loss

    for _ in range(round(60 / h)):
        optimizer.step(closure)
    place = theta.detach().square().mean(1) * curvature / temperature
    momentum = optimizer.state[theta]["momentum"].square().mean(1) / (mass * temperature)
    momentum /= 1 - h**2 * curvature / (4 * mass)
    sigma = math.sqrt(2 / copies)
    furthest = float(max((place - 1).abs().max(), (momentum - 1).abs().max())) / sigma
    print(f"Langevin, h = {h:g}: 12 variances over exact ones within {furthest:.2f} σ (σ = {sigma:.4f})")
    return {
        "time_step": h,
        "seed": seed,
        "copies": copies,
        "curvature": curvature.tolist(),
        "position": place.tolist(),
        "momentum": momentum.tolist(),
        "standard_error": sigma,
        "furthest_sigma": furthest,
        "met": furthest <= 3,
    }


def main() -> int:
    """Returns 0 if all targets are met, else 1; prints and writes what was found."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    begun = time.perf_counter()
    found: dict[str, Any] = {
        "drift": [
            drift("oscillator", Oscillator(), parabola, 0.1),
            drift("network", *network(0, DECAY), 0.02),
        ],
        "order": [order()],
        "balance": [balance(seed) for seed in range(3)],
        "langevin": [langevin(h, seed) for seed, h in enumerate((0.1, 0.8))],
    }
    met = all(row["met"] for rows in found.values() for row in rows)
    print("all targets met" if met else "a target was missed")
    write_results("instruments.mechanics", {"met": met, **found, "seconds": time.perf_counter() - begun, **machine()})
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
