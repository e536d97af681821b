"""``sciml-zoo adversarial``: work, barriers and audit end to end, their tables and figures, and bad input."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sciml_zoo.adversarial import figures, survey
from sciml_zoo.adversarial.attacks import ATTACKS
from sciml_zoo.cli import adversarial_verbs, main
from sciml_zoo.cli.adversarial import ATTACKS as OFFERED
from sciml_zoo.errors import InputError

MODELS = """
import torch
from torch import nn

def honest():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3)), torch.rand(4, 6), torch.arange(4) % 3

def broken():
    model, inputs, labels = honest()
    return lambda x: model(torch.round(4 * x) / 4), inputs, labels

def own_loss():
    model, inputs, _ = honest()
    return model, inputs, None, lambda outputs, _: outputs.square().sum(1)

def wrong():
    return 3

nothing = 1
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "audited_models", raising=False)
    (tmp_path / "audited_models.py").write_text(MODELS)
    return tmp_path


def test_work_of_an_attack_on_shipped_weights(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["adversarial", "work", "digits_cnn.standard_gelu", "--attack", "pgd_l2", "--n", "3", "--seed", "1"]
    assert main([*command, "--json", "out.json"]) == 0
    told = json.loads(Path("out.json").read_text())
    assert len(told["samples"]) == 3
    for row in told["samples"]:
        assert row["closure"] <= 1e-8 * max(abs(row["delta_loss"]), 1e-3)
        assert row["work"] == pytest.approx(row["delta_loss"], rel=1e-7, abs=1e-9)
        assert {"error_estimate", "dissipation", "gradients", "norm", "success"} < set(row)
    shown = " ".join(capsys.readouterr().out.split())
    assert "share fooled" in shown
    assert f"error estimate of W, likewise, largest {told['summary']['largest_relative_error_estimate']:.4g}" in shown
    assert "tolerance of both 1e-09" in shown
    assert "NOT CLOSED" not in shown
    assert told["summary"]["not_closed"] == 0


def test_paths_that_do_not_close_are_marked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*args: Any, **options: Any) -> pd.DataFrame:
        table = survey(*args, **options)
        return table.assign(closure=table["closure"] + [0, 1e-6, float("nan")])

    monkeypatch.setattr(adversarial_verbs, "survey", opened)
    command = "adversarial work digits_cnn.standard_gelu --attack fgsm --n 3 --json out.json"
    assert main(command.split()) == 0
    assert "NOT CLOSED: on 2 of 3 paths" in capsys.readouterr().out
    assert json.loads(Path("out.json").read_text())["summary"]["not_closed"] == 2


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What the figures of the verbs were drawn from."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def noted(name: str) -> None:
        draw = getattr(figures, name)

        def draw_and_note(*args: Any, **options: Any) -> Any:
            calls.append((args, options))
            return draw(*args, **options)

        monkeypatch.setattr(figures, name, draw_and_note)

    noted("work_figure")
    noted("barrier_figure")
    return calls


