import argparse
import json

import pytest

from sciml_zoo.cli.data import add_parser
from sciml_zoo.datasets import UnknownDatasetError, catalog, list_datasets
from sciml_zoo.errors import InputError

from .conftest import CONTENT
from .test_locate import _toy


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["data", *words])
    return args.run(args)


@pytest.fixture
def toy(server, monkeypatch):
    monkeypatch.setitem(catalog._catalog(), "toy", _toy(server))


def test_list_shows_what_matches(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run("list", "rmd17_*") == 0
    out = capsys.readouterr().out
    assert "rmd17_ethanol" in out
    assert "can be downloaded" in out
    assert "acac" not in out


def test_list_writes_json(tmp_path, capsys):
    assert run("list", "--json", str(tmp_path / "out.json")) == 0
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["name"] for row in rows] == [dataset.name for dataset in list_datasets()]
    water = next(row for row in rows if row["name"] == "water_pbe0ts")
    assert "only fitted weights may ship" in water["ships_weights"]
    assert all(row["licence"] and row["source"] and row["place"] for row in rows)


def test_list_of_nothing_is_an_error():
    with pytest.raises(UnknownDatasetError, match="did you mean 'rmd17_"):
        run("list", "rmd71_*")


def test_json_into_a_missing_folder_is_an_input_error(tmp_path, capsys):
    with pytest.raises(InputError, match="cannot be written"):
        run("list", "--json", str(tmp_path / "no" / "out.json"))


def test_path_prints_the_path_alone(toy, tmp_path, capsys):
    assert run("path", "toy") == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "cache" / "datasets" / "test" / "toy"
    assert printed == f"{folder}\n"
    assert (folder / "sub" / "train.xyz").read_bytes() == CONTENT


def test_fetch_prints_paths_on_stdout_and_progress_on_stderr(toy, tmp_path, capsys):
    assert run("fetch", "toy") == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'cache' / 'datasets' / 'test' / 'toy'}\n"
    assert "train.xyz" in captured.err


def test_fetch_checks_all_names_before_the_first_download(toy, server):
    with pytest.raises(UnknownDatasetError, match="acac"):
        run("fetch", "toy", "acacc")
    assert server.requests == []
