"""Draw the ten figures of the physics of learning, from scratch.

python scripts/physics_of_learning.py [--out figures] [--only hooke chaos]
"""

import argparse
import importlib
import json
import time
from pathlib import Path

from sciml_zoo.instruments import NAMES

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of NAME.png and NAME.json")
parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help="instruments; default: all")
arguments = parser.parse_args()
arguments.out.mkdir(parents=True, exist_ok=True)

for name in arguments.only:
    begun = time.perf_counter()
    result = importlib.import_module(f"sciml_zoo.instruments.{name}").measure()
    figure = result.plot()
    figure.savefig(arguments.out / f"{name}.png", dpi=150)
    (arguments.out / f"{name}.json").write_text(json.dumps(result.to_dict(), indent=1) + "\n", encoding="utf-8")
    print(f"{name}: {arguments.out / name}.png, {time.perf_counter() - begun:.1f} s", flush=True)
