"""Free energy against the exact evidence, variances of the samplers, and a network against quadrature.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.thermodynamics

Bayesian linear regression (Legendre polynomials of degree 3, 20 points, σ = 0.3, prior N(0, 1)): F at T = 1 of the
variational Gaussian and of chains with either sampler against −log evidence, state functions over temperature against
the exact ones, and the variances of all parameters against the exact ones in units of their standard error, of which
the effective sample size is counted. Mean field must miss exactly half of log det of the correlations. A network of two
parameters, a tanh(w x), is compared with a quadrature of its integrals. Errors of chains come from a jackknife.
"""

import math
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._results import machine, write_results
from sciml_zoo.instruments import thermodynamics
from sciml_zoo.instruments.thermodynamics import linear_regression, polynomials

SEED, DEGREE, NOISE = 0, 3, 0.3
# Of each sampler; no two runs share a random number.
SEEDS = {"hamiltonian": (11, 12, 13), "langevin": (21, 22, 23)}
DRAWS = 100
TEMPERATURES = (0.3, 1.0, 3.0)
NAMES = ("energy", "entropy", "free_energy", "heat_capacity")
EVIDENCE_TARGET, SIGMAS = 1e-3, 3.0
POINTS = np.linspace(-2, 2, 9)
VALUES = np.tanh(1.5 * POINTS) + 0.3 * np.cos(7 * POINTS)
SPREAD = 0.5


class Bump(nn.Module):
    """a tanh(w x), a network of one hidden unit."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.8, dtype=torch.float64))
        self.w = nn.Parameter(torch.tensor(1.2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the output."""
        return self.a * torch.tanh(self.w * x)


def bump_loss(model: nn.Module) -> Tensor:
    """Returns −log likelihood without its constant."""
    residual = torch.from_numpy(VALUES) - model(torch.from_numpy(POINTS))
    return residual.square().sum() / (2 * SPREAD**2)


def quadrature(temperature: float) -> dict[str, float]:
    """Returns the state functions of the network by the trapezoidal rule."""
    grid = np.linspace(-8, 8, 1201)
    a, w = np.meshgrid(grid, grid, indexing="ij")
    pairs = zip(POINTS, VALUES, strict=True)
    loss = sum((y - a * np.tanh(w * x)) ** 2 for x, y in pairs) / (2 * SPREAD**2)
    weight = np.exp(-(a**2 + w**2) / 2 - loss / temperature) / (2 * np.pi) * (grid[1] - grid[0]) ** 2
    z = weight.sum()
    energy = (weight * loss).sum() / z
    capacity = ((weight * loss**2).sum() / z - energy**2) / temperature**2
    free = -temperature * math.log(z)
    return dict(zip(NAMES, (energy, (energy - free) / temperature, free, capacity), strict=True))


