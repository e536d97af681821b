"""Lyapunov exponents against what is known: quadratics, two chaotic losses, and the edge of stability of a network.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.chaos

The network has 64 inputs, 8 tanh units and 10 classes, and is trained on all 1797 digits of scikit-learn with weight
decay, by L-BFGS and Newton in float64, until its gradient vanishes; its dense Hessian is the reference. Exponents are
measured at that minimum, for learning rates on both sides of 2/λ_max. Above it the orbit leaves the minimum at the rate
that is measured, so that the steps are counted before it is gone. Below it the largest exponent belongs to the smallest
eigenvalues, which lie close together, and 8 tangents are followed to tell them apart. Exits with 1 if a target is
missed. One thread.
"""

import math
import sys
import time
from importlib.metadata import version

import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from benchmarks._results import machine, write_results
from sciml_zoo.instruments import chaos
from sciml_zoo.instruments._objective import Objective

SEED = 0
WEIGHT_DECAY = 0.05
#: η λ_max/2 − 1.
OFFSETS = (-0.05, -0.01, -0.003, 0.003, 0.01, 0.05)
STEPS = 10000


def quadratics() -> dict[str, float]:
    """Returns the largest errors of ln |1 − ηh|: all exponents, and a few of many."""
    generator = torch.Generator().manual_seed(SEED)
    errors = {}
    for n, kept in ((1, 1), (20, 20), (100, 5)):
        axes = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
        curvatures = torch.linspace(0.1, 1.9, n, dtype=torch.float64)
        if kept < n:
            curvatures[:kept] = torch.linspace(2.1, 2.2, kept, dtype=torch.float64)
        hessian = axes @ curvatures.diag() @ axes.T
        step = chaos.gradient_descent_map(lambda x, h=hessian: x @ h @ x / 2, 1.0)
        start = torch.zeros(n, dtype=torch.float64) if kept < n else torch.ones(n, dtype=torch.float64)
        found = chaos.measure(step, start, 300, exponents=kept, transient=200, seed=SEED)
        known = (1 - curvatures).abs().log().sort(descending=True).values[:kept]
        errors[f"{kept} of {n}"] = float((found.spectrum - known).abs().max())
    return errors


def chaotic() -> dict[str, dict[str, float]]:
    """Returns exponents of the logistic map and of Chebyshev's cubic, as gradient descent."""
    cases = {
        "logistic, ln 2": (lambda x: (4 * x**3 / 3 - 3 * x**2 / 2).sum(), 1.0, math.log(2)),
        "double well, ln 3": (lambda x: ((x**2 - 1) ** 2).sum() / 4, 2.0, math.log(3)),
    }
    rows = {}
    for name, (loss, rate, known) in cases.items():
        start = torch.tensor([0.3], dtype=torch.float64)
        found = chaos.measure(chaos.gradient_descent_map(loss, rate), start, STEPS, blocks=20, seed=SEED)
        rows[name] = {
            "exponent": float(found.spectrum[0]),
            "standard_error": float(found.standard_errors[0]),
            "relative_error": float(found.spectrum[0]) / known - 1,
        }
    return rows


def digits_at_a_minimum() -> tuple[Objective, Tensor, float]:
    """Returns the loss of the network, the Hessian's eigenvalues at its minimum, ascending, and the gradient's norm."""
    data = load_digits()
    images = torch.tensor(data.data, dtype=torch.float64) / 16
    labels = torch.tensor(data.target)
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10)).double()

    def loss(network: nn.Module) -> Tensor:
        decay = sum(p.square().sum() for p in network.parameters())
        return cross_entropy(network(images), labels) + WEIGHT_DECAY / 2 * decay

    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=1500, tolerance_grad=1e-7, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(model)
        value.backward()
        return value

    optimizer.step(closure)
    objective = Objective(model, loss)
    theta = parameters_to_vector(model.parameters()).detach()
    slope = torch.func.grad(objective)
    for _ in range(4):
        hessian = torch.func.jacrev(slope, chunk_size=64)(theta).detach()
        if float(slope(theta).norm()) <= 1e-14:
            break
        theta = theta - torch.linalg.solve(hessian, slope(theta)).detach()
    vector_to_parameters(theta, model.parameters())
    objective = Objective(model, loss)
    return objective, torch.linalg.eigvalsh(hessian), float(slope(theta).norm())


