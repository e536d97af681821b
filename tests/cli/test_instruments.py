"""``sciml-zoo instruments``: demonstrations, shipped weights, and bad input."""

import json
from pathlib import Path

import pytest

from sciml_zoo.cli import main


def test_a_demonstration_is_written_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "hooke.json", tmp_path / "hooke.png"
    assert main(["instruments", "hooke", "--json", str(out), "--plot", str(plot)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["instrument"] == "hooke"
    assert found["gradients"] > 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "gradients" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("signal", "gto_potential.rmd17_ethanol"),
        ("signal", "splice_rnn.uci"),
        ("curvature", "digits_cnn.standard_gelu"),
        ("curvature", "splice_rnn.uci"),
        ("chaos", "digits_cnn.standard_gelu"),
        ("mechanics", "digits_cnn.standard_gelu"),
    ],
)
def test_shipped_weights_are_measured(name: str, weights: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main(["instruments", name, "--model", weights, "--json", str(out), "--device", "cpu"]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["model"] == weights
    if name == "curvature":
        assert found["top"][0] > abs(found["bottom"][0])  # at its own outputs, the imitation's loss is least
    if name == "chaos":
        # Half the edge of stability: nothing grows, and the Hessian's zeros neither grow nor shrink.
        assert max(found["spectrum"]) < 1e-3
    if name == "mechanics":
        assert found["relative_imbalance"] < 1e-2


def test_what_has_nothing_to_measure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instruments", "waves", "--model", "digits_cnn.standard_gelu"]) == 2
    assert "signal, curvature, mechanics, chaos, symmetry have" in capsys.readouterr().err
    assert main(["instruments", "hooke", "--seed", "1"]) == 2
    with pytest.raises(SystemExit) as refused:
        main(["instruments", "hook"])
    assert refused.value.code == 2
    assert "did you mean 'hooke'" in capsys.readouterr().err
