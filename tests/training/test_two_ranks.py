"""Two processes over gloo do the same run as one."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import two_ranks
from test_exactness import log_of
from torch import Tensor
from toys import weights

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two_ranks")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [*command, str(HERE / "two_ranks.py"), str(out)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def ranks(run: Path) -> list[dict[str, Tensor]]:
    return [safetensors.torch.load_file(run / f"rank{rank}.safetensors") for rank in range(2)]


def test_ranks_agree(ranks: list[dict[str, Tensor]]) -> None:
    assert ranks[0].keys() == ranks[1].keys()
    for name in ranks[0]:
        assert torch.equal(ranks[0][name], ranks[1][name]), name


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", two_ranks.SCENARIOS)
def test_two_ranks_equal_one_rank_with_the_joint_batch(
    name: str, accumulate: int, ranks: list[dict[str, Tensor]]
) -> None:
    # Tasks whose loss depends on how a batch is split are compared with the same split into micro-batches.
    splits = {"uneven sequences": 2 * accumulate, "partly unused": 2 * accumulate}
    config = dataclasses.replace(two_ranks.CONFIG, accumulate=splits.get(name, 1))
    task, result = two_ranks.fit(two_ranks.SCENARIOS[name], config)
    key = f"{name} x{accumulate}"
    learned = weights(task.model)
    compared = slice(None, -9) if name == "partly unused" else slice(None)  # without the batch norm's statistics
    assert (learned - weights(two_ranks.SCENARIOS[name][0]().model)).abs().max() > 1e-2, "nothing was learned"
    torch.testing.assert_close(ranks[0][key][compared], learned[compared], rtol=0, atol=1e-6)
    torch.testing.assert_close(ranks[0][f"{key} average"][compared], weights(result.model)[compared], rtol=0, atol=1e-6)
    if name not in splits:
        metrics = torch.tensor(list(result.metrics.values()), dtype=torch.float64)
        torch.testing.assert_close(ranks[0][f"{key} metrics"], metrics, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", two_ranks.RESUMED)
def test_stop_and_resume_equals_no_stop_bitwise(name: str, run: Path, ranks: list[dict[str, Tensor]]) -> None:
    assert torch.equal(ranks[0][f"parts {name}"], ranks[0][f"whole {name}"])
    assert log_of(run / "parts" / name) == log_of(run / "whole" / name)


def test_a_signal_to_one_rank_stops_both(ranks: list[dict[str, Tensor]]) -> None:
    assert ranks[0]["stopped interrupted"].item() == 4
    assert ranks[1]["stopped interrupted"].item() == 4


def test_a_full_disk_on_rank_0_is_an_error_on_both(ranks: list[dict[str, Tensor]]) -> None:
    assert ranks[0]["full disk"]
    assert ranks[1]["full disk"]


def test_another_number_of_ranks_goes_on_with_the_same_data(run: Path) -> None:
    name = "dropout adam"
    config = dataclasses.replace(two_ranks.CONFIG, max_steps=20)
    _, result = two_ranks.fit(two_ranks.RESUMED[name], config, resume=True, directory=run / "whole" / name)
    assert (result.step, result.epoch) == (20, 4)
