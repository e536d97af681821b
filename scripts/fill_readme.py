"""Write the measured figures into README.md: from the manifest and from benchmarks/*/results.

python scripts/fill_readme.py [--check]
"""

import argparse
import json
import re
import sys
from pathlib import Path

from sciml_zoo.zoo.manifest import manifest

_REPOSITORY = Path(__file__).resolve().parents[1]


def shelf() -> str:
    """Returns the table of shipped weights."""
    lines = ["| weights | what it is | parameters | licence | measured |", "|---|---|---|---|---|"]
    for row in manifest().values():
        measured = "<br>".join(
            f"{m.dataset}: {m.name} {m.value:.4g} {m.unit}" for m in row.metrics if "_mae" in m.name or "mae_" in m.name
        )
        lines.append(f"| `{row.name}` | {row.summary} | {row.parameters:,} | {row.licence} | {measured} |")
    return "\n".join(lines)


def benchmarks() -> str:
    """Returns the table of measured claims."""
    results = {
        f"{path.parent.parent.name}.{path.stem}": json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((_REPOSITORY / "benchmarks").glob("*/results/*.json"))
    }
    missing = {"potentials.accuracy", "potentials.dynamics", "training.overhead"} - results.keys()
    if missing:
        raise SystemExit(f"no results of {', '.join(sorted(missing))}: run make bench")
    accuracy, dynamics = results["potentials.accuracy"], results["potentials.dynamics"]
    overhead = results["training.overhead"]
    test, own = accuracy["rmd17_ethanol/test.xyz"], accuracy["samples/ethanol.xyz"]
    rows = [
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
    lines = ["| what | figure | command |", "|---|---|---|"]
    return "\n".join(
        [*lines, *(f"| {what} | {figure} | `python -m benchmarks.{name}` |" for what, figure, name in rows)]
    )


def filled(text: str) -> str:
    """Returns the README's text with its tables made anew."""
    for name, table in (("shelf", shelf()), ("benchmarks", benchmarks())):
        block = f"<!-- {name} -->\n{table}\n<!-- end of {name} -->"
        text, found = re.subn(f"<!-- {name} -->.*?<!-- end of {name} -->", lambda _, b=block: b, text, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"README.md: expected one block between <!-- {name} --> and <!-- end of {name} -->")
    return text


def main() -> int:
    """Returns the exit status of the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether README.md is up to date")
    arguments = parser.parse_args()
    path = _REPOSITORY / "README.md"
    old = path.read_text(encoding="utf-8")
    new = filled(old)
    if arguments.check:
        print("README.md is up to date" if new == old else "README.md is stale: run python scripts/fill_readme.py")
        return int(new != old)
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
