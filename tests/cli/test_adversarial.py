"""``sciml-zoo adversarial``: work and audit end to end, and bad input."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sciml_zoo.adversarial.attacks import ATTACKS
from sciml_zoo.cli import main
from sciml_zoo.cli.adversarial import ATTACKS as OFFERED

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
    assert "share fooled" in capsys.readouterr().out


def test_barriers_on_shipped_weights(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["adversarial", "barrier", "digits_cnn.standard_gelu", "--n", "3"]
    assert main([*command, "--json", "out.json"]) == 0
    told = json.loads(Path("out.json").read_text())
    assert len(told["samples"]) == 3
    found = [row for row in told["samples"] if row["found"]]
    assert found
    for row in found:
        assert row["gradient_norm"] <= 1e-6
        assert row["negative"] == 1
        assert 0 < row["forward"] <= row["line"] + 1e-9
    assert "saddles refined" in capsys.readouterr().out


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
