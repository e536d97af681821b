"""The card says what is recorded, and does not make up the rest."""

import json
from pathlib import Path

from sciml_zoo.zoo.card import model_card
from sciml_zoo.zoo.checkpoint import save_model
from sciml_zoo.zoo.manifest import weights_row

from .shelf import FIELDS
from .toy import Toy


def test_card_of_weights_on_the_shelf(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    row = weights_row(saved, name="toy_linear.tiny", **FIELDS)
    card = model_card(config, row)
    assert card == model_card(config, row)
    assert card.startswith("# toy_linear.tiny\n\nA toy | for tests\n")
    for text in (
        'sciml_zoo.load_model("toy_linear.tiny")',
        "sciml-zoo predict toy_linear.tiny INPUT -o OUTPUT",
        "Licence of the weights: CC0-1.0",
        f"`{row.sha256}`",
        "| numbers | https://example.org/numbers | CC-BY-4.0 |",
        "| numbers | force MAE | 6.54321 | meV/Å | 3 | `sciml-zoo evaluate toy_linear.tiny numbers.xyz` |",
        "Numbers between −1 and 1.",
        "- Large numbers.\n- Complex numbers.\n",
        f"```sh\n{FIELDS['command']}\n```",
        f"Recipe: `{FIELDS['recipe']}`",
        "```bibtex\n@misc{toy, title={A toy}}\n```",
        '"width": 5',
        "rtol 1e-05 and atol 1e-05",
    ):
        assert text in card


def test_card_of_a_checkpoint_of_ones_own(model: Toy, tmp_path: Path) -> None:
    card = (save_model(model, tmp_path / "out", metadata={"recipe": "my.yaml"}) / "README.md").read_text()
    assert "Licence: not stated" in card
    assert 'sciml_zoo.load_model("local-dir:PATH")' in card
    assert '"recipe": "my.yaml"' in card
    assert "nothing else is recorded" in card


def test_text_cannot_break_out_of_its_place(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    metrics = [{**FIELDS["metrics"][0], "dataset": "a|b\nc"}]
    row = weights_row(saved, name="toy_linear.tiny", **{**FIELDS, "metrics": metrics, "command": "```\necho"})
    card = model_card(config, row)
    assert "| a\\|b c | force MAE |" in card
    assert "````sh\n```\necho\n````" in card


def test_empty_lists_are_said_to_be_empty(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    row = weights_row(saved, name="toy_linear.tiny", **{**FIELDS, "metrics": [], "known_failures": []})
    assert model_card(config, row).count("None recorded.") == 2
