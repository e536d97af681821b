"""Bad input to every verb: exit status 2, one paragraph that says what, where and what to do, and nothing written."""

import gzip
import json
import pickle
import random
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from sciml_zoo.cli import main

from .conftest import RECIPE

GOOD = """\
3
Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.0 pbc="F F F"
O 0.0 0.0 0.0 0.0 0.0 0.0
H 0.9 0.0 0.0 0.0 0.0 0.0
H 0.0 0.9 0.0 0.0 0.0 0.0
"""
PNG = b"\x89PNG\r\n\x1a\n" + random.Random(0).randbytes(200)
EVALUATE = "evaluate local-dir:model bad.xyz"
TRAIN = "train recipe.yaml --out run"
PREDICT = "predict local-dir:model train.xyz -o"

Content = str | bytes | Callable[[Path], object]


class Case(NamedTuple):
    """One thing that is wrong, and words that the message must contain."""

    name: str
    argv: str
    words: tuple[str, ...]
    files: dict[str, Content] = {}  # noqa: RUF012
    environment: dict[str, str] = {}  # noqa: RUF012


def structure(name: str, old: str, new: str, *words: str) -> Case:
    """A frame in which one thing has been replaced."""
    assert GOOD.count(old) >= 1
    return Case(name, EVALUATE, ("bad.xyz, frame 0", *words), {"bad.xyz": GOOD.replace(old, new, 1)})


def recipe(name: str, old: str, new: str, *words: str) -> Case:
    """A recipe in which one thing has been replaced."""
    assert old in RECIPE
    return Case(name, "train bad.yaml --out run", ("bad.yaml", *words), {"bad.yaml": RECIPE.replace(old, new, 1)})


def config(**changes: object) -> Callable[[Path], object]:
    """Changes keys of a checkpoint's ``config.json``; ``...`` removes one."""

    def change(path: Path) -> None:
        content = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))

    return change


