"""A saved toy model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sciml_zoo.zoo import registry
from sciml_zoo.zoo.checkpoint import save_model

from .toy import Toy, ToyConfig


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIML_ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _restored_tables() -> Iterator[None]:
    architectures, registrations = dict(registry._architectures), dict(registry._registrations)
    yield
    for table, before in ((registry._architectures, architectures), (registry._registrations, registrations)):
        table.clear()
        table.update(before)


@pytest.fixture
def model() -> Toy:
    torch.manual_seed(0)
    return Toy(ToyConfig(width=5, cutoff=4.5))


@pytest.fixture
def saved(model: Toy, tmp_path: Path) -> Path:
    return save_model(model, tmp_path / "saved")
