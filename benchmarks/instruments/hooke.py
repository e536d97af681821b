"""A linear neuron on data: F = −hx, and the error shrinks by exactly 1 − ηh per step, up to and beyond ηh = 2.

    OMP_NUM_THREADS=1 python -m benchmarks.instruments.hooke

Data of 1, 3 and 30 inputs (1000 examples, seeds 0 to 2), in float64 and float32; learning rates from a tenth of the
stiffest spring's 2/h to a hundredth beyond it. Errors are over machine epsilon
of the type; that of the path is not judged: beyond ηh = 2 the rounding of every step grows with the path.
"""

import argparse
import sys
import time

import torch

from benchmarks._results import machine, write_results
from sciml_zoo.instruments import hooke

#: ηh of the stiffest spring; at 1 it needs one step.
PRODUCTS = (0.2, 1.0, 1.9, 2.02)
#: Largest error accepted, in units of machine epsilon: the rounding of sums over the inputs.
TOLERANCE = 100.0


def case(d: int, dtype: torch.dtype, product: float, seed: int) -> dict[str, float]:
    """Returns the errors of one neuron: of forces, of single steps, and of the whole path."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1000, d, dtype=torch.float64, generator=generator) * torch.linspace(1.0, 2.0, d)
    y = (x.sum(1) + torch.randn(1000, dtype=torch.float64, generator=generator)).to(dtype)
    x = x.to(dtype)
    stiffest = float(torch.linalg.svdvals(x.double())[0].square() / len(x))
    result = hooke.measure(x, y, learning_rate=product / stiffest)
    epsilon = torch.finfo(dtype).eps
    powers = result.contraction ** torch.arange(len(result.trajectory))[:, None]
    path = result.trajectory - powers * result.trajectory[0]
    force = result.forces + result.stiffness[:, None] * result.displacements
    return {
        "force": float(force.abs().max() / result.stiffness[0]) / epsilon,
        "step": result.deviation / epsilon,
        "path": float(path.abs().max() / result.trajectory.abs().max()) / epsilon,
        "gradients": result.gradients,
    }


def main() -> int:
    """Returns 0 if forces and steps obey the law, else 1; prints and writes what was found."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    begun = time.perf_counter()
    rows = []
    print("inputs  type      ηh     force   1 step  60 steps   (errors in machine epsilons)")
    for seed, d in enumerate((1, 3, 30)):
        for dtype in (torch.float64, torch.float32):
            for product in PRODUCTS:
                found = case(d, dtype, product, seed)
                rows.append({"inputs": d, "dtype": str(dtype), "eta_h": product, "seed": seed} | found)
                errors = "  ".join(f"{found[name]:7.2f}" for name in ("force", "step", "path"))
                print(f"{d:6}  {str(dtype)[6:]}  {product:4}  {errors}")
    largest = {name: max(row[name] for row in rows) for name in ("force", "step", "path")}
    met = largest["force"] <= TOLERANCE and largest["step"] <= TOLERANCE
    print(f"largest error of a force {largest['force']:.1f}, of a step {largest['step']:.1f}; target ≤ {TOLERANCE:g}")
    write_results(
        "instruments.hooke",
        {
            "met": met,
            "tolerance": TOLERANCE,
            "largest": largest,
            "cases": rows,
            "seconds": time.perf_counter() - begun,
            **machine(),
        },
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
