"""Write the measured figures into README.md: from the manifest and from benchmarks/*/results.

python scripts/fill_readme.py [--check]
"""

import argparse
import json
import re
import sys
from pathlib import Path

from readme_rows import adversarial, emissions, instruments, ising, potentials, splicing

from sciml_zoo.zoo.manifest import manifest

# Metrics of the shelf's table; cards have all of them.
_SHOWN = ("_mae_", "topk", "_ap", "error_", "relative_to_naive", "total_relative", "accuracy")
# In the order of the table.
_DOMAINS = (potentials, ising, splicing, emissions, adversarial, instruments)
_REPOSITORY = Path(__file__).resolve().parents[1]


def shelf() -> str:
    """Returns the table of shipped weights."""
    lines = ["| weights | what it is | parameters | licence | measured |", "|---|---|---|---|---|"]
    for row in manifest().values():
        measured = "<br>".join(
            f"{m.dataset}: {m.name} {m.value:.4g} {m.unit}"
            for m in row.metrics
            if m.name == "log_likelihood" or (any(word in m.name for word in _SHOWN) and not m.name.endswith("_error"))
        )
        lines.append(f"| `{row.name}` | {row.summary} | {row.parameters:,} | {row.licence} | {measured} |")
    return "\n".join(lines)


def benchmarks() -> str:
    """Returns the table of measured claims."""
    results = {
        f"{path.parent.parent.name}.{path.stem}": json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((_REPOSITORY / "benchmarks").glob("*/results/*.json"))
    }
    missing = {name for domain in _DOMAINS for name in domain.NEEDED} - results.keys()
    if missing:
        raise SystemExit(f"no results of {', '.join(sorted(missing))}: run make bench")
    rows = [row for domain in _DOMAINS for row in domain.measured(results)]
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
