"""The demo from end to end, with a shorter training."""

import dataclasses

import sciml_zoo as sz
from sciml_zoo.cli import main
from sciml_zoo.potentials import showcase
from sciml_zoo.splicing import showcase as splicing_showcase
from sciml_zoo.zoo.registry import DOMAINS


def test_the_demo_shows_every_weight_and_every_domain(tmp_path, monkeypatch, capsys):
    quick = dataclasses.replace(showcase._SMALL.trainer, max_steps=10, validate_every=5)
    monkeypatch.setattr(showcase, "_SMALL", dataclasses.replace(showcase._SMALL, trainer=quick))
    monkeypatch.setattr(splicing_showcase, "_STEPS", 5)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    for name in sz.list_models(pretrained=True):
        assert page.count(name) >= 2  # verified, and used
    assert page.count("<h2>") == 1 + len(DOMAINS)
    assert page.count("data:image/png;base64,") >= 3
    assert "http://" not in page
    assert "https://" not in page
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["report.html"]
    assert "report written to" in capsys.readouterr().out
