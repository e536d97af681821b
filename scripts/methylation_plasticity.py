"""Does DNA methylation, as a learning rate of every connection, change what a splice-site network learns?

    python scripts/methylation_plasticity.py --out plasticity.json [--seeds 5] [--kappa 0.9] [--steps 200] [--resume]

Data: A. thaliana, chromosome 3. Genes of bases 1–234,598 in two halves: one trains, the other tests, and the other way
round; 593 placed introns from beyond train in both. Methylation: wild type, and the mutant met1-3, which has lost it at
CG. Every arm of a seed has the same windows in the same order and the same initial weights, so that differences are
paired. Everything was fixed before the first full run: 24 channels, 32 states, 2 blocks; windows of 2048 bases, 8 in a
batch, gradients truncated at 512; AdamW 1e-2 or SGD 0.3 with momentum 0.9, cosine, clipped at 1.

| arm | learning is modulated by |
|---|---|
| none | nothing (κ = 0) |
| (a) … | each time step's contribution to the gradient, by 1 − κ m_t |
| (b) … | each connection's change, by α = 1 − κ m̄ (``optim.Plasticity``) |
| … wild type, met1-3 | m: measured methylation |
| … uniform | m: its mean over the window, everywhere |
| … shuffled | m: its values at other cytosines of the window |
| … full | m = 1 at all bases: the strongest modulation there can be, to see what the experiment can resolve |
| input … | nothing, but methylation is an input: measured, shuffled or zero |

Modulated are the maps into and out of each recurrence and the heads; not the stem's convolution nor the norms. Effects
are differences of the test AP (mean of donors and acceptors) and of the test loss, with 95 % intervals of Student's t
over seeds × halves: they say what another seed would give on these genes, not what other genes would. Finished runs are
kept beside ``--out``, so that ``--resume`` goes on.
"""

import argparse
import dataclasses
import gzip
import json
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from scipy import stats

from sciml_zoo.datasets import dataset_file
from sciml_zoo.errors import InputError
from sciml_zoo.splicing.inference import Predicted, site_scores
from sciml_zoo.splicing.labels import EXON, INTRON, Region, Window
from sciml_zoo.splicing.methylation import Methylation, read_methylation
from sciml_zoo.splicing.metrics import average_precision
from sciml_zoo.splicing.model import SpliceRNN, SpliceRNNConfig
from sciml_zoo.splicing.plastic_training import PlasticityConfig, PlasticRates, of_base_pairs
from sciml_zoo.splicing.plasticity import shuffled_control
from sciml_zoo.splicing.recipe import labelled_genome
from sciml_zoo.splicing.sequences import encode
from sciml_zoo.splicing.task import LossConfig, SpliceTask
from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig

