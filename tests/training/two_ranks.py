"""Run under torchrun by test_two_ranks.py: trains every scenario and writes this rank's weights."""

import dataclasses
import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from toys import Contrastive, Forces, Regression, StopAt, TruncatedBPTT, weights

from sciml_zoo.errors import FailureError
from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig

# 21 samples in batches of five: the last batch of an epoch is one sample, so rank 1 gets none of it.
CONFIG = TrainerConfig(
    max_steps=14, batch_size=5, ema_decay=0.9, clip_factor=1.1, validate_every=6, log_every=4, accelerator="cpu"
)
ADAM = OptimizerConfig(name="adam", learning_rate=0.01, schedule="cosine", warmup_steps=3)
SGD = dataclasses.replace(ADAM, name="sgd")


class UnevenSequences(TruncatedBPTT):
    """Cuts each micro-batch to its shortest sequence: ranks have different numbers of steps."""

    def __init__(self, carry: bool = False) -> None:
        super().__init__()
        self.carry = carry

    def steps(self, batch: Tensor) -> Any:
        yield from super().steps(batch)
        if not self.carry:
            self.carried = torch.zeros(5)

    def collate(self, samples: list[Tensor]) -> Tensor:
        shortest = min(map(len, samples))
        return torch.stack([sample[:shortest] for sample in samples])

    @staticmethod
    def samples(n: int = 21) -> list[Tensor]:
        return [torch.sin(torch.arange(6 + 4 * (i % 4)) * (0.3 + 0.05 * i)) for i in range(n)]


class PartlyUnused(Regression):
    """One parameter is used for a few samples only, another never; a batch norm keeps running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"body": self.model, "rare": nn.Linear(4, 1), "never": nn.Linear(4, 1)})
        self.model["norm"] = nn.BatchNorm1d(4, affine=False)
        with torch.no_grad():
            for name in ("rare", "never"):
                self.model[name].weight.fill_(0.5)
                self.model[name].bias.fill_(0.1)

    def steps(self, batch: tuple[Tensor, Tensor]) -> Any:
        x, y = batch
        self.model["norm"](torch.cat([x, x + 1]))
        predicted = self.model["body"](x)[:, 0]
        rare = x[:, 0] > 1.2
        if rare.any():
            predicted = predicted + self.model["rare"](x)[:, 0] * rare
        from sciml_zoo.training import StepOutput

        yield StepOutput((predicted - y).square().mean(), len(y), {"rare": rare.float().mean()} if rare.any() else {})

    def evaluate(self, batches: Any) -> dict[str, float]:
        return {"loss": float(self.model["norm"].running_mean.sum())}


SCENARIOS: dict[str, tuple[Callable[[], Any], list, OptimizerConfig, str]] = {
    "forces": (Forces, Forces.samples(21), ADAM, "force_mae"),
    "forces sgd": (Forces, Forces.samples(21), SGD, "force_mae"),
    "regression": (Regression, Regression.samples(21), ADAM, "loss"),
    "uneven sequences": (UnevenSequences, UnevenSequences.samples(), ADAM, "loss"),
    "partly unused": (PartlyUnused, Regression.samples(21), OptimizerConfig(weight_decay=0.3), "loss"),
}
RESUMED = {
    "dropout adam": (lambda: Regression(0.3), Regression.samples(21), ADAM, "loss"),
    "dropout sgd": (lambda: Regression(0.3), Regression.samples(21), SGD, "loss"),
    "sequences": (lambda: UnevenSequences(carry=True), UnevenSequences.samples(), SGD, "loss"),
    "contrastive": (Contrastive, Regression.samples(21), ADAM, "loss"),
    "partly unused": (PartlyUnused, Regression.samples(21), ADAM, "loss"),
}


def fit(scenario: tuple, config: TrainerConfig = CONFIG, resume: bool = False, **options: Any) -> tuple[Any, Any]:
    make, samples, optimizer, monitor = scenario
    task = make()
    config = dataclasses.replace(config, monitor=monitor)
    return task, Trainer(config, **options).fit(task, optimizer, samples, samples[:7], resume=resume)


def main(out: Path) -> None:
    results: dict[str, Tensor] = {}
    rank = int(os.environ["RANK"])
    for name, scenario in SCENARIOS.items():
        for accumulate in (1, 2):
            task, result = fit(scenario, dataclasses.replace(CONFIG, accumulate=accumulate))
            key = f"{name} x{accumulate}"
            results[key] = weights(task.model)
            results[f"{key} average"] = weights(result.model)
            results[f"{key} metrics"] = torch.tensor(list(result.metrics.values()), dtype=torch.float64)
    for name, scenario in RESUMED.items():
        results[f"whole {name}"] = weights(fit(scenario, directory=out / "whole" / name)[0].model)
        fit(scenario, directory=out / "parts" / name, callbacks=[StopAt(7)])
        task, result = fit(scenario, directory=out / "parts" / name, resume=True)
        results[f"parts {name}"] = weights(task.model)

    class SignalOneRank:
        def on_step_end(self, record: Any) -> None:
            if record.step == 4 and rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    _, result = fit(SCENARIOS["regression"], callbacks=[SignalOneRank()])
    results[f"stopped {result.stopped_because}"] = torch.tensor(result.step)

    def full_disk(model: nn.Module, directory: Path, metadata: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    try:
        fit(SCENARIOS["regression"], directory=out / "full", save=full_disk)
    except FailureError as error:
        results["full disk"] = torch.tensor("full" in str(error))
    (out / f"rank{rank}.safetensors").write_bytes(safetensors.torch.save(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