def pooled(runs: list[dict[str, Any]], names: Iterable[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """Returns means over independent runs, with their standard errors."""
    return {
        name: (
            torch.stack([run[name] for run in runs]).mean(0),
            torch.stack([run[f"{name}_error"] for run in runs]).norm(dim=0) / len(runs),
        )
        for name in names
    }


def deviations(sampled: dict[str, tuple[Tensor, Tensor]], exact: dict[str, Tensor]) -> dict[str, list[float]]:
    """Returns (sampled − exact)/error of every state function at every temperature."""
    return {name: ((mean - exact[name]) / error).tolist() for name, (mean, error) in sampled.items()}


def regression(sampler: str) -> dict[str, Any]:
    """Returns how chains do on linear regression; prints it."""
    candidates, features, targets = polynomials()
    phi = features[:, : DEGREE + 1]
    exact = linear_regression(phi, targets, noise=NOISE, prior_scale=1.0, temperatures=TEMPERATURES)
    begun = time.perf_counter()
    runs = [
        thermodynamics.measure(*candidates[DEGREE], temperatures=TEMPERATURES, sampler=sampler, draws=DRAWS, seed=seed)
        for seed in SEEDS[sampler]
    ]
    seconds = time.perf_counter() - begun
    at = TEMPERATURES.index(1.0)
    covariance = torch.linalg.inv(phi.T @ phi / NOISE**2 + torch.eye(DEGREE + 1, dtype=torch.float64))
    sampled = pooled([vars(run.sampled) for run in runs], NAMES)
    free, error = (values[at].item() for values in sampled["free_energy"])
    spread = [{"variance": run.variances[at], "variance_error": run.variance_errors[at]} for run in runs]
    variance, variance_error = pooled(spread, ["variance"])["variance"]
    variances = ((variance - covariance.diagonal()) / variance_error).tolist()
    variational = runs[0].variational.free_energy[at].item()
    truth = exact.free_energy[at].item()
    row = {
        "sampler": sampler,
        "minus_log_evidence": truth,
        "variational": variational,
        "variational_deviation": abs(variational - truth),
        "sampled": free,
        "sampled_error": error,
        "sampled_relative_deviation": abs(free / truth - 1),
        "sigmas": deviations(sampled, {name: getattr(exact, name) for name in NAMES}),
        "variance_sigmas": variances,
        "variance_effective_size": sum(run.variance_effective_size[at] for run in runs).tolist(),
        "energy_effective_size": sum(run.effective_size for run in runs).tolist(),
        "acceptance": [run.acceptance for run in runs],
        "gradients": sum(run.gradients for run in runs),
        "seconds": round(seconds, 1),
    }
    print(
        f"{sampler:12s} −log evidence {truth:.6f}  variational {row['variational']:.6f}  sampled {free:.4f} ± "
        f"{error:.4f}  variances off by {max(map(abs, variances)):.2f} σ at most, effective size "
        f"{min(row['variance_effective_size']):.0f}  {row['gradients']} gradients  {seconds:.0f} s",
        flush=True,
    )
    return row


def mean_field() -> dict[str, float]:
    """Returns by how much mean field misses the evidence, and what it must be; prints it."""
    candidates, features, targets = polynomials()
    phi = features[:, : DEGREE + 1]
    precision = phi.T @ phi / NOISE**2 + torch.eye(DEGREE + 1, dtype=torch.float64)
    expected = ((precision.diagonal().log().sum() - precision.logdet()) / 2).item()
    exact = linear_regression(phi, targets, noise=NOISE, prior_scale=1.0, temperatures=[1.0]).free_energy.item()
    found = thermodynamics.razor({DEGREE: candidates[DEGREE]}, covariance="diagonal", seed=SEED)
    gap = found.free_energy.item() - exact
    print(f"mean field   F − exact {gap:.6f}, expected {expected:.6f}", flush=True)
    return {"gap": gap, "expected": expected}


def network() -> dict[str, Any]:
    """Returns how chains do on a network whose posterior has two modes; prints it."""
    found = thermodynamics.measure(Bump(), bump_loss, temperatures=TEMPERATURES, draws=DRAWS, seed=SEED)
    exact = [quadrature(t) for t in TEMPERATURES]
    truth = {name: torch.tensor([row[name] for row in exact], dtype=torch.float64) for name in NAMES}
    sigmas = deviations(pooled([vars(found.sampled)], NAMES), truth)
    worst = max(abs(value) for values in sigmas.values() for value in values)
    above = (found.variational.free_energy + 3 * found.variational.free_energy_error >= truth["free_energy"]).all()
    print(f"network      off by {worst:.2f} σ at most; variational F above the exact one: {bool(above)}", flush=True)
    return {
        "exact": {name: values.tolist() for name, values in truth.items()},
        "sampled": found.sampled.to_dict(),
        "variational_free_energy": found.variational.free_energy.tolist(),
        "sigmas": sigmas,
        "bound_holds": bool(above),
    }


def main() -> int:
    """Returns 0 where all targets are met; prints the figures, writes the JSON."""
    torch.set_num_threads(1)
    rows = [regression(sampler) for sampler in ("hamiltonian", "langevin")]
    gaps, bump = mean_field(), network()
    sets = [row["sigmas"] for row in rows] + [bump["sigmas"]]
    worst = max(abs(value) for sigmas in sets for values in sigmas.values() for value in values)
    met = {
        "variational F equals −log evidence to 1e-3": max(r["variational_deviation"] for r in rows) <= EVIDENCE_TARGET,
        "sampled F at T = 1 within 3 standard errors": all(
            abs(r["sigmas"]["free_energy"][TEMPERATURES.index(1.0)]) <= SIGMAS for r in rows
        ),
        "variances within 3 standard errors": all(abs(v) <= SIGMAS for r in rows for v in r["variance_sigmas"]),
        "all state functions within 3.5 standard errors": worst <= 3.5,
        "mean field misses the correlations, to 1e-3": abs(gaps["gap"] - gaps["expected"]) <= EVIDENCE_TARGET,
        "variational F bounds the network's": bump["bound_holds"],
    }
    for target, reached in met.items():
        print(f"{'met' if reached else 'MISSED':8s}{target}")
    settings = {
        "seed": SEED,
        "seeds": SEEDS,
        "degree": DEGREE,
        "noise": NOISE,
        "draws": DRAWS,
        "temperatures": TEMPERATURES,
    }
    found = {"regression": rows, "mean_field": gaps, "network": bump, "met": met}
    write_results("instruments.thermodynamics", settings | machine() | found)
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
