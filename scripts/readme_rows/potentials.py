"""Rows of the README's table of measured claims: the trainer and interatomic potentials."""

from typing import Any

__all__ = ["NEEDED", "measured"]

#: Benchmarks whose results are read.
NEEDED = ("potentials.accuracy", "potentials.dynamics", "training.overhead")


def measured(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns what was measured, the figure, and the benchmark.

    Args:
        results: by benchmark.
    """
    accuracy, dynamics = results["potentials.accuracy"], results["potentials.dynamics"]
    overhead = results["training.overhead"]
    tests = {row["file"]: row["scores"] for row in accuracy["models"]["rmd17_ethanol"]["tests"]}
    test, own = tests["dataset:rmd17_ethanol/test.xyz"], tests["dataset:samples/ethanol.xyz"]
    return [
        (
            "rMD17 ethanol, 500 test frames: force / energy MAE",
            f"{test['force_mae_mev_per_a']:.2f} meV/Å / {test['energy_mae_mev']:.2f} meV",
            "potentials.accuracy",
        ),
        (
            "the same against our own DFT (another code, same level): force MAE",
            f"{own['force_mae_mev_per_a']:.2f} meV/Å",
            "potentials.accuracy",
        ),
        (
            f"{dynamics['picoseconds']:.0f} ps of NVE dynamics of ethanol, {dynamics['step_fs']} fs, "
            f"{dynamics['mean_temperature_K']:.0f} K: energy drift",
            f"{dynamics['drift_mev_per_atom_per_ps']:.1e} meV/atom/ps, "
            + ("molecule intact" if dynamics["intact"] else "molecule broken"),
            "potentials.dynamics",
        ),
        (
            f"trainer over a bare PyTorch loop, step of {overhead['bare_ms_per_step']:.0f} ms",
            f"{overhead['overhead_percent']:+.1f} %",
            "training.overhead",
        ),
    ]
