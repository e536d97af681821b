"""A registered model's run folders are checkpoints of the shelf."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import StopAt, weights

from sciml_zoo.training import OptimizerConfig, StepOutput, Task, Trainer, TrainerConfig
from sciml_zoo.zoo.checkpoint import load_checkpoint
from sciml_zoo.zoo.registry import create_model, register_model


@dataclasses.dataclass(frozen=True)
class LineConfig:
    width: int = 3


@register_model("trainer_test_line", config=LineConfig, domain="tests")
class Line(nn.Module):
    def __init__(self, config: LineConfig) -> None:
        super().__init__()
        self.config = config
        self.layer = nn.Linear(config.width, 1)

    def example_inputs(self) -> dict[str, Tensor]:
        return {"x": torch.linspace(-1, 1, 6, dtype=self.layer.weight.dtype).reshape(2, 3)}

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[:, 0]


class LineTask(Task):
    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.model = create_model("trainer_test_line")

    def collate(self, samples: list[Tensor]) -> Tensor:
        return torch.stack(samples)

    def steps(self, batch: Tensor) -> Iterator[StepOutput]:
        yield StepOutput((self.model(batch) - batch.sum(1)).square().mean(), len(batch))

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        return {"loss": sum(output.loss.item() for batch in batches for output in self.steps(batch))}


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_best_and_last_load_from_the_shelf(precision: str, tmp_path: Path) -> None:
    samples = list(torch.randn(10, 3, generator=torch.Generator().manual_seed(0)))
    config = TrainerConfig(
        max_steps=8, batch_size=4, validate_every=2, ema_decay=0.5, accelerator="cpu", precision=precision
    )
    Trainer(config, directory=tmp_path, callbacks=[StopAt(5)]).fit(LineTask(), OptimizerConfig(), samples, samples[:3])
    task = LineTask()
    result = Trainer(config, directory=tmp_path).fit(task, OptimizerConfig(), samples, samples[:3], resume=True)
    for name in ("last", "best"):
        loaded = load_checkpoint(tmp_path / name)
        assert isinstance(loaded, Line)
        torch.testing.assert_close(weights(loaded), weights(result.model))
