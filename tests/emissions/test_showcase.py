"""The domain's part of the demo: every shipped network is shown, on the real panel where it is at hand."""

import dataclasses
import re

import pytest
import torch

import sciml_zoo as sz
from sciml_zoo.emissions import showcase

NAMES = {
    "emissions_rnn.eutl": 2022,
    "emissions_rnn.eutl_to2017": 2017,
    "emissions_rnn.gcb": 2024,
    "emissions_rnn.x": 2022,
}


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """Returns the rows of the first table, by name, with untrained networks on the shelf."""

    def load(name):
        torch.manual_seed(0)
        return sz.create_model("emissions_rnn", members=1, hidden=4, last_year=NAMES[name])

    monkeypatch.setattr(showcase, "_BRIEF", dataclasses.replace(showcase._BRIEF, max_steps=5, validate_every=5))
    monkeypatch.setattr(showcase, "list_models", lambda **_: list(NAMES))
    monkeypatch.setattr(showcase, "load_model", load)

    def rows():
        table = showcase.demo(tmp_path, lambda _: None).tables[0]
        assert table.head[1:3] == ("panel", "origin")
        return {row[0]: row for row in table.rows}

    return rows


def test_without_data_every_network_forecasts_generated_companies(shown, monkeypatch, tmp_path):
    monkeypatch.delenv("SCIML_ZOO_DATA", raising=False)
    monkeypatch.setenv("SCIML_ZOO_CACHE", str(tmp_path))
    found = shown()
    assert [*found] == [*NAMES, "small network, trained here"]
    for row in found.values():
        assert row[1:3] == ("generated companies", "2017")
        assert row[-1] == "no"
        assert all(re.fullmatch(r"\d+\.\d{3}", cell) for cell in row[4:8])


@pytest.mark.data
def test_with_data_each_network_is_shown_on_its_panel_and_whether_it_knew_the_years(shown):
    found = shown()
    where = {name: (row[1], row[2], row[-1]) for name, row in found.items()}
    assert where == {
        "emissions_rnn.eutl": ("eutl", "2017", "yes: no test"),
        "emissions_rnn.eutl_to2017": ("eutl", "2017", "no"),
        "emissions_rnn.gcb": ("gcb", "2019", "yes: no test"),
        "emissions_rnn.x": ("generated companies", "2017", "no"),
        "small network, trained here": ("generated companies", "2017", "no"),
    }