CHROMOSOME, LENGTH, BATCH, SEGMENT = "Chr3", 2048, 8, 512
SHAPE = SpliceRNNConfig(channels=24, states=32, blocks=2, stem=15, memory=128)
ADAMW = OptimizerConfig("adamw", 1e-2, schedule="cosine", warmup_steps=10)
SGD = OptimizerConfig("sgd", 0.3, momentum=0.9, schedule="cosine", warmup_steps=10)
TRACKS = {"wild type": "athaliana_chr3_1-1000000.WT.cx.tsv", "met1-3": "athaliana_chr3_1-1000000.met1-3.cx.tsv"}


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to learn: optimizer, definition, what stands for methylation, and whether it is an input instead."""

    name: str
    optimizer: OptimizerConfig = ADAMW
    definition: str | None = None
    track: str = "wild type"
    control: str = "none"
    is_input: bool = False


def _modulated(letter: str, definition: str) -> list[Arm]:
    return [
        Arm(f"({letter}) wild type", definition=definition),
        Arm(f"({letter}) uniform", definition=definition, control="uniform"),
        Arm(f"({letter}) shuffled", definition=definition, control="shuffled"),
        Arm(f"({letter}) met1-3", definition=definition, track="met1-3"),
        Arm(f"({letter}) full", definition=definition, control="full"),
    ]


ARMS = [
    Arm("none"),
    *_modulated("a", "per_step"),
    *_modulated("b", "per_connection"),
    Arm("SGD none", SGD),
    Arm("SGD (a) wild type", SGD, "per_step"),
    Arm("SGD (a) uniform", SGD, "per_step", control="uniform"),
    Arm("SGD (a) full", SGD, "per_step", control="full"),
    Arm("input zero", is_input=True, control="zero"),
    Arm("input measured", is_input=True),
    Arm("input shuffled", is_input=True, control="shuffled"),
]
#: Each effect, its arm and what it is compared with.
EFFECTS = [
    *((f"({k}) {c}", f"({k}) wild type", o) for k in "ab" for c, o in (
        ("against no modulation", "none"),
        ("against uniform", f"({k}) uniform"),
        ("against shuffled", f"({k}) shuffled"),
        ("against met1-3", f"({k}) met1-3"),
    )),
    *((f"({k}) full against no modulation", f"({k}) full", "none") for k in "ab"),
    ("SGD (a) against no modulation", "SGD (a) wild type", "SGD none"),
    ("SGD (a) against uniform", "SGD (a) wild type", "SGD (a) uniform"),
    ("SGD (a) full against no modulation", "SGD (a) full", "SGD none"),
    ("input against zero", "input measured", "input zero"),
    ("input against shuffled", "input measured", "input shuffled"),
]  # fmt: skip


class Data:
    """Labelled sequence with methylation, and the placed introns from beyond it."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # genes cut off at the ends of the segments
            self.genome = labelled_genome("dataset:genome/athaliana_chr2-5.fa", "dataset:genome/athaliana_chr2-5.gff3")
        self.sequence = {CHROMOSOME: self.genome.sequences[CHROMOSOME]}
        whole = {name: read_methylation(dataset_file("methylation", file)) for name, file in TRACKS.items()}
        self.tracks = {name: track.clipped(self.sequence).check(self.sequence) for name, track in whole.items()}
        self.placed = {name: self._placed(track) for name, track in whole.items()}
        length = len(self.sequence[CHROMOSOME])
        inside = [(g.start, g.end) for g in self.genome.genes if g.chromosome == CHROMOSOME]
        cut = next(c for c in range(length // 2, length) if not any(a < c < b for a, b in inside))
        self.halves = (Region(CHROMOSOME, 0, cut), Region(CHROMOSOME, cut, length))

    def window(self, region: Region, track: str) -> Window:
        """Returns a window with both strands' methylation."""
        window = self.genome.window(region)
        return dataclasses.replace(window, methylation=_strands(self.tracks[track], region))

    def _placed(self, track: Methylation) -> list[Window]:
        length = len(self.sequence[CHROMOSOME])
        with gzip.open(dataset_file("methylation", "eie_placed_chr3.tsv"), "rt") as lines:
            rows = [line.rstrip("\n").split("\t") for line in lines][1:]
        return [_placed_window(row, track) for row in rows if int(row[3]) > length]


def _strands(track: Methylation, region: Region) -> NDArray[np.float32]:
    each = [track.track(region.chromosome, region.start, region.end, strand) for strand in "+-"]
    return np.stack(each, 1)


def _placed_window(row: Sequence[str], track: Methylation) -> Window:
    _, chromosome, strand, start, end, upstream, intron, *_, text = row
    codes = encode(text)
    labels = np.zeros((len(codes), 2, 2), np.uint8)
    donor, acceptor = int(upstream), int(upstream) + int(intron) - 1
    labels[donor, 0, 0] = labels[acceptor, 0, 1] = 1
    genic = np.zeros((len(codes), 2), bool)
    genic[:, 0] = True
    structure = np.zeros((len(codes), 2), np.uint8)
    structure[:, 0] = EXON
    structure[donor : acceptor + 1, 0] = INTRON
    methylation = _strands(track, Region(chromosome, int(start) - 1, int(end)))
    if strand == "-":
        methylation = methylation[::-1, ::-1].copy()
    return Window(codes, labels, np.ones_like(labels, bool), genic, structure, methylation)


class Windows(Sequence[Window]):
    """Windows of one half of the genes and, every other one, of placed introns; the same for all arms of a seed."""

    def __init__(self, data: Data, half: Region, track: str, n: int, seed: int) -> None:
        self._data, self._half, self._track, self._n, self._seed = data, half, track, n, seed

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> Window:  # type: ignore[override]
        if not 0 <= index < self._n:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, index))
        if rng.random() < 0.5:
            start = int(rng.integers(self._half.start, self._half.end - LENGTH))
            window = self._data.window(Region(CHROMOSOME, start, start + LENGTH), self._track)
        else:
            placed = self._data.placed[self._track]
            parts = [placed[i] for i in rng.integers(len(placed), size=LENGTH // 150)]
            columns = (np.concatenate([getattr(p, f.name) for p in parts])[:LENGTH] for f in dataclasses.fields(Window))
            window = Window(*columns)
        return window.reverse_complement() if rng.random() < 0.5 else window


class Disguised(Windows):
    """Windows whose methylation is one or zero everywhere, or shuffled among the known positions of a strand."""

    def __init__(self, *arguments: Any, control: str) -> None:
        super().__init__(*arguments)
        self._control = control

    def __getitem__(self, index: int) -> Window:  # type: ignore[override]
        window = super().__getitem__(index)
        return dataclasses.replace(
            window, methylation=disguised(window.methylation, self._control, (self._seed, index))
        )


def disguised(track: NDArray[np.float32] | None, control: str, seed: tuple[int, ...]) -> NDArray[np.float32]:
    """Returns what a network is given as the methylation of a window."""
    assert track is not None
    if control in ("zero", "full"):
        return np.full_like(track, float(control == "full"))
    if control == "shuffled":
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        return shuffled_control(torch.from_numpy(track.T.copy()), generator).T.contiguous().numpy()
    return track


def run(data: Data, arm: Arm, seed: int, fold: int, kappa: float, steps: int) -> dict[str, Any]:
    """Returns test scores of one training."""
    train, test = data.halves[fold], data.halves[1 - fold]
    n = -(-steps // (LENGTH // SEGMENT)) * BATCH
    arguments = (data, train, arm.track, n, seed)
    full = arm.control == "full"
    windows = Disguised(*arguments, control=arm.control) if arm.is_input or full else Windows(*arguments)
    torch.manual_seed(seed)
    model = SpliceRNN(dataclasses.replace(SHAPE, methylation=arm.is_input))
    plasticity = None
    if arm.definition is not None:
        control = "none" if full else arm.control
        plasticity = PlasticityConfig(kappa, arm.definition, control)  # type: ignore[arg-type]
    task = SpliceTask(model, LossConfig(segment=SEGMENT), plasticity=plasticity)
    rates = PlasticRates()
    callbacks = [rates] if arm.definition == "per_connection" else []
    config = TrainerConfig(
        max_steps=steps, batch_size=BATCH, seed=seed, clip_norm=1.0, ema_decay=0.98, accelerator="cpu"
    )
    result = Trainer(config, callbacks=callbacks).fit(task, arm.optimizer, windows)
    if result.stopped_because != "max_steps":
        raise SystemExit(f"{arm.name}: {result.stopped_because}; the same command with --resume goes on")
    trained = result.model.eval()
    window = data.window(test, arm.track)
    track = None
    if arm.is_input:
        track = torch.from_numpy(disguised(window.methylation, arm.control, (seed,))).nan_to_num()[None]
    with torch.inference_mode():
        logits = trained(torch.from_numpy(window.codes)[None], track)[0]
    predicted = [Predicted(test, window, logits.numpy())]
    scores = [average_precision(*site_scores(predicted, kind, scope="genes")) for kind in (0, 1)]
    inside = torch.from_numpy(window.known & window.genic[..., None])
    targets = torch.from_numpy(window.labels).to(logits)
    loss = F.binary_cross_entropy_with_logits(logits[inside], targets[inside])
    modulation = 0.0
    if arm.definition == "per_step":
        sample = torch.stack([torch.from_numpy(windows[i].methylation) for i in range(min(n, 64))])
        modulation = float(of_base_pairs(sample).nan_to_num().mean())
    elif rates.last:
        parts = [(1 - alpha).flatten() / kappa for alpha in rates.last.values()] if kappa else []
        modulation = float(torch.cat(parts).mean()) if parts else 0.0
    return {"ap": float(np.mean(scores)), "loss": 1000 * float(loss), "mean_m": modulation}


def paired(runs: dict[str, dict[str, Any]], arm: str, other: str, quantity: str) -> dict[str, Any]:
    """Returns the mean difference of two arms with its 95 % interval."""
    keys = [
        key.partition("|")[2]
        for key in runs
        if key.startswith(f"{arm}|") and f"{other}|{key.partition('|')[2]}" in runs
    ]
    values = np.array([runs[f"{arm}|{key}"][quantity] - runs[f"{other}|{key}"][quantity] for key in keys])
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return {"mean": float(values.mean()), "low": float(values.mean()) - half, "high": float(values.mean()) + half}


def verdict(letter: str, effects: dict[str, dict[str, dict[str, float]]]) -> str:
    """Returns what the intervals of a definition say."""
    found = {name: effects[f"({letter}) against {name}"]["ap"] for name in ("no modulation", "uniform", "shuffled")}
    told = ", ".join(f"{name} {_interval(row)}" for name, row in found.items())
    if all(row["low"] > 0 for row in found.values()) or all(row["high"] < 0 for row in found.values()):
        return f"definition ({letter}): an effect beyond both controls; AP against {told}"
    return f"definition ({letter}): no effect beyond the controls; AP against {told}"


def _interval(row: dict[str, float]) -> str:
    return f"{row['mean']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"


def experiment(out: Path, seeds: int, kappa: float, steps: int, *, resume: bool) -> dict[str, Any]:
    """Returns the table of all arms, which are run here; finished runs are kept beside the output."""
    lock = FileLock(out.with_suffix(".lock"))
    try:
        with lock.acquire(timeout=0):
            return _experiment(out.with_suffix(".runs.jsonl"), seeds, kappa, steps, resume=resume)
    except Timeout:
        raise InputError(f"{out}: another process runs this experiment; stop it, or give another --out") from None


def _experiment(kept: Path, seeds: int, kappa: float, steps: int, *, resume: bool) -> dict[str, Any]:
    runs: dict[str, dict[str, Any]] = {}
    if resume and kept.is_file():
        for line in kept.read_text().splitlines():
            row = json.loads(line)
            if (row["kappa"], row["steps"]) == (kappa, steps):
                runs[row["key"]] = row
    elif kept.is_file():
        kept.unlink()
    data = Data()
    wanted = [(arm, seed, fold) for seed in range(seeds) for fold in (0, 1) for arm in ARMS]
    missing = [w for w in wanted if f"{w[0].name}|{w[1]}|{w[2]}" not in runs]
    begun = time.monotonic()
    for done, (arm, seed, fold) in enumerate(missing, 1):
        key = f"{arm.name}|{seed}|{fold}"
        runs[key] = {"key": key, "kappa": kappa, "steps": steps, **run(data, arm, seed, fold, kappa, steps)}
        with kept.open("a") as file:
            file.write(json.dumps(runs[key]) + "\n")
        left = (time.monotonic() - begun) / done * (len(missing) - done)
        print(f"{key}: AP {runs[key]['ap']:.3f}, loss {runs[key]['loss']:.3f}; {left / 60:.0f} min left", flush=True)
    runs = {f"{a.name}|{seed}|{fold}": runs[f"{a.name}|{seed}|{fold}"] for a, seed, fold in wanted}
    wild = data.window(Region(CHROMOSOME, 0, len(data.sequence[CHROMOSOME])), "wild type").methylation
    dead = data.window(Region(CHROMOSOME, 0, len(data.sequence[CHROMOSOME])), "met1-3").methylation
    arms = {}
    for arm in ARMS:
        rows = [runs[f"{arm.name}|{seed}|{fold}"] for seed in range(seeds) for fold in (0, 1)]
        arms[arm.name] = {name: float(np.mean([r[name] for r in rows])) for name in ("ap", "loss", "mean_m")}
        arms[arm.name]["mean_alpha"] = 1 - kappa * arms[arm.name]["mean_m"]
        arms[arm.name]["ap_sd"] = float(np.std([r["ap"] for r in rows], ddof=1))
    effects = {
        name: {quantity: paired(runs, arm, other, quantity) for quantity in ("ap", "loss")}
        for name, arm, other in EFFECTS
    }
    tracks = {
        name: {"known": float(np.isfinite(t).any(1).mean()), "mean_where_known": float(np.nanmean(t))}
        for name, t in (("wild type", wild), ("met1-3", dead))
        if t is not None
    }
    return {
        "seeds": seeds, "kappa": kappa, "steps": steps, "tracks": tracks, "arms": arms, "effects": effects,
        "verdicts": [verdict(letter, effects) for letter in "ab"],
    }  # fmt: skip


def show(table: dict[str, Any]) -> None:
    """Prints the tables."""
    for name, row in table["tracks"].items():
        known, mean = row["known"], row["mean_where_known"]
        print(f"{name}: known at {known:.1%} of base pairs, {mean:.1%} methylated there")
    print(f"\n{'arm':22}{'test AP':>9}{'± sd':>7}{'loss · 1000':>13}{'mean m':>8}{'mean α':>8}")
    for name, row in table["arms"].items():
        scores = f"{row['ap']:9.3f}{row['ap_sd']:7.3f}{row['loss']:13.3f}"
        print(f"{name:22}{scores}{row['mean_m']:8.3f}{row['mean_alpha']:8.3f}")
    print(f"\n{'effect':36}{'AP: difference and 95 % interval':>34}{'loss · 1000':>34}")
    for name, row in table["effects"].items():
        print(f"{name:36}" + "".join(f"{_interval(row[quantity]):>34}" for quantity in ("ap", "loss")))
    print("", *table["verdicts"], sep="\n")


def main() -> int:
    """Returns 0; runs the experiment, prints the tables, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--kappa", type=float, default=0.9)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    table = experiment(arguments.out, arguments.seeds, arguments.kappa, arguments.steps, resume=arguments.resume)
    show(table)
    arguments.out.write_text(json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
