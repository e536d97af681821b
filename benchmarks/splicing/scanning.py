"""Scanning a genome: windows against the whole, memory from 1 to 12 Mb, and bases a second beside SpliceAI-400.

    python -m benchmarks.splicing.scanning [--weights splice_rnn.athaliana]

The sequence is the segments of A. thaliana, repeated. Scans are the command ``sciml-zoo splicing scan`` in a process of
its own with one thread, from its start to the finished file; memory is the largest resident set of that process (VmHWM:
what getrusage gives is inherited from the parent). A
base on one strand counts once: a pass of ours reads both strands, one of SpliceAI-400 reads one. The two networks are
timed in turn on the same window and thread, the median over the repeats, both in PyTorch's inference mode. How fast
SpliceAI-400 is does not depend on its weights, which are random here.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.splicing.spliceai import SpliceAI, SpliceAIConfig
from sciml_zoo.datasets import dataset_file
from sciml_zoo.splicing.model import SpliceModel
from sciml_zoo.splicing.scan import scan
from sciml_zoo.splicing.sequences import decode, read_fasta
from sciml_zoo.zoo.resolve import load_model

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
REQUIRED_DIFFERENCE, REQUIRED_SPREAD, REQUIRED_MB, REQUIRED_KB_S = 1e-4, 0.05, 600.0, 150.0
WINDOW = 65_536


def sequence(bases: int) -> NDArray[np.uint8]:
    """Returns the repeated segments."""
    parts = np.concatenate(list(read_fasta(dataset_file("genome", "athaliana_chr2-5.fa")).values()))
    return np.resize(parts, bases)


def write(codes: NDArray[np.uint8], path: Path) -> None:
    """Writes one record, 60 bases a line."""
    text = decode(codes)
    path.write_text(">repeated\n" + "".join(f"{text[i : i + 60]}\n" for i in range(0, len(text), 60)))


def command_scan(weights: str, fasta: Path, out: Path) -> dict[str, float]:
    """Returns seconds and peak memory of a scan by the command line."""
    script = (
        "import pathlib, re, sys; from sciml_zoo.cli import main; status = main(sys.argv[1:]); "
        "print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1], file=sys.stderr); "
        "sys.exit(status)"
    )
    begun = time.perf_counter()
    words = ["splicing", "scan", str(fasta), "--weights", weights, "-o", str(out), "--threads", "1", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, **ONE_THREAD},
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "peak_mb": int(done.stderr.split()[-1]) / 1024}


def largest_difference(model: SpliceModel, codes: NDArray[np.uint8], folder: Path) -> float:
    """Returns the largest difference of probabilities between a scan in windows and the sequence as a whole."""
    path = folder / "whole.fa"
    write(codes, path)
    with torch.inference_mode():
        whole = model.calibrated(model(torch.from_numpy(codes)[None])[0]).numpy()
    worst, n = 0.0, 0
    for sites in scan(model, path, min_probability=1e-6):
        expected = whole[sites.positions, sites.strand, sites.kind]
        worst = max(worst, float(np.abs(expected - sites.probability).max(initial=0.0)))
        n += len(expected)
    print(f"streaming against whole: {n:,} probabilities, largest difference {worst:.1e}")
    return worst


def network_speed(model: SpliceModel, peer: SpliceAI, codes: NDArray[np.uint8], repeats: int) -> dict[str, float]:
    """Returns strand-bases a second of the two networks, in thousands."""
    times: dict[str, list[float]] = {"ours": [], "spliceai_400": []}
    bases = torch.from_numpy(codes[:WINDOW].copy())[None]
    one_hot = torch.nn.functional.one_hot(bases.long().clamp(max=3), 4).float()
    with torch.inference_mode():
        for repeat in range(repeats + 1):
            for name, run, strands in (
                ("ours", lambda: model(bases), 2),
                ("spliceai_400", lambda: peer.one_strand(one_hot), 1),
            ):
                begun = time.perf_counter()
                run()
                if repeat:  # the first compiles and warms up
                    times[name].append(strands * WINDOW / (time.perf_counter() - begun) / 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> int:
    """Returns 0 where the requirements hold; prints the table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="splice_rnn.athaliana")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scanning.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.weights)
    assert isinstance(model, SpliceModel)
    peer = SpliceAI(SpliceAIConfig(400)).eval()
    result: dict[str, Any] = {"weights": arguments.weights, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result["largest_difference"] = largest_difference(model, sequence(1_000_000), folder)
        for megabases in (1, 12):
            fasta = folder / f"{megabases}.fa"
            write(sequence(megabases * 1_000_000), fasta)
            found = command_scan(arguments.weights, fasta, folder / "sites.bed")
            found["kb_per_second"] = 2 * megabases * 1000 / found["seconds"]
            result[f"{megabases}_mb"] = found
            print(
                f"{megabases} Mb: {found['seconds']:.1f} s, {found['kb_per_second']:.0f} kb/s of one strand, "
                f"{found['peak_mb']:.0f} MB"
            )
    result["networks_kb_per_second"] = network_speed(model, peer, sequence(WINDOW), arguments.repeats)
    speeds = result["networks_kb_per_second"]
    ratio = speeds["ours"] / speeds["spliceai_400"]
    result["speed_over_spliceai_400"] = ratio
    sizes = [sum(p.numel() for p in one.parameters()) for one in (model, peer)]
    result["parameters"] = dict(zip(("ours", "spliceai_400"), sizes, strict=True))
    print(f"networks alone: ours {speeds['ours']:.0f}, SpliceAI-400 {speeds['spliceai_400']:.0f} kb/s: {ratio:.1f}×")
    small, large = result["1_mb"]["peak_mb"], result["12_mb"]["peak_mb"]
    result["checks"] = {
        "streaming equals whole": result["largest_difference"] <= REQUIRED_DIFFERENCE,
        "constant memory": abs(large / small - 1) <= REQUIRED_SPREAD and large <= REQUIRED_MB,
        "150 kb/s": result["12_mb"]["kb_per_second"] >= REQUIRED_KB_S,
        "no slower than SpliceAI-400": ratio >= 1,
    }
    for name, holds in result["checks"].items():
        print(f"{name}: {'yes' if holds else 'NO'}")
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return int(not all(result["checks"].values()))


if __name__ == "__main__":
    sys.exit(main())
