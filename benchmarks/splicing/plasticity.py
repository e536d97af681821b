"""The experiment on methylation as plasticity, with the published settings: scripts/methylation_plasticity.py.

python -m benchmarks.splicing.plasticity [--resume]
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Returns the exit status of the script."""
    script, out = ROOT / "scripts" / "methylation_plasticity.py", Path(__file__).parent / "results" / "plasticity.json"
    return subprocess.run([sys.executable, script, "--out", out, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