def inner_config(**changes: object) -> Callable[[Path], object]:
    """Changes keys of the model's own configuration."""
    return lambda path: config(config={**json.loads(path.read_text())["config"], **changes})(path)


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Changes the bytes of a file."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def moved_out(path: Path) -> None:
    """Puts a link in place of a file that is now elsewhere."""
    shutil.move(path, path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


WEIGHTS, CONFIG = "model/model.safetensors", "model/config.json"
VERIFY = "verify local-dir:model"

SHELF = [
    Case(
        "weights misspelt", "verify gto_potential.tini", ("'gto_potential.tini'", "did you mean 'gto_potential.tiny'")
    ),
    Case(
        "architecture in place of weights", "evaluate gto_potential train.xyz", ("did you mean 'gto_potential.tiny'",)
    ),
    Case("path in place of weights", "verify ./model", ("'./model' is a path", "'local-dir:./model'")),
    Case("no directory", "verify local-dir:modle", ("local-dir:modle", "no such directory")),
    Case("directory without a checkpoint", "verify local-dir:crowded", ("crowded lacks config.json", "save it again")),
    Case("file in place of a directory", "verify local-dir:train.xyz", ("train.xyz is a file", "config.json")),
    Case("unknown scheme", "verify hfhub:ethanol", ("'hfhub'", "did you mean 'hf-hub'")),
    Case("URL", "verify https://example.org/m", ("https://example.org/m", "local-dir:PATH")),
    Case("hf-hub malformed", "verify hf-hub:ethanol", ("hf-hub:ethanol", "hf-hub:ORG/REPO@REVISION")),
    Case(
        "truncated",
        VERIFY,
        (WEIGHTS, "truncated", "download the checkpoint again"),
        {WEIGHTS: rewritten(lambda b: b[:-9])},
    ),
    Case("oversized", VERIFY, (WEIGHTS, "oversized: 3 bytes"), {WEIGHTS: rewritten(lambda b: b + b"abc")}),
    Case("pickle", VERIFY, (WEIGHTS, "is a pickle", "save_model"), {WEIGHTS: pickle.dumps({"weight": [1.0]})}),
    Case("future format", VERIFY, (CONFIG, "format_version 99", "--upgrade"), {CONFIG: config(format_version=99)}),
    Case("unknown key", VERIFY, (CONFIG, "'goldn'", "did you mean 'golden'"), {CONFIG: config(goldn={})}),
    Case("missing key", VERIFY, (CONFIG, "missing key 'metadata'"), {CONFIG: config(metadata=...)}),
    Case("shapes", VERIFY, (WEIGHTS, "has shape", "the config asks for"), {CONFIG: inner_config(n_hidden=9)}),
    Case("link that leads out", VERIFY, (WEIGHTS, "leads out", "replace it by the file itself"), {WEIGHTS: moved_out}),
    Case("name with brackets", "verify local-dir:a[/red]b:key:", ("local-dir:a[/red]b:key:", "no such directory")),
    Case("info of nothing", "info gto_potental", ("'gto_potental'", "did you mean 'gto_potential'")),
    Case("info without a card", "info local-dir:crowded", ("crowded lacks README.md",)),
    Case("info of a file", "info local-dir:train.xyz", ("train.xyz is a file",)),
    Case(
        "pattern that matches nothing", "list gto_potental*", ("'gto_potental*'", "did you mean 'gto_potential.tiny'")
    ),
    Case("unknown domain", "list --domain potental", ("'potental'", "did you mean 'potentials'")),
]

CATALOGUE = [
    Case("unknown data set", "data path rmd17_ethanl", ("'rmd17_ethanl'", "did you mean 'rmd17_ethanol'")),
    Case("last of several", "data fetch rmd17_ethanol rmd17_aspirn", ("'rmd17_aspirn'", "did you mean 'rmd17_")),
    Case("unknown file", f"{TRAIN} --data.train dataset:rmd17_ethanol/tran.xyz", ("'tran.xyz'", "mean 'train.xyz")),
    Case("no file", f"{TRAIN} --data.train dataset:rmd17_ethanol", ("dataset:rmd17_ethanol", "name a file too")),
    Case(
        "SCIML_ZOO_DATA is no folder",
        "data path rmd17_ethanol",
        ("SCIML_ZOO_DATA is 'recipe.yaml'", "set it to the folder"),
        environment={"SCIML_ZOO_DATA": "recipe.yaml"},
    ),
]

RECIPES = [
    Case("no recipe", "train nope.yaml --out run", ("nope.yaml", "No such file")),
    Case("recipe is a directory", "train crowded --out run", ("crowded", "cannot be read")),
    recipe("broken YAML", "data:\n", "data: [\n", "bad.yaml:4: not a valid recipe"),
    recipe("key twice", "  batch_size: 2\n", "  max_steps: 2\n", "bad.yaml:10", "'max_steps' is twice"),
    recipe("unknown key", "n_radial", "n_radail", "bad.yaml:5: model.n_radail", "did you mean 'n_radial'"),
    recipe("unknown section", "trainer", "traner", "bad.yaml:8: traner", "did you mean 'trainer'"),
    recipe("wrong type", "n_radial: 4", "n_radial: many", "bad.yaml:5: model.n_radial", "expected int", "'many'"),
    recipe("no architecture", "architecture: gto_potential\n", "", "architecture is missing", "gto_potential"),
    recipe("no training data", "  train: train.xyz", "  validation_fraction: 0.1", "data.train is missing"),
    Case("unknown override", f"{TRAIN} --model.n_radail 3", ("--model.n_radail", "did you mean 'n_radial'")),
    Case("override of the wrong type", f"{TRAIN} --model.n_radial x", ("--model.n_radial", "expected int", "'x'")),
    Case("override without a value", f"{TRAIN} --model.n_radial", ("--model.n_radial", "a value is missing")),
    Case("stray word", f"{TRAIN} stray", ("'stray'", "--section.key value")),
    Case("unknown architecture", f"{TRAIN} --architecture gto_potental", ("did you mean 'gto_potential'",)),
    Case("unknown optimizer", f"{TRAIN} --optimizer.name adamm", ("name: 'adamm'", "did you mean 'adam'")),
    Case("negative steps", f"{TRAIN} --trainer.max_steps -5", ("max_steps", "-5", "at least 1")),
    Case("negative learning rate", f"{TRAIN} --optimizer.learning_rate -1e-3", ("learning_rate", "a positive number")),
    Case("half precision", f"{TRAIN} --trainer.precision bf16-mixed", ("'bf16-mixed'", "valid: 32-true, 64-true")),
    Case("fraction 2", f"{TRAIN} --data.validation_fraction 2", ("validation_fraction", "between 0 and 1", "2")),
    Case("no training file", f"{TRAIN} --data.train nope.xyz", ("nope.xyz", "no such file")),
    Case("no element O", f"{TRAIN} --model.elements [1,6]", ("data has O", "model.elements", "add them")),
    Case(
        "unknown energy key",
        f"{TRAIN} --data.energy_key REF",
        ("train.xyz, frame 0", "'REF'", "found energies, energy"),
    ),
    Case(
        "unknown accelerator",
        f"{TRAIN} --trainer.accelerator banana",
        ("accelerator='banana'", "cannot be used here"),
    ),
    Case("one structure", f"{TRAIN} --data.train bad.xyz", ("bad.xyz", "give at least 2"), {"bad.xyz": GOOD}),
    Case("folder holds a run", TRAIN, ("run already holds a run", "--resume"), {"run/last/state.json": "{}"}),
    Case("nothing to resume", f"{TRAIN} --resume", ("run holds no checkpoint", "start without --resume")),
    Case("damaged run", f"{TRAIN} --resume", ("run/last",), {"run/last/state.json": "{}", "run/.lock": ""}),
    Case("run folder is a file", "train recipe.yaml --out train.xyz", ("--out train.xyz", "is a file")),
    Case("run folder in a file", "train recipe.yaml --out train.xyz/run", ("train.xyz is a file", "a directory")),
    Case("no run folder", "train recipe.yaml", ("--out",)),
]

STRUCTURES = [
    Case("no file", "evaluate local-dir:model nope.xyz", ("nope.xyz: no such file",)),
    Case("directory", "evaluate local-dir:model crowded", ("crowded: not a file", "give a structure file")),
    Case("empty file", EVALUATE, ("bad.xyz: the file is empty",), {"bad.xyz": ""}),
    Case("blank file", EVALUATE, ("bad.xyz: the file holds no structure",), {"bad.xyz": "\n\n"}),
    Case("no atoms", EVALUATE, ("bad.xyz, frame 0: no atoms",), {"bad.xyz": "0\n\n"}),
    structure("NaN position", "H 0.9", "H nan", "atom 1", "the position is not finite"),
    structure("far away", "H 0.9", "H 1e200", "atom 1", "too far away", "in Å"),
    Case(
        "far apart", EVALUATE, ("bad.xyz, frame 0: 3 atoms far apart", "in Å"), {"bad.xyz": GOOD.replace("0.9", "9e5")}
    ),
    structure("infinite force", "0.9 0.0 0.0 0.0 0.0\n", "0.9 0.0 0.0 0.0 -inf\n", "atom 2", "force is not finite"),
    structure("NaN energy", "energy=-1.0", "energy=nan", "the energy is not finite"),
    structure("energy in words", "energy=-1.0", "energy=low", "'energy' is 'low'", "not a number (eV)"),
    structure("three energies", "energy=-1.0", 'energy="1 2 3"', "'energy'", "not a number (eV)"),
    structure("one force for each atom", "forces:R:3", "forces:R:1:x:R:2", "'forces' are [3] numbers", "eV/Å"),
    structure("unknown element", "O 0.0", "Qq 0.0", "unknown element", "'Qq'"),
    structure("dummy", "O 0.0", "X 0.0", "atom 0", "'X' is not an element"),
    structure("element that the model has not seen", "H 0.9", "N 0.9", "atom 1", "does not know N", "H, C, O"),
    structure("no forces", "forces:R:3", "push:R:3", "no 'forces' (eV/Å)", "found energy, push"),
    structure("no energy", "energy=", "E=", "no 'energy' (eV)", "found E, forces"),
    structure("two atoms at one place", "H 0.9 0.0", "H 0.01 0.9", "atoms 1 and 2 are at one place", "Å apart"),
    structure("periodic without a cell", '"F F F"', '"T T T"', "periodic along axis 0", "set it or pbc=False"),
    structure("flat cell", '"F F F"', '"T T T" Lattice="5 0 0 5 0 0 0 0 5"', "no volume", "pbc=False"),
    structure("cell in other units", '"F F F"', '"T T T" Lattice="1e9 0 0 0 5 0 0 0 5"', "the cell", "in Å"),
    structure(
        "image at one place", '"F F F"', '"F F T" Lattice="90 0 0 0 90 0 0 0 0.05"', "atom 0 and its periodic image"
    ),
    structure("decimal comma", "H 0.9", "H 0,9", "cannot be read", "'0,9'"),
    Case("truncated frame", EVALUATE, ("bad.xyz, frame 1", "truncated"), {"bad.xyz": (2 * GOOD)[: 2 * len(GOOD) - 40]}),
    Case(
        "third of three frames",
        EVALUATE,
        ("bad.xyz, frame 2, atom 2", "not finite"),
        {"bad.xyz": 2 * GOOD + GOOD.replace("H 0.0 0.9", "H 0.0 nan")},
    ),
    Case(
        "third of three gzipped frames",
        "predict local-dir:model bad.xyz.gz -o out.xyz",
        ("bad.xyz.gz, frame 2, atom 0", "does not know N"),
        {"bad.xyz.gz": gzip.compress((2 * GOOD + GOOD.replace("O 0", "N 0")).encode())},
    ),
    Case(
        "truncated gzip",
        "evaluate local-dir:model bad.xyz.gz",
        ("bad.xyz.gz: cannot be read", "again"),
        {"bad.xyz.gz": gzip.compress((50 * GOOD).encode())[:-40]},
    ),
    Case(
        "gzip in name only",
        "evaluate local-dir:model bad.xyz.gz",
        ("bad.xyz.gz: cannot be read", "again"),
        {"bad.xyz.gz": GOOD},
    ),
    Case("image as xyz", EVALUATE, ("bad.xyz: not text", "give a structure file"), {"bad.xyz": PNG}),
    Case(
        "image", "evaluate local-dir:model bad.png", ("bad.png", "cannot be read", "structure file"), {"bad.png": PNG}
    ),
    Case("random bytes", "predict local-dir:model bad.cif -o out.xyz", ("bad.cif", "cannot be read"), {"bad.cif": PNG}),
    Case("not a data base", "predict local-dir:model bad.db -o out.xyz", ("bad.db", "cannot be read"), {"bad.db": PNG}),
    Case("prose", "evaluate local-dir:model bad.txt", ("bad.txt: not a structure file",), {"bad.txt": "Hello.\n"}),
    Case("prose as xyz", EVALUATE, ("bad.xyz, frame 0", "cannot be read", "'Hello."), {"bad.xyz": "Hello.\n"}),
]

OPTIONS = [
    Case("wrong suffix", f"{PREDICT} out.csv", ("out.csv", ".xyz or .extxyz")),
    Case("into a missing directory", f"{PREDICT} no/out.xyz", ("no: no such directory", "create it first")),
    Case("onto the input", f"{PREDICT} train.xyz", ("train.xyz", "would overwrite the input")),
    Case("onto a directory", f"{PREDICT} dir.xyz", ("dir.xyz is a directory",), {"dir.xyz/file": "x"}),
    Case("no output", "predict local-dir:model train.xyz", ("-o/--out",)),
    Case("--json into a missing directory", f"{VERIFY} --json no/out.json", ("--json", "no: no such directory")),
    Case("--json onto a directory", f"{VERIFY} --json crowded", ("--json", "crowded is a directory")),
    Case("data --json into a missing directory", "data list --json no/out.json", ("no/out.json", "cannot be written")),
    Case("TPU that is not there", f"{VERIFY} --device xla", ("--device xla", "`--device cpu` always can")),
    Case("nonsense device", f"{VERIFY} --device banana", ("--device banana", "`--device cpu` always can")),
    Case("device that holds no numbers", f"{VERIFY} --device meta", ("--device meta", "`--device cpu` always can")),
    Case("unknown verb", "evalute local-dir:model train.xyz", ("'evalute'", "did you mean 'evaluate'")),
    Case("no verb", "", ("VERB",)),
    Case("unknown verb of data", "data lst", ("'lst'", "did you mean 'list'")),
    Case("unknown option", "list --jsn x.json", ("--jsn", "did you mean '--json'")),
    Case("abbreviated option", "verify --dev cpu", ("--dev", "did you mean '--device'")),
    Case(
        "unknown key option", "evaluate local-dir:model train.xyz --energy_kee E", ("--energy_kee", "mean 'energy_key'")
    ),
    Case(
        "key option without a value", "evaluate local-dir:model train.xyz --energy_key", ("--energy_key", "is missing")
    ),
    Case(
        "switch with a value",
        "evaluate local-dir:model train.xyz --relative yes",
        ("--relative: 'yes' is neither true nor false", "write --relative at the end"),
    ),
    Case("too many files", "evaluate local-dir:model train.xyz many.xyz", ("many.xyz", "energy_key")),
    Case("too few files", "evaluate local-dir:model", ("FILE",)),
]

CASES = {
    f"{room}: {case.name}": case
    for room, cases in {
        "shelf": SHELF,
        "catalogue": CATALOGUE,
        "recipe": RECIPES,
        "structure": STRUCTURES,
        "option": OPTIONS,
    }.items()
    for case in cases
}


def written(directory: Path) -> dict[str, bytes]:
    """Every file in a directory with its content."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def put(path: Path, content: Content) -> None:
    """Writes a file, or changes the one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def status_of(argv: list[str]) -> int | str | None:
    """The exit status, also where argparse exits by itself."""
    try:
        return main(argv)
    except SystemExit as exit:
        return exit.code


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused(
    name: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    for path, content in case.files.items():
        put(here / path, content)
    for variable, value in case.environment.items():
        monkeypatch.setenv(variable, value)
    before = written(here)
    status = status_of(shlex.split(case.argv))
    message = capsys.readouterr().err.strip()
    assert status == 2, message
    for words in case.words:
        assert words in message
    assert "Traceback" not in message
    assert "\n\n" not in message
    assert len(message) < 700
    assert written(here) == before


def test_names_of_cases_are_their_own() -> None:
    assert len(CASES) == len(SHELF) + len(CATALOGUE) + len(RECIPES) + len(STRUCTURES) + len(OPTIONS)


@pytest.mark.parametrize("verb", ["verify local-dir:model", "evaluate local-dir:model train.xyz", f"{PREDICT} out.xyz"])
def test_a_gpu_that_is_not_there_is_refused(
    verb: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.zeros", _no_cuda)
    assert status_of([*shlex.split(verb), "--device", "cuda"]) == 2
    assert "--device cuda: cannot be used here" in capsys.readouterr().err
    assert not (here / "out.xyz").exists()


def _no_cuda(*shape: int, device: str) -> None:
    raise AssertionError("Torch not compiled with CUDA enabled")