def edge(objective: Objective, eigenvalues: Tensor) -> list[dict[str, float]]:
    """Returns exponents at the minimum, on both sides of the edge of stability."""
    rows = []
    for offset in OFFSETS:
        rate = 2 / float(eigenvalues[-1]) * (1 + offset)
        steps = 500 if offset < 0 else round(min(800, 4 / offset))
        swept = chaos.sweep(
            objective, objective.start, [rate], steps, exponents=8, transient=steps, curvatures=eigenvalues
        )
        rows.append(
            {
                "offset": offset,
                "learning_rate": rate,
                "steps": steps,
                "exponent": float(swept.exponents[0]),
                "standard_error": float(swept.standard_errors[0]),
                "dense": float(swept.theory()[0]),
            }
        )
    return rows


def main() -> None:
    """Runs all, prints the tables and writes the JSON."""
    begun = time.perf_counter()
    errors, orbits = quadratics(), chaotic()
    objective, eigenvalues, gradient_norm = digits_at_a_minimum()
    rows = edge(objective, eigenvalues)
    # Above the edge e^λ₁ = ηλ_max − 1, which tells where the edge lies.
    above = min((row for row in rows if row["offset"] > 0), key=lambda row: row["offset"])
    located = above["learning_rate"] / (1 + math.exp(above["exponent"])) * float(eigenvalues[-1]) - 1
    passed = {
        "quadratics to 1e-10": max(errors.values()) <= 1e-10,
        "ln 2 and ln 3 ± 1 %": all(abs(row["relative_error"]) <= 0.01 for row in orbits.values()),
        "gradient at the minimum ≤ 1e-8": gradient_norm <= 1e-8,
        "Hessian positive definite": float(eigenvalues[0]) > 0,
        "sign changes at 2/λ_max": all((row["exponent"] > 0) == (row["offset"] > 0) for row in rows),
        "exponents equal the dense ones ± 0.001": all(abs(r["exponent"] - r["dense"]) <= 1e-3 for r in rows),
    }
    console = Console(width=110)
    table = Table("quadratic", "largest error of ln |1 − ηh|", box=None)
    for name, error in errors.items():
        table.add_row(name, f"{error:.1e}")
    console.print(table)
    table = Table("orbit", "exponent", "standard error", "relative error", box=None)
    for name, row in orbits.items():
        table.add_row(
            name, f"{row['exponent']:.5f}", f"{row['standard_error']:.5f}", f"{100 * row['relative_error']:+.3f} %"
        )
    console.print(table)
    console.print(
        f"{len(eigenvalues)} weights, ‖∇L‖ = {gradient_norm:.1e}, "
        f"λ_min = {float(eigenvalues[0]):.4f}, λ_max = {float(eigenvalues[-1]):.4f}"
    )
    table = Table("η λ_max/2 − 1", "steps", "largest exponent", "standard error", "dense Hessian", box=None)
    for row in rows:
        table.add_row(
            f"{row['offset']:+.3f}",
            str(row["steps"]),
            f"{row['exponent']:+.6f}",
            f"{row['standard_error']:.6f}",
            f"{row['dense']:+.6f}",
        )
    console.print(table)
    console.print(f"sign change, from the first exponent above it, at η = (1 {located:+.1e}) · 2/λ_max")
    for name, met in passed.items():
        console.print(f"{'met' if met else 'MISSED'}: {name}")
    write_results(
        "instruments.chaos",
        {
            "quadratic_errors": errors,
            "orbits": orbits,
            "digits": {
                "weights": len(eigenvalues),
                "weight_decay": WEIGHT_DECAY,
                "gradient_norm": gradient_norm,
                "smallest_eigenvalue": float(eigenvalues[0]),
                "largest_eigenvalue": float(eigenvalues[-1]),
                "edge": rows,
                "sign_change_offset": located,
            },
            "passed": passed,
            "seed": SEED,
            "seconds": time.perf_counter() - begun,
            **machine(**{"scikit-learn": version("scikit-learn")}),
        },
    )
    sys.exit(0 if all(passed.values()) else 1)


if __name__ == "__main__":
    main()
