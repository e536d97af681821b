"""Measurements during training: how often, at what cost, and what they leave behind."""

import json
import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments.callback import Recurring
from sciml_zoo.instruments.result import Result


@dataclass(frozen=True)
class Weights(Result):
    norm: torch.Tensor
    gap: float = float("nan")

    def plot(self):
        raise NotImplementedError


def norm(model: nn.Module) -> Weights:
    return Weights(torch.stack([p.detach().norm() for p in model.parameters()]))


def test_it_measures_and_writes_what_json_can_hold(tmp_path):
    file = tmp_path / "norms.jsonl"
    watch = Recurring(norm, share=0.99, every=10, file=file)
    model = nn.Linear(2, 1)
    watch.on_fit_start(SimpleNamespace(is_main=True), SimpleNamespace(model=model, step=0))
    for step in range(1, 36):
        time.sleep(0.001)
        watch.on_step_end(SimpleNamespace(step=step))
    assert [step for step, _ in watch.records] == [10, 20, 30]
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30]
    assert lines[0]["norm"] == pytest.approx([float(p.detach().norm()) for p in model.parameters()])
    assert lines[0]["gap"] is None


def test_it_takes_no_more_than_its_share_of_the_time():
    def slow(model: nn.Module) -> Weights:
        time.sleep(0.02)
        return norm(model)

    watch = Recurring(slow, share=0.1, every=1)
    begun = time.perf_counter()
    for step in range(1, 600):
        time.sleep(0.001)
        watch.after_step(nn.Linear(1, 1), step)
    # The first cannot know what it costs.
    assert len(watch.records) >= 2
    assert watch.seconds <= 0.1 * (time.perf_counter() - begun) + 0.03


def test_other_ranks_do_not_measure():
    watch = Recurring(norm, share=0.9, every=1)
    watch.on_fit_start(SimpleNamespace(is_main=False), SimpleNamespace(model=nn.Linear(1, 1), step=0))
    watch.on_step_end(SimpleNamespace(step=100))
    assert watch.records == []


@pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.5}, {"every": 0}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(InputError, match="share"):
        Recurring(norm, **options)