@pytest.mark.parametrize("sample", [None, 0])
def test_the_way_of_the_first_fooled_image_is_drawn_or_of_the_one_asked_for(
    sample: int | None, drawn: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    command = "adversarial work digits_cnn.adversarial_gelu --attack fgsm --n 12 --table rows.csv --figure way.svg"
    assert main(command.split() + ([] if sample is None else ["--sample", str(sample)])) == 0
    rows = pd.read_csv("rows.csv")
    fooled = int(rows.index[rows["success"]][0])
    assert fooled > 0  # the first is not, so that both cases differ
    ((_, potential, path), options) = drawn[0]
    number = fooled if sample is None else sample
    assert options["sample_title"].startswith(f"image {number}, a {rows['label'][number]}, ")
    assert ("not fooled" in options["sample_title"]) is (number != fooled)
    change = float(potential.value(path.end) - potential.value(path.start))
    assert change == pytest.approx(rows["delta_loss"][number], rel=1e-12)
    assert float(path.norm(float("inf"))) == pytest.approx(rows["norm"][number], rel=1e-12)
    text = Path("way.svg").read_text(encoding="utf-8")
    assert text.startswith("<?xml")
    assert text.rstrip().endswith("</svg>")


def test_nothing_is_written_where_a_figure_cannot_be_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise InputError("no figure today")

    monkeypatch.setattr(figures, "work_figure", refuse)
    command = "adversarial work digits_cnn.standard_gelu --attack fgsm --n 2 --json out.json --table rows.csv"
    assert main([*command.split(), "--figure", "way.png"]) == 2
    assert "no figure today" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["audited_models.py"]


def test_barriers_on_shipped_weights(
    capsys: pytest.CaptureFixture[str], drawn: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    command = "adversarial barrier digits_cnn.standard_gelu --n 3 --table rows.csv --figure saddle.png --sample 1"
    assert main([*command.split(), "--json", "out.json"]) == 0
    told = json.loads(Path("out.json").read_text())
    assert len(told["samples"]) == 3
    found = [row for row in told["samples"] if row["found"]]
    assert found
    for row in found:
        assert row["gradient_norm"] <= 1e-6
        assert row["negative"] == 1
        assert 0 < row["forward"] <= row["line"] + 1e-9
    assert "saddles refined" in capsys.readouterr().out
    rows = pd.read_csv("rows.csv")
    assert rows["forward"].tolist() == pytest.approx([row["forward"] for row in told["samples"]], rel=1e-12)
    (((pair,), options),) = drawn
    assert f"image 1, a {rows['label'][1]}: barrier {rows['forward'][1]:.4g} nats" in options["title"]
    height = pair.potential.value(pair.saddle[None]) - pair.potential.value(pair.path.start)
    assert float(height) == pytest.approx(rows["forward"][1], abs=1e-10)
    assert Path("saddle.png").read_bytes().startswith(b"\x89PNG")


def test_a_pair_without_a_barrier_is_drawn_too(drawn: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
    # A twin barely across the boundary rolls back into the valley of its clean input.
    command = "adversarial barrier digits_cnn.standard_gelu --attack minnorm_l2 --n 1 --stiffness 50 --figure none.png"
    assert main([*command.split(), "--json", "out.json"]) == 0
    told = json.loads(Path("out.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert told["summary"]["median_forward"] is None
    row = told["samples"][0]
    assert not row["distinct"]
    assert row["forward"] is None
    (((pair,), options),) = drawn
    assert pair.saddle is pair.line is pair.path is None
    assert options["title"].endswith("its ends do not relax to two minima: no barrier")
    assert Path("none.png").is_file()


def test_the_command_line_offers_every_attack() -> None:
    assert set(OFFERED) == set(ATTACKS)


@pytest.mark.parametrize(("name", "honest"), [("honest", True), ("broken", False), ("own_loss", True)])
def test_an_audit_ends_well_whatever_it_finds(name: str, honest: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adversarial", "audit", f"audited_models:{name}", "--json", "out.json"]) == 0
    told = json.loads(Path("out.json").read_text())
    assert told["honest"] is honest
    assert told["reason"] in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("work rbm.digits", ("rbm.digits", "no classifier")),
        ("work digits_cnn.standard_gelu --n 10000", ("--n 10000", "597 images")),
        ("work digits_cnn.standard_gelu --attack pgd", ("'pgd'", "pgd_l2")),
        ("work digits_cnn.standard_gelu --data none.npz", ("none.npz", "no such file")),
        ("work digits_cnn.standard_gelu --n 3 --sample 1", ("--sample", "--figure FILE")),
        ("work digits_cnn.standard_gelu --n 3 --sample 3 --figure f.png", ("--sample 3", "0 to 2")),
        ("work digits_cnn.standard_gelu --sample -1 --figure f.png", ("--sample", "'-1'")),
        ("work digits_cnn.standard_gelu --figure f.gif", ("f.gif", ".png, .pdf, .svg")),
        ("work digits_cnn.standard_gelu --figure none/f.png", ("none: no such directory",)),
        ("work digits_cnn.standard_gelu --table rows.txt", ("rows.txt", ".csv")),
        ("barrier digits_cnn.standard_gelu --n 3 --sample 7 --figure f.png", ("--sample 7", "0 to 2")),
        ("barrier digits_cnn.standard_relu --n 1", ("no smooth saddles", "gelu")),
        ("audit audited_models", ("module and a callable",)),
        ("audit none_such:thing", ("none_such", "cannot be imported")),
        ("audit audited_models:missing", ("no callable 'missing'",)),
        ("audit audited_models:nothing", ("no callable 'nothing'",)),
        ("audit audited_models:wrong", ("must return (model, inputs, labels)",)),
    ],
)
def test_bad_input_is_named(argv: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["adversarial", *argv.split()])
    except SystemExit as end:
        status = end.code
    shown = capsys.readouterr().err
    assert status == 2, shown
    assert "Traceback" not in shown
    assert not [word for word in words if word not in shown], shown


def test_the_command_line_does_not_load_the_domain() -> None:
    code = (
        "import sys; from sciml_zoo.cli import main\n"
        "assert main(['list']) == 0\n"
        "assert not [m for m in sys.modules if m.startswith('sciml_zoo.adversarial')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_options_of_the_attack(tmp_path) -> None:
    out = tmp_path / "work.json"
    command = ["adversarial", "work", "digits_cnn.standard_gelu", "--n", "3", "--json", str(out)]
    assert main([*command, "--attack", "pgd_l2", "--epsilon", "0.25", "--steps", "5"]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["epsilon"] == 0.25
    assert all(row["norm"] <= 0.25 * (1 + 1e-9) and row["gradients"] == 5 for row in found["samples"])


def test_an_option_that_the_attack_does_not_have_is_refused(capsys) -> None:
    command = ["adversarial", "work", "digits_cnn.standard_gelu", "--attack", "minnorm_l2", "--epsilon", "1"]
    assert main(command) == 2
    assert "--epsilon: minnorm_l2 has no such option; it takes --budget" in capsys.readouterr().err
