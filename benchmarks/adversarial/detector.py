"""The audit on eight broken and eight honest classifiers of digits, and on variants of each.

    python -m benchmarks.adversarial.detector [--only sixteen] [--named ReLU]

``_suspects.py`` and ``_suspect_variants.py`` say what they are; all are trained here, with seed 0, to the accuracy that
is given. The audit sees sixteen test digits, with its default settings.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks._results import machine, write_results
from benchmarks.adversarial._suspect_variants import BROKEN_VARIANTS, HONEST_VARIANTS
from benchmarks.adversarial._suspects import BROKEN, HONEST, Suspect
from sciml_zoo.adversarial.audits import audit
from sciml_zoo.adversarial.data import load_images

SEED, SAMPLES = 0, 16
TABLES = {"sixteen": (BROKEN, HONEST), "stress": (BROKEN_VARIANTS, HONEST_VARIANTS)}


def judged(name: str, honest: bool, build: Callable[[], Suspect]) -> dict[str, Any]:
    """Returns the verdict on one suspect and what it cost; prints it."""
    suspect = build()
    digits = load_images("sklearn:digits/test")
    assert digits.labels is not None
    images, labels = digits.images[:SAMPLES], digits.labels[:SAMPLES]
    accuracy = None
    if suspect.loss is not None:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(SEED)
            given = digits.images.to(suspect.dtype)
            accuracy = (suspect.model(given).argmax(1) == digits.labels).double().mean().item()
    begun = time.perf_counter()
    found = audit(suspect.model, images, labels if suspect.labelled else None, suspect.loss, seed=SEED)
    seconds = time.perf_counter() - begun
    right = found.honest == honest
    verdict = ("honest" if found.honest else "broken") + ("" if right else "  WRONG")
    print(
        f"{name:34s} {'-' if accuracy is None else format(accuracy, '.3f'):>8s}  {found.margin:10.1e}  "
        f"{found.repeated:8.1e}  {found.gradients:9d}  {seconds:7.1f}  {verdict:14s} {found.worst}",
        flush=True,
    )
    told = {key: getattr(found, key) for key in ("margin", "worst", "closure", "tolerance", "repeated", "coupled")}
    cost = {"lines": found.lines, "gradients": found.gradients, "seconds": round(seconds, 2)}
    verdicts = {"is_honest": honest, "found_honest": found.honest, "right": right}
    return {"name": name, **verdicts, "accuracy": accuracy, **told, **cost}


def table(title: str, broken: Mapping[str, Any], honest: Mapping[str, Any], part: str = "") -> list[dict[str, Any]]:
    """Returns the rows of a table; prints it."""
    print(f"\n{title}\n{'model':34s} accuracy      margin  repeated  gradients  seconds  verdict        worst line")
    cases = [
        (name, kind, build) for kind, builds in ((False, broken), (True, honest)) for name, build in builds.items()
    ]
    return [judged(*case) for case in cases if part in case[0]]


def main() -> int:
    """Returns 0 where all of the sixteen are judged rightly; prints the tables, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        choices=TABLES,
        nargs="+",
        default=list(TABLES),
        help="tables; with fewer than all, nothing is written",
    )
    parser.add_argument("--named", default="", help="suspects whose name contains this; nothing is written")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    found = {title: table(title, *TABLES[title], chosen.named) for title in chosen.only}
    right = {title: sum(row["right"] for row in rows) for title, rows in found.items()}
    print("\n" + "; ".join(f"{title}: {right[title]} of {len(rows)} right" for title, rows in found.items()))
    if not chosen.named and len(found) == len(TABLES):
        write_results(
            "adversarial.detector", {"seed": SEED, "samples": SAMPLES, **machine(), "right": right, "tables": found}
        )
    return int("sixteen" in found and right["sixteen"] < len(found["sixteen"]))


if __name__ == "__main__":
    sys.exit(main())
