"""Small tasks that stand for the kinds of training in the package; imported by tests and by their subprocesses."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from sciml_zoo.training import StepOutput, Task


def mlp(n_in: int, dropout: float = 0.0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(n_in, 16), nn.SiLU(), nn.Dropout(dropout), nn.Linear(16, 1))


class Regression(Task):
    """A scalar from four numbers, with dropout if asked."""

    def __init__(self, dropout: float = 0.0) -> None:
        self.model = mlp(4, dropout)

    def collate(self, samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])

    def steps(self, batch: tuple[Tensor, Tensor]) -> Iterator[StepOutput]:
        x, y = batch
        error = self.model(x)[:, 0] - y
        yield StepOutput(error.square().mean(), len(y), {"mae": error.abs().mean()})

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        loss = MeanMetric(sync_on_compute=True)
        for x, y in batches:
            loss.update((self.model(x)[:, 0] - y).square().detach())
        return {"loss": float(loss.compute())}

    @staticmethod
    def samples(n: int = 23, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
        x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
        return [(row, row.prod() + row.sum()) for row in x]


class Forces(Task):
    """E = MLP(r), F = −∂E/∂r, trained on both; forces need a gradient inside the forward pass."""

    precisions = ("32-true", "64-true")

    def __init__(self) -> None:
        self.model = mlp(3)

    def collate(self, samples: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, ...]:
        return tuple(torch.stack(column) for column in zip(*samples, strict=True))

    def _errors(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        positions, energies, forces = batch
        positions = positions.detach().requires_grad_()
        predicted = self.model(positions)[:, 0]
        (gradient,) = torch.autograd.grad(predicted.sum(), positions, create_graph=True)
        return predicted - energies, -gradient - forces

    def steps(self, batch: tuple[Tensor, ...]) -> Iterator[StepOutput]:
        energy_error, force_error = self._errors(batch)
        yield StepOutput(energy_error.square().mean() + force_error.square().mean(), len(energy_error))

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        loss = MeanMetric()
        for batch in batches:
            loss.update(self._errors(batch)[1].abs().detach())
        return {"force_mae": float(loss.compute())}

    @staticmethod
    def samples(n: int = 23, dtype: torch.dtype = torch.float32) -> list[tuple[Tensor, Tensor, Tensor]]:
        r = torch.randn(n, 3, generator=torch.Generator().manual_seed(5)).to(dtype)
        return [(row, (-row.square().sum()).exp(), 2 * row * (-row.square().sum()).exp()) for row in r]


class TruncatedBPTT(Task):
    """A recurrent network stepped every four frames of a sequence, its state carried over detached."""

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(4)
            self.model = nn.ModuleDict({"cell": nn.GRUCell(1, 5), "out": nn.Linear(5, 1)})
        self.carried = torch.zeros(5)

    def collate(self, samples: list[Tensor]) -> Tensor:
        return torch.stack(samples)

    def steps(self, batch: Tensor) -> Iterator[StepOutput]:
        hidden = self.carried.expand(len(batch), 5)
        for start in range(0, batch.shape[1] - 1, 4):
            losses = []
            for t in range(start, min(start + 4, batch.shape[1] - 1)):
                hidden = self.model["cell"](batch[:, t, None], hidden)
                losses.append((self.model["out"](hidden)[:, 0] - batch[:, t + 1]).square().mean())
            yield StepOutput(torch.stack(losses).mean(), len(batch))
            hidden = hidden.detach()
        self.carried = hidden.mean(0)

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        return {"loss": float(sum(batch.square().sum() for batch in batches))}

    def state_dict(self) -> dict[str, Any]:
        return {"carried": self.carried}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.carried = state["carried"]

    @staticmethod
    def samples(n: int = 10) -> list[Tensor]:
        return [torch.sin(torch.arange(13) * (0.3 + 0.05 * i)) for i in range(n)]


class Contrastive(Task):
    """Contrastive divergence: the negative samples come from the task's own generator."""

    def __init__(self) -> None:
        self.model = mlp(4)

    def collate(self, samples: list[tuple[Tensor, Tensor]]) -> Tensor:
        return torch.stack([x for x, _ in samples])

    def steps(self, batch: Tensor) -> Iterator[StepOutput]:
        for _ in range(2):
            noise = torch.randn(batch.shape, generator=self.generator, device=self.device)
            energy = self.model(batch).mean() - self.model(batch + noise).mean()
            yield StepOutput(energy + 0.1 * energy.square(), len(batch))

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        torch.rand(3, generator=self.generator)  # must not disturb training
        return {"loss": float(sum(self.model(batch).sum() for batch in batches))}


class StopAt:
    """Asks the trainer to stop once a step is taken."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_fit_start(self, trainer: Any, state: Any) -> None:
        self.trainer = trainer

    def on_step_end(self, record: Any) -> None:
        if record.step == self.step:
            self.trainer.request_stop()


def weights(model: nn.Module) -> Tensor:
    return torch.cat([value.detach().double().flatten() for value in model.state_dict().values()])
